// SPDX-License-Identifier: ISC
// Admission, states and timeouts of calls; see relay/calls.h.
#include "relay/calls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define USER_IDLE (2 * 60 * USEC_PER_SEC) // after a turn the allowance is full again long before

struct call_user { // owned by calls.users
    struct map_node node;
    struct bucket turns;
    struct timer idle; // armed while it has no call
    usec_t last_turn;
    unsigned count; // of calls
    size_t len;
    char name[];
};

static const bool legal_edge[CALL_ENDED + 1][CALL_ENDED + 1] = {
    [CALL_NONE] = {[CALL_SETUP] = true},
    [CALL_SETUP] = {[CALL_RINGING] = true, [CALL_ENDED] = true},
    [CALL_RINGING] = {[CALL_ACTIVE] = true, [CALL_ENDED] = true},
    [CALL_ACTIVE] = {[CALL_ENDED] = true},
};

// How a door is named and counted. No gauge counts what has not begun or has ended.
static const struct {
    const char *name;
    enum counter opened, gauge[CALL_ENDED + 1];
} doors[DOOR_COUNT] = {
    [DOOR_ADDRESSED] = {"addressed",
                        COUNTER_CALLS_OPENED,
                        {COUNTER_COUNT, COUNTER_CALLS_SETUP, COUNTER_CALLS_RINGING,
                         COUNTER_CALLS_ACTIVE, COUNTER_COUNT}},
    [DOOR_CHANNEL] = {"channel",
                      COUNTER_CHANNELS_OPENED,
                      {COUNTER_COUNT, COUNTER_CHANNELS_SETUP, COUNTER_CHANNELS_RINGING,
                       COUNTER_CHANNELS_ACTIVE, COUNTER_COUNT}},
    [DOOR_DIVERTED] = {"diverted",
                       COUNTER_DIVERTED_OPENED,
                       {COUNTER_COUNT, COUNTER_DIVERTED_SETUP, COUNTER_DIVERTED_RINGING,
                        COUNTER_DIVERTED_ACTIVE, COUNTER_COUNT}},
};

const char *call_door_name(enum call_door door)
{
    return door < DOOR_COUNT ? doors[door].name : "unknown";
}

const char *call_state_name(enum call_state state)
{
    static const char *const names[] = {"none", "setup", "ringing", "active", "ended"};

    return state <= CALL_ENDED ? names[state] : "unknown";
}

static const struct {
    enum counter counter;
    const char *text;
} refusals[] = {
    [CALL_ADMITTED] = {COUNTER_COUNT, "admitted"},
    [CALL_REFUSED_TOTAL] = {COUNTER_CALLS_REFUSED_TOTAL, "limits.calls is reached"},
    [CALL_REFUSED_PER_USER] = {COUNTER_CALLS_REFUSED_PER_JID, "limits.calls_per_user is reached"},
    [CALL_REFUSED_RATE] = {COUNTER_CALLS_REFUSED_RATE, "limits.new_calls_per_minute is reached"},
    [CALL_REFUSED_DRAIN] = {COUNTER_CALLS_REFUSED_DRAIN, "the relay is being drained"},
    [CALL_REFUSED_PORTS] = {COUNTER_CALLS_REFUSED_PORTS, "no port of relay.ports is free"},
    [CALL_REFUSED_MEMORY] = {COUNTER_CALLS_REFUSED_MEMORY, "memory is exhausted"},
    [CALL_REFUSED_LOAD] = {COUNTER_CALLS_REFUSED_LOAD, "the relay is busy: limits.load is reached"},
    [CALL_REFUSED_BANDWIDTH] = {COUNTER_CALLS_REFUSED_BANDWIDTH, "limits.bandwidth is reached"},
    [CALL_REFUSED_DESCRIPTORS] = {COUNTER_CALLS_REFUSED_DESCRIPTORS, "no descriptor is left"},
};

const char *call_refusal_text(enum call_refusal refusal)
{
    return refusals[refusal].text;
}

bool call_refusal_is_common(enum call_refusal refusal)
{
    return refusal == CALL_REFUSED_TOTAL || refusal == CALL_REFUSED_DRAIN ||
           refusal == CALL_REFUSED_PORTS || refusal >= CALL_REFUSED_LOAD;
}

void calls_count_refusal(struct calls *calls, enum call_refusal refusal)
{
    if (refusals[refusal].counter != COUNTER_COUNT)
        counter_add(calls->counters, refusals[refusal].counter, 1);
}

static void adjust_gauge(struct calls *calls, const struct call *call, enum call_state state,
                         int by)
{
    enum counter gauge = doors[call->door].gauge[state];

    if (gauge != COUNTER_COUNT)
        counter_set(calls->counters, gauge,
                    counter_get(calls->counters, gauge) + (uint64_t)(int64_t)by);
}

