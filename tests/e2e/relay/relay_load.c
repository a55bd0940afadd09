/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sender and a reader at one relay. The sender puts messages and puts them again until they are acknowledged; the reader takes
 * what is delivered. Both come back when the relay is killed. At the end every acknowledged message must have been
 * delivered as new exactly once, in sequence. SIGTERM: put nothing new, finish, report. One JSON object on stdout.
 *
 * With TOKENS_MAX it cheats: it stops paying after that many tokens and goes on putting without looking at what is paid for, until
 * the relay has refused it often enough; then it plays a cheating relay, too, and claims tokens from the ledger that it does
 * not have. The report says how far the relay went, and how many of the claims were refused.
 *
 * usage: relay_load HOST PORT CHAIN SEED MESSAGES SIZE WINDOW [THINK_US [TOKENS_MAX LEDGER_SOCKET]]
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/text.h"
#include "core/crypto/chain.h"
#include "core/crypto/random.h"
#include "core/identity/account.h"
#include "core/wire/batch.h"
#include "core/wire/ledger_frame.h"
#include "core/wire/record.h"
#include "core/wire/signed.h"
#include "socket.h"

#define MESSAGES_MAX    2000000
#define REFUSALS_ENOUGH 200 /* a cheat gives up */
#define TOKEN_ID        UINT64_MAX

enum put_state { PUT_NEW = 0, PUT_SENT, PUT_STORED };

struct load {
    const char *host, *chain;
    unsigned port, window;
    size_t size;
    uint64_t count, think_us, seed;
    struct chq_account account;
    struct chq_sign_pair attach_key, queue_key;
    uint8_t chain_end[32], channel[32], queue[32], relay[32];
    uint64_t tokens, nonce;
    bool cheats;
    const char *cheats_ledger, *claims_from; /* the ledger's socket; set while it is asked there */
    uint64_t tokens_max, claims_refused;
    uint64_t quantum, price;
    struct test_socket sender, reader;
    uint8_t challenge[2][32];
    /* payment, as both connections see it */
    uint64_t carried, token_sent, token_held;
    /* the sender */
    uint8_t *puts; /* enum put_state */
    uint64_t *sent_us;
    uint64_t next, again; /* lowest number never put; lowest that may have to be put again */
    uint64_t outstanding, stored, resent, refused;
    /* the reader */
    uint8_t *seen;
    uint64_t sequence, new_messages, repeated, gaps, doubled, strange;
    uint64_t *delays;
    uint64_t connects, started_us, stored_us, finished_us;
};

static volatile sig_atomic_t stop_asked;
static void on_term(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void die(const char *why)
{
    fprintf(stderr, "relay_load: %s\n", why);
    exit(2);
}

static bool send_frame(struct test_socket *s, const struct chq_frame *frame)
{
    static uint8_t bytes[CHQ_FRAME_BYTES_MAX];
    struct chq_writer w = chq_writer_fixed(bytes, sizeof bytes);
    if (chq_frame_write(&w, frame) != CHQ_OK)
        die("a frame does not fit");
    return test_socket_send(s, chq_writer_bytes(&w));
}

/* Send and wait for the reply with this id; CREDIT and DELIVER in between are left out (used before load only). */
static bool ask(struct test_socket *s, struct chq_frame *frame, struct chq_frame *reply)
{
    static uint64_t ids = 1000000000;
    struct chq_bytes message;
    uint64_t give_up = now_us() + 10000000;
    frame->id = ++ids;
    if (!send_frame(s, frame))
        return false;
    while (now_us() < give_up) {
        int got = test_socket_receive(s, 1000, &message);
        if (got < 0)
            return false;
        if (got > 0 && chq_frame_read(message, reply) == CHQ_OK && reply->id == frame->id)
            return true;
    }
    return false;
}

static bool ask_ok(struct test_socket *s, struct chq_frame *frame, enum chq_frame_type want)
{
    struct chq_frame reply;
    if (!ask(s, frame, &reply))
        return false;
    if (reply.type == CHQ_FRAME_ERROR)
        fprintf(stderr, "relay_load: %s: %.*s\n", chq_frame_type_name(frame->type),
            (int)reply.error.text.size, (const char *)reply.error.text.data);
    return reply.type == want;
}

static bool greet(struct load *l, struct test_socket *s, unsigned which)
{
    struct chq_frame hello = {.type = CHQ_FRAME_HELLO, .hello = {1, chq_bytes_text(l->chain)}}, reply;
    if (!test_socket_open(s, l->host, l->port))
        return false;
    if (!ask(s, &hello, &reply) || reply.type != CHQ_FRAME_WELCOME)
        return false;
    memcpy(l->relay, reply.welcome.relay_id, 32);
    memcpy(l->challenge[which], reply.welcome.challenge, 32);
    l->quantum = reply.welcome.quantum_bytes;
    l->price = reply.welcome.price_micro;
    return true;
}

/* Ask the ledger's own socket, as a relay does. */
static struct chq_bytes ask_ledger_itself(const char *path, struct chq_bytes request)
{
    static uint8_t in[CHQ_LEDGER_FRAME_BYTES_MAX];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint8_t size[4];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, path, strnlen(path, sizeof address.sun_path - 1));
    chq_store_u32(size, (uint32_t)request.size);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        write(fd, size, 4) != 4 || write(fd, request.data, request.size) != (ssize_t)request.size ||
        recv(fd, size, 4, MSG_WAITALL) != 4 || chq_load_u32(size) > sizeof in ||
        recv(fd, in, chq_load_u32(size), MSG_WAITALL) != (ssize_t)chq_load_u32(size))
        die("the ledger's socket does not answer");
    close(fd);
    return chq_bytes(in, chq_load_u32(size));
}

