/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CORE_BASE_LIMITS_H
#define CHQ_CORE_BASE_LIMITS_H

/* Every limit of Chasqui, by part. A parser checks these before it allocates. Units and bounds come last. */

/* core/wire */
#define CHQ_CBOR_DEPTH_MAX       16
#define CHQ_FRAME_BYTES_MAX      (64 * 1024) /* one WebSocket message, either way */
#define CHQ_TEXT_ERROR_BYTES_MAX 256 /* human text inside an ERROR frame */

/* core/identity */
#define CHQ_HANDLE_CHARS_MIN      2
#define CHQ_HANDLE_CHARS_MAX      32
#define CHQ_DEVICES_MAX           10
#define CHQ_HOME_RELAYS_MAX       3
#define CHQ_DEVICE_LIST_BYTES_MAX 4096
#define CHQ_RECOVERY_WORDS        24

/* core/session: libsignal's limits (rust/protocol/src/consts.rs) */
#define CHQ_SESSION_SKIPPED_KEYS_MAX 2000
#define CHQ_SESSION_FORWARD_JUMP_MAX 25000
#define CHQ_SESSION_REKEY_MESSAGES   50
#define CHQ_SESSION_REKEY_DAYS       7
#define CHQ_SESSION_SKIPPED_DAYS     30
#define CHQ_ENVELOPE_BYTES_MAX       16384 /* largest padding bucket: 256, 1024, 4096, 16384 */
#define CHQ_SESSION_CHAINS_MAX                                                                               \
    40 /* receiving chains remembered: what a relay holds back for 40 turns still opens */
#define CHQ_SESSION_RECENT_MAX      16 /* fingerprints kept per chain, to tell a clone from a replay */
#define CHQ_SESSION_STATE_BYTES_MAX (160 * 1024) /* one stored session */
#define CHQ_TEXT_BYTES_MAX          12288 /* one text message, UTF-8; bigger content goes as a file */
#define CHQ_RECEIPT_IDS_MAX         64
#define CHQ_ONE_TIME_PREKEYS_MAX    100

/* relay */
#define CHQ_QUEUE_MESSAGES_MAX        4096
#define CHQ_QUEUE_BYTES_MAX           (16 * 1024 * 1024)
#define CHQ_QUEUES_PER_CONNECTION_MAX 4096
#define CHQ_RETENTION_DAYS            30
#define CHQ_STUN_BYTES_MAX            1500

/* relay/turn */
#define CHQ_TURN_REALM_BYTES_MAX         8 /* so that a 401 is at most 1.5 times its request on the wire */
#define CHQ_TURN_USERNAME_BYTES_MAX      128
#define CHQ_TURN_PASSWORD_BYTES_MAX      128
#define CHQ_TURN_APPS_MAX                8 /* shared secrets of apps that make time-limited credentials */
#define CHQ_TURN_SECRET_BYTES_MIN        16 /* a shorter one can be guessed from any credential made with it */
#define CHQ_TURN_SECRET_BYTES_MAX        128
#define CHQ_TURN_PERMISSIONS_MAX         64 /* per allocation */
#define CHQ_TURN_CHANNELS_MAX            64 /* per allocation */
#define CHQ_TURN_ALLOWED_PREFIXES_MAX    32
#define CHQ_TURN_OWN_ADDRESSES_MAX       64
#define CHQ_TURN_LIFETIME_DEFAULT_S      600
#define CHQ_TURN_LIFETIME_MAX_S          3600
#define CHQ_TURN_PERMISSION_S            300
#define CHQ_TURN_CHANNEL_S               600
#define CHQ_TURN_CHANNEL_GRACE_S         300 /* an expired channel is kept from other peers this long */
#define CHQ_TURN_NONCE_S                 600
#define CHQ_TURN_RESERVATIONS_MAX        64
#define CHQ_TURN_STREAMS_MAX             1024 /* TCP and TLS connections */
#define CHQ_TURN_STREAMS_PER_ADDRESS_MAX 64 /* the same from one IPv4 address or IPv6 /64 */
#define CHQ_TURN_STREAM_HANDSHAKE_S      8 /* and up to two more until it is looked at */
#define CHQ_TURN_STREAM_IDLE_S           30 /* without an allocation */
#define CHQ_TURN_RESERVATION_S           30

/* p2p: calls */
#define CHQ_CALL_CANDIDATES_MAX         32 /* each way, host + server reflexive + relayed */
#define CHQ_CALL_CANDIDATE_CHARS_MAX    200
#define CHQ_CALL_CANDIDATES_PER_MESSAGE 8
#define CHQ_CALL_SIGNAL_BYTES_MAX       4096
#define CHQ_CALL_RING_SECONDS           60 /* offer unanswered */
#define CHQ_CALL_CONNECT_SECONDS        20 /* answered, no working path */
#define CHQ_CALL_OFFER_AGE_SECONDS      90 /* an older offer is a missed call */
#define CHQ_CALL_SILENT_SECONDS         5 /* no packet: the path is lost */
#define CHQ_CALL_LOST_SECONDS           15 /* lost, then ended */
#define CHQ_FRONT_FLOWS_MAX             4
#define CHQ_FRONT_DATAGRAM_BYTES_MAX    2048
#define CHQ_RTP_BYTES_MAX               1500

