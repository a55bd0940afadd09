/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/light/canonical.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hash.h"
#include "core/crypto/merkle.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };

static void put_varint(struct chq_writer *w, uint64_t v)
{
    while (v >= 0x80) {
        chq_write_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    chq_write_u8(w, (uint8_t)v);
}

static void put_tag(struct chq_writer *w, unsigned field, unsigned wire)
{
    put_varint(w, (uint64_t)field << 3 | wire);
}

/* Zero scalars and empty strings are left out. */
static void put_uint(struct chq_writer *w, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    put_tag(w, field, WIRE_VARINT);
    put_varint(w, v);
}

static void put_sfixed64(struct chq_writer *w, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    put_tag(w, field, WIRE_FIXED64);
    for (unsigned i = 0; i < 8; i++)
        chq_write_u8(w, (uint8_t)(v >> (8 * i)));
}

static void put_bytes(struct chq_writer *w, unsigned field, struct chq_bytes v)
{
    if (v.size == 0)
        return;
    put_tag(w, field, WIRE_BYTES);
    put_varint(w, v.size);
    chq_write_bytes(w, v.data, v.size);
}

/* An embedded message that Go holds by value is there even when it is empty. */
static void put_message(struct chq_writer *w, unsigned field, const struct chq_writer *message)
{
    put_tag(w, field, WIRE_BYTES);
    put_varint(w, message->size);
    chq_write_bytes(w, message->data, message->size);
}

static void put_timestamp(struct chq_writer *w, struct chq_time t)
{
    put_uint(w, 1, (uint64_t)t.s);
    put_uint(w, 2, t.ns);
}

static void put_block_id(struct chq_writer *w, const struct chq_block_id *id)
{
    uint8_t storage[64];
    struct chq_writer parts = chq_writer_fixed(storage, sizeof storage);
    put_uint(&parts, 1, id->parts_total);
    put_bytes(&parts, 2, id->parts_hash);
    put_bytes(w, 1, id->hash);
    put_message(w, 2, &parts);
}

/* Leaves are written one after another into one buffer; `ends` cuts them. */
struct leaves {
    uint8_t storage[1024];
    struct chq_writer w;
    struct chq_bytes items[14];
    size_t count, start;
};

static void close_leaf(struct leaves *l)
{
    l->items[l->count++] = chq_bytes(l->w.data + l->start, l->w.size - l->start);
    l->start = l->w.size;
}

static void hash_leaf(struct leaves *l, struct chq_bytes value)
{
    put_bytes(&l->w, 1, value); /* BytesValue, StringValue */
    close_leaf(l);
}

void chq_header_hash(uint8_t out[32], const struct chq_header *h)
{
    struct leaves l = {0};
    l.w = chq_writer_fixed(l.storage, sizeof l.storage);
    put_uint(&l.w, 1, h->version_block);
    put_uint(&l.w, 2, h->version_app);
    close_leaf(&l);
    hash_leaf(&l, h->chain_id);
    put_uint(&l.w, 1, h->height);
    close_leaf(&l);
    put_timestamp(&l.w, h->time);
    close_leaf(&l);
    put_block_id(&l.w, &h->last_block);
    close_leaf(&l);
    hash_leaf(&l, h->last_commit_hash);
    hash_leaf(&l, h->data_hash);
    hash_leaf(&l, h->validators_hash);
    hash_leaf(&l, h->next_validators_hash);
    hash_leaf(&l, h->consensus_hash);
    hash_leaf(&l, h->app_hash);
    hash_leaf(&l, h->last_results_hash);
    hash_leaf(&l, h->evidence_hash);
    hash_leaf(&l, chq_bytes(h->proposer, sizeof h->proposer));
    CHQ_ASSERT(chq_writer_finish(&l.w) == CHQ_OK && l.count == 14);
    chq_merkle_root(out, l.items, l.count);
}

void chq_vote_sign_bytes_put(struct chq_writer *w, unsigned type, uint64_t height, uint64_t round,
    const struct chq_block_id *block, struct chq_time time, struct chq_bytes chain_id)
{
    uint8_t vote_storage[CHQ_VOTE_SIGN_BYTES_MAX], part_storage[96];
    struct chq_writer vote = chq_writer_fixed(vote_storage, sizeof vote_storage);
    struct chq_writer part = chq_writer_fixed(part_storage, sizeof part_storage);
    put_uint(&vote, 1, type);
    put_sfixed64(&vote, 2, height);
    put_sfixed64(&vote, 3, round);
    if (block->hash.size > 0) {
        put_block_id(&part, block);
        put_message(&vote, 4, &part);
        chq_writer_clear(&part);
    }
    put_timestamp(&part, time);
    put_message(&vote, 5, &part);
    put_bytes(&vote, 6, chain_id);
    CHQ_ASSERT(chq_writer_finish(&vote) == CHQ_OK && chq_writer_finish(&part) == CHQ_OK);
    put_varint(w, vote.size);
    chq_write_bytes(w, vote.data, vote.size);
}

void chq_validator_address(uint8_t out[CHQ_VALIDATOR_ADDRESS_BYTES], const uint8_t key[32])
{
    uint8_t hash[CHQ_HASH_BYTES];
    chq_sha256(hash, chq_bytes(key, 32));
    memcpy(out, hash, CHQ_VALIDATOR_ADDRESS_BYTES);
}

static int compare_validators(const void *left, const void *right)
{
    const struct chq_validator *a = left, *b = right;
    uint8_t address_a[CHQ_VALIDATOR_ADDRESS_BYTES], address_b[CHQ_VALIDATOR_ADDRESS_BYTES];
    if (a->power != b->power)
        return a->power > b->power ? -1 : 1;
    chq_validator_address(address_a, a->key);
    chq_validator_address(address_b, b->key);
    return memcmp(address_a, address_b, sizeof address_a);
}

uint64_t chq_validators_sort(struct chq_validator *validators, size_t count)
{
    uint64_t total = 0;
    qsort(validators, count, sizeof *validators, compare_validators);
    for (size_t i = 0; i < count; i++)
        total += validators[i].power;
    return total;
}

void chq_validators_hash(uint8_t out[32], const struct chq_validator *validators, size_t count)
{
    uint8_t storage[CHQ_VALIDATORS_MAX][64];
    struct chq_bytes leaves[CHQ_VALIDATORS_MAX];
    CHQ_ASSERT(count <= CHQ_VALIDATORS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint8_t key_storage[40];
        struct chq_writer key = chq_writer_fixed(key_storage, sizeof key_storage);
        struct chq_writer leaf = chq_writer_fixed(storage[i], sizeof storage[i]);
        put_bytes(&key, 1, chq_bytes(validators[i].key, 32)); /* PublicKey.ed25519 */
        put_message(&leaf, 1, &key);
        put_uint(&leaf, 2, validators[i].power);
        leaves[i] = chq_writer_bytes(&leaf);
    }
    chq_merkle_root(out, leaves, count);
}

void chq_commit_hash(uint8_t out[32], const struct chq_vote *votes, size_t count)
{
    enum { BLOCK_ID_FLAG_COMMIT = 2 };
    uint8_t storage[CHQ_VALIDATORS_MAX][128];
    struct chq_bytes leaves[CHQ_VALIDATORS_MAX];
    CHQ_ASSERT(count <= CHQ_VALIDATORS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint8_t time_storage[32];
        struct chq_writer time = chq_writer_fixed(time_storage, sizeof time_storage);
        struct chq_writer leaf = chq_writer_fixed(storage[i], sizeof storage[i]);
        put_timestamp(&time, votes[i].time);
        put_uint(&leaf, 1, BLOCK_ID_FLAG_COMMIT);
        put_bytes(&leaf, 2, chq_bytes(votes[i].validator, sizeof votes[i].validator));
        put_message(&leaf, 3, &time);
        put_bytes(&leaf, 4, chq_bytes(votes[i].signature, sizeof votes[i].signature));
        leaves[i] = chq_writer_bytes(&leaf);
    }
    chq_merkle_root(out, leaves, count);
}

void chq_consensus_hash(uint8_t out[32], int64_t block_bytes_max, int64_t block_gas_max)
{
    uint8_t storage[32];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    put_uint(&w, 1, (uint64_t)block_bytes_max);
    put_uint(&w, 2, (uint64_t)block_gas_max);
    chq_sha256(out, chq_writer_bytes(&w));
}
