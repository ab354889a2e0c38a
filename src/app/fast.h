// SPDX-License-Identifier: ISC
// The kernel's fast path as the operator sees it: whether it is used, why not, and its figures.
#pragma once

#include "config.h"
#include "platform/fastpath.h"

// As relay.fastpath says. NULL: packets are forwarded by the daemon itself; the log says why.
struct fastpath *fast_start(struct event_base *base, const struct config *config);
// The figures of now. NULL: there is none.
void fast_count(const struct fastpath *fastpath, struct counters *counters);
