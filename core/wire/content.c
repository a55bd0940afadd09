/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/content.h"

#include <string.h>

#include "core/wire/cbor.h"

/* Refuse what the other side would refuse, while it can still be told to the user. */
static void check_size(struct chq_writer *w, size_t size, size_t min, size_t max)
{
    if (size < min)
        chq_writer_fail(w, CHQ_MALFORMED);
    if (size > max)
        chq_writer_fail(w, CHQ_LIMIT);
}

static void write_head(struct chq_writer *w, const struct chq_content *content, uint64_t more_fields)
{
    if (content->order == 0)
        chq_writer_fail(w, CHQ_MALFORMED);
    chq_cbor_put_map(w, 4 + more_fields);
    chq_cbor_pair_uint(w, 0, (uint64_t)content->kind);
    chq_cbor_pair_bytes(w, 1, content->message_id, sizeof content->message_id);
    chq_cbor_pair_uint(w, 2, content->sent_ms);
}

static void write_receipt(struct chq_writer *w, const struct chq_content *content)
{
    size_t n = content->receipt.n;
    check_size(w, n, 1, CHQ_RECEIPT_IDS_MAX);
    if (w->err != CHQ_OK)
        return;
    write_head(w, content, 1);
    chq_cbor_put_key(w, 3);
    chq_cbor_put_array(w, n);
    for (size_t i = 0; i < n; i++)
        chq_cbor_put_bytes(w, chq_bytes(content->receipt.ids[i], CHQ_MESSAGE_ID_BYTES));
}

static void write_hello(struct chq_writer *w, const struct chq_content *content)
{
    check_size(w, content->hello.handle.size, 0, CHQ_HANDLE_CHARS_MAX);
    write_head(w, content, 4);
    chq_cbor_pair_bytes(w, 3, content->hello.account_id, sizeof content->hello.account_id);
    chq_cbor_pair_text(w, 4, content->hello.handle);
    chq_cbor_pair_bytes(w, 5, content->hello.relay_id, sizeof content->hello.relay_id);
    chq_cbor_pair_bytes(w, 6, content->hello.queue_id, sizeof content->hello.queue_id);
}

static void write_fields(struct chq_writer *w, const struct chq_content *content)
{
    switch (content->kind) {
    case CHQ_CONTENT_TEXT:
        check_size(w, content->text.utf8.size, 1, CHQ_TEXT_BYTES_MAX);
        write_head(w, content, 1);
        chq_cbor_pair_text(w, 3, content->text.utf8);
        return;
    case CHQ_CONTENT_RECEIPT: write_receipt(w, content); return;
    case CHQ_CONTENT_HELLO: write_hello(w, content); return;
    case CHQ_CONTENT_CALL:
        check_size(w, content->call.signal.size, 1, CHQ_CALL_SIGNAL_BYTES_MAX);
        write_head(w, content, 2);
        chq_cbor_pair_bytes(w, 3, content->call.call_id, sizeof content->call.call_id);
        chq_cbor_pair_bytes(w, 4, content->call.signal.data, content->call.signal.size);
        return;
    }
    chq_writer_fail(w, CHQ_UNSUPPORTED);
}

void chq_content_write(struct chq_writer *w, const struct chq_content *content)
{
    write_fields(w, content);
    chq_cbor_pair_uint(w, 9, content->order);
}

static void read_receipt(struct chq_reader *r, struct chq_cbor_map *m, struct chq_content *out)
{
    chq_cbor_need(r, m, 3);
    out->receipt.n = chq_cbor_get_array(r, CHQ_RECEIPT_IDS_MAX);
    if (r->err == CHQ_OK && out->receipt.n == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
    for (size_t i = 0; i < out->receipt.n; i++)
        chq_cbor_get_fixed(r, out->receipt.ids[i], CHQ_MESSAGE_ID_BYTES);
}

static void read_hello(struct chq_reader *r, struct chq_cbor_map *m, struct chq_content *out)
{
    chq_cbor_need(r, m, 3);
    chq_cbor_get_fixed(r, out->hello.account_id, sizeof out->hello.account_id);
    chq_cbor_need(r, m, 4);
    out->hello.handle = chq_cbor_get_text(r, CHQ_HANDLE_CHARS_MAX);
    chq_cbor_need(r, m, 5);
    chq_cbor_get_fixed(r, out->hello.relay_id, sizeof out->hello.relay_id);
    chq_cbor_need(r, m, 6);
    chq_cbor_get_fixed(r, out->hello.queue_id, sizeof out->hello.queue_id);
}

static struct chq_bytes not_empty(struct chq_reader *r, struct chq_bytes v)
{
    if (v.size == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
    return v;
}

/* Pass over one field; that the whole is well-formed is known. */
static void skip_field(struct chq_reader *r, struct chq_cbor_map *m)
{
    m->last_key = chq_cbor_get_uint(r);
    m->any = true;
    m->left--;
    (void)chq_cbor_get_any(r);
}

static void read_fields(struct chq_reader *r, struct chq_cbor_map *m, struct chq_content *out)
{
    switch (out->kind) {
    case CHQ_CONTENT_TEXT:
        chq_cbor_need(r, m, 3);
        out->text.utf8 = not_empty(r, chq_cbor_get_text(r, CHQ_TEXT_BYTES_MAX));
        break;
    case CHQ_CONTENT_RECEIPT: read_receipt(r, m, out); break;
    case CHQ_CONTENT_HELLO: read_hello(r, m, out); break;
    case CHQ_CONTENT_CALL:
        chq_cbor_need(r, m, 3);
        chq_cbor_get_fixed(r, out->call.call_id, sizeof out->call.call_id);
        chq_cbor_need(r, m, 4);
        out->call.signal = not_empty(r, chq_cbor_get_bytes(r, CHQ_CALL_SIGNAL_BYTES_MAX));
        break;
    default: /* a later version's kind: its fields are passed over, its order still counts */
        while (r->err == CHQ_OK && m->left > 1)
            skip_field(r, m);
    }
}

enum chq_err chq_content_read(struct chq_content *out, struct chq_bytes in)
{
    struct chq_reader r = chq_reader(in);
    memset(out, 0, sizeof *out);
    if (chq_cbor_check(in) != CHQ_OK)
        return CHQ_MALFORMED;
    struct chq_cbor_map m = chq_cbor_get_map(&r, 32);
    chq_cbor_need(&r, &m, 0);
    out->kind = (enum chq_content_kind)chq_cbor_get_uint_max(&r, INT16_MAX);
    chq_cbor_need(&r, &m, 1);
    chq_cbor_get_fixed(&r, out->message_id, sizeof out->message_id);
    chq_cbor_need(&r, &m, 2);
    out->sent_ms = chq_cbor_get_uint(&r);
    read_fields(&r, &m, out);
    chq_cbor_need(&r, &m, 9);
    out->order = chq_cbor_get_uint(&r);
    if (out->order == 0)
        chq_reader_fail(&r, CHQ_MALFORMED);
    chq_cbor_map_end(&r, &m);
    enum chq_err err = chq_reader_finish(&r);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    else if (out->kind < CHQ_CONTENT_TEXT || out->kind > CHQ_CONTENT_CALL)
        err = CHQ_UNSUPPORTED;
    return err;
}
