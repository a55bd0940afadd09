/* SPDX-License-Identifier: Apache-2.0 */
/* sim [--seed N [--verbose]] [--seeds FROM COUNT] [--mutation M] : see --help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/text.h"
#include "tests/sim/chasqui/sim.h"

static const char *const mutation_names[MUTATIONS] = {"none", "relay answers before its disk has it",
    "client sends before its disk has it", "ledger answers before its journal has the block",
    "ledger credits a settlement twice", "relay does not store tokens", "client forgets released tokens"};

static int usage(void)
{
    puts("usage: chq_sim --seeds FROM COUNT     run COUNT seeds; print the first that breaks a rule\n"
         "       chq_sim --seed N [--verbose]   run one seed and print all that happens\n"
         "       chq_sim --seed N --mutation M  the same, with rule M (1, 2, ...) broken\n"
         "       chq_sim --mutation             break one rule at a time; every one must be noticed\n"
         "       chq_sim --trace [FILE]         a calm day as text; compared with FILE\n"
         "       chq_sim --memory RUNS          the same day, with another allocation of the clients failing "
         "each time\n"
         "Clients, relays and a ledger in one process on a virtual clock, with lost connections, delays, "
         "crashes and\n"
         "lying relays, all from the seed. Exits 0 when every rule held.");
    return 2;
}

/* A seed decides how big the world is and how bad the weather. */
static struct sim_options options_of(uint64_t seed)
{
    struct sim_options o = {.clients = 2u + (seed % 7 == 0) + (seed % 13 == 0),
        .relays = 1 + (uint32_t)(seed % 3),
        .messages = 6};
    o.faults_from_us = seed % 4 * 3000000;
    o.faults_until_us = o.faults_from_us + 20000000 + seed % 5 * 10000000;
    o.crash = seed % 3 == 0 ? 0 : 20;
    o.tear = seed % 3 == 0 ? 0 : 3;
    o.loss = seed % 4 == 0 ? 0 : 120;
    o.lie = seed % 5 == 0 ? 0 : 60;
    return o;
}

static void mutate(struct sim_options *o, enum mutation mutation)
{
    o->crash = 10;
    o->tear = 15;
    o->loss = 120;
    o->lie = 0;
    o->mutation = mutation;
}

/* A calm day: ana adds bo by handle, both write twice. The same on every machine, so it can be compared as text. */
static struct sim_options calm_day(FILE *trace)
{
    return (struct sim_options){.clients = 2, .relays = 2, .messages = 3, .calm = true, .trace = trace};
}

static int run_trace(const char *path)
{
    char why[512], *text = NULL, *expected;
    size_t size = 0, n = 0;
    FILE *memory = open_memstream(&text, &size), *file = path != NULL ? fopen(path, "r") : NULL;
    struct sim *totals = sim_alloc(sizeof *totals);
    CHQ_ASSERT(memory != NULL);
    struct sim_options o = calm_day(memory);
    bool ok = sim_run(&o, 5, why, totals);
    fclose(memory);
    free(totals);
    expected = sim_alloc(size + 1);
    if (file != NULL)
        n = fread(expected, 1, size + 1, file);
    if (file != NULL)
        fclose(file);
    bool same = n == size && memcmp(text, expected, size) == 0;
    if (!same || path == NULL)
        fwrite(text, 1, size, stdout);
    printf("%s\n", !ok ? why : same ? "the trace is the expected one" : "this is not the expected trace");
    free(text);
    free(expected);
    return ok && same ? 0 : 1;
}

/* Let one allocation of an agent fail, somewhere: the step is given up, the records are loaded, and all rules hold. */
static int run_memory(uint64_t runs)
{
    char why[512] = "";
    struct sim *totals = sim_alloc(sizeof *totals);
    struct sim_options o = calm_day(NULL);
    bool ok = sim_run(&o, 5, why, totals);
    unsigned long all = memory_allocations;
    uint64_t k = 1, step = all / runs + 1, failed = 0;
    for (; k <= all && ok; k += step, failed++) {
        memory_fail_in = (long)k;
        ok = sim_run(&o, 5, why, totals);
    }
    memory_fail_in = 0;
    printf("%lu allocations, %llu of them failed in turn: %s%s\n", all, (unsigned long long)failed,
        ok ? "every rule held" : "VIOLATION: ", ok ? "" : why);
    free(totals);
    return ok ? 0 : 1;
}

