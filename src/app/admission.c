// SPDX-License-Identifier: ISC
// Measuring and refusing; see admission.h. Everything here is under one lock, which is taken per
// call or allocation, never per packet.
#include "admission.h"

#include "base/log_kind.h"
#include "platform/load.h"
#include "platform/udp.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SAMPLE_LEAST (250 * USEC_PER_MSEC)
#define BUSY         0.1 // of the ceiling: from here on it is measured every second
#define CORES_MAX    256

static const struct timeval often = {.tv_sec = 1}, seldom = {.tv_sec = 10};

struct worker_totals {
    uint64_t busy; // counted by the worker
    struct load_thread thread;
    bool known; // 'thread'
};

struct totals { // of which the differences are taken
    usec_t at;
    uint64_t bytes, packets, missed, packets_of_turn;
    unsigned cores; // 0: unknown
    struct load_core core[CORES_MAX];
    struct worker_totals *worker; // owned; one each
};

struct admission {
    pthread_mutex_t lock;
    struct capacity capacity;
    struct workers *workers; // NULL: not yet
    admission_forwarded forwarded;
    void *forwarded_ctx;
    struct counters *counters;
    struct event *timer;
    struct totals last;
    uint64_t own_descriptors; // open when no call was
    double now_load;          // of the last sample
    bool refusing[CAPACITY_KINDS];
};

// ---- what is counted

static uint64_t sum(const struct admission *a, enum counter id)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < workers_count(a->workers); i++)
        total += counter_get(workers_counters(a->workers, i), id);
    return total;
}

static unsigned calls_running(const struct admission *a)
{
    static const enum counter gauges[] = {
        COUNTER_CALLS_SETUP,    COUNTER_CALLS_RINGING,    COUNTER_CALLS_ACTIVE,
        COUNTER_CHANNELS_SETUP, COUNTER_CHANNELS_RINGING, COUNTER_CHANNELS_ACTIVE,
        COUNTER_DIVERTED_SETUP, COUNTER_DIVERTED_RINGING, COUNTER_DIVERTED_ACTIVE};
    uint64_t running = 0;

    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        running += counter_get(a->counters, gauges[i]);
    return (unsigned)running;
}

static struct capacity_use use_now(const struct admission *a)
{
    unsigned allocations = (unsigned)sum(a, COUNTER_TURN_ALLOCATIONS);
    uint64_t ports = sum(a, COUNTER_PORTS_USED);

    return (struct capacity_use){
        .running = {calls_running(a), allocations},
        .measured = {(unsigned)counter_get(a->counters, COUNTER_CALLS_MEASURED), allocations},
        .ports_used = ports,
        .ports_free = sum(a, COUNTER_PORTS_FREE),
        .descriptors = a->own_descriptors + ports + sum(a, COUNTER_CONN_TCP) +
                       sum(a, COUNTER_CONN_TLS) + sum(a, COUNTER_TURN_PEER_CONNECTIONS),
    };
}

static uint64_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

// ---- measuring

// What could not be read this time is less than it was, and /proc may take a little back.
static uint64_t above(uint64_t least, uint64_t value)
{
    return value > least ? value - least : 0;
}

static void read_worker(const struct admission *a, unsigned i, struct worker_totals *ret_totals)
{
    pid_t thread = workers_thread(a->workers, i);

    ret_totals->busy = counter_get(workers_counters(a->workers, i), COUNTER_WORKER_BUSY_USEC);
    ret_totals->known = thread && load_thread(thread, &ret_totals->thread) == 0;
}

