/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_LEDGER_LIGHT_CANONICAL_H
#define CHQ_LEDGER_LIGHT_CANONICAL_H

#include "core/wire/header.h"
#include "core/wire/validator.h"

/*
 * The bytes that CometBFT v0.38 hashes and signs, written by hand: what is hashed must not hang on a code generator's
 * defaults. Protobuf with the fields in order and zero scalars left out; embedded messages that Go holds by value are
 * always there.
 */
#define CHQ_VOTE_SIGN_BYTES_MAX 256
#define CHQ_PRECOMMIT           2

/* Header.Hash: the list tree over the 14 fields. */
void chq_header_hash(uint8_t out[32], const struct chq_header *header);

/* Append VoteSignBytes: length-prefixed CanonicalVote. `block` with an empty hash is a vote for nil. */
void chq_vote_sign_bytes_put(struct chq_writer *w, unsigned type, uint64_t height, uint64_t round,
    const struct chq_block_id *block, struct chq_time time, struct chq_bytes chain_id);

/* The address of a validator: the first 20 bytes of SHA-256(key). */
void chq_validator_address(uint8_t out[CHQ_VALIDATOR_ADDRESS_BYTES], const uint8_t key[32]);

/* Put a set into CometBFT's order (power falling, then address rising) and return its total power. */
uint64_t chq_validators_sort(struct chq_validator *validators, size_t count);

/* ValidatorsHash of a set that chq_validators_sort has put in order. */
void chq_validators_hash(uint8_t out[32], const struct chq_validator *validators, size_t count);

/* LastCommitHash: the list tree over the commit's signatures (block_id_flag COMMIT). */
void chq_commit_hash(uint8_t out[32], const struct chq_vote *votes, size_t count);

/* ConsensusHash: SHA-256 of HashedParams {1: block max bytes, 2: block max gas}. */
void chq_consensus_hash(uint8_t out[32], int64_t block_bytes_max, int64_t block_gas_max);

#endif
