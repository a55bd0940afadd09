/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/media.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto/random.h"
#include "unit.h"

#define WALL_US UINT64_C(1790000000000000)

/* Two sides and a line between them that loses, delays and doubles by a seeded generator. */
struct line {
    struct chq_media *side[2];
    struct chq_seeded seeded;
    struct chq_random random;
    unsigned loss_permille, delay_ms, jitter_ms;
    struct flight {
        bool used;
        int to;
        uint64_t at_us;
        size_t size;
        uint8_t bytes[128];
    } flights[256];
    double energy_in, energy_out;
    uint64_t sizes_other; /* datagrams that are neither of the two sizes */
};

static void line_open(struct line *l, unsigned loss_permille, unsigned delay_ms, unsigned jitter_ms)
{
    memset(l, 0, sizeof *l);
    l->loss_permille = loss_permille;
    l->delay_ms = delay_ms;
    l->jitter_ms = jitter_ms;
    chq_seeded_init(&l->seeded, 7);
    l->random = chq_seeded_random(&l->seeded);
    const uint8_t secret[32] = "the secret of one call";
    for (int i = 0; i < 2; i++) {
        struct chq_media_keys keys;
        chq_media_keys_derive(secret, i == 0, &keys);
        assert_int_equal(chq_media_new(&keys, &l->random, &l->side[i]), CHQ_OK);
    }
}

static void line_close(struct line *l)
{
    chq_media_free(l->side[0]);
    chq_media_free(l->side[1]);
}

static void fly(struct line *l, int to, uint64_t now_us, struct chq_bytes datagram)
{
    if (datagram.size == 0)
        return;
    if (datagram.size != CHQ_MEDIA_PACKET_BYTES && datagram.size != CHQ_MEDIA_REPORT_BYTES)
        l->sizes_other++;
    if (chq_random_below(&l->random, 1000) < l->loss_permille)
        return;
    for (size_t i = 0; i < 256; i++)
        if (!l->flights[i].used) {
            struct flight *f = &l->flights[i];
            *f = (struct flight){.used = true, .to = to, .size = datagram.size};
            f->at_us = now_us + l->delay_ms * 1000 + chq_random_below(&l->random, l->jitter_ms * 1000 + 1);
            memcpy(f->bytes, datagram.data, datagram.size);
            return;
        }
    fail_msg("line full");
}

static void land(struct line *l, uint64_t now_us)
{
    for (size_t i = 0; i < 256; i++) {
        struct flight *f = &l->flights[i];
        if (!f->used || f->at_us > now_us)
            continue;
        const struct chq_media_event e = {.now_us = now_us,
            .wall_us = WALL_US + now_us,
            .type = CHQ_MEDIA_RECEIVED,
            .datagram = chq_bytes(f->bytes, f->size)};
        struct chq_media_actions out;
        f->used = false;
        assert_int_equal(chq_media_step(l->side[f->to], &e, &out), CHQ_OK);
    }
}

static double energy(const int16_t *pcm)
{
    double sum = 0;
    for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
        sum += (double)pcm[i] * pcm[i];
    return sum;
}

static void line_run(struct line *l, uint64_t from_us, uint64_t to_us)
{
    for (uint64_t now = from_us; now < to_us; now += 1000) {
        land(l, now);
        for (int i = 0; i < 2; i++) {
            struct chq_media_event e = {.now_us = now, .wall_us = WALL_US + now};
            struct chq_media_actions out;
            if (now >= chq_media_deadline_us(l->side[i])) {
                e.type = CHQ_MEDIA_TIMEOUT;
                assert_int_equal(chq_media_step(l->side[i], &e, &out), CHQ_OK);
                fly(l, 1 - i, now, out.send);
            }
            if (now % CHQ_VOICE_FRAME_US != 0)
                continue;
            int16_t pcm[CHQ_VOICE_FRAME_SAMPLES];
            for (int k = 0; k < CHQ_VOICE_FRAME_SAMPLES; k++)
                pcm[k] = (int16_t)(8000 *
                                   sin((double)(now / 20000 * 960 + (uint64_t)k) * 440 * 6.2831853 / 48000));
            l->energy_in += energy(pcm);
            e.type = CHQ_MEDIA_CAPTURED;
            e.pcm = pcm;
            assert_int_equal(chq_media_step(l->side[i], &e, &out), CHQ_OK);
            fly(l, 1 - i, now, out.send);
            e.type = CHQ_MEDIA_PLAY;
            assert_int_equal(chq_media_step(l->side[i], &e, &out), CHQ_OK);
            assert_non_null(out.play);
            l->energy_out += energy(out.play);
        }
    }
}

