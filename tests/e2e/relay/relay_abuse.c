/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stranger without any credit may not do to a relay: make its ledger hash for nothing, use up the day's starting allowances.
 * usage: relay_abuse HOST PORT CHAIN; the relay gives at most 5 allowances a day. Prints what held; exit 1 when something did not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/text.h"
#include "core/crypto/system.h"
#include "core/identity/account.h"
#include "core/wire/batch.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/signed.h"
#include "socket.h"

#define VISITS 3 /* times four grants asked */

static const char *host, *chain;
static unsigned port;
static int failed;

static void check(const char *what, bool fine)
{
    printf("%s %s\n", fine ? "ok   " : "FAIL ", what);
    failed += fine ? 0 : 1;
}

/* Send, and wait for the reply with this id; its views hold until the next call. */
static struct chq_frame ask(struct test_socket *s, struct chq_frame *frame)
{
    static uint8_t bytes[CHQ_FRAME_BYTES_MAX];
    static uint64_t ids;
    struct chq_frame reply = {0};
    struct chq_bytes message;
    struct chq_writer w = chq_writer_fixed(bytes, sizeof bytes);
    frame->id = ++ids;
    if (chq_frame_write(&w, frame) != CHQ_OK || !test_socket_send(s, chq_writer_bytes(&w)))
        return reply;
    while (test_socket_receive(s, 10000, &message) > 0)
        if (chq_frame_read(message, &reply) == CHQ_OK && reply.id == frame->id)
            return reply;
    memset(&reply, 0, sizeof reply);
    return reply;
}

static void greet(struct test_socket *s)
{
    struct chq_frame hello = {.type = CHQ_FRAME_HELLO, .hello = {1, chq_bytes_text(chain)}};
    if (!test_socket_open(s, host, port) || ask(s, &hello).type != CHQ_FRAME_WELCOME) {
        fprintf(stderr, "relay_abuse: no relay there\n");
        exit(2);
    }
}

/* SUBMIT a batch of one operation by `account`; what the relay answers. */
static struct chq_frame submit(
    struct test_socket *s, const struct chq_account *account, const struct chq_operation *operation)
{
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX),
                      batch = chq_writer_heap(CHQ_BATCH_BYTES_MAX),
                      request = chq_writer_heap(CHQ_FRAME_LEDGER_BYTES_MAX);
    struct chq_batch head = {.chain_id = chq_bytes_text(chain)};
    struct chq_frame frame = {.type = CHQ_FRAME_LEDGER};
    memcpy(head.signer, account->id, 32);
    chq_batch_put(&body, &head, operation, 1);
    chq_signed_write(&batch, &account->root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    chq_ledger_request_put(&request,
        &(struct chq_ledger_request){.type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_writer_bytes(&batch)});
    frame.ledger.request = chq_writer_bytes(&request);
    struct chq_frame reply = ask(s, &frame);
    chq_writer_free(&body);
    chq_writer_free(&batch);
    chq_writer_free(&request);
    return reply;
}

static bool is_error(const struct chq_frame *reply, enum chq_err code)
{
    return reply->type == CHQ_FRAME_ERROR && reply->error.code == (uint64_t)code;
}

static struct chq_frame grant(struct test_socket *s, const uint8_t account[32])
{
    struct chq_frame frame = {.type = CHQ_FRAME_GRANT};
    memcpy(frame.grant.account_id, account, 32);
    return ask(s, &frame);
}

int main(int argc, char **argv)
{
    static struct test_socket s;
    struct chq_random random = chq_system_random();
    struct chq_account account;
    uint8_t entropy[32], inception[CHQ_INCEPTION_BYTES], nobody[32], records[CHQ_SETTLEMENT_BYTES] = {0};
    struct chq_writer w = chq_writer_fixed(inception, sizeof inception);
    struct chq_frame reply;
    uint64_t number = 0;
    if (argc != 4 || chq_decimal_read(argv[2], 65535, &number) != CHQ_OK || chq_crypto_init() != CHQ_OK) {
        fprintf(stderr, "usage: relay_abuse HOST PORT CHAIN\n");
        return 2;
    }
    host = argv[1], port = (unsigned)number, chain = argv[3];
    chq_random_fill(&random, entropy, sizeof entropy);
    chq_account_from_entropy(&account, entropy);
    greet(&s);
    struct chq_operation settle = {
        .type = CHQ_OPERATION_CHANNEL_SETTLE, .channel_settle.records = chq_bytes(records, sizeof records)};
    reply = submit(&s, &account, &settle);
    check("a settlement is not passed on to the ledger", is_error(&reply, CHQ_UNSUPPORTED));
    bool refused = true;
    for (int visit = 0; visit < VISITS; visit++) {
        for (int i = 0; i < 4; i++) {
            chq_random_fill(&random, nobody, sizeof nobody);
            reply = grant(&s, nobody);
            refused = refused && is_error(&reply, CHQ_NOT_FOUND);
        }
        test_socket_close(&s);
        greet(&s);
    }
    check("allowances for accounts that do not exist are refused, and the day's are not used up by them",
        refused);
    chq_inception_write(&w, &account.inception);
    struct chq_operation create = {.type = CHQ_OPERATION_CREATE, .create.inception = chq_writer_bytes(&w)};
    check(
        "an account is made through the relay", submit(&s, &account, &create).type == CHQ_FRAME_LEDGER_REPLY);
    check("and gets its allowance", grant(&s, account.id).type == CHQ_FRAME_OK);
    test_socket_close(&s);
    return failed > 0;
}
