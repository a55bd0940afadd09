/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/base/assert.h"
#include "core/identity/handle.h"

#define EXPIRE_AFTER_S  3600u /* well after most grace periods */
#define EXPIRE_AGAIN_US (3600 * UINT64_C(1000000))
#define REFUSALS_MAX    3u /* a batch that may only have come too early is tried this often */

static void set_handle(char out[CHQ_AGENT_HANDLE_CHARS], struct chq_bytes handle)
{
    memset(out, 0, CHQ_AGENT_HANDLE_CHARS);
    memcpy(out, handle.data, handle.size);
}

enum chq_err chq_agent_trust(struct chq_agent *a)
{
    struct chq_light_trust trust = {.chain_id = chq_bytes_text(a->invitation->chain_id),
        .validators = a->invitation->validators,
        .validators_count = a->invitation->validators_count};
    return chq_light_new(&a->light, &trust);
}

static void make_identity(struct chq_agent *a, const struct chq_agent_command *command)
{
    memcpy(a->secrets->entropy, command->secret.data, CHQ_RECOVERY_ENTROPY_BYTES);
    chq_account_from_entropy(&a->secrets->account, a->secrets->entropy);
    chq_device_keys_new(&a->secrets->device, &a->random);
    static const uint8_t nobody[16];
    struct agent_queue *door = chq_agent_queue_new(a, a->invitation->relay, CHQ_QUEUE_FRONT_DOOR, nobody);
    if (door != NULL)
        memcpy(a->front_door, door->id, 32);
    a->next_prekey = 1;
    a->created_s = chq_agent_now_s(a);
    a->created = true;
}

void chq_agent_create(struct chq_agent *a, const struct chq_agent_command *command)
{
    if (a->created && a->registered) {
        chq_agent_say_error(a, command->request, CHQ_EXISTS,
            "this profile already has the account %s; use another profile for another account", a->handle);
        return;
    }
    if (!chq_handle_is_valid(command->handle)) {
        chq_agent_say_error(a, command->request, CHQ_MALFORMED,
            "a handle has 2 to 32 of the characters a-z 0-9 - _ . and starts with a letter");
        return;
    }
    if (!a->created) {
        if (command->secret.size != CHQ_RECOVERY_ENTROPY_BYTES) {
            chq_agent_say_error(a, command->request, CHQ_MALFORMED, "the recovery secret has 32 bytes");
            return;
        }
        a->invitation = chq_agent_alloc(a, sizeof *a->invitation);
        if (a->invitation == NULL)
            return;
        if (chq_invitation_read(command->text, a->invitation) != CHQ_OK || chq_agent_trust(a) != CHQ_OK) {
            free(a->invitation);
            a->invitation = NULL;
            chq_agent_say_error(a, command->request, CHQ_MALFORMED,
                "this is not an invitation link; ask for one that starts with \"chasqui:\"");
            return;
        }
        make_identity(a, command);
    }
    set_handle(a->handle, command->handle);
    chq_random_fill(&a->random, a->salt, sizeof a->salt);
    a->create_request = command->request;
    a->handle_taken = false;
    a->account_known = false;
    a->account_since_us = a->now_us;
    a->profile_dirty = true;
    chq_agent_say_progress(a, "calling the relay of the invitation");
}

