/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: bench_ledger ACCOUNTS
 * The embedded engine as it runs: every figure includes parsing, rules, state root and the durable journal (one
 * fdatasync a block); no network and no consensus. One thread, but SQLite's snapshot beside it. As many channels as
 * accounts; a block holds one settlement of each.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/crypto/chain.h"
#include "core/crypto/keys.h"
#include "core/wire/batch.h"
#include "core/wire/inception.h"
#include "core/wire/signed.h"
#include "ledger/engine/embedded.h"

#define CHAIN   "bench-1"
#define ROUNDS  3
#define INDEXES (3 * ROUNDS)
#define RELAYS  10000

struct person {
    struct chq_sign_pair pair;
    uint8_t inception[CHQ_INCEPTION_BYTES];
    uint8_t id[32];
    uint64_t nonce;
};

static struct person *people; /* [0] is the issuer, who opens all channels */
static size_t accounts;
static struct chq_genesis genesis;
static struct chq_engine *engine;
static char dir[] = "/tmp/chq-bench-XXXXXX", reason[CHQ_ENGINE_REASON_BYTES];
/* Indexes that are settled: 1, 2, 3, then by 8, then by 64. */
static const uint64_t indexes[INDEXES] = {1, 2, 3, 11, 19, 27, 91, 155, 219};
static uint8_t (*tokens)[INDEXES][32];

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_ledger: %s: %s\n", what, reason);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name, double *values, int runs, const char *unit)
{
    qsort(values, (size_t)runs, sizeof *values, compare);
    printf("{\"name\":\"ledger.%s\",\"value\":%.6g,\"unit\":\"%s\",\"runs\":%d,\"accounts\":%zu}\n", name,
        values[runs / 2], unit, runs, accounts);
    fflush(stdout);
}

static void make_person(struct person *p, uint64_t number)
{
    uint8_t seed[32] = {9};
    struct chq_inception inception = {0};
    struct chq_writer w = chq_writer_fixed(p->inception, sizeof p->inception);
    chq_store_u64(seed + 8, number);
    chq_sign_pair_from_seed(&p->pair, seed);
    memcpy(inception.root_key, p->pair.public_key, 32);
    chq_inception_write(&w, &inception);
    chq_inception_account_id(p->id, &inception);
    p->nonce = 0;
}

static void told(void *context, const struct chq_engine_outcome *outcome)
{
    (void)context;
    if (outcome->err != CHQ_OK) {
        snprintf(reason, sizeof reason, "%s", outcome->reason);
        fail("refused");
    }
}

static void tick(void)
{
    const struct chq_engine_outcomes outcomes = {.outcome = told};
    while (chq_engine_tick(engine, (uint64_t)time(NULL) * 1000000, &outcomes))
        ;
}

/* Sign a batch of `who`'s into `w`. */
static void put_batch(struct chq_writer *w, struct person *who, const struct chq_operation *ops, size_t n)
{
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX);
    struct chq_batch batch = {.chain_id = chq_bytes_text(CHAIN), .nonce = who->nonce++};
    memcpy(batch.signer, who->id, 32);
    chq_batch_put(&body, &batch, ops, n);
    chq_signed_write(w, &who->pair, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    CHQ_ASSERT(chq_writer_finish(&body) == CHQ_OK && chq_writer_finish(w) == CHQ_OK);
    chq_writer_free(&body);
}

static void submit(struct chq_bytes batch)
{
    enum chq_err err = chq_engine_submit(engine, 1, batch, reason);
    if (err == CHQ_LIMIT) {
        tick();
        err = chq_engine_submit(engine, 1, batch, reason);
    }
    if (err != CHQ_OK)
        fail("submit");
}

static void submit_ops(struct person *who, const struct chq_operation *ops, size_t n)
{
    struct chq_writer w = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
    put_batch(&w, who, ops, n);
    submit(chq_writer_bytes(&w));
    chq_writer_free(&w);
}

static void open_engine(void)
{
    const struct chq_embedded_config config = {.dir = dir};
    if (chq_embedded_open(&engine, &config, NULL, reason) != CHQ_OK)
        fail("open");
}

