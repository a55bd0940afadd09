/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/wallet.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/text.h"
#include "core/wire/batch.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/signed.h"

#define LOOK_EVERY_MS 20000
#define LOOK_POOR_MS                                                                                         \
    1000 /* while the balance is too small for an allowance: its operator is about to fill it */
#define RETRY_MS  1000
#define TRIES_MAX 4
#define QUEUE_MAX 1024

enum job_type { JOB_SETTLE, JOB_GRANT };

struct job {
    struct job *next;
    enum job_type type;
    struct chq_wallet_done done; /* call NULL: nobody waits */
    uint8_t account[CHQ_ID_BYTES];
    bool prepared; /* GRANT: nonce and account are on disk */
    bool looked; /* GRANT: the balance was asked for it */
    unsigned tries;
    size_t records_size;
    uint8_t records[];
};

enum step { STEP_NONE, STEP_ACCOUNT, STEP_RELAY, STEP_REGISTER, STEP_JOB };

struct chq_wallet {
    struct chq_wallet_config config;
    struct job *first, *last;
    uint32_t jobs;
    enum step under_way;
    bool account_known, account_exists, relay_known, relay_set, said_no_credit, said_registered;
    struct chq_wallet_state state;
    uint64_t look_at_ms, now_ms;
};

static uint64_t wall_s(void)
{
    return (uint64_t)time(NULL);
}

enum chq_err chq_wallet_new(struct chq_wallet **out, const struct chq_wallet_config *config)
{
    struct chq_store_grant open;
    *out = NULL;
    struct chq_wallet *wallet = calloc(1, sizeof *wallet);
    if (wallet == NULL)
        return CHQ_NO_MEMORY;
    wallet->config = *config;
    wallet->state.grants_done = chq_store_get_number(config->store, "grants_done");
    if (chq_store_get_open_grant(config->store, &open) == CHQ_OK) { /* we ended before we knew its outcome */
        struct job *job = calloc(1, sizeof *job);
        if (job == NULL) {
            free(wallet);
            return CHQ_NO_MEMORY;
        }
        job->type = JOB_GRANT;
        job->prepared = true;
        memcpy(job->account, open.account, CHQ_ID_BYTES);
        wallet->first = wallet->last = job;
        wallet->jobs = 1;
    }
    *out = wallet;
    return CHQ_OK;
}

void chq_wallet_free(struct chq_wallet *wallet)
{
    if (wallet == NULL)
        return;
    while (wallet->first != NULL) {
        struct job *next = wallet->first->next;
        if (wallet->first->done.drop != NULL)
            wallet->first->done.drop(wallet->first->done.context);
        free(wallet->first);
        wallet->first = next;
    }
    free(wallet);
}

static enum chq_err add_job(struct chq_wallet *wallet, enum job_type type, const uint8_t *account,
    struct chq_bytes records, struct chq_wallet_done done)
{
    if (type == JOB_GRANT && wallet->jobs >= QUEUE_MAX)
        return CHQ_LIMIT; /* the meter has one settlement under way at a time */
    struct job *job = calloc(1, sizeof *job + records.size);
    if (job == NULL)
        return CHQ_NO_MEMORY;
    job->type = type;
    job->done = done;
    if (account != NULL)
        memcpy(job->account, account, CHQ_ID_BYTES);
    if (records.size > 0)
        memcpy(job->records, records.data, records.size);
    job->records_size = records.size;
    /* What we are owed goes before what strangers ask for, but not before a grant whose nonce is on disk already. */
    struct job **at = &wallet->first;
    if (type == JOB_GRANT)
        at = wallet->last != NULL ? &wallet->last->next : at;
    else if (*at != NULL && (wallet->under_way == STEP_JOB || (*at)->prepared))
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    if (job->next == NULL)
        wallet->last = job;
    wallet->jobs++;
    return CHQ_OK;
}

enum chq_err chq_wallet_settle(
    struct chq_wallet *wallet, struct chq_bytes records, struct chq_wallet_done done)
{
    return add_job(wallet, JOB_SETTLE, NULL, records, done);
}