void chq_agent_transfer(struct chq_agent *a, const struct chq_agent_command *command)
{
    if (!chq_handle_is_valid(command->handle) || command->amount == 0 ||
        command->amount > (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX) {
        chq_agent_say_error(a, command->request, CHQ_MALFORMED, "give a handle and an amount above 0");
        return;
    }
    struct agent_transfer *t = chq_agent_alloc(a, sizeof *t);
    if (t == NULL)
        return;
    set_handle(t->handle, command->handle);
    t->amount = command->amount;
    t->request = command->request;
    t->since_us = a->now_us;
    struct agent_transfer **at = &a->transfers;
    while (*at != NULL)
        at = &(*at)->next;
    *at = t;
}

/* --- batches --- */

void chq_agent_batch_clear(struct chq_agent *a)
{
    struct agent_retry retry = a->batch.retry;
    free(a->batch.data);
    a->batch = (struct agent_batch){.retry = retry};
    chq_agent_erase(a, CHQ_AGENT_BATCH, chq_bytes("", 1));
}

/* Sign and store a batch; it goes out as soon as there is a link, after every restart again, until it is settled. */
static void batch_begin(
    struct chq_agent *a, enum agent_batch_kind kind, const struct chq_operation *operations, size_t count)
{
    struct chq_batch batch = {.chain_id = chq_bytes_text(a->invitation->chain_id), .nonce = a->nonce};
    memcpy(batch.signer, a->secrets->account.id, 32);
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX), out = chq_writer_heap(CHQ_BATCH_BYTES_MAX);
    chq_batch_put(&body, &batch, operations, count);
    chq_signed_write(&out, &a->secrets->account.root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    CHQ_ASSERT(a->batch.kind == 0);
    if (body.err != CHQ_OK || out.err != CHQ_OK ||
        chq_writer_take(&out, &a->batch.data, &a->batch.size) != CHQ_OK) {
        chq_agent_fail(a, CHQ_NO_MEMORY);
    } else {
        a->batch.kind = kind;
        a->batch.nonce = a->nonce;
        a->batch.dirty = true;
        a->batch.retry = (struct agent_retry){0};
        a->again = true;
    }
    chq_writer_free(&body);
    chq_writer_free(&out);
}

static void sign_devices(struct chq_agent *a, struct chq_writer *w, struct chq_bytes previous)
{
    struct chq_device_list old = {0};
    struct chq_device devices[CHQ_DEVICES_MAX];
    size_t n = 0;
    if (previous.size > 0 &&
        chq_device_list_open(&old, previous, a->secrets->account.root.public_key) == CHQ_OK) {
        memcpy(devices, old.devices, sizeof devices);
        n = old.n;
    }
    if (n == CHQ_DEVICES_MAX) {
        chq_writer_fail(w, CHQ_LIMIT);
        return;
    }
    chq_device_record(&devices[n++], &a->secrets->device, a->invitation->relay, a->front_door, a->created_s);
    if (chq_account_sign_devices(w, &a->secrets->account, previous, devices, n) != CHQ_OK)
        chq_writer_fail(w, CHQ_MALFORMED);
}

static struct chq_operation commit_operation(const struct chq_agent *a)
{
    struct chq_operation op = {.type = CHQ_OPERATION_HANDLE_COMMIT};
    chq_handle_commitment(
        op.handle_commit.commitment, chq_bytes_text(a->handle), a->secrets->account.id, a->salt);
    return op;
}

static void begin_create(struct chq_agent *a)
{
    struct chq_writer inception = chq_writer_heap(CHQ_INCEPTION_BYTES_MAX);
    struct chq_writer list = chq_writer_heap(CHQ_DEVICE_LIST_BYTES_MAX);
    chq_inception_write(&inception, &a->secrets->account.inception);
    sign_devices(a, &list, (struct chq_bytes){0});
    if (inception.err != CHQ_OK || list.err != CHQ_OK) {
        chq_agent_fail(a, CHQ_NO_MEMORY);
    } else {
        struct chq_operation ops[3] = {
            {.type = CHQ_OPERATION_CREATE}, {.type = CHQ_OPERATION_DEVICE_LIST}, commit_operation(a)};
        ops[0].create.inception = chq_writer_bytes(&inception);
        ops[1].device_list.signed_list = chq_writer_bytes(&list);
        batch_begin(a, AGENT_BATCH_CREATE, ops, 3);
        chq_agent_say_progress(a, "writing the new account and its device to the ledger");
    }
    chq_writer_free(&inception);
    chq_writer_free(&list);
}

static void begin_devices(struct chq_agent *a, struct chq_bytes previous)
{
    struct chq_writer list = chq_writer_heap(CHQ_DEVICE_LIST_BYTES_MAX);
    sign_devices(a, &list, previous);
    if (list.err == CHQ_NO_MEMORY) {
        chq_agent_fail(a, CHQ_NO_MEMORY);
    } else if (list.err != CHQ_OK) {
        chq_agent_say_error(a, a->create_request, CHQ_LIMIT,
            "this device cannot be added to the account: it has %d devices already; remove one",
            CHQ_DEVICES_MAX);
        a->handle_taken = true; /* wait for the user */
    } else {
        struct chq_operation op = {.type = CHQ_OPERATION_DEVICE_LIST};
        op.device_list.signed_list = chq_writer_bytes(&list);
        batch_begin(a, AGENT_BATCH_DEVICES, &op, 1);
        chq_agent_say_progress(a, "adding this device to the account");
    }
    chq_writer_free(&list);
}

static void begin_reveal(struct chq_agent *a)
{
    struct chq_operation op = {.type = CHQ_OPERATION_HANDLE_REVEAL};
    op.handle_reveal.handle = chq_bytes_text(a->handle);
    memcpy(op.handle_reveal.salt, a->salt, sizeof op.handle_reveal.salt);
    batch_begin(a, AGENT_BATCH_REVEAL, &op, 1);
    chq_agent_say_progress(a, "registering the handle");
}

static bool begin_channel(struct chq_agent *a, const struct agent_relay *relay)
{
    uint64_t affordable = a->balance_micro / relay->price_micro;
    uint64_t most = a->config.channel_tokens;
    if (relay != chq_agent_home(a) &&
        most > AGENT_GUEST_TOKENS) /* a deposit is locked until the channel expires */
        most = AGENT_GUEST_TOKENS;
    uint64_t tokens = affordable / 2 < most ? affordable / 2 : most;
    if (tokens < 1)
        tokens = affordable > 0 ? 1 : 0;
    if (tokens == 0)
        return false;
    struct agent_channel *c = chq_agent_alloc(a, sizeof *c);
    if (c == NULL)
        return true;
    memcpy(c->relay, relay->id, 32);
    chq_random_fill(&a->random, c->end, sizeof c->end);
    chq_random_fill(&a->random, c->attach_seed, sizeof c->attach_seed);
    c->state = AGENT_CHANNEL_OPENING;
    c->tokens = tokens;
    c->price_micro = relay->price_micro;
    c->quantum_bytes = relay->quantum_bytes;
    c->expiry_s = chq_agent_now_s(a) + a->config.channel_days * UINT64_C(86400);
    chq_channel_id(c->id, chq_bytes_text(a->invitation->chain_id), a->secrets->account.id, a->nonce, 0);
    c->dirty = true;
    c->next = a->channels;
    a->channels = c;
    struct chq_sign_pair attach;
    chq_sign_pair_from_seed(&attach, c->attach_seed);
    struct chq_operation op = {.type = CHQ_OPERATION_CHANNEL_OPEN};
    memcpy(op.channel_open.payee, relay->id, 32);
    op.channel_open.deposit_micro = tokens * c->price_micro;
    chq_chain_token(op.channel_open.chain_root, c->end, c->id, tokens, 0);
    op.channel_open.tokens = tokens;
    op.channel_open.price_micro = c->price_micro;
    op.channel_open.quantum_bytes = c->quantum_bytes;
    op.channel_open.expiry_s = c->expiry_s;
    memcpy(op.channel_open.attach_key, attach.public_key, 32);
    chq_wipe(&attach, sizeof attach);
    batch_begin(a, AGENT_BATCH_CHANNEL, &op, 1);
    memcpy(a->batch.subject, c->id, 32);
    return true;
}

/* Read the account as the ledger proves it now. */
static void take_account(struct chq_agent *a, const struct agent_lookup *lookup)
{
    struct chq_account_record record;
    a->account_known = true;
    a->account_present = lookup->present;
    a->account_has_handle = a->account_has_our_commit = false;
    a->nonce = a->balance_micro = 0;
    if (!lookup->present ||
        chq_account_record_read(chq_bytes(lookup->value, lookup->size), &record) != CHQ_OK)
        return;
    struct chq_operation ours = commit_operation(a);
    a->nonce = record.nonce;
    a->balance_micro = record.balance_micro;
    a->account_has_our_commit =
        record.has_commit && memcmp(record.commitment, ours.handle_commit.commitment, 32) == 0;
    a->account_has_handle = record.handle.size > 0;
    if (a->account_has_handle &&
        (!a->registered || !chq_bytes_equal(record.handle, chq_bytes_text(a->handle)))) {
        set_handle(a->handle, record.handle);
        a->registered = a->profile_dirty = true;
    }
}

static void look_again(struct chq_agent *a)
{
    a->account_known = false;
    a->account_since_us = a->now_us;
}

void chq_agent_on_grant(struct chq_agent *a, const struct chq_frame *in)
{
    a->granting = false;
    if (in->type == CHQ_FRAME_OK || in->error.code == CHQ_EXISTS || in->error.code == CHQ_STATE) {
        a->granted = true;
        look_again(a);
        return;
    }
    chq_agent_backoff(a, &a->grant_retry);
    if (a->grant_retry.wait_ms == AGENT_RETRY_MIN_MS || in->error.code != CHQ_AGAIN)
        chq_agent_say_error(a, 0, (enum chq_err)in->error.code,
            "the relay gives no starting credit: %.*s; trying again", (int)in->error.text.size,
            (const char *)in->error.text.data);
}

void chq_agent_on_submit(struct chq_agent *a, struct agent_relay *relay, struct chq_bytes bytes)
{
    struct chq_ledger_reply *reply = chq_agent_scratch(a, sizeof *reply);
    a->batch.asking = false;
    if (reply == NULL)
        return;
    if (chq_ledger_reply_read(bytes, reply) != CHQ_OK || reply->type != CHQ_LEDGER_SUBMIT) {
        chq_agent_backoff(a, &a->batch.retry);
        chq_agent_distrust(a, relay, "passed on a broken answer of the ledger");
        return;
    }
    /* The relay's word decides nothing: what the ledger proves about the account afterwards does. */
    a->batch.answered = true;
    a->batch.answer = reply->err;
    size_t n = reply->reason.size;
    if (n > sizeof a->batch.reason - 1)
        n = sizeof a->batch.reason - 1;
    memset(a->batch.reason, 0, sizeof a->batch.reason);
    if (n > 0)
        memcpy(a->batch.reason, reply->reason.data, n);
    a->batch.answered_us = a->now_us;
    look_again(a);
}

static void drop_batch_channel(struct chq_agent *a)
{
    struct agent_channel *c = chq_agent_channel_find(a, a->batch.subject);
    if (c != NULL)
        chq_agent_channel_free(a, c);
}

/* The batch is on the ledger. Return false when more has to be looked up first. */
static bool batch_landed(struct chq_agent *a)
{
    switch (a->batch.kind) {
    case AGENT_BATCH_CREATE:
    case AGENT_BATCH_DEVICES: a->device_listed = a->profile_dirty = true; break;
    case AGENT_BATCH_CHANNEL: {
        struct agent_lookup *l =
            chq_agent_look(a, CHQ_RECORD_CHANNEL, a->batch.subject, a->batch.answered_us);
        if (l == NULL)
            return false;
        struct agent_channel *c = chq_agent_channel_find(a, a->batch.subject);
        if (l->present && c != NULL) {
            c->state = AGENT_CHANNEL_OPEN;
            c->dirty = true;
            a->broke_said = false;
            a->wallet_retry = (struct agent_retry){0};
        } else {
            drop_batch_channel(a);
        }
        break;
    }
    case AGENT_BATCH_TRANSFER: {
        struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_TRANSFERRED);
        note->request = a->batch.request;
        note->amount = a->batch.amount;
        memcpy(note->account, a->batch.subject, 32);
        break;
    }
    case AGENT_BATCH_EXPIRE: drop_batch_channel(a); break;
    case AGENT_BATCH_COMMIT:
    case AGENT_BATCH_REVEAL: break;
    }
    a->batch.retry = (struct agent_retry){0};
    chq_agent_batch_clear(a); /* what is known of the account is from after it */
    return true;
}

