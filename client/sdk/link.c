/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/link.h"

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "core/base/limits.h"
#include "core/crypto/hash.h"

#define CONNECT_SECONDS 10
#define LINKS_MAX       16
#define QUEUE_BYTES_MAX (4 * 1024 * 1024)

struct link {
    struct chq_links *links;
    uint8_t relay[32], pin[32];
    char host[256], reason[256], address[64];
    uint16_t port;
    struct lws *wsi;
    GQueue *queue; /* of GByteArray with LWS_PRE in front */
    size_t queued;
    GByteArray *partial;
    guint timer;
    bool up, closing, pin_failed, gone;
};

/* One for the process (client/sdk/network.h); only the network's thread touches it. */
static struct lws_context *shared_lws;
static unsigned shared_users;

struct chq_links {
    struct chq_links_config config;
    struct link *all[LINKS_MAX];
    GQueue *changes; /* struct change, to be told from the loop */
    guint idle;
};

struct change {
    uint8_t relay[32];
    bool up;
    char *reason;
    GByteArray *frame; /* a frame instead of a change */
};

/* ---- telling the owner, in order, from the loop */

static void change_free(struct change *c)
{
    g_free(c->reason);
    if (c->frame != NULL)
        g_byte_array_unref(c->frame);
    g_free(c);
}

static gboolean tell_all(gpointer data)
{
    struct chq_links *links = data;
    struct change *c;
    links->idle = 0;
    while ((c = g_queue_pop_head(links->changes)) != NULL) {
        if (c->frame != NULL)
            links->config.on_frame(links->config.user, c->relay, chq_bytes(c->frame->data, c->frame->len));
        else
            links->config.on_change(links->config.user, c->relay, c->up, c->reason);
        change_free(c);
    }
    return G_SOURCE_REMOVE;
}

static guint attach(struct chq_links *links, GSource *source, GSourceFunc f, gpointer data)
{
    g_source_set_callback(source, f, data, NULL);
    guint id = g_source_attach(source, g_main_loop_get_context(links->config.loop));
    g_source_unref(source);
    return id;
}

static void detach(struct chq_links *links, guint *id)
{
    if (*id == 0)
        return;
    GSource *source = g_main_context_find_source_by_id(g_main_loop_get_context(links->config.loop), *id);
    if (source != NULL)
        g_source_destroy(source);
    *id = 0;
}

static void tell(
    struct chq_links *links, const uint8_t relay[32], bool up, const char *reason, GByteArray *frame)
{
    struct change *c = g_new0(struct change, 1);
    memcpy(c->relay, relay, 32);
    c->up = up;
    c->reason = g_strdup(reason);
    c->frame = frame;
    g_queue_push_tail(links->changes, c);
    if (links->idle == 0) {
        GSource *source = g_idle_source_new();
        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        links->idle = attach(links, source, tell_all, links);
    }
}

/* What is still to be told of a relay whose link the owner has given up. */
static void untell(struct chq_links *links, const uint8_t relay[32])
{
    for (GList *l = links->changes->head; l != NULL;) {
        GList *next = l->next;
        struct change *c = l->data;
        if (memcmp(c->relay, relay, 32) == 0) {
            change_free(c);
            g_queue_delete_link(links->changes, l);
        }
        l = next;
    }
}

/* ---- one link */

static struct link *find(const struct chq_links *links, const uint8_t relay[32], bool closing_too)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (links->all[i] != NULL && memcmp(links->all[i]->relay, relay, 32) == 0 &&
            (closing_too || !links->all[i]->closing))
            return links->all[i];
    return NULL;
}

static void link_free(struct link *l)
{
    struct chq_links *links = l->links;
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (links->all[i] == l)
            links->all[i] = NULL;
    detach(links, &l->timer);
    g_queue_free_full(l->queue, (GDestroyNotify)g_byte_array_unref);
    g_byte_array_unref(l->partial);
    g_free(l);
}

/* The link is over: tell why (unless the owner closed it) and forget it. */
static void link_over(struct link *l, const char *reason)
{
    if (l->gone)
        return;
    l->gone = true;
    if (!l->closing)
        tell(l->links, l->relay, false, l->reason[0] != 0 ? l->reason : reason, NULL);
    if (l->wsi != NULL)
        lws_set_opaque_user_data(l->wsi, NULL);
    link_free(l);
}

static gboolean too_slow(gpointer data)
{
    struct link *l = data;
    struct lws *wsi = l->wsi;
    l->timer = 0;
    link_over(l, "no answer within 10 s");
    if (wsi != NULL)
        lws_set_timeout(wsi, PENDING_TIMEOUT_AWAITING_CONNECT_RESPONSE, LWS_TO_KILL_ASYNC);
    return G_SOURCE_REMOVE;
}

