/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/daemon/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/crypto/keys.h"
#include "core/crypto/system.h"
#include "core/wire/genesis.h"
#include "ledger/daemon/config.h"
#include "ledger/daemon/server.h"
#include "ledger/engine/embedded.h"

static int complain(const char *reason)
{
    fprintf(stderr, "chasqui-ledger: %s\n", reason);
    return 1;
}

static bool has_dir(const struct chq_ledger_options *options)
{
    if (options->dir == NULL)
        complain("say which chain with --dir DIR");
    return options->dir != NULL;
}

static bool socket_path(const struct chq_ledger_options *options, char out[PATH_MAX])
{
    int n = options->socket != NULL ? snprintf(out, PATH_MAX, "%s", options->socket)
                                    : snprintf(out, PATH_MAX, "%s/%s", options->dir, CHQ_LEDGER_SOCKET_FILE);
    return n > 0 && n < PATH_MAX;
}

/* ---- init ---- */

/* A key of a new chain: random seed, its file, its public half. */
static enum chq_err make_key(const char *dir, const char *name, uint8_t public_key[32], char *reason)
{
    struct chq_random random = chq_system_random();
    struct chq_sign_pair pair;
    uint8_t seed[CHQ_SEED_BYTES];
    chq_random_fill(&random, seed, sizeof seed);
    chq_sign_pair_from_seed(&pair, seed);
    memcpy(public_key, pair.public_key, 32);
    enum chq_err err = chq_file_make(dir, name, chq_bytes(seed, sizeof seed), reason);
    chq_wipe(seed, sizeof seed);
    chq_wipe(&pair, sizeof pair);
    return err;
}

static enum chq_err make_chain(
    const struct chq_ledger_options *options, struct chq_genesis *genesis, char *reason)
{
    uint8_t next_key[32], unused[32];
    struct chq_random random = chq_system_random();
    struct chq_writer w = chq_writer_heap(CHQ_GENESIS_BYTES_MAX);
    char path[PATH_MAX];
    struct stat st;
    enum chq_err err = CHQ_IO;
    snprintf(path, sizeof path, "%s/%s", options->dir, CHQ_GENESIS_FILE);
    if (stat(path, &st) == 0) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "%.300s holds a chain already; nothing was changed",
            options->dir);
        return CHQ_EXISTS;
    }
    if (mkdir(options->dir, 0700) != 0 && errno != EEXIST) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot make the folder %.200s: %s", options->dir,
            strerror(errno));
        return CHQ_IO;
    }
    *genesis = (struct chq_genesis){.time_s = (uint64_t)time(NULL),
        .validators_count = 1,
        .validators = {{.power = 1}},
        .supply_max_micro = (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX,
        .channel_grace_s = CHQ_CHANNEL_GRACE_S_DEFAULT};
    snprintf(genesis->chain_id, sizeof genesis->chain_id, "%s", options->chain_id);
    /* The issuer's next key is thrown away until key rotation exists: a hash that nobody can open. */
    chq_random_fill(&random, unused, sizeof unused);
    struct chq_sign_pair next;
    chq_sign_pair_from_seed(&next, unused);
    memcpy(next_key, next.public_key, sizeof next_key);
    chq_wipe(&next, sizeof next);
    chq_next_key_hash(genesis->issuer.next_key_hash, next_key);
    err = make_key(options->dir, CHQ_ISSUER_FILE, genesis->issuer.root_key, reason);
    if (err == CHQ_OK)
        err = make_key(options->dir, CHQ_VALIDATOR_FILE, genesis->validators[0].key, reason);
    if (err == CHQ_OK) {
        chq_genesis_put(&w, genesis);
        err = chq_writer_finish(&w);
    }
    if (err == CHQ_OK)
        err = chq_file_make(options->dir, CHQ_GENESIS_FILE, chq_writer_bytes(&w), reason);
    if (err == CHQ_OK)
        err = chq_file_make(
            options->dir, CHQ_LEDGER_CONFIG_FILE, chq_bytes_text(chq_ledger_config_template), reason);
    chq_writer_free(&w);
    return err;
}