/* Refused for good: tell the user, and let the goals decide what is tried next. */
static void batch_refused(struct chq_agent *a)
{
    enum chq_err err = a->batch.answer;
    enum agent_batch_kind kind = a->batch.kind;
    if (kind == AGENT_BATCH_CHANNEL)
        drop_batch_channel(a);
    if (kind == AGENT_BATCH_REVEAL && err == CHQ_EXISTS) {
        a->handle_taken = true;
        chq_agent_say_error(
            a, a->create_request, CHQ_EXISTS, "the handle %s is taken; choose another", a->handle);
    } else if (kind == AGENT_BATCH_REVEAL) {
        chq_random_fill(&a->random, a->salt, sizeof a->salt); /* commit again */
        a->profile_dirty = true;
    } else {
        chq_agent_say_error(a, a->batch.request, err, "the ledger refuses: %s", a->batch.reason);
    }
    chq_agent_backoff(a, &a->batch.retry);
    chq_agent_batch_clear(a);
    look_again(a);
}

/* The channel could not be expired: too early, or somebody else did. The others have waited for this batch long enough. */
static void postpone_expiry(struct chq_agent *a)
{
    struct agent_channel *c = chq_agent_channel_find(a, a->batch.subject);
    if (c != NULL)
        c->expire_us = a->now_us + EXPIRE_AGAIN_US;
    chq_agent_batch_clear(a);
    look_again(a);
}

