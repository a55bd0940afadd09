/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/media.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/assert.h"
#include "core/base/limits.h"
#include "p2p/media/jitter.h"
#include "p2p/media/rtp.h"

enum {
    PAYLOAD_TYPE = 96,
    SILENT_AFTER = 15, /* concealed frames in a row before plain silence */
    ONE_WAY_SAMPLES = 64,
    QUIET_LEVEL = 300,
    COPIES_ON_PERMILLE = 60,
    COPIES_OFF_PERMILLE = 25
};

#define SEQUENCE_BASE  (UINT64_C(1) << 16)
#define NTP_UNIX_EPOCH UINT64_C(2208988800) /* 1900 to 1970 */

struct sender {
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t packets, octets;
    uint64_t captured_wall_us; /* of the newest frame */
    uint64_t report_at_us;
    unsigned loss_permille; /* what the peer reports, smoothed */
    bool copies;
};

struct receiver {
    bool started;
    uint64_t first, highest; /* unwrapped */
    uint64_t received, expected_before, received_before;
    uint64_t arrived_us, previous_transit; /* transit in timestamp units */
    uint64_t jitter_q4; /* RFC 3550 A.8: scaled by 16 */
    uint32_t longest_gap_us;
    bool report_known;
    struct chq_report report;
    uint64_t report_us; /* when it came */
    uint32_t round_trip_us;
    int64_t one_way[ONE_WAY_SAMPLES];
    unsigned one_way_count, one_way_at;
    uint64_t refused, bytes;
};

struct chq_media {
    struct chq_srtp *srtp;
    struct chq_voice_encoder *encoder;
    struct chq_voice_decoder *decoder;
    struct chq_jitter jitter;
    struct sender tx;
    struct receiver rx;
    uint32_t send_ssrc, receive_ssrc;
    unsigned concealed_in_a_row;
    uint8_t packet[CHQ_RTP_BYTES_MAX + CHQ_SRTP_TRAILER_BYTES];
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES], other[CHQ_VOICE_FRAME_SAMPLES];
    uint64_t sent, bytes_sent;
};

enum chq_err chq_media_new(
    const struct chq_media_keys *keys, const struct chq_random *random, struct chq_media **out)
{
    enum chq_err err;
    *out = NULL;
    struct chq_media *m = calloc(1, sizeof *m);
    if (m == NULL)
        return CHQ_NO_MEMORY;
    if ((err = chq_srtp_new(keys, &m->srtp)) != CHQ_OK ||
        (err = chq_voice_encoder_new(&m->encoder)) != CHQ_OK ||
        (err = chq_voice_decoder_new(&m->decoder)) != CHQ_OK) {
        chq_media_free(m);
        return err;
    }
    chq_jitter_init(&m->jitter);
    m->send_ssrc = keys->send_ssrc;
    m->receive_ssrc = keys->receive_ssrc;
    uint8_t seed[6];
    chq_random_fill(random, seed, sizeof seed);
    /* Below 2^15, so that losing the first packets around a wrap cannot put the roll-over counters apart. */
    m->tx.sequence = chq_load_u16(seed) & 0x7fff;
    m->tx.timestamp = chq_load_u32(seed + 2);
    m->tx.report_at_us = UINT64_MAX;
    *out = m;
    return CHQ_OK;
}

void chq_media_free(struct chq_media *media)
{
    if (media == NULL)
        return;
    chq_srtp_free(media->srtp);
    chq_voice_encoder_free(media->encoder);
    chq_voice_decoder_free(media->decoder);
    memset(media->pcm, 0, sizeof media->pcm);
    memset(media->other, 0, sizeof media->other);
    free(media);
}

static enum chq_err protect(struct chq_media *m, bool rtcp, size_t size, struct chq_media_actions *out)
{
    CHQ_TRY(chq_srtp_protect(m->srtp, rtcp, m->packet, &size));
    CHQ_ASSERT(size == (rtcp ? CHQ_MEDIA_REPORT_BYTES : CHQ_MEDIA_PACKET_BYTES));
    m->bytes_sent += size;
    out->send = chq_bytes(m->packet, size);
    return CHQ_OK;
}

