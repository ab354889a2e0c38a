// SPDX-License-Identifier: ISC
// The kernel's fast path for workers that begin before it does: to load it takes a while, in which
// the calls of a daemon before this one are not to wait. Until then, and where there is none, every
// flow stays with the cores (-EOPNOTSUPP), which ask again.
#pragma once

#include "admission.h"
#include "platform/fastpath.h"
#include "relay/offload.h"

#include <stdatomic.h>

struct fast_late { // zeros: nothing yet
    _Atomic(struct fastpath *) target;
};

struct offload_io fast_late_io(struct fast_late *late);                 // borrows it
void fast_late_bind(struct fast_late *late, struct fastpath *fastpath); // once; may be NULL
// For admission_count(), with the struct as 'late'.
void fast_late_forwarded(void *late, struct admission_totals *ret_totals);
