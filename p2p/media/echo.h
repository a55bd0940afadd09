/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_P2P_MEDIA_ECHO_H
#define CHQ_P2P_MEDIA_ECHO_H

#include "p2p/media/voice.h"

/* Echo cancelling by speexdsp, with its preprocessor linked to the echo state (residual echo and noise). */
struct chq_echo;

CHQ_MUST_CHECK enum chq_err chq_echo_new(struct chq_echo **out);
void chq_echo_free(struct chq_echo *echo);
/* Note a frame that goes to the loudspeaker. */
void chq_echo_played(struct chq_echo *echo, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES]);
/* Take the echo of what was played out of a captured frame, in place. */
void chq_echo_captured(struct chq_echo *echo, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES]);

#endif
