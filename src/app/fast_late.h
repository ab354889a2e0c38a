// SPDX-License-Identifier: ISC
// The kernel's fast path for workers that begin before it does: to load it takes a while, in which
// the calls of a daemon before this one are not to wait. Until then every flow stays with the
// cores, which ask again.
#pragma once

#include "platform/fastpath.h"
#include "relay/offload.h"

#include <stdatomic.h>

struct fast_late { // zeros: nothing yet
    _Atomic(struct fastpath *) target;
};

struct offload_io fast_late_io(struct fast_late *late);                 // borrows it
void fast_late_bind(struct fast_late *late, struct fastpath *fastpath); // once; may be NULL
// For admission_count(), with the struct as 'late'.
void fast_late_forwarded(void *late, uint64_t *ret_packets, uint64_t *ret_bytes);