static void batch_not_landed(struct chq_agent *a)
{
    enum chq_err err = a->batch.answer;
    if (a->batch.kind == AGENT_BATCH_EXPIRE && err != CHQ_OK && err != CHQ_IO && err != CHQ_NO_MEMORY) {
        postpone_expiry(a);
        return;
    }
    bool early = err == CHQ_OK || err == CHQ_AGAIN || err == CHQ_IO || err == CHQ_NO_MEMORY;
    bool unsure = err == CHQ_STATE && ++a->batch.refusals < REFUSALS_MAX;
    if (early || unsure) {
        a->batch.answered = false;
        chq_agent_backoff(a, &a->batch.retry);
        return;
    }
    batch_refused(a);
}

static void advance_batch(struct chq_agent *a)
{
    if (a->batch.answered) {
        if (!a->account_known)
            return;
        if (a->nonce > a->batch.nonce)
            (void)batch_landed(a);
        else
            batch_not_landed(a);
        a->again = a->again || !a->batch.answered;
        return;
    }
    struct agent_relay *relay = chq_agent_any_ready(a);
    if (relay == NULL || a->batch.asking || a->leaving || !chq_agent_due(a, &a->batch.retry))
        return;
    struct chq_ledger_request submit = {
        .type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_bytes(a->batch.data, a->batch.size)};
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_LEDGER_BYTES_MAX);
    chq_ledger_request_put(&w, &submit);
    if (w.err != CHQ_OK) {
        chq_agent_fail(a, w.err);
    } else {
        struct chq_frame frame = {.type = CHQ_FRAME_LEDGER};
        frame.ledger.request = chq_writer_bytes(&w);
        a->batch.asking = chq_agent_ask(a, relay, &frame, AGENT_ASK_SUBMIT, NULL) != NULL;
    }
    chq_writer_free(&w);
}

