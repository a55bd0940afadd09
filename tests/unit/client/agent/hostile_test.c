/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers, greedy relays and clocks do to a client that nobody looks at. */
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
    struct agent_relay *home;
    struct agent_queue *door;
    uint8_t bundle[CHQ_PREKEY_BUNDLE_BYTES_MAX];
    size_t bundle_size;
    uint64_t now_us;
};

static void step(struct bench *b, struct chq_agent_event event)
{
    struct chq_agent_actions actions;
    event.now_us = b->now_us += 1000;
    event.unix_ms = START_MS + b->now_us / 1000;
    memcpy(event.relay, b->home != NULL ? b->home->id : (const uint8_t[32]){0}, 32);
    assert_int_equal(chq_agent_step(b->agent, &event, &actions), CHQ_OK);
}

/* An agent with an account, a bundle, and a link to its home relay. */
static void bench_init(struct bench *b)
{
    struct chq_invitation invitation = {
        .chain_id = "test", .validators_count = 1, .host = "relay", .port = 1};
    struct chq_writer link = chq_writer_heap(CHQ_INVITATION_CHARACTERS_MAX);
    struct chq_writer w = chq_writer_fixed(b->bundle, sizeof b->bundle);
    struct chq_agent_event create = {.type = CHQ_AGENT_COMMAND};
    struct chq_session_self self;
    uint8_t entropy[32] = {1};
    memset(b, 0, sizeof *b);
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    chq_seeded_init(&b->seeded, 1);
    b->random = chq_seeded_random(&b->seeded);
    assert_int_equal(chq_agent_new(&b->agent, &b->random, NULL), CHQ_OK);
    invitation.validators[0] = (struct chq_validator){.key = {5}, .power = 1};
    memset(invitation.relay, 7, sizeof invitation.relay);
    chq_invitation_put(&link, &invitation);
    step(b, (struct chq_agent_event){.type = CHQ_AGENT_START});
    create.command = (struct chq_agent_command){.type = CHQ_AGENT_CREATE,
        .text = chq_writer_bytes(&link),
        .handle = chq_bytes_text("bo"),
        .secret = chq_bytes(entropy, sizeof entropy)};
    step(b, create);
    chq_writer_free(&link);
    b->home = chq_agent_home(b->agent);
    b->home->state = AGENT_LINK_READY;
    b->door = b->agent->queues;
    assert_non_null(b->door);
    struct agent_prekey *prekey = calloc(1, sizeof *prekey);
    assert_non_null(prekey);
    chq_agent_self(b->agent, &self);
    chq_prekeys_make_bundle(&w, &prekey->secret, &self, b->agent->next_prekey++, START_MS / 1000, &b->random);
    b->bundle_size = w.size;
    prekey->signed_one = true;
    prekey->made_s = START_MS / 1000;
    b->agent->prekeys = prekey;
}

/* A device of somebody whom the ledger need not know starts a session with ours. */
static struct chq_session *stranger(struct bench *b, uint8_t account[32])
{
    struct chq_device_keys device;
    struct chq_session *session;
    struct chq_session_offer offer = {.bundle = chq_bytes(b->bundle, b->bundle_size)};
    const struct agent_secrets *to = b->agent->secrets;
    chq_random_fill(&b->random, account, 32);
    chq_device_keys_new(&device, &b->random);
    memcpy(offer.peer.account_id, to->account.id, 32);
    memcpy(offer.peer.signing_key, to->device.signing.public_key, 32);
    memcpy(offer.peer.identity_key, to->device.identity.public_key, 32);
    const struct chq_session_self self = {.account_id = account, .device = &device};
    assert_int_equal(chq_session_start(&session, &self, &offer, START_MS / 1000, &b->random), CHQ_OK);
    return session;
}

/* The relay hands out a content at the front door. */
static void deliver_content(struct bench *b, struct chq_session *session, const struct chq_content *content)
{
    struct chq_writer plain = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX),
                      w = chq_writer_heap(CHQ_FRAME_BYTES_MAX),
                      envelope = chq_writer_heap(CHQ_ENVELOPE_BYTES_MAX);
    struct chq_frame frame = {.type = CHQ_FRAME_DELIVER};
    chq_content_write(&plain, content);
    assert_int_equal(
        chq_session_encrypt(session, chq_writer_bytes(&plain), START_MS / 1000, &b->random, &envelope),
        CHQ_OK);
    memcpy(frame.deliver.queue_id, b->door->id, 32);
    frame.deliver.sequence = b->door->sequence + 1;
    frame.deliver.envelope = chq_writer_bytes(&envelope);
    assert_int_equal(chq_frame_write(&w, &frame), CHQ_OK);
    step(b, (struct chq_agent_event){.type = CHQ_AGENT_FRAME, .frame = chq_writer_bytes(&w)});
    chq_writer_free(&plain);
    chq_writer_free(&envelope);
    chq_writer_free(&w);
}

