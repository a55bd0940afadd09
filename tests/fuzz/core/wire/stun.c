/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the reader takes, written again attribute by attribute, is read as the same message. */
#include "core/wire/stun.h"

#include <string.h>

#include "core/base/assert.h"

static bool fake_hmac(void *context, enum chq_stun_hash hash, struct chq_bytes key,
    const struct chq_bytes *parts, size_t n, uint8_t out[32])
{
    (void)context;
    (void)hash;
    (void)key;
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < parts[i].size; j++)
            sum ^= parts[i].data[j];
    memset(out, sum, 32);
    return true;
}

static void same_text(struct chq_bytes a, struct chq_bytes b)
{
    CHQ_ASSERT(chq_bytes_equal(a, b));
}

static void same(const struct chq_stun_message *a, const struct chq_stun_message *b)
{
    CHQ_ASSERT(a->method == b->method && a->class == b->class && a->has == b->has);
    CHQ_ASSERT(memcmp(a->transaction_id, b->transaction_id, sizeof a->transaction_id) == 0);
    same_text(a->username, b->username);
    same_text(a->realm, b->realm);
    same_text(a->nonce, b->nonce);
    same_text(a->software, b->software);
    same_text(a->userhash, b->userhash);
    same_text(a->data, b->data);
    same_text(a->error_reason, b->error_reason);
    same_text(a->unknown_attributes, b->unknown_attributes);
    CHQ_ASSERT(a->error_code == b->error_code && a->channel == b->channel && a->lifetime_s == b->lifetime_s);
    CHQ_ASSERT(a->peers_count == b->peers_count && a->unknown_count == b->unknown_count);
    for (uint32_t i = 0; i < a->peers_count; i++)
        CHQ_ASSERT(chq_address_equal(&a->peers[i], &b->peers[i]));
    CHQ_ASSERT(chq_address_equal(&a->mapped, &b->mapped) && chq_address_equal(&a->relayed, &b->relayed));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chq_bytes in = chq_bytes(data, size), payload;
    uint16_t channel;
    uint8_t header[CHQ_CHANNEL_HEADER_BYTES];
    (void)chq_stun_kind_of(in);
    if (chq_channel_data_read(in, &channel, &payload) == CHQ_OK) {
        chq_channel_data_header(header, channel, (uint16_t)payload.size);
        CHQ_ASSERT(memcmp(header, data, sizeof header) == 0);
    }
    struct chq_stun_message m, again;
    if (chq_stun_read(in, &m) != CHQ_OK)
        return 0;
    struct chq_writer w = chq_writer_heap(size);
    struct chq_stun_attribute a;
    chq_stun_begin(&w, m.method, m.class, m.transaction_id);
    for (size_t at = CHQ_STUN_HEADER_BYTES; chq_stun_next(&m, &at, &a);) {
        if (a.type == CHQ_STUN_FINGERPRINT)
            chq_stun_write_fingerprint(&w);
        else
            chq_stun_write(&w, a.type, a.value);
    }
    CHQ_ASSERT(chq_stun_finish(&w) == CHQ_OK && w.size == size);
    CHQ_ASSERT(chq_stun_read(chq_writer_bytes(&w), &again) == CHQ_OK);
    same(&m, &again);
    const struct chq_stun_crypto crypto = {.hmac = fake_hmac};
    (void)!chq_stun_check_integrity(&again, &crypto, chq_bytes(data, 1));
    chq_writer_free(&w);
    return 0;
}