/* payment */
#define CHQ_QUANTUM_BYTES_DEFAULT          65536
#define CHQ_TOKENS_PER_CHANNEL_MAX         (1u << 20)
#define CHQ_TOKEN_STEPS_PER_SETTLEMENT_MAX 1024

/* ledger */
#define CHQ_CHAIN_ID_CHARS_MAX        50 /* CometBFT's MaxChainIDLen */
#define CHQ_BATCH_BYTES_MAX           (512 * 1024)
#define CHQ_BATCH_OPERATIONS_MAX      1024
#define CHQ_SETTLEMENTS_PER_BATCH_MAX 8190
#define CHQ_LEDGER_FRAME_BYTES_MAX    (1024 * 1024)
#define CHQ_PROOF_SIBLINGS_MAX        256
#define CHQ_MICROCREDIT_SUPPLY_MAX    INT64_C(4000000000000000000)
#define CHQ_VALIDATORS_MAX            150

/* core/crypto */
#define CHQ_MERKLE_PATH_MAX     32
#define CHQ_SPARSE_DEPTH_MAX    256
#define CHQ_PASSWORD_PASSES_MAX 32
#define CHQ_PASSWORD_BYTES_MAX  (1024u * 1024 * 1024)

/* core/wire */
#define CHQ_GENESIS_BYTES_MAX         (16 * 1024)
#define CHQ_CHANNEL_GRACE_S_MAX       (30 * 24 * 3600)
#define CHQ_STUN_PEERS_MAX            16 /* XOR-PEER-ADDRESS in one message */
#define CHQ_INVITATION_BYTES_MAX      8192 /* of the map */
#define CHQ_INVITATION_CHARACTERS_MAX (8 + (CHQ_INVITATION_BYTES_MAX * 4 + 2) / 3)
#define CHQ_INCEPTION_BYTES_MAX       256
#define CHQ_RELAY_RECORD_BYTES_MAX    512
#define CHQ_LEDGER_REASON_BYTES_MAX   256
#define CHQ_PROOF_BYTES_MAX           (16 * 1024)
#define CHQ_VALIDATOR_POWER_MAX       (UINT64_C(1) << 60) /* CometBFT's MaxTotalVotingPower is 2^63 / 8 */
#define CHQ_PREKEY_BUNDLE_BYTES_MAX   4096
#define CHQ_ONE_TIME_PREKEY_BYTES_MAX 2048
#define CHQ_FRAME_LEDGER_BYTES_MAX    (CHQ_FRAME_BYTES_MAX - 64) /* a ledger request or reply inside a frame */
#define CHQ_RECORD_VALUE_BYTES_MAX    CHQ_DEVICE_LIST_BYTES_MAX
#define CHQ_SIGNED_HEADER_BYTES_MAX   (32 * 1024)

/* core/session */
#define CHQ_SESSION_PLAIN_BYTES_MAX 13312 /* always fits an envelope, whatever is beside it */

/* core/store */
#define CHQ_STORE_TABLES_MAX     256
#define CHQ_STORE_ITEM_KEY_MAX   256
#define CHQ_STORE_ITEM_VALUE_MAX (4 * 1024 * 1024)

/* p2p/media */
#define CHQ_WAV_BYTES_MAX (128u << 20)

/* p2p/call */
#define CHQ_CALL_MOVES_MAX 8

/* relay/turn */
#define CHQ_TURN_LOCALS_MAX  64
#define CHQ_TURN_ACTIONS_MAX 128

/* relay/mailbox */
#define CHQ_DELIVER_UNACKNOWLEDGED_MAX 64

/* relay/meter */
#define CHQ_METER_QUANTUM_BYTES_MIN     65536 /* four envelopes: with less, both can stand still owing nothing */
#define CHQ_METER_QUANTUM_BYTES_MAX     UINT32_MAX
#define CHQ_METER_CHANNELS_ATTACHED_MAX 4 /* on one connection; a fifth lets go the oldest */

/* relay/daemon */
#define CHQ_CONFIG_BYTES_MAX        (64 * 1024)
#define CHQ_CONFIG_PEERS_MAX        CHQ_TURN_ALLOWED_PREFIXES_MAX
#define CHQ_CONFIG_STATIC_USERS_MAX 8
#define CHQ_CONFIG_SECRET_NAME_MAX  32

/* ledger/shard */
#define CHQ_SHARD_BITS_MAX 16

/* ledger/engine */
#define CHQ_BLOCK_BATCHES_MAX 4096
#define CHQ_BLOCK_BYTES_MAX   (16 * 1024 * 1024)

/* ledger/daemon */
#define CHQ_LEDGER_CONFIG_BYTES_MAX (16 * 1024)
#define CHQ_LEDGER_CLIENTS_MAX      256
#define CHQ_LEDGER_PIPELINE_MAX     64 /* unanswered batches of one client */

/* client/agent */
#define CHQ_AGENT_KEY_BYTES_MAX 48

/* client/sdk */
#define CHQ_WORKER_RELAYS_MAX 16

#endif