static void deliver(struct bench *b, struct chq_session *session, uint64_t order)
{
    struct chq_content content = {.kind = CHQ_CONTENT_TEXT, .sent_ms = START_MS, .order = order};
    content.text.utf8 = chq_bytes_text("hi");
    deliver_content(b, session, &content);
}

/* Devices that write but never say who they are must not fill the places for strangers for ever. */
static void silent_strangers_do_not_block_the_front_door(void **state)
{
    (void)state;
    struct bench b;
    uint8_t account[32];
    bench_init(&b);
    for (uint64_t i = 1; i <= AGENT_STRANGERS_MAX + 8; i++) {
        struct chq_session *session = stranger(&b, account);
        deliver(&b, session, 2); /* no hello, which would be number 1 */
        chq_session_free(session);
        assert_int_equal(b.home->state, AGENT_LINK_READY);
        assert_int_equal(b.door->sequence, i);
    }
    uint32_t peers = 0;
    for (const struct agent_peer *p = b.agent->peers; p != NULL; p = p->next)
        peers++;
    assert_int_equal(peers, AGENT_STRANGERS_MAX);
    struct chq_session *session = stranger(&b, account);
    for (uint64_t order = 2; order < 40; order++)
        deliver(&b, session, order);
    chq_session_free(session);
    assert_int_equal(b.agent->peers->held_count, AGENT_STRANGER_HELD_MAX);
    chq_agent_free(b.agent);
}

/* Strangers who wait for the ledger's word fill all places: the next one waits at the relay, and the link stays. */
static void a_crowd_of_strangers_keeps_no_contact_out(void **state)
{
    (void)state;
    struct bench b;
    struct chq_content hello = {.kind = CHQ_CONTENT_HELLO, .sent_ms = START_MS, .order = 1};
    bench_init(&b);
    for (uint64_t i = 1; i <= AGENT_STRANGERS_MAX + 3; i++) {
        struct chq_session *session = stranger(&b, hello.hello.account_id);
        deliver_content(&b, session, &hello);
        chq_session_free(session);
        assert_int_equal(b.home->state, AGENT_LINK_READY);
        assert_int_equal(b.door->sequence, i < AGENT_STRANGERS_MAX ? i : AGENT_STRANGERS_MAX);
    }
    assert_true(b.door->gap);
    chq_agent_free(b.agent);
}

/* Put the record of the home relay, with that price, where the ledger's proved answer would stand. */
static void price_is(struct bench *b, uint64_t price)
{
    struct agent_lookup *l = b->agent->lookups;
    struct chq_relay_record record = {
        .host = chq_bytes_text("relay"), .port = 1, .price_micro = price, .quantum_bytes = 65536};
    b->home->record_since_us = 0;
    (void)chq_agent_look(b->agent, CHQ_RECORD_RELAY, b->home->id, 0);
    for (l = b->agent->lookups; l->kind != CHQ_RECORD_RELAY; l = l->next)
        ;
    memcpy(record.relay, b->home->id, 32);
    struct chq_writer w = chq_writer_heap(CHQ_RECORD_VALUE_BYTES_MAX);
    chq_relay_record_put(&w, &record);
    free(l->value);
    assert_int_equal(chq_writer_take(&w, &l->value, &l->size), CHQ_OK);
    l->done = l->present = true;
    l->wanted = false;
    l->fetched_us = b->now_us;
    b->home->welcome_price = price;
    b->home->welcome_quantum = 65536;
    b->home->state = AGENT_LINK_READY;
    b->home->checked = false;
}

