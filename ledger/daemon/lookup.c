/* SPDX-License-Identifier: Apache-2.0 */
/* query and issue: what talks to a running ledger, and believes it only with proof. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/text.h"
#include "core/crypto/keys.h"
#include "core/wire/batch.h"
#include "core/wire/device_list.h"
#include "core/wire/signed.h"
#include "ledger/daemon/call.h"
#include "ledger/daemon/commands.h"
#include "ledger/daemon/server.h"
#include "ledger/engine/embedded.h"
#include "ledger/light/light.h"

struct session {
    const struct chq_ledger_options *options;
    struct chq_genesis genesis;
    struct chq_light *light;
    struct chq_call call;
    char reason[CHQ_ENGINE_REASON_BYTES];
};

static int complain(const char *reason)
{
    fprintf(stderr, "chasqui-ledger: %s\n", reason);
    return 1;
}

static enum chq_err open_session(struct session *s, const struct chq_ledger_options *options)
{
    char path[PATH_MAX];
    memset(s, 0, sizeof *s);
    s->call.fd = -1;
    s->options = options;
    CHQ_TRY(chq_genesis_load(options->dir, &s->genesis, s->reason));
    const struct chq_light_trust trust = {.chain_id = chq_bytes_text(s->genesis.chain_id),
        .validators = s->genesis.validators,
        .validators_count = s->genesis.validators_count};
    CHQ_TRY(chq_light_new(&s->light, &trust));
    if (options->socket != NULL)
        snprintf(path, sizeof path, "%s", options->socket);
    else
        snprintf(path, sizeof path, "%.4000s/%s", options->dir, CHQ_LEDGER_SOCKET_FILE);
    return chq_call_open(&s->call, path, s->reason);
}

static void close_session(struct session *s)
{
    chq_light_free(s->light);
    chq_call_close(&s->call);
    free(s);
}

/* Ask for one record and check the answer. */
static enum chq_err look_up(
    struct session *s, enum chq_record_kind kind, const uint8_t key[32], struct chq_light_answer *answer)
{
    struct chq_ledger_request request = {.type = CHQ_LEDGER_QUERY, .kind = kind};
    memcpy(request.key, key, 32);
    CHQ_TRY(chq_call_ask(&s->call, &request, s->reason));
    enum chq_err err = chq_light_verify_query(
        s->light, kind, key, chq_bytes(s->call.reply, s->call.reply_size), (uint64_t)time(NULL), answer);
    if (err != CHQ_OK)
        snprintf(s->reason, sizeof s->reason, "%s", answer->reason);
    return err;
}

/* Turn 64 hexadecimal digits or a handle into an account id. */
static enum chq_err find_account(struct session *s, const char *name, uint8_t id[32])
{
    struct chq_light_answer answer;
    struct chq_handle_record handle;
    uint8_t key[32];
    if (strlen(name) == 64 && chq_hex_read(name, id, 32) == CHQ_OK)
        return CHQ_OK;
    chq_handle_key(key, chq_bytes_text(name));
    CHQ_TRY(look_up(s, CHQ_RECORD_HANDLE, key, &answer));
    if (!answer.present || chq_handle_record_read(answer.value, &handle) != CHQ_OK) {
        snprintf(s->reason, sizeof s->reason, "nobody has the handle '%.64s' (proved at height %" PRIu64 ")",
            name, answer.height);
        return CHQ_NOT_FOUND;
    }
    memcpy(id, handle.account, 32);
    return CHQ_OK;
}

/* ---- printing: the same fields as text lines or as one JSON object ---- */

struct page {
    bool json, any;
};

static void put_text(struct page *p, const char *name, const char *value, bool quoted)
{
    if (p->json)
        printf(quoted ? "%s\"%s\":\"%s\"" : "%s\"%s\":%s", p->any ? "," : "{", name, value);
    else
        printf("%-18s %s\n", name, value);
    p->any = true;
}

