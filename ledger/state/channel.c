/* SPDX-License-Identifier: Apache-2.0 */
/* Payment channels: operations 8 to 12 of docs/protocol.md section 5. */
#include <string.h>

#include "core/base/assert.h"
#include "core/crypto/chain.h"
#include "ledger/state/internal.h"

static enum chq_err no_memory(struct apply *a)
{
    return chq_state_refuse(a, CHQ_NO_MEMORY, "the ledger is out of memory: try again later");
}

static enum chq_err take_balance(struct apply *a, uint64_t micro)
{
    struct account_row *payer = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, a->signer);
    if (payer == NULL)
        return no_memory(a);
    if (payer->balance_micro < micro)
        return chq_state_refuse(a, CHQ_PAYMENT, "the balance is %llu microcredit, the deposit needs %llu",
            (unsigned long long)payer->balance_micro, (unsigned long long)micro);
    payer->balance_micro -= micro;
    return CHQ_OK;
}

/* Operation 8. */
static enum chq_err apply_open(struct apply *a, const struct chq_channel_terms *terms)
{
    struct chq_state *s = a->state;
    uint8_t id[32];
    uint32_t slot, payee = chq_table_find(&s->tables[CHQ_RECORD_ACCOUNT], terms->payee);
    void *row;
    if (payee == CHQ_SLOT_NONE)
        return chq_state_refuse(a, CHQ_NOT_FOUND, "there is no such payee");
    if (terms->deposit_micro == 0)
        return chq_state_refuse(a, CHQ_MALFORMED, "a channel needs a deposit");
    if (terms->expiry_s <= s->block_time_s)
        return chq_state_refuse(a, CHQ_EXPIRED, "the channel's expiry has passed");
    if (terms->expiry_s - s->block_time_s > CHQ_CHANNEL_LIFE_MAX_S)
        return chq_state_refuse(a, CHQ_LIMIT, "the channel's expiry is more than 366 days away");
    CHQ_TRY(take_balance(a, terms->deposit_micro));
    chq_channel_id(id, a->batch->chain_id, a->batch->signer, a->batch->nonce, a->index);
    CHQ_ASSERT(
        chq_table_find(&s->tables[CHQ_RECORD_CHANNEL], id) == CHQ_SLOT_NONE); /* SHA-256, nonce in it */
    enum chq_err err = chq_state_add(s, CHQ_RECORD_CHANNEL, id, &slot, &row);
    if (err != CHQ_OK)
        return err == CHQ_LIMIT ? chq_state_refuse(a, err, "the chain is full of channels") : no_memory(a);
    struct channel_row *c = row;
    c->deposit_micro = terms->deposit_micro;
    c->price_micro = terms->price_micro;
    c->quantum_bytes = terms->quantum_bytes;
    c->expiry_s = terms->expiry_s;
    memcpy(c->last_token, terms->chain_root, sizeof c->last_token);
    memcpy(c->attach_key, terms->attach_key, sizeof c->attach_key);
    c->tokens = (uint32_t)terms->tokens;
    c->payer = a->signer + 1;
    c->payee = payee + 1;
    c->state = CHQ_CHANNEL_OPEN;
    return CHQ_OK;
}

static enum chq_err find_channel(struct apply *a, const uint8_t id[32], uint32_t *slot)
{
    *slot = chq_table_find(&a->state->tables[CHQ_RECORD_CHANNEL], id);
    if (*slot == CHQ_SLOT_NONE)
        return chq_state_refuse(a, CHQ_NOT_FOUND, "there is no such channel");
    if (channel_at(a->state, *slot)->state == CHQ_CHANNEL_CLOSED)
        return chq_state_refuse(a, CHQ_STATE, "the channel is closed");
    return CHQ_OK;
}

/* Operation 9. */
static enum chq_err apply_top_up(struct apply *a, const struct chq_operation *op)
{
    uint64_t micro = op->channel_top_up.micro;
    uint32_t slot;
    CHQ_TRY(find_channel(a, op->channel_top_up.channel, &slot));
    const struct channel_row *now = channel_at(a->state, slot);
    if (now->payer != a->signer + 1)
        return chq_state_refuse(a, CHQ_AUTH, "only the payer may top up");
    if (now->state != CHQ_CHANNEL_OPEN)
        return chq_state_refuse(a, CHQ_STATE, "the channel is closing");
    if (a->state->block_time_s > now->expiry_s)
        return chq_state_refuse(a, CHQ_EXPIRED, "the channel has expired");
    if (micro == 0)
        return chq_state_refuse(a, CHQ_MALFORMED, "an amount of 0 moves nothing");
    if (micro > (uint64_t)CHQ_MICROCREDIT_SUPPLY_MAX - now->deposit_micro)
        return chq_state_refuse(a, CHQ_LIMIT, "the deposit would pass the largest amount there is");
    CHQ_TRY(take_balance(a, micro));
    struct channel_row *c = chq_state_touch(a->state, CHQ_RECORD_CHANNEL, slot);
    if (c == NULL)
        return no_memory(a);
    c->deposit_micro += micro;
    return CHQ_OK;
}

