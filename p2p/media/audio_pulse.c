/* SPDX-License-Identifier: Apache-2.0 */
#include <pulse/pulseaudio.h>
#include <stdlib.h>
#include <string.h>

#include "p2p/media/audio_backend.h"
#include "p2p/media/echo.h"

/*
 * PulseAudio, and PipeWire by its PulseAudio server. The library's own thread moves the data; we only look at what is
 * there, under its lock. A latency is always requested: without, some devices deliver lumps of two seconds.
 */
enum {
    BYTES_PER_FRAME = CHQ_VOICE_FRAME_SAMPLES * 2,
    CAPTURE_FRAMES_MAX = 4,
    CAPTURE_FRAMES_KEEP = 2,
    BUFFER_FRAMES = 3
};

struct chq_audio {
    pa_threaded_mainloop *loop;
    pa_context *context;
    pa_stream *capture, *playback;
    struct chq_echo *echo;
    uint8_t fifo[BYTES_PER_FRAME * (CAPTURE_FRAMES_MAX + 1)];
    size_t fifo_bytes;
};

static void wake(pa_threaded_mainloop *loop)
{
    pa_threaded_mainloop_signal(loop, 0);
}

static void on_context(pa_context *context, void *data)
{
    (void)context;
    wake(data);
}

static void on_stream(pa_stream *stream, void *data)
{
    (void)stream;
    wake(data);
}

static enum chq_err connect_context(struct chq_audio *a)
{
    a->loop = pa_threaded_mainloop_new();
    if (a->loop == NULL)
        return CHQ_NO_MEMORY;
    a->context = pa_context_new(pa_threaded_mainloop_get_api(a->loop), "Chasqui");
    if (a->context == NULL)
        return CHQ_NO_MEMORY;
    pa_context_set_state_callback(a->context, on_context, a->loop);
    if (pa_context_connect(a->context, NULL, PA_CONTEXT_NOAUTOSPAWN, NULL) < 0 ||
        pa_threaded_mainloop_start(a->loop) < 0)
        return CHQ_IO;
    pa_threaded_mainloop_lock(a->loop);
    while (PA_CONTEXT_IS_GOOD(pa_context_get_state(a->context)) &&
           pa_context_get_state(a->context) != PA_CONTEXT_READY)
        pa_threaded_mainloop_wait(a->loop);
    const bool ready = pa_context_get_state(a->context) == PA_CONTEXT_READY;
    pa_threaded_mainloop_unlock(a->loop);
    return ready ? CHQ_OK : CHQ_IO;
}

/* With the lock held. */
static enum chq_err wait_stream(struct chq_audio *a, pa_stream *stream)
{
    while (PA_STREAM_IS_GOOD(pa_stream_get_state(stream)) && pa_stream_get_state(stream) != PA_STREAM_READY)
        pa_threaded_mainloop_wait(a->loop);
    return pa_stream_get_state(stream) == PA_STREAM_READY ? CHQ_OK : CHQ_IO;
}

/* With the lock held. */
static enum chq_err open_streams(struct chq_audio *a, const struct chq_audio_config *config)
{
    const pa_sample_spec spec = {.format = PA_SAMPLE_S16LE, .rate = CHQ_VOICE_RATE, .channels = 1};
    const pa_stream_flags_t flags =
        PA_STREAM_ADJUST_LATENCY | PA_STREAM_AUTO_TIMING_UPDATE | PA_STREAM_INTERPOLATE_TIMING;
    const pa_buffer_attr in = {.maxlength = (uint32_t)-1, .fragsize = BYTES_PER_FRAME};
    const pa_buffer_attr out = {.maxlength = (uint32_t)-1,
        .tlength = BYTES_PER_FRAME * BUFFER_FRAMES,
        .prebuf = 0,
        .minreq = BYTES_PER_FRAME / 2};
    a->capture = pa_stream_new(a->context, "microphone", &spec, NULL);
    a->playback = pa_stream_new(a->context, "call", &spec, NULL);
    if (a->capture == NULL || a->playback == NULL)
        return CHQ_NO_MEMORY;
    pa_stream_set_state_callback(a->capture, on_stream, a->loop);
    pa_stream_set_state_callback(a->playback, on_stream, a->loop);
    if (pa_stream_connect_record(a->capture, config->capture, &in, flags) < 0 ||
        pa_stream_connect_playback(a->playback, config->playback, &out, flags, NULL, NULL) < 0)
        return CHQ_IO;
    CHQ_TRY(wait_stream(a, a->capture));
    return wait_stream(a, a->playback);
}

