// SPDX-License-Identifier: ISC
// From verbs to the parts of the daemon; see admin.h.
#include "admin.h"

#include "admin_xmpp.h"
#include "base/log.h"
#include "base/log_kind.h"
#include "base/mask.h"
#include "platform/udp.h"
#include "signal/echo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define TOKEN_FIRST (UINT64_C(1) << 61) // of tokens that nobody else uses

struct kick { // waits for the workers
    LIST_ENTRY(kick) link;
    struct verb_reply reply;
    uint64_t token;
    unsigned waiting;
    unsigned calls, allocations;
    char user[];
};

struct admin {
    struct admin_parts parts;
    struct verbs *verbs;
    struct admin_xmpp *xmpp;
    struct control *control; // NULL: none
    struct event *drained;   // looks whether the last call is over
    bool ends;               // when it is
    LIST_HEAD(, kick) kicks; // owned
    uint64_t last_token;
};

unsigned admin_allocations(const struct admin *admin)
{
    const struct workers *workers = admin->parts.workers;
    uint64_t count = 0;

    for (unsigned i = 0; i < workers_count(workers); i++)
        count += counter_get(workers_counters(workers, i), COUNTER_TURN_ALLOCATIONS);
    return (unsigned)count;
}

// ---- status

static json_t *status(void *ctx)
{
    const struct admin *admin = ctx;
    const struct admin_parts *p = &admin->parts;
    json_t *json = p->status(p->ctx);

    json_object_set_new(json, "domain", json_string(p->config->xmpp.domain));
    return json;
}

static json_t *facts(void *ctx)
{
    const struct admin *admin = ctx;

    return admin->parts.facts(admin->parts.ctx);
}

// ---- kick

static void kick_answer(struct verb_reply reply, unsigned calls, unsigned allocations)
{
    if (calls + allocations == 0) {
        verb_fail(reply, "nobody of that name has a call or a TURN allocation here");
        return;
    }
    verb_answer(reply,
                json_pack("{s:i, s:i}", "calls", (int)calls, "allocations", (int)allocations));
}

static void kick_log(const char *user, unsigned calls, unsigned allocations)
{
    struct mask mask;

    if (calls + allocations > 0)
        log_kind(LOG_CALLS_KICKED,
                 "an administrator has ended %u calls and %u TURN allocations of %s", calls,
                 allocations, mask_jid(user, &mask));
}

static void kick_allocations(struct admin *admin, const char *user, unsigned calls,
                             struct verb_reply reply)
{
    struct kick *kick = calloc(1, sizeof *kick + strlen(user) + 1);

    if (!kick) {
        kick_log(user, calls, 0);
        verb_answer(reply, NULL);
        return;
    }
    *kick = (struct kick){.reply = reply,
                          .token = TOKEN_FIRST + ++admin->last_token,
                          .waiting = workers_count(admin->parts.workers),
                          .calls = calls};
    memcpy(kick->user, user, strlen(user) + 1);
    LIST_INSERT_HEAD(&admin->kicks, kick, link);
    int r = workers_end_user(admin->parts.workers, user, kick->token);
    if (r == 0)
        return;
    LIST_REMOVE(kick, link);
    free(kick);
    kick_log(user, calls, 0);
    if (r == -ENAMETOOLONG) // nobody's
        kick_answer(reply, calls, 0);
    else
        verb_answer(reply, NULL);
}

void admin_done(struct admin *admin, uint64_t token, int result)
{
    struct kick *kick;

    if (!admin)
        return;
    LIST_FOREACH (kick, &admin->kicks, link) {
        if (kick->token == token)
            break;
    }
    if (!kick)
        return;
    kick->allocations += (unsigned)result;
    if (--kick->waiting > 0)
        return;
    LIST_REMOVE(kick, link);
    kick_log(kick->user, kick->calls, kick->allocations);
    kick_answer(kick->reply, kick->calls, kick->allocations);
    free(kick);
}

static void kick(void *ctx, unsigned long long call, const char *user, struct verb_reply reply)
{
    struct admin *admin = ctx;
    const struct admin_parts *p = &admin->parts;
    unsigned calls = user ? signal_kick_user(p->signal, user, "gone", usec_now())
                          : signal_kick_call(p->signal, call, "gone", usec_now());
    bool client = user && strchr(user, '/'); // allocations are a user's, not a client's

    if (!user && calls > 0)
        log_kind(LOG_CALLS_KICKED, "an administrator has ended call %016llx", call);
    else if (client)
        kick_log(user, calls, 0);
    p->changed(p->ctx);
    if (!user && calls == 0)
        verb_fail(reply, "no such call is running");
    else if (!user || client)
        kick_answer(reply, calls, 0);
    else
        kick_allocations(admin, user, calls, reply);
}

// ---- drain

struct ages {
    usec_t *age; // owned
    size_t count, size;
    usec_t now;
};

static void add_age(void *ctx, const struct call_report *report)
{
    struct ages *ages = ctx;

    if (ages->count < ages->size)
        ages->age[ages->count++] = ages->now > report->opened ? ages->now - report->opened : 0;
}

static json_t *estimate(const struct admin *admin)
{
    size_t calls = signal_calls(admin->parts.signal);
    struct ages ages = {
        .age = calloc(calls + 1, sizeof *ages.age), .size = calls, .now = usec_now()};
    struct drain_estimate found;
    json_t *json;

    if (ages.age)
        signal_each_call(admin->parts.signal, add_age, &ages);
    if (ages.age && drain_estimate(admin->parts.history, ages.age, ages.count, &found))
        json = json_pack("{s:I, s:I}", "likely_s", (json_int_t)(found.likely / USEC_PER_SEC),
                         "nearly_sure_s", (json_int_t)(found.nearly_surely / USEC_PER_SEC));
    else
        json = json_null();
    free(ages.age);
    return json;
}

