/* SPDX-License-Identifier: Apache-2.0 */
/* No bytes that the validator has not signed may be believed, whatever they are. */
#include "core/base/assert.h"
#include "ledger/light/light.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chq_light *light;
    static const struct chq_validator validator = {.key = {0xd7, 0x5a, 0x98, 0x01}, .power = 1};
    const uint8_t key[32] = {0};
    struct chq_light_answer answer;
    if (light == NULL) {
        const struct chq_light_trust trust = {.chain_id = chq_bytes_text("t"),
            .validators = &validator,
            .validators_count = 1,
            .max_age_s = UINT32_MAX};
        CHQ_ASSERT(chq_light_new(&light, &trust) == CHQ_OK);
    }
    if (size == 0)
        return 0;
    enum chq_record_kind kind = (enum chq_record_kind)(1 + data[0] % CHQ_RECORD_KINDS);
    struct chq_bytes in = chq_bytes(data + 1, size - 1);
    CHQ_ASSERT(chq_light_verify_query(light, kind, key, in, 1000, &answer) != CHQ_OK);
    CHQ_ASSERT(answer.fault != CHQ_LIGHT_FINE && answer.reason[0] != '\0' && !answer.present);
    CHQ_ASSERT(chq_light_verify_header(light, in, 1000, &answer) != CHQ_OK);
    return 0;
}