enum chq_err chq_wallet_grant(
    struct chq_wallet *wallet, const uint8_t account[CHQ_ID_BYTES], struct chq_wallet_done done)
{
    return add_job(wallet, JOB_GRANT, account, chq_bytes(NULL, 0), done);
}

static void finish_job(struct chq_wallet *wallet, enum chq_err err, const char *reason)
{
    struct job *job = wallet->first;
    wallet->first = job->next;
    if (wallet->first == NULL)
        wallet->last = NULL;
    wallet->jobs--;
    if (job->done.call != NULL)
        job->done.call(job->done.context, job->done.tag, err, reason);
    free(job);
}

/* Ask again soon; what we know may be old. */
static void look_again(struct chq_wallet *wallet, uint64_t in_ms)
{
    wallet->account_known = wallet->relay_known = false;
    wallet->look_at_ms = wallet->now_ms + in_ms;
}

static void query(struct chq_wallet *wallet, enum chq_record_kind kind, enum step step,
    void (*call)(void *, enum chq_err, struct chq_bytes))
{
    uint8_t storage[64];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    struct chq_ledger_request request = {.type = CHQ_LEDGER_QUERY, .kind = kind};
    memcpy(request.key, wallet->config.account->id, sizeof request.key);
    chq_ledger_request_put(&w, &request);
    wallet->under_way = step;
    chq_ledger_link_ask(
        wallet->config.link, chq_writer_bytes(&w), (struct chq_ledger_done){call, wallet, NULL});
}

static bool proved(struct chq_wallet *wallet, enum chq_record_kind kind, enum chq_err err,
    struct chq_bytes reply, struct chq_light_answer *answer)
{
    wallet->under_way = STEP_NONE;
    if (err == CHQ_OK)
        err = chq_light_verify_query(
            wallet->config.light, kind, wallet->config.account->id, reply, wall_s(), answer);
    else
        answer->reason[0] = 0;
    if (err == CHQ_OK)
        return true;
    if (answer->reason[0] != 0)
        chq_logf(&wallet->config.log, CHQ_LOG_WARNING, "the ledger's answer about our account is refused: %s",
            answer->reason);
    look_again(wallet, RETRY_MS);
    return false;
}

static void on_account(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct chq_wallet *wallet = context;
    struct chq_light_answer answer = {0};
    struct chq_account_record record;
    if (!proved(wallet, CHQ_RECORD_ACCOUNT, err, reply, &answer))
        return;
    wallet->account_known = true;
    wallet->account_exists = answer.present;
    wallet->state.nonce = wallet->state.balance_micro = 0;
    if (answer.present && chq_account_record_read(answer.value, &record) == CHQ_OK) {
        wallet->state.nonce = record.nonce;
        wallet->state.balance_micro = record.balance_micro;
    }
    if (wallet->state.balance_micro >= wallet->config.config->grant_micro) {
        wallet->said_no_credit = false;
    } else if (!wallet->said_no_credit) {
        char id[65], balance[32];
        chq_hex_write(chq_bytes(wallet->config.account->id, 32), id);
        chq_credit_write((int64_t)wallet->state.balance_micro, balance);
        chq_logf(&wallet->config.log, CHQ_LOG_WARNING,
            "balance %s is too small to give a starting allowance; send credit to account %s", balance, id);
        wallet->said_no_credit = true;
    }
}

/* The relay record as the configuration says it. */
static void put_relay_record(struct chq_writer *w, const struct chq_wallet *wallet)
{
    const struct chq_relay_config *config = wallet->config.config;
    struct chq_relay_record record = {.host = chq_bytes_text(config->host),
        .port = (uint16_t)config->port,
        .turn_port = (uint16_t)config->turn_port,
        .price_micro = config->price_micro,
        .quantum_bytes = config->quantum_bytes,
        .region = chq_bytes_text(config->region)};
    memcpy(record.relay, wallet->config.account->id, sizeof record.relay);
    memcpy(record.pin, wallet->config.pin, sizeof record.pin);
    chq_relay_record_put(w, &record);
}

