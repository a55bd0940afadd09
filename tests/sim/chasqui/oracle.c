/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold, said from outside: it knows what was written, what the ledger holds, what the relays' disks hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "tests/sim/chasqui/sim.h"

static uint32_t client_of(const struct sim *s, const uint8_t account[32])
{
    uint32_t c = 0;
    while (c < s->options.clients && memcmp(s->clients[c].truth.id, account, 32) != 0)
        c++;
    return c;
}

/* Exactly once and in order, per conversation, as it became durable. */
void oracle_received(
    struct sim *s, uint32_t c, const uint8_t from[32], uint64_t number, struct chq_bytes text)
{
    uint32_t other = client_of(s, from);
    char expected[64];
    (void)number;
    if (other == s->options.clients) {
        sim_fail(s, "%s received a message from nobody", s->clients[c].handle);
        return;
    }
    uint32_t k = ++s->clients[c].got_from[other];
    int n = snprintf(expected, sizeof expected, "%u>%u#%u ", other, c, k);
    if (text.size < (size_t)n || memcmp(text.data, expected, (size_t)n) != 0)
        sim_fail(s, "%s expected message %u of %s and got \"%.*s\"", s->clients[c].handle, k,
            s->clients[other].handle, (int)(text.size < 24 ? text.size : 24), (const char *)text.data);
    s->delivered++;
}

void oracle_block(struct sim *s)
{
    if (!chq_state_conserves(s->chain.state))
        sim_fail(s, "credit is not conserved at height %llu",
            (unsigned long long)chq_state_height(s->chain.state));
}

/*
 * Neither side is ever more than one quantum ahead of the other. A relay that over-claims may get 11 % and one quantum
 * more, that is the rule; one that crashes may have forgotten what it carried for a call in the last second.
 */
void oracle_channels(struct sim *s)
{
    for (uint32_t r = 0; r < s->options.relays; r++)
        for (uint32_t i = 0; i < s->relays[r].disk.channels_n; i++) {
            const struct chq_meter_row *row = &s->relays[r].disk.channels[i];
            uint64_t q = row->record.quantum_bytes, paid = row->index * q;
            if (row->carried_bytes > paid + q)
                sim_fail(s, "relay %u carried %llu bytes for %llu paid ones: more than one quantum ahead", r,
                    (unsigned long long)row->carried_bytes, (unsigned long long)paid);
            uint64_t most = row->carried_bytes + s->relays[r].forgotten_bytes + q;
            if (s->lies > 0)
                most += row->carried_bytes / 100 * 12 + q;
            if (paid > most)
                sim_fail(s, "relay %u was paid for %llu bytes and carried %llu: more than one quantum ahead",
                    r, (unsigned long long)paid, (unsigned long long)row->carried_bytes);
        }
}

/* Whether all that was to be said has been said, received and receipted. */
bool oracle_done(struct sim *s)
{
    for (uint32_t c = 0; c < s->options.clients; c++)
        if (s->clients[c].call_bytes < s->clients[c].call_bytes_wanted)
            return false;
    for (uint32_t c = 0; c < s->options.clients; c++)
        for (uint32_t o = 0; o < s->options.clients; o++)
            if (o != c && (s->clients[c].delivered_to[o] < s->options.messages ||
                              s->clients[o].got_from[c] < s->options.messages))
                return false;
    return true;
}

static void check_delivery(struct sim *s)
{
    for (uint32_t c = 0; c < s->options.clients; c++)
        if (s->clients[c].call_bytes < s->clients[c].call_bytes_wanted)
            sim_fail(s, "%s's call stopped at %llu bytes", s->clients[c].handle,
                (unsigned long long)s->clients[c].call_bytes);
    for (uint32_t c = 0; c < s->options.clients; c++)
        for (uint32_t o = 0; o < s->options.clients; o++) {
            const struct sim_client *a = &s->clients[c], *b = &s->clients[o];
            if (o == c)
                continue;
            if (b->got_from[c] != a->sent_to[o])
                sim_fail(s, "%s wrote %u messages to %s, %u arrived", a->handle, a->sent_to[o], b->handle,
                    b->got_from[c]);
            if (a->sent_to[o] != s->options.messages)
                sim_fail(s, "%s could write only %u of %u messages to %s", a->handle, a->sent_to[o],
                    s->options.messages, b->handle);
            if (a->delivered_to[o] != a->sent_to[o])
                sim_fail(s, "%s saw %u of %u messages to %s delivered", a->handle, a->delivered_to[o],
                    a->sent_to[o], b->handle);
        }
}