/* Ask the ledger, through the relay or (as a relay would) at its socket. */
static void ask_ledger(struct load *l, const struct chq_ledger_request *request, struct chq_ledger_reply *out)
{
    static struct chq_frame reply;
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_LEDGER_BYTES_MAX);
    struct chq_bytes bytes;
    chq_ledger_request_put(&w, request);
    if (chq_writer_finish(&w) != CHQ_OK)
        die("a batch does not fit");
    if (l->claims_from != NULL) {
        bytes = ask_ledger_itself(l->claims_from, chq_writer_bytes(&w));
    } else {
        struct chq_frame frame = {.type = CHQ_FRAME_LEDGER, .ledger.request = chq_writer_bytes(&w)};
        if (!ask(&l->sender, &frame, &reply) || reply.type != CHQ_FRAME_LEDGER_REPLY)
            die("the ledger cannot be asked through the relay");
        bytes = reply.ledger_reply.reply;
    }
    if (chq_ledger_reply_read(bytes, out) != CHQ_OK)
        die("the ledger's reply is none");
    chq_writer_free(&w);
}

/* Send one operation to the ledger and return its verdict. */
static enum chq_err try_submit(struct load *l, const struct chq_operation *operation)
{
    struct chq_writer body = chq_writer_heap(CHQ_BATCH_BYTES_MAX),
                      batch = chq_writer_heap(CHQ_BATCH_BYTES_MAX + 128);
    struct chq_batch head = {.chain_id = chq_bytes_text(l->chain), .nonce = l->nonce++};
    struct chq_ledger_reply answer;
    memcpy(head.signer, l->account.id, 32);
    chq_batch_put(&body, &head, operation, 1);
    chq_signed_write(&batch, &l->account.root, CHQ_BATCH_DOMAIN, chq_writer_bytes(&body));
    ask_ledger(l,
        &(struct chq_ledger_request){.type = CHQ_LEDGER_SUBMIT, .signed_batch = chq_writer_bytes(&batch)},
        &answer);
    if (answer.err != CHQ_OK) {
        fprintf(stderr, "relay_load: the ledger refuses: %.*s\n", (int)answer.reason.size,
            (const char *)answer.reason.data);
        l->nonce--; /* a refused batch leaves no trace */
    }
    chq_writer_free(&body);
    chq_writer_free(&batch);
    return answer.err;
}

static void submit(struct load *l, const struct chq_operation *operation)
{
    if (try_submit(l, operation) != CHQ_OK)
        exit(2);
}

static void read_channel(struct load *l, struct chq_channel_record *out)
{
    struct chq_ledger_request query = {.type = CHQ_LEDGER_QUERY, .kind = CHQ_RECORD_CHANNEL};
    struct chq_ledger_reply answer;
    memcpy(query.key, l->channel, 32);
    ask_ledger(l, &query, &answer);
    if (!answer.present || chq_channel_record_read(answer.value, out) != CHQ_OK)
        die("the channel cannot be looked up");
}