static enum chq_err send_frame(
    struct chq_media *m, const struct chq_media_event *in, struct chq_media_actions *out)
{
    uint8_t payload[CHQ_VOICE_PAYLOAD_BYTES];
    CHQ_TRY(chq_voice_encode(m->encoder, in->pcm, payload));
    m->tx.sequence++;
    m->tx.timestamp += CHQ_VOICE_FRAME_SAMPLES;
    const struct chq_rtp packet = {
        .payload_type = PAYLOAD_TYPE, /* the same in both modes, and no marker: nothing in the clear tells */
        .sequence = m->tx.sequence,
        .timestamp = m->tx.timestamp,
        .ssrc = m->send_ssrc,
        .payload = chq_bytes(payload, sizeof payload),
    };
    struct chq_writer w = chq_writer_fixed(m->packet, sizeof m->packet);
    chq_rtp_write(&w, &packet);
    CHQ_TRY(chq_writer_finish(&w));
    CHQ_TRY(protect(m, false, w.size, out));
    m->sent++;
    m->tx.packets++;
    m->tx.octets += CHQ_VOICE_PAYLOAD_BYTES;
    m->tx.captured_wall_us = in->wall_us;
    if (m->tx.report_at_us == UINT64_MAX)
        m->tx.report_at_us = in->now_us + CHQ_MEDIA_REPORT_US / 4; /* soon, so that delays are known soon */
    return CHQ_OK;
}

static uint64_t ntp_of(uint64_t wall_us)
{
    return (wall_us / 1000000 + NTP_UNIX_EPOCH) << 32 | ((wall_us % 1000000) << 32) / 1000000;
}

static int64_t ntp_to_wall_us(uint64_t ntp)
{
    return ((int64_t)(ntp >> 32) - (int64_t)NTP_UNIX_EPOCH) * 1000000 +
           (int64_t)(((ntp & 0xffffffffu) * 1000000) >> 32);
}

static uint64_t lost_of(const struct receiver *rx)
{
    const uint64_t expected = rx->started ? rx->highest - rx->first + 1 : 0;
    return expected > rx->received ? expected - rx->received : 0;
}

static void fill_block(struct receiver *rx, uint64_t now_us, struct chq_report *r)
{
    const uint64_t expected = rx->highest - rx->first + 1;
    const uint64_t recent = expected - rx->expected_before;
    const uint64_t came = rx->received - rx->received_before;
    rx->expected_before = expected;
    rx->received_before = rx->received;
    const uint64_t lost = lost_of(rx);
    if (came < recent)
        r->fraction_lost = (uint8_t)((recent - came) * 255 / recent);
    r->lost = lost > 0x7fffff ? 0x7fffff : (int32_t)lost;
    r->highest_sequence = (uint32_t)(rx->highest - SEQUENCE_BASE);
    r->jitter = (uint32_t)(rx->jitter_q4 >> 4);
    if (rx->report_known) {
        r->last_report = (uint32_t)(rx->report.ntp >> 16);
        r->delay_since_last_report = (uint32_t)(((now_us - rx->report_us) << 16) / 1000000);
    }
}

static enum chq_err send_report(
    struct chq_media *m, const struct chq_media_event *in, struct chq_media_actions *out)
{
    if (in->now_us < m->tx.report_at_us)
        return CHQ_OK;
    m->tx.report_at_us = in->now_us + CHQ_MEDIA_REPORT_US;
    /* The two times of a report name the same instant: now (RFC 3550 section 6.4.1). */
    const uint64_t since_us = in->wall_us - m->tx.captured_wall_us;
    struct chq_report r = {
        .ssrc = m->send_ssrc,
        .ntp = ntp_of(in->wall_us),
        .rtp_time = m->tx.timestamp + (uint32_t)(since_us * (CHQ_VOICE_RATE / 1000) / 1000),
        .packets = m->tx.packets,
        .octets = m->tx.octets,
    };
    if (m->rx.started) {
        r.about_ssrc = m->receive_ssrc;
        fill_block(&m->rx, in->now_us, &r);
    }
    struct chq_writer w = chq_writer_fixed(m->packet, sizeof m->packet);
    chq_report_write(&w, &r);
    CHQ_TRY(chq_writer_finish(&w));
    return protect(m, true, w.size, out);
}