/* --- goals --- */

static bool is_ours(const struct chq_agent *a, const struct agent_lookup *handle)
{
    struct chq_handle_record record;
    return handle->present &&
           chq_handle_record_read(chq_bytes(handle->value, handle->size), &record) == CHQ_OK &&
           memcmp(record.account, a->secrets->account.id, 32) == 0;
}

/* Whether the wished handle can still be had, as far as the ledger knows. */
static bool handle_is_free(struct chq_agent *a)
{
    uint8_t key[32];
    if (a->handle_taken)
        return false;
    chq_handle_key(key, chq_bytes_text(a->handle));
    struct agent_lookup *l = chq_agent_look(a, CHQ_RECORD_HANDLE, key, a->account_since_us);
    if (l == NULL)
        return false;
    if (l->present && !is_ours(a, l)) {
        a->handle_taken = true;
        chq_agent_say_error(
            a, a->create_request, CHQ_EXISTS, "the handle %s is taken; choose another", a->handle);
        return false;
    }
    return true;
}

/* Account, device list, handle. Return whether all is done. */
static bool advance_identity(struct chq_agent *a)
{
    if (!a->account_present) {
        if (handle_is_free(a))
            begin_create(a);
        return false;
    }
    if (!a->device_listed) {
        struct agent_lookup *l =
            chq_agent_look(a, CHQ_RECORD_DEVICES, a->secrets->account.id, a->account_since_us);
        if (l == NULL || a->handle_taken)
            return false;
        struct chq_device_list list;
        struct chq_bytes value = chq_bytes(l->value, l->present ? l->size : 0);
        if (value.size > 0 &&
            chq_device_list_open(&list, value, a->secrets->account.root.public_key) == CHQ_OK &&
            chq_device_list_find(&list, a->secrets->device.signing.public_key) != NULL) {
            a->device_listed = a->profile_dirty = true;
        } else {
            begin_devices(a, value);
            return false;
        }
    }
    if (a->account_has_handle)
        return true;
    if (!handle_is_free(a))
        return false;
    if (a->account_has_our_commit) {
        begin_reveal(a);
    } else {
        struct chq_operation op = commit_operation(a);
        batch_begin(a, AGENT_BATCH_COMMIT, &op, 1);
    }
    return false;
}

