/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/network.h"

static GMutex mutex;
static unsigned users;
static struct chq_network network;
static GThread *thread;

static gpointer thread_main(gpointer data)
{
    struct chq_network *n = data;
    g_main_context_push_thread_default(n->context);
    g_main_loop_run(n->loop);
    g_main_context_pop_thread_default(n->context);
    return NULL;
}

static gboolean quit(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

struct chq_network chq_network_acquire(void)
{
    g_mutex_lock(&mutex);
    if (users++ == 0) {
        network.context = g_main_context_new();
        network.loop = g_main_loop_new(network.context, FALSE);
        thread = g_thread_new("chasqui", thread_main, &network);
    }
    struct chq_network out = network;
    g_mutex_unlock(&mutex);
    return out;
}

void chq_network_release(void)
{
    g_mutex_lock(&mutex);
    if (--users == 0) {
        /* as a source of the loop, for the loop may not run yet */
        GSource *source = g_idle_source_new();
        g_source_set_callback(source, quit, network.loop, NULL);
        g_source_attach(source, network.context);
        g_source_unref(source);
        g_thread_join(thread);
        g_main_loop_unref(network.loop);
        g_main_context_unref(network.context);
    }
    g_mutex_unlock(&mutex);
}
