/* SPDX-License-Identifier: Apache-2.0 */
/* Prekey bodies under a good signature, as a hostile device can make them: what opens must sign to the same bytes. */
#include <string.h>

#include "core/base/assert.h"
#include "core/wire/prekey.h"
#include "core/wire/signed.h"

static void check(const struct chq_sign_pair *device, struct chq_bytes body, const char *domain, int one_time)
{
    struct chq_prekey_bundle bundle;
    struct chq_one_time_prekey prekey;
    struct chq_writer in = chq_writer_heap(8192), out = chq_writer_heap(8192);
    chq_signed_write(&in, device, domain, body);
    enum chq_err err = one_time ? chq_one_time_prekey_open(&prekey, chq_writer_bytes(&in), device->public_key)
                                : chq_prekey_bundle_open(&bundle, chq_writer_bytes(&in), device->public_key);
    if (err == CHQ_OK) {
        if (one_time)
            chq_one_time_prekey_sign(&out, device, &prekey);
        else
            chq_prekey_bundle_sign(&out, device, &bundle);
        CHQ_ASSERT(chq_bytes_equal(chq_writer_bytes(&in), chq_writer_bytes(&out)));
    }
    chq_writer_free(&in);
    chq_writer_free(&out);
}

/* The first byte says which kind; bytes 1 to 16 of a body's device id are set right, so that both checks are passed. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[CHQ_SEED_BYTES] = {1};
    uint8_t body[2048];
    struct chq_sign_pair device;
    if (size < 1 || size > sizeof body)
        return 0;
    chq_sign_pair_from_seed(&device, seed);
    int one_time = data[0] & 1;
    size_t id_at = one_time ? 5 : 39; /* where the device id begins in a body of the right form */
    memcpy(body, data + 1, size - 1);
    if (size - 1 >= id_at + CHQ_DEVICE_ID_BYTES)
        chq_device_id(body + id_at, device.public_key);
    check(&device, chq_bytes(body, size - 1),
        one_time ? "chasqui one-time prekey v1" : "chasqui prekey bundle v1", one_time);
    return 0;
}