static bool number(const char *text, uint64_t *out)
{
    return chq_decimal_read(text, UINT64_MAX, out) == CHQ_OK;
}

static int run_one(uint64_t seed, bool verbose, uint64_t mutation)
{
    char why[512];
    struct sim *totals = sim_alloc(sizeof *totals);
    struct sim_options o = options_of(seed);
    o.verbose = verbose;
    o.trace = verbose ? stdout : NULL;
    if (mutation != MUTATION_NONE)
        mutate(&o, (enum mutation)mutation);
    bool ok = sim_run(&o, seed, why, totals);
    printf("seed %llu: %s\n", (unsigned long long)seed, ok ? "every rule held" : why);
    free(totals);
    return ok ? 0 : 1;
}

static int run_many(uint64_t from, uint64_t count)
{
    char why[512];
    struct sim *totals = sim_alloc(sizeof *totals);
    int status = 0;
    for (uint64_t seed = from; seed < from + count && status == 0; seed++) {
        struct sim_options o = options_of(seed);
        if (!sim_run(&o, seed, why, totals)) {
            printf("seed %llu: %s\nreplay with: chq_sim --seed %llu --verbose\n", (unsigned long long)seed,
                why, (unsigned long long)seed);
            status = 1;
        }
    }
    printf("%llu seeds, %s: %llu messages delivered, %llu frames, %llu crashes, %llu cut connections, %llu "
           "lies told, "
           "%llu warnings given, %.1f hours of their time\n",
        (unsigned long long)count, status == 0 ? "every rule held" : "stopped",
        (unsigned long long)totals->delivered, (unsigned long long)totals->frames,
        (unsigned long long)totals->crashes, (unsigned long long)totals->cuts,
        (unsigned long long)totals->lies, (unsigned long long)totals->lies_noticed,
        (double)totals->now_us / 3.6e9);
    free(totals);
    return status;
}

/* Each broken rule has to be noticed within some seeds, or the checker is worth nothing. */
static int run_mutations(void)
{
    int status = 0;
    for (int m = MUTATION_NONE + 1; m < MUTATIONS; m++) {
        char why[512] = "";
        struct sim *totals = sim_alloc(sizeof *totals);
        uint64_t seed = 1;
        bool held = true;
        for (; seed <= 60 && held; seed++) {
            struct sim_options o = options_of(seed);
            mutate(&o, (enum mutation)m);
            held = sim_run(&o, seed, why, totals);
        }
        printf(
            "%s: %s%s\n", mutation_names[m], held ? "NOT NOTICED in 60 seeds" : "noticed: ", held ? "" : why);
        status = held ? 1 : status;
        free(totals);
    }
    return status;
}

int main(int argc, char **argv)
{
    uint64_t a, b;
    enum chq_err err = chq_crypto_init();
    CHQ_ASSERT(err == CHQ_OK);
    if (argc == 2 && strcmp(argv[1], "--mutation") == 0)
        return run_mutations();
    if (argc == 5 && strcmp(argv[1], "--seed") == 0 && strcmp(argv[3], "--mutation") == 0 &&
        number(argv[2], &a) && number(argv[4], &b) && b < MUTATIONS)
        return run_one(a, true, b);
    if (argc >= 2 && argc <= 3 && strcmp(argv[1], "--trace") == 0)
        return run_trace(argc == 3 ? argv[2] : NULL);
    if (argc == 3 && strcmp(argv[1], "--memory") == 0 && number(argv[2], &a) && a > 0)
        return run_memory(a);
    if (argc >= 3 && strcmp(argv[1], "--seed") == 0 && number(argv[2], &a))
        return run_one(a, argc == 4 && strcmp(argv[3], "--verbose") == 0, MUTATION_NONE);
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0 && number(argv[2], &a) && number(argv[3], &b))
        return run_many(a, b);
    return usage();
}
