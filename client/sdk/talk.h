/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_TALK_H
#define CHQ_CLIENT_SDK_TALK_H

#include "client/agent/agent.h"
#include "client/sdk/include/chasqui.h"

/*
 * The one call of a client: between the agent, which carries its signals and fetches TURN credentials, and the call object
 * of p2p. Everything runs in the worker's thread.
 */
struct chq_worker;
struct chq_talk;

struct chq_talk *chq_talk_new(struct chq_worker *worker);
/* Hang up, then free; NULL allowed. */
void chq_talk_free(struct chq_talk *talk);

/* A call signal came from a contact. */
void chq_talk_signal(struct chq_talk *talk, const struct chq_agent_notice *notice);
/* TURN credentials came, or an error. False: the notice is not about what a call asked for. */
bool chq_talk_turn(struct chq_talk *talk, const struct chq_agent_notice *notice);

enum chq_error chq_talk_sound(struct chq_talk *talk, const struct chq_sound *sound);
enum chq_error chq_talk_call(
    struct chq_talk *talk, const uint8_t account[32], const char *handle, uint8_t call_id[16]);
enum chq_error chq_talk_answer(struct chq_talk *talk, const uint8_t call_id[16]);
/* `call_id` NULL: whatever call there is. */
enum chq_error chq_talk_hangup(struct chq_talk *talk, const uint8_t *call_id);
enum chq_error chq_talk_report(struct chq_talk *talk, struct chq_call_report *out);

#endif
