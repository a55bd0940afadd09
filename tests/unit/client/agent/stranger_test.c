/* SPDX-License-Identifier: Apache-2.0 */
/* Who writes first is checked against the ledger before anything of it is shown; what comes is shown in order, once. */
#include "client/agent/state.h"
#include "core/crypto/random.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define START_MS UINT64_C(1800000000000)

struct bench {
    struct chq_agent *agent;
    struct chq_seeded seeded;
    struct chq_random random;
    uint64_t now_us;
    struct agent_relay *home;
    struct agent_queue *door;
    uint8_t bundle[CHQ_PREKEY_BUNDLE_BYTES_MAX];
    size_t bundle_size;
    /* the other side */
    struct chq_account account;
    struct chq_device_keys device;
    struct chq_session *session;
    /* of the last step */
    unsigned warnings, errors, added, received, acks;
    char text[64];
};

static void step(struct bench *b, struct chq_agent_event event)
{
    struct chq_agent_actions actions;
    b->warnings = b->errors = b->added = b->received = b->acks = 0;
    event.now_us = b->now_us += 1000;
    event.unix_ms = START_MS + b->now_us / 1000;
    if (b->home != NULL)
        memcpy(event.relay, b->home->id, 32);
    assert_int_equal(chq_agent_step(b->agent, &event, &actions), CHQ_OK);
    for (uint32_t i = 0; i < actions.n; i++) {
        const struct chq_agent_action *a = &actions.v[i];
        struct chq_frame frame;
        if (a->type == CHQ_AGENT_DO_SEND && chq_frame_read(a->frame, &frame) == CHQ_OK)
            b->acks += frame.type == CHQ_FRAME_ACK;
        if (a->type != CHQ_AGENT_DO_NOTIFY)
            continue;
        b->warnings += a->notice->kind == CHQ_AGENT_NOTE_SECURITY;
        b->errors += a->notice->kind == CHQ_AGENT_NOTE_ERROR;
        b->added += a->notice->kind == CHQ_AGENT_NOTE_CONTACT_ADDED;
        if (a->notice->kind == CHQ_AGENT_NOTE_RECEIVED) {
            b->received++;
            memcpy(b->text, a->notice->text.data, a->notice->text.size + 1);
        }
    }
}