/* An account with the relay's starting allowance, all of it in one channel. */
static void make_account(struct load *l)
{
    struct chq_seeded seeded;
    uint8_t bytes[4][32], inception[CHQ_INCEPTION_BYTES];
    struct chq_writer w = chq_writer_fixed(inception, sizeof inception);
    chq_seeded_init(&seeded, l->seed);
    struct chq_random random = chq_seeded_random(&seeded);
    chq_random_fill(&random, bytes[0], sizeof bytes);
    chq_account_from_entropy(&l->account, bytes[0]);
    chq_sign_pair_from_seed(&l->attach_key, bytes[1]);
    chq_sign_pair_from_seed(&l->queue_key, bytes[2]);
    memcpy(l->chain_end, bytes[3], 32);
    chq_queue_id(l->queue, l->queue_key.public_key);

    struct chq_frame hello = {.type = CHQ_FRAME_HELLO, .hello = {1, chq_bytes_text(l->chain)}}, reply;
    if (!test_socket_open(&l->sender, l->host, l->port) || !ask(&l->sender, &hello, &reply) ||
        reply.type != CHQ_FRAME_WELCOME)
        die("no relay there");
    memcpy(l->relay, reply.welcome.relay_id, 32);
    l->quantum = reply.welcome.quantum_bytes;
    l->price = reply.welcome.price_micro;
    uint64_t deposit = reply.welcome.grant_micro, nonce;
    chq_inception_write(&w, &l->account.inception);
    submit(
        l, &(struct chq_operation){.type = CHQ_OPERATION_CREATE, .create.inception = chq_writer_bytes(&w)});
    struct chq_frame grant = {.type = CHQ_FRAME_GRANT};
    memcpy(grant.grant.account_id, l->account.id, 32);
    if (!ask_ok(&l->sender, &grant, CHQ_FRAME_OK) || !ask_ok(&l->sender, &grant, CHQ_FRAME_OK))
        die("no starting allowance (a second GRANT must be welcome and give nothing)");
    l->tokens =
        deposit / l->price < CHQ_TOKENS_PER_CHANNEL_MAX ? deposit / l->price : CHQ_TOKENS_PER_CHANNEL_MAX;
    nonce = l->nonce;
    chq_channel_id(l->channel, chq_bytes_text(l->chain), l->account.id, nonce, 0);
    struct chq_operation open = {.type = CHQ_OPERATION_CHANNEL_OPEN,
        .channel_open = {.deposit_micro = deposit,
            .tokens = l->tokens,
            .price_micro = l->price,
            .quantum_bytes = l->quantum,
            .expiry_s = (uint64_t)time(NULL) + 86400}};
    memcpy(open.channel_open.payee, l->relay, 32);
    memcpy(open.channel_open.attach_key, l->attach_key.public_key, 32);
    chq_chain_token(open.channel_open.chain_root, l->chain_end, l->channel, l->tokens, 0);
    submit(l, &open);
    test_socket_close(&l->sender);
}

static bool attach(struct load *l, struct test_socket *s, unsigned which)
{
    struct chq_frame frame = {.type = CHQ_FRAME_ATTACH}, reply;
    uint8_t message[96];
    if (!greet(l, s, which))
        return false;
    memcpy(frame.attach.channel_id, l->channel, 32);
    chq_frame_attach_message(message, l->relay, l->challenge[which], l->channel);
    chq_sign(frame.attach.signature, &l->attach_key, CHQ_DOMAIN_ATTACH, chq_bytes(message, 96));
    if (!ask(s, &frame, &reply) || reply.type != CHQ_FRAME_ATTACHED)
        return false;
    l->carried = reply.attached.carried_bytes;
    l->token_held = l->token_sent = reply.attached.index;
    return true;
}

/* What a cheating relay would try, with all that it knows. Each must be refused and move nothing. */
static void claim_too_much(struct load *l)
{
    struct chq_channel_record before, after;
    read_channel(l, &before);
    struct {
        uint64_t index;
        uint8_t token[32];
        enum chq_err want;
    } claims[4] = {
        {.index = l->token_held + 1, .want = CHQ_AUTH}, /* one more than was paid: a token made up */
        {.index = l->token_held + 1, .want = CHQ_AUTH}, /* the newest token again, called the next */
        {.index = l->tokens + 1, .want = CHQ_LIMIT}, /* past the end of the chain */
        {.index = before.last_index, .want = CHQ_STATE}, /* what is settled already */
    };
    memset(claims[0].token, 0x5a, 32);
    chq_chain_token(claims[1].token, l->chain_end, l->channel, l->tokens, l->token_held);
    memcpy(claims[3].token, before.last_token, 32);
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        uint8_t record[CHQ_SETTLEMENT_BYTES];
        chq_store_u64(record, before.number);
        chq_store_u64(record + 8, claims[i].index);
        memcpy(record + 16, claims[i].token, 32);
        enum chq_err err = try_submit(l, &(struct chq_operation){.type = CHQ_OPERATION_CHANNEL_SETTLE,
                                             .channel_settle.records = chq_bytes(record, sizeof record)});
        l->claims_refused += err == claims[i].want;
    }
    read_channel(l, &after);
    if (after.last_index != before.last_index)
        die("a false claim moved the channel");
}

