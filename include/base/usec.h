// SPDX-License-Identifier: ISC
// Time as the whole project counts it: microseconds of a monotonic clock, always handed in as an
// argument. Only platform/ reads a clock.
#pragma once

#include <stdint.h>

typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC  ((usec_t)1000000)
#define USEC_NEVER    UINT64_MAX // "no deadline"
