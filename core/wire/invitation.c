/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/invitation.h"

#include <string.h>

#include "core/base/text.h"
#include "core/wire/cbor.h"

static void get_text(struct chq_reader *r, char *out, size_t max)
{
    struct chq_bytes t = chq_cbor_get_text(r, max);
    for (size_t i = 0; i < t.size; i++) {
        if (t.data[i] <= 0x20 || t.data[i] >= 0x7f)
            chq_reader_fail(r, CHQ_MALFORMED);
        out[i] = (char)t.data[i];
    }
    out[t.size] = '\0';
    if (t.size == 0)
        chq_reader_fail(r, CHQ_MALFORMED);
}

static enum chq_err read_map(struct chq_bytes in, struct chq_invitation *out)
{
    struct chq_reader r = chq_reader(in);
    struct chq_cbor_map m = chq_cbor_get_map(&r, 6);
    chq_cbor_need(&r, &m, 1);
    get_text(&r, out->chain_id, CHQ_CHAIN_ID_CHARS_MAX);
    chq_cbor_need(&r, &m, 2);
    out->validators_count = chq_validators_get(&r, out->validators);
    chq_cbor_need(&r, &m, 3);
    chq_cbor_get_fixed(&r, out->relay, sizeof out->relay);
    chq_cbor_need(&r, &m, 4);
    get_text(&r, out->host, sizeof out->host - 1);
    chq_cbor_need(&r, &m, 5);
    out->port = (uint16_t)chq_cbor_get_uint_max(&r, UINT16_MAX);
    chq_cbor_need(&r, &m, 6);
    chq_cbor_get_fixed(&r, out->pin, sizeof out->pin);
    chq_cbor_map_end(&r, &m);
    if (out->port == 0)
        chq_reader_fail(&r, CHQ_MALFORMED);
    return chq_reader_finish(&r);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

enum chq_err chq_invitation_read(struct chq_bytes link, struct chq_invitation *out)
{
    uint8_t map[CHQ_INVITATION_BYTES_MAX];
    size_t prefix = strlen(CHQ_INVITATION_PREFIX), size = 0;
    memset(out, 0, sizeof *out);
    while (link.size > 0 && is_space(link.data[link.size - 1]))
        link.size--;
    while (link.size > 0 && is_space(link.data[0]))
        link = chq_bytes(link.data + 1, link.size - 1);
    if (link.size <= prefix || memcmp(link.data, CHQ_INVITATION_PREFIX, prefix) != 0 ||
        chq_base64url_read(chq_bytes(link.data + prefix, link.size - prefix), map, sizeof map, &size) !=
            CHQ_OK)
        return CHQ_MALFORMED;
    enum chq_err err = read_map(chq_bytes(map, size), out);
    if (err != CHQ_OK)
        memset(out, 0, sizeof *out);
    return err;
}

void chq_invitation_put(struct chq_writer *w, const struct chq_invitation *in)
{
    uint8_t storage[CHQ_INVITATION_BYTES_MAX];
    char text[CHQ_INVITATION_CHARACTERS_MAX];
    struct chq_writer map = chq_writer_fixed(storage, sizeof storage);
    chq_cbor_put_map(&map, 6);
    chq_cbor_pair_text(&map, 1, chq_bytes_text(in->chain_id));
    chq_cbor_put_key(&map, 2);
    chq_validators_put(&map, in->validators, in->validators_count);
    chq_cbor_pair_bytes(&map, 3, in->relay, sizeof in->relay);
    chq_cbor_pair_text(&map, 4, chq_bytes_text(in->host));
    chq_cbor_pair_uint(&map, 5, in->port);
    chq_cbor_pair_bytes(&map, 6, in->pin, sizeof in->pin);
    if (chq_writer_finish(&map) != CHQ_OK) {
        chq_writer_fail(w, chq_writer_finish(&map));
        return;
    }
    chq_base64url_write(chq_writer_bytes(&map), text);
    chq_write_bytes(w, CHQ_INVITATION_PREFIX, strlen(CHQ_INVITATION_PREFIX));
    chq_write_bytes(w, text, strlen(text));
}
