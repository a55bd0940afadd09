/* SPDX-License-Identifier: Apache-2.0 */
#include "client/sdk/events.h"

#include <poll.h>
#include <string.h>

#include "client/sdk/error.h"
#include "unit.h"

static bool readable(const struct chq_events *events)
{
    struct pollfd p = {.fd = events->fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void push(struct chq_events *events, uint64_t number, const char *text)
{
    struct chq_event e = {
        .kind = CHQ_EVENT_RECEIVED, .number = number, .text = text, .text_size = strlen(text)};
    chq_events_push(events, &e);
}

static void in_order_and_the_descriptor_tells(void **state)
{
    struct chq_events events;
    (void)state;
    assert_true(chq_events_init(&events));
    assert_false(readable(&events));
    assert_null(chq_events_next(&events));
    char text[] = "first";
    push(&events, 1, text);
    text[0] = '!'; /* the queue has its own copy */
    push(&events, 2, "");
    assert_true(readable(&events));
    const struct chq_event *e = chq_events_next(&events);
    assert_non_null(e);
    assert_int_equal(e->number, 1);
    assert_string_equal(e->text, "first");
    assert_true(readable(&events));
    e = chq_events_next(&events);
    assert_int_equal(e->number, 2);
    assert_string_equal(e->text, "");
    assert_false(readable(&events));
    assert_null(chq_events_next(&events));
    push(&events, 3, "left over");
    assert_true(readable(&events));
    chq_events_fini(&events);
}

static void *push_many(void *data)
{
    for (uint64_t i = 1; i <= 2000; i++)
        push(data, i, "from another thread");
    return NULL;
}

static void across_threads_none_is_lost(void **state)
{
    struct chq_events events;
    (void)state;
    assert_true(chq_events_init(&events));
    GThread *thread = g_thread_new("push", push_many, &events);
    for (uint64_t expected = 1; expected <= 2000;) {
        struct pollfd p = {.fd = events.fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 5000), 1);
        const struct chq_event *e;
        while ((e = chq_events_next(&events)) != NULL)
            assert_int_equal(e->number, expected++);
    }
    g_thread_join(thread);
    assert_false(readable(&events));
    chq_events_fini(&events);
}

/* Every error of the contract has words of its own. */
static void every_error_has_words(void **state)
{
    (void)state;
    for (int i = 0; i <= CHQ_ERROR_FAILED; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(chq_error_text((enum chq_error)i), chq_error_text((enum chq_error)k));
    assert_string_equal(chq_error_text((enum chq_error)999), "unknown error");
}

static void failures_of_the_store_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        enum chq_store_why why;
        enum chq_error error;
    } rows[] = {
        {CHQ_STORE_MISSING, CHQ_ERROR_NO_PROFILE},
        {CHQ_STORE_THERE, CHQ_ERROR_PROFILE_EXISTS},
        {CHQ_STORE_IN_USE, CHQ_ERROR_PROFILE_IN_USE},
        {CHQ_STORE_WRONG_SECRET, CHQ_ERROR_PASSPHRASE},
        {CHQ_STORE_OTHER_SECRET, CHQ_ERROR_PASSPHRASE},
        {CHQ_STORE_FOREIGN, CHQ_ERROR_PROFILE_FOREIGN},
        {CHQ_STORE_NEWER, CHQ_ERROR_PROFILE_NEWER},
        {CHQ_STORE_DAMAGED, CHQ_ERROR_PROFILE_DAMAGED},
        {CHQ_STORE_FULL, CHQ_ERROR_DISK_FULL},
        {CHQ_STORE_READ_ONLY, CHQ_ERROR_DISK},
        {CHQ_STORE_FAILED, CHQ_ERROR_DISK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chq_store_fault fault = {.why = rows[i].why};
        assert_int_equal(chq_error_of_store(&fault), rows[i].error);
    }
    assert_int_equal(chq_error_of_notice(CHQ_EXISTS, true), CHQ_ERROR_HANDLE_TAKEN);
    assert_int_equal(chq_error_of_notice(CHQ_PAYMENT, false), CHQ_ERROR_CREDIT);
    assert_int_equal(chq_error_of_notice(CHQ_AUTH, false), CHQ_ERROR_DECEIVED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_the_descriptor_tells),
        cmocka_unit_test(across_threads_none_is_lost),
        cmocka_unit_test(every_error_has_words),
        cmocka_unit_test(failures_of_the_store_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
