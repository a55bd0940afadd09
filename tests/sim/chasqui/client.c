/* SPDX-License-Identifier: Apache-2.0 */
/* A client's shell: keeps the agent's records, crashes between writing and sending, and the user in front of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "tests/sim/chasqui/sim.h"

static struct row **find_row(struct sim_client *c, const struct chq_agent_record *record)
{
    struct row **at = &c->rows;
    while (*at != NULL && ((*at)->table != record->table || (*at)->key_size != record->key.size ||
                              memcmp((*at)->key, record->key.data, record->key.size) != 0))
        at = &(*at)->next;
    return at;
}

static uint32_t client_of(const struct sim *s, const uint8_t account[32])
{
    uint32_t c = 0;
    while (c < s->options.clients && memcmp(s->clients[c].truth.id, account, 32) != 0)
        c++;
    return c;
}

/* What becomes durable is what counts: the oracle looks at the store, not at what was shown. */
static void look_at(struct sim *s, uint32_t c, const struct chq_agent_record *record)
{
    struct sim_client *client = &s->clients[c];
    uint32_t other = record->key.size == 40 ? client_of(s, record->key.data) : CLIENTS_MAX;
    if (record->table == CHQ_AGENT_MESSAGES) {
        struct chq_agent_message m;
        if (chq_agent_message_read(record->value, &m) != CHQ_OK)
            sim_fail(s, "%s wrote a message record that cannot be read", client->handle);
        else if (m.incoming)
            oracle_received(s, c, record->key.data, chq_load_u64(record->key.data + 32), m.text);
        else if (other < s->options.clients)
            client->sent_to[other]++;
    } else if (record->table == CHQ_AGENT_STATUS && other < s->options.clients) {
        enum chq_agent_status status;
        uint64_t at;
        if (chq_agent_status_read(record->value, &status, &at) != CHQ_OK)
            sim_fail(s, "%s wrote a status record that cannot be read", client->handle);
        else if (status == CHQ_AGENT_STATUS_SENT)
            client->stored_to[other]++;
        else
            client->delivered_to[other]++;
    }
}

static void write_row(struct sim *s, uint32_t c, const struct chq_agent_record *record)
{
    struct sim_client *client = &s->clients[c];
    if (s->options.mutation == MUTATION_AGENT_RELEASES_TWICE && record->table == CHQ_AGENT_CHANNELS &&
        *find_row(client, record) != NULL && !record->erase && sim_below(s, 3) != 0)
        return;
    if (!record->erase)
        look_at(s, c, record);
    if (record->table == CHQ_AGENT_MESSAGES || record->table == CHQ_AGENT_STATUS)
        return;
    struct row **at = find_row(client, record);
    if (*at != NULL) {
        struct row *old = *at;
        *at = old->next;
        free(old->value);
        free(old);
    }
    if (record->erase)
        return;
    struct row *row = sim_alloc(sizeof *row);
    row->table = (uint8_t)record->table;
    row->key_size = record->key.size;
    memcpy(row->key, record->key.data, record->key.size);
    row->value = sim_copy(record->value);
    row->value_size = record->value.size;
    row->next = client->rows;
    client->rows = row;
}

/* --- actions --- */

static uint32_t relay_of(const struct sim *s, const uint8_t id[32])
{
    uint32_t r = 0;
    while (r < s->options.relays && memcmp(s->relays[r].account.id, id, 32) != 0)
        r++;
    return r;
}