static enum chq_err receive_report(struct chq_media *m, const struct chq_media_event *in, size_t size)
{
    struct chq_report r;
    CHQ_TRY(chq_report_read(chq_bytes(m->packet, size), &r));
    if (r.ssrc != m->receive_ssrc)
        return CHQ_MALFORMED;
    m->rx.report = r;
    m->rx.report_us = in->now_us;
    m->rx.report_known = true;
    if (r.about_ssrc != m->send_ssrc)
        return CHQ_OK;
    if (r.last_report != 0) {
        const uint32_t now = (uint32_t)(ntp_of(in->wall_us) >> 16);
        const uint32_t trip = now - r.last_report - r.delay_since_last_report;
        if (trip < 10u << 16) /* a stepped clock would show as hours */
            m->rx.round_trip_us = (uint32_t)(((uint64_t)trip * 1000000) >> 16);
    }
    m->tx.loss_permille = (m->tx.loss_permille + r.fraction_lost * 1000u / 256u) / 2;
    if (m->tx.loss_permille >= COPIES_ON_PERMILLE)
        m->tx.copies = true;
    else if (m->tx.loss_permille < COPIES_OFF_PERMILLE)
        m->tx.copies = false;
    chq_voice_encoder_set_copies(m->encoder, m->tx.copies);
    return CHQ_OK;
}

static void note_arrival(
    struct receiver *rx, const struct chq_media_event *in, uint64_t number, uint32_t timestamp)
{
    if (!rx->started) {
        rx->started = true;
        rx->first = rx->highest = number;
    } else {
        const uint64_t gap = in->now_us - rx->arrived_us;
        if (gap > rx->longest_gap_us)
            rx->longest_gap_us = gap > UINT32_MAX ? UINT32_MAX : (uint32_t)gap;
    }
    if (number > rx->highest)
        rx->highest = number;
    if (number < rx->first)
        rx->first = number;
    rx->arrived_us = in->now_us;
    /* Section A.8, with wrapping 32-bit times. */
    const uint32_t transit = (uint32_t)(in->now_us * (CHQ_VOICE_RATE / 1000) / 1000) - timestamp;
    if (rx->received > 0) {
        const int32_t change = (int32_t)(transit - (uint32_t)rx->previous_transit);
        const uint64_t size = change < 0 ? (uint64_t) - (int64_t)change : (uint64_t)change;
        rx->jitter_q4 += size;
        rx->jitter_q4 -= (rx->jitter_q4 + 8) >> 4;
    }
    rx->previous_transit = transit;
    rx->received++;
    if (rx->report_known) {
        const int32_t after = (int32_t)(timestamp - rx->report.rtp_time);
        const int64_t sent_us =
            ntp_to_wall_us(rx->report.ntp) + (int64_t)after * 1000 / (CHQ_VOICE_RATE / 1000);
        rx->one_way[rx->one_way_at] = (int64_t)in->wall_us - sent_us;
        rx->one_way_at = (rx->one_way_at + 1) % ONE_WAY_SAMPLES;
        if (rx->one_way_count < ONE_WAY_SAMPLES)
            rx->one_way_count++;
    }
}

static enum chq_err receive_voice(struct chq_media *m, const struct chq_media_event *in, size_t size)
{
    struct chq_rtp p;
    CHQ_TRY(chq_rtp_read(chq_bytes(m->packet, size), &p));
    if (p.payload_type != PAYLOAD_TYPE || p.extended || p.csrc_count > 0 || p.ssrc != m->receive_ssrc)
        return CHQ_MALFORMED;
    uint8_t first[CHQ_VOICE_PAYLOAD_BYTES];
    struct chq_voice_payload payload;
    CHQ_TRY(chq_voice_split(p.payload, first, &payload));
    uint64_t number = SEQUENCE_BASE + p.sequence;
    if (m->rx.started)
        number = m->rx.highest + (uint64_t)(int64_t)(int16_t)(uint16_t)(p.sequence - (uint16_t)m->rx.highest);
    if (number <= CHQ_JITTER_SLOTS + 1)
        return CHQ_MALFORMED;
    note_arrival(&m->rx, in, number, p.timestamp);
    /* The buffer's own view (late, double) is in its statistics; the packet itself was good. */
    (void)chq_jitter_put(&m->jitter, number, false, payload.frame, in->now_us);
    if (payload.previous.size > 0)
        (void)chq_jitter_put(&m->jitter, number - 1, true, payload.previous, in->now_us);
    return CHQ_OK;
}

static enum chq_err receive(struct chq_media *m, const struct chq_media_event *in)
{
    size_t size = in->datagram.size;
    const bool rtcp = chq_rtp_is_rtcp(in->datagram);
    enum chq_err err = CHQ_MALFORMED;
    if (size == (rtcp ? CHQ_MEDIA_REPORT_BYTES : CHQ_MEDIA_PACKET_BYTES)) {
        memcpy(m->packet, in->datagram.data, size);
        err = chq_srtp_unprotect(m->srtp, rtcp, m->packet, &size);
    }
    if (err == CHQ_OK)
        err = rtcp ? receive_report(m, in, size) : receive_voice(m, in, size);
    if (err != CHQ_OK)
        m->rx.refused++;
    else
        m->rx.bytes += in->datagram.size;
    return err;
}

