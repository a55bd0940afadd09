/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/engine/block.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/hash.h"
#include "core/crypto/merkle.h"
#include "core/wire/cbor.h"
#include "ledger/light/canonical.h"

#define VERSION_BLOCK 11 /* CometBFT v0.38's block protocol */
#define VERSION_APP   1

/* Storage that a header's views point into. */
struct header_hashes {
    uint8_t empty[32], last_commit[32], data[32], validators[32], consensus[32], app[32], results[32];
};

/* DataHash: the list tree over the batches' SHA-256 (CometBFT hashes its transactions first). */
static enum chq_err data_hash(uint8_t out[32], const struct chq_bytes *batches, size_t count)
{
    uint8_t(*hashes)[32] = malloc(count * sizeof *hashes + 1);
    struct chq_bytes *leaves = malloc(count * sizeof *leaves + 1);
    enum chq_err err = hashes == NULL || leaves == NULL ? CHQ_NO_MEMORY : CHQ_OK;
    for (size_t i = 0; i < count && err == CHQ_OK; i++) {
        chq_sha256(hashes[i], batches[i]);
        leaves[i] = chq_bytes(hashes[i], 32);
    }
    if (err == CHQ_OK)
        chq_merkle_root(out, leaves, count);
    free(hashes);
    free(leaves);
    return err;
}

/* LastResultsHash: an accepted batch's result has code 0 and nothing else, so its leaf is empty. */
static enum chq_err results_hash(uint8_t out[32], size_t count)
{
    struct chq_bytes *leaves = calloc(count + 1, sizeof *leaves);
    if (leaves == NULL)
        return CHQ_NO_MEMORY;
    chq_merkle_root(out, leaves, count);
    free(leaves);
    return CHQ_OK;
}

/* Fill in all of the header after `tip` but its time. */
static enum chq_err make_header(struct chq_header *h, struct header_hashes *s, const struct chq_tip *tip,
    const struct chq_genesis *genesis, const uint8_t app_hash[32], const struct chq_bytes *batches,
    size_t count)
{
    struct chq_validator set[CHQ_VALIDATORS_MAX];
    static const struct chq_signed_header none;
    struct chq_signed_header *last = malloc(sizeof *last);
    enum chq_err err = last == NULL ? CHQ_NO_MEMORY : CHQ_OK;
    if (err == CHQ_OK)
        *last = none;
    if (err == CHQ_OK && tip->height > 0)
        err = chq_signed_header_read(chq_bytes(tip->signed_header, tip->signed_header_size), last);
    if (err != CHQ_OK)
        goto out;
    memcpy(set, genesis->validators, sizeof set);
    (void)chq_validators_sort(set, genesis->validators_count);
    chq_validators_hash(s->validators, set, genesis->validators_count);
    chq_merkle_root(s->empty, NULL, 0);
    chq_commit_hash(s->last_commit, last->votes, last->votes_count);
    chq_consensus_hash(s->consensus, CHQ_BLOCK_BYTES_MAX, -1);
    memcpy(s->app, app_hash, 32);
    err = results_hash(s->results, tip->batches);
    if (err == CHQ_OK)
        err = data_hash(s->data, batches, count);
    *h = (struct chq_header){.version_block = VERSION_BLOCK,
        .version_app = VERSION_APP,
        .chain_id = chq_bytes_text(genesis->chain_id),
        .height = tip->height + 1,
        .last_commit_hash = chq_bytes(s->last_commit, 32),
        .data_hash = chq_bytes(s->data, 32),
        .validators_hash = chq_bytes(s->validators, 32),
        .next_validators_hash = chq_bytes(s->validators, 32),
        .consensus_hash = chq_bytes(s->consensus, 32),
        .app_hash = chq_bytes(s->app, 32),
        .last_results_hash = chq_bytes(s->results, 32),
        .evidence_hash = chq_bytes(s->empty, 32)};
    if (tip->height > 0)
        h->last_block = (struct chq_block_id){chq_bytes(tip->hash, 32), 1, chq_bytes(tip->hash, 32)};
    chq_validator_address(h->proposer, set[0].key);
out:
    free(last);
    return err;
}

static enum chq_err fill_tip(struct chq_tip *tip, const struct chq_signed_header *sh, size_t batches)
{
    struct chq_writer w = chq_writer_fixed(tip->signed_header, sizeof tip->signed_header);
    tip->height = sh->header.height;
    tip->time = sh->header.time;
    tip->batches = batches;
    chq_header_hash(tip->hash, &sh->header);
    memcpy(tip->app_hash, sh->header.app_hash.data, 32);
    chq_signed_header_put(&w, sh);
    tip->signed_header_size = w.size;
    return chq_writer_finish(&w);
}

struct chq_time chq_tip_next_time(
    const struct chq_tip *tip, const struct chq_genesis *genesis, uint64_t now_us)
{
    const struct chq_time begin = {.s = (int64_t)genesis->time_s};
    const struct chq_time *last = tip->height > 0 ? &tip->time : &begin;
    struct chq_time t = {.s = (int64_t)(now_us / 1000000), .ns = (uint32_t)(now_us % 1000000) * 1000};
    if (t.s > last->s || (t.s == last->s && t.ns > last->ns))
        return t;
    t = *last; /* block times rise */
    t.ns += 1000;
    if (t.ns >= 1000000000) {
        t.ns -= 1000000000;
        t.s++;
    }
    return t;
}