static enum chq_err check_settlement(struct apply *a, const struct chq_settlement *in, size_t i)
{
    const struct channel_row *c;
    unsigned long long number = in->number;
    if (in->number >= chq_state_count(a->state, CHQ_RECORD_CHANNEL))
        return chq_state_refuse(a, CHQ_NOT_FOUND, "record %zu: there is no channel %llu", i, number);
    c = channel_at(a->state, (uint32_t)in->number);
    if (c->state == CHQ_CHANNEL_CLOSED)
        return chq_state_refuse(a, CHQ_STATE, "record %zu: channel %llu is closed", i, number);
    if (in->index <= c->last_index)
        return chq_state_refuse(a, CHQ_STATE,
            "record %zu: token %llu of channel %llu was settled before (newest: %lu)", i,
            (unsigned long long)in->index, number, (unsigned long)c->last_index);
    if (in->index - c->last_index > CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX)
        return chq_state_refuse(a, CHQ_LIMIT, "record %zu: more than %d steps at once on channel %llu", i,
            CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX, number);
    if (in->index > c->tokens)
        return chq_state_refuse(a, CHQ_LIMIT, "record %zu: channel %llu has only %lu tokens", i, number,
            (unsigned long)c->tokens);
    if (in->index > c->deposit_micro / c->price_micro)
        return chq_state_refuse(a, CHQ_PAYMENT,
            "record %zu: the deposit of channel %llu does not cover token %llu", i, number,
            (unsigned long long)in->index);
#ifndef CHQ_MUTATION_NO_TOKEN_CHECK
    if (chq_chain_verify(in->token, c->last_token, a->state->tables[CHQ_RECORD_CHANNEL].keys[in->number],
            in->index - c->last_index, CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX) != CHQ_OK)
        return chq_state_refuse(
            a, CHQ_AUTH, "record %zu: the token is not on the chain of channel %llu", i, number);
#endif
    return CHQ_OK;
}

/* Operation 10. */
static enum chq_err apply_settle(struct apply *a, struct chq_bytes records)
{
    for (size_t i = 0; i < records.size / CHQ_SETTLEMENT_BYTES; i++) {
        struct chq_settlement in;
        chq_settlement_load(&in, records.data + i * CHQ_SETTLEMENT_BYTES);
        CHQ_TRY(check_settlement(a, &in, i));
        struct channel_row *c = chq_state_touch(a->state, CHQ_RECORD_CHANNEL, (uint32_t)in.number);
        if (c == NULL)
            return no_memory(a);
        struct account_row *payee = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, c->payee - 1);
        if (payee == NULL)
            return no_memory(a);
        payee->balance_micro += (in.index - c->last_index) * c->price_micro; /* within the deposit */
        c->last_index = (uint32_t)in.index;
        memcpy(c->last_token, in.token, sizeof c->last_token);
    }
    return CHQ_OK;
}

/* Give what is left back to the payer and end the channel. */
static enum chq_err end_channel(struct apply *a, uint32_t slot)
{
    struct channel_row *c = chq_state_touch(a->state, CHQ_RECORD_CHANNEL, slot);
    if (c == NULL)
        return no_memory(a);
    struct account_row *payer = chq_state_touch(a->state, CHQ_RECORD_ACCOUNT, c->payer - 1);
    if (payer == NULL)
        return no_memory(a);
    payer->balance_micro += channel_rest(c);
#ifdef CHQ_MUTATION_ROUNDING
    payer->balance_micro -= channel_rest(c) % 2;
#endif
    c->state = CHQ_CHANNEL_CLOSED;
    return CHQ_OK;
}

/* Operation 11. */
static enum chq_err apply_close(struct apply *a, const uint8_t id[32])
{
    uint64_t soon = a->state->block_time_s + a->state->genesis.channel_grace_s;
    uint32_t slot;
    CHQ_TRY(find_channel(a, id, &slot));
    const struct channel_row *now = channel_at(a->state, slot);
    if (now->payee == a->signer + 1)
        return end_channel(a, slot);
    if (now->payer != a->signer + 1)
        return chq_state_refuse(a, CHQ_AUTH, "only payer and payee may close the channel");
    if (now->state == CHQ_CHANNEL_CLOSING)
        return chq_state_refuse(a, CHQ_STATE, "the channel is closing already");
    struct channel_row *c = chq_state_touch(a->state, CHQ_RECORD_CHANNEL, slot);
    if (c == NULL)
        return no_memory(a);
    c->state = CHQ_CHANNEL_CLOSING;
    if (c->expiry_s > soon)
        c->expiry_s = soon;
    return CHQ_OK;
}

/* Operation 12. */
static enum chq_err apply_expire(struct apply *a, const uint8_t id[32])
{
    uint32_t slot;
    CHQ_TRY(find_channel(a, id, &slot));
    uint64_t until = channel_at(a->state, slot)->expiry_s + a->state->genesis.channel_grace_s;
    if (a->state->block_time_s <= until)
        return chq_state_refuse(a, CHQ_AGAIN,
            "the channel may be expired after %llu (Unix seconds), now it is %llu", (unsigned long long)until,
            (unsigned long long)a->state->block_time_s);
    return end_channel(a, slot);
}

enum chq_err chq_state_operate_channel(struct apply *a, const struct chq_operation *op)
{
    switch (op->type) {
    case CHQ_OPERATION_CHANNEL_OPEN: return apply_open(a, &op->channel_open);
    case CHQ_OPERATION_CHANNEL_TOP_UP: return apply_top_up(a, op);
    case CHQ_OPERATION_CHANNEL_SETTLE: return apply_settle(a, op->channel_settle.records);
    case CHQ_OPERATION_CHANNEL_CLOSE: return apply_close(a, op->channel_close.channel);
    default: return apply_expire(a, op->channel_expire.channel);
    }
}
