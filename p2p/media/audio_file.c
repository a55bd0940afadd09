/* SPDX-License-Identifier: Apache-2.0 */
#include <speex/speex_resampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2p/media/audio_backend.h"
#include "p2p/media/wav.h"

/*
 * The file and the null device: real time by the clock that is given. Underruns are recorded as the silence that a
 * listener would hear.
 */
enum { BEHIND_MAX_FRAMES = 5, UNDERRUN_MAX_FRAMES = 500, RESAMPLE_QUALITY = 8, RESAMPLE_TAIL = 256 };

struct chq_audio {
    int16_t *samples;
    size_t samples_count, at;
    FILE *record;
    uint32_t recorded; /* samples */
    bool reading, writing;
    uint64_t read_start_us, frames_read;
    uint64_t write_start_us, frames_written;
};

static enum chq_err load_bytes(const char *path, uint8_t **out, size_t *size)
{
    enum chq_err err = CHQ_IO;
    uint8_t *bytes = NULL;
    *out = NULL;
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return CHQ_IO;
    if (fseek(f, 0, SEEK_END) != 0)
        goto out;
    const long length = ftell(f);
    if (length < 0 || fseek(f, 0, SEEK_SET) != 0)
        goto out;
    if ((unsigned long)length > CHQ_WAV_BYTES_MAX) {
        err = CHQ_LIMIT;
        goto out;
    }
    bytes = malloc((size_t)length + 1);
    if (bytes == NULL) {
        err = CHQ_NO_MEMORY;
        goto out;
    }
    if (fread(bytes, 1, (size_t)length, f) != (size_t)length)
        goto out;
    *out = bytes;
    *size = (size_t)length;
    bytes = NULL;
    err = CHQ_OK;
out:
    free(bytes);
    (void)fclose(f);
    return err;
}

/* Bring the samples to CHQ_VOICE_RATE. */
static enum chq_err convert(struct chq_audio *a, const struct chq_wav *wav)
{
    int resampler_err = 0;
    const size_t given = wav->samples.size / 2;
    /* What the resampler still holds at the end comes out when zeros push it. */
    const size_t count = given + RESAMPLE_TAIL;
    const size_t room = (size_t)((uint64_t)count * CHQ_VOICE_RATE / wav->rate) + CHQ_VOICE_FRAME_SAMPLES;
    enum chq_err err = CHQ_NO_MEMORY;
    int16_t *in = calloc(count + 1, sizeof *in);
    SpeexResamplerState *resampler =
        speex_resampler_init(1, wav->rate, CHQ_VOICE_RATE, RESAMPLE_QUALITY, &resampler_err);
    a->samples = calloc(room, sizeof *a->samples);
    if (in == NULL || resampler == NULL || a->samples == NULL)
        goto out;
    for (size_t i = 0; i < given; i++)
        in[i] = (int16_t)(wav->samples.data[2 * i] | wav->samples.data[2 * i + 1] << 8);
    (void)speex_resampler_skip_zeros(resampler);
    for (size_t from = 0; from < count;) {
        spx_uint32_t taken = (spx_uint32_t)(count - from > 65536 ? 65536 : count - from);
        spx_uint32_t made = (spx_uint32_t)(room - a->samples_count);
        if (speex_resampler_process_int(
                resampler, 0, in + from, &taken, a->samples + a->samples_count, &made) != 0)
            goto out;
        if (taken == 0)
            break;
        from += taken;
        a->samples_count += made;
    }
    err = CHQ_OK;
out:
    free(in);
    if (resampler != NULL)
        speex_resampler_destroy(resampler);
    return err;
}

static enum chq_err load(struct chq_audio *a, const char *path)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct chq_wav wav;
    CHQ_TRY(load_bytes(path, &bytes, &size));
    enum chq_err err = chq_wav_read(chq_bytes(bytes, size), &wav);
    if (err == CHQ_OK)
        err = convert(a, &wav);
    free(bytes);
    return err;
}

static void file_close(struct chq_audio *audio)
{
    if (audio == NULL)
        return;
    if (audio->record != NULL) {
        uint8_t header[CHQ_WAV_HEADER_BYTES];
        chq_wav_header(header, CHQ_VOICE_RATE, audio->recorded);
        if (fseek(audio->record, 0, SEEK_SET) == 0)
            (void)fwrite(header, 1, sizeof header, audio->record);
        (void)fclose(audio->record);
    }
    free(audio->samples);
    free(audio);
}

