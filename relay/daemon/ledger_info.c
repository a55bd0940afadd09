/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/daemon/ledger_info.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/limits.h"
#include "core/wire/ledger_frame.h"
#include "ledger/light/light.h"
#include "relay/daemon/ledger_link.h"

#define WITHIN_S 5

static enum chq_err take(struct chq_relay_config *config, struct chq_bytes reply, const struct chq_log *log)
{
    struct chq_ledger_reply info;
    struct chq_light *light = NULL;
    struct chq_light_answer answer = {0};
    CHQ_TRY(chq_ledger_reply_read(reply, &info));
    if (info.type != CHQ_LEDGER_INFO || info.err != CHQ_OK)
        return CHQ_MALFORMED;
    if (info.validators.size == 0) {
        chq_logf(log, CHQ_LOG_ERROR, "the ledger does not name its validators");
        return CHQ_UNSUPPORTED;
    }
    struct chq_reader r = chq_reader(info.validators);
    config->validators_count = (uint32_t)chq_validators_get(&r, config->validators);
    CHQ_TRY(chq_reader_finish(&r));
    snprintf(config->chain_id, sizeof config->chain_id, "%.*s", (int)info.chain_id.size,
        (const char *)info.chain_id.data);
    struct chq_light_trust trust = {.chain_id = info.chain_id,
        .validators = config->validators,
        .validators_count = config->validators_count};
    CHQ_TRY(chq_light_new(&light, &trust));
    enum chq_err err = chq_light_verify_header(light, info.signed_header, (uint64_t)time(NULL), &answer);
    chq_light_free(light);
    if (err != CHQ_OK)
        chq_logf(log, CHQ_LOG_ERROR, "the ledger's header is not right: %s", answer.reason);
    return err;
}

/* Send all, or receive all; false when it takes too long or the other side goes. */
static bool move_all(int fd, uint8_t *data, size_t size, bool out)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = out ? send(fd, data + at, size - at, MSG_NOSIGNAL) : recv(fd, data + at, size - at, 0);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

enum chq_err chq_ledger_info_fetch(struct chq_relay_config *config, const struct chq_log *log)
{
    struct sockaddr_storage address;
    socklen_t address_size;
    struct timeval patience = {.tv_sec = WITHIN_S};
    uint8_t request[16], head[4], *reply = NULL;
    struct chq_writer w = chq_writer_fixed(request, sizeof request);
    enum chq_err err = CHQ_IO;
    CHQ_TRY(chq_ledger_address_read(config->ledger_address, &address, &address_size, log));
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    chq_write_u32(&w, 3); /* {0: INFO} is three bytes */
    chq_ledger_request_put(&w, &(struct chq_ledger_request){.type = CHQ_LEDGER_INFO});
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
        connect(fd, (struct sockaddr *)&address, address_size) != 0 || !move_all(fd, request, w.size, true) ||
        !move_all(fd, head, sizeof head, false)) {
        chq_logf(log, CHQ_LOG_ERROR,
            "the ledger at %s cannot be reached (%s); start it first: chasqui-ledger run",
            config->ledger_address, strerror(errno));
        goto out;
    }
    size_t size = chq_load_u32(head);
    err = CHQ_MALFORMED;
    if (size == 0 || size > CHQ_LEDGER_FRAME_BYTES_MAX || (reply = malloc(size)) == NULL ||
        !move_all(fd, reply, size, false)) {
        chq_logf(log, CHQ_LOG_ERROR, "%s is not a ledger", config->ledger_address);
        goto out;
    }
    err = take(config, chq_bytes(reply, size), log);
    if (err == CHQ_MALFORMED)
        chq_logf(log, CHQ_LOG_ERROR, "the ledger at %s answers what is no reply", config->ledger_address);
out:
    free(reply);
    if (fd >= 0)
        close(fd);
    return err;
}
