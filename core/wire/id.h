/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_WIRE_ID_H
#define CHQ_CORE_WIRE_ID_H

#include <stdint.h>

#include "core/crypto/keys.h"

/* Identifiers, docs/protocol.md section 1. */
#define CHQ_ACCOUNT_ID_BYTES 32
#define CHQ_DEVICE_ID_BYTES  16
#define CHQ_RELAY_ID_BYTES   32
#define CHQ_QUEUE_ID_BYTES   32
#define CHQ_CHANNEL_ID_BYTES 32
#define CHQ_MESSAGE_ID_BYTES 16
#define CHQ_CALL_ID_BYTES    16
#define CHQ_SESSION_ID_BYTES 16

/* Write the id of the device that signs with `signing_key`. */
void chq_device_id(uint8_t out[CHQ_DEVICE_ID_BYTES], const uint8_t signing_key[CHQ_SIGN_PUBLIC_BYTES]);

/* Write the id of the queue that is read with `queue_key`. */
void chq_queue_id(uint8_t out[CHQ_QUEUE_ID_BYTES], const uint8_t queue_key[CHQ_SIGN_PUBLIC_BYTES]);

#endif
