/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that reads must be written so that it reads again to the same; one that does not must say why. */
#include "relay/daemon/config.h"
#include "core/base/assert.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chq_relay_config config, again;
    char error[CHQ_CONFIG_ERROR_BYTES];
    if (chq_relay_config_read(&config, chq_bytes(data, size), error) != CHQ_OK) {
        CHQ_ASSERT(error[0] != 0 && memchr(error, 0, sizeof error) != NULL);
        return 0;
    }
    struct chq_writer w = chq_writer_heap(8 * CHQ_CONFIG_BYTES_MAX);
    chq_relay_config_write(&w, &config);
    CHQ_ASSERT(chq_writer_finish(&w) == CHQ_OK);
    if (w.size <= CHQ_CONFIG_BYTES_MAX)
        CHQ_ASSERT(chq_relay_config_read(&again, chq_writer_bytes(&w), error) == CHQ_OK);
    chq_writer_free(&w);
    return 0;
}
