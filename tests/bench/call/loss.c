/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speech through one direction of a call that loses packets, on a virtual clock: bench_loss IN.wav OUT.wav PERMILLE.
 * The line takes 30 ms and jitters by up to 10 ms; reports come back unharmed, as does nothing else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "core/crypto/random.h"
#include "p2p/media/audio.h"
#include "p2p/media/media.h"

enum { FLIGHTS = 64, STEP_US = 1000, DELAY_US = 30000, JITTER_US = 10000, LEAD_FRAMES = 400 };

struct flight {
    uint64_t at_us; /* 0: free */
    int to;
    size_t size;
    uint8_t bytes[CHQ_MEDIA_PACKET_BYTES];
};

struct line {
    struct chq_media *side[2];
    struct chq_random random;
    struct flight flights[FLIGHTS];
    uint64_t permille;
};

static void fly(struct line *l, int to, uint64_t now_us, struct chq_bytes datagram)
{
    if (datagram.size == 0 || (to == 1 && chq_random_below(&l->random, 1000) < l->permille))
        return;
    for (int i = 0; i < FLIGHTS; i++)
        if (l->flights[i].at_us == 0) {
            struct flight *f = &l->flights[i];
            f->at_us = now_us + DELAY_US + chq_random_below(&l->random, JITTER_US);
            f->to = to;
            f->size = datagram.size;
            memcpy(f->bytes, datagram.data, datagram.size);
            return;
        }
}

static bool step(struct line *l, int side, struct chq_media_event *e, struct chq_media_actions *out)
{
    e->wall_us = e->now_us + 1000000000;
    const bool ok = chq_media_step(l->side[side], e, out) == CHQ_OK;
    fly(l, 1 - side, e->now_us, out->send);
    return ok;
}

static bool land(struct line *l, uint64_t now_us)
{
    bool ok = true;
    for (int i = 0; i < FLIGHTS; i++) {
        struct flight *f = &l->flights[i];
        if (f->at_us == 0 || f->at_us > now_us)
            continue;
        struct chq_media_event e = {
            .now_us = now_us, .type = CHQ_MEDIA_RECEIVED, .datagram = chq_bytes(f->bytes, f->size)};
        struct chq_media_actions out;
        f->at_us = 0;
        ok = step(l, f->to, &e, &out) && ok;
    }
    return ok;
}

/* One frame of time: side 0 speaks, side 1 listens; both report. */
static bool frame(struct line *l, uint64_t now_us, const int16_t *pcm, const struct chq_audio_device *device,
    struct chq_audio *recorder)
{
    static const int16_t silence[CHQ_VOICE_FRAME_SAMPLES];
    struct chq_media_actions out;
    bool ok = true;
    for (int side = 0; side < 2; side++) {
        struct chq_media_event e = {
            .now_us = now_us, .type = CHQ_MEDIA_CAPTURED, .pcm = side == 0 ? pcm : silence};
        ok = step(l, side, &e, &out) && ok;
        e = (struct chq_media_event){.now_us = now_us, .type = CHQ_MEDIA_TIMEOUT};
        ok = step(l, side, &e, &out) && ok;
    }
    struct chq_media_event e = {.now_us = now_us, .type = CHQ_MEDIA_PLAY};
    ok = step(l, 1, &e, &out) && ok;
    if (recorder != NULL)
        ok = device->write(recorder, now_us, out.play) == CHQ_OK && ok;
    for (uint64_t at = now_us; at < now_us + CHQ_VOICE_FRAME_US; at += STEP_US)
        ok = land(l, at) && ok;
    return ok;
}

int main(int argc, char **argv)
{
    static struct line l;
    struct chq_seeded seeded;
    const struct chq_audio_device *device = chq_audio_device(CHQ_AUDIO_FILE);
    struct chq_audio *speaker = NULL, *recorder = NULL;
    struct chq_media_stats stats;
    const uint8_t secret[32] = {1};
    if (argc != 4 || chq_decimal_read(argv[3], 1000, &l.permille) != CHQ_OK) {
        fprintf(stderr, "usage: bench_loss IN.wav OUT.wav LOSS_PERMILLE\n");
        return 2;
    }
    chq_seeded_init(&seeded, 11);
    l.random = chq_seeded_random(&seeded);
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        struct chq_media_keys keys;
        chq_media_keys_derive(secret, i == 0, &keys);
        ok = chq_media_new(&keys, &l.random, &l.side[i]) == CHQ_OK && ok;
    }
    const struct chq_audio_config in = {.kind = CHQ_AUDIO_FILE, .capture = argv[1]};
    const struct chq_audio_config out = {.kind = CHQ_AUDIO_FILE, .playback = argv[2]};
    ok = ok && device->open(&in, 0, &speaker) == CHQ_OK && device->open(&out, 0, &recorder) == CHQ_OK;
    uint64_t now_us = CHQ_VOICE_FRAME_US;
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES] = {0};
    for (int i = 0; ok && i < LEAD_FRAMES; i++, now_us += CHQ_VOICE_FRAME_US)
        ok = frame(&l, now_us, pcm, device, NULL); /* reports settle before anybody speaks */
    unsigned quiet = 0;
    if (ok)
        (void)device->read(speaker, now_us, pcm);
    for (int i = 0; ok && i < 3000 && quiet < 100; i++, now_us += CHQ_VOICE_FRAME_US) {
        bool any = false;
        ok = device->read(speaker, now_us + CHQ_VOICE_FRAME_US, pcm) == CHQ_OK;
        for (int k = 0; k < CHQ_VOICE_FRAME_SAMPLES; k++)
            any = any || pcm[k] != 0;
        quiet = any ? 0 : quiet + 1;
        ok = ok && frame(&l, now_us, pcm, device, recorder);
    }
    if (ok) {
        chq_media_stats(l.side[1], &stats);
        printf("{\"lost\":%u,\"recovered\":%u,\"concealed\":%u}\n", (unsigned)stats.lost,
            (unsigned)stats.recovered, (unsigned)stats.concealed);
    }
    if (speaker != NULL)
        device->close(speaker);
    if (recorder != NULL)
        device->close(recorder);
    chq_media_free(l.side[0]);
    chq_media_free(l.side[1]);
    return ok ? 0 : 1;
}
