// SPDX-License-Identifier: ISC
// How a struct is written into a snapshot (state.h) and read back: one row for each of its members
// that a successor needs. What is zero is left out, so that a snapshot says only what there is.
#pragma once

#include "codec/state.h"

#include <stddef.h>

enum state_kind {
    STATE_U8,
    STATE_U16,
    STATE_U32, // and enums
    STATE_U64,
    STATE_BOOL,
    STATE_INDEX, // int8_t, where -1 is none
    STATE_ADDR,
    STATE_BYTES, // an array of exactly max bytes
    STATE_PAST,  // usec_t: when something happened; 0: never
    STATE_LIVE,  // the same, as a sign of life: the time of the restart does not count
    STATE_UNTIL, // usec_t: a deadline, which the restart puts off; at most max from now
};

struct state_field {
    const char *key;
    size_t offset;
    enum state_kind kind;
    uint64_t max; // of numbers: the greatest that is possible; 0: what the type holds
};

struct state_clock {
    usec_t now;
    usec_t pause; // for so long nobody was there
};

void state_put_fields(json_t *object, const struct state_field *field, size_t fields,
                      const void *from);
// Times in the future, and deadlines too far in it, are brought back to what is possible; what else
// makes no sense is wrong. Members of the struct without a row keep what they have.
void state_get_fields(struct state_reader *reader, const struct state_field *field, size_t fields,
                      const struct state_clock *clock, void *to);
// How long the writer has been gone: it wrote at 'saved'.
struct state_clock state_clock(usec_t saved, usec_t now);
