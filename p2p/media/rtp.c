/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/rtp.h"

#include "core/base/limits.h"

enum { RTCP_SENDER_REPORT = 200, REPORT_WORDS_LESS_ONE = CHQ_REPORT_BYTES / 4 - 1 };

bool chq_rtp_is_rtcp(struct chq_bytes in)
{
    return in.size >= 2 && in.data[1] >= 192 && in.data[1] <= 223;
}

enum chq_err chq_rtp_read(struct chq_bytes in, struct chq_rtp *out)
{
    *out = (struct chq_rtp){0};
    if (in.size > CHQ_RTP_BYTES_MAX)
        return CHQ_LIMIT;
    if (in.size < CHQ_RTP_HEADER_BYTES || chq_rtp_is_rtcp(in))
        return CHQ_MALFORMED;
    struct chq_reader r = chq_reader(in);
    const uint8_t first = chq_read_u8(&r);
    const uint8_t second = chq_read_u8(&r);
    struct chq_rtp p = {
        .marker = (second & 0x80) != 0,
        .extended = (first & 0x10) != 0,
        .payload_type = second & 0x7f,
        .csrc_count = first & 0x0f,
    };
    p.sequence = chq_read_u16(&r);
    p.timestamp = chq_read_u32(&r);
    p.ssrc = chq_read_u32(&r);
    if (first >> 6 != 2)
        return CHQ_MALFORMED;
    (void)chq_read_bytes(&r, (size_t)p.csrc_count * 4);
    if (p.extended) {
        (void)chq_read_u16(&r); /* defined by profile */
        const uint16_t words = chq_read_u16(&r);
        (void)chq_read_bytes(&r, (size_t)words * 4);
    }
    size_t left = chq_reader_left(&r);
    if (r.err == CHQ_OK && (first & 0x20) != 0) {
        /* The last octet counts the padding, itself included (section 5.1). */
        const uint8_t padding = left == 0 ? 0 : in.data[in.size - 1];
        if (padding == 0 || padding > left)
            return CHQ_MALFORMED;
        left -= padding;
    }
    p.payload = chq_read_bytes(&r, left);
    if (r.err != CHQ_OK)
        return r.err;
    *out = p;
    return CHQ_OK;
}

void chq_rtp_write(struct chq_writer *w, const struct chq_rtp *packet)
{
    chq_write_u8(w, 0x80);
    chq_write_u8(w, (uint8_t)((packet->marker ? 0x80u : 0u) | (packet->payload_type & 0x7fu)));
    chq_write_u16(w, packet->sequence);
    chq_write_u32(w, packet->timestamp);
    chq_write_u32(w, packet->ssrc);
    chq_write_bytes(w, packet->payload.data, packet->payload.size);
}

enum chq_err chq_report_read(struct chq_bytes in, struct chq_report *out)
{
    *out = (struct chq_report){0};
    if (in.size != CHQ_REPORT_BYTES)
        return CHQ_MALFORMED;
    struct chq_reader r = chq_reader(in);
    const uint8_t first = chq_read_u8(&r);
    const uint8_t type = chq_read_u8(&r);
    const uint16_t words = chq_read_u16(&r);
    if (first != 0x81 || type != RTCP_SENDER_REPORT || words != REPORT_WORDS_LESS_ONE)
        return CHQ_MALFORMED;
    out->ssrc = chq_read_u32(&r);
    out->ntp = chq_read_u64(&r);
    out->rtp_time = chq_read_u32(&r);
    out->packets = chq_read_u32(&r);
    out->octets = chq_read_u32(&r);
    out->about_ssrc = chq_read_u32(&r);
    const uint32_t loss = chq_read_u32(&r);
    out->fraction_lost = (uint8_t)(loss >> 24);
    const uint32_t lost = loss & 0xffffffu;
    out->lost = lost < 0x800000u ? (int32_t)lost : (int32_t)lost - 0x1000000;
    out->highest_sequence = chq_read_u32(&r);
    out->jitter = chq_read_u32(&r);
    out->last_report = chq_read_u32(&r);
    out->delay_since_last_report = chq_read_u32(&r);
    return chq_reader_finish(&r);
}

void chq_report_write(struct chq_writer *w, const struct chq_report *report)
{
    chq_write_u8(w, 0x81);
    chq_write_u8(w, RTCP_SENDER_REPORT);
    chq_write_u16(w, REPORT_WORDS_LESS_ONE);
    chq_write_u32(w, report->ssrc);
    chq_write_u64(w, report->ntp);
    chq_write_u32(w, report->rtp_time);
    chq_write_u32(w, report->packets);
    chq_write_u32(w, report->octets);
    chq_write_u32(w, report->about_ssrc);
    chq_write_u32(w, (uint32_t)report->fraction_lost << 24 | ((uint32_t)report->lost & 0xffffffu));
    chq_write_u32(w, report->highest_sequence);
    chq_write_u32(w, report->jitter);
    chq_write_u32(w, report->last_report);
    chq_write_u32(w, report->delay_since_last_report);
}
