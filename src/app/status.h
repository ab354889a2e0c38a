// SPDX-License-Identifier: ISC
// The daemon as a whole, as JSON (docs/OPERATING.md has the fields). What grows is told as totals
// with the time: who looks twice has the rates.
#pragma once

#include "stats.h"

// A new reference, or NULL when memory is out.
json_t *status_to_json(const struct stats_sources *sources);
// Room for more, by what bounds it.
json_t *status_capacity(struct admission *admission);
