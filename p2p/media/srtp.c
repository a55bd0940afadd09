/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/srtp.h"

#include <pthread.h>
#include <sodium.h>
#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

#include "core/crypto/hkdf.h"

enum { REPLAY_WINDOW = 128 };

struct chq_srtp {
    srtp_t send, receive;
};

static pthread_once_t started = PTHREAD_ONCE_INIT;
static bool usable;

static void start_library(void)
{
    usable = srtp_init() == srtp_err_status_ok;
}

void chq_media_keys_derive(const uint8_t secret[32], bool caller, struct chq_media_keys *keys)
{
    uint8_t both[2][CHQ_SRTP_KEY_BYTES + 4];
    chq_hkdf(both[0], sizeof both[0], chq_bytes(NULL, 0), chq_bytes(secret, 32),
        chq_bytes_text("chasqui srtp 1 caller"));
    chq_hkdf(both[1], sizeof both[1], chq_bytes(NULL, 0), chq_bytes(secret, 32),
        chq_bytes_text("chasqui srtp 1 callee"));
    const uint8_t *send = both[caller ? 0 : 1];
    const uint8_t *receive = both[caller ? 1 : 0];
    memcpy(keys->send_key, send, CHQ_SRTP_KEY_BYTES);
    memcpy(keys->receive_key, receive, CHQ_SRTP_KEY_BYTES);
    keys->send_ssrc = chq_load_u32(send + CHQ_SRTP_KEY_BYTES);
    keys->receive_ssrc = chq_load_u32(receive + CHQ_SRTP_KEY_BYTES);
    sodium_memzero(both, sizeof both);
}

static srtp_err_status_t open_one(srtp_t *session, const uint8_t key[CHQ_SRTP_KEY_BYTES], uint32_t ssrc)
{
    uint8_t copy[CHQ_SRTP_KEY_BYTES]; /* libsrtp wants it writable */
    memcpy(copy, key, sizeof copy);
    srtp_policy_t policy;
    memset(&policy, 0, sizeof policy);
    srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
    policy.ssrc.type = ssrc_specific;
    policy.ssrc.value = ssrc;
    policy.key = copy;
    policy.window_size = REPLAY_WINDOW;
    const srtp_err_status_t err = srtp_create(session, &policy);
    sodium_memzero(copy, sizeof copy);
    return err;
}

enum chq_err chq_srtp_new(const struct chq_media_keys *keys, struct chq_srtp **out)
{
    *out = NULL;
    if (pthread_once(&started, start_library) != 0 || !usable)
        return CHQ_IO;
    struct chq_srtp *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CHQ_NO_MEMORY;
    srtp_err_status_t err = open_one(&s->send, keys->send_key, keys->send_ssrc);
    if (err == srtp_err_status_ok)
        err = open_one(&s->receive, keys->receive_key, keys->receive_ssrc);
    if (err != srtp_err_status_ok) {
        chq_srtp_free(s);
        return err == srtp_err_status_alloc_fail ? CHQ_NO_MEMORY : CHQ_IO;
    }
    *out = s;
    return CHQ_OK;
}

void chq_srtp_free(struct chq_srtp *srtp)
{
    if (srtp == NULL)
        return;
    if (srtp->send != NULL)
        (void)srtp_dealloc(srtp->send);
    if (srtp->receive != NULL)
        (void)srtp_dealloc(srtp->receive);
    free(srtp);
}

enum chq_err chq_srtp_protect(struct chq_srtp *srtp, bool rtcp, uint8_t *buffer, size_t *size)
{
    int length = (int)*size;
    const srtp_err_status_t err =
        rtcp ? srtp_protect_rtcp(srtp->send, buffer, &length) : srtp_protect(srtp->send, buffer, &length);
    if (err != srtp_err_status_ok)
        return err == srtp_err_status_key_expired ? CHQ_EXPIRED : CHQ_STATE;
    *size = (size_t)length;
    return CHQ_OK;
}

enum chq_err chq_srtp_unprotect(struct chq_srtp *srtp, bool rtcp, uint8_t *buffer, size_t *size)
{
    int length = (int)*size;
    const srtp_err_status_t err = rtcp ? srtp_unprotect_rtcp(srtp->receive, buffer, &length)
                                       : srtp_unprotect(srtp->receive, buffer, &length);
    switch (err) {
    case srtp_err_status_ok: *size = (size_t)length; return CHQ_OK;
    case srtp_err_status_replay_fail:
    case srtp_err_status_replay_old: return CHQ_STATE;
    case srtp_err_status_auth_fail:
    case srtp_err_status_cipher_fail:
    case srtp_err_status_no_ctx: return CHQ_AUTH;
    default: return CHQ_MALFORMED;
    }
}
