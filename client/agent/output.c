/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"
#include "core/base/assert.h"

#define BLOCK_BYTES 8192u

struct agent_block {
    struct agent_block *next;
    size_t used, cap;
    _Alignas(16) uint8_t data[];
};

void chq_agent_fail(struct chq_agent *a, enum chq_err err)
{
    if (a->err == CHQ_OK)
        a->err = err;
}

void *chq_agent_alloc(struct chq_agent *a, size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);
    if (p == NULL)
        chq_agent_fail(a, CHQ_NO_MEMORY);
    return p;
}

uint8_t *chq_agent_copy(struct chq_agent *a, struct chq_bytes in)
{
    if (in.size == 0)
        return NULL;
    uint8_t *p = chq_agent_alloc(a, in.size);
    if (p != NULL)
        memcpy(p, in.data, in.size);
    return p;
}

void *chq_agent_scratch(struct chq_agent *a, size_t size)
{
    struct agent_block *b = a->blocks;
    size = (size + 15) & ~(size_t)15;
    if (b == NULL || b->cap - b->used < size) {
        size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        b = chq_agent_alloc(a, sizeof *b + cap);
        if (b == NULL)
            return NULL;
        b->cap = cap;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = b->data + b->used;
    b->used += size;
    memset(p, 0, size);
    return p;
}

static struct chq_bytes scratch_copy(struct chq_agent *a, struct chq_bytes in)
{
    uint8_t *p = chq_agent_scratch(a, in.size + 1);
    if (p == NULL)
        return (struct chq_bytes){0};
    if (in.size > 0)
        memcpy(p, in.data, in.size);
    return chq_bytes(p, in.size);
}

void chq_agent_output_clear(struct chq_agent *a)
{
    while (a->blocks != NULL) {
        struct agent_block *next = a->blocks->next;
        chq_wipe(a->blocks->data, a->blocks->used);
        free(a->blocks);
        a->blocks = next;
    }
    a->persists_n = a->others_n = 0;
}

void chq_agent_output_free(struct chq_agent *a)
{
    chq_agent_output_clear(a);
    free(a->persists);
    free(a->others);
    a->persists = a->others = NULL;
}

/* Make room for `more` in a growing array; false when memory is short. */
static bool grow(
    struct chq_agent *a, struct chq_agent_action **v, const uint32_t *n, uint32_t *cap, uint32_t more)
{
    if (*cap - *n >= more)
        return true;
    uint32_t want = (*cap + more) * 2 + 16;
    struct chq_agent_action *bigger = realloc(*v, want * sizeof **v);
    if (bigger == NULL) {
        chq_agent_fail(a, CHQ_NO_MEMORY);
        return false;
    }
    *v = bigger;
    *cap = want;
    return true;
}

static void persist(struct chq_agent *a, struct chq_agent_record record)
{
    CHQ_ASSERT(record.key.size > 0 && record.key.size <= CHQ_AGENT_KEY_BYTES_MAX);
    record.key = scratch_copy(a, record.key);
    record.value = scratch_copy(a, record.value);
    if (a->err != CHQ_OK || !grow(a, &a->persists, &a->persists_n, &a->persists_cap, 1))
        return;
    a->persists[a->persists_n++] = (struct chq_agent_action){.type = CHQ_AGENT_DO_PERSIST, .record = record};
}

void chq_agent_persist(
    struct chq_agent *a, enum chq_agent_table table, struct chq_bytes key, struct chq_bytes value)
{
    persist(a, (struct chq_agent_record){.table = table, .key = key, .value = value});
}

void chq_agent_erase(struct chq_agent *a, enum chq_agent_table table, struct chq_bytes key)
{
    persist(a, (struct chq_agent_record){.table = table, .key = key, .erase = true});
}

struct chq_agent_action *chq_agent_act(struct chq_agent *a, enum chq_agent_action_type type)
{
    if (!grow(a, &a->others, &a->others_n, &a->others_cap, 1)) {
        /* The step fails with CHQ_NO_MEMORY; what the caller fills in goes nowhere. */
        static _Thread_local struct chq_agent_action dummy;
        return &dummy;
    }
    struct chq_agent_action *action = &a->others[a->others_n++];
    *action = (struct chq_agent_action){.type = type};
    return action;
}

void chq_agent_output_take(struct chq_agent *a, struct chq_agent_actions *out)
{
    *out = (struct chq_agent_actions){0};
    if (!grow(a, &a->persists, &a->persists_n, &a->persists_cap, a->others_n))
        return;
    if (a->others_n > 0)
        memcpy(a->persists + a->persists_n, a->others, a->others_n * sizeof *a->others);
    a->persists_n += a->others_n;
    out->v = a->persists;
    out->n = a->persists_n;
}

struct chq_agent_notice *chq_agent_note(struct chq_agent *a, enum chq_agent_notice_kind kind)
{
    static _Thread_local struct chq_agent_notice dummy;
    struct chq_agent_notice *note = chq_agent_scratch(a, sizeof *note);
    if (note == NULL)
        return &dummy;
    note->kind = kind;
    note->text = chq_bytes("", 0);
    chq_agent_act(a, CHQ_AGENT_DO_NOTIFY)->notice = note;
    return note;
}

static void note_format(struct chq_agent *a, struct chq_agent_notice *note, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static void note_format(struct chq_agent *a, struct chq_agent_notice *note, const char *format, va_list args)
{
    char text[512];
    int n = vsnprintf(text, sizeof text, format, args);
    size_t size = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    note->text = scratch_copy(a, chq_bytes(text, size));
}

void chq_agent_note_text(struct chq_agent *a, struct chq_agent_notice *note, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note_format(a, note, format, args);
    va_end(args);
}

void chq_agent_say_error(struct chq_agent *a, uint64_t request, enum chq_err err, const char *format, ...)
{
    struct chq_agent_notice *note = chq_agent_note(a, CHQ_AGENT_NOTE_ERROR);
    note->request = request;
    note->err = err;
    va_list args;
    va_start(args, format);
    note_format(a, note, format, args);
    va_end(args);
}

void chq_agent_say_progress(struct chq_agent *a, const char *text)
{
    chq_agent_note_text(a, chq_agent_note(a, CHQ_AGENT_NOTE_PROGRESS), "%s", text);
}
