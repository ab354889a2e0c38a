// SPDX-License-Identifier: ISC
// Who watches: pages that are told once a second how the daemon does, and its calls as they change
// (server-sent events). Nothing is computed while nobody watches.
//
// Events, each with JSON (docs/OPERATING.md has the fields):
//     status  the daemon as a whole
//     calls   running calls that are new or have changed, and those that have ended
//     call    one call, whole; for who asked for it, instead of 'calls'
#pragma once

#include "platform/http.h"
#include "stats.h"

#define WATCHERS_MAX 16

struct watch;

// 'sources' is borrowed. Returns 0 or -ENOMEM.
int watch_new(struct event_base *base, const struct stats_sources *sources,
              struct watch **ret_watch);
void watch_free(struct watch *watch); // after http_free(); NULL is fine
// Takes the request. 'call' 0: all of them. Beyond WATCHERS_MAX it is answered with 503.
void watch_add(struct watch *watch, struct http_request *request, uint64_t call);
