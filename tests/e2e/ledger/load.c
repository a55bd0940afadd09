/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: ledger_load setup|run|check DIR
 * setup: make 8 payers and 8 sinks, and give each payer credit.
 * run:   each payer pays its sink 1 microcredit, batch by batch, all pipelined on one connection. Every answered
 *        batch is a line "PAYER NONCE" on stdout, written at once. Ends when the ledger goes away.
 * check: print "PAYER NONCE PAID" as the ledger proves them; exit 1 when the sink did not get exactly what was paid.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/crypto/keys.h"
#include "core/wire/batch.h"
#include "core/wire/inception.h"
#include "core/wire/signed.h"
#include "ledger/daemon/call.h"
#include "ledger/daemon/server.h"
#include "ledger/engine/embedded.h"
#include "ledger/light/light.h"

#define PAYERS 8

struct actor {
    struct chq_sign_pair root;
    uint8_t inception[CHQ_INCEPTION_BYTES];
    uint8_t id[32];
    uint64_t nonce, balance;
    bool exists;
};

static struct chq_genesis genesis;
static struct chq_light *light;
static struct chq_call call;
static struct actor payers[PAYERS], sinks[PAYERS], issuer;
static char reason[CHQ_ENGINE_REASON_BYTES];

static void stop(const char *what)
{
    fprintf(stderr, "ledger_load: %s: %s\n", what, reason);
    exit(1);
}

static void make_actor(struct actor *a, const uint8_t seed[32])
{
    struct chq_inception inception = {0};
    struct chq_writer w = chq_writer_fixed(a->inception, sizeof a->inception);
    chq_sign_pair_from_seed(&a->root, seed);
    memcpy(inception.root_key, a->root.public_key, 32);
    chq_inception_write(&w, &inception);
    chq_inception_account_id(a->id, &inception);
}

static void refresh(struct actor *a)
{
    struct chq_ledger_request request = {.type = CHQ_LEDGER_QUERY, .kind = CHQ_RECORD_ACCOUNT};
    struct chq_light_answer answer;
    struct chq_account_record record;
    memcpy(request.key, a->id, 32);
    if (chq_call_ask(&call, &request, reason) != CHQ_OK)
        stop("query");
    if (chq_light_verify_query(light, CHQ_RECORD_ACCOUNT, a->id, chq_bytes(call.reply, call.reply_size),
            (uint64_t)time(NULL), &answer) != CHQ_OK) {
        memcpy(reason, answer.reason, sizeof answer.reason);
        stop("proof");
    }
    a->exists = answer.present;
    if (answer.present && chq_account_record_read(answer.value, &record) == CHQ_OK) {
        a->nonce = record.nonce;
        a->balance = record.balance_micro;
    }
}