static void notify(struct sim *s, uint32_t c, const struct chq_agent_notice *n)
{
    static const char *const names[] = {"", "PROGRESS", "READY", "CONTACT_ADDED", "QUEUED", "SENT",
        "DELIVERED", "RECEIVED", "CALL", "TURN", "WALLET", "TRANSFERRED", "LEFT", "LINK", "ERROR",
        "SECURITY"};
    struct sim_client *client = &s->clients[c];
    uint32_t other = client_of(s, n->account);
    sim_trace(s, "%s: %s %s #%llu %.*s", client->handle, names[n->kind],
        other < s->options.clients ? s->clients[other].handle : "", (unsigned long long)n->number,
        n->text.size < 60 ? (int)n->text.size : 60, n->text.size > 0 ? (const char *)n->text.data : "");
    sim_log(s, "%s: %s %s #%llu %.*s", client->handle, names[n->kind],
        other < s->options.clients ? s->clients[other].handle : "", (unsigned long long)n->number,
        n->text.size < 100 ? (int)n->text.size : 100, n->text.size > 0 ? (const char *)n->text.data : "");
    if (n->kind == CHQ_AGENT_NOTE_READY)
        client->ready = true;
    if (n->kind == CHQ_AGENT_NOTE_CONTACT_ADDED && other < s->options.clients)
        client->added[other] = 2;
    if (n->kind == CHQ_AGENT_NOTE_SECURITY)
        client->security++;
    if (n->kind == CHQ_AGENT_NOTE_ERROR)
        client->errors++;
}

static void link(struct sim *s, uint32_t c, const struct chq_agent_action *action)
{
    uint32_t r = relay_of(s, action->relay);
    char host[32];
    if (r == s->options.relays) {
        sim_fail(s, "%s calls a relay that does not exist", s->clients[c].handle);
        return;
    }
    snprintf(host, sizeof host, "relay-%u.example", r);
    if (strcmp(host, action->link.host) != 0 || action->link.tls_pin[0] != r + 1)
        sim_fail(s, "%s calls relay %u with a false address or key", s->clients[c].handle, r);
    s->clients[c].link_to[r] = sim_link_new(s, c, r) + 1;
}

static void act(struct sim *s, uint32_t c, const struct chq_agent_action *action)
{
    uint32_t r = relay_of(s, action->relay);
    switch (action->type) {
    case CHQ_AGENT_DO_PERSIST: return;
    case CHQ_AGENT_DO_LINK: link(s, c, action); return;
    case CHQ_AGENT_DO_UNLINK:
        if (s->clients[c].link_to[r] != 0)
            sim_link_close(s, s->clients[c].link_to[r] - 1, true);
        s->clients[c].link_to[r] = 0;
        return;
    case CHQ_AGENT_DO_SEND:
        if (s->clients[c].link_to[r] != 0 && s->links[s->clients[c].link_to[r] - 1].client_open)
            sim_send(s, s->clients[c].link_to[r] - 1, false, action->frame, false);
        return;
    case CHQ_AGENT_DO_NOTIFY: notify(s, c, action->notice); return;
    }
}

static void arm(struct sim *s, uint32_t c)
{
    struct sim_client *client = &s->clients[c];
    uint64_t at = chq_agent_deadline_us(client->agent);
    if (at == client->timer_us || at == UINT64_MAX)
        return;
    client->timer_us = at;
    struct event *e = sim_at(s, at > s->now_us ? at - s->now_us : 1, EVENT_CLIENT_TIMER, c, 0);
    e->number = at;
    e->epoch = client->epoch;
}

void client_event(struct sim *s, uint32_t c, const struct chq_agent_event *event, bool lie)
{
    struct sim_client *client = &s->clients[c];
    struct chq_agent_event timed = *event;
    struct chq_agent_actions actions;
    if (client->agent == NULL)
        return; /* the program is not running */
    uint32_t security = client->security;
    bool early = s->options.mutation == MUTATION_CLIENT_EARLY_ACK;
    timed.now_us = s->now_us;
    timed.unix_ms = sim_unix_ms(s);
    memory_armed = true;
    enum chq_err err = chq_agent_step(client->agent, &timed, &actions);
    memory_armed = false;
    if (err == CHQ_NO_MEMORY) {
        client_crash(
            s, c); /* as the contract says: nothing of it is done, and the records are loaded again */
        return;
    }
    if (err != CHQ_OK) {
        sim_fail(s, "%s: a step failed: %s", client->handle, chq_err_string(err));
        return;
    }
    if (early)
        for (uint32_t i = 0; i < actions.n; i++)
            act(s, c, &actions.v[i]);
    if (sim_chance(s, s->options.tear)) {
        client_crash(s, c); /* nothing of it happened */
        return;
    }
    for (uint32_t i = 0; i < actions.n && !s->failed; i++)
        if (actions.v[i].type == CHQ_AGENT_DO_PERSIST)
            write_row(s, c, &actions.v[i].record);
    if (sim_chance(s, s->options.tear)) {
        client_crash(s, c); /* written, but nothing was sent or shown */
        return;
    }
    for (uint32_t i = 0; i < actions.n && !s->failed && !early; i++)
        act(s, c, &actions.v[i]);
    if (lie && client->security == security)
        sim_fail(s, "%s believed a false answer of a relay", client->handle);
    s->lies_noticed += client->security - security;
    arm(s, c);
}

