/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/ice/ice.h"

#include <agent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2p/path/reflexive_shell.h"
#include "p2p/path/socket.h"

enum { COMPONENT = 1, SOCKETS_MAX = 8, REFLEXIVE_PREFERENCE = 100 /* RFC 8445 section 5.1.2.2 */ };

/* One socket of the agent, and what the STUN server says of it. */
struct reflexive {
    struct chq_ice *ice;
    struct chq_reflexive_shell *shell;
    struct chq_address host;
};

struct chq_ice {
    struct chq_ice_config config; /* strings are not used after chq_ice_new */
    GMainContext *context;
    NiceAgent *agent;
    guint stream;
    struct chq_ice_pair pair;
    uint32_t relayed_count;
    struct chq_address relayed[CHQ_CALL_CANDIDATES_MAX]; /* the peer's, to know what a pair leads through */
    struct reflexive reflexive[SOCKETS_MAX];
    unsigned reflexive_count;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

const char *chq_path_kind_string(enum chq_path_kind kind)
{
    switch (kind) {
    case CHQ_PATH_NONE: return "none";
    case CHQ_PATH_RELAY: return "relay";
    case CHQ_PATH_DIRECT: return "direct";
    }
    return "unknown";
}

static struct chq_address address_of(const NiceAddress *from)
{
    struct sockaddr_storage storage;
    memset(&storage, 0, sizeof storage);
    nice_address_copy_to_sockaddr(from, (struct sockaddr *)&storage);
    return chq_address_from_sockaddr((struct sockaddr *)&storage);
}

static void set_address(NiceAddress *to, const struct chq_address *from)
{
    struct sockaddr_storage storage;
    (void)chq_address_to_sockaddr(from, &storage);
    nice_address_set_from_sockaddr(to, (struct sockaddr *)&storage);
}

static void address_text(const struct chq_address *address, char out[NICE_ADDRESS_STRING_LEN])
{
    NiceAddress nice;
    nice_address_init(&nice);
    set_address(&nice, address);
    nice_address_to_string(&nice, out);
}

/* Only this machine or this cable: a peer has no reason to name them, but a reason to make us probe them. */
static bool is_local(const struct chq_address *a)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    if (a->family == 4)
        return a->ip[0] == 127 || (a->ip[0] == 169 && a->ip[1] == 254);
    return memcmp(a->ip, loopback6, 16) == 0 || (a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80);
}

static void describe(const NiceCandidate *candidate, char *out, size_t size)
{
    static const char *const kinds[] = {"host", "reflexive", "peer-reflexive", "relayed"};
    char text[CHQ_ADDRESS_TEXT_MAX];
    const struct chq_address address = address_of(&candidate->addr);
    chq_address_write(&address, text);
    (void)snprintf(
        out, size, "%s %s", (unsigned)candidate->type < 4 ? kinds[candidate->type] : "other", text);
}

static void on_new_candidate(NiceAgent *agent, NiceCandidate *candidate, gpointer data)
{
    (void)agent;
    struct chq_ice *ice = data;
    struct chq_candidate out = {.address = address_of(&candidate->addr), .priority = candidate->priority};
    switch (candidate->type) {
    case NICE_CANDIDATE_TYPE_HOST: out.kind = CHQ_CANDIDATE_HOST; break;
    case NICE_CANDIDATE_TYPE_RELAYED: out.kind = CHQ_CANDIDATE_RELAYED; break;
    default: return; /* reflexive: see on_mapped */
    }
    if (ice->closing || candidate->transport != NICE_CANDIDATE_TRANSPORT_UDP || out.address.family == 0 ||
        (ice->config.relay_only && out.kind != CHQ_CANDIDATE_RELAYED))
        return;
    if (!ice->config.allow_loopback && is_local(&out.address))
        return;
    (void)g_strlcpy(out.foundation, candidate->foundation, sizeof out.foundation);
    char text[72];
    describe(candidate, text, sizeof text);
    chq_logf(&ice->config.log, CHQ_LOG_DEBUG, "ice: own candidate %s", text);
    ice->config.on_candidate(ice->config.user, &out);
}

static bool leads_through_relay(const struct chq_ice *ice, const NiceCandidate *remote)
{
    if (remote->type == NICE_CANDIDATE_TYPE_RELAYED)
        return true;
    const struct chq_address address = address_of(&remote->addr);
    for (uint32_t i = 0; i < ice->relayed_count; i++)
        if (chq_address_equal(&ice->relayed[i], &address))
            return true; /* learnt from a packet before the signal named it */
    return false;
}

static void on_selected(NiceAgent *agent, guint stream, guint component, NiceCandidate *local,
    NiceCandidate *remote, gpointer data)
{
    (void)agent;
    (void)stream;
    (void)component;
    struct chq_ice *ice = data;
    struct chq_ice_pair pair = {.kind = CHQ_PATH_DIRECT};
    if (ice->closing)
        return;
    if (local->type == NICE_CANDIDATE_TYPE_RELAYED || leads_through_relay(ice, remote))
        pair.kind = CHQ_PATH_RELAY;
    describe(local, pair.local, sizeof pair.local);
    describe(remote, pair.remote, sizeof pair.remote);
    if (memcmp(&pair, &ice->pair, sizeof pair) == 0)
        return;
    ice->pair = pair;
    chq_logf(&ice->config.log, CHQ_LOG_DEBUG, "path: %s, %s to %s", chq_path_kind_string(pair.kind),
        pair.local, pair.remote);
    ice->config.on_path(ice->config.user, &ice->pair);
}