static bool connect_both(struct load *l)
{
    struct chq_frame queue = {.type = CHQ_FRAME_QUEUE}, subscribe = {.type = CHQ_FRAME_SUBSCRIBE};
    uint8_t message[96];
    if (!attach(l, &l->sender, 0) || !attach(l, &l->reader, 1))
        return false;
    memcpy(queue.queue.queue_key, l->queue_key.public_key, 32);
    chq_frame_queue_message(message, l->relay, l->challenge[1], 0);
    chq_sign(queue.queue.signature, &l->queue_key, CHQ_DOMAIN_QUEUE_NEW, chq_bytes(message, 65));
    memcpy(subscribe.subscribe.queue_key, l->queue_key.public_key, 32);
    chq_frame_subscribe_message(message, l->relay, l->challenge[1], l->queue);
    chq_sign(subscribe.subscribe.signature, &l->queue_key, CHQ_DOMAIN_SUBSCRIBE, chq_bytes(message, 96));
    return ask_ok(&l->reader, &queue, CHQ_FRAME_OK) && ask_ok(&l->reader, &subscribe, CHQ_FRAME_OK);
}

/* Come back, for at most 30 s; what was not acknowledged is put again. */
static void come_back(struct load *l)
{
    uint64_t give_up = now_us() + 30000000;
    do {
        test_socket_close(&l->sender);
        test_socket_close(&l->reader);
        if (now_us() > give_up)
            die("the relay does not come back");
        poll(NULL, 0, 20);
    } while (!connect_both(l));
    l->connects++;
    for (uint64_t i = 0; i < l->next; i++)
        if (l->puts[i] == PUT_SENT) {
            l->puts[i] = PUT_NEW;
            l->resent++;
        }
    l->outstanding = l->again = 0;
}

static bool pay(struct load *l)
{
    struct chq_frame frame = {.type = CHQ_FRAME_TOKEN};
    if (l->carried <= l->token_sent * l->quantum + l->quantum / 2 || l->token_sent >= l->tokens ||
        (l->cheats && l->token_sent == l->tokens_max))
        return true;
    frame.token.index = ++l->token_sent;
    frame.id = TOKEN_ID;
    memcpy(frame.token.channel_id, l->channel, 32);
    chq_chain_token(frame.token.token, l->chain_end, l->channel, l->tokens, frame.token.index);
    return send_frame(&l->sender, &frame);
}

static bool put(struct load *l, uint64_t number)
{
    static uint8_t envelope[CHQ_ENVELOPE_BYTES_MAX];
    struct chq_frame frame = {
        .type = CHQ_FRAME_PUT, .id = number + 1, .put.envelope = chq_bytes(envelope, l->size)};
    memcpy(frame.put.queue_id, l->queue, 32);
    chq_store_u64(frame.put.put_id, number);
    chq_store_u64(envelope, number);
    l->puts[number] = PUT_SENT;
    if (l->sent_us[number] == 0)
        l->sent_us[number] = now_us();
    l->outstanding++;
    return send_frame(&l->sender, &frame);
}

/* Whether the relay would serve one more of ours, by our own count. */
static bool is_paid_for(const struct load *l)
{
    if (l->cheats && l->token_sent == l->tokens_max)
        return true;
    return l->carried + (l->outstanding + 1) * l->size <= (l->token_held + 1) * l->quantum;
}

static bool put_more(struct load *l, uint64_t *retry_at)
{
    while (l->outstanding < l->window && is_paid_for(l) && now_us() >= *retry_at) {
        while (l->again < l->next && l->puts[l->again] != PUT_NEW)
            l->again++;
        uint64_t number = l->again;
        if (number == l->next) {
            if (l->next == l->count || stop_asked)
                return true;
            number = l->next++;
        }
        if (!put(l, number))
            return false;
        if (l->think_us > 0)
            *retry_at = now_us() + l->think_us;
    }
    return true;
}