static void speech_goes_both_ways(void **state)
{
    (void)state;
    static struct line l;
    line_open(&l, 0, 25, 0);
    line_run(&l, 0, 10000000);
    for (int i = 0; i < 2; i++) {
        struct chq_media_stats s;
        chq_media_stats(l.side[i], &s);
        assert_int_equal(s.sent, 500);
        assert_true(s.received >= 498);
        assert_int_equal(s.lost, 0);
        assert_int_equal(s.refused, 0);
        assert_false(s.copies);
        assert_true(s.one_way_known);
        assert_in_range(s.one_way_us, 24000, 26000);
        assert_in_range(s.round_trip_us, 49000, 52000);
        assert_in_range(s.longest_gap_us, 20000, 21000);
    }
    assert_int_equal(l.sizes_other, 0);
    assert_true(l.energy_out > 0.9 * l.energy_in);
    line_close(&l);
}

/* Loss switches to copies, and the end of it switches back; no size ever changes. */
static void loss_switches_to_copies_and_back(void **state)
{
    (void)state;
    static struct line l;
    struct chq_media_stats s;
    line_open(&l, 120, 25, 10);
    line_run(&l, 0, 10000000);
    for (int i = 0; i < 2; i++) {
        chq_media_stats(l.side[i], &s);
        assert_true(s.copies);
        assert_true(s.recovered > 20);
        assert_in_range(s.lost, 30, 90);
        assert_true(s.peer_loss_permille > 50);
    }
    l.loss_permille = 0;
    line_run(&l, 10000000, 25000000);
    for (int i = 0; i < 2; i++) {
        chq_media_stats(l.side[i], &s);
        assert_false(s.copies);
    }
    assert_int_equal(l.sizes_other, 0);
    line_close(&l);
}

static void refuses_what_is_not_the_peers(void **state)
{
    (void)state;
    static struct line l;
    line_open(&l, 0, 0, 0);
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES] = {0};
    struct chq_media_event e = {.type = CHQ_MEDIA_CAPTURED, .wall_us = WALL_US, .pcm = pcm};
    struct chq_media_actions out;
    assert_int_equal(chq_media_step(l.side[0], &e, &out), CHQ_OK);
    assert_int_equal(out.send.size, CHQ_MEDIA_PACKET_BYTES);
    uint8_t good[CHQ_MEDIA_PACKET_BYTES];
    memcpy(good, out.send.data, sizeof good);

    unsigned refused = 0;
    for (size_t at = 0; at < sizeof good; at++) { /* 1: any bit of any byte */
        uint8_t bad[sizeof good];
        memcpy(bad, good, sizeof bad);
        bad[at] ^= 0x04;
        e = (struct chq_media_event){.type = CHQ_MEDIA_RECEIVED, .datagram = chq_bytes(bad, sizeof bad)};
        assert_int_not_equal(chq_media_step(l.side[1], &e, &out), CHQ_OK);
        refused++;
    }
    for (size_t size = 0; size < sizeof good; size++) { /* 2: any shorter size */
        e = (struct chq_media_event){.type = CHQ_MEDIA_RECEIVED, .datagram = chq_bytes(good, size)};
        assert_int_equal(chq_media_step(l.side[1], &e, &out), CHQ_MALFORMED);
        refused++;
    }
    e = (struct chq_media_event){.type = CHQ_MEDIA_RECEIVED, .datagram = chq_bytes(good, sizeof good)};
    assert_int_equal(chq_media_step(l.side[1], &e, &out), CHQ_OK);
    assert_int_equal(chq_media_step(l.side[1], &e, &out), CHQ_STATE); /* 3: replayed */
    assert_int_not_equal(chq_media_step(l.side[0], &e, &out), CHQ_OK); /* 4: reflected to its sender */
    struct chq_media_stats s;
    chq_media_stats(l.side[1], &s);
    assert_int_equal(s.refused, refused + 1);
    assert_int_equal(s.received, 1);
    line_close(&l);
}

/* Published vector: the keys of a call secret of 32 bytes 0, 1, 2 ... (docs/protocol.md section 10). */
static void keys_are_as_published(void **state)
{
    (void)state;
    uint8_t secret[32];
    for (int i = 0; i < 32; i++)
        secret[i] = (uint8_t)i;
    struct chq_media_keys caller, callee;
    chq_media_keys_derive(secret, true, &caller);
    chq_media_keys_derive(secret, false, &callee);
    assert_memory_equal(caller.send_key, callee.receive_key, CHQ_SRTP_KEY_BYTES);
    assert_memory_equal(caller.receive_key, callee.send_key, CHQ_SRTP_KEY_BYTES);
    assert_int_equal(caller.send_ssrc, callee.receive_ssrc);
    assert_memory_not_equal(caller.send_key, caller.receive_key, CHQ_SRTP_KEY_BYTES);
    const uint8_t expected[8] = {0x08, 0x57, 0xb0, 0x1a, 0xd5, 0xfe, 0xb3, 0x86};
    assert_memory_equal(caller.send_key, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speech_goes_both_ways),
        cmocka_unit_test(loss_switches_to_copies_and_back),
        cmocka_unit_test(refuses_what_is_not_the_peers),
        cmocka_unit_test(keys_are_as_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
