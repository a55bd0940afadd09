/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_SIM_LEDGER_ORACLE_H
#define CHQ_TESTS_SIM_LEDGER_ORACLE_H

/*
 * The model: what docs/protocol.md section 5 promises, in the plainest bookkeeping. It knows people by number, not by
 * key, and shares no code with ledger/state. It says whether an operation must be taken, and if not, with which
 * error codes it may be refused (every rule that it breaks counts, in whatever order the state looks at them).
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

#define PEOPLE       400 /* number 0 is the issuer */
#define CHANNELS_MAX 40000
#define HANDLES      300
#define GRACE_S      120
#define SUPPLY_MAX   2000000000ull

struct person {
    bool exists;
    uint64_t nonce, balance;
    uint32_t list_version;
    int handle; /* -1: none */
    bool has_commit;
    int commit_handle; /* what the commit holds */
    uint8_t commit_salt;
    uint64_t commit_height, commit_s;
};

struct model_channel {
    int payer, payee;
    uint64_t deposit, price, tokens, settled, expiry_s;
    int state; /* 1 open, 2 closing, 3 closed */
    uint8_t id[32]; /* for the simulation's use */
    uint8_t end[32];
};

/* A line of the books as it was before the batch in hand touched it. */
struct model_undo {
    enum { UNDO_PERSON, UNDO_CHANNEL, UNDO_HANDLE } kind;
    uint32_t index;
    struct person person;
    struct model_channel channel;
    int handle_owner;
};

struct model {
    struct model_undo undo[256];
    unsigned undo_count;
    uint64_t issued_before;
    uint32_t channels_before;
    struct person people[PEOPLE];
    int handle_owner[HANDLES]; /* -1: free */
    uint64_t issued;
    uint64_t height, now_s; /* of the block in hand */
    uint32_t channels_count;
    struct model_channel channels[CHANNELS_MAX];
};

/* Begin a batch; take back all that it did since. */
void model_begin(struct model *m);
void model_take_back(struct model *m);
/* A person's line, to be changed. */
struct person *model_person(struct model *m, int i);

/* Which errors may come back: bit 1 << code; 0: the operation must be taken. */
uint32_t model_issue(struct model *m, int signer, int to, uint64_t micro);
uint32_t model_transfer(struct model *m, int signer, int to, uint64_t micro);
uint32_t model_commit(struct model *m, int signer, int handle, uint8_t salt);
uint32_t model_reveal(struct model *m, int signer, int handle, uint8_t salt);
uint32_t model_list(struct model *m, int signer, uint32_t version);
uint32_t model_open(struct model *m, int payer, int payee, uint64_t deposit, uint64_t price, uint64_t tokens,
    uint64_t expiry_s);
uint32_t model_top_up(struct model *m, int signer, uint32_t channel, uint64_t micro);
uint32_t model_settle(struct model *m, uint32_t channel, uint64_t index, bool token_is_good);
uint32_t model_close(struct model *m, int signer, uint32_t channel);
uint32_t model_expire(struct model *m, uint32_t channel);

/* Sum all anew: whether issued = balances + deposits, and what they are. */
bool model_conserves(const struct model *m, uint64_t *balances, uint64_t *deposits);

#define MAY(code) (1u << (code))

#endif
