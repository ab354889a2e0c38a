// SPDX-License-Identifier: ISC
// Calls as JSON, for the stats endpoint (docs/OPERATING.md has the fields).
#pragma once

#include "obs/report.h"

#include <jansson.h>

struct clock_offset { // wall-clock microseconds since 1970 minus monotonic ones
    int64_t usec;
};

// A new reference, or NULL when memory is out. 'whole': with contents, legs and sources; otherwise
// the line of a list.
json_t *call_to_json(const struct call_report *report, bool whole, struct clock_offset clock,
                     usec_t now);

// For other views: new references, or NULL. RFC 3339 in UTC with milliseconds, null for 0 ("not
// yet"); an address with its port, null for none.
json_t *json_time(usec_t at, struct clock_offset clock);
json_t *json_addr(const struct addr *addr);
json_t *json_own_addr(const struct addr *addr); // of this machine: never masked (base/mask.h)
json_t *json_jid(const char *jid);
