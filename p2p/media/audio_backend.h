/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_AUDIO_BACKEND_H
#define CHQ_P2P_MEDIA_AUDIO_BACKEND_H

#include "p2p/media/audio.h"

/* The devices that chq_audio_device chooses from. */
extern const struct chq_audio_device chq_audio_file, chq_audio_null, chq_audio_pulse;

#endif
