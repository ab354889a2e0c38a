// SPDX-License-Identifier: ISC
// The fast path as the daemon sees it. Workers put, read and take flows under one lock; the loop
// that it was made on hears of changes in the network, and finds the ways out anew, some at a time.
#include "platform/fastpath.h"

#include "fastpath_flow.h"
#include "fastpath_served.h"
#include "platform/udp.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOPBACK = 1,        // ifindex, in every network namespace
    RENEW_AT_ONCE = 64,  // ways out, between other events of the loop
    SETTLE_MSEC = 10,    // changes come in swarms
    SETTLE_FACTOR = 4,   // finding ways anew rests so much longer than it took
    REST_MSEC_MAX = 500, // but not more
    SWEEP_SEC = 10,      // path MTUs change without a word
};

struct fastpath {
    struct fast_kernel kernel;
    pthread_mutex_t lock; // guards 'served' and 'table'
    bool locks;           // the lock is there
    struct served served;
    struct flow_table table;
    int watch;
    struct event *on_watch, *on_settle, *on_sweep;
    bool changed;    // since ways out were last found anew
    usec_t renewing; // since when they are; 0: all are new
    usec_t pause;    // before it may begin again
};

// ---- changes in the network ----

static void arm(struct event *event, usec_t after)
{
    struct timeval when = {.tv_sec = (time_t)(after / USEC_PER_SEC),
                           .tv_usec = (suseconds_t)(after % USEC_PER_SEC)};

    event_add(event, &when);
}

static void note_change(struct fastpath *fastpath)
{
    fastpath->changed = true;
    if (!event_pending(fastpath->on_settle, EV_TIMEOUT, NULL))
        arm(fastpath->on_settle, fastpath->pause);
}

static void watch(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    net_drain(fd);
    note_change(arg);
}

static void begin_renewal(struct fastpath *fastpath, usec_t now)
{
    fastpath->changed = false;
    fastpath->renewing = now;
    if (flow_ways_changed(&fastpath->table) == 0)
        (void)served_refresh(&fastpath->served, &fastpath->kernel, fastpath->table.ask,
                             &fastpath->table.links);
}

static void end_renewal(struct fastpath *fastpath, usec_t now)
{
    usec_t pause = (now - fastpath->renewing) * SETTLE_FACTOR;

    if (pause < SETTLE_MSEC * USEC_PER_MSEC)
        pause = SETTLE_MSEC * USEC_PER_MSEC;
    if (pause > REST_MSEC_MAX * USEC_PER_MSEC)
        pause = REST_MSEC_MAX * USEC_PER_MSEC;
    fastpath->pause = pause;
    fastpath->renewing = 0;
    if (fastpath->changed)
        arm(fastpath->on_settle, fastpath->pause);
}

static void settle(evutil_socket_t fd, short what, void *arg)
{
    struct fastpath *fastpath = arg;
    bool more;

    (void)fd;
    (void)what;
    pthread_mutex_lock(&fastpath->lock);
    if (!fastpath->renewing)
        begin_renewal(fastpath, usec_now());
    more = flow_ways_renew(&fastpath->table, RENEW_AT_ONCE);
    pthread_mutex_unlock(&fastpath->lock);
    if (more)
        arm(fastpath->on_settle, 0);
    else
        end_renewal(fastpath, usec_now());
}

static void sweep(evutil_socket_t fd, short what, void *arg)
{
    struct fastpath *fastpath = arg;
    bool any;

    (void)fd;
    (void)what;
    pthread_mutex_lock(&fastpath->lock);
    flow_bury(&fastpath->table, usec_now());
    any = fastpath->table.count > 0;
    pthread_mutex_unlock(&fastpath->lock);
    if (any)
        note_change(fastpath);
}

// ---- made and unmade ----

// Whether this kernel has TCX at all is tried where no flow passes.
static int try_link(const struct fast_kernel *kernel, const char **ret_reason)
{
    int fd = fast_kernel_attach(kernel, LOOPBACK);

    if (fd < 0) {
        *ret_reason = fd == -EPERM ? "needs CAP_BPF and CAP_NET_ADMIN" : "needs Linux 6.6";
        return fd;
    }
    close(fd);
    return 0;
}

