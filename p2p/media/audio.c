/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/audio.h"

#include "p2p/media/audio_backend.h"

const struct chq_audio_device *chq_audio_device(enum chq_audio_kind kind)
{
    switch (kind) {
    case CHQ_AUDIO_FILE: return &chq_audio_file;
    case CHQ_AUDIO_PULSE: return &chq_audio_pulse;
    case CHQ_AUDIO_NULL: break;
    }
    return &chq_audio_null;
}
