/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/rtp.h"

#include <string.h>

#include "core/base/assert.h"
#include "core/base/limits.h"
#include "p2p/media/voice.h"

/* What reads must write back the same (plain packets and reports), and every view must lie inside the input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t storage[CHQ_RTP_BYTES_MAX];
    const struct chq_bytes in = chq_bytes(data, size);
    struct chq_rtp packet;
    if (chq_rtp_read(in, &packet) == CHQ_OK) {
        CHQ_ASSERT(packet.payload.size == 0 ||
                   (packet.payload.data >= data && packet.payload.data + packet.payload.size <= data + size));
        if (data[0] == 0x80) {
            struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
            chq_rtp_write(&w, &packet);
            CHQ_ASSERT(w.err == CHQ_OK && w.size == size && memcmp(storage, data, size) == 0);
        }
    }
    struct chq_report report;
    if (chq_report_read(in, &report) == CHQ_OK) {
        struct chq_writer w = chq_writer_fixed(storage, sizeof storage);
        chq_report_write(&w, &report);
        CHQ_ASSERT(w.err == CHQ_OK && w.size == size && memcmp(storage, data, size) == 0);
    }
    static struct chq_voice_decoder *decoder;
    if (decoder == NULL && chq_voice_decoder_new(&decoder) != CHQ_OK)
        return 0;
    uint8_t first[CHQ_VOICE_PAYLOAD_BYTES];
    int16_t pcm[CHQ_VOICE_FRAME_SAMPLES];
    struct chq_voice_payload payload;
    if (chq_voice_split(in, first, &payload) == CHQ_OK) {
        (void)chq_voice_decode(decoder, payload.previous, pcm);
        (void)chq_voice_decode(decoder, payload.frame, pcm);
    }
    return 0;
}