/* Compare the server's key with the pin, before a byte of ours is sent inside TLS. */
static bool pin_matches(struct lws *wsi, const uint8_t pin[32])
{
    uint8_t hash[32] = {0}, *der = NULL;
    SSL *ssl = lws_get_ssl(wsi);
    X509 *cert = ssl != NULL ? SSL_get1_peer_certificate(ssl) : NULL;
    int size = cert != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der) : 0;
    bool ok = size > 0;
    if (ok) {
        chq_sha256(hash, chq_bytes(der, (size_t)size));
        ok = memcmp(hash, pin, 32) == 0 && SSL_version(ssl) >= TLS1_3_VERSION;
    }
    OPENSSL_free(der);
    X509_free(cert);
    return ok;
}

static int on_handshake(struct link *l, struct lws *wsi)
{
    if (pin_matches(wsi, l->pin))
        return 0;
    l->pin_failed = true;
    snprintf(l->reason, sizeof l->reason,
        "it showed another TLS key than the ledger or the invitation names; nothing was sent to it");
    return -1;
}

static int on_established(struct link *l, struct lws *wsi)
{
    if (!pin_matches(wsi, l->pin))
        return -1;
    detach(l->links, &l->timer);
    l->up = true;
    lws_get_peer_simple(wsi, l->address, sizeof l->address);
    if (strncmp(l->address, "::ffff:", 7) == 0)
        memmove(l->address, l->address + 7, strlen(l->address + 7) + 1);
    tell(l->links, l->relay, true, "", NULL);
    if (!g_queue_is_empty(l->queue) || l->closing)
        lws_callback_on_writable(wsi);
    return 0;
}

static int on_receive(struct link *l, struct lws *wsi, const uint8_t *in, size_t len)
{
    if (!lws_frame_is_binary(wsi) || l->partial->len + len > CHQ_FRAME_BYTES_MAX) {
        snprintf(l->reason, sizeof l->reason, "it sent something that is no frame of the protocol");
        return -1;
    }
    g_byte_array_append(l->partial, in, (guint)len);
    if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0) {
        tell(l->links, l->relay, false, NULL, l->partial);
        l->partial = g_byte_array_new();
    }
    return 0;
}

static int on_writable(struct link *l, struct lws *wsi)
{
    GByteArray *frame = g_queue_pop_head(l->queue);
    if (frame != NULL) {
        int size = (int)(frame->len - LWS_PRE);
        int n = lws_write(wsi, frame->data + LWS_PRE, (size_t)size, LWS_WRITE_BINARY);
        l->queued -= (size_t)size;
        g_byte_array_unref(frame);
        if (n < size)
            return -1;
    }
    if (!g_queue_is_empty(l->queue))
        lws_callback_on_writable(wsi);
    else if (l->closing) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
        return -1;
    }
    return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct link *l = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;
    char text[200];
    (void)user;
    if (l == NULL)
        /* the owner let go of it while it was on its way */
        return reason == LWS_CALLBACK_CLIENT_WRITEABLE || reason == LWS_CALLBACK_CLIENT_ESTABLISHED ||
                       reason == LWS_CALLBACK_CLIENT_RECEIVE ||
                       reason == LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER
                   ? -1
                   : 0;
    switch ((int)reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER: return on_handshake(l, wsi);
    case LWS_CALLBACK_CLIENT_ESTABLISHED: return on_established(l, wsi);
    case LWS_CALLBACK_CLIENT_RECEIVE: return on_receive(l, wsi, in, len);
    case LWS_CALLBACK_CLIENT_WRITEABLE: return on_writable(l, wsi);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        snprintf(text, sizeof text, "%.*s", in != NULL ? (int)(len < 120 ? len : 120) : 8,
            in != NULL ? (const char *)in : "no reply");
        lws_set_opaque_user_data(wsi, NULL);
        l->wsi = NULL;
        link_over(l, text);
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        lws_set_opaque_user_data(wsi, NULL);
        l->wsi = NULL;
        link_over(l, "it closed the connection");
        return 0;
    case LWS_CALLBACK_WSI_DESTROY: /* whatever ended it without a word */
        l->wsi = NULL;
        link_over(l, "the connection ended");
        return 0;
    default: return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "chasqui.v1", .callback = callback, .rx_buffer_size = CHQ_FRAME_BYTES_MAX},
    {.name = NULL},
};

/* A relay that does not answer a WebSocket ping for 20 s is gone. */
static const lws_retry_bo_t idle_policy = {.secs_since_valid_ping = 25, .secs_since_valid_hangup = 45};

static enum chq_err shared_acquire(GMainLoop *loop)
{
    void *loops[1] = {loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .protocols = protocols,
        .options = LWS_SERVER_OPTION_GLIB | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .foreign_loops = loops,
        .ssl_client_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2,
        .gid = -1,
        .uid = -1,
        .connect_timeout_secs = CONNECT_SECONDS,
        .timeout_secs = CONNECT_SECONDS,
        .retry_and_idle_policy = &idle_policy,
    };
    if (shared_lws == NULL) {
        lws_set_log_level(0, NULL);
        shared_lws = lws_create_context(&info);
    }
    if (shared_lws == NULL)
        return CHQ_UNSUPPORTED;
    shared_users++;
    return CHQ_OK;
}