void client_on_timer(struct sim *s, uint32_t c, uint64_t armed_us)
{
    struct sim_client *client = &s->clients[c];
    struct chq_agent_event event = {.type = CHQ_AGENT_TIMEOUT};
    if (client->agent == NULL || client->timer_us != armed_us)
        return;
    client->timer_us = 0;
    client_event(s, c, &event, false);
}

/* --- life --- */

static struct chq_bytes invitation(struct sim *s, uint32_t home, struct chq_writer *w)
{
    struct chq_invitation *in = sim_alloc(sizeof *in);
    memcpy(in->chain_id, SIM_CHAIN, sizeof SIM_CHAIN);
    in->validators_count = 1;
    in->validators[0] = s->chain.genesis.validators[0];
    memcpy(in->relay, s->relays[home].account.id, 32);
    snprintf(in->host, sizeof in->host, "relay-%u.example", home);
    in->port = 443;
    memset(in->pin, (int)home + 1, 32);
    chq_invitation_put(w, in);
    CHQ_ASSERT(w->err == CHQ_OK);
    free(in);
    return chq_writer_bytes(w);
}

void client_init(struct sim *s, uint32_t c)
{
    static const char *const names[CLIENTS_MAX] = {"ana", "bo", "chaska", "dai"};
    struct sim_client *client = &s->clients[c];
    memcpy(client->handle, names[c], strlen(names[c]));
    client->wish = client->handle;
    chq_random_fill(&s->random, client->entropy, 32);
    chq_account_from_entropy(&client->truth, client->entropy);
    chq_seeded_init(&client->seeded, s->seed * 16 + c + 1);
    client->home = (uint32_t)sim_below(s, s->options.relays);
    for (uint32_t i = 0; i < s->options.clients; i++)
        client->added[i] = i == c ? 2 : i < c && sim_below(s, 3) != 0 ? 1 : 0;
    if (s->options.calm)
        client->home = c % s->options.relays;
    sim_at(s, sim_below(s, 2000000), EVENT_CLIENT_START, c, 0);
    if (c < s->options.clients)
        sim_at(s, 1000000, EVENT_APP, c, 0);
    if (s->options.calm)
        return;
    if (sim_below(s, 2) == 0) {
        client->call_bytes_wanted = 1 + s->seed % 6 * 100000;
        sim_at(s, 5000000 + sim_below(s, 20000000), EVENT_CALL, c, 0);
    }
    if (sim_below(s, 4) == 0)
        sim_at(s, 8000000 + sim_below(s, 20000000), EVENT_DEVICE, c, 0);
}

void client_start(struct sim *s, uint32_t c)
{
    struct sim_client *client = &s->clients[c];
    struct chq_random random = chq_seeded_random(&client->seeded);
    struct chq_agent_config config = {
        .prekeys = 2, .channel_tokens = 2 + (uint32_t)(s->seed % 11), .idle_pay_ms = 10000};
    struct chq_agent_event start = {.type = CHQ_AGENT_START};
    if (client->agent != NULL)
        return;
    enum chq_err err = chq_agent_new(&client->agent, &random, &config);
    CHQ_ASSERT(err == CHQ_OK);
    for (const struct row *row = client->rows; row != NULL; row = row->next) {
        err = chq_agent_load(client->agent, row->table, chq_bytes(row->key, row->key_size),
            chq_bytes(row->value, row->value_size));
        CHQ_ASSERT(err == CHQ_OK);
    }
    bool fresh = client->rows == NULL;
    client->timer_us = 0;
    sim_log(s, "%s starts", client->handle);
    client_event(s, c, &start, false);
    if (fresh && client->agent != NULL)
        client_create(s, c, client->wish);
}