static void drain_answer(const struct admin *admin, struct verb_reply reply)
{
    verb_answer(reply, json_pack("{s:b, s:b, s:i, s:i, s:o}", "draining",
                                 (int)atomic_load(admin->parts.draining), "ends", admin->ends,
                                 "calls", (int)signal_calls(admin->parts.signal), "allocations",
                                 (int)admin_allocations(admin), "estimate", estimate(admin)));
}

// With 'ends' the daemon ends when the last one has.
static int set_drain(struct admin *admin, bool on, bool ends)
{
    static const struct timeval second = {.tv_sec = 1};
    const struct admin_parts *p = &admin->parts;
    int r = reload_point_elsewhere(p->reload, on);

    if (r < 0)
        return r;
    if (on)
        signal_drain(p->signal);
    else
        signal_undrain(p->signal);
    atomic_store(p->draining, on);
    admin->ends = on && ends;
    counter_set(p->counters, COUNTER_DRAINING, on);
    if (admin->ends)
        event_add(admin->drained, &second);
    else
        event_del(admin->drained);
    return 0;
}

static void drain(void *ctx, const char *mode, struct verb_reply reply)
{
    struct admin *admin = ctx;
    const struct admin_parts *p = &admin->parts;
    bool on = strcmp(mode, "off") != 0, ends = strcmp(mode, "on") == 0;

    if (set_drain(admin, on, ends) < 0) {
        verb_answer(reply, NULL);
        return;
    }
    if (on)
        log_kind(LOG_DRAINING,
                 "draining: new calls are refused; %u calls and %u TURN allocations are running%s",
                 signal_calls(p->signal), admin_allocations(admin),
                 ends ? ", the daemon ends after the last" : "");
    else
        log_kind(LOG_DRAINING, "draining is over: new calls are taken again");
    drain_answer(admin, reply);
    p->changed(p->ctx);
}

void admin_drain(struct admin *admin)
{
    if (set_drain(admin, true, true) < 0)
        log_kind(LOG_NO_MEMORY, "out of memory: clients are still told this relay");
}

static void on_drained(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval second = {.tv_sec = 1};
    struct admin *admin = arg;

    (void)fd;
    (void)what;
    if (signal_unfinished(admin->parts.signal) > 0 || signal_echo_calls(admin->parts.signal) > 0 ||
        admin_allocations(admin) > 0) {
        event_add(admin->drained, &second);
        return;
    }
    log_kind(LOG_DRAINING, "drained: the last call is over");
    admin->parts.drained(admin->parts.ctx);
}

// ---- the configuration

static void reload(void *ctx, struct verb_reply reply)
{
    const struct admin *admin = ctx;

    reload_run(admin->parts.reload, reply);
}

static void rotate(void *ctx, struct verb_reply reply)
{
    const struct admin *admin = ctx;

    reload_rotate(admin->parts.reload, reply);
}

static void hand_over(void *ctx, int connection)
{
    const struct admin *admin = ctx;

    admin->parts.hand_over(admin->parts.ctx, connection);
}

// ---- life

static unsigned on_allocations(void *ctx)
{
    return admin_allocations(ctx);
}

static int open_xmpp(struct admin *admin)
{
    const struct admin_xmpp_parts parts = {admin->parts.signal, admin->verbs, admin,
                                           on_allocations};

    return admin_xmpp_new(&parts, &admin->xmpp);
}

static int open_socket(struct admin *admin)
{
    const char *path = admin->parts.config->control.socket;
    int r;

    if (strcmp(path, "none") == 0)
        return 0;
    r = control_new(admin->parts.base, path, admin->verbs, admin->parts.counters, &admin->control);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        log_warning("control.socket = %s: jingle-relayctl cannot reach this daemon: %s", path,
                    r == -EADDRINUSE ? "another daemon has it" : strerror(-r));
    return 0;
}

int admin_new(const struct admin_parts *parts, struct admin **ret_admin)
{
    struct admin *admin = calloc(1, sizeof *admin);
    const struct verbs_world world = {
        .inquiry = parts->inquiry,
        .questions = parts->questions,
        .ctx = admin,
        .status = status,
        .facts = facts,
        .hand_over = parts->hand_over ? hand_over : NULL,
        .kick = kick,
        .drain = drain,
        .reload = reload,
        .rotate = rotate,
    };
    int r;

    if (!admin)
        return -ENOMEM;
    admin->parts = *parts;
    LIST_INIT(&admin->kicks);
    admin->drained = evtimer_new(parts->base, on_drained, admin);
    r = admin->drained ? verbs_new(&world, &admin->verbs) : -ENOMEM;
    if (r == 0)
        r = open_xmpp(admin);
    if (r == 0)
        r = open_socket(admin);
    if (r < 0) {
        admin_free(admin);
        return r;
    }
    *ret_admin = admin;
    return 0;
}

void admin_free(struct admin *admin)
{
    struct kick *kick;

    if (!admin)
        return;
    reload_forget(admin->parts.reload);
    while ((kick = LIST_FIRST(&admin->kicks))) {
        LIST_REMOVE(kick, link);
        free(kick);
    }
    verbs_free(admin->verbs);
    admin_xmpp_free(admin->xmpp);
    control_free(admin->control);
    if (admin->drained)
        event_free(admin->drained);
    free(admin);
}
