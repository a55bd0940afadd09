/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_RELAY_METER_CHANNEL_H
#define CHQ_RELAY_METER_CHANNEL_H

#include "relay/meter/meter.h"

/* One channel and the meter's state, private to relay/meter. */

#define CONNECTIONS_PER_CHANNEL_MAX 64

struct channel {
    struct chq_meter_row row; /* durable, but for carried_bytes: that is the gauge's */
    uint64_t pending_index; /* newest token, durable or about to be */
    uint8_t pending_token[32];
    struct chq_gauge gauge;
    uint64_t reserved_bytes; /* under way: put_reserved, deliveries, and debt */
    uint64_t put_reserved_bytes;
    uint64_t
        debt_bytes; /* served, but TURN was quicker to the last bytes of the limit: charged with the next token */
    uint64_t saved_carried_bytes;
    bool touched; /* messages moved since the last STORED */
    bool stopped; /* serves nothing more */
    uint64_t notice_bytes, notice_index, notice_ms;
    uint64_t unsettled_since_ms, retry_at_ms;
    uint64_t look_at_ms,
        looked_bytes; /* once more than this was carried, ask the ledger again from then on */
    bool stale; /* the ledger's last word is so old that newer tokens may be worth nothing */
    uint64_t stale_index; /* tokens up to this one count meanwhile */
    bool settling, alone, refreshing;
    uint64_t settling_index;
    uint8_t settling_token[32];
    uint32_t attached[CONNECTIONS_PER_CHANNEL_MAX];
    uint32_t attached_count;
};

struct meter_connection {
    uint32_t slots[CHQ_METER_CHANNELS_ATTACHED_MAX]; /* oldest first; the last one pays */
    uint32_t slots_count;
    uint64_t put_reserved_bytes, deliver_reserved_bytes;
};

struct meter_pending {
    enum chq_frame_type type; /* ATTACH or TOKEN */
    uint32_t connection, slot;
    uint64_t request_id, index;
    uint8_t token[32];
    bool fresh; /* ATTACH: the channel was not known before */
};

#define LIST(type)                                                                                           \
    struct {                                                                                                 \
        type *v;                                                                                             \
        size_t n, cap;                                                                                       \
    }

struct chq_meter {
    struct chq_meter_config config;
    struct channel **channels; /* by slot; NULL: free */
    uint32_t slots, slots_cap;
    struct meter_connection *connections;
    uint32_t attached_total;
    bool shutting_down, settle_in_flight;
    uint64_t now_s, now_ms, deadline_ms;
    LIST(struct meter_pending) pending;
    LIST(uint32_t) touched;
    LIST(struct channel *) buried; /* freed with the next step */
    LIST(struct chq_meter_record) persist;
    LIST(uint32_t) forget;
    LIST(struct chq_meter_send) send;
    LIST(struct chq_meter_settle) settle;
    LIST(uint32_t) refresh;
};

/* Grow a list's storage to `need` items. false: no memory, nothing changed. */
bool meter_reserve(void *list_v, size_t *cap, size_t need, size_t item);
#define RESERVE(list, more) meter_reserve(&(list).v, &(list).cap, (list).n + (more), sizeof *(list).v)

uint64_t channel_max_index(const struct channel *channel);
/* (t + 1) * Q within what chain and deposit pay. */
uint64_t channel_full_limit(const struct channel *channel);
/* What goes to disk: bytes charged and those whose charge is in the same transaction. */
uint64_t channel_carried_to_save(const struct channel *channel);
/* Let the gauge follow full limit and reservations; charge what is owed, now that there may be room. */
void channel_update_limit(struct channel *channel);
/* Serve nothing more. */
void channel_stop(struct channel *channel);
/* Take over what the ledger proved. */
void channel_take_record(struct channel *channel, const struct chq_channel_record *record);
bool channel_is_unsettled(const struct channel *channel);
/* Note that the ledger's word on the channel is fresh. */
void channel_was_looked_up(struct channel *channel, uint64_t now_ms);

/* meter.c, for settle.c */
struct chq_meter_record *meter_persist(
    struct chq_meter *meter, enum chq_meter_record_type type, struct channel *channel);
void meter_stop(struct chq_meter *meter, uint32_t slot);

/* settle.c */
void meter_on_settle_time(struct chq_meter *meter);
void meter_on_look_time(struct chq_meter *meter);
/* A new token is about to count: let it wait for a look at the ledger when the last one is too old. */
void meter_judge_token(struct chq_meter *meter, uint32_t slot);
void meter_on_settled(struct chq_meter *meter, enum chq_err err);
void meter_on_record(struct chq_meter *meter, const struct chq_meter_event *in);

#endif
