/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_DAEMON_WALLET_H
#define CHQ_RELAY_DAEMON_WALLET_H

#include "core/identity/account.h"
#include "ledger/light/light.h"
#include "relay/daemon/config.h"
#include "relay/daemon/ledger_link.h"
#include "relay/daemon/store.h"

/*
 * The relay's own account: it registers itself (create, relay set), pays starting allowances and puts settlements on the
 * ledger. One batch is under way at a time, so a nonce names one batch only; that is how an allowance whose answer was
 * lost is known to be paid or not.
 */
struct chq_wallet;

struct chq_wallet_config {
    const struct chq_account *account; /* borrowed */
    const struct chq_relay_config *config; /* borrowed */
    uint8_t pin[32]; /* of our TLS key */
    struct chq_ledger_link *link;
    struct chq_light *light;
    struct chq_store *store;
    struct chq_log log;
};

struct chq_wallet_done {
    void (*call)(void *context, uint64_t tag, enum chq_err err, const char *reason);
    void *context;
    uint64_t tag;
    void (*drop)(void *context); /* may be NULL: called instead when the wallet is freed before the end */
};

CHQ_MUST_CHECK enum chq_err chq_wallet_new(struct chq_wallet **out, const struct chq_wallet_config *config);
void chq_wallet_free(struct chq_wallet *wallet);

/* Submit one channel settle operation with these records. CHQ_NO_MEMORY: `done` is not called. */
CHQ_MUST_CHECK enum chq_err chq_wallet_settle(
    struct chq_wallet *wallet, struct chq_bytes records, struct chq_wallet_done done);
/*
 * Give the starting allowance to an account, once; again is CHQ_OK. To `done` comes CHQ_PAYMENT when the relay has no credit
 * for it, CHQ_LIMIT when the day's allowances are spent, CHQ_NOT_FOUND when the account is not on the ledger.
 */
CHQ_MUST_CHECK enum chq_err chq_wallet_grant(
    struct chq_wallet *wallet, const uint8_t account[CHQ_ID_BYTES], struct chq_wallet_done done);

/* Do what is due. Call after each pass of the loop, when the store's transaction is committed. */
void chq_wallet_tick(struct chq_wallet *wallet, uint64_t now_ms);
uint64_t chq_wallet_deadline_ms(const struct chq_wallet *wallet);

struct chq_wallet_state {
    bool known; /* the ledger has been asked */
    bool registered; /* account and relay record stand there */
    uint64_t balance_micro, nonce;
    uint64_t grants_done;
};
void chq_wallet_state(const struct chq_wallet *wallet, struct chq_wallet_state *out);

#endif
