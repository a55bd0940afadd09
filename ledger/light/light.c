/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/light/light.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto/hash.h"
#include "core/crypto/keys.h"
#include "core/wire/device_list.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/proof.h"
#include "core/wire/signed.h"
#include "ledger/light/canonical.h"

#define RECORDS_MAX 1024

/* The height of the newest answer that was taken for one record. */
struct seen {
    enum chq_record_kind kind;
    uint8_t key[32];
    uint64_t height;
};

struct chq_light {
    char chain_id[CHQ_CHAIN_ID_CHARS_MAX + 1];
    struct chq_validator validators[CHQ_VALIDATORS_MAX]; /* in CometBFT's order */
    size_t validators_count;
    uint8_t addresses[CHQ_VALIDATORS_MAX][CHQ_VALIDATOR_ADDRESS_BYTES];
    uint8_t validators_hash[32];
    uint64_t power_total;
    uint64_t max_age_s;
    uint64_t newest_height; /* of all answers and headers that were taken */
    uint64_t floor_height; /* for records that are not in `seen` */
    struct seen seen[RECORDS_MAX];
    size_t seen_count;
    bool has_verified; /* the header whose signatures were checked last */
    uint8_t verified_hash[32];
    struct chq_signed_header header; /* of the answer in hand */
};

enum chq_err chq_light_new(struct chq_light **out, const struct chq_light_trust *trust)
{
    *out = NULL;
    if (trust->validators_count == 0 || trust->validators_count > CHQ_VALIDATORS_MAX ||
        trust->chain_id.size == 0 || trust->chain_id.size > CHQ_CHAIN_ID_CHARS_MAX)
        return CHQ_MALFORMED;
    struct chq_light *light = calloc(1, sizeof *light);
    if (light == NULL)
        return CHQ_NO_MEMORY;
    memcpy(light->chain_id, trust->chain_id.data, trust->chain_id.size);
    memcpy(light->validators, trust->validators, trust->validators_count * sizeof *trust->validators);
    light->validators_count = trust->validators_count;
    light->max_age_s = trust->max_age_s > 0 ? trust->max_age_s : CHQ_LIGHT_MAX_AGE_S_DEFAULT;
    for (size_t i = 0; i < light->validators_count; i++) {
        if (light->validators[i].power == 0 || light->validators[i].power >= CHQ_VALIDATOR_POWER_MAX ||
            light->power_total + light->validators[i].power >= CHQ_VALIDATOR_POWER_MAX) {
            free(light);
            return CHQ_MALFORMED;
        }
        light->power_total += light->validators[i].power;
    }
    (void)chq_validators_sort(light->validators, light->validators_count);
    for (size_t i = 0; i < light->validators_count; i++)
        chq_validator_address(light->addresses[i], light->validators[i].key);
    chq_validators_hash(light->validators_hash, light->validators, light->validators_count);
    *out = light;
    return CHQ_OK;
}

void chq_light_free(struct chq_light *light)
{
    free(light);
}

__attribute__((format(printf, 4, 5))) static enum chq_err refuse(
    struct chq_light_answer *answer, enum chq_light_fault fault, enum chq_err err, const char *format, ...)
{
    va_list args;
    answer->present = false;
    answer->value = chq_bytes(NULL, 0);
    answer->fault = fault;
    va_start(args, format);
    vsnprintf(answer->reason, sizeof answer->reason, format, args);
    va_end(args);
    return err;
}

/* Copy a stranger's text for people to see: printable ASCII only, cut to fit. */
static void show(char *out, size_t size, struct chq_bytes text)
{
    size_t n = 0;
    for (; n + 1 < size && n < text.size; n++)
        out[n] = text.data[n] >= 0x20 && text.data[n] < 0x7f ? (char)text.data[n] : '?';
    out[n] = '\0';
}