int chq_ledger_init(const struct chq_ledger_options *options)
{
    static struct chq_genesis genesis;
    char reason[CHQ_ENGINE_REASON_BYTES] = "", issuer[65], validator[65];
    uint8_t id[32];
    struct chq_engine *engine = NULL;
    if (!has_dir(options))
        return CHQ_EXIT_USAGE;
    if (options->chain_id == NULL || !chq_chain_id_is_valid(chq_bytes_text(options->chain_id))) {
        complain("name the chain with --chain-id NAME: 1 to 50 letters, digits, - and _");
        return CHQ_EXIT_USAGE;
    }
    if (make_chain(options, &genesis, reason) != CHQ_OK)
        return complain(reason);
    const struct chq_embedded_config config = {.dir = options->dir};
    if (chq_embedded_open(&engine, &config, NULL, reason) != CHQ_OK)
        return complain(reason);
    chq_engine_close(engine);
    chq_inception_account_id(id, &genesis.issuer);
    chq_hex_write(chq_bytes(id, 32), issuer);
    chq_hex_write(chq_bytes(genesis.validators[0].key, 32), validator);
    if (options->json) {
        printf("{\"chain_id\":\"%s\",\"issuer\":\"%s\",\"validator\":\"%s\",\"dir\":\"", genesis.chain_id,
            issuer, validator);
        for (const char *p = options->dir; *p != '\0'; p++)
            (unsigned char)*p < 0x20 || *p == '"' || *p == '\\' ? printf("\\u%04x", (unsigned char)*p)
                                                                : putchar(*p);
        printf("\"}\n");
        return 0;
    }
    printf("made the chain '%s' in %s\n", genesis.chain_id, options->dir);
    printf("  issuer     %s   (account that issues credit; key in %s)\n", issuer, CHQ_ISSUER_FILE);
    printf("  validator  %s   (signs the blocks; key in %s)\n", validator, CHQ_VALIDATOR_FILE);
    printf(
        "  %s is what relays and clients trust: give them a copy, never the key files\n", CHQ_GENESIS_FILE);
    printf("next: chasqui-ledger run --dir %s\n", options->dir);
    return 0;
}

/* ---- run ---- */

/* Read DIR/ledger.conf, if it is there, under what the command line says. */
static enum chq_err read_config(
    struct chq_ledger_options *options, struct chq_ledger_config *config, char *reason)
{
    static uint8_t text[CHQ_LEDGER_CONFIG_BYTES_MAX];
    char path[PATH_MAX];
    *config = (struct chq_ledger_config){0};
    snprintf(path, sizeof path, "%s/%s", options->dir, CHQ_LEDGER_CONFIG_FILE);
    FILE *f = fopen(path, "re");
    if (f == NULL && errno == ENOENT)
        return CHQ_OK;
    size_t size = f != NULL ? fread(text, 1, sizeof text, f) : 0;
    bool failed = f == NULL || ferror(f) != 0 || size == sizeof text;
    if (f != NULL)
        fclose(f);
    if (failed) {
        snprintf(reason, CHQ_ENGINE_REASON_BYTES, "cannot read %.300s, or it is too long", path);
        return CHQ_IO;
    }
    CHQ_TRY(chq_ledger_config_read(config, chq_bytes(text, size), reason));
    if (options->socket == NULL && config->socket[0] != '\0')
        options->socket = config->socket;
    if (options->listen == NULL && config->listen[0] != '\0')
        options->listen = config->listen;
    options->verbose = options->verbose || config->verbose;
    return CHQ_OK;
}

struct ready_note {
    const char *socket, *listen;
    const struct chq_log *log;
};

static void tell_ready(void *context)
{
    const struct ready_note *note = context;
    chq_logf(note->log, CHQ_LOG_NOTICE, "ready at %s%s%s", note->socket, note->listen != NULL ? " and " : "",
        note->listen != NULL ? note->listen : "");
    sd_notify(0, "READY=1");
}

