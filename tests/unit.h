/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHQ_TESTS_UNIT_H
#define CHQ_TESTS_UNIT_H

/* cmocka wants these before it, in this order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