void client_create(struct sim *s, uint32_t c, const char *handle)
{
    struct sim_client *client = &s->clients[c];
    struct chq_writer w = chq_writer_heap(CHQ_INVITATION_CHARACTERS_MAX);
    struct chq_agent_event create = {.type = CHQ_AGENT_COMMAND};
    create.command.type = CHQ_AGENT_CREATE;
    create.command.text = invitation(s, client->home, &w);
    create.command.handle = chq_bytes_text(handle);
    create.command.secret = chq_bytes(client->entropy, 32);
    client_event(s, c, &create, false);
    chq_writer_free(&w);
}

void client_crash(struct sim *s, uint32_t c)
{
    struct sim_client *client = &s->clients[c];
    if (client->agent == NULL)
        return;
    sim_log(s, "%s crashes", client->handle);
    s->crashes++;
    chq_agent_free(client->agent);
    client->agent = NULL;
    client->ready = false;
    client->epoch++;
    for (uint32_t r = 0; r < RELAYS_MAX; r++) {
        if (client->link_to[r] != 0 && !s->links[client->link_to[r] - 1].cut)
            sim_link_crash(s, client->link_to[r] - 1, true);
        client->link_to[r] = 0;
    }
    /* A profile that was never written is as if the program had never run. */
    sim_at(s, 500000 + sim_below(s, 8000000), EVENT_CLIENT_START, c, 0);
}

static void free_rows(struct sim_client *client)
{
    while (client->rows != NULL) {
        struct row *row = client->rows;
        client->rows = row->next;
        free(row->value);
        free(row);
    }
}

void client_lose(struct sim *s, uint32_t c)
{
    client_crash(s, c);
    free_rows(&s->clients[c]);
}

void client_free(struct sim *s, uint32_t c)
{
    chq_agent_free(s->clients[c].agent);
    free_rows(&s->clients[c]);
}

/* --- the user --- */

void client_add(struct sim *s, uint32_t c, uint32_t other)
{
    struct chq_agent_event event = {.type = CHQ_AGENT_COMMAND};
    event.command.type = CHQ_AGENT_ADD;
    event.command.handle = chq_bytes_text(s->clients[other].handle);
    client_event(s, c, &event, false);
}

void client_write(struct sim *s, uint32_t c, uint32_t other)
{
    static char text[CHQ_TEXT_BYTES_MAX + 1];
    struct chq_agent_event event = {.type = CHQ_AGENT_COMMAND};
    int n = snprintf(text, sizeof text, "%u>%u#%u ", c, other, s->clients[c].sent_to[other] + 1);
    size_t size = (size_t)n + (sim_below(s, 4) == 0 ? sim_below(s, 10000) : sim_below(s, 100));
    if (s->options.calm)
        size = (size_t)n;
    memset(text + n, '.', size - (size_t)n);
    event.command.type = CHQ_AGENT_SEND_TEXT;
    event.command.text = chq_bytes(text, size);
    memcpy(event.command.account, s->clients[other].truth.id, 32);
    client_event(s, c, &event, false);
}

bool client_knows(const struct sim_client *client, const uint8_t account[32])
{
    struct chq_agent_contact contact;
    for (uint32_t i = 0; chq_agent_contact(client->agent, i, &contact) == CHQ_OK; i++)
        if (contact.known && memcmp(contact.account, account, 32) == 0)
            return true;
    return false;
}

