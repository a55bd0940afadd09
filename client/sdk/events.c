/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/events.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void event_free(struct chq_event *event)
{
    if (event == NULL)
        return;
    g_free((char *)event->text);
    g_free(event);
}

bool chq_events_init(struct chq_events *events)
{
    g_mutex_init(&events->mutex);
    g_queue_init(&events->queue);
    events->shown = NULL;
    events->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return events->fd >= 0;
}

void chq_events_fini(struct chq_events *events)
{
    event_free(events->shown);
    g_queue_clear_full(&events->queue, (GDestroyNotify)event_free);
    if (events->fd >= 0)
        close(events->fd);
    g_mutex_clear(&events->mutex);
}

/* The counter of the eventfd is 1 while events wait and 0 otherwise; a failed write or read leaves it so. */
static void signal_waiting(struct chq_events *events)
{
    uint64_t n = 1;
    while (write(events->fd, &n, sizeof n) < 0 && errno == EINTR) {}
}

static void signal_empty(struct chq_events *events)
{
    uint64_t n;
    while (read(events->fd, &n, sizeof n) < 0 && errno == EINTR) {}
}

void chq_events_push(struct chq_events *events, const struct chq_event *event)
{
    struct chq_event *copy = g_memdup2(event, sizeof *event);
    char *text = g_malloc(event->text_size + 1);
    if (event->text_size > 0)
        memcpy(text, event->text, event->text_size);
    text[event->text_size] = 0;
    copy->text = text;
    g_mutex_lock(&events->mutex);
    if (g_queue_is_empty(&events->queue))
        signal_waiting(events);
    g_queue_push_tail(&events->queue, copy);
    g_mutex_unlock(&events->mutex);
}

const struct chq_event *chq_events_next(struct chq_events *events)
{
    g_mutex_lock(&events->mutex);
    event_free(events->shown);
    events->shown = g_queue_pop_head(&events->queue);
    if (g_queue_is_empty(&events->queue))
        signal_empty(events);
    g_mutex_unlock(&events->mutex);
    return events->shown;
}
