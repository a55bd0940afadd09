/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_NETWORK_H
#define CHQ_CLIENT_SDK_NETWORK_H

#include <glib.h>

/*
 * The library's one thread, shared by all clients of the process: libwebsockets keeps process-wide state for TLS, so that
 * two of its contexts in two threads would read each other's. It runs from the first client to the last.
 */
struct chq_network {
    GMainContext *context;
    GMainLoop *loop;
};

/* From any thread but the network's own. Each acquire needs a release; the last one ends the thread. */
struct chq_network chq_network_acquire(void);
void chq_network_release(void);

#endif
