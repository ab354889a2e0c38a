// SPDX-License-Identifier: ISC
// What one daemon leaves for the next, so that a restart drops no call: the spelling of values that
// the snapshots of relay, TURN and signalling share. A snapshot is JSON (jansson): objects with
// named members, so that versions differ in members and not in layout.
//
// How versions meet: a reader ignores members that it does not know, and takes the zero value (or
// the 'fallback') for one that is missing. A member that is there and is of the wrong type or out
// of range makes the whole object useless: 'wrong' names it. Whatever cannot be expressed so gets a
// new STATE_VERSION, and a reader takes STATE_VERSION and the one before it.
//
// Times are those of CLOCK_MONOTONIC, which goes on over a restart of the daemon: a snapshot is of
// use until the machine is restarted (it names the boot).
#pragma once

#include "base/addr.h"
#include "base/usec.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_VERSION 1

// A new object, of this version ("v"). Each writer sets a member of it; out of memory shows in
// state_complete() alone, which is asked once, at the end: false, and the object is of no use.
json_t *state_new(void);
void state_put_u64(json_t *object, const char *key, uint64_t value);
void state_put_bool(json_t *object, const char *key, bool value);
void state_put_text(json_t *object, const char *key, const char *value); // UTF-8; NULL: left out
void state_put_bytes(json_t *object, const char *key, const void *data, size_t len);
void state_put_addr(json_t *object, const char *key, const struct addr *addr); // NONE: left out
void state_put(json_t *object, const char *key, json_t *value); // takes the reference; NULL: broken
// At the end of the array of this name, which is made with its first item; so an empty one is left
// out. Takes the reference; NULL or an incomplete object: broken.
void state_append(json_t *object, const char *key, json_t *item);
bool state_complete(const json_t *object); // neither it nor anything put into it was lost

// Reads one object, of this version or the one before it.
struct state_reader {
    const json_t *object;
    const char *wrong; // the first member that made no sense; NULL: none
};

// NULL, not an object, or of another version: wrong from the start.
struct state_reader state_read(const json_t *object);
uint64_t state_u64(struct state_reader *reader, const char *key, uint64_t max);
bool state_bool(struct state_reader *reader, const char *key);
// Borrowed from the object; NULL if missing, or longer than max bytes (which is wrong).
const char *state_text(struct state_reader *reader, const char *key, size_t max);
// Into at most 'size' bytes. Returns how many; 0 if missing.
size_t state_bytes(struct state_reader *reader, const char *key, void *buf, size_t size);
struct addr state_addr(struct state_reader *reader, const char *key); // family NONE if missing
const json_t *state_array(struct state_reader *reader,
                          const char *key); // NULL if missing: no items
const json_t *state_object(struct state_reader *reader, const char *key); // NULL if missing
