/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_AUDIO_H
#define CHQ_P2P_MEDIA_AUDIO_H

#include "core/base/bytes.h"
#include "p2p/media/voice.h"

enum chq_audio_kind {
    CHQ_AUDIO_NULL = 0, /* silence in, nothing out, in real time */
    CHQ_AUDIO_FILE = 1, /* a WAV file as microphone, then silence; what is heard goes to a WAV file */
    CHQ_AUDIO_PULSE = 2 /* PulseAudio or PipeWire */
};

struct chq_audio_config {
    enum chq_audio_kind kind;
    const char *
        capture; /* FILE: path of a mono 16-bit PCM file, 8 to 48 kHz, or NULL for silence; PULSE: source name or NULL */
    const char *playback; /* FILE: path to write, or NULL; PULSE: sink name or NULL */
    bool echo_cancel; /* PULSE only */
};

struct chq_audio;

/*
 * A sound device: six functions. Frames are CHQ_VOICE_FRAME_SAMPLES samples at CHQ_VOICE_RATE, mono. The clock is an
 * input, so that the file and null devices run in a test without waiting.
 */
struct chq_audio_device {
    const char *name;
    /* CHQ_IO: no such device or file, or no server; CHQ_MALFORMED: not a WAV file; CHQ_UNSUPPORTED: not mono 16-bit PCM;
     * CHQ_LIMIT: too large a file. */
    enum chq_err (*open)(const struct chq_audio_config *config, uint64_t now_us, struct chq_audio **out);
    void (*close)(struct chq_audio *audio); /* finishes the file */
    /* Append the devices' names to `w`, one "capture NAME" or "playback NAME" a line. */
    enum chq_err (*list)(struct chq_writer *w);
    /* The next captured frame. CHQ_AGAIN: not yet. A device that fell behind has dropped the oldest. */
    enum chq_err (*read)(struct chq_audio *audio, uint64_t now_us, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES]);
    enum chq_err (*write)(
        struct chq_audio *audio, uint64_t now_us, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES]);
    /* Microseconds that were written and are not yet heard. Write while this is below CHQ_AUDIO_PLAYOUT_US. */
    uint64_t (*latency)(struct chq_audio *audio, uint64_t now_us);
};

#define CHQ_AUDIO_PLAYOUT_US 40000 /* the playout guard: two frames ahead, never more */

/* Return the device of `kind`. */
const struct chq_audio_device *chq_audio_device(enum chq_audio_kind kind);

#endif