static int open_events(struct fastpath *fastpath, struct event_base *base)
{
    const struct timeval often = {.tv_sec = SWEEP_SEC};

    fastpath->on_watch = event_new(base, fastpath->watch, EV_READ | EV_PERSIST, watch, fastpath);
    fastpath->on_settle = evtimer_new(base, settle, fastpath);
    fastpath->on_sweep = event_new(base, -1, EV_PERSIST, sweep, fastpath);
    if (!fastpath->on_watch || !fastpath->on_settle || !fastpath->on_sweep ||
        event_add(fastpath->on_watch, NULL) < 0 || event_add(fastpath->on_sweep, &often) < 0)
        return -ENOMEM;
    return 0;
}

// The watch comes first, so that nothing changes unseen.
static int open_network(struct fastpath *fastpath, const struct fastpath_config *config)
{
    int rc = net_watch();

    if (rc < 0)
        return rc;
    fastpath->watch = rc;
    rc = flow_table_init(&fastpath->table, &fastpath->kernel, config->flows_max);
    if (rc == 0)
        rc = served_init(&fastpath->served, config->local, config->locals);
    if (rc == 0)
        rc = served_refresh(&fastpath->served, &fastpath->kernel, fastpath->table.ask,
                            &fastpath->table.links);
    return rc;
}

int fastpath_new(struct event_base *base, const struct fastpath_config *config,
                 struct fastpath **ret_fastpath, const char **ret_reason)
{
    struct fastpath *fastpath = calloc(1, sizeof *fastpath);
    const char *reason = "out of memory or descriptors";
    int rc = -ENOMEM;

    if (fastpath) {
        fastpath->watch = -1;
        fastpath->pause = SETTLE_MSEC * USEC_PER_MSEC;
        rc = -pthread_mutex_init(&fastpath->lock, NULL);
        fastpath->locks = rc == 0;
    }
    if (rc == 0)
        rc = fast_kernel_load(&fastpath->kernel, config->flows_max, &reason);
    if (rc == 0)
        rc = try_link(&fastpath->kernel, &reason);
    if (rc == 0)
        rc = open_network(fastpath, config);
    if (rc == 0)
        rc = open_events(fastpath, base);
    if (rc < 0) {
        fastpath_free(fastpath);
        *ret_reason = reason;
        return rc;
    }
    *ret_fastpath = fastpath;
    return 0;
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

void fastpath_free(struct fastpath *fastpath)
{
    if (!fastpath)
        return;
    free_event(fastpath->on_sweep);
    free_event(fastpath->on_settle);
    free_event(fastpath->on_watch);
    served_free(&fastpath->served);
    flow_table_free(&fastpath->table);
    fast_kernel_unload(&fastpath->kernel);
    if (fastpath->watch >= 0)
        close(fastpath->watch);
    if (fastpath->locks)
        pthread_mutex_destroy(&fastpath->lock);
    free(fastpath);
}

// ---- its users ----

static int io_put(void *ctx, const struct offload_flow *flow, const struct rtp_quality *quality,
                  unsigned qualities)
{
    struct fastpath *fastpath = ctx;
    int rc;

    pthread_mutex_lock(&fastpath->lock);
    rc = flow_put(&fastpath->table, flow, quality, qualities, usec_now());
    pthread_mutex_unlock(&fastpath->lock);
    return rc;
}

static int io_read(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report)
{
    const struct fastpath *fastpath = ctx;

    return flow_read(&fastpath->kernel, flow, ret_report);
}

static int io_take(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report)
{
    struct fastpath *fastpath = ctx;
    int rc;

    pthread_mutex_lock(&fastpath->lock);
    rc = flow_take(&fastpath->table, flow, ret_report, usec_now());
    pthread_mutex_unlock(&fastpath->lock);
    return rc;
}

struct offload_io fastpath_io(struct fastpath *fastpath)
{
    return (struct offload_io){.ctx = fastpath, .put = io_put, .read = io_read, .take = io_take};
}

unsigned fastpath_interfaces(const struct fastpath *fastpath)
{
    return fastpath->served.count;
}

void fastpath_totals(const struct fastpath *fastpath, struct fastpath_totals *ret_totals)
{
    struct fast_totals sum = {0};

    (void)fast_kernel_totals(&fastpath->kernel, &sum);
    *ret_totals = (struct fastpath_totals){
        .packets = sum.packets,
        .packets_of_turn = sum.packets_of_turn,
        .bytes = sum.bytes,
        .limited = sum.limited,
    };
    for (unsigned i = 0; i < FASTPATH_PASSED_COUNT; i++)
        (void)fast_kernel_passed(&fastpath->kernel, i, &ret_totals->passed[i]);
}
