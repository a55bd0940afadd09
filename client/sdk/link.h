/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_LINK_H
#define CHQ_CLIENT_SDK_LINK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"

/*
 * WebSockets to relays, on one GMainContext: subprotocol chasqui.v1 over TLS 1.3, the server accepted by the SHA-256 of its
 * SubjectPublicKeyInfo and by nothing else. Everything is called from the thread that runs the context, and every callback
 * comes from it, never from inside a function of this header.
 */
struct chq_links;

struct chq_links_config {
    GMainLoop *loop;
    /* `up`: open, and the key matched. Not up: `reason` says why, a few words; it is the last word of that link. */
    void (*on_change)(void *user, const uint8_t relay[32], bool up, const char *reason);
    void (*on_frame)(void *user, const uint8_t relay[32], struct chq_bytes frame); /* borrowed */
    void *user;
};

/* CHQ_UNSUPPORTED when libwebsockets' GLib plugin is not installed; CHQ_NO_MEMORY. */
CHQ_MUST_CHECK enum chq_err chq_links_new(const struct chq_links_config *config, struct chq_links **out);
/* Close all links without a callback; NULL allowed. The loop must still be there. */
void chq_links_free(struct chq_links *links);

/* Begin to connect; a link to that relay that is there is dropped without a callback. Ends in on_change, at most 10 s later. */
void chq_links_open(struct chq_links *links, const uint8_t relay[32], const char *host, uint16_t port,
    const uint8_t tls_pin[32]);
/* Send what waits, then close; no on_change follows. */
void chq_links_close(struct chq_links *links, const uint8_t relay[32]);
/* Queue a frame; dropped when there is no such link. */
void chq_links_send(struct chq_links *links, const uint8_t relay[32], struct chq_bytes frame);
/* Whether any link is there, if only to send what waits. */
bool chq_links_any(const struct chq_links *links);
/* Drop every link at once, without callbacks. */
void chq_links_drop_all(struct chq_links *links);
/* The numeric address of the other end, or "" when the link is not up. */
void chq_links_address(const struct chq_links *links, const uint8_t relay[32], char out[64]);

#endif