static void drop_stream(pa_stream *stream)
{
    if (stream == NULL)
        return;
    pa_stream_set_state_callback(stream, NULL, NULL);
    (void)pa_stream_disconnect(stream);
    pa_stream_unref(stream);
}

static void pulse_close(struct chq_audio *audio)
{
    if (audio == NULL)
        return;
    if (audio->loop != NULL) {
        pa_threaded_mainloop_lock(audio->loop);
        drop_stream(audio->capture);
        drop_stream(audio->playback);
        if (audio->context != NULL) {
            pa_context_set_state_callback(audio->context, NULL, NULL);
            pa_context_disconnect(audio->context);
            pa_context_unref(audio->context);
        }
        pa_threaded_mainloop_unlock(audio->loop);
        pa_threaded_mainloop_stop(audio->loop);
        pa_threaded_mainloop_free(audio->loop);
    }
    chq_echo_free(audio->echo);
    free(audio);
}

static enum chq_err pulse_open(const struct chq_audio_config *config, uint64_t now_us, struct chq_audio **out)
{
    (void)now_us;
    *out = NULL;
    struct chq_audio *a = calloc(1, sizeof *a);
    if (a == NULL)
        return CHQ_NO_MEMORY;
    enum chq_err err = config->echo_cancel ? chq_echo_new(&a->echo) : CHQ_OK;
    if (err == CHQ_OK)
        err = connect_context(a);
    if (err == CHQ_OK) {
        pa_threaded_mainloop_lock(a->loop);
        err = open_streams(a, config);
        pa_threaded_mainloop_unlock(a->loop);
    }
    if (err != CHQ_OK) {
        pulse_close(a);
        return err;
    }
    *out = a;
    return CHQ_OK;
}

/* With the lock held: move what was captured to the fifo; of a burst only the newest part, or it would stay as delay. */
static enum chq_err drain(struct chq_audio *a)
{
    for (;;) {
        const void *data = NULL;
        size_t size = 0;
        if (pa_stream_peek(a->capture, &data, &size) < 0)
            return CHQ_IO;
        if (size == 0)
            return CHQ_OK;
        const uint8_t *from = data;
        for (size_t at = 0; at < size;) {
            if (a->fifo_bytes == sizeof a->fifo) {
                const size_t keep = CAPTURE_FRAMES_KEEP * BYTES_PER_FRAME;
                memmove(a->fifo, a->fifo + a->fifo_bytes - keep, keep);
                a->fifo_bytes = keep;
            }
            const size_t room = sizeof a->fifo - a->fifo_bytes;
            const size_t n = size - at < room ? size - at : room;
            if (from != NULL)
                memcpy(a->fifo + a->fifo_bytes, from + at, n);
            else
                memset(a->fifo + a->fifo_bytes, 0, n); /* a hole */
            a->fifo_bytes += n;
            at += n;
        }
        (void)pa_stream_drop(a->capture);
    }
}