static void on_component_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer data)
{
    (void)agent;
    (void)stream;
    (void)component;
    struct chq_ice *ice = data;
    chq_logf(&ice->config.log, CHQ_LOG_DEBUG, "ice: %s",
        nice_component_state_to_string((NiceComponentState)state));
    if (ice->closing || state != NICE_COMPONENT_STATE_FAILED || ice->pair.kind == CHQ_PATH_NONE)
        return;
    memset(&ice->pair, 0, sizeof ice->pair); /* consent was lost (RFC 7675) */
    ice->config.on_path(ice->config.user, &ice->pair);
}

static void on_receive(
    NiceAgent *agent, guint stream, guint component, guint size, gchar *bytes, gpointer data)
{
    (void)agent;
    (void)stream;
    (void)component;
    struct chq_ice *ice = data;
    if (!ice->closing)
        ice->config.on_datagram(ice->config.user, chq_bytes(bytes, size));
}

/*
 * The agent needs no candidate of its own for this (it sends from the host candidate); the peer needs the address. What
 * the agent itself finds is the address that the relay sees of the front, where nobody can reach us.
 */
static void on_mapped(void *user, const struct chq_address *mapped)
{
    const struct reflexive *r = user;
    struct chq_ice *ice = r->ice;
    if (ice->closing || chq_address_equal(mapped, &r->host))
        return; /* no NAT: the host candidate says it */
    const uint32_t rank = (uint32_t)(0xffff - (r - ice->reflexive));
    struct chq_candidate out = {.kind = CHQ_CANDIDATE_REFLEXIVE,
        .address = *mapped,
        .priority = (uint32_t)REFLEXIVE_PREFERENCE << 24 | rank << 8 | (256 - COMPONENT)};
    char text[CHQ_ADDRESS_TEXT_MAX];
    (void)snprintf(out.foundation, sizeof out.foundation, "r%u", (unsigned)(r - ice->reflexive));
    chq_address_write(mapped, text);
    chq_logf(&ice->config.log, CHQ_LOG_DEBUG, "ice: own candidate reflexive %s", text);
    ice->config.on_candidate(ice->config.user, &out);
}

static void ask_for_reflexive(struct chq_ice *ice)
{
    GPtrArray *sockets = nice_agent_get_sockets(ice->agent, ice->stream, COMPONENT);
    for (guint i = 0; sockets != NULL && i < sockets->len && ice->reflexive_count < SOCKETS_MAX; i++) {
        GSocket *socket = g_ptr_array_index(sockets, i);
        struct reflexive *r = &ice->reflexive[ice->reflexive_count];
        const int fd = g_socket_get_fd(socket);
        struct sockaddr_storage name;
        socklen_t length = sizeof name;
        if (fd < 0 || getsockname(fd, (struct sockaddr *)&name, &length) != 0)
            continue;
        r->ice = ice;
        r->host = chq_address_from_sockaddr((struct sockaddr *)&name);
        if (r->host.family != ice->config.stun.family)
            continue;
        if (chq_reflexive_shell_new(
                ice->context, fd, &ice->config.stun, &ice->config.random, on_mapped, r, &r->shell) == CHQ_OK)
            ice->reflexive_count++;
    }
    if (sockets != NULL)
        g_ptr_array_unref(sockets);
}

static void stop_asking(struct chq_ice *ice)
{
    for (unsigned i = 0; i < ice->reflexive_count; i++)
        chq_reflexive_shell_free(g_steal_pointer(&ice->reflexive[i].shell));
    ice->reflexive_count = 0;
}

static void configure(struct chq_ice *ice)
{
    const struct chq_ice_config *c = &ice->config;
    g_object_set(ice->agent, "controlling-mode", c->controlling, "ice-tcp", FALSE, "upnp", FALSE,
        "force-relay", c->relay_only, NULL);
    if (c->allow_loopback) {
        NiceAddress address;
        nice_address_init(&address);
        (void)nice_address_set_from_string(&address, "127.0.0.1");
        (void)nice_agent_add_local_address(ice->agent, &address);
    }
    (void)g_signal_connect(ice->agent, "new-candidate-full", G_CALLBACK(on_new_candidate), ice);
    (void)g_signal_connect(ice->agent, "new-selected-pair-full", G_CALLBACK(on_selected), ice);
    (void)g_signal_connect(ice->agent, "component-state-changed", G_CALLBACK(on_component_state), ice);
}

