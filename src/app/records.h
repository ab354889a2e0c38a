// SPDX-License-Identifier: ISC
// Records of what is over, one JSON object per line, in a file (log.records): each call as
// /api/calls/ID tells it, and each TURN allocation. All times are absolute.
//
// A thread of its own opens and writes, so that a slow disk holds up nobody; what it cannot keep
// up with, or cannot write, is lost and counted.
#pragma once

#include "obs/json.h"
#include "turn/turn.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECORDS_WAITING_MAX = 8 << 20, // bytes
    RECORDS_LONGEST = 1 << 20,     // bytes of one
};

struct records;

// The path "none": nothing is written. A file that cannot be opened is logged, once. Returns 0 or
// -errno.
int records_new(const char *path, struct clock_offset clock, struct records **ret_records);
void records_free(struct records *records); // writes what waits; NULL is fine

// Opens the file again, or another one: after a rotation. Returns 0 or -errno.
int records_open(struct records *records, const char *path);

// From any thread; NULL records: nothing happens. 'whole' is the call as JSON, borrowed.
void records_call(struct records *records, const json_t *whole, usec_t opened, usec_t now);
void records_allocation(struct records *records, const struct turn_view *view, const char *reason,
                        usec_t now);

// So far, from any thread.
uint64_t records_written(const struct records *records);
uint64_t records_lost(const struct records *records);