/* Blend `from` into `to`, so that two frames take the time of one without a click. */
static void merge(const int16_t *from, int16_t *to)
{
    for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
        to[i] = (int16_t)((from[i] * (CHQ_VOICE_FRAME_SAMPLES - i) + to[i] * i) / CHQ_VOICE_FRAME_SAMPLES);
}

/* Below about -40 dB of full scale: a pause. */
static bool is_quiet(const int16_t *pcm)
{
    int64_t energy = 0;
    for (int i = 0; i < CHQ_VOICE_FRAME_SAMPLES; i++)
        energy += (int64_t)pcm[i] * pcm[i];
    return energy < (int64_t)QUIET_LEVEL * QUIET_LEVEL * CHQ_VOICE_FRAME_SAMPLES;
}

static void play(struct chq_media *m, uint64_t now_us, struct chq_media_actions *out)
{
    const struct chq_jitter_out next = chq_jitter_get(&m->jitter, now_us, is_quiet(m->pcm));
    out->play = m->pcm;
    switch (next.play) {
    case CHQ_JITTER_WAIT: memset(m->pcm, 0, sizeof m->pcm); break;
    case CHQ_JITTER_FRAME: (void)chq_voice_decode(m->decoder, next.frame[0], m->pcm); break;
    case CHQ_JITTER_CONCEAL:
    case CHQ_JITTER_HOLD: (void)chq_voice_decode(m->decoder, chq_bytes(NULL, 0), m->pcm); break;
    case CHQ_JITTER_MERGE:
        (void)chq_voice_decode(m->decoder, next.frame[0], m->other);
        (void)chq_voice_decode(m->decoder, next.frame[1], m->pcm);
        merge(m->other, m->pcm);
        break;
    }
    const bool concealed = next.play == CHQ_JITTER_CONCEAL || next.play == CHQ_JITTER_HOLD;
    m->concealed_in_a_row = concealed ? m->concealed_in_a_row + 1 : 0;
    if (m->concealed_in_a_row > SILENT_AFTER)
        memset(m->pcm, 0, sizeof m->pcm);
}

enum chq_err chq_media_step(
    struct chq_media *media, const struct chq_media_event *in, struct chq_media_actions *out)
{
    *out = (struct chq_media_actions){0};
    switch (in->type) {
    case CHQ_MEDIA_CAPTURED: return send_frame(media, in, out);
    case CHQ_MEDIA_RECEIVED: return receive(media, in);
    case CHQ_MEDIA_PLAY: play(media, in->now_us, out); return CHQ_OK;
    case CHQ_MEDIA_TIMEOUT: return send_report(media, in, out);
    }
    CHQ_ASSERT(!"media event");
    return CHQ_STATE;
}

uint64_t chq_media_deadline_us(const struct chq_media *media)
{
    return media->tx.report_at_us;
}

static int compare_delays(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void chq_media_stats(const struct chq_media *media, struct chq_media_stats *out)
{
    const struct chq_media *m = media;
    const struct chq_jitter_stats *j = &m->jitter.stats;
    *out = (struct chq_media_stats){
        .sent = m->sent,
        .received = m->rx.received,
        .lost = lost_of(&m->rx),
        .recovered = j->recovered,
        .late = j->late,
        .duplicate = j->duplicate,
        .concealed = j->concealed,
        .held = j->held,
        .merged = j->merged,
        .refused = m->rx.refused,
        .longest_gap_us = m->rx.longest_gap_us,
        .jitter_us = (uint32_t)((m->rx.jitter_q4 >> 4) * 1000 / (CHQ_VOICE_RATE / 1000)),
        .buffer_us = (uint32_t)chq_jitter_delay_us(&m->jitter),
        .round_trip_us = m->rx.round_trip_us,
        .one_way_known = m->rx.one_way_count > 0,
        .peer_loss_permille = m->tx.loss_permille,
        .copies = m->tx.copies,
        .bytes_sent = m->bytes_sent,
        .bytes_received = m->rx.bytes,
    };
    if (out->one_way_known) {
        int64_t sorted[ONE_WAY_SAMPLES];
        memcpy(sorted, m->rx.one_way, m->rx.one_way_count * sizeof *sorted);
        qsort(sorted, m->rx.one_way_count, sizeof *sorted, compare_delays);
        out->one_way_us = sorted[m->rx.one_way_count / 2];
    }
}
