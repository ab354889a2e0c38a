// SPDX-License-Identifier: ISC
// What the files of the relay's snapshot share. state.c has the relay, its calls and paths,
// state_leg.c what every leg has, state_mode.c what only one mode has. Reading is careful about
// memory alone: whether a path makes sense is path_check()'s to say, in the end.
#pragma once

#include "internal.h"

#include "codec/state_field.h"

#define FIELDS(table) (table), sizeof(table) / sizeof(*(table))

// A new object of one row per member; incomplete without memory.
json_t *state_of(const struct state_field *field, size_t fields, const void *from);

// One path on its way back. 'no_memory' and 'path' are the outcome, besides the readers' own.
struct revival {
    struct relay *relay;
    struct state_clock clock;
    bool no_memory;
};

void leg_save(const struct path *path, enum side side, json_t *object);
// Returns false if it makes no sense, or without memory.
bool leg_restore(struct revival *revival, struct path *path, enum side side, const json_t *object);

void mode_save(const struct path *path, json_t *object); // of both sides together
bool mode_restore(const struct revival *revival, struct path *path, struct state_reader *reader);
void mode_save_leg(const struct path *path, enum side side, json_t *object);
bool mode_restore_leg(const struct revival *revival, struct path *path, enum side side,
                      struct state_reader *reader);
// Of one source, where a mode knows more of it than all do.
void mode_save_source(const struct path *path, enum side side, unsigned index, json_t *object);
void mode_restore_source(struct path *path, enum side side, unsigned index,
                         struct state_reader *reader);