static void put_hex(struct page *p, const char *name, const uint8_t value[32])
{
    char text[65];
    chq_hex_write(chq_bytes(value, 32), text);
    put_text(p, name, text, true);
}

static void put_number(struct page *p, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put_text(p, name, text, false);
}

static void put_credit(struct page *p, const char *name, uint64_t micro)
{
    char text[32];
    chq_credit_write((int64_t)micro, text);
    put_text(p, name, text, true);
}

/* Text of strangers, with what could break a terminal or JSON replaced. */
static void put_foreign(struct page *p, const char *name, struct chq_bytes text)
{
    char out[257];
    size_t n = 0;
    for (; n < text.size && n + 1 < sizeof out; n++)
        out[n] = text.data[n] >= 0x20 && text.data[n] < 0x7f && text.data[n] != '"' && text.data[n] != '\\'
                     ? (char)text.data[n]
                     : '?';
    out[n] = '\0';
    put_text(p, name, out, true);
}

static void print_account(struct page *p, const uint8_t id[32], struct chq_bytes value)
{
    struct chq_account_record a;
    if (chq_account_record_read(value, &a) != CHQ_OK)
        return;
    put_hex(p, "account", id);
    if (a.handle.size > 0)
        put_foreign(p, "handle", a.handle);
    put_hex(p, "root_key", a.root_key);
    put_number(p, "nonce", a.nonce);
    put_credit(p, "balance", a.balance_micro);
}

static void print_devices(struct page *p, struct chq_bytes value)
{
    struct chq_device_list list;
    struct chq_bytes body;
    if (chq_signed_peek(&body, value, CHQ_DEVICE_LIST_BYTES_MAX) != CHQ_OK ||
        chq_device_list_read(&list, body) != CHQ_OK)
        return;
    put_number(p, "devices", list.n);
    put_number(p, "devices_version", list.version);
}

static void print_relay(struct page *p, struct chq_bytes value)
{
    struct chq_relay_record r;
    if (chq_relay_record_read(value, &r) != CHQ_OK)
        return;
    put_hex(p, "relay", r.relay);
    put_foreign(p, "host", r.host);
    put_number(p, "port", r.port);
    put_number(p, "turn_port", r.turn_port);
    put_hex(p, "tls_pin", r.pin);
    put_credit(p, "price", r.price_micro);
    put_number(p, "quantum_bytes", r.quantum_bytes);
    put_foreign(p, "region", r.region);
}

static void print_channel(struct page *p, const uint8_t id[32], struct chq_bytes value)
{
    static const char *const states[] = {"", "open", "closing", "closed"};
    struct chq_channel_record c;
    if (chq_channel_record_read(value, &c) != CHQ_OK)
        return;
    put_hex(p, "channel", id);
    put_number(p, "number", c.number);
    put_text(p, "state", states[c.state], true);
    put_hex(p, "payer", c.payer);
    put_hex(p, "payee", c.payee);
    put_credit(p, "deposit", c.deposit_micro);
    put_credit(p, "settled", c.last_index * c.price_micro);
    put_number(p, "settled_tokens", c.last_index);
    put_number(p, "tokens", c.tokens);
    put_credit(p, "price", c.price_micro);
    put_number(p, "quantum_bytes", c.quantum_bytes);
    put_number(p, "expiry", c.expiry_s);
}

static void end_page(struct page *p, uint64_t height)
{
    put_number(p, "proved_at_height", height);
    if (p->json)
        printf("}\n");
}

