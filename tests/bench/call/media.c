/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of one frame of a call: encode and protect on one side, open, buffer and decode on the other. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/crypto/random.h"
#include "p2p/media/media.h"

enum { RUNS = 9, FRAMES = 1000 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One run: return microseconds a frame for sending and for receiving. */
static int run(double *send_us, double *receive_us)
{
    struct chq_seeded seeded;
    chq_seeded_init(&seeded, 1);
    const struct chq_random random = chq_seeded_random(&seeded);
    const uint8_t secret[32] = {1};
    struct chq_media *sides[2] = {NULL, NULL};
    uint64_t send_ns = 0, receive_ns = 0;
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        struct chq_media_keys keys;
        chq_media_keys_derive(secret, i == 0, &keys);
        if (chq_media_new(&keys, &random, &sides[i]) != CHQ_OK)
            return 1;
    }
    for (uint64_t frame = 1; frame <= FRAMES; frame++) {
        int16_t pcm[CHQ_VOICE_FRAME_SAMPLES];
        uint8_t packet[CHQ_MEDIA_PACKET_BYTES];
        for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++) {
            const double t = (double)(frame * CHQ_VOICE_FRAME_SAMPLES + (uint64_t)i) / CHQ_VOICE_RATE;
            pcm[i] = (int16_t)(6000 * sin(6.2831853 * 180 * t) * (1 + sin(6.2831853 * 4 * t)) / 2 +
                               (double)(chq_random_below(&random, 600)) - 300);
        }
        struct chq_media_event e = {
            .now_us = frame * CHQ_VOICE_FRAME_US, .type = CHQ_MEDIA_CAPTURED, .pcm = pcm};
        struct chq_media_actions out;
        uint64_t began = cpu_ns();
        failed |= chq_media_step(sides[0], &e, &out) != CHQ_OK || out.send.size != sizeof packet;
        send_ns += cpu_ns() - began;
        if (failed)
            break;
        memcpy(packet, out.send.data, sizeof packet);
        began = cpu_ns();
        e.type = CHQ_MEDIA_RECEIVED;
        e.datagram = chq_bytes(packet, sizeof packet);
        failed |= chq_media_step(sides[1], &e, &out) != CHQ_OK;
        e.type = CHQ_MEDIA_PLAY;
        failed |= chq_media_step(sides[1], &e, &out) != CHQ_OK;
        receive_ns += cpu_ns() - began;
    }
    chq_media_free(sides[0]);
    chq_media_free(sides[1]);
    *send_us = (double)send_ns / FRAMES / 1000;
    *receive_us = (double)receive_ns / FRAMES / 1000;
    return failed;
}

int main(void)
{
    double send_us[RUNS], receive_us[RUNS];
    for (int i = 0; i < RUNS; i++)
        if (run(&send_us[i], &receive_us[i]) != 0)
            return 1;
    qsort(send_us, RUNS, sizeof *send_us, compare);
    qsort(receive_us, RUNS, sizeof *receive_us, compare);
    printf("{\"name\":\"call_send_cpu\",\"value\":%.1f,\"unit\":\"us/frame\",\"runs\":%d}\n",
        send_us[RUNS / 2], RUNS);
    printf("{\"name\":\"call_receive_cpu\",\"value\":%.1f,\"unit\":\"us/frame\",\"runs\":%d}\n",
        receive_us[RUNS / 2], RUNS);
    return 0;
}