static void make_chain(void)
{
    uint8_t seed[32] = {77};
    struct chq_sign_pair validator;
    struct chq_writer w = chq_writer_heap(CHQ_GENESIS_BYTES_MAX);
    chq_sign_pair_from_seed(&validator, seed);
    genesis = (struct chq_genesis){.chain_id = CHAIN,
        .time_s = 1,
        .validators_count = 1,
        .validators = {{.power = 1}},
        .supply_max_micro = (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX,
        .channel_grace_s = 120};
    memcpy(genesis.validators[0].key, validator.public_key, 32);
    CHQ_ASSERT(
        chq_inception_read(&genesis.issuer, chq_bytes(people[0].inception, CHQ_INCEPTION_BYTES)) == CHQ_OK);
    chq_genesis_put(&w, &genesis);
    if (mkdtemp(dir) == NULL ||
        chq_file_make(dir, CHQ_GENESIS_FILE, chq_writer_bytes(&w), reason) != CHQ_OK ||
        chq_file_make(dir, CHQ_VALIDATOR_FILE, chq_bytes(seed, 32), reason) != CHQ_OK)
        fail("chain");
    chq_writer_free(&w);
}

static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f != NULL)
        fclose(f);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Channels `first` and up, one for each account; payee: the account itself, or one of RELAYS. */
static void open_channels(uint64_t first, size_t payees, uint64_t length)
{
    static struct chq_operation ops[CHQ_BATCH_OPERATIONS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < accounts; i++) {
        uint8_t id[32], token[32] = {0};
        chq_channel_id(id, chq_bytes_text(CHAIN), people[0].id, people[0].nonce, (uint32_t)n);
        chq_store_u64(token, first + i);
        size_t at = INDEXES;
        while (at > 0 && indexes[at - 1] > length)
            at--;
        for (uint64_t index = length;;
             index--) { /* from the secret end down to the root, keeping what is settled */
            if (at > 0 && indexes[at - 1] == index)
                memcpy(tokens[i][--at], token, 32);
            if (index == 0)
                break;
            chq_chain_step(token, id, 1);
        }
        ops[n] = (struct chq_operation){.type = CHQ_OPERATION_CHANNEL_OPEN,
            .channel_open = {.deposit_micro = 1000,
                .tokens = length,
                .price_micro = 1,
                .quantum_bytes = 65536,
                .expiry_s = (uint64_t)time(NULL) + 100 * 86400}};
        memcpy(ops[n].channel_open.chain_root, token, 32);
        memcpy(ops[n].channel_open.payee, people[1 + i % payees].id, 32);
        if (++n == CHQ_BATCH_OPERATIONS_MAX || i + 1 == accounts) {
            submit_ops(&people[0], ops, n);
            n = 0;
        }
    }
    tick();
}

/* One settlement of every channel in one block; return settlements a second. */
static double settle_round(uint64_t first, size_t which)
{
    static uint8_t records[CHQ_SETTLEMENTS_PER_BATCH_MAX * CHQ_SETTLEMENT_BYTES];
    double seconds = 0;
    for (size_t done = 0; done < accounts;) {
        size_t n = 0;
        /* what fits a block is made first, so that the time is the ledger's alone */
        struct chq_writer batches[40];
        size_t count = 0;
        for (; count < 40 && done < accounts; count++) {
            for (n = 0; n < CHQ_SETTLEMENTS_PER_BATCH_MAX && done < accounts; n++, done++) {
                struct chq_settlement s = {.number = first + done, .index = indexes[which]};
                memcpy(s.token, tokens[done][which], 32);
                chq_settlement_store(records + n * CHQ_SETTLEMENT_BYTES, &s);
            }
            const struct chq_operation op = {.type = CHQ_OPERATION_CHANNEL_SETTLE,
                .channel_settle.records = chq_bytes(records, n * CHQ_SETTLEMENT_BYTES)};
            batches[count] = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
            put_batch(&batches[count], &people[1], &op, 1);
        }
        double start = now();
        for (size_t i = 0; i < count; i++)
            submit(chq_writer_bytes(&batches[i]));
        tick();
        seconds += now() - start;
        for (size_t i = 0; i < count; i++)
            chq_writer_free(&batches[i]);
    }
    return (double)accounts / seconds;
}

static void bench_settlements(void)
{
    static const char *const names[] = {"settle.k1.spread", "settle.k8.spread", "settle.k64.spread"};
    double values[ROUNDS];
    open_channels(0, accounts, indexes[INDEXES - 1]);
    for (size_t k = 0; k < 3; k++) {
        for (size_t r = 0; r < ROUNDS; r++)
            values[r] = settle_round(0, k * ROUNDS + r);
        print(names[k], values, ROUNDS, "settlements/s (root, journal; no consensus)");
    }
    open_channels(accounts, accounts < RELAYS ? accounts : RELAYS, ROUNDS);
    for (size_t r = 0; r < ROUNDS; r++)
        values[r] = settle_round(accounts, r);
    print("settle.k1.relays", values, ROUNDS, "settlements/s (root, journal; no consensus)");
}