// The one door for state changes.
static bool move(struct calls *calls, struct call *call, enum call_state to)
{
    assert(legal_edge[call->state][to]);
    if (!legal_edge[call->state][to])
        return false;
    adjust_gauge(calls, call, call->state, -1);
    adjust_gauge(calls, call, to, +1);
    call->state = to;
    return true;
}

// The one place where events become deadlines.
static void arm(struct calls *calls, struct timer *timer, usec_t delay, usec_t now)
{
    if (delay == 0)
        timer_cancel(&calls->timers, timer);
    else
        (void)timer_arm(&calls->timers, timer, now + delay); // room was reserved in calls_open()
}

static enum call_timeout state_timeout(const struct call *call)
{
    if (call->state == CALL_SETUP)
        return CALL_TIMEOUT_SETUP;
    if (call->state == CALL_RINGING)
        return CALL_TIMEOUT_RING;
    return call->first_media ? CALL_TIMEOUT_MEDIA : CALL_TIMEOUT_IDLE;
}

static void state_expired(struct timer *timer, void *ctx, usec_t now)
{
    struct calls *calls = ctx;
    struct call *call = container_of(timer, struct call, timer);

    call->silent_since = 0;
    calls->expired(calls->ctx, call, state_timeout(call), now);
}

static void duration_expired(struct timer *timer, void *ctx, usec_t now)
{
    struct calls *calls = ctx;

    calls->expired(calls->ctx, container_of(timer, struct call, duration), CALL_TIMEOUT_DURATION,
                   now);
}

static void user_free(struct calls *calls, struct call_user *user)
{
    timer_cancel(&calls->timers, &user->idle);
    map_remove(&calls->users, &user->node);
    free(user);
}

static void user_idle(struct timer *timer, void *ctx, usec_t now)
{
    struct call_user *user = container_of(timer, struct call_user, idle);

    (void)now;
    if (user->count == 0)
        user_free(ctx, user);
}

static struct call_user *user_get(struct calls *calls, const char *name, usec_t now)
{
    size_t len = strlen(name);
    uint64_t hash = map_hash(&calls->users, name, len), rate = calls->limits.new_calls_per_minute;
    struct call_user *user;

    for (struct map_node *n = map_first(&calls->users, hash); n; n = map_next(n)) {
        user = container_of(n, struct call_user, node);
        if (user->len == len && memcmp(user->name, name, len) == 0)
            return user;
    }
    user = calloc(1, sizeof *user + len + 1);
    if (!user)
        return NULL;
    user->len = len;
    user->last_turn = now;
    user->idle.fire = user_idle;
    memcpy(user->name, name, len);
    // Tokens are sixtieths of a call, so that a rate per minute is a whole number per second.
    bucket_init(&user->turns, rate, rate * 60, now);
    if (map_insert(&calls->users, &user->node, hash) < 0) {
        free(user);
        return NULL;
    }
    if (timer_arm(&calls->timers, &user->idle, now + USER_IDLE) < 0) {
        map_remove(&calls->users, &user->node);
        free(user);
        return NULL;
    }
    return user;
}

void calls_init(struct calls *calls, const struct calls_limits *limits, struct counters *counters,
                const uint8_t key[16])
{
    memset(calls, 0, sizeof *calls);
    calls->limits = *limits;
    calls->counters = counters;
    map_init(&calls->users, key);
}

void calls_set_limits(struct calls *calls, const struct calls_limits *limits, usec_t now)
{
    uint64_t rate = limits->new_calls_per_minute;
    bool other = rate != calls->limits.new_calls_per_minute;

    calls->limits = *limits;
    for (struct map_node *n = map_each(&calls->users, NULL); other && n;
         n = map_each(&calls->users, n))
        bucket_init(&container_of(n, struct call_user, node)->turns, rate, rate * 60, now);
}

void calls_free(struct calls *calls)
{
    struct map_node *node;

    assert(calls->count == 0);
    while ((node = map_each(&calls->users, NULL)))
        user_free(calls, container_of(node, struct call_user, node));
    map_free(&calls->users);
    timers_free(&calls->timers);
}

// What stands against any call, whoever opens it.
static enum call_refusal refuse_all(const struct calls *calls, usec_t now)
{
    enum call_refusal refusal = calls->room ? calls->room(calls->ctx, now) : CALL_ADMITTED;

    if (calls->draining)
        return CALL_REFUSED_DRAIN;
    if (refusal == CALL_ADMITTED && calls->limits.calls && calls->count >= calls->limits.calls)
        return CALL_REFUSED_TOTAL;
    return refusal;
}

