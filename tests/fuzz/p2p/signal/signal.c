/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/signal/signal.h"

#include <string.h>

#include "core/base/assert.h"

/*
 * Two runs over the same bytes: read-write-read of one message, and a machine that is driven by whatever they say:
 * a command byte, then a length byte and a message for command 0.
 */
static void read_write_read(struct chq_bytes in)
{
    struct chq_signal_message a, b;
    uint8_t storage[CHQ_CALL_SIGNAL_BYTES_MAX];
    if (chq_signal_read(in, &a) != CHQ_OK)
        return;
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    chq_signal_write(&w, &a);
    CHQ_ASSERT(w.err == CHQ_OK && w.size == in.size && memcmp(storage, in.data, in.size) == 0);
    CHQ_ASSERT(chq_signal_read(chq_writer_bytes(&w), &b) == CHQ_OK && memcmp(&a, &b, sizeof a) == 0);
}

static void drive(struct chq_bytes in)
{
    static struct chq_signal s;
    struct chq_signal_actions out;
    struct chq_reader r = chq_reader(in);
    const uint8_t flags = chq_read_u8(&r);
    const struct chq_signal_config config = {.caller = (flags & 1) != 0,
        .relay_expected = (flags & 2) != 0,
        .credentials = {"abcd", "0123456789012345678901"}};
    uint64_t now_us = 1;
    chq_signal_init(&s, &config);
    for (int i = 0; i < 200 && chq_reader_left(&r) > 0; i++) {
        struct chq_signal_event e = {.now_us = now_us, .wall_ms = now_us / 1000};
        const uint8_t command = chq_read_u8(&r);
        now_us += (uint64_t)(command >> 3) * (command >> 3) * 100000;
        switch (command & 7) {
        case 0:
            e.type = CHQ_SIGNAL_RECEIVED;
            e.message = chq_read_bytes(&r, chq_read_u8(&r));
            break;
        case 1: e.type = CHQ_SIGNAL_START; break;
        case 2: e.type = CHQ_SIGNAL_ACCEPT; break;
        case 3:
            e.type = CHQ_SIGNAL_CANDIDATE;
            e.candidate = (struct chq_candidate){
                (enum chq_candidate_kind)(1 + command % 3), chq_address_ip4(192, 0, 2, 1, 9), 1, "1"};
            break;
        case 4: e.type = CHQ_SIGNAL_PATH_UP; break;
        case 5: e.type = CHQ_SIGNAL_PATH_DOWN; break;
        case 6: e.type = CHQ_SIGNAL_TIMEOUT; break;
        default: e.type = CHQ_SIGNAL_HANGUP; break;
        }
        const enum chq_call_state before = s.state;
        (void)chq_signal_step(&s, &e, &out);
        CHQ_ASSERT(before != CHQ_CALL_ENDED || s.state == CHQ_CALL_ENDED); /* ended is for good */
        CHQ_ASSERT(before == s.state || out.state_changed);
        CHQ_ASSERT(out.remote_count <= s.remote_count && s.remote_count <= CHQ_CALL_CANDIDATES_MAX);
    }
    chq_signal_fini(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_write_read(chq_bytes(data, size));
    drive(chq_bytes(data, size));
    return 0;
}