enum chq_err chq_tip_make(struct chq_tip *next, const struct chq_tip *tip, const struct chq_genesis *genesis,
    const uint8_t app_hash[32], const struct chq_bytes *batches, size_t count, struct chq_time time,
    const struct chq_sign_pair *validator)
{
    struct header_hashes hashes;
    uint8_t hash[32], storage[CHQ_VOTE_SIGN_BYTES_MAX];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    struct chq_signed_header *sh = calloc(1, sizeof *sh);
    if (sh == NULL)
        return CHQ_NO_MEMORY;
    enum chq_err err = make_header(&sh->header, &hashes, tip, genesis, app_hash, batches, count);
    if (err != CHQ_OK)
        goto out;
    sh->header.time = time;
    chq_header_hash(hash, &sh->header);
    /* A block of ours is not cut into parts: its one part is named by the header's hash. */
    sh->parts_total = 1;
    memcpy(sh->parts_hash, hash, 32);
    sh->votes_count = 1;
    memcpy(sh->votes[0].validator, sh->header.proposer, sizeof sh->votes[0].validator);
    sh->votes[0].time = sh->header.time;
    const struct chq_block_id id = {chq_bytes(hash, 32), 1, chq_bytes(hash, 32)};
    chq_vote_sign_bytes_put(
        &w, CHQ_PRECOMMIT, sh->header.height, 0, &id, sh->votes[0].time, sh->header.chain_id);
    err = chq_writer_finish(&w);
    if (err != CHQ_OK)
        goto out;
    chq_ed25519_sign(sh->votes[0].signature, validator, chq_writer_bytes(&w));
    err = fill_tip(next, sh, count);
out:
    free(sh);
    return err;
}

enum chq_err chq_tip_follow(struct chq_tip *next, const struct chq_tip *tip,
    const struct chq_genesis *genesis, const uint8_t app_hash[32], const struct chq_block *block)
{
    struct header_hashes hashes;
    struct chq_header expected;
    uint8_t expected_hash[32], hash[32];
    size_t n = 0;
    struct chq_reader at = chq_reader(block->batches);
    struct chq_signed_header *sh = malloc(sizeof *sh);
    struct chq_bytes *batches = malloc((block->batches_count + 1) * sizeof *batches);
    enum chq_err err = sh == NULL || batches == NULL ? CHQ_NO_MEMORY : CHQ_OK;
    if (err == CHQ_OK)
        err = chq_signed_header_read(block->signed_header, sh);
    while (err == CHQ_OK && n < block->batches_count && chq_block_next(&at, &batches[n]))
        n++;
    if (err == CHQ_OK)
        err = make_header(&expected, &hashes, tip, genesis, app_hash, batches, n);
    if (err != CHQ_OK)
        goto out;
    expected.time = sh->header.time;
    chq_header_hash(expected_hash, &expected);
    chq_header_hash(hash, &sh->header);
    err = memcmp(hash, expected_hash, sizeof hash) == 0 ? fill_tip(next, sh, n) : CHQ_AUTH;
out:
    free(sh);
    free(batches);
    return err;
}

enum chq_err chq_tip_restore(struct chq_tip *tip, struct chq_bytes signed_header, size_t batches)
{
    struct chq_signed_header *sh = malloc(sizeof *sh);
    if (sh == NULL)
        return CHQ_NO_MEMORY;
    enum chq_err err = chq_signed_header_read(signed_header, sh);
    if (err == CHQ_OK && sh->header.app_hash.size != 32)
        err = CHQ_MALFORMED;
    if (err == CHQ_OK)
        err = fill_tip(tip, sh, batches);
    free(sh);
    return err;
}

void chq_block_put(
    struct chq_writer *w, struct chq_bytes signed_header, const struct chq_bytes *batches, size_t count)
{
    chq_cbor_put_map(w, 2);
    chq_cbor_pair_bytes(w, 1, signed_header.data, signed_header.size);
    chq_cbor_put_key(w, 2);
    chq_cbor_put_array(w, count);
    for (size_t i = 0; i < count; i++)
        chq_cbor_put_bytes(w, batches[i]);
}

enum chq_err chq_block_read(struct chq_bytes in, struct chq_block *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 2);
    *out = (struct chq_block){0};
    struct chq_block b = {0};
    chq_cbor_need(&r, &m, 1);
    b.signed_header = chq_cbor_get_bytes(&r, CHQ_SIGNED_HEADER_BYTES_MAX);
    chq_cbor_need(&r, &m, 2);
    b.batches_count = chq_cbor_get_array(&r, CHQ_BLOCK_BATCHES_MAX);
    const uint8_t *start = r.at;
    for (size_t i = 0; i < b.batches_count && r.err == CHQ_OK; i++)
        (void)chq_cbor_get_bytes(&r, CHQ_BATCH_BYTES_MAX + 128);
    if (r.err == CHQ_OK)
        b.batches = chq_bytes(start, (size_t)(r.at - start));
    chq_cbor_map_end(&r, &m);
    CHQ_TRY(chq_reader_finish(&r));
    *out = b;
    return CHQ_OK;
}

bool chq_block_next(struct chq_reader *at, struct chq_bytes *signed_batch)
{
    if (chq_reader_left(at) == 0)
        return false;
    *signed_batch = chq_cbor_get_bytes(at, CHQ_BATCH_BYTES_MAX + 128);
    CHQ_ASSERT(at->err == CHQ_OK); /* chq_block_read has read it before */
    return true;
}
