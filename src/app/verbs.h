// SPDX-License-Identifier: ISC
// What an administrator may ask of the running daemon or tell it: THE table of verbs. Who asks is
// no business of a verb: the control socket and ad-hoc commands over XMPP go the same way, and
// tables for people, completions and forms derive from the rows.
//
// An answer is JSON or an error for people, and may come later: some of what is asked the workers
// have to say.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct inquiry;
struct questions;
struct verbs;

#define VERB_ARGUMENTS_MAX 2

struct verb_argument { // a text
    const char *name;
    const char *help;
    const char *const *words; // what it may be, NULL at the end; NULL: anything
    bool required;
};

// Where the answer goes; a value. Exactly one of both is not NULL; 'result' is taken over.
struct verb_reply {
    void *ctx;
    void (*done)(void *ctx, json_t *result, const char *error);
};

struct verb {
    const char *name;
    const char *help; // what it does: a sentence
    struct verb_argument argument[VERB_ARGUMENTS_MAX];
    // Of the lists in its answer, for who shows them as a table ("initiator.jid"); NULL: no table.
    const char *const *columns;
    bool changes; // something; not only looks
    bool local;   // only by the control socket: secrets, descriptors
    // The whole connection is given to verbs_world.hand_over(); there is no run().
    bool takes_connection;
    void (*run)(struct verbs *verbs, const json_t *arguments, struct verb_reply reply);
};

extern const struct verb verb_rows[];
extern const size_t verb_count;

const struct verb *verb_find(const char *name); // NULL: there is none

// The daemon, as verbs see it. Functions that are NULL: this daemon cannot do that. 'reply' is
// answered once, at once or later.
struct verbs_world {
    struct inquiry *inquiry;     // borrowed
    struct questions *questions; // borrowed; NULL: nothing is asked of the XMPP server
    void *ctx;
    json_t *(*status)(void *ctx);
    json_t *(*facts)(void *ctx); // for "doctor" (facts.h)
    // One call by its number, or with 0 the calls of a user (bare or full JID), and his TURN
    // allocations. How many calls were ended is in the answer.
    void (*kick)(void *ctx, unsigned long long call, const char *user, struct verb_reply reply);
    void (*drain)(void *ctx, const char *mode, struct verb_reply reply);
    void (*reload)(void *ctx, struct verb_reply reply);
    void (*rotate)(void *ctx, struct verb_reply reply);
    void (*hand_over)(void *ctx, int connection); // takes the descriptor
};

// Returns 0 or -ENOMEM.
int verbs_new(const struct verbs_world *world, struct verbs **ret_verbs);
void verbs_free(struct verbs *verbs); // nobody is answered any more; before the inquiry
const struct verbs_world *verbs_world(const struct verbs *verbs);

// Checks the arguments (an object of texts, or NULL) by the row, and runs it.
void verbs_run(struct verbs *verbs, const struct verb *verb, const json_t *arguments,
               struct verb_reply reply);

void verb_fail(struct verb_reply reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void verb_answer(struct verb_reply reply, json_t *result); // NULL: memory is out
