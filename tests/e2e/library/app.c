/* SPDX-License-Identifier: Apache-2.0 */
/* An app that knows libchasqui by its public header only: opens two profiles, adds, sends, sees it delivered. */
#include <chasqui.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "FAIL  %s: %s\n", what, why);
    return 1;
}

/* Wait for an event of `kind` of one client, 20 s at most. */
static const struct chq_event *wait_for(struct chq_client *client, enum chq_event_kind kind)
{
    struct pollfd p = {chq_client_fd(client), POLLIN, 0};
    int i;
    for (i = 0; i < 200; i++) {
        const struct chq_event *event;
        while ((event = chq_client_next_event(client)) != NULL)
            if (event->kind == kind)
                return event;
        poll(&p, 1, 100);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct chq_client *ana = NULL, *bo = NULL, *none = NULL;
    struct chq_client_options options;
    char why[CHQ_WHY_CHARS], text[CHQ_MESSAGE_BYTES_MAX + 1];
    const struct chq_event *event;
    unsigned char id[16];
    int rc = 1;
    if (argc != 4)
        return failed("usage", "app ANA_PROFILE BO_PROFILE PASSPHRASE");
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.profile = "/nonexistent";
    options.passphrase = argv[3];
    if (chq_client_open(&options, &none, why) != CHQ_ERROR_NO_PROFILE || none != NULL)
        return failed("a profile that is not there", why);
    options.size = 4;
    if (chq_client_open(&options, &none, why) != CHQ_ERROR_ARGUMENT)
        return failed("options of another version", why);
    options.size = sizeof options;
    options.profile = argv[1];
    if (chq_client_open(&options, &ana, why) != CHQ_ERROR_NONE)
        return failed("open", why);
    if (chq_client_open(&options, &none, why) != CHQ_ERROR_PROFILE_IN_USE)
        return failed("the same profile twice", why);
    options.profile = argv[2];
    if (chq_client_open(&options, &bo, why) != CHQ_ERROR_NONE)
        return failed("open", why);
    if (chq_client_add(ana, "bo", NULL) != CHQ_ERROR_NONE || wait_for(ana, CHQ_EVENT_CONTACT) == NULL) {
        failed("add", chq_client_why(ana));
        goto out;
    }
    memset(text, 'x', sizeof text);
    if (chq_client_send(ana, "bo", text, sizeof text, id) != CHQ_ERROR_TOO_LONG ||
        chq_client_send(ana, "bo", "\xff", 1, id) != CHQ_ERROR_NOT_TEXT ||
        chq_client_send(ana, "zoe", "hi", 2, id) != CHQ_ERROR_NOT_FOUND ||
        chq_client_send(ana, "bo", "from an app", 11, id) != CHQ_ERROR_NONE) {
        failed("send", chq_client_why(ana));
        goto out;
    }
    event = wait_for(bo, CHQ_EVENT_RECEIVED);
    if (event == NULL || strcmp(event->text, "from an app") != 0 || memcmp(event->message_id, id, 16) != 0 ||
        chq_client_mark_shown(bo, event->account, event->number) != CHQ_ERROR_NONE) {
        failed("receive", "another text, or none");
        goto out;
    }
    event = wait_for(ana, CHQ_EVENT_DELIVERED);
    if (event == NULL || memcmp(event->message_id, id, 16) != 0) {
        failed("delivered", "not seen");
        goto out;
    }
    puts("ok    an app that knows only chasqui.h and libchasqui.so sent a message and saw it delivered");
    rc = 0;
out:
    chq_client_close(ana);
    chq_client_close(bo);
    chq_client_close(NULL);
    return rc;
}