static enum chq_err check_signatures(
    struct chq_light *light, const uint8_t hash[32], struct chq_light_answer *a)
{
    const struct chq_signed_header *sh = &light->header;
    const struct chq_block_id block = {
        chq_bytes(hash, 32), sh->parts_total, chq_bytes(sh->parts_hash, sizeof sh->parts_hash)};
    bool counted[CHQ_VALIDATORS_MAX] = {false};
    uint64_t power = 0;
    if (light->has_verified && memcmp(light->verified_hash, hash, 32) == 0)
        return CHQ_OK;
    for (size_t i = 0; i < sh->votes_count && 3 * power <= 2 * light->power_total; i++) {
        const struct chq_vote *vote = &sh->votes[i];
        uint8_t storage[CHQ_VOTE_SIGN_BYTES_MAX];
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        size_t v = 0;
        while (v < light->validators_count &&
               memcmp(light->addresses[v], vote->validator, sizeof vote->validator) != 0)
            v++;
        if (v == light->validators_count || counted[v])
            continue;
        chq_vote_sign_bytes_put(
            &w, CHQ_PRECOMMIT, sh->header.height, sh->round, &block, vote->time, sh->header.chain_id);
        if (chq_writer_finish(&w) != CHQ_OK ||
            chq_ed25519_verify(vote->signature, light->validators[v].key, chq_writer_bytes(&w)) != CHQ_OK)
            continue; /* a vote that does not verify counts as absent */
        counted[v] = true;
        power += light->validators[v].power;
    }
    if (3 * power <= 2 * light->power_total)
        return refuse(a, CHQ_LIGHT_BAD_SIGNATURE, CHQ_AUTH,
            "the ledger's validators did not sign this: %llu of %llu votes are good, more than two thirds "
            "are needed",
            (unsigned long long)power, (unsigned long long)light->power_total);
    light->has_verified = true;
    memcpy(light->verified_hash, hash, 32);
    return CHQ_OK;
}

/* Read the header into light->header and check what costs little: chain, validators, time. */
static enum chq_err check_header(
    struct chq_light *light, struct chq_bytes bytes, uint64_t now_s, struct chq_light_answer *a)
{
    const struct chq_header *h = &light->header.header;
    if (chq_signed_header_read(bytes, &light->header) != CHQ_OK)
        return refuse(a, CHQ_LIGHT_BAD_FORM, CHQ_MALFORMED, "the ledger header is malformed");
    a->height = h->height - 1;
    a->time_s = h->time.s;
    if (!chq_bytes_equal(h->chain_id, chq_bytes_text(light->chain_id))) {
        char theirs[CHQ_CHAIN_ID_CHARS_MAX + 1];
        show(theirs, sizeof theirs, h->chain_id);
        return refuse(a, CHQ_LIGHT_WRONG_CHAIN, CHQ_AUTH,
            "the answer is from the chain '%s', not from '%.40s'", theirs, light->chain_id);
    }
    if (!chq_bytes_equal(h->validators_hash, chq_bytes(light->validators_hash, 32)))
        return refuse(a, CHQ_LIGHT_WRONG_VALIDATORS, CHQ_AUTH,
            "the ledger header names validators that are not the trusted ones");
    int64_t now = now_s > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)now_s;
    if (h->time.s > now + CHQ_LIGHT_MAX_AHEAD_S)
        return refuse(a, CHQ_LIGHT_FROM_THE_FUTURE, CHQ_EXPIRED,
            "the ledger header is from the future: is this computer's clock right?");
    if (h->time.s < 0 || now - h->time.s > (int64_t)light->max_age_s)
        return refuse(a, CHQ_LIGHT_STALE, CHQ_EXPIRED,
            "the ledger header is too old (%lld s, at most %llu s are taken): ask again, or ask another "
            "relay",
            (long long)(h->time.s < 0 ? now : now - h->time.s), (unsigned long long)light->max_age_s);
    return CHQ_OK;
}

enum chq_err chq_light_verify_header(
    struct chq_light *light, struct chq_bytes signed_header, uint64_t now_s, struct chq_light_answer *answer)
{
    uint8_t hash[32];
    *answer = (struct chq_light_answer){0};
    CHQ_TRY(check_header(light, signed_header, now_s, answer));
    answer->height = light->header.header.height;
    chq_header_hash(hash, &light->header.header);
    return check_signatures(light, hash, answer);
}

/* Some values name the key they belong to; all must be of their kind. */
static bool value_fits(enum chq_record_kind kind, const uint8_t key[32], struct chq_bytes value)
{
    struct chq_account_record account;
    struct chq_handle_record handle;
    struct chq_relay_record relay;
    struct chq_channel_record channel;
    struct chq_device_list list;
    struct chq_bytes body;
    switch (kind) {
    case CHQ_RECORD_ACCOUNT: return chq_account_record_read(value, &account) == CHQ_OK;
    case CHQ_RECORD_DEVICES:
        return chq_signed_peek(&body, value, CHQ_DEVICE_LIST_BYTES_MAX) == CHQ_OK &&
               chq_device_list_read(&list, body) == CHQ_OK && memcmp(list.account_id, key, 32) == 0;
    case CHQ_RECORD_HANDLE: return chq_handle_record_read(value, &handle) == CHQ_OK;
    case CHQ_RECORD_RELAY:
        return chq_relay_record_read(value, &relay) == CHQ_OK && memcmp(relay.relay, key, 32) == 0;
    case CHQ_RECORD_CHANNEL: return chq_channel_record_read(value, &channel) == CHQ_OK;
    }
    return false;
}