static enum chq_err query_info(struct session *s, struct page *p)
{
    const struct chq_ledger_request request = {.type = CHQ_LEDGER_INFO};
    struct chq_light_answer answer;
    struct chq_ledger_reply reply;
    CHQ_TRY(chq_call_ask(&s->call, &request, s->reason));
    if (chq_ledger_reply_read(chq_bytes(s->call.reply, s->call.reply_size), &reply) != CHQ_OK ||
        reply.err != CHQ_OK) {
        snprintf(s->reason, sizeof s->reason, "the ledger refused: %.*s", (int)reply.reason.size,
            reply.reason.size > 0 ? (const char *)reply.reason.data : "");
        return CHQ_IO;
    }
    enum chq_err err = chq_light_verify_header(s->light, reply.signed_header, (uint64_t)time(NULL), &answer);
    if (err != CHQ_OK) {
        snprintf(s->reason, sizeof s->reason, "%s", answer.reason);
        return err;
    }
    put_text(p, "chain_id", s->genesis.chain_id, true);
    put_number(p, "height", answer.height);
    put_number(p, "time", (uint64_t)answer.time_s);
    put_credit(p, "issued", reply.issued_micro);
    put_credit(p, "balances", reply.balances_micro);
    put_credit(p, "deposits", reply.deposits_micro);
    put_text(p, "conserved",
        reply.issued_micro == reply.balances_micro + reply.deposits_micro ? "true" : "false", false);
    if (p->json)
        printf("}\n");
    return CHQ_OK;
}

/* An account and what hangs on it. */
static enum chq_err query_account(struct session *s, const char *name, struct page *p)
{
    struct chq_light_answer answer;
    uint8_t id[32];
    CHQ_TRY(find_account(s, name, id));
    CHQ_TRY(look_up(s, CHQ_RECORD_ACCOUNT, id, &answer));
    if (!answer.present) {
        snprintf(s->reason, sizeof s->reason, "there is no such account (proved at height %" PRIu64 ")",
            answer.height);
        return CHQ_NOT_FOUND;
    }
    print_account(p, id, answer.value);
    CHQ_TRY(look_up(s, CHQ_RECORD_DEVICES, id, &answer));
    if (answer.present)
        print_devices(p, answer.value);
    end_page(p, answer.height);
    return CHQ_OK;
}

static enum chq_err query_record(
    struct session *s, enum chq_record_kind kind, const char *name, struct page *p)
{
    struct chq_light_answer answer;
    uint8_t key[32];
    if (kind == CHQ_RECORD_RELAY) {
        CHQ_TRY(find_account(s, name, key));
    } else if (strlen(name) != 64 || chq_hex_read(name, key, 32) != CHQ_OK) {
        snprintf(s->reason, sizeof s->reason, "a channel id has 64 hexadecimal digits");
        return CHQ_MALFORMED;
    }
    CHQ_TRY(look_up(s, kind, key, &answer));
    if (!answer.present) {
        snprintf(s->reason, sizeof s->reason, "there is no such %s (proved at height %" PRIu64 ")",
            kind == CHQ_RECORD_RELAY ? "relay" : "channel", answer.height);
        return CHQ_NOT_FOUND;
    }
    if (kind == CHQ_RECORD_RELAY)
        print_relay(p, answer.value);
    else
        print_channel(p, key, answer.value);
    end_page(p, answer.height);
    return CHQ_OK;
}

int chq_ledger_query(const struct chq_ledger_options *options, const char *what, const char *name)
{
    struct page page = {.json = options->json};
    struct session *s = malloc(sizeof *s);
    int status = 0;
    if (s == NULL)
        return complain("out of memory");
    if (options->dir == NULL) {
        free(s);
        complain("say which chain with --dir DIR: its genesis is what the answer is checked against");
        return CHQ_EXIT_USAGE;
    }
    enum chq_err err = open_session(s, options);
    if (err != CHQ_OK)
        status = complain(s->reason);
    else if (strcmp(what, "info") == 0)
        err = query_info(s, &page);
    else if (strcmp(what, "relay") == 0)
        err = query_record(s, CHQ_RECORD_RELAY, name, &page);
    else if (strcmp(what, "channel") == 0)
        err = query_record(s, CHQ_RECORD_CHANNEL, name, &page);
    else
        err = query_account(s, name, &page);
    if (err != CHQ_OK && status == 0)
        status = complain(s->reason[0] != '\0' ? s->reason : chq_err_string(err));
    close_session(s);
    return status;
}