static void put_batch(
    struct chq_writer *w, const struct actor *a, const struct chq_operation *op, uint64_t nonce)
{
    uint8_t storage[1024];
    struct chq_writer body = chq_writer_fixed(storage, sizeof storage);
    struct chq_batch batch = {.chain_id = chq_bytes_text(genesis.chain_id), .nonce = nonce};
    memcpy(batch.signer, a->id, 32);
    chq_batch_put(&body, &batch, op, 1);
    chq_signed_write(w, &a->root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
}

static void submit(struct actor *a, const struct chq_operation *op)
{
    struct chq_writer w = chq_writer_heap(4096);
    struct chq_ledger_reply reply;
    put_batch(&w, a, op, a->nonce);
    const struct chq_ledger_request request = {
        .type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_writer_bytes(&w)};
    if (chq_call_ask(&call, &request, reason) != CHQ_OK)
        stop("submit");
    if (chq_ledger_reply_read(chq_bytes(call.reply, call.reply_size), &reply) != CHQ_OK ||
        reply.err != CHQ_OK) {
        snprintf(reason, sizeof reason, "%.*s", (int)reply.reason.size, (const char *)reply.reason.data);
        stop("refused");
    }
    a->nonce++;
    chq_writer_free(&w);
}

static void setup(const char *dir)
{
    uint8_t seed[32];
    if (chq_key_load(dir, CHQ_ISSUER_FILE, seed, reason) != CHQ_OK)
        stop("issuer key");
    chq_sign_pair_from_seed(&issuer.root, seed);
    chq_inception_account_id(issuer.id, &genesis.issuer);
    refresh(&issuer);
    for (int i = 0; i < 2 * PAYERS; i++) {
        struct actor *a = i < PAYERS ? &payers[i] : &sinks[i - PAYERS];
        const struct chq_operation create = {
            .type = CHQ_OPERATION_CREATE, .create.inception = chq_bytes(a->inception, sizeof a->inception)};
        struct chq_operation issue = {.type = CHQ_OPERATION_ISSUE, .issue.micro = 1000000000};
        submit(a, &create);
        memcpy(issue.issue.to, a->id, 32);
        if (i < PAYERS)
            submit(&issuer, &issue);
    }
}

/* One round: a batch of every payer in flight, then their answers in order. */
static void run_round(void)
{
    struct chq_writer out = chq_writer_heap(64 * 1024);
    for (int i = 0; i < PAYERS; i++) {
        struct chq_operation op = {.type = CHQ_OPERATION_TRANSFER, .transfer.micro = 1};
        struct chq_writer batch = chq_writer_heap(4096), frame = chq_writer_heap(8192);
        memcpy(op.transfer.to, sinks[i].id, 32);
        put_batch(&batch, &payers[i], &op, payers[i].nonce);
        const struct chq_ledger_request request = {
            .type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_writer_bytes(&batch)};
        chq_ledger_request_put(&frame, &request);
        chq_write_u32(&out, (uint32_t)frame.size);
        chq_write_bytes(&out, frame.data, frame.size);
        chq_writer_free(&batch);
        chq_writer_free(&frame);
    }
    if (send(call.fd, out.data, out.size, MSG_NOSIGNAL) != (ssize_t)out.size)
        exit(0);
    chq_writer_free(&out);
    for (int i = 0; i < PAYERS; i++) {
        uint8_t head[4], bytes[1024];
        char line[64];
        struct chq_ledger_reply reply;
        if (recv(call.fd, head, 4, MSG_WAITALL) != 4)
            exit(0);
        size_t size = chq_load_u32(head);
        if (size > sizeof bytes || recv(call.fd, bytes, size, MSG_WAITALL) != (ssize_t)size)
            exit(0);
        if (chq_ledger_reply_read(chq_bytes(bytes, size), &reply) != CHQ_OK || reply.err != CHQ_OK) {
            snprintf(reason, sizeof reason, "%.*s", (int)reply.reason.size, (const char *)reply.reason.data);
            stop("refused");
        }
        int n = snprintf(line, sizeof line, "%d %" PRIu64 "\n", i, payers[i].nonce);
        if (write(STDOUT_FILENO, line, (size_t)n) != n)
            exit(0);
        payers[i].nonce++;
    }
}

static int check(void)
{
    int status = 0;
    for (int i = 0; i < PAYERS; i++) {
        refresh(&payers[i]);
        refresh(&sinks[i]);
        printf("%d %" PRIu64 " %" PRIu64 "\n", i, payers[i].nonce, sinks[i].balance);
        /* The first batch created the account; every other one paid 1. */
        if (sinks[i].balance != payers[i].nonce - 1 || payers[i].balance + sinks[i].balance != 1000000000)
            status = 1;
    }
    return status;
}

int main(int argc, char **argv)
{
    char path[PATH_MAX];
    if (argc != 3 || chq_crypto_init() != CHQ_OK)
        return 2;
    if (chq_genesis_load(argv[2], &genesis, reason) != CHQ_OK)
        stop("genesis");
    const struct chq_light_trust trust = {.chain_id = chq_bytes_text(genesis.chain_id),
        .validators = genesis.validators,
        .validators_count = genesis.validators_count};
    snprintf(path, sizeof path, "%s/%s", argv[2], CHQ_LEDGER_SOCKET_FILE);
    if (chq_light_new(&light, &trust) != CHQ_OK || chq_call_open(&call, path, reason) != CHQ_OK)
        stop("open");
    for (uint8_t i = 0; i < PAYERS; i++) {
        const uint8_t payer_seed[32] = {1, i}, sink_seed[32] = {2, i};
        make_actor(&payers[i], payer_seed);
        make_actor(&sinks[i], sink_seed);
    }
    int status = 0;
    if (strcmp(argv[1], "setup") == 0) {
        setup(argv[2]);
    } else if (strcmp(argv[1], "run") == 0) {
        for (int i = 0; i < PAYERS; i++)
            refresh(&payers[i]);
        for (;;)
            run_round();
    } else {
        status = check();
    }
    chq_call_close(&call);
    chq_light_free(light);
    return status;
}
