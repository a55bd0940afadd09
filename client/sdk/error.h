/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_CLIENT_SDK_ERROR_H
#define CHQ_CLIENT_SDK_ERROR_H

#include "client/sdk/include/chasqui.h"
#include "core/base/err.h"
#include "core/store/store.h"

/* What the failures of the parts below are for the app. */
enum chq_error chq_error_of_store(const struct chq_store_fault *fault);
/* `err` of an agent's notice about a command; `creating`: the command was to make the account. */
enum chq_error chq_error_of_notice(enum chq_err err, bool creating);

#endif
