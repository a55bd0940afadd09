/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_EVENTS_H
#define CHQ_CLIENT_SDK_EVENTS_H

#include <glib.h>

#include "client/sdk/include/chasqui.h"

/* The queue from the client's thread to the app: an eventfd that is readable while something waits. */
struct chq_events {
    GMutex mutex;
    GQueue queue; /* of struct chq_event; its text is owned */
    struct chq_event *shown; /* what chq_events_next returned last */
    int fd;
};

/* Return false when there is no descriptor left. */
bool chq_events_init(struct chq_events *events);
void chq_events_fini(struct chq_events *events);
/* Copy `event` and its text to the end of the queue. */
void chq_events_push(struct chq_events *events, const struct chq_event *event);
/* The next event, borrowed until the next call; NULL when there is none. */
const struct chq_event *chq_events_next(struct chq_events *events);

#endif