static void shared_release(void)
{
    if (--shared_users > 0)
        return;
    lws_context_destroy(shared_lws);
    shared_lws = NULL;
}

enum chq_err chq_links_new(const struct chq_links_config *config, struct chq_links **out)
{
    *out = NULL;
    CHQ_TRY(shared_acquire(config->loop));
    struct chq_links *links = g_new0(struct chq_links, 1);
    links->config = *config;
    links->changes = g_queue_new();
    *out = links;
    return CHQ_OK;
}

void chq_links_drop_all(struct chq_links *links)
{
    for (size_t i = 0; i < LINKS_MAX; i++) {
        struct link *l = links->all[i];
        if (l == NULL)
            continue;
        struct lws *wsi = l->wsi;
        l->closing = true;
        untell(links, l->relay);
        link_over(l, "");
        if (wsi != NULL)
            lws_set_timeout(wsi, PENDING_TIMEOUT_AWAITING_CONNECT_RESPONSE, LWS_TO_KILL_ASYNC);
    }
}

void chq_links_free(struct chq_links *links)
{
    if (links == NULL)
        return;
    chq_links_drop_all(links);
    detach(links, &links->idle);
    shared_release();
    g_queue_free_full(links->changes, (GDestroyNotify)change_free);
    g_free(links);
}

void chq_links_open(struct chq_links *links, const uint8_t relay[32], const char *host, uint16_t port,
    const uint8_t tls_pin[32])
{
    struct link *l = find(links, relay, false);
    size_t slot = 0;
    if (l != NULL)
        chq_links_close(links, relay);
    untell(links, relay);
    while (slot < LINKS_MAX && links->all[slot] != NULL)
        slot++;
    if (slot == LINKS_MAX) {
        tell(links, relay, false, "too many relays at once", NULL);
        return;
    }
    l = g_new0(struct link, 1);
    l->links = links;
    links->all[slot] = l;
    memcpy(l->relay, relay, 32);
    memcpy(l->pin, tls_pin, 32);
    g_strlcpy(l->host, host, sizeof l->host);
    l->port = port;
    l->queue = g_queue_new();
    l->partial = g_byte_array_new();
    l->timer = attach(links, g_timeout_source_new_seconds(CONNECT_SECONDS), too_slow, l);
    struct lws_client_connect_info info = {
        .context = shared_lws,
        .address = l->host,
        .port = port,
        .path = "/",
        .host = l->host,
        .origin = l->host,
        .protocol = protocols[0].name,
        .local_protocol_name = protocols[0].name,
        .alpn = "http/1.1",
        .ssl_connection = LCCSCF_USE_SSL | LCCSCF_ALLOW_SELFSIGNED | LCCSCF_ALLOW_EXPIRED |
                          LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_INSECURE,
        .opaque_user_data = l,
        .retry_and_idle_policy = &idle_policy,
    };
    /* A failure here may have called back with CONNECTION_ERROR: then the link is gone already. */
    struct lws *wsi = lws_client_connect_via_info(&info);
    if (links->all[slot] != l)
        return;
    l->wsi = wsi;
    if (wsi == NULL)
        link_over(l, "no connection");
}

void chq_links_close(struct chq_links *links, const uint8_t relay[32])
{
    struct link *l = find(links, relay, false);
    untell(links, relay);
    if (l == NULL)
        return;
    l->closing = true;
    if (l->up && l->wsi != NULL) {
        lws_callback_on_writable(l->wsi);
        return;
    }
    struct lws *wsi = l->wsi;
    link_over(l, "");
    if (wsi != NULL)
        lws_set_timeout(wsi, PENDING_TIMEOUT_AWAITING_CONNECT_RESPONSE, LWS_TO_KILL_ASYNC);
}

void chq_links_send(struct chq_links *links, const uint8_t relay[32], struct chq_bytes frame)
{
    static const uint8_t room[LWS_PRE];
    struct link *l = find(links, relay, false);
    if (l == NULL || l->wsi == NULL || frame.size > CHQ_FRAME_BYTES_MAX ||
        l->queued + frame.size > QUEUE_BYTES_MAX)
        return;
    GByteArray *out = g_byte_array_sized_new((guint)(LWS_PRE + frame.size));
    g_byte_array_append(out, room, LWS_PRE);
    g_byte_array_append(out, frame.data, (guint)frame.size);
    g_queue_push_tail(l->queue, out);
    l->queued += frame.size;
    if (l->up)
        lws_callback_on_writable(l->wsi);
}

bool chq_links_any(const struct chq_links *links)
{
    for (size_t i = 0; i < LINKS_MAX; i++)
        if (links->all[i] != NULL)
            return true;
    return false;
}

void chq_links_address(const struct chq_links *links, const uint8_t relay[32], char out[64])
{
    const struct link *l = find(links, relay, false);
    g_strlcpy(out, l != NULL && l->up ? l->address : "", 64);
}
