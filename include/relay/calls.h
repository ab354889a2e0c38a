// SPDX-License-Identifier: ISC
// Calls as the main thread counts them: admission by quotas, states, and every timeout a call has.
// What a call says (Jingle, TURN) belongs to the layers above, which embed a struct call in their
// own session.
//
// States, and the only edges between them:
//     SETUP -> RINGING -> ACTIVE -> ENDED, and from each of them straight to ENDED.
// Timeouts: 'setup' from opening until the callee was asked; 'ring' from then until the answer;
// 'media' once packets were carried and then none pass on any path, 'idle' if none ever
// passed; 'duration' over all. After 'media' or 'idle', call_silent() starts the same wait anew.
#pragma once

#include "base/bucket.h"
#include "base/counter.h"
#include "base/histogram.h"
#include "base/map.h"
#include "base/timer.h"
#include "base/usec.h"
#include "codec/state.h"

#include <jansson.h>
#include <stdbool.h>

enum call_door {
    DOOR_ADDRESSED, // a Jingle session through a JID that stands for another
    DOOR_CHANNEL,   // XEP-0278: ports that one client has asked for
    DOOR_DIVERTED,  // a Jingle session whose stanzas a server hands over and sends on
    DOOR_COUNT,
};

enum call_state { CALL_NONE, CALL_SETUP, CALL_RINGING, CALL_ACTIVE, CALL_ENDED };

enum call_refusal {
    CALL_ADMITTED,
    CALL_REFUSED_TOTAL,    // limits.calls
    CALL_REFUSED_PER_USER, // limits.calls_per_user
    CALL_REFUSED_RATE,     // limits.new_calls_per_minute
    CALL_REFUSED_DRAIN,    // the daemon takes no new calls
    CALL_REFUSED_PORTS,    // no relay port is free
    CALL_REFUSED_MEMORY,
    CALL_REFUSED_LOAD,      // limits.load
    CALL_REFUSED_BANDWIDTH, // limits.bandwidth
    CALL_REFUSED_DESCRIPTORS,
};

enum call_timeout {
    CALL_TIMEOUT_SETUP,
    CALL_TIMEOUT_RING,
    CALL_TIMEOUT_MEDIA, // was carried, and has fallen silent
    CALL_TIMEOUT_IDLE,  // was never carried: the paths are not needed
    CALL_TIMEOUT_DURATION,
};

struct calls_limits {
    unsigned calls;                                                  // in all; 0 = no limit
    unsigned calls_per_user;                                         // at once; 0 = no limit
    unsigned new_calls_per_minute;                                   // per user; 0 = no limit
    usec_t setup_timeout, ring_timeout, media_timeout, idle_timeout; // 0 = never
    usec_t duration;                                                 // 0 = never
};

struct call_user; // one bare JID that has calls or opened some lately

struct call { // embedded in a session; owned by it
    uint64_t id;
    enum call_door door;
    enum call_state state;
    struct call_user *user;
    bool measured; // what it costs the relay has been seen: media, or that it needs no relay
    usec_t opened, accepted, first_media, silent_since; // 0: not yet
    struct timer timer;
    struct timer duration;
};

struct calls {
    struct calls_limits limits;
    struct timers timers;
    struct map users;
    unsigned count;
    bool draining;
    struct histogram setup;    // from opening to the first packet carried
    struct counters *counters; // borrowed
    void *ctx;
    // Has the whole daemon room for one more call? CALL_ADMITTED, or why not. NULL: it always has.
    enum call_refusal (*room)(void *ctx, usec_t now);
    // A timeout was met; the callee ends the call.
    void (*expired)(void *ctx, struct call *call, enum call_timeout timeout, usec_t now);
};

void calls_init(struct calls *calls, const struct calls_limits *limits, struct counters *counters,
                const uint8_t key[16]);
// Other limits from now on: for calls to come, and for what running ones wait for next. A user's
// allowance of new calls begins anew when its rate is another one.
void calls_set_limits(struct calls *calls, const struct calls_limits *limits, usec_t now);
void calls_free(struct calls *calls); // every call must have ended

// Takes one new call of this user out of the per-minute allowance; for a proposal before the call.
enum call_refusal calls_take_turn(struct calls *calls, const char *user, usec_t now);
struct call_opening {
    uint64_t id;
    enum call_door door;
    const char *user; // who opens it
    bool paid;        // its turn was taken at the proposal
};

// Opens a call. The refusal is counted.
enum call_refusal calls_open(struct calls *calls, struct call *call,
                             const struct call_opening *opening, usec_t now);
const char *call_refusal_text(enum call_refusal refusal);
// Whether it is about the whole daemon, which says so once, and not about this call or its user.
bool call_refusal_is_common(enum call_refusal refusal);
void calls_count_refusal(struct calls *calls, enum call_refusal refusal);

void call_ringing(struct calls *calls, struct call *call, usec_t now);
void call_accepted(struct calls *calls, struct call *call, usec_t now);
void call_media_seen(struct calls *calls, struct call *call, usec_t now);
void call_silent(struct calls *calls, struct call *call, usec_t now); // no path carries anything
void call_ended(struct calls *calls, struct call *call);              // harmless when ended already

// A restart that drops no call (codec/state.h): the member "users" tells who has opened calls and
// what is left of his allowance; the members of a call stand beside those of the session that
// embeds it. Calls are restored however many they are: limits are for new ones. What a call waits
// for it waits for as long again as nobody was there ('pause').
// 0, -ENOMEM or -EBADMSG (of users: those that make sense were taken).
void calls_save(const struct calls *calls, json_t *state);
int calls_restore(struct calls *calls, struct state_reader *state);
void call_save(const struct call *call, json_t *object); // a running one
int call_restore(struct calls *calls, struct call *call, struct state_reader *reader, usec_t pause);

const char *call_door_name(enum call_door door);
const char *call_state_name(enum call_state state);
usec_t calls_tick(struct calls *calls, usec_t now); // returns the next deadline