static void on_relay(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct chq_wallet *wallet = context;
    struct chq_light_answer answer = {0};
    uint8_t storage[CHQ_RELAY_RECORD_BYTES_MAX];
    struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
    if (!proved(wallet, CHQ_RECORD_RELAY, err, reply, &answer))
        return;
    put_relay_record(&w, wallet);
    wallet->relay_known = true;
    wallet->relay_set = answer.present && chq_bytes_equal(answer.value, chq_writer_bytes(&w));
    bool poor = wallet->state.balance_micro < wallet->config.config->grant_micro;
    wallet->look_at_ms = wallet->now_ms + (poor ? LOOK_POOR_MS : LOOK_EVERY_MS);
    wallet->state.known = true;
    wallet->state.registered = wallet->account_exists && wallet->relay_set;
    if (wallet->state.registered && !wallet->said_registered) {
        wallet->said_registered = true;
        chq_logf(&wallet->config.log, CHQ_LOG_NOTICE, "registered on the ledger as %s, port %u",
            wallet->config.config->host, (unsigned)wallet->config.config->port);
    }
}

static bool submit(struct chq_wallet *wallet, const struct chq_operation *operations, size_t count,
    enum step step, void (*call)(void *, enum chq_err, struct chq_bytes))
{
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX),
                      batch = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128),
                      request = chq_writer_heap(CHQ_LEDGER_FRAME_BYTES_MAX);
    struct chq_batch head = {
        .chain_id = chq_bytes_text(wallet->config.config->chain_id), .nonce = wallet->state.nonce};
    memcpy(head.signer, wallet->config.account->id, sizeof head.signer);
    chq_batch_put(&body, &head, operations, count);
    chq_signed_write(&batch, &wallet->config.account->root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    chq_ledger_request_put(&request,
        &(struct chq_ledger_request){.type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_writer_bytes(&batch)});
    bool fine = chq_writer_finish(&body) == CHQ_OK && chq_writer_finish(&batch) == CHQ_OK &&
                chq_writer_finish(&request) == CHQ_OK;
    if (fine) {
        wallet->under_way = step;
        chq_ledger_link_ask(
            wallet->config.link, chq_writer_bytes(&request), (struct chq_ledger_done){call, wallet, NULL});
    }
    chq_writer_free(&body);
    chq_writer_free(&batch);
    chq_writer_free(&request);
    return fine;
}

/* What came of a SUBMIT: CHQ_IO when nobody knows; the reason is cut to a C string. */
static enum chq_err outcome(
    enum chq_err err, struct chq_bytes reply, char reason[CHQ_LEDGER_REASON_BYTES_MAX + 1])
{
    struct chq_ledger_reply answer;
    reason[0] = 0;
    if (err != CHQ_OK || chq_ledger_reply_read(reply, &answer) != CHQ_OK || answer.type != CHQ_LEDGER_SUBMIT)
        return CHQ_IO;
    if (answer.reason.size > 0)
        memcpy(reason, answer.reason.data, answer.reason.size);
    reason[answer.reason.size] = 0;
    return answer.err;
}

static void on_registered(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct chq_wallet *wallet = context;
    char reason[CHQ_LEDGER_REASON_BYTES_MAX + 1];
    wallet->under_way = STEP_NONE;
    enum chq_err came = outcome(err, reply, reason);
    if (came != CHQ_OK && came != CHQ_IO)
        chq_logf(&wallet->config.log, CHQ_LOG_ERROR, "the ledger refuses to register this relay: %s",
            reason[0] != 0 ? reason : chq_err_string(came));
    look_again(wallet, came == CHQ_OK ? 0 : RETRY_MS);
}

