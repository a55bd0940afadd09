/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_SRTP_H
#define CHQ_P2P_MEDIA_SRTP_H

#include "core/base/bytes.h"

#define CHQ_SRTP_KEY_BYTES     44 /* AEAD_AES_256_GCM: 32 key + 12 salt (RFC 7714 section 12) */
#define CHQ_SRTP_TAG_BYTES     16
#define CHQ_SRTP_TRAILER_BYTES 20 /* tag and SRTCP index: what protecting a report adds */

/* What both directions of one call use. Secret: wipe after chq_srtp_new. */
struct chq_media_keys {
    uint8_t send_key[CHQ_SRTP_KEY_BYTES], receive_key[CHQ_SRTP_KEY_BYTES];
    uint32_t send_ssrc, receive_ssrc;
};

/*
 * Derive both directions' keys and SSRCs from the call secret that signalling agreed on, by HKDF-SHA-256
 * (RFC 5869, no salt) with the info "chasqui srtp 1 caller" for what the caller sends and "chasqui srtp 1 callee" for the other
 * direction: 44 bytes key and salt, 4 bytes SSRC.
 */
void chq_media_keys_derive(const uint8_t secret[32], bool caller, struct chq_media_keys *keys);

struct chq_srtp;

/* Return in `*out` a session for one stream each way. CHQ_NO_MEMORY, or CHQ_IO when libsrtp cannot start. */
CHQ_MUST_CHECK enum chq_err chq_srtp_new(const struct chq_media_keys *keys, struct chq_srtp **out);
void chq_srtp_free(struct chq_srtp *srtp);

/* Protect the packet of `*size` bytes in `buffer` in place; the buffer has CHQ_SRTP_TRAILER_BYTES more to spare. */
CHQ_MUST_CHECK enum chq_err chq_srtp_protect(struct chq_srtp *srtp, bool rtcp, uint8_t *buffer, size_t *size);

/*
 * Check and open in place. CHQ_AUTH: tag or stream wrong; CHQ_STATE: seen already or older than the window of 128;
 * CHQ_MALFORMED: not even that. Drop the packet in each case.
 */
CHQ_MUST_CHECK enum chq_err chq_srtp_unprotect(
    struct chq_srtp *srtp, bool rtcp, uint8_t *buffer, size_t *size);

#endif