static void on_sender_frame(struct load *l, const struct chq_frame *frame, uint64_t *retry_at)
{
    uint64_t number = frame->id - 1;
    switch (frame->type) {
    case CHQ_FRAME_STORED:
        if (number >= l->next || l->puts[number] != PUT_SENT) {
            l->strange++;
            return;
        }
        l->puts[number] = PUT_STORED;
        l->outstanding--;
        l->carried += l->size;
        if (++l->stored == l->count)
            l->stored_us = now_us();
        return;
    case CHQ_FRAME_CREDIT:
        if (frame->credit.carried_bytes > l->carried)
            l->carried = frame->credit.carried_bytes;
        if (frame->credit.index > l->token_held)
            l->token_held = frame->credit.index;
        return;
    case CHQ_FRAME_ERROR:
        l->refused++;
        if (frame->error.code != CHQ_PAYMENT && frame->error.code != CHQ_AGAIN &&
            frame->error.code != CHQ_IO && frame->error.code != CHQ_LIMIT) {
            fprintf(stderr, "relay_load: %.*s\n", (int)frame->error.text.size,
                (const char *)frame->error.text.data);
            l->strange++;
        }
        if (frame->id == TOKEN_ID)
            l->token_sent = l->token_held; /* not taken: send it again */
        if (number < l->next && l->puts[number] == PUT_SENT) {
            l->puts[number] = PUT_NEW;
            l->outstanding--;
            l->again = number < l->again ? number : l->again;
            *retry_at = now_us() + 2000;
        }
        return;
    default: l->strange++;
    }
}

static bool on_reader_frame(struct load *l, const struct chq_frame *frame)
{
    struct chq_frame ack = {.type = CHQ_FRAME_ACK, .ack.sequence = frame->deliver.sequence};
    if (frame->type == CHQ_FRAME_CREDIT) {
        if (frame->credit.carried_bytes > l->carried)
            l->carried = frame->credit.carried_bytes;
        return true;
    }
    if (frame->type != CHQ_FRAME_DELIVER) {
        l->strange += frame->type != CHQ_FRAME_ERROR || frame->error.code != CHQ_STATE;
        return true;
    }
    uint64_t number = chq_load_u64(frame->deliver.put_id);
    if (frame->deliver.sequence <= l->sequence) {
        l->repeated++;
    } else if (number >= l->next || frame->deliver.envelope.size != l->size ||
               chq_load_u64(frame->deliver.envelope.data) != number) {
        l->strange++;
    } else {
        l->gaps += frame->deliver.sequence != l->sequence + 1;
        l->sequence = frame->deliver.sequence;
        l->doubled += l->seen[number];
        l->seen[number] = 1;
        l->delays[l->new_messages++] = now_us() - l->sent_us[number];
        l->carried += l->size;
    }
    memcpy(ack.ack.queue_id, l->queue, 32);
    return send_frame(&l->reader, &ack);
}