/* Transfers that are signed one by one: each its own batch. */
static void bench_transfers(void)
{
    enum { N = 4000 };
    double values[ROUNDS];
    static struct chq_writer batches[N];
    struct chq_operation fund = {.type = CHQ_OPERATION_ISSUE, .issue.micro = 100};
    for (size_t i = 1; i <= N; i++) {
        memcpy(fund.issue.to, people[1 + i % accounts].id, 32);
        submit_ops(&people[0], &fund, 1);
    }
    tick();
    for (int r = 0; r < ROUNDS; r++) {
        for (size_t i = 0; i < N; i++) {
            struct chq_operation op = {.type = CHQ_OPERATION_TRANSFER, .transfer.micro = 1};
            memcpy(op.transfer.to, people[1 + (i * 7) % accounts].id, 32);
            batches[i] = chq_writer_heap(4096);
            put_batch(&batches[i], &people[1 + (i + 1) % accounts], &op, 1);
        }
        double start = now();
        for (size_t i = 0; i < N; i++)
            submit(chq_writer_bytes(&batches[i]));
        tick();
        values[r] = N / (now() - start);
        for (size_t i = 0; i < N; i++)
            chq_writer_free(&batches[i]);
    }
    print("transfer.signed", values, ROUNDS, "transfers/s (1 thread, root, journal; no consensus)");
}

static void bench_primitive(void)
{
    enum { N = 4000 };
    double values[ROUNDS];
    uint8_t signature[64], message[32] = {5};
    chq_ed25519_sign(signature, &people[1].pair, chq_bytes(message, sizeof message));
    for (int r = 0; r < ROUNDS; r++) {
        double start = now();
        for (int i = 0; i < N; i++)
            if (chq_ed25519_verify(
                    signature, people[1].pair.public_key, chq_bytes(message, sizeof message)) != CHQ_OK)
                fail("verify");
        values[r] = N / (now() - start);
    }
    print("verify.primitive", values, ROUNDS, "Ed25519 verifications/s (1 thread)");
}

static void bench_start(void)
{
    double values[ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        chq_engine_close(engine);
        double start = now();
        open_engine();
        values[r] = now() - start;
    }
    print("start", values, ROUNDS, "s (2 channels an account)");
}

static void remove_chain(void)
{
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    const struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        unlink(path);
    }
    if (d != NULL)
        closedir(d);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    accounts = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    if (accounts < 1000 || accounts > 5000000 || chq_crypto_init() != CHQ_OK)
        return fprintf(stderr, "usage: bench_ledger ACCOUNTS (1000 to 5000000)\n"), 2;
    people = calloc(accounts + 1, sizeof *people);
    tokens = calloc(accounts, sizeof *tokens);
    CHQ_ASSERT(people != NULL && tokens != NULL);
    for (size_t i = 0; i <= accounts; i++)
        make_person(&people[i], i);
    make_chain();
    open_engine();
    memset(tokens, 1, accounts * sizeof *tokens); /* have it resident before memory is looked at */
    size_t before = resident_bytes();
    for (size_t i = 1; i <= accounts; i++) {
        const struct chq_operation op = {.type = CHQ_OPERATION_CREATE,
            .create.inception = chq_bytes(people[i].inception, sizeof people[i].inception)};
        submit_ops(&people[i], &op, 1);
    }
    tick();
    chq_engine_close(engine); /* what blocks and snapshots needed is gone after a new start */
    open_engine();
    double per_account = (double)(resident_bytes() - before) / (double)accounts;
    struct chq_operation fund = {.type = CHQ_OPERATION_ISSUE, .issue.micro = 3000000000000};
    memcpy(fund.issue.to, people[0].id, 32);
    submit_ops(&people[0], &fund, 1);
    tick();
    bench_primitive();
    bench_transfers();
    bench_settlements();
    bench_start();
    print("memory", &per_account, 1, "B/account, process, with tree and index");
    chq_engine_close(engine);
    remove_chain();
    free(people);
    free(tokens);
    return 0;
}