int chq_ledger_run(const struct chq_ledger_options *given)
{
    static struct chq_ledger_config file;
    struct chq_ledger_options own = *given;
    const struct chq_ledger_options *options = &own;
    char reason[CHQ_ENGINE_REASON_BYTES] = "", path[PATH_MAX];
    struct chq_random random = chq_system_random();
    struct chq_engine *engine = NULL;
    struct chq_embedded_report report;
    if (!has_dir(options))
        return CHQ_EXIT_USAGE;
    if (read_config(&own, &file, reason) != CHQ_OK)
        return complain(reason);
    struct chq_log log = chq_log_stderr(options->verbose ? CHQ_LOG_INFO : CHQ_LOG_NOTICE);
    struct chq_embedded_config config = {.dir = options->dir, .log = &log};
    if (!socket_path(options, path))
        return complain("the socket's path is too long");
    chq_random_fill(&random, (uint8_t *)&config.seed, sizeof config.seed);
    if (chq_embedded_open(&engine, &config, &report, reason) != CHQ_OK)
        return complain(reason);
    chq_logf(&log, CHQ_LOG_NOTICE,
        "chain '%s' at height %" PRIu64 " (snapshot %" PRIu64 ", %" PRIu64 " batches replayed)",
        chq_embedded_genesis(engine)->chain_id, report.height, report.snapshot_height,
        report.replayed_batches);
    struct ready_note note = {.socket = path, .listen = options->listen, .log = &log};
    const struct chq_server_config server = {
        .socket_path = path, .listen = options->listen, .log = &log, .ready = tell_ready, .context = &note};
    enum chq_err err = chq_server_run(engine, &server, reason);
    sd_notify(0, "STOPPING=1");
    chq_engine_close(engine);
    if (err != CHQ_OK)
        return complain(reason);
    chq_logf(&log, CHQ_LOG_NOTICE, "stopped, everything is on disk");
    return 0;
}

/* ---- verify ---- */

int chq_ledger_verify(const struct chq_ledger_options *options)
{
    char reason[CHQ_ENGINE_REASON_BYTES] = "", root[65], issued[32], balances[32], deposits[32];
    struct chq_log log = chq_log_stderr(CHQ_LOG_WARNING);
    struct chq_engine *engine = NULL;
    struct chq_embedded_report report;
    const struct chq_embedded_config config = {.dir = options->dir, .log = &log, .check = true};
    uint8_t hash[32];
    if (!has_dir(options))
        return CHQ_EXIT_USAGE;
    if (chq_embedded_open(&engine, &config, &report, reason) != CHQ_OK)
        return complain(reason);
    const struct chq_state *state = chq_embedded_state(engine);
    bool conserved = chq_state_conserves(state);
    struct chq_state_totals totals = chq_state_totals(state);
    chq_state_root(state, hash);
    chq_hex_write(chq_bytes(hash, 32), root);
    chq_credit_write((int64_t)totals.issued_micro, issued);
    chq_credit_write((int64_t)totals.balances_micro, balances);
    chq_credit_write((int64_t)totals.deposits_micro, deposits);
    if (options->json)
        printf("{\"height\":%" PRIu64 ",\"snapshot_height\":%" PRIu64 ",\"replayed_batches\":%" PRIu64
               ",\"state_root\":\"%s\",\"issued\":\"%s\",\"balances\":\"%s\",\"deposits\":\"%s\","
               "\"conserved\":%s}\n",
            report.height, report.snapshot_height, report.replayed_batches, root, issued, balances, deposits,
            conserved ? "true" : "false");
    else
        printf("height %" PRIu64 ": snapshot of height %" PRIu64 " fits its root, %" PRIu64
               " batches after it replay, signatures and votes are good\n"
               "state root  %s\nissued      %s credit\nbalances    %s\ndeposits    %s\nconserved   %s\n",
            report.height, report.snapshot_height, report.replayed_batches, root, issued, balances, deposits,
            conserved ? "yes: issued = balances + deposits" : "NO");
    chq_engine_close(engine);
    return conserved ? 0 : 1;
}
