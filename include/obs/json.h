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
