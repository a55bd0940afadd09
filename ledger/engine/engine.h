/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_ENGINE_ENGINE_H
#define CHQ_LEDGER_ENGINE_ENGINE_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/ledger_frame.h"
#include "ledger/engine/journal.h"

/*
 * What runs a state: takes batches, makes blocks, answers with proofs. The daemon knows this face only; the embedded
 * engine (embedded.h) is one of what can stand behind it. Time is an input; calls come from one thread.
 */
struct chq_engine;

/* What became of one submission. */
struct chq_engine_outcome {
    uint64_t ticket; /* the caller's own number for it */
    enum chq_err err; /* CHQ_OK: in a durable block */
    uint64_t height; /* of that block */
    const char *reason; /* for people; "" when fine; valid during the call */
};

struct chq_engine_outcomes {
    void (*outcome)(void *context, const struct chq_engine_outcome *outcome);
    void *context;
};

struct chq_engine_calls {
    enum chq_err (*submit)(
        struct chq_engine *engine, uint64_t ticket, struct chq_bytes signed_batch, char *reason);
    void (*query)(struct chq_engine *engine, const struct chq_ledger_request *request, uint64_t now_us,
        struct chq_writer *reply);
    bool (*tick)(struct chq_engine *engine, uint64_t now_us, const struct chq_engine_outcomes *outcomes);
    void (*close)(struct chq_engine *engine);
};

/* The head of every engine. */
struct chq_engine {
    const struct chq_engine_calls *calls;
};

/*
 * Queue a batch; the outcome comes from a later tick. CHQ_LIMIT: too much is waiting or it is too big; CHQ_IO: the
 * ledger is read-only after a disk error; then there is no outcome. `reason`: CHQ_ENGINE_REASON_BYTES.
 */
CHQ_MUST_CHECK static inline enum chq_err chq_engine_submit(
    struct chq_engine *engine, uint64_t ticket, struct chq_bytes signed_batch, char *reason)
{
    return engine->calls->submit(engine, ticket, signed_batch, reason);
}

/* Answer INFO or QUERY by appending the reply. */
static inline void chq_engine_query(struct chq_engine *engine, const struct chq_ledger_request *request,
    uint64_t now_us, struct chq_writer *reply)
{
    engine->calls->query(engine, request, now_us, reply);
}

/* Make a block of what waits and tell the outcomes. Return whether more is waiting: then tick again soon. */
static inline bool chq_engine_tick(
    struct chq_engine *engine, uint64_t now_us, const struct chq_engine_outcomes *outcomes)
{
    return engine->calls->tick(engine, now_us, outcomes);
}

/* Write down what is not written yet and free the engine. NULL is fine. */
static inline void chq_engine_close(struct chq_engine *engine)
{
    if (engine != NULL)
        engine->calls->close(engine);
}

#endif