/* A call's media: the relay meters it, the client reports what it saw of it. */
void client_call(struct sim *s, uint32_t c)
{
    struct sim_client *client = &s->clients[c];
    struct sim_relay *relay = &s->relays[client->home];
    uint32_t link = client->link_to[client->home], carried = 0;
    if (client->agent != NULL && link != 0 && relay->up && s->links[link - 1].relay_open &&
        !s->links[link - 1].cut && s->links[link - 1].relay_epoch == relay->epoch) {
        uint32_t slot = chq_meter_channel_of(relay->meter, s->links[link - 1].connection);
        for (uint32_t i = 0; i < 20 && slot != CHQ_METER_NONE; i++)
            carried += chq_gauge_try_add(chq_meter_gauge(relay->meter, slot), 1000) ? 1000 : 0;
    }
    client->call_bytes += carried;
    if (carried > 0) {
        struct chq_agent_event event = {.type = CHQ_AGENT_COMMAND};
        event.command.type = CHQ_AGENT_TURN_USED;
        event.command.amount = carried;
        memcpy(event.command.relay, relay->account.id, 32);
        client_event(s, c, &event, false);
    }
    if (client->call_bytes < client->call_bytes_wanted && !s->failed)
        sim_at(s, 500000, EVENT_CALL, c, 0);
}

/* The account signs a further device, behind the back of the running one: a new list, and a nonce that is gone. */
void client_device(struct sim *s, uint32_t c)
{
    struct sim_client *client = &s->clients[c];
    struct chq_account_record record;
    struct chq_random random = chq_seeded_random(&client->seeded);
    struct chq_device devices[CHQ_DEVICES_MAX];
    struct chq_device_list list;
    struct chq_device_keys *keys = sim_alloc(sizeof *keys);
    struct chq_writer old = chq_writer_heap(CHQ_DEVICE_LIST_BYTES_MAX),
                      w = chq_writer_heap(CHQ_DEVICE_LIST_BYTES_MAX);
    char reason[160];
    if (s->chain.up && chain_account(s, client->truth.id, &record) &&
        chq_state_get(s->chain.state, CHQ_RECORD_DEVICES, client->truth.id, &old) &&
        chq_device_list_open(&list, chq_writer_bytes(&old), client->truth.root.public_key) == CHQ_OK) {
        memcpy(devices, list.devices, sizeof devices);
        chq_device_keys_new(keys, &random);
        chq_device_record(&devices[list.n], keys, devices[0].home_relay_id, keys->signing.public_key, 1);
        enum chq_err err =
            chq_account_sign_devices(&w, &client->truth, chq_writer_bytes(&old), devices, list.n + 1);
        CHQ_ASSERT(err == CHQ_OK);
        struct chq_operation op = {.type = CHQ_OPERATION_DEVICE_LIST};
        op.device_list.signed_list = chq_writer_bytes(&w);
        err = chain_batch(s, &client->truth, &op, 1, reason);
        sim_log(s, "%s has a second device: %s", client->handle, chq_err_string(err));
    }
    chq_writer_free(&old);
    chq_writer_free(&w);
    free(keys);
}

/* Every now and then the user does something: adds somebody, or writes the next message. */
void client_app(struct sim *s, uint32_t c)
{
    struct sim_client *client = &s->clients[c];
    uint32_t other = (uint32_t)sim_below(s, s->options.clients);
    bool open = false;
    if (client->agent != NULL && client->ready && other != c && s->clients[other].got_from[other] == 0) {
        if (client_knows(client, s->clients[other].truth.id)) {
            if (client->sent_to[other] + (s->options.calm ? 1 : 0) <
                s->options.messages) /* the story has the last */
                client_write(s, c, other);
        } else if (client->added[other] == 0 || s->now_us >= s->options.faults_until_us) {
            client_add(s, c, other);
        }
    }
    for (uint32_t i = 0; i < s->options.clients; i++)
        open = open || (i != c && client->sent_to[i] < s->options.messages);
    if (open && !s->failed)
        sim_at(s, 100000 + sim_below(s, 1500000), EVENT_APP, c, 0);
}