/* ---- issue ---- */

static enum chq_err submit_issue(struct session *s, const uint8_t to[32], uint64_t micro, uint64_t *height)
{
    struct chq_sign_pair pair;
    uint8_t seed[CHQ_SEED_BYTES], id[32];
    struct chq_light_answer answer;
    struct chq_account_record issuer;
    struct chq_ledger_reply reply;
    chq_inception_account_id(id, &s->genesis.issuer);
    CHQ_TRY(look_up(s, CHQ_RECORD_ACCOUNT, id, &answer));
    if (!answer.present || chq_account_record_read(answer.value, &issuer) != CHQ_OK)
        return CHQ_NOT_FOUND;
    struct chq_operation op = {.type = CHQ_OPERATION_ISSUE, .issue.micro = micro};
    struct chq_batch batch = {.chain_id = chq_bytes_text(s->genesis.chain_id), .nonce = issuer.nonce};
    memcpy(op.issue.to, to, 32);
    memcpy(batch.signer, id, 32);
    CHQ_TRY(chq_key_load(s->options->dir, CHQ_ISSUER_FILE, seed, s->reason));
    chq_sign_pair_from_seed(&pair, seed);
    struct chq_writer body = chq_writer_heap(1024), w = chq_writer_heap(2048);
    chq_batch_put(&body, &batch, &op, 1);
    chq_signed_write(&w, &pair, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    chq_wipe(seed, sizeof seed);
    chq_wipe(&pair, sizeof pair);
    const struct chq_ledger_request request = {
        .type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_writer_bytes(&w)};
    enum chq_err err = chq_call_ask(&s->call, &request, s->reason);
    chq_writer_free(&body);
    chq_writer_free(&w);
    if (err == CHQ_OK)
        err = chq_ledger_reply_read(chq_bytes(s->call.reply, s->call.reply_size), &reply);
    if (err == CHQ_OK && reply.err != CHQ_OK) {
        snprintf(s->reason, sizeof s->reason, "the ledger refused: %.*s", (int)reply.reason.size,
            reply.reason.size > 0 ? (const char *)reply.reason.data : "");
        err = reply.err;
    }
    if (err == CHQ_OK)
        *height = reply.height;
    return err;
}

int chq_ledger_issue(const struct chq_ledger_options *options)
{
    int64_t micro = 0;
    uint64_t height = 0;
    uint8_t to[32];
    if (options->dir == NULL || options->to == NULL || options->amount == NULL) {
        complain("usage: chasqui-ledger issue --dir DIR --to ACCOUNT --amount CREDIT");
        return CHQ_EXIT_USAGE;
    }
    if (chq_credit_read(options->amount, &micro) != CHQ_OK || micro <= 0) {
        complain("--amount takes credit above 0 with at most 6 decimal places, as 100 or 2.5");
        return CHQ_EXIT_USAGE;
    }
    struct session *s = malloc(sizeof *s);
    if (s == NULL)
        return complain("out of memory");
    enum chq_err err = open_session(s, options);
    if (err == CHQ_OK)
        err = find_account(s, options->to, to);
    if (err == CHQ_OK)
        err = submit_issue(s, to, (uint64_t)micro, &height);
    if (err == CHQ_OK && options->json)
        printf("{\"issued\":\"%s\",\"height\":%" PRIu64 "}\n", options->amount, height);
    else if (err == CHQ_OK)
        printf("issued %s credit to %s in block %" PRIu64 "\n", options->amount, options->to, height);
    else
        complain(s->reason[0] != '\0' ? s->reason : chq_err_string(err));
    close_session(s);
    return err == CHQ_OK ? 0 : 1;
}
