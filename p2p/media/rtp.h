/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_RTP_H
#define CHQ_P2P_MEDIA_RTP_H

#include "core/base/bytes.h"

#define CHQ_RTP_HEADER_BYTES 12

/*
 * One RTP packet (RFC 3550 section 5.1), read strictly.
 *
 *   byte 0      V=2 (2 bits) P (1) X (1) CC (4)
 *   byte 1      M (1) PT (7)
 *   bytes 2-3   sequence number
 *   bytes 4-7   timestamp
 *   bytes 8-11  SSRC
 *   then        CC * 4 bytes CSRC, the extension if X, the payload, the padding if P
 */
struct chq_rtp {
    bool marker, extended;
    uint8_t payload_type, csrc_count;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    struct chq_bytes payload; /* borrowed; without padding */
};

/*
 * Read `in`. CHQ_MALFORMED: shorter than it says, not version 2, padding of 0 or beyond the payload, a payload type
 * that RFC 5761 section 4 keeps for RTCP. CHQ_LIMIT: above CHQ_RTP_BYTES_MAX.
 */
CHQ_MUST_CHECK enum chq_err chq_rtp_read(struct chq_bytes in, struct chq_rtp *out);

/* Append the 12-byte header (no CSRC, extension or padding) and the payload. */
void chq_rtp_write(struct chq_writer *w, const struct chq_rtp *packet);

/* Return whether `in` is RTCP by its second byte (RFC 5761 section 4: 192 to 223). */
bool chq_rtp_is_rtcp(struct chq_bytes in);

#define CHQ_REPORT_BYTES 52

/*
 * A sender report with exactly one report block (RFC 3550 section 6.4.1), alone in its packet (reduced size, RFC 5506):
 * always CHQ_REPORT_BYTES, so that neither loss nor silence shows in its length. A side that has received nothing yet
 * sends the block with zeros.
 *
 *   0 V=2 P=0 RC=1 | 1 PT=200 | 2 length=12 | 4 SSRC | 8 NTP time | 16 RTP time | 20 packets | 24 octets
 *   28 SSRC of the block | 32 fraction lost | 33 lost (24 bits) | 36 highest sequence | 40 jitter | 44 LSR | 48 DLSR
 */
struct chq_report {
    uint32_t ssrc;
    uint64_t ntp; /* 32.32 fixed point seconds since 1900 */
    uint32_t rtp_time, packets, octets;
    uint32_t about_ssrc;
    uint8_t fraction_lost; /* of 256, since the last report */
    int32_t lost; /* 24 bits signed */
    uint32_t highest_sequence, jitter, last_report, delay_since_last_report;
};

/* Read `in`; CHQ_MALFORMED when it is not exactly the form above. */
CHQ_MUST_CHECK enum chq_err chq_report_read(struct chq_bytes in, struct chq_report *out);
void chq_report_write(struct chq_writer *w, const struct chq_report *report);

#endif
