/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include "core/base/assert.h"

void model_begin(struct model *m)
{
    m->undo_count = 0;
    m->issued_before = m->issued;
    m->channels_before = m->channels_count;
}

static struct model_undo *note(struct model *m)
{
    CHQ_ASSERT(m->undo_count < sizeof m->undo / sizeof *m->undo);
    return &m->undo[m->undo_count++];
}

struct person *model_person(struct model *m, int i)
{
    *note(m) = (struct model_undo){.kind = UNDO_PERSON, .index = (uint32_t)i, .person = m->people[i]};
    return &m->people[i];
}

static struct model_channel *model_channel(struct model *m, uint32_t i)
{
    *note(m) = (struct model_undo){.kind = UNDO_CHANNEL, .index = i, .channel = m->channels[i]};
    return &m->channels[i];
}

void model_take_back(struct model *m)
{
    while (m->undo_count > 0) {
        const struct model_undo *u = &m->undo[--m->undo_count];
        if (u->kind == UNDO_PERSON)
            m->people[u->index] = u->person;
        else if (u->kind == UNDO_CHANNEL)
            m->channels[u->index] = u->channel;
        else
            m->handle_owner[u->index] = u->handle_owner;
    }
    m->issued = m->issued_before;
    m->channels_count = m->channels_before;
}

uint32_t model_issue(struct model *m, int signer, int to, uint64_t micro)
{
    uint32_t wrong = 0;
    if (signer != 0)
        wrong |= MAY(CHQ_AUTH);
    if (micro == 0)
        wrong |= MAY(CHQ_MALFORMED);
    if (!m->people[to].exists)
        wrong |= MAY(CHQ_NOT_FOUND);
    if (micro > SUPPLY_MAX || m->issued + micro > SUPPLY_MAX)
        wrong |= MAY(CHQ_LIMIT);
    if (wrong == 0) {
        m->issued += micro;
        model_person(m, to)->balance += micro;
    }
    return wrong;
}

uint32_t model_transfer(struct model *m, int signer, int to, uint64_t micro)
{
    uint32_t wrong = 0;
    if (micro == 0)
        wrong |= MAY(CHQ_MALFORMED);
    if (!m->people[to].exists)
        wrong |= MAY(CHQ_NOT_FOUND);
    if (m->people[signer].balance < micro)
        wrong |= MAY(CHQ_PAYMENT);
    if (wrong == 0) {
        model_person(m, signer)->balance -= micro;
        model_person(m, to)->balance += micro;
    }
    return wrong;
}

uint32_t model_commit(struct model *m, int signer, int handle, uint8_t salt)
{
    struct person *p = model_person(m, signer);
    p->has_commit = true;
    p->commit_handle = handle;
    p->commit_salt = salt;
    p->commit_height = m->height;
    p->commit_s = m->now_s;
    return 0;
}

uint32_t model_reveal(struct model *m, int signer, int handle, uint8_t salt)
{
    struct person *p = &m->people[signer];
    uint32_t wrong = 0;
    if (!p->has_commit)
        wrong |= MAY(CHQ_STATE);
    if (p->handle >= 0 || m->handle_owner[handle] >= 0)
        wrong |= MAY(CHQ_EXISTS);
    if (p->has_commit && (p->commit_handle != handle || p->commit_salt != salt))
        wrong |= MAY(CHQ_AUTH);
    if (p->has_commit && p->commit_height >= m->height)
        wrong |= MAY(CHQ_AGAIN);
    if (p->has_commit && m->now_s - p->commit_s > 24 * 3600)
        wrong |= MAY(CHQ_EXPIRED);
    if (wrong == 0) {
        p = model_person(m, signer);
        p->handle = handle;
        p->has_commit = false;
        *note(m) = (struct model_undo){
            .kind = UNDO_HANDLE, .index = (uint32_t)handle, .handle_owner = m->handle_owner[handle]};
        m->handle_owner[handle] = signer;
    }
    return wrong;
}

uint32_t model_list(struct model *m, int signer, uint32_t version)
{
    if (version != m->people[signer].list_version + 1)
        return MAY(CHQ_STATE);
    model_person(m, signer)->list_version++;
    return 0;
}