static void timeout(struct bench *b)
{
    step(b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
}

/* An agent with an account and a bundle, linked to its home relay. */
static void make_agent(struct bench *b)
{
    struct chq_invitation *in = calloc(1, sizeof *in);
    struct chq_writer link = chq_writer_heap(CHQ_INVITATION_CHARACTERS_MAX);
    struct chq_writer w = chq_writer_fixed(b->bundle, sizeof b->bundle);
    struct agent_prekey *prekey = calloc(1, sizeof *prekey);
    struct chq_agent_event create = {.type = CHQ_AGENT_COMMAND};
    struct chq_session_self self;
    static const uint8_t entropy[32] = {1};
    assert_true(in != NULL && prekey != NULL);
    assert_int_equal(chq_agent_new(&b->agent, &b->random, NULL), CHQ_OK);
    memcpy(in->chain_id, "test", 5);
    memcpy(in->host, "relay", 6);
    in->port = 1;
    in->validators_count = 1;
    in->validators[0] = (struct chq_validator){.key = {5}, .power = 1};
    memset(in->relay, 7, sizeof in->relay);
    chq_invitation_put(&link, in);
    step(b, (struct chq_agent_event){.type = CHQ_AGENT_START});
    create.command = (struct chq_agent_command){.type = CHQ_AGENT_CREATE,
        .text = chq_writer_bytes(&link),
        .handle = chq_bytes_text("bo"),
        .secret = chq_bytes(entropy, sizeof entropy)};
    step(b, create);
    b->home = chq_agent_home(b->agent);
    b->home->state = AGENT_LINK_READY;
    b->door = b->agent->queues;
    chq_agent_self(b->agent, &self);
    chq_prekeys_make_bundle(&w, &prekey->secret, &self, b->agent->next_prekey++, START_MS / 1000, &b->random);
    b->bundle_size = w.size;
    prekey->signed_one = true;
    prekey->made_s = START_MS / 1000;
    b->agent->prekeys = prekey;
    chq_writer_free(&link);
    free(in);
}

/* And ana, whose device starts a session with it. */
static void bench_init(struct bench *b)
{
    static const uint8_t entropy[32] = {2};
    memset(b, 0, sizeof *b);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_seeded_init(&b->seeded, 1);
    b->random = chq_seeded_random(&b->seeded);
    make_agent(b);
    chq_account_from_entropy(&b->account, entropy);
    chq_device_keys_new(&b->device, &b->random);
    struct chq_session_offer offer = {.bundle = chq_bytes(b->bundle, b->bundle_size)};
    const struct agent_secrets *to = b->agent->secrets;
    memcpy(offer.peer.account_id, to->account.id, 32);
    memcpy(offer.peer.signing_key, to->device.signing.public_key, 32);
    memcpy(offer.peer.identity_key, to->device.identity.public_key, 32);
    const struct chq_session_self self = {.account_id = b->account.id, .device = &b->device};
    assert_int_equal(chq_session_start(&b->session, &self, &offer, START_MS / 1000, &b->random), CHQ_OK);
}

static void bench_fini(struct bench *b)
{
    chq_session_free(b->session);
    chq_agent_free(b->agent);
}

static void deliver_bytes(struct bench *b, struct chq_bytes envelope)
{
    struct chq_writer w = chq_writer_heap(CHQ_FRAME_BYTES_MAX);
    struct chq_frame frame = {.type = CHQ_FRAME_DELIVER};
    memcpy(frame.deliver.queue_id, b->door->id, 32);
    frame.deliver.sequence = b->door->sequence + 1;
    frame.deliver.envelope = envelope;
    assert_int_equal(chq_frame_write(&w, &frame), CHQ_OK);
    step(b, (struct chq_agent_event){.type = CHQ_AGENT_FRAME, .frame = chq_writer_bytes(&w)});
    chq_writer_free(&w);
}

static void encrypt(struct bench *b, const struct chq_content *content, struct chq_writer *envelope)
{
    struct chq_writer plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    chq_content_write(&plain, content);
    assert_int_equal(
        chq_session_encrypt(b->session, chq_writer_bytes(&plain), START_MS / 1000, &b->random, envelope),
        CHQ_OK);
    chq_writer_free(&plain);
}

static void deliver(struct bench *b, const struct chq_content *content)
{
    struct chq_writer envelope = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    encrypt(b, content, &envelope);
    deliver_bytes(b, chq_writer_bytes(&envelope));
    chq_writer_free(&envelope);
    assert_int_equal(b->acks, 1);
}

static struct chq_content hello(const struct bench *b, const char *handle)
{
    struct chq_content content = {.kind = CHQ_CONTENT_HELLO, .sent_ms = START_MS, .order = 1};
    memcpy(content.hello.account_id, b->account.id, 32);
    content.hello.handle = chq_bytes_text(handle);
    memset(content.hello.relay_id, 7, 32);
    return content;
}

static struct chq_content text(const char *utf8, uint64_t order)
{
    struct chq_content content = {.kind = CHQ_CONTENT_TEXT, .sent_ms = START_MS, .order = order};
    content.message_id[0] = (uint8_t)order;
    content.text.utf8 = chq_bytes_text(utf8);
    return content;
}

static void answer(struct bench *b, enum chq_record_kind kind, struct chq_writer *w, uint64_t time_s)
{
    struct agent_lookup *l = b->agent->lookups;
    while (l != NULL && (l->kind != kind || memcmp(l->key, b->account.id, 32) != 0))
        l = l->next;
    assert_true(l != NULL && l->wanted); /* it was asked for */
    free(l->value);
    assert_int_equal(chq_writer_take(w, &l->value, &l->size), CHQ_OK);
    l->done = l->present = true;
    l->wanted = false;
    l->fetched_us = b->agent->now_us;
    l->time_s = time_s;
}

/* The ledger proves ana's account, and a list with her device or with another. */
static void ledger_proves(struct bench *b, bool her_device, uint64_t time_s)
{
    struct chq_writer account = chq_writer_heap(4096), list = chq_writer_heap(4096);
    struct chq_device_keys other;
    struct chq_device device;
    static const uint8_t relay[32] = {7}, door[32] = {1};
    struct chq_account_record record = {.handle = chq_bytes_text("ana")};
    memcpy(record.root_key, b->account.root.public_key, 32);
    chq_account_record_put(&account, &record);
    chq_device_keys_new(&other, &b->random);
    chq_device_record(&device, her_device ? &b->device : &other, relay, door, 1);
    assert_int_equal(chq_account_sign_devices(&list, &b->account, (struct chq_bytes){0}, &device, 1), CHQ_OK);
    answer(b, CHQ_RECORD_ACCOUNT, &account, time_s);
    answer(b, CHQ_RECORD_DEVICES, &list, time_s);
    timeout(b);
}

static void a_known_device_is_shown(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    const struct chq_content h = hello(&b, "ana"), one = text("one", 2), two = text("two", 3);
    deliver(&b, &h);
    deliver(&b, &one);
    assert_int_equal(b.added + b.received, 0); /* not before the ledger was asked */
    ledger_proves(&b, true, START_MS / 1000);
    assert_int_equal(b.added, 1);
    assert_int_equal(b.received, 1);
    assert_string_equal(b.text, "one");
    deliver(&b, &two);
    assert_int_equal(b.received, 1);
    assert_string_equal(b.text, "two");
    bench_fini(&b);
}

static void an_impostor_is_thrown_away(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    const struct chq_content h = hello(&b, "ana"), one = text("one", 2);
    deliver(&b, &h);
    deliver(&b, &one);
    ledger_proves(&b, false, START_MS / 1000 - 100); /* perhaps she has just registered that device */
    assert_int_equal(b.warnings + b.added + b.received, 0);
    assert_non_null(b.agent->peers);
    b.now_us += 2000000;
    timeout(&b);
    ledger_proves(&b, false, START_MS / 1000 + 100); /* no */
    assert_int_equal(b.warnings, 1);
    assert_int_equal(b.added + b.received, 0);
    assert_null(b.agent->peers);
    const struct chq_content again = text("again", 3);
    deliver(&b, &again); /* a session that was given up does not come back */
    assert_null(b.agent->peers);
    bench_fini(&b);
}

static void a_false_handle_is_thrown_away(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    const struct chq_content h = hello(&b, "bank");
    deliver(&b, &h);
    ledger_proves(&b, true, START_MS / 1000 + 100);
    assert_int_equal(b.warnings, 1);
    assert_int_equal(b.added, 0);
    bench_fini(&b);
}

static void a_gap_is_waited_for_then_told(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    const struct chq_content h = hello(&b, "ana"), two = text("two", 3), three = text("three", 4),
                             late = text("one", 2);
    struct chq_writer again = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    deliver(&b, &h);
    ledger_proves(&b, true, START_MS / 1000);
    encrypt(&b, &two, &again);
    deliver_bytes(&b, chq_writer_bytes(&again));
    assert_int_equal(b.received, 0);
    assert_int_equal(b.acks, 1); /* it is durable here */
    deliver_bytes(&b, chq_writer_bytes(&again)); /* the relay says it twice */
    assert_int_equal(b.acks, 1);
    deliver(&b, &three);
    assert_int_equal(b.received, 0);
    b.now_us += (AGENT_HOLD_MS - 10000) * UINT64_C(1000);
    timeout(&b);
    assert_int_equal(b.received + b.errors, 0);
    b.now_us += 10000 * UINT64_C(1000);
    timeout(&b);
    assert_int_equal(b.errors, 1);
    assert_int_equal(b.received, 2);
    assert_string_equal(b.text, "three");
    b.home->state = AGENT_LINK_READY; /* the link did not outlive the silence */
    deliver(&b, &late); /* it was given up */
    assert_int_equal(b.received, 0);
    chq_writer_free(&again);
    bench_fini(&b);
}

static void nonsense_at_the_front_door(void **state)
{
    (void)state;
    struct bench b;
    static uint8_t junk[1024];
    bench_init(&b);
    for (size_t size = 1; size <= sizeof junk; size *= 2) {
        chq_random_fill(&b.random, junk, sizeof junk);
        deliver_bytes(&b, chq_bytes(junk, size));
        assert_int_equal(b.acks, 1); /* taken off the relay, and nothing else */
        assert_int_equal(b.warnings + b.errors + b.added + b.received, 0);
    }
    assert_null(b.agent->peers);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_device_is_shown),
        cmocka_unit_test(an_impostor_is_thrown_away),
        cmocka_unit_test(a_false_handle_is_thrown_away),
        cmocka_unit_test(a_gap_is_waited_for_then_told),
        cmocka_unit_test(nonsense_at_the_front_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