static enum call_refusal take_turn(struct calls *calls, struct call_user *user, usec_t now)
{
    if (!bucket_take(&user->turns, 60, now))
        return CALL_REFUSED_RATE;
    user->last_turn = now;
    if (user->count == 0)
        (void)timer_arm(&calls->timers, &user->idle, now + USER_IDLE); // it is armed: cannot fail
    return CALL_ADMITTED;
}

enum call_refusal calls_take_turn(struct calls *calls, const char *name, usec_t now)
{
    struct call_user *user = user_get(calls, name, now);
    enum call_refusal refusal = user ? refuse_all(calls, now) : CALL_REFUSED_MEMORY;

    if (refusal == CALL_ADMITTED)
        refusal = take_turn(calls, user, now);
    calls_count_refusal(calls, refusal);
    return refusal;
}

// Two timers per call beside one per user: none of the later timer_arm() can fail.
static int reserve(struct calls *calls)
{
    return timers_reserve(&calls->timers, 2 * ((size_t)calls->count + 1) + calls->users.count);
}

static enum call_refusal admit(struct calls *calls, struct call_user *user, bool paid, usec_t now)
{
    const struct calls_limits *limits = &calls->limits;
    enum call_refusal refusal = refuse_all(calls, now);

    if (refusal != CALL_ADMITTED)
        return refusal;
    if (limits->calls_per_user && user->count >= limits->calls_per_user)
        return CALL_REFUSED_PER_USER;
    if (reserve(calls) < 0)
        return CALL_REFUSED_MEMORY;
    return paid ? CALL_ADMITTED : take_turn(calls, user, now);
}

enum call_refusal calls_open(struct calls *calls, struct call *call,
                             const struct call_opening *opening, usec_t now)
{
    struct call_user *user = user_get(calls, opening->user, now);
    enum call_refusal refusal = user ? admit(calls, user, opening->paid, now) : CALL_REFUSED_MEMORY;

    calls_count_refusal(calls, refusal);
    if (refusal != CALL_ADMITTED)
        return refusal;
    memset(call, 0, sizeof *call);
    call->id = opening->id;
    call->door = opening->door;
    call->opened = now;
    call->user = user;
    call->timer.fire = state_expired;
    call->duration.fire = duration_expired;
    user->count++;
    timer_cancel(&calls->timers, &user->idle);
    calls->count++;
    counter_add(calls->counters, doors[call->door].opened, 1);
    move(calls, call, CALL_SETUP);
    arm(calls, &call->timer, calls->limits.setup_timeout, now);
    arm(calls, &call->duration, calls->limits.duration, now);
    return CALL_ADMITTED;
}

void call_ringing(struct calls *calls, struct call *call, usec_t now)
{
    if (move(calls, call, CALL_RINGING))
        arm(calls, &call->timer, calls->limits.ring_timeout, now);
}

void call_accepted(struct calls *calls, struct call *call, usec_t now)
{
    if (!move(calls, call, CALL_ACTIVE))
        return;
    call->accepted = now;
    timer_cancel(&calls->timers, &call->timer);
}

static void set_measured(struct calls *calls, struct call *call, bool measured)
{
    if (call->measured == measured)
        return;
    call->measured = measured;
    counter_set(calls->counters, COUNTER_CALLS_MEASURED,
                counter_get(calls->counters, COUNTER_CALLS_MEASURED) + (measured ? 1 : UINT64_MAX));
}

void call_media_seen(struct calls *calls, struct call *call, usec_t now)
{
    if (!call->first_media) {
        call->first_media = now;
        histogram_add(&calls->setup, now - call->opened);
    }
    call->silent_since = 0;
    set_measured(calls, call, true);
    if (call->state == CALL_ACTIVE)
        timer_cancel(&calls->timers, &call->timer);
}

// The silence of a call that the relay never carried only says that it has a direct path.
void call_silent(struct calls *calls, struct call *call, usec_t now)
{
    const struct calls_limits *limits = &calls->limits;

    if (call->state != CALL_ACTIVE || call->silent_since)
        return;
    call->silent_since = now;
    set_measured(calls, call, true);
    arm(calls, &call->timer, call->first_media ? limits->media_timeout : limits->idle_timeout, now);
}

void call_ended(struct calls *calls, struct call *call)
{
    if (call->state == CALL_NONE || call->state == CALL_ENDED)
        return;
    move(calls, call, CALL_ENDED);
    set_measured(calls, call, false);
    timer_cancel(&calls->timers, &call->timer);
    timer_cancel(&calls->timers, &call->duration);
    calls->count--;
    // The user stays for as long as the allowance needs to fill up again.
    if (--call->user->count == 0)
        (void)timer_arm(&calls->timers, &call->user->idle, call->user->last_turn + USER_IDLE);
    call->user = NULL;
}

usec_t calls_tick(struct calls *calls, usec_t now)
{
    return timers_run(&calls->timers, calls, now);
}

// ---- a restart

#define USER_MAX 4096 // bytes of a name