uint32_t model_open(struct model *m, int payer, int payee, uint64_t deposit, uint64_t price, uint64_t tokens,
    uint64_t expiry_s)
{
    uint32_t wrong = 0;
    if (!m->people[payee].exists)
        wrong |= MAY(CHQ_NOT_FOUND);
    if (deposit == 0)
        wrong |= MAY(CHQ_MALFORMED);
    if (expiry_s <= m->now_s)
        wrong |= MAY(CHQ_EXPIRED);
    else if (expiry_s - m->now_s > 366ull * 86400)
        wrong |= MAY(CHQ_LIMIT);
    if (m->people[payer].balance < deposit)
        wrong |= MAY(CHQ_PAYMENT);
    if (wrong == 0) {
        model_person(m, payer)->balance -= deposit;
        m->channels[m->channels_count++] = (struct model_channel){.payer = payer,
            .payee = payee,
            .deposit = deposit,
            .price = price,
            .tokens = tokens,
            .expiry_s = expiry_s,
            .state = 1};
    }
    return wrong;
}

static bool exists(const struct model *m, uint32_t channel)
{
    return channel < m->channels_count;
}

uint32_t model_top_up(struct model *m, int signer, uint32_t channel, uint64_t micro)
{
    uint32_t wrong = 0;
    if (!exists(m, channel))
        return MAY(CHQ_NOT_FOUND);
    struct model_channel *c = &m->channels[channel];
    if (c->state != 1)
        wrong |= MAY(CHQ_STATE);
    if (c->payer != signer)
        wrong |= MAY(CHQ_AUTH);
    if (m->now_s > c->expiry_s)
        wrong |= MAY(CHQ_EXPIRED);
    if (micro == 0)
        wrong |= MAY(CHQ_MALFORMED);
    if (c->deposit + micro > 4000000000000000000ull)
        wrong |= MAY(CHQ_LIMIT);
    if (m->people[signer].balance < micro)
        wrong |= MAY(CHQ_PAYMENT);
    if (wrong == 0) {
        model_person(m, signer)->balance -= micro;
        model_channel(m, channel)->deposit += micro;
    }
    return wrong;
}

uint32_t model_settle(struct model *m, uint32_t channel, uint64_t index, bool token_is_good)
{
    uint32_t wrong = 0;
    if (!exists(m, channel))
        return MAY(CHQ_NOT_FOUND);
    struct model_channel *c = &m->channels[channel];
    if (c->state == 3 || index <= c->settled)
        wrong |= MAY(CHQ_STATE);
    if (index > c->tokens || (index > c->settled && index - c->settled > 1024))
        wrong |= MAY(CHQ_LIMIT);
    if (index <= c->tokens && index * c->price > c->deposit)
        wrong |= MAY(CHQ_PAYMENT);
    if (index > c->tokens) /* a product that may not fit: the deposit may not cover it either */
        wrong |= MAY(CHQ_PAYMENT);
    if (!token_is_good)
        wrong |= MAY(CHQ_AUTH);
    if (wrong == 0) {
        model_person(m, c->payee)->balance += (index - c->settled) * c->price;
        model_channel(m, channel)->settled = index;
    }
    return wrong;
}

static void give_rest_back(struct model *m, uint32_t channel)
{
    struct model_channel *c = model_channel(m, channel);
    model_person(m, c->payer)->balance += c->deposit - c->settled * c->price;
    c->state = 3;
}

uint32_t model_close(struct model *m, int signer, uint32_t channel)
{
    uint32_t wrong = 0;
    if (!exists(m, channel))
        return MAY(CHQ_NOT_FOUND);
    struct model_channel *c = &m->channels[channel];
    if (c->state == 3 || (c->state == 2 && c->payee != signer))
        wrong |= MAY(CHQ_STATE);
    if (c->payer != signer && c->payee != signer)
        wrong |= MAY(CHQ_AUTH);
    if (wrong != 0)
        return wrong;
    if (c->payee == signer) {
        give_rest_back(m, channel);
    } else {
        c = model_channel(m, channel);
        c->state = 2;
        if (c->expiry_s > m->now_s + GRACE_S)
            c->expiry_s = m->now_s + GRACE_S;
    }
    return 0;
}

uint32_t model_expire(struct model *m, uint32_t channel)
{
    if (!exists(m, channel))
        return MAY(CHQ_NOT_FOUND);
    struct model_channel *c = &m->channels[channel];
    if (c->state == 3)
        return MAY(CHQ_STATE);
    if (m->now_s <= c->expiry_s + GRACE_S)
        return MAY(CHQ_AGAIN);
    give_rest_back(m, channel);
    return 0;
}

bool model_conserves(const struct model *m, uint64_t *balances, uint64_t *deposits)
{
    *balances = *deposits = 0;
    for (int i = 0; i < PEOPLE; i++)
        *balances += m->people[i].balance;
    for (uint32_t i = 0; i < m->channels_count; i++)
        if (m->channels[i].state != 3)
            *deposits += m->channels[i].deposit - m->channels[i].settled * m->channels[i].price;
    return m->issued == *balances + *deposits;
}
