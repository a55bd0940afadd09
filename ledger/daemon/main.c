/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "core/crypto/keys.h"
#include "ledger/daemon/commands.h"

static const char help[] =
    "chasqui-ledger: who is owed what. One chain, one folder; the embedded engine with one validator.\n"
    "\n"
    "usage: chasqui-ledger VERB --dir DIR [OPTIONS]\n"
    "\n"
    "  init    --chain-id NAME          make a new chain in DIR: genesis, validator key, issuer key\n"
    "  run     [--socket PATH] [--listen ADDRESS] [--verbose]\n"
    "                                   serve it on a Unix socket (DIR/ledger.sock, for your user only), and "
    "on a\n"
    "                                   loopback TCP address if given, as 127.0.0.1:7400; SIGTERM stops it;\n"
    "                                   DIR/ledger.conf holds the same settings, with comments\n"
    "  query   info                     height, supply and conservation\n"
    "  query   account ID|HANDLE        balance, handle, devices\n"
    "  query   relay ID|HANDLE          where a relay is and what it takes\n"
    "  query   channel ID               deposit and what was settled\n"
    "                                   each answer is checked against DIR/genesis.cbor before it is shown\n"
    "  issue   --to ID|HANDLE --amount CREDIT\n"
    "                                   issue credit with DIR/issuer.key through the running ledger\n"
    "  verify                           check every block, signature and balance on disk (with the ledger "
    "stopped)\n"
    "\n"
    "Options\n"
    "  --dir DIR        the chain's folder\n"
    "  --socket PATH    another place for the Unix socket\n"
    "  --json           answers as one JSON object\n"
    "  --help, --version\n"
    "\n"
    "A first chain\n"
    "  chasqui-ledger init --dir /tmp/chain --chain-id home-1\n"
    "  chasqui-ledger run --dir /tmp/chain &\n"
    "  chasqui-ledger query info --dir /tmp/chain\n"
    "\n"
    "Exit status: 0 done, 1 refused or failed (stderr says why), 2 wrong usage.\n";

enum { OPT_DIR = 256, OPT_SOCKET, OPT_LISTEN, OPT_CHAIN_ID, OPT_TO, OPT_AMOUNT, OPT_JSON, OPT_VERSION };

static const struct option long_options[] = {{"dir", required_argument, NULL, OPT_DIR},
    {"socket", required_argument, NULL, OPT_SOCKET}, {"listen", required_argument, NULL, OPT_LISTEN},
    {"chain-id", required_argument, NULL, OPT_CHAIN_ID}, {"to", required_argument, NULL, OPT_TO},
    {"amount", required_argument, NULL, OPT_AMOUNT}, {"json", no_argument, NULL, OPT_JSON},
    {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, OPT_VERSION}, {0}};

static int usage(const char *what)
{
    fprintf(stderr, "chasqui-ledger: %s; 'chasqui-ledger --help' tells the rest\n", what);
    return CHQ_EXIT_USAGE;
}

static int read_options(int argc, char **argv, struct chq_ledger_options *o)
{
    int c;
    while ((c = getopt_long(argc, argv, "hv", long_options, NULL)) != -1) {
        switch (c) {
        case OPT_DIR: o->dir = optarg; break;
        case OPT_SOCKET: o->socket = optarg; break;
        case OPT_LISTEN: o->listen = optarg; break;
        case OPT_CHAIN_ID: o->chain_id = optarg; break;
        case OPT_TO: o->to = optarg; break;
        case OPT_AMOUNT: o->amount = optarg; break;
        case OPT_JSON: o->json = true; break;
        case 'v': o->verbose = true; break;
        case 'h': fputs(help, stdout); exit(0);
        case OPT_VERSION: puts("chasqui-ledger 0.1.0"); exit(0);
        default: return usage("that option is not known");
        }
    }
    return 0;
}

static int query(const struct chq_ledger_options *options, int count, char **words)
{
    const char *what = count > 0 ? words[0] : "";
    if (strcmp(what, "info") == 0 && count == 1)
        return chq_ledger_query(options, what, "");
    static const char *const kinds[] = {"account", "handle", "relay", "channel"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(what, kinds[i]) == 0 && count == 2)
            return chq_ledger_query(options, what, words[1]);
    return usage("query takes: info, account ID|HANDLE, relay ID|HANDLE, or channel ID");
}

int main(int argc, char **argv)
{
    struct chq_ledger_options options = {0};
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* keys are in memory: no core files, */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core pipes, no other process of this user looking in */
    int status = read_options(argc, argv, &options);
    if (status != 0)
        return status;
    if (optind == argc) {
        fputs(help, stderr);
        return CHQ_EXIT_USAGE;
    }
    if (chq_crypto_init() != CHQ_OK)
        return usage("the system gives no randomness");
    const char *verb = argv[optind++];
    if (strcmp(verb, "query") == 0)
        return query(&options, argc - optind, argv + optind);
    if (optind != argc)
        return usage("there is a word too many");
    if (strcmp(verb, "init") == 0)
        return chq_ledger_init(&options);
    if (strcmp(verb, "run") == 0)
        return chq_ledger_run(&options);
    if (strcmp(verb, "issue") == 0)
        return chq_ledger_issue(&options);
    if (strcmp(verb, "verify") == 0)
        return chq_ledger_verify(&options);
    return usage("there is no such verb");
}