static void register_relay(struct chq_wallet *wallet)
{
    uint8_t inception[CHQ_INCEPTION_BYTES], record[CHQ_RELAY_RECORD_BYTES_MAX];
    struct chq_writer a = chq_writer_fixed(inception, sizeof inception),
                      b = chq_writer_fixed(record, sizeof record);
    struct chq_operation operations[2];
    size_t count = 0;
    if (!wallet->account_exists) {
        chq_inception_write(&a, &wallet->config.account->inception);
        operations[count].type = CHQ_OPERATION_CREATE;
        operations[count++].create.inception = chq_writer_bytes(&a);
    }
    put_relay_record(&b, wallet);
    operations[count].type = CHQ_OPERATION_RELAY_SET;
    operations[count++].relay_set.record = chq_writer_bytes(&b);
    if (!submit(wallet, operations, count, STEP_REGISTER, on_registered)) {
        chq_logf(&wallet->config.log, CHQ_LOG_ERROR,
            "the relay record cannot be written: host must be printable ASCII without spaces");
        look_again(wallet, LOOK_EVERY_MS);
    }
}

static void grant_is_done(struct chq_wallet *wallet, uint64_t nonce)
{
    struct chq_store_grant grant = {.nonce = nonce, .done = true};
    memcpy(grant.account, wallet->first->account, CHQ_ID_BYTES);
    chq_store_set_grant(wallet->config.store, &grant);
    chq_store_set_number(wallet->config.store, "grants_done", ++wallet->state.grants_done);
    finish_job(wallet, CHQ_OK, "");
}

/* A grant that came to nothing does not count: who asks for accounts that do not exist shall not use up the day's. */
static void give_back_day(struct chq_wallet *wallet)
{
    uint64_t given = chq_store_get_number(wallet->config.store, "grants_today");
    if (given > 0)
        chq_store_set_number(wallet->config.store, "grants_today", given - 1);
}

static void on_job(void *context, enum chq_err err, struct chq_bytes reply)
{
    struct chq_wallet *wallet = context;
    char reason[CHQ_LEDGER_REASON_BYTES_MAX + 1];
    struct job *job = wallet->first;
    wallet->under_way = STEP_NONE;
    err = outcome(err, reply, reason);
    if (err == CHQ_OK) {
        uint64_t nonce = wallet->state.nonce++;
        if (job->type == JOB_GRANT)
            grant_is_done(wallet, nonce);
        else
            finish_job(wallet, CHQ_OK, "");
        wallet->look_at_ms = wallet->now_ms; /* the balance has changed */
        return;
    }
    look_again(wallet, err == CHQ_IO ? RETRY_MS : 0);
    if (err == CHQ_IO && job->type == JOB_GRANT)
        return; /* paid or not? the nonce will tell */
    if ((err == CHQ_STATE || err == CHQ_AGAIN) && ++job->tries < TRIES_MAX)
        return; /* most likely our nonce was old */
    if (job->type == JOB_GRANT) {
        chq_store_delete_grant(wallet->config.store, job->account);
        give_back_day(wallet);
    }
    finish_job(wallet, err, reason[0] != 0 ? reason : chq_err_string(err));
}

/* Count this grant against the day's; false when they are used up. */
static bool within_day(struct chq_wallet *wallet)
{
    uint64_t today = wall_s() / 86400, given = 0;
    if (chq_store_get_number(wallet->config.store, "grants_day") == today)
        given = chq_store_get_number(wallet->config.store, "grants_today");
    if (given >= wallet->config.config->grants_per_day)
        return false;
    chq_store_set_number(wallet->config.store, "grants_day", today);
    chq_store_set_number(wallet->config.store, "grants_today", given + 1);
    return true;
}