enum chq_err chq_ice_new(const struct chq_ice_config *config, struct chq_ice **out)
{
    *out = NULL;
    struct chq_ice *ice = calloc(1, sizeof *ice);
    if (ice == NULL)
        return CHQ_NO_MEMORY;
    ice->config = *config;
    ice->context = config->context != NULL ? config->context : g_main_context_default();
    (void)g_main_context_ref(ice->context);
    ice->agent = nice_agent_new_full(ice->context, NICE_COMPATIBILITY_RFC5245,
        NICE_AGENT_OPTION_ICE_TRICKLE | NICE_AGENT_OPTION_CONSENT_FRESHNESS);
    configure(ice);
    ice->stream = nice_agent_add_stream(ice->agent, 1);
    bool ok = ice->stream != 0;
    if (ok && config->turn.family != 0) {
        char host[NICE_ADDRESS_STRING_LEN];
        address_text(&config->turn, host);
        ok = nice_agent_set_relay_info(ice->agent, ice->stream, COMPONENT, host, config->turn.port,
            config->turn_user, config->turn_password, NICE_RELAY_TYPE_TURN_UDP);
    }
    ok = ok && nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, ice->context, on_receive, ice);
    ok = ok && nice_agent_gather_candidates(ice->agent, ice->stream);
    if (!ok) {
        chq_ice_close(ice, NULL, NULL);
        return CHQ_IO;
    }
    if (config->stun.family != 0 && !config->relay_only)
        ask_for_reflexive(ice);
    *out = ice;
    return CHQ_OK;
}

static void on_closed(GObject *object, GAsyncResult *result, gpointer data)
{
    (void)object;
    (void)result;
    struct chq_ice *ice = data;
    void (*closed)(void *user) = ice->closed;
    void *user = ice->closed_user;
    g_object_unref(ice->agent);
    g_main_context_unref(ice->context);
    free(ice);
    if (closed != NULL)
        closed(user);
}

void chq_ice_close(struct chq_ice *ice, void (*closed)(void *user), void *user)
{
    ice->closing = true;
    stop_asking(ice);
    ice->closed = closed;
    ice->closed_user = user;
    (void)g_signal_handlers_disconnect_by_data(ice->agent, ice);
    if (ice->stream != 0)
        (void)nice_agent_attach_recv(ice->agent, ice->stream, COMPONENT, ice->context, NULL, NULL);
    g_main_context_push_thread_default(ice->context);
    nice_agent_close_async(ice->agent, on_closed, ice);
    g_main_context_pop_thread_default(ice->context);
}

enum chq_err chq_ice_credentials(struct chq_ice *ice, struct chq_ice_credentials *out)
{
    g_autofree gchar *ufrag = NULL;
    g_autofree gchar *password = NULL;
    memset(out, 0, sizeof *out);
    if (!nice_agent_get_local_credentials(ice->agent, ice->stream, &ufrag, &password))
        return CHQ_STATE;
    if (strlen(ufrag) >= sizeof out->ufrag || strlen(password) >= sizeof out->password)
        return CHQ_LIMIT;
    (void)g_strlcpy(out->ufrag, ufrag, sizeof out->ufrag);
    (void)g_strlcpy(out->password, password, sizeof out->password);
    return CHQ_OK;
}

enum chq_err chq_ice_set_remote(struct chq_ice *ice, const struct chq_ice_credentials *remote)
{
    return nice_agent_set_remote_credentials(ice->agent, ice->stream, remote->ufrag, remote->password)
               ? CHQ_OK
               : CHQ_STATE;
}

enum chq_err chq_ice_add_remote(struct chq_ice *ice, const struct chq_candidate *candidates, uint32_t count)
{
    static const NiceCandidateType types[] = {NICE_CANDIDATE_TYPE_HOST, NICE_CANDIDATE_TYPE_HOST,
        NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE, NICE_CANDIDATE_TYPE_RELAYED};
    GSList *list = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct chq_candidate *from = &candidates[i];
        if (!ice->config.allow_loopback && is_local(&from->address))
            continue;
        if (from->kind == CHQ_CANDIDATE_RELAYED && ice->relayed_count < CHQ_CALL_CANDIDATES_MAX)
            ice->relayed[ice->relayed_count++] = from->address;
        NiceCandidate *c = nice_candidate_new(types[from->kind]);
        c->transport = NICE_CANDIDATE_TRANSPORT_UDP;
        c->stream_id = ice->stream;
        c->component_id = COMPONENT;
        c->priority = from->priority;
        set_address(&c->addr, &from->address);
        (void)g_strlcpy(c->foundation, from->foundation, sizeof c->foundation);
        list = g_slist_prepend(list, c);
    }
    list = g_slist_reverse(list);
    const int added =
        list == NULL ? 0 : nice_agent_set_remote_candidates(ice->agent, ice->stream, COMPONENT, list);
    g_slist_free_full(list, (GDestroyNotify)nice_candidate_free);
    return added < 0 ? CHQ_STATE : CHQ_OK;
}

enum chq_err chq_ice_send(struct chq_ice *ice, struct chq_bytes datagram)
{
    if (ice->pair.kind == CHQ_PATH_NONE)
        return CHQ_AGAIN;
    const gint sent = nice_agent_send(
        ice->agent, ice->stream, COMPONENT, (guint)datagram.size, (const gchar *)datagram.data);
    return sent == (gint)datagram.size ? CHQ_OK : CHQ_AGAIN;
}
