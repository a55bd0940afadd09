/* SPDX-License-Identifier: Apache-2.0 */
#include "p2p/media/echo.h"

#include <speex/speex_echo.h>
#include <speex/speex_preprocess.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAIL_SAMPLES = CHQ_VOICE_RATE / 10, /* 100 ms */
    QUEUE = 8,
    QUEUE_KEEP = 2
};

struct chq_echo {
    SpeexEchoState *state;
    SpeexPreprocessState *preprocess;
    int16_t played[QUEUE][CHQ_VOICE_FRAME_SAMPLES];
    unsigned first, count;
};

enum chq_err chq_echo_new(struct chq_echo **out)
{
    *out = NULL;
    struct chq_echo *e = calloc(1, sizeof *e);
    if (e == NULL)
        return CHQ_NO_MEMORY;
    e->state = speex_echo_state_init(CHQ_VOICE_FRAME_SAMPLES, TAIL_SAMPLES);
    e->preprocess = speex_preprocess_state_init(CHQ_VOICE_FRAME_SAMPLES, CHQ_VOICE_RATE);
    if (e->state == NULL || e->preprocess == NULL) {
        chq_echo_free(e);
        return CHQ_NO_MEMORY;
    }
    int rate = CHQ_VOICE_RATE;
    (void)speex_echo_ctl(e->state, SPEEX_ECHO_SET_SAMPLING_RATE, &rate);
    (void)speex_preprocess_ctl(e->preprocess, SPEEX_PREPROCESS_SET_ECHO_STATE, e->state);
    *out = e;
    return CHQ_OK;
}

void chq_echo_free(struct chq_echo *echo)
{
    if (echo == NULL)
        return;
    if (echo->preprocess != NULL)
        speex_preprocess_state_destroy(echo->preprocess);
    if (echo->state != NULL)
        speex_echo_state_destroy(echo->state);
    free(echo);
}

void chq_echo_played(struct chq_echo *echo, const int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    if (echo->count == QUEUE) { /* the microphone stands still: keep what may still be heard */
        echo->first = (echo->first + QUEUE - QUEUE_KEEP) % QUEUE;
        echo->count = QUEUE_KEEP;
    }
    memcpy(echo->played[(echo->first + echo->count++) % QUEUE], pcm, sizeof *echo->played);
}

void chq_echo_captured(struct chq_echo *echo, int16_t pcm[CHQ_VOICE_FRAME_SAMPLES])
{
    static const int16_t silence[CHQ_VOICE_FRAME_SAMPLES];
    int16_t clean[CHQ_VOICE_FRAME_SAMPLES];
    const int16_t *far = silence;
    if (echo->count > 0) {
        far = echo->played[echo->first];
        echo->first = (echo->first + 1) % QUEUE;
        echo->count--;
    }
    speex_echo_cancellation(echo->state, pcm, far, clean);
    (void)speex_preprocess_run(echo->preprocess, clean);
    memcpy(pcm, clean, sizeof clean);
}
