// SPDX-License-Identifier: ISC
// One member of a snapshot at a time is changed, to see what its reader makes of it.
#pragma once

#include <jansson.h>
#include <stdbool.h>

enum mutation {
    MUTATE_ADD,      // a member that nobody knows beside it
    MUTATE_REMOVE,   //
    MUTATE_TEXT,     // text in its place
    MUTATE_NEGATIVE, // -1
    MUTATE_GREAT,    // the greatest integer
    MUTATE_ARRAY,    // an array of an empty object
    MUTATE_NULL,
    MUTATIONS,
};

// The k-th member in the order of writing, of whatever object. False: there are not so many.
bool mutate(json_t *state, unsigned k, enum mutation how);