/* Settled credit is what the tokens say, and nobody has any other. */
static void check_credit(struct sim *s)
{
    for (uint32_t r = 0; r < s->options.relays; r++) {
        const struct sim_relay *relay = &s->relays[r];
        struct chq_account_record account = {0};
        uint64_t income = 0;
        for (uint32_t i = 0; i < relay->disk.channels_n; i++) {
            const struct chq_meter_row *row = &relay->disk.channels[i];
            struct chq_channel_record record;
            if (!chain_channel(s, row->id, &record)) {
                sim_fail(s, "relay %u holds a channel that the ledger does not know", r);
                return;
            }
            income += record.last_index * record.price_micro;
            if (record.last_index != row->index)
                sim_fail(s, "relay %u holds %llu tokens of a channel, %llu are settled", r,
                    (unsigned long long)row->index, (unsigned long long)record.last_index);
        }
        (void)chain_account(s, relay->account.id, &account);
        if (account.balance_micro + relay->disk.granted_n * SIM_GRANT != SIM_FUNDS + income)
            sim_fail(s, "relay %u has %llu microcredit, its tokens say %llu", r,
                (unsigned long long)account.balance_micro,
                (unsigned long long)(SIM_FUNDS + income - relay->disk.granted_n * SIM_GRANT));
    }
}

/* Whether the payer has a newer channel with that relay: calls may have added to the older one while it changed. */
static bool is_left(const struct sim_relay *relay, const struct chq_meter_row *row)
{
    for (uint32_t i = 0; i < relay->disk.channels_n; i++)
        if (memcmp(relay->disk.channels[i].record.payer, row->record.payer, 32) == 0 &&
            relay->disk.channels[i].record.number > row->record.number)
            return true;
    return false;
}

/* At rest the payer has paid ceil(carried / Q) tokens; of a channel that was left, all but half a quantum. */
static void check_rest(struct sim *s)
{
    for (uint32_t r = 0; r < s->options.relays; r++)
        for (uint32_t i = 0; i < s->relays[r].disk.channels_n; i++) {
            const struct chq_meter_row *row = &s->relays[r].disk.channels[i];
            uint64_t due = (row->carried_bytes + SIM_QUANTUM - 1) / SIM_QUANTUM;
            bool left = is_left(&s->relays[r], row) &&
                        row->carried_bytes <= row->index * SIM_QUANTUM + SIM_QUANTUM / 2;
            if (s->lies == 0 && s->relays[r].forgotten_bytes == 0 && row->index != due &&
                row->index != row->record.tokens && !left)
                sim_fail(s, "relay %u carried %llu bytes and holds %llu tokens at rest, not %llu", r,
                    (unsigned long long)row->carried_bytes, (unsigned long long)row->index,
                    (unsigned long long)due);
        }
}

/* Nobody was made to believe a false key. */
static void check_keys(struct sim *s)
{
    for (uint32_t c = 0; c < s->options.clients; c++) {
        struct sim_client *client = &s->clients[c];
        struct chq_agent_contact contact;
        for (uint32_t i = 0; client->agent != NULL && chq_agent_contact(client->agent, i, &contact) == CHQ_OK;
             i++) {
            uint32_t other = contact.known ? client_of(s, contact.account) : 0;
            if (contact.known &&
                (other == s->options.clients || strcmp(contact.handle, s->clients[other].handle) != 0))
                sim_fail(s, "%s knows %s under a false account", client->handle, contact.handle);
        }
    }
}

void oracle_end(struct sim *s)
{
    oracle_channels(s);
    check_keys(s);
    check_delivery(s);
    check_rest(s);
    check_credit(s);
}
