/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/agent/state.h"

#define BUNDLE_DAYS      7u
#define DAY_S            UINT64_C(86400)
#define PER_FRAME_MAX    20u
#define PREKEYS_KEPT_MAX 400u

static uint32_t count_one_time(const struct chq_agent *a)
{
    uint32_t n = 0;
    for (const struct agent_prekey *p = a->prekeys; p != NULL; p = p->next)
        n += !p->signed_one;
    return n;
}

static void drop(struct chq_agent *a, struct agent_prekey **at)
{
    struct agent_prekey *p = *at;
    uint8_t key[4];
    chq_store_u32(key, p->secret.id);
    chq_agent_erase(a, CHQ_AGENT_PREKEYS, chq_bytes(key, sizeof key));
    *at = p->next;
    chq_wipe(p, sizeof *p);
    free(p);
}

void chq_agent_prekey_used(struct chq_agent *a, uint32_t id)
{
    for (struct agent_prekey **at = &a->prekeys; *at != NULL; at = &(*at)->next)
        if ((*at)->secret.id == id && !(*at)->signed_one) {
            drop(a, at);
            return;
        }
}

/* How many prekeys of that sort are newer; ids count up. */
static uint32_t count_newer(const struct chq_agent *a, const struct agent_prekey *than, bool signed_one)
{
    uint32_t n = 0;
    for (const struct agent_prekey *p = a->prekeys; p != NULL; p = p->next)
        n += p->signed_one == signed_one && p->secret.id > than->secret.id;
    return n;
}

/*
 * Letters to a prekey may be under way as long as a mailbox keeps them, and as long as somebody holds the bundle: the
 * relay hands out the newest while we are away, and a clock that jumps ten years ages no letter. So what is old goes only
 * when enough newer bundles have been made.
 */
static void drop_old(struct chq_agent *a)
{
    uint64_t now_s = chq_agent_now_s(a), keep_s = (CHQ_RETENTION_DAYS + BUNDLE_DAYS) * DAY_S;
    for (struct agent_prekey **at = &a->prekeys; *at != NULL;) {
        bool old = now_s > (*at)->made_s + keep_s && count_newer(a, *at, true) >= AGENT_BUNDLES_KEPT;
        if (old || (!(*at)->signed_one && count_newer(a, *at, false) >= PREKEYS_KEPT_MAX))
            drop(a, at);
        else
            at = &(*at)->next;
    }
}

static struct agent_prekey *keep(struct chq_agent *a, bool signed_one)
{
    struct agent_prekey *p = chq_agent_alloc(a, sizeof *p);
    if (p == NULL)
        return NULL;
    p->signed_one = signed_one;
    p->made_s = chq_agent_now_s(a);
    p->next = a->prekeys;
    a->prekeys = p;
    a->profile_dirty = true;
    return p;
}

static void publish(struct chq_agent *a, struct agent_relay *home, const struct agent_queue *door)
{
    struct chq_session_self self;
    struct chq_frame *frame = chq_agent_scratch(a, sizeof *frame);
    struct chq_writer bundle = chq_writer_heap(CHQ_PREKEY_BUNDLE_BYTES_MAX);
    struct chq_writer one_time[PER_FRAME_MAX];
    uint32_t have = count_one_time(a), want = a->config.prekeys > have ? a->config.prekeys - have : 0;
    uint32_t n = want < PER_FRAME_MAX ? want : PER_FRAME_MAX, made = 0;
    struct agent_prekey *p = frame != NULL ? keep(a, true) : NULL;
    if (p == NULL)
        goto out;
    chq_agent_self(a, &self);
    chq_prekeys_make_bundle(&bundle, &p->secret, &self, a->next_prekey++, chq_agent_now_s(a), &a->random);
    chq_agent_store_prekey(a, p);
    for (; made < n && (p = keep(a, false)) != NULL; made++) {
        one_time[made] = chq_writer_heap(CHQ_ONE_TIME_PREKEY_BYTES_MAX);
        chq_prekeys_make_one_time(&one_time[made], &p->secret, &self, a->next_prekey++, true, &a->random);
        chq_agent_store_prekey(a, p);
        frame->prekeys.one_time[made] = chq_writer_bytes(&one_time[made]);
        if (one_time[made].err != CHQ_OK)
            chq_agent_fail(a, one_time[made].err);
    }
    if (bundle.err != CHQ_OK || a->err != CHQ_OK) {
        chq_agent_fail(a, CHQ_NO_MEMORY);
        goto out;
    }
    frame->type = CHQ_FRAME_PREKEYS;
    memcpy(frame->prekeys.queue_key, door->key.public_key, 32);
    frame->prekeys.bundle = chq_writer_bytes(&bundle);
    frame->prekeys.one_time_count = made;
    uint8_t message[96];
    chq_frame_prekeys_message(message, home->id, home->challenge, frame);
    chq_sign(frame->prekeys.signature, &door->key, CHQ_DOMAIN_PREKEYS, chq_bytes(message, sizeof message));
    a->publishing = chq_agent_ask(a, home, frame, AGENT_ASK_PREKEYS, NULL) != NULL;
out:
    while (made > 0)
        chq_writer_free(&one_time[--made]);
    chq_writer_free(&bundle);
}

void chq_agent_on_prekeys(struct chq_agent *a, bool ok)
{
    a->publishing = false;
    if (!ok) {
        chq_agent_backoff(a, &a->publish_retry);
        return;
    }
    a->publish = false;
    a->publish_retry = (struct agent_retry){0};
    a->bundle_s = chq_agent_now_s(a);
    a->profile_dirty = true;
}

void chq_agent_advance_prekeys(struct chq_agent *a)
{
    struct agent_relay *home = chq_agent_home(a);
    struct agent_queue *door = a->queues;
    while (door != NULL && door->kind != CHQ_QUEUE_FRONT_DOOR)
        door = door->next;
    if (home == NULL || home->state != AGENT_LINK_READY || home->attached == NULL || door == NULL ||
        !door->made || a->publishing || a->leaving)
        return;
    a->publish = a->publish || a->bundle_s == 0 || chq_agent_now_s(a) > a->bundle_s + BUNDLE_DAYS * DAY_S ||
                 count_one_time(a) < (a->config.prekeys + 1) / 2;
    if (!a->publish || !chq_agent_due(a, &a->publish_retry))
        return;
    drop_old(a);
    publish(a, home, door);
}