static void read_totals(const struct admission *a, usec_t now, struct totals *t)
{
    int cores = load_cores(t->core, CORES_MAX);
    struct admission_totals kernel = {0};

    // Who asks may say the time at which a burst began: what is counted now is of now.
    t->at = usec_now();
    if (t->at < now)
        t->at = now;
    t->bytes = sum(a, COUNTER_BYTES_OUT) + sum(a, COUNTER_CONN_BYTES_OUT) +
               sum(a, COUNTER_TURN_STREAM_TO_PEER_BYTES) +
               sum(a, COUNTER_TURN_STREAM_TO_CLIENT_BYTES);
    t->packets = sum(a, COUNTER_PACKETS_IN);
    if (a->forwarded)
        a->forwarded(a->forwarded_ctx, &kernel);
    t->packets += kernel.packets;
    t->bytes += kernel.bytes;
    t->missed = sum(a, COUNTER_DROP_OVERFLOW) + load_missed();
    // TURN learns at times only what the kernel has forwarded of it: a minute's packets at once.
    t->packets_of_turn = kernel.packets_of_turn + above(sum(a, COUNTER_TURN_BY_KERNEL_PACKETS),
                                                        sum(a, COUNTER_TURN_TO_PEER_PACKETS) +
                                                            sum(a, COUNTER_TURN_TO_CLIENT_PACKETS));
    t->cores = cores > 0 ? (unsigned)cores : 0;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

static struct load_share core_share(const struct totals *old, const struct totals *new,
                                    unsigned core)
{
    if (core >= old->cores || core >= new->cores)
        return (struct load_share){0};
    return load_share(&old->core[core], &new->core[core], new->at - old->at);
}

// Not idle: the greater of what the worker counted and what the scheduler says, which knows of the
// time in which it waited for a core. On top of that comes what interrupts take of its core, but no
// more than that core was busy in all.
static double worker_load(const struct totals *old, const struct totals *new,
                          const struct worker_totals *before, const struct worker_totals *after)
{
    double span = (double)(new->at - old->at);
    double load = (double)above(before->busy, after->busy) / span;

    if (after->known && before->known)
        load = most(load, (double)above(before->thread.awake, after->thread.awake) / span);
    if (after->known && after->thread.core >= 0) {
        struct load_share core = core_share(old, new, (unsigned)after->thread.core);
        double both = load + core.interrupts;

        load = most(load, both < core.busy ? both : core.busy);
    }
    return load;
}

// The kernel may forward by itself: then a core has work that no worker knows of.
static double busiest_core(const struct totals *old, const struct totals *new)
{
    double load = 0;

    for (unsigned i = 0; i < new->cores; i++)
        load = most(load, core_share(old, new, i).interrupts);
    return load;
}

static void sample(struct admission *a, const struct capacity_use *use, usec_t now)
{
    struct totals new, *old = &a->last;
    double load;

    if (now < old->at + SAMPLE_LEAST)
        return;
    read_totals(a, now, &new);
    load = busiest_core(old, &new);
    for (unsigned i = 0; i < workers_count(a->workers); i++) {
        struct worker_totals worker;

        read_worker(a, i, &worker);
        load = most(load, worker_load(old, &new, &old->worker[i], &worker));
        old->worker[i] = worker;
    }
    a->now_load = load < 1 ? load : 1;
    const struct capacity_sample s = {
        .span = new.at - old->at,
        .load = a->now_load,
        .bytes = above(old->bytes, new.bytes),
        .packets = above(old->packets, new.packets),
        .missed = above(old->missed, new.missed),
        .packets_of_turn = above(old->packets_of_turn, new.packets_of_turn),
    };
    capacity_measured(&a->capacity, &s, use);
    new.worker = old->worker;
    *old = new;
}

// ---- when to measure

static bool measures_anything(const struct admission *a)
{
    return a->capacity.limits.load > 0 || a->capacity.limits.bandwidth > 0;
}

static bool is_near(double used, double limit) // 0: there is no limit
{
    return limit > 0 && used > BUSY * limit;
}

// With the lock.
static void keep_measuring(struct admission *a, const struct capacity_use *use)
{
    const struct capacity *c = &a->capacity;
    bool busy = is_near(a->now_load, c->limits.load) || c->full[CAPACITY_LOAD] ||
                is_near(c->bandwidth.used, c->limits.bandwidth);

    if (measures_anything(a) && use->running[CAPACITY_CALL] + use->running[CAPACITY_ALLOCATION] > 0)
        event_add(a->timer, busy ? &often : &seldom);
}

// ---- refusing

static const struct {
    const char *what;
} kinds[CAPACITY_KINDS] = {
    [CAPACITY_CALL] = {"calls"},
    [CAPACITY_ALLOCATION] = {"TURN allocations"},
};

static const char *why(enum capacity_resource resource, enum capacity_kind kind)
{
    switch (resource) {
    case CAPACITY_NUMBER:
        return kind == CAPACITY_CALL ? "limits.calls is reached" : "limits.allocations is reached";
    case CAPACITY_LOAD:
        return "limits.load is reached";
    case CAPACITY_BANDWIDTH:
        return "limits.bandwidth is reached";
    case CAPACITY_PORTS:
        return "no port of relay.ports is free";
    case CAPACITY_DESCRIPTORS:
        return "no descriptor is left: raise LimitNOFILE";
    case CAPACITY_RESOURCES:
        break;
    }
    return "";
}

static void say_refusing(struct admission *a, enum capacity_kind kind, enum capacity_resource bound,
                         unsigned running)
{
    if (a->refusing[kind])
        return;
    a->refusing[kind] = true;
    log_kind(LOG_OVERLOAD,
             "overload: new %s are refused from now on: %s; %u running, load %.0f %%, "
             "%.1f Mbit/s",
             kinds[kind].what, why(bound, kind), running, 100 * a->capacity.load.used,
             a->capacity.bandwidth.used * 8 / 1e6);
}

// A little more than one must fit in, or it would be said with every call that ends.
static void say_admitting(struct admission *a, enum capacity_kind kind, unsigned room,
                          unsigned running)
{
    if (!a->refusing[kind] || room < 1 + running / 20)
        return;
    a->refusing[kind] = false;
    log_kind(LOG_OVERLOAD_OVER,
             "overload is over: new %s are taken again, there is room for %u; %u running",
             kinds[kind].what, room, running);
}

enum capacity_resource admission_ask(struct admission *a, enum capacity_kind kind, usec_t now)
{
    struct capacity_room room = {.bound = CAPACITY_RESOURCES, .now = CAPACITY_UNBOUNDED};

    pthread_mutex_lock(&a->lock);
    if (a->workers) {
        struct capacity_use use = use_now(a);

        // The TURN core counts an allocation before it asks.
        if (kind == CAPACITY_ALLOCATION && use.running[kind] > 0)
            use.running[kind]--;
        sample(a, &use, now);
        room = capacity_room(&a->capacity, kind, &use);
        if (room.now == 0)
            say_refusing(a, kind, room.bound, use.running[kind]);
        else
            say_admitting(a, kind, room.now, use.running[kind]);
        use.running[kind]++; // what asks
        if (!event_pending(a->timer, EV_TIMEOUT, NULL))
            keep_measuring(a, &use);
    }
    pthread_mutex_unlock(&a->lock);
    return room.now == 0 ? room.bound : CAPACITY_RESOURCES;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct admission *a = arg;

    (void)fd;
    (void)what;
    pthread_mutex_lock(&a->lock);
    if (a->workers) {
        struct capacity_use use = use_now(a);

        sample(a, &use, usec_now());
        for (int k = 0; k < CAPACITY_KINDS; k++)
            say_admitting(a, (enum capacity_kind)k,
                          capacity_room(&a->capacity, (enum capacity_kind)k, &use).now,
                          use.running[k]);
        keep_measuring(a, &use);
    }
    pthread_mutex_unlock(&a->lock);
}

// ---- showing

static void show(struct counters *counters, const struct admission_view *view)
{
    static const enum counter rows[CAPACITY_KINDS][CAPACITY_RESOURCES] = {
        {COUNTER_ROOM_CALLS_NUMBER, COUNTER_ROOM_CALLS_LOAD, COUNTER_ROOM_CALLS_BANDWIDTH,
         COUNTER_ROOM_CALLS_PORTS, COUNTER_ROOM_CALLS_DESCRIPTORS},
        {COUNTER_ROOM_TURN_NUMBER, COUNTER_ROOM_TURN_LOAD, COUNTER_ROOM_TURN_BANDWIDTH,
         COUNTER_ROOM_TURN_PORTS, COUNTER_ROOM_TURN_DESCRIPTORS},
    };
    static const enum counter least[CAPACITY_KINDS] = {COUNTER_ROOM_CALLS, COUNTER_ROOM_TURN};

    for (int k = 0; k < CAPACITY_KINDS; k++) {
        for (int r = 0; r < CAPACITY_RESOURCES; r++)
            counter_set(counters, rows[k][r], view->room[k].of[r]);
        counter_set(counters, least[k], view->room[k].least);
    }
    counter_set(counters, COUNTER_LOAD_PERCENT, (uint64_t)(100 * view->load + 0.5));
    counter_set(counters, COUNTER_BANDWIDTH, (uint64_t)(8 * view->bandwidth));
}

struct admission_view admission_view(struct admission *a, usec_t now)
{
    struct admission_view view = {0};

    pthread_mutex_lock(&a->lock);
    if (a->workers) {
        struct capacity_use use = use_now(a);

        sample(a, &use, now);
        for (int k = 0; k < CAPACITY_KINDS; k++)
            view.room[k] = capacity_room(&a->capacity, (enum capacity_kind)k, &use);
        view.load = a->capacity.load.used;
        view.ceiling = a->capacity.ceiling;
        view.bandwidth = a->capacity.bandwidth.used;
        show(a->counters, &view);
    }
    pthread_mutex_unlock(&a->lock);
    return view;
}

// ---- life

int admission_new(struct event_base *base, const struct capacity_limits *limits,
                  struct admission **ret_admission)
{
    struct admission *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    pthread_mutex_init(&a->lock, NULL);
    capacity_init(&a->capacity, limits);
    a->last.worker = calloc(limits->workers, sizeof *a->last.worker);
    a->timer = evtimer_new(base, on_timer, a);
    if (!a->last.worker || !a->timer) {
        admission_free(a);
        return -ENOMEM;
    }
    *ret_admission = a;
    return 0;
}

void admission_count(struct admission *a, admission_forwarded forwarded, void *ctx)
{
    a->forwarded = forwarded;
    a->forwarded_ctx = ctx;
}

void admission_watch(struct admission *a, struct workers *workers, struct counters *counters,
                     usec_t now)
{
    struct rlimit limit;

    pthread_mutex_lock(&a->lock);
    a->workers = workers;
    a->counters = counters;
    a->own_descriptors = 0;
    a->own_descriptors = above(use_now(a).descriptors, open_descriptors()); // calls may be kept
    a->capacity.limits.descriptors =
        getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                                 : UINT32_MAX;
    read_totals(a, now, &a->last);
    for (unsigned i = 0; i < workers_count(workers); i++)
        read_worker(a, i, &a->last.worker[i]);
    pthread_mutex_unlock(&a->lock);
}

void admission_set_limits(struct admission *a, const struct capacity_limits *limits)
{
    pthread_mutex_lock(&a->lock);
    capacity_set_limits(&a->capacity, limits);
    pthread_mutex_unlock(&a->lock);
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    if (a->timer)
        event_free(a->timer);
    free(a->last.worker);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
