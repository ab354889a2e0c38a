// SPDX-License-Identifier: ISC
// Calls that are over, for an hour; when there are too many, those go first that went well.
#pragma once

#include "obs/json.h"

#define ENDED_MAX  500
#define ENDED_TIME (3600 * USEC_PER_SEC)

struct ended_calls;

// Returns 0 or -ENOMEM.
int ended_new(struct ended_calls **ret_ended);
void ended_free(struct ended_calls *ended); // NULL is fine

// 'line' as in a list, 'whole' with everything; both are taken. NULL, without memory, is fine.
void ended_add(struct ended_calls *ended, uint64_t id, enum call_health health, json_t *line,
               json_t *whole, usec_t now);
// New references; NULL: none is known, or there is no memory.
json_t *ended_find(const struct ended_calls *ended, uint64_t id, usec_t now);
// The lines, the latest first, of those that came after the serial number; 0: of all.
json_t *ended_list(const struct ended_calls *ended, uint64_t after, usec_t now);
uint64_t ended_serial(const struct ended_calls *ended); // of the latest
