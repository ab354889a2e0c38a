// SPDX-License-Identifier: ISC
// A TURN allocation as JSON (docs/OPERATING.md has the fields).
#pragma once

#include "obs/json.h"
#include "turn/turn.h"

// A new reference, or NULL when memory is out.
json_t *allocation_to_json(const struct turn_view *view, struct clock_offset clock, usec_t now);