static bool receive_all(struct load *l, uint64_t *retry_at)
{
    static struct chq_frame frame;
    struct chq_bytes message;
    int got, wait_ms = 1;
    while ((got = test_socket_receive(&l->sender, wait_ms, &message)) > 0) {
        wait_ms = 0;
        if (chq_frame_read(message, &frame) != CHQ_OK)
            die("the relay sent what is no frame");
        on_sender_frame(l, &frame, retry_at);
    }
    if (got < 0)
        return false;
    while ((got = test_socket_receive(&l->reader, wait_ms, &message)) > 0) {
        wait_ms = 0;
        if (chq_frame_read(message, &frame) != CHQ_OK)
            die("the relay sent what is no frame");
        if (!on_reader_frame(l, &frame))
            return false;
    }
    return got == 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static int report(struct load *l)
{
    uint64_t lost = 0;
    for (uint64_t i = 0; i < l->next; i++)
        lost += l->puts[i] == PUT_STORED && !l->seen[i];
    qsort(l->delays, l->new_messages, sizeof *l->delays, by_value);
    double seconds = (double)(l->finished_us - l->started_us) / 1e6;
    bool fine = lost == 0 && l->gaps == 0 && l->doubled == 0 && l->strange == 0 && l->stored == l->next;
    printf(
        "{\"messages\": %llu, \"stored\": %llu, \"delivered\": %llu, \"lost\": %llu, \"doubled\": %llu, "
        "\"gaps\": %llu, "
        "\"strange\": %llu, \"repeated\": %llu, \"put_again\": %llu, \"refused\": %llu, \"came_back\": %llu, "
        "\"tokens\": %llu, \"carried\": %llu, \"claims_refused\": %llu, \"seconds\": %.3f, \"p50_us\": %llu, "
        "\"p99_us\": "
        "%llu}\n",
        (unsigned long long)l->next, (unsigned long long)l->stored, (unsigned long long)l->new_messages,
        (unsigned long long)lost, (unsigned long long)l->doubled, (unsigned long long)l->gaps,
        (unsigned long long)l->strange, (unsigned long long)l->repeated, (unsigned long long)l->resent,
        (unsigned long long)l->refused, (unsigned long long)l->connects, (unsigned long long)l->token_held,
        (unsigned long long)l->carried, (unsigned long long)l->claims_refused, seconds,
        (unsigned long long)(l->new_messages > 0 ? l->delays[l->new_messages / 2] : 0),
        (unsigned long long)(l->new_messages > 0 ? l->delays[l->new_messages * 99 / 100] : 0));
    return fine ? 0 : 1;
}

static void run(struct load *l)
{
    uint64_t retry_at = 0, quiet_since = now_us(), progress = 0;
    if (!connect_both(l))
        die("the relay does not take us");
    l->started_us = now_us();
    for (;;) {
        bool fine = put_more(l, &retry_at) && receive_all(l, &retry_at) && pay(l);
        if (!fine)
            come_back(l);
        if (l->stored + l->new_messages + l->connects != progress) {
            progress = l->stored + l->new_messages + l->connects;
            quiet_since = now_us();
        }
        bool all =
            (l->next == l->count || stop_asked) && l->stored == l->next && l->new_messages >= l->stored;
        if (all || now_us() > quiet_since + 20000000 || (l->cheats && l->refused >= REFUSALS_ENOUGH))
            break;
    }
    l->finished_us = now_us();
}

int main(int argc, char **argv)
{
    static struct load l;
    uint64_t port, window, size;
    if (argc < 8 || chq_decimal_read(argv[2], 65535, &port) != CHQ_OK ||
        chq_decimal_read(argv[4], UINT64_MAX, &l.seed) != CHQ_OK ||
        chq_decimal_read(argv[5], MESSAGES_MAX, &l.count) != CHQ_OK ||
        chq_decimal_read(argv[6], CHQ_ENVELOPE_BYTES_MAX, &size) != CHQ_OK || size < 8 ||
        chq_decimal_read(argv[7], 100000, &window) != CHQ_OK ||
        (argc > 8 && chq_decimal_read(argv[8], 1000000, &l.think_us) != CHQ_OK) || argc == 10 ||
        (argc > 10 && chq_decimal_read(argv[9], 1000000, &l.tokens_max) != CHQ_OK)) {
        fprintf(stderr, "usage: relay_load HOST PORT CHAIN SEED MESSAGES SIZE WINDOW [THINK_US [TOKENS_MAX "
                        "LEDGER_SOCKET]]\n");
        return 2;
    }
    l.cheats = argc > 10;
    l.cheats_ledger = l.cheats ? argv[10] : NULL;
    l.host = argv[1], l.port = (unsigned)port, l.chain = argv[3], l.size = (size_t)size,
    l.window = (unsigned)window;
    l.sender.fd = l.reader.fd = -1;
    l.puts = calloc(l.count + 1, 1);
    l.seen = calloc(l.count + 1, 1);
    l.sent_us = calloc(l.count + 1, sizeof *l.sent_us);
    l.delays = calloc(l.count + 1, sizeof *l.delays);
    CHQ_ASSERT(l.puts != NULL && l.seen != NULL && l.sent_us != NULL && l.delays != NULL);
    signal(SIGTERM, on_term);
    signal(SIGPIPE, SIG_IGN);
    if (chq_crypto_init() != CHQ_OK)
        die("no randomness");
    make_account(&l);
    run(&l);
    l.claims_from = l.cheats_ledger;
    if (l.cheats)
        claim_too_much(&l);
    int status = report(&l);
    test_socket_close(&l.sender);
    test_socket_close(&l.reader);
    free(l.puts);
    free(l.seen);
    free(l.sent_us);
    free(l.delays);
    return status;
}