static void start_grant(struct chq_wallet *wallet)
{
    struct job *job = wallet->first;
    struct chq_store_grant grant = {.nonce = UINT64_MAX};
    enum chq_err err = chq_store_get_grant(wallet->config.store, job->account, &grant);
    if (err == CHQ_NOT_FOUND)
        job->prepared = false; /* or its transaction failed */
    if (err == CHQ_OK && grant.done) {
        finish_job(wallet, CHQ_OK, "");
    } else if (err != CHQ_OK && err != CHQ_NOT_FOUND) {
        finish_job(wallet, CHQ_IO, "the relay cannot read its database");
    } else if (err == CHQ_OK && wallet->state.nonce > grant.nonce) {
        grant_is_done(wallet, grant.nonce); /* its batch is the only one that ever had this nonce */
    } else if (wallet->config.config->grant_micro == 0) {
        finish_job(wallet, CHQ_UNSUPPORTED, "this relay gives no starting allowance");
    } else if (!job->prepared && wallet->state.balance_micro < wallet->config.config->grant_micro &&
               !job->looked) {
        job->looked = true; /* somebody may have sent credit a moment ago */
        look_again(wallet, 0);
    } else if (!job->prepared && wallet->state.balance_micro < wallet->config.config->grant_micro) {
        finish_job(wallet, CHQ_PAYMENT, "this relay has no credit for starting allowances at the moment");
    } else if (!job->prepared && !within_day(wallet)) {
        finish_job(wallet, CHQ_LIMIT, "this relay has given today's starting allowances; come back tomorrow");
    } else if (!job->prepared || grant.nonce != wallet->state.nonce) {
        /* On disk before it is on its way; the next tick, after the commit, sends it. */
        memcpy(grant.account, job->account, CHQ_ID_BYTES);
        grant.nonce = wallet->state.nonce;
        grant.done = false;
        chq_store_set_grant(wallet->config.store, &grant);
        job->prepared = true;
    } else {
        struct chq_operation pay = {
            .type = CHQ_OPERATION_TRANSFER, .transfer.micro = wallet->config.config->grant_micro};
        memcpy(pay.transfer.to, job->account, CHQ_ID_BYTES);
        if (!submit(wallet, &pay, 1, STEP_JOB, on_job))
            finish_job(wallet, CHQ_NO_MEMORY, "the relay is out of memory");
    }
}

static void start_job(struct chq_wallet *wallet)
{
    struct job *job = wallet->first;
    if (job->type == JOB_GRANT) {
        start_grant(wallet);
        return;
    }
    struct chq_operation settle = {.type = CHQ_OPERATION_CHANNEL_SETTLE,
        .channel_settle.records = chq_bytes(job->records, job->records_size)};
    if (!submit(wallet, &settle, 1, STEP_JOB, on_job))
        finish_job(wallet, CHQ_NO_MEMORY, "the relay is out of memory");
}

/* Nothing can be done while the ledger is away: tell those who wait instead of keeping them. */
static void give_up_waiting(struct chq_wallet *wallet)
{
    while (wallet->first != NULL && !wallet->first->prepared)
        finish_job(wallet, CHQ_IO, "the relay cannot reach its ledger; try again later");
}

void chq_wallet_tick(struct chq_wallet *wallet, uint64_t now_ms)
{
    wallet->now_ms = now_ms;
    if (wallet->under_way != STEP_NONE)
        return;
    if (now_ms >= wallet->look_at_ms) {
        wallet->account_known = wallet->relay_known = false;
        wallet->look_at_ms = now_ms + RETRY_MS;
    }
    if (!wallet->account_known) {
        if (!chq_ledger_link_is_up(wallet->config.link) && wallet->state.known)
            give_up_waiting(wallet);
        query(wallet, CHQ_RECORD_ACCOUNT, STEP_ACCOUNT, on_account);
    } else if (!wallet->relay_known) {
        query(wallet, CHQ_RECORD_RELAY, STEP_RELAY, on_relay);
    } else if (!wallet->account_exists || !wallet->relay_set) {
        register_relay(wallet);
    } else if (wallet->first != NULL) {
        start_job(wallet);
    }
}

uint64_t chq_wallet_deadline_ms(const struct chq_wallet *wallet)
{
    if (wallet->under_way != STEP_NONE)
        return UINT64_MAX;
    bool now = (wallet->account_known && wallet->relay_known) &&
               (wallet->first != NULL || !wallet->account_exists || !wallet->relay_set);
    if (wallet->account_known && !wallet->relay_known)
        now = true;
    return now ? 0 : wallet->look_at_ms;
}

void chq_wallet_state(const struct chq_wallet *wallet, struct chq_wallet_state *out)
{
    *out = wallet->state;
}