/* A contact names the relay to write to: it must not be able to ask our whole balance for one token. */
static void a_greedy_relay_is_not_used(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    price_is(&b, 10001);
    step(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
    assert_false(b.home->checked);
    assert_int_equal(b.home->state, AGENT_LINK_NONE);
    price_is(&b, 10000);
    step(&b, (struct chq_agent_event){.type = CHQ_AGENT_TIMEOUT});
    assert_true(b.home->checked);
    chq_agent_free(b.agent);
}

/* Nobody divides by a price of nothing: such a record is none. */
static void a_relay_for_nothing_is_no_relay(void **state)
{
    (void)state;
    uint8_t bytes[CHQ_RELAY_RECORD_BYTES_MAX];
    struct chq_relay_record record = {.host = chq_bytes_text("relay"), .port = 1, .quantum_bytes = 65536};
    struct chq_writer w = chq_writer_fixed(bytes, sizeof bytes);
    chq_relay_record_put(&w, &record);
    assert_int_equal(chq_relay_record_read(chq_writer_bytes(&w), &record), CHQ_MALFORMED);
}

/* Letters that wait at the relay can still be opened after the clock jumped ten years, or after ten years. */
static void a_clock_jump_keeps_the_prekeys(void **state)
{
    (void)state;
    struct bench b;
    struct agent_channel channel = {.state = AGENT_CHANNEL_OPEN};
    bench_init(&b);
    b.home->attached = &channel;
    b.door->made = true;
    b.agent->unix_ms = START_MS + UINT64_C(3650) * 86400000;
    chq_agent_advance_prekeys(b.agent);
    assert_true(b.agent->publishing);
    const struct agent_prekey *p = b.agent->prekeys;
    while (p != NULL && p->secret.id != 1)
        p = p->next;
    assert_non_null(p);
    chq_agent_free(b.agent);
}

/* The home relay shows the channel as it is on the ledger, whose clock stands at `time_s`. */
static void ledger_says(struct bench *b, const struct agent_channel *c, uint64_t time_s)
{
    const struct chq_channel_record record = {.deposit_micro = 1000,
        .tokens = c->tokens,
        .price_micro = c->price_micro,
        .quantum_bytes = c->quantum_bytes,
        .expiry_s = c->expiry_s,
        .state = CHQ_CHANNEL_OPEN};
    uint8_t bytes[CHQ_RECORD_VALUE_BYTES_MAX];
    struct chq_writer w = chq_writer_fixed(bytes, sizeof bytes);
    struct agent_lookup *l;
    (void)chq_agent_look(b->agent, CHQ_RECORD_CHANNEL, c->id, UINT64_MAX);
    for (l = b->agent->lookups; l->kind != CHQ_RECORD_CHANNEL; l = l->next)
        ;
    chq_channel_record_put(&w, &record);
    free(l->value);
    l->value = chq_agent_copy(b->agent, chq_writer_bytes(&w));
    l->size = w.size;
    l->done = l->present = true;
    l->wanted = false;
    l->fetched_us = b->agent->now_us;
    l->time_s = time_s;
}

/* By our clock the channel has long expired, by the ledger's it has not: no batch is made that would hold up all others. */
static void only_the_ledgers_clock_expires_channels(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    struct agent_channel *c = calloc(1, sizeof *c);
    assert_non_null(c);
    *c = (struct agent_channel){.state = AGENT_CHANNEL_OPEN,
        .tokens = 10,
        .price_micro = 100,
        .quantum_bytes = 65536,
        .expiry_s = START_MS / 1000 + 86400};
    b.agent->channels = c;
    b.agent->account_known = b.agent->account_present = b.agent->account_has_handle = true;
    b.agent->device_listed = b.agent->registered = true;
    b.agent->unix_ms = START_MS + UINT64_C(3650) * 86400000;
    ledger_says(&b, c, START_MS / 1000);
    chq_agent_advance_account(b.agent);
    assert_int_equal(b.agent->batch.kind, 0);
    assert_ptr_equal(b.agent->channels, c);
    b.agent->now_us += UINT64_C(3601) * 1000000;
    ledger_says(&b, c, c->expiry_s + 3600);
    chq_agent_advance_account(b.agent);
    assert_int_equal(b.agent->batch.kind, AGENT_BATCH_EXPIRE);
    /* Too early all the same, says the ledger behind the relay: the batch is given up, the channel is not. */
    b.agent->batch.answered = b.agent->account_known = true;
    b.agent->batch.answer = CHQ_AGAIN;
    chq_agent_advance_account(b.agent);
    assert_int_equal(b.agent->batch.kind, 0);
    assert_ptr_equal(b.agent->channels, c);
    chq_agent_free(b.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_strangers_do_not_block_the_front_door),
        cmocka_unit_test(a_crowd_of_strangers_keeps_no_contact_out),
        cmocka_unit_test(a_greedy_relay_is_not_used),
        cmocka_unit_test(a_relay_for_nothing_is_no_relay),
        cmocka_unit_test(a_clock_jump_keeps_the_prekeys),
        cmocka_unit_test(only_the_ledgers_clock_expires_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