void calls_save(const struct calls *calls, json_t *state)
{
    for (struct map_node *n = map_each(&calls->users, NULL); n; n = map_each(&calls->users, n)) {
        const struct call_user *user = container_of(n, struct call_user, node);
        json_t *object = state_new();

        state_put_text(object, "name", user->name);
        state_put_u64(object, "tokens", user->turns.tokens);
        state_put_u64(object, "filled", user->turns.last);
        state_put_u64(object, "last_turn", user->last_turn);
        state_append(state, "users", object);
    }
}

// Of what he had saved up he has at most as much as the limit gives him now.
static int user_restore(struct calls *calls, const json_t *object)
{
    struct state_reader reader = state_read(object);
    const char *name = state_text(&reader, "name", USER_MAX);
    uint64_t tokens = state_u64(&reader, "tokens", UINT64_MAX);
    usec_t filled = state_u64(&reader, "filled", USEC_NEVER);
    usec_t last_turn = state_u64(&reader, "last_turn", USEC_NEVER - USER_IDLE);
    struct call_user *user;

    if (reader.wrong || !name || !*name)
        return -EBADMSG;
    user = user_get(calls, name, last_turn);
    if (!user)
        return -ENOMEM;
    user->turns.last = filled;
    if (tokens < user->turns.tokens)
        user->turns.tokens = tokens;
    return 0;
}

int calls_restore(struct calls *calls, struct state_reader *state)
{
    const json_t *users = state_array(state, "users"), *object;
    size_t i;
    int r = 0;

    json_array_foreach(users, i, object)
    {
        int one = user_restore(calls, object);

        if (one == -ENOMEM)
            return one;
        r = r ? r : one;
    }
    return r;
}

static usec_t deadline(const struct timer *timer)
{
    return timer_armed(timer) ? timer->at : 0;
}

void call_save(const struct call *call, json_t *object)
{
    state_put_u64(object, "id", call->id);
    state_put_text(object, "door", call_door_name(call->door));
    state_put_text(object, "state", call_state_name(call->state));
    state_put_text(object, "user", call->user->name);
    state_put_bool(object, "measured", call->measured);
    state_put_u64(object, "opened", call->opened);
    state_put_u64(object, "accepted", call->accepted);
    state_put_u64(object, "first_media", call->first_media);
    state_put_u64(object, "silent_since", call->silent_since);
    state_put_u64(object, "due", deadline(&call->timer));
    state_put_u64(object, "ends", deadline(&call->duration));
}

static enum call_door door_named(const char *name)
{
    int door = 0;

    while (door < DOOR_COUNT && (!name || strcmp(doors[door].name, name) != 0))
        door++;
    return (enum call_door)door;
}

static enum call_state state_named(const char *name)
{
    int state = CALL_SETUP;

    while (state < CALL_ENDED &&
           (!name || strcmp(call_state_name((enum call_state)state), name) != 0))
        state++;
    return (enum call_state)state;
}

// Timers go into room that was reserved.
static void rearm(struct calls *calls, struct timer *timer, usec_t at, usec_t pause)
{
    if (at > 0)
        (void)timer_arm(&calls->timers, timer, at < USEC_NEVER - pause ? at + pause : USEC_NEVER);
}

int call_restore(struct calls *calls, struct call *call, struct state_reader *reader, usec_t pause)
{
    const char *name = state_text(reader, "user", USER_MAX);
    struct call read = {.id = state_u64(reader, "id", UINT64_MAX),
                        .door = door_named(state_text(reader, "door", USER_MAX)),
                        .state = state_named(state_text(reader, "state", USER_MAX)),
                        .opened = state_u64(reader, "opened", USEC_NEVER),
                        .accepted = state_u64(reader, "accepted", USEC_NEVER),
                        .first_media = state_u64(reader, "first_media", USEC_NEVER),
                        .silent_since = state_u64(reader, "silent_since", USEC_NEVER),
                        .timer.fire = state_expired,
                        .duration.fire = duration_expired};
    usec_t due = state_u64(reader, "due", USEC_NEVER), ends = state_u64(reader, "ends", USEC_NEVER);
    bool measured = state_bool(reader, "measured");

    if (reader->wrong || !name || !*name || read.id == 0 || read.door == DOOR_COUNT ||
        read.state == CALL_ENDED)
        return -EBADMSG;
    read.user = user_get(calls, name, read.opened);
    if (!read.user || reserve(calls) < 0)
        return -ENOMEM;
    *call = read;
    call->user->count++;
    timer_cancel(&calls->timers, &call->user->idle);
    calls->count++;
    adjust_gauge(calls, call, call->state, +1);
    set_measured(calls, call, measured);
    rearm(calls, &call->timer, due, pause);
    rearm(calls, &call->duration, ends, 0);
    return 0;
}
