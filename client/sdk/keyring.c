/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/keyring.h"

#include <libsecret/secret.h>
#include <stdio.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/text.h"
#include "core/crypto/keys.h"

static const SecretSchema schema = {
    .name = "org.chasqui.Profile",
    .flags = SECRET_SCHEMA_NONE,
    .attributes = {{"profile", SECRET_SCHEMA_ATTRIBUTE_STRING}, {NULL, 0}},
};

struct wait {
    GMainLoop *loop;
    GCancellable *cancellable;
    GAsyncResult *result;
    bool timed_out;
};

static void on_result(GObject *source, GAsyncResult *result, gpointer data)
{
    struct wait *wait = data;
    (void)source;
    wait->result = g_object_ref(result);
    g_main_loop_quit(wait->loop);
}

static gboolean on_timeout(gpointer data)
{
    struct wait *wait = data;
    wait->timed_out = true;
    g_cancellable_cancel(wait->cancellable);
    return G_SOURCE_REMOVE;
}

/* Look up (key_hex NULL) or store, on a context of its own; return the text found, or "" for stored, or NULL. */
static gchar *ask(const char *profile, const char *key_hex, uint32_t timeout_ms, char why[256])
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GError) error = NULL;
    struct wait wait = {.loop = g_main_loop_new(context, FALSE), .cancellable = g_cancellable_new()};
    gchar *found = NULL;
    g_main_context_push_thread_default(context);
    GSource *timeout = g_timeout_source_new(timeout_ms);
    g_source_set_callback(timeout, on_timeout, &wait, NULL);
    g_source_attach(timeout, context);
    if (key_hex == NULL) {
        secret_password_lookup(&schema, wait.cancellable, on_result, &wait, "profile", profile, NULL);
        g_main_loop_run(wait.loop);
        found = secret_password_lookup_finish(wait.result, &error);
        if (found == NULL && error == NULL)
            snprintf(why, 256, "the keyring has no key for %s; was it made on another machine?", profile);
    } else {
        secret_password_store(&schema, SECRET_COLLECTION_DEFAULT, "Chasqui profile", key_hex,
            wait.cancellable, on_result, &wait, "profile", profile, NULL);
        g_main_loop_run(wait.loop);
        if (secret_password_store_finish(wait.result, &error))
            found = g_strdup("");
    }
    if (error != NULL)
        snprintf(why, 256, "the keyring cannot be used (%s); give a passphrase instead",
            wait.timed_out ? "it stayed locked" : error->message);
    while (g_main_context_iteration(context, FALSE)) {
        /* let what libsecret left there end */
    }
    g_source_destroy(timeout);
    g_source_unref(timeout);
    g_main_context_pop_thread_default(context);
    g_clear_object(&wait.result);
    g_object_unref(wait.cancellable);
    g_main_loop_unref(wait.loop);
    return found;
}

bool chq_keyring_load(const char *profile, uint32_t timeout_ms, uint8_t key[32], char why[256])
{
    gchar *found = ask(profile, NULL, timeout_ms, why);
    if (found == NULL)
        return false;
    bool ok = strlen(found) == 64 && chq_hex_read(found, key, 32) == CHQ_OK;
    if (!ok)
        snprintf(why, 256, "the keyring's entry for %s is not a key of Chasqui", profile);
    secret_password_free(found);
    return ok;
}

bool chq_keyring_store(const char *profile, uint32_t timeout_ms, const uint8_t key[32], char why[256])
{
    char hex[65];
    chq_hex_write(chq_bytes(key, 32), hex);
    gchar *stored = ask(profile, hex, timeout_ms, why);
    chq_wipe(hex, sizeof hex);
    g_free(stored);
    return stored != NULL;
}