static void advance_grant(struct chq_agent *a, struct agent_relay *home)
{
    if (home->state != AGENT_LINK_READY || !home->checked || home->grant_micro == 0 || a->granted ||
        a->granting || a->channels != NULL || a->balance_micro >= home->price_micro ||
        !chq_agent_due(a, &a->grant_retry))
        return;
    struct chq_frame frame = {.type = CHQ_FRAME_GRANT};
    memcpy(frame.grant.account_id, a->secrets->account.id, 32);
    a->granting = chq_agent_ask(a, home, &frame, AGENT_ASK_GRANT, NULL) != NULL;
    if (a->granting)
        chq_agent_say_progress(a, "asking the relay for starting credit");
}

static struct agent_relay *wants_channel(struct chq_agent *a, struct agent_relay *home)
{
    if (chq_agent_channel_wanted(a, home))
        return home;
    for (struct agent_relay *r = a->relays; r != NULL; r = r->next)
        if (chq_agent_channel_wanted(a, r))
            return r;
    return NULL;
}

static void advance_channels(struct chq_agent *a, struct agent_relay *home)
{
    struct agent_relay *relay = wants_channel(a, home);
    bool grant_first =
        home->grant_micro > 0 && !a->granted && a->channels == NULL && a->balance_micro < home->price_micro;
    if (relay == NULL || a->granting || (relay == home && grant_first) || begin_channel(a, relay))
        return;
    if (!a->broke_said)
        chq_agent_say_error(a, 0, CHQ_PAYMENT,
            "not enough credit to pay relay %s; put credit on the account %s, messages wait until then",
            chq_agent_relay_name(relay), a->handle);
    a->broke_said = true;
    if (a->wallet_retry.at_us <= a->now_us) {
        chq_agent_backoff(a, &a->wallet_retry);
        look_again(a);
    }
    chq_agent_wake(a, a->wallet_retry.at_us);
}

/*
 * What is left in a channel comes back when it has expired and somebody says so. The ledger's time decides: by ours alone, a
 * clock that jumps would make a batch that is refused until the real expiry, and nothing else could be signed meanwhile.
 */