static enum chq_err file_open(const struct chq_audio_config *config, uint64_t now_us, struct chq_audio **out)
{
    (void)now_us;
    enum chq_err err = CHQ_OK;
    *out = NULL;
    struct chq_audio *a = calloc(1, sizeof *a);
    if (a == NULL)
        return CHQ_NO_MEMORY;
    if (config->kind == CHQ_AUDIO_FILE && config->capture != NULL)
        err = load(a, config->capture);
    if (err == CHQ_OK && config->kind == CHQ_AUDIO_FILE && config->playback != NULL) {
        uint8_t header[CHQ_WAV_HEADER_BYTES];
        chq_wav_header(header, CHQ_VOICE_RATE, 0);
        a->record = fopen(config->playback, "wbe");
        if (a->record == NULL || fwrite(header, 1, sizeof header, a->record) != sizeof header)
            err = CHQ_IO;
    }
    if (err != CHQ_OK) {
        file_close(a);
        return err;
    }
    *out = a;
    return CHQ_OK;
}

static enum chq_err file_list(struct chq_writer *w)
{
    (void)w; /* any path will do */
    return CHQ_OK;
}

static enum chq_err file_read(struct chq_audio *audio, uint64_t now_us, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    struct chq_audio *a = audio;
    if (!a->reading) {
        a->reading = true;
        a->read_start_us = now_us;
    }
    const uint64_t due = (now_us - a->read_start_us) / CHQ_VOICE_FRAME_US;
    if (due <= a->frames_read)
        return CHQ_AGAIN;
    /* The program was held up: speak on from here, later, instead of all at once. */
    if (due - a->frames_read > BEHIND_MAX_FRAMES)
        a->read_start_us += (due - a->frames_read - 1) * CHQ_VOICE_FRAME_US;
    a->frames_read++;
    const size_t left = a->samples_count - a->at;
    const size_t n = left < CHQ_VOICE_FRAME_SAMPLES ? left : CHQ_VOICE_FRAME_SAMPLES;
    if (n > 0)
        memcpy(pcm, a->samples + a->at, n * sizeof *pcm);
    memset(pcm + n, 0, (CHQ_VOICE_FRAME_SAMPLES - n) * sizeof *pcm);
    a->at += n;
    return CHQ_OK;
}

static enum chq_err record(struct chq_audio *a, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    uint8_t bytes[CHQ_VOICE_FRAME_SAMPLES * 2];
    a->frames_written++;
    if (a->record == NULL)
        return CHQ_OK;
    for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++) {
        bytes[2 * i] = (uint8_t)((uint16_t)pcm[i] & 0xff);
        bytes[2 * i + 1] = (uint8_t)((uint16_t)pcm[i] >> 8);
    }
    if (fwrite(bytes, 1, sizeof bytes, a->record) != sizeof bytes)
        return CHQ_IO;
    a->recorded += CHQ_VOICE_FRAME_SAMPLES;
    return CHQ_OK;
}

static enum chq_err file_write(
    struct chq_audio *audio, uint64_t now_us, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    static const int16_t silence[CHQ_VOICE_FRAME_SAMPLES];
    struct chq_audio *a = audio;
    if (!a->writing) {
        a->writing = true;
        a->write_start_us = now_us;
    }
    const uint64_t heard = (now_us - a->write_start_us) / CHQ_VOICE_FRAME_US;
    for (int i = 0; i < UNDERRUN_MAX_FRAMES && a->frames_written < heard; i++)
        CHQ_TRY(record(a, silence));
    if (a->frames_written < heard)
        a->write_start_us = now_us - a->frames_written * CHQ_VOICE_FRAME_US;
    return record(a, pcm);
}

static uint64_t file_latency(struct chq_audio *audio, uint64_t now_us)
{
    if (!audio->writing)
        return 0;
    const uint64_t end_us = audio->write_start_us + audio->frames_written * CHQ_VOICE_FRAME_US;
    return end_us > now_us ? end_us - now_us : 0;
}

const struct chq_audio_device chq_audio_file = {
    .name = "file",
    .open = file_open,
    .close = file_close,
    .list = file_list,
    .read = file_read,
    .write = file_write,
    .latency = file_latency,
};

const struct chq_audio_device chq_audio_null = {
    .name = "null",
    .open = file_open,
    .close = file_close,
    .list = file_list,
    .read = file_read,
    .write = file_write,
    .latency = file_latency,
};
