/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client/agent/state.h"
#include "core/identity/safety_number.h"
#include "core/wire/cbor.h"

enum chq_err chq_agent_identity(const struct chq_agent *a, struct chq_agent_identity *out)
{
    *out = (struct chq_agent_identity){0};
    if (!a->created)
        return CHQ_NOT_FOUND;
    memcpy(out->account, a->secrets->account.id, 32);
    memcpy(out->device, a->secrets->device.device_id, 16);
    memcpy(out->home_relay, a->invitation->relay, 32);
    memcpy(out->handle, a->handle, sizeof out->handle);
    memcpy(out->chain_id, a->invitation->chain_id, sizeof out->chain_id);
    out->registered = a->registered;
    out->ready = a->ready_said;
    return CHQ_OK;
}

enum chq_err chq_agent_contact(const struct chq_agent *a, uint32_t i, struct chq_agent_contact *out)
{
    *out = (struct chq_agent_contact){0};
    const struct agent_contact *c = a->contacts;
    while (c != NULL && i > 0) {
        c = c->next;
        i--;
    }
    if (c == NULL)
        return CHQ_NOT_FOUND;
    memcpy(out->account, c->account, 32);
    memcpy(out->handle, c->handle, sizeof out->handle);
    out->known = c->known;
    for (const struct agent_peer *p = a->peers; p != NULL; p = p->next)
        out->devices += p->contact == c && p->active;
    for (const struct agent_item *k = a->items; k != NULL; k = k->next)
        out->waiting += k->contact == c && k->kind == CHQ_CONTENT_TEXT && !k->delivered;
    return CHQ_OK;
}

enum chq_err chq_agent_safety_number(const struct chq_agent *a, const uint8_t account[32], char out[61])
{
    memset(out, 0, 61);
    for (const struct agent_contact *c = a->contacts; c != NULL; c = c->next)
        if (c->known && memcmp(c->account, account, 32) == 0) {
            chq_safety_number(
                out, a->secrets->account.id, a->secrets->account.root.public_key, c->account, c->root_key);
            return CHQ_OK;
        }
    return CHQ_NOT_FOUND;
}

void chq_agent_wallet(const struct chq_agent *a, struct chq_agent_wallet *out)
{
    *out = (struct chq_agent_wallet){.balance_micro = a->balance_micro};
    for (const struct agent_channel *c = a->channels; c != NULL; c = c->next) {
        out->paid_micro += c->released * c->price_micro;
        if (c->state != AGENT_CHANNEL_OPEN)
            continue;
        out->deposits_micro += (c->tokens - c->released) * c->price_micro;
        out->channels++;
    }
}

enum chq_err chq_agent_call_key(
    struct chq_agent *a, const uint8_t account[32], const uint8_t call_id[16], uint8_t out[32])
{
    memset(out, 0, 32);
    for (struct agent_peer *p = a->peers; p != NULL; p = p->next) {
        if (p->contact == NULL || !p->active || memcmp(p->account, account, 32) != 0)
            continue;
        const struct agent_session *s = chq_agent_best_session(p);
        if (s == NULL)
            continue;
        chq_session_export(s->session, chq_bytes(call_id, 16), out);
        return CHQ_OK;
    }
    return CHQ_NOT_FOUND;
}

enum chq_err chq_agent_message_read(struct chq_bytes value, struct chq_agent_message *out)
{
    struct chq_reader r = chq_reader(value);
    *out = (struct chq_agent_message){0};
    struct chq_cbor_map m = chq_cbor_get_map(&r, 5);
    chq_cbor_need(&r, &m, 1);
    chq_cbor_get_fixed(&r, out->id, sizeof out->id);
    chq_cbor_need(&r, &m, 2);
    out->incoming = chq_cbor_get_uint_max(&r, 1) == 1;
    chq_cbor_need(&r, &m, 3);
    out->sent_ms = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 4);
    out->stored_ms = chq_cbor_get_uint(&r);
    chq_cbor_need(&r, &m, 5);
    out->text = chq_cbor_get_text(&r, CHQ_TEXT_BYTES_MAX);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err != CHQ_OK)
        *out = (struct chq_agent_message){0};
    return err;
}

enum chq_err chq_agent_status_read(struct chq_bytes value, enum chq_agent_status *status, uint64_t *at_ms)
{
    struct chq_reader r = chq_reader(value);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 2);
    chq_cbor_need(&r, &m, 1);
    uint64_t s = chq_cbor_get_uint_max(&r, CHQ_AGENT_STATUS_DELIVERED);
    chq_cbor_need(&r, &m, 2);
    uint64_t at = chq_cbor_get_uint(&r);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err == CHQ_OK && s < CHQ_AGENT_STATUS_SENT)
        err = CHQ_MALFORMED;
    *status = err == CHQ_OK ? (enum chq_agent_status)s : 0;
    *at_ms = err == CHQ_OK ? at : 0;
    return err;
}
