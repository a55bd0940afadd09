/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/err.h"

const char *chq_err_string(enum chq_err err)
{
    switch (err) {
    case CHQ_OK: return "ok";
    case CHQ_AGAIN: return "not yet, try again";
    case CHQ_MALFORMED: return "malformed input";
    case CHQ_AUTH: return "authentication failed";
    case CHQ_LIMIT: return "limit exceeded";
    case CHQ_STATE: return "not possible in this state";
    case CHQ_NOT_FOUND: return "not found";
    case CHQ_EXISTS: return "exists already";
    case CHQ_PAYMENT: return "not paid for";
    case CHQ_NO_MEMORY: return "out of memory";
    case CHQ_IO: return "input/output failed";
    case CHQ_UNSUPPORTED: return "not supported";
    case CHQ_EXPIRED: return "expired";
    }
    return "unknown error";
}
