/* SPDX-License-Identifier: Apache-2.0 */
#include "core/wire/id.h"

#include <string.h>

#include "core/crypto/hash.h"

void chq_device_id(uint8_t out[CHQ_DEVICE_ID_BYTES], const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES])
{
    uint8_t hash[CHQ_HASH_BYTES];
    struct chq_bytes part = chq_bytes(signing_key, CHQ_SIGN_PUBLIC_BYTES);
    chq_hash(hash, "chasqui device v1", &part, 1);
    memcpy(out, hash, CHQ_DEVICE_ID_BYTES);
}

void chq_queue_id(uint8_t out[CHQ_QUEUE_ID_BYTES], const uint8_t queue_key[CHQ_SIGN_PUBLIC_BYTES])
{
    struct chq_bytes part = chq_bytes(queue_key, CHQ_SIGN_PUBLIC_BYTES);
    chq_hash(out, "chasqui queue v1", &part, 1);
}