static struct seen *find_seen(struct chq_light *light, enum chq_record_kind kind, const uint8_t key[32])
{
    for (size_t i = 0; i < light->seen_count; i++)
        if (light->seen[i].kind == kind && memcmp(light->seen[i].key, key, 32) == 0)
            return &light->seen[i];
    return NULL;
}

/* Room for one more record: the one with the oldest answer goes, and its height becomes the floor for all. */
static struct seen *add_seen(struct chq_light *light)
{
    struct seen *oldest = &light->seen[0];
    if (light->seen_count < RECORDS_MAX)
        return &light->seen[light->seen_count++];
    for (size_t i = 1; i < RECORDS_MAX; i++)
        if (light->seen[i].height < oldest->height)
            oldest = &light->seen[i];
    chq_light_raise_floor(light, oldest->height);
    return oldest;
}

static void remember(
    struct chq_light *light, enum chq_record_kind kind, const uint8_t key[32], uint64_t height)
{
    struct seen *seen = find_seen(light, kind, key);
    if (seen == NULL)
        seen = add_seen(light);
    seen->kind = kind;
    memcpy(seen->key, key, 32);
    seen->height = height;
    if (height > light->newest_height)
        light->newest_height = height;
}

static enum chq_err check_reply(struct chq_light *light, enum chq_record_kind kind, const uint8_t key[32],
    const struct chq_ledger_reply *reply, uint64_t now_s, struct chq_light_answer *a)
{
    struct chq_proof proof;
    uint8_t hash[32];
    CHQ_TRY(check_header(light, reply->signed_header, now_s, a));
    const struct chq_header *h = &light->header.header;
    const struct seen *seen = find_seen(light, kind, key);
    uint64_t oldest = seen != NULL ? seen->height : light->floor_height;
    if (a->height < oldest)
        return refuse(a, CHQ_LIGHT_OLD_ANSWER, CHQ_EXPIRED,
            "an old answer: it is from height %llu, but height %llu was seen before",
            (unsigned long long)a->height, (unsigned long long)oldest);
    if (h->app_hash.size != 32 || chq_proof_read(reply->proof, &proof) != CHQ_OK)
        return refuse(a, CHQ_LIGHT_BAD_FORM, CHQ_MALFORMED, "the ledger's proof is malformed");
    if (chq_proof_check(&proof, h->app_hash.data, kind, key, reply->present, reply->value) != CHQ_OK)
        return refuse(a, CHQ_LIGHT_BAD_PROOF, CHQ_AUTH,
            reply->present
                ? "the proof does not lead from this record to the signed state: the answer is forged"
                : "the proof does not show that there is no such record: the answer is forged");
    chq_header_hash(hash, h);
    CHQ_TRY(check_signatures(light, hash, a));
    if (reply->present && !value_fits(kind, key, reply->value))
        return refuse(
            a, CHQ_LIGHT_WRONG_RECORD, CHQ_AUTH, "the record is of another kind or for another key");
    return CHQ_OK;
}

enum chq_err chq_light_verify_query(struct chq_light *light, enum chq_record_kind kind, const uint8_t key[32],
    struct chq_bytes reply_bytes, uint64_t now_s, struct chq_light_answer *answer)
{
    struct chq_ledger_reply reply;
    *answer = (struct chq_light_answer){0};
    if (chq_ledger_reply_read(reply_bytes, &reply) != CHQ_OK)
        return refuse(answer, CHQ_LIGHT_BAD_FORM, CHQ_MALFORMED, "the ledger's reply is malformed");
    if (reply.err != CHQ_OK) {
        char why[100];
        show(why, sizeof why, reply.reason);
        return refuse(answer, CHQ_LIGHT_REFUSED, reply.err, "the ledger refused: %s",
            why[0] != '\0' ? why : chq_err_string(reply.err));
    }
    if (reply.type != CHQ_LEDGER_QUERY)
        return refuse(answer, CHQ_LIGHT_BAD_FORM, CHQ_MALFORMED, "the ledger's reply is to another request");
    CHQ_TRY(check_reply(light, kind, key, &reply, now_s, answer));
    answer->present = reply.present;
    answer->value = reply.value;
    remember(light, kind, key, answer->height);
    return CHQ_OK;
}

uint64_t chq_light_newest_height(const struct chq_light *light)
{
    return light->newest_height;
}

void chq_light_raise_floor(struct chq_light *light, uint64_t height)
{
    if (height > light->floor_height)
        light->floor_height = height;
}