static void advance_expiry(struct chq_agent *a)
{
    for (struct agent_channel *c = a->channels; c != NULL; c = c->next) {
        struct chq_channel_record record;
        if (c->state == AGENT_CHANNEL_OPENING || chq_agent_now_s(a) < c->expiry_s + EXPIRE_AFTER_S)
            continue;
        if (a->now_us < c->expire_us) {
            chq_agent_wake(a, c->expire_us);
            continue;
        }
        const struct agent_lookup *l = chq_agent_look(a, CHQ_RECORD_CHANNEL, c->id, c->expire_us);
        if (l == NULL)
            return;
        if (!l->present || chq_channel_record_read(chq_bytes(l->value, l->size), &record) != CHQ_OK ||
            record.state == CHQ_CHANNEL_CLOSED) { /* somebody else did it: the credit is back */
            chq_agent_channel_free(a, c);
            look_again(a);
            a->again = true;
            return;
        }
        if (l->time_s < record.expiry_s + EXPIRE_AFTER_S) {
            c->expire_us = a->now_us + EXPIRE_AGAIN_US;
            chq_agent_wake(a, c->expire_us);
            continue;
        }
        struct chq_operation op = {.type = CHQ_OPERATION_CHANNEL_EXPIRE};
        memcpy(op.channel_expire.channel, c->id, 32);
        batch_begin(a, AGENT_BATCH_EXPIRE, &op, 1);
        memcpy(a->batch.subject, c->id, 32);
        return;
    }
}

static void advance_transfers(struct chq_agent *a)
{
    struct agent_transfer *t = a->transfers;
    if (t == NULL)
        return;
    uint8_t key[32];
    chq_handle_key(key, chq_bytes_text(t->handle));
    struct agent_lookup *l = chq_agent_look(a, CHQ_RECORD_HANDLE, key, t->since_us);
    if (l == NULL)
        return;
    struct chq_handle_record record;
    if (!l->present || chq_handle_record_read(chq_bytes(l->value, l->size), &record) != CHQ_OK) {
        chq_agent_say_error(a, t->request, CHQ_NOT_FOUND, "there is nobody with the handle %s", t->handle);
    } else if (t->amount > a->balance_micro) {
        chq_agent_say_error(a, t->request, CHQ_PAYMENT, "the account does not hold that much credit");
    } else {
        struct chq_operation op = {.type = CHQ_OPERATION_TRANSFER};
        memcpy(op.transfer.to, record.account, 32);
        op.transfer.micro = t->amount;
        batch_begin(a, AGENT_BATCH_TRANSFER, &op, 1);
        memcpy(a->batch.subject, record.account, 32);
        a->batch.amount = t->amount;
        a->batch.request = t->request;
    }
    a->transfers = t->next;
    free(t);
    a->again = true;
}

static void say_wallet(struct chq_agent *a)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_WALLET);
    note->request = a->wallet_request;
    chq_agent_wallet(a, &note->wallet);
    a->wallet_wanted = false;
}

static void say_ready(struct chq_agent *a, const struct agent_relay *home)
{
    struct agent_queue *door = a->queues;
    while (door != NULL && door->kind != CHQ_QUEUE_FRONT_DOOR)
        door = door->next;
    if (a->ready_said || home->attached == NULL || door == NULL || !door->subscribed || a->bundle_s == 0)
        return;
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_READY);
    memcpy(note->account, a->secrets->account.id, 32);
    memcpy(note->handle, a->handle, sizeof note->handle);
    note->request = a->create_request;
    a->ready_said = true;
}

void chq_agent_advance_account(struct chq_agent *a)
{
    struct agent_relay *home = chq_agent_home(a);
    if (!a->created || home == NULL)
        return;
    home->wanted = true;
    if (!a->account_known) {
        struct agent_lookup *l =
            chq_agent_look(a, CHQ_RECORD_ACCOUNT, a->secrets->account.id, a->account_since_us);
        if (l != NULL) {
            take_account(a, l);
            a->again = true;
        }
    }
    if (a->batch.kind != 0) {
        advance_batch(a);
    } else if (a->account_known && chq_agent_due(a, &a->batch.retry) && !a->leaving) {
        if (advance_identity(a)) {
            advance_transfers(a);
            if (a->batch.kind == 0 && a->account_known) {
                advance_grant(a, home);
                advance_channels(a, home);
                if (a->batch.kind == 0 && a->account_known)
                    advance_expiry(a);
            }
        }
    }
    if (a->wallet_wanted && a->account_known)
        say_wallet(a);
    if (a->registered)
        say_ready(a, home);
}