static enum chq_err pulse_read(struct chq_audio *audio, uint64_t now_us, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    (void)now_us;
    pa_threaded_mainloop_lock(audio->loop);
    const enum chq_err err = drain(audio);
    pa_threaded_mainloop_unlock(audio->loop);
    if (err != CHQ_OK)
        return err;
    if (audio->fifo_bytes < BYTES_PER_FRAME)
        return CHQ_AGAIN;
    memcpy(pcm, audio->fifo, BYTES_PER_FRAME);
    audio->fifo_bytes -= BYTES_PER_FRAME;
    memmove(audio->fifo, audio->fifo + BYTES_PER_FRAME, audio->fifo_bytes);
    if (audio->echo != NULL)
        chq_echo_captured(audio->echo, pcm);
    return CHQ_OK;
}

static enum chq_err pulse_write(
    struct chq_audio *audio, uint64_t now_us, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    (void)now_us;
    if (audio->echo != NULL)
        chq_echo_played(audio->echo, pcm);
    pa_threaded_mainloop_lock(audio->loop);
    const int failed = pa_stream_write(audio->playback, pcm, BYTES_PER_FRAME, NULL, 0, PA_SEEK_RELATIVE);
    pa_threaded_mainloop_unlock(audio->loop);
    return failed < 0 ? CHQ_IO : CHQ_OK;
}

static uint64_t pulse_latency(struct chq_audio *audio, uint64_t now_us)
{
    (void)now_us;
    uint64_t queued = CHQ_AUDIO_PLAYOUT_US;
    pa_threaded_mainloop_lock(audio->loop);
    const pa_buffer_attr *attr = pa_stream_get_buffer_attr(audio->playback);
    const size_t writable = pa_stream_writable_size(audio->playback);
    /*
     * The playout guard: no more than two frames, and no more than the server takes. Of the three frames we ask for it
     * keeps a part for the device below; beyond that it would buffer without limit.
     */
    if (attr != NULL && writable != (size_t)-1 && writable >= BYTES_PER_FRAME) {
        const size_t bytes = attr->tlength > writable ? attr->tlength - writable : 0;
        queued = pa_bytes_to_usec(bytes, pa_stream_get_sample_spec(audio->playback));
    }
    pa_threaded_mainloop_unlock(audio->loop);
    return queued;
}

struct listing {
    struct chq_audio *audio;
    struct chq_writer *out;
};

static void list_name(struct listing *l, const char *kind, const char *name, int end)
{
    if (end == 0) {
        chq_write_bytes(l->out, kind, strlen(kind));
        chq_write_bytes(l->out, name, strlen(name));
        chq_write_u8(l->out, '\n');
    } else {
        wake(l->audio->loop);
    }
}

static void on_source(pa_context *context, const pa_source_info *info, int end, void *data)
{
    (void)context;
    list_name(data, "capture ", end == 0 ? info->name : "", end);
}

static void on_sink(pa_context *context, const pa_sink_info *info, int end, void *data)
{
    (void)context;
    list_name(data, "playback ", end == 0 ? info->name : "", end);
}

static void finish_operation(struct chq_audio *a, pa_operation *operation)
{
    if (operation == NULL)
        return;
    while (pa_operation_get_state(operation) == PA_OPERATION_RUNNING)
        pa_threaded_mainloop_wait(a->loop);
    pa_operation_unref(operation);
}

static enum chq_err pulse_list(struct chq_writer *w)
{
    struct chq_audio *a = calloc(1, sizeof *a);
    if (a == NULL)
        return CHQ_NO_MEMORY;
    const enum chq_err err = connect_context(a);
    if (err == CHQ_OK) {
        struct listing listing = {.audio = a, .out = w};
        pa_threaded_mainloop_lock(a->loop);
        finish_operation(a, pa_context_get_source_info_list(a->context, on_source, &listing));
        finish_operation(a, pa_context_get_sink_info_list(a->context, on_sink, &listing));
        pa_threaded_mainloop_unlock(a->loop);
    }
    pulse_close(a);
    return err;
}

const struct chq_audio_device chq_audio_pulse = {
    .name = "pulse",
    .open = pulse_open,
    .close = pulse_close,
    .list = pulse_list,
    .read = pulse_read,
    .write = pulse_write,
    .latency = pulse_latency,
};
