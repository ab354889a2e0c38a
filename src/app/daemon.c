// SPDX-License-Identifier: ISC
// The wiring: component, signalling, workers and stats on one main loop. What is built up in
// daemon_start() is taken down in the opposite order in daemon_stop().
#include "daemon_internal.h"

#include "base/log_kind.h"
#include "call_line.h"
#include "config_use.h"
#include "descriptors.h"
#include "local_addr.h"
#include "platform/udp.h"
#include "privacy.h"
#include "status.h"

#include <errno.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

// ---- time

static struct clock_offset clock_offset(void)
{
    struct timespec wall;

    clock_gettime(CLOCK_REALTIME, &wall);
    return (struct clock_offset){(int64_t)wall.tv_sec * (int64_t)USEC_PER_SEC +
                                 wall.tv_nsec / 1000 - (int64_t)usec_now()};
}

// Asked for each time: the wall clock may be set while the daemon runs, after its start in
// particular.
static void tell_time(struct daemon *d)
{
    signal_set_clock(d->signal, clock_offset().usec);
}

static void tick(struct daemon *d)
{
    tell_time(d);
    counter_set(&d->counters, COUNTER_LOG_SUPPRESSED, log_suppressed());
    counter_set(&d->counters, COUNTER_RECORDS_WRITTEN, records_written(d->records));
    counter_set(&d->counters, COUNTER_RECORDS_LOST, records_lost(d->records));

    usec_t now = usec_now(), deadline = signal_tick(d->signal, now);
    usec_t delay = deadline > now ? deadline - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(delay / USEC_PER_SEC),
                         .tv_usec = (suseconds_t)(delay % USEC_PER_SEC)};

    if (deadline == USEC_NEVER)
        event_del(d->tick);
    else
        event_add(d->tick, &tv);
    if (d->stopping && signal_unfinished(d->signal) == 0)
        event_base_loopbreak(d->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tick(arg);
}

// ---- between the parts

static void on_stanza(void *ctx, const struct xml *stanza)
{
    struct daemon *d = ctx;

    if (questions_stanza(d->questions, stanza))
        return;
    tell_time(d);
    signal_stanza(d->signal, stanza, usec_now());
    tick(d);
}

static void on_component_state(void *ctx, enum component_state state)
{
    struct daemon *d = ctx;

    counter_set(&d->counters, COUNTER_COMPONENT_UP, state == COMPONENT_UP);
    if (state == COMPONENT_UP) {
        counter_add(&d->counters, COUNTER_COMPONENT_CONNECTS, 1);
        questions_connected(d->questions);
    }
    service_status(state == COMPONENT_UP ? "Connected to the XMPP server"
                                         : "Not connected to the XMPP server");
}

static int on_send(void *ctx, const struct xml *stanza)
{
    struct daemon *d = ctx;

    return d->component ? component_send(d->component, stanza) : -ENOTCONN;
}

static int on_order(void *ctx, const struct order *order)
{
    struct daemon *d = ctx;

    return workers_order(d->workers, order);
}

static enum call_refusal on_room(void *ctx, usec_t now)
{
    static const enum call_refusal refusals[] = {
        [CAPACITY_NUMBER] = CALL_REFUSED_TOTAL,
        [CAPACITY_LOAD] = CALL_REFUSED_LOAD,
        [CAPACITY_BANDWIDTH] = CALL_REFUSED_BANDWIDTH,
        [CAPACITY_PORTS] = CALL_REFUSED_PORTS,
        [CAPACITY_DESCRIPTORS] = CALL_REFUSED_DESCRIPTORS,
        [CAPACITY_RESOURCES] = CALL_ADMITTED,
    };
    const struct daemon *d = ctx;

    return refusals[admission_ask(d->admission, CAPACITY_CALL, now)];
}

// In a worker's thread.
static bool on_turn_room(void *ctx)
{
    struct daemon *d = ctx;

    return !atomic_load(&d->draining) &&
           admission_ask(d->admission, CAPACITY_ALLOCATION, usec_now()) == CAPACITY_RESOURCES;
}

static void on_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    if (getrandom(buf, len, 0) != (ssize_t)len) // never short up to 256 bytes
        abort();
}

static void on_relay_event(void *ctx, const struct relay_event *event)
{
    struct daemon *d = ctx;

    if (inquiry_event(d->inquiry, event))
        return;
    signal_event(d->signal, event, usec_now());
    tick(d);
}

static void on_turn_listing(void *ctx, const struct turn_listing *listing)
{
    const struct daemon *d = ctx;

    inquiry_turn(d->inquiry, listing);
}

static void on_echo_event(void *ctx, const struct echo_event *event)
{
    struct daemon *d = ctx;

    signal_echo_event(d->signal, event, usec_now());
    tick(d);
}

static int on_echo_open(void *ctx, uint64_t id, const struct media_terms *terms)
{
    struct daemon *d = ctx;

    return workers_echo(d->workers, id, terms);
}

static int on_echo_close(void *ctx, uint64_t id)
{
    struct daemon *d = ctx;

    return workers_echo(d->workers, id, NULL);
}

static void on_done(void *ctx, uint64_t token, int result)
{
    struct daemon *d = ctx;

    if (!reload_done(d->reload, token, result))
        admin_done(d->admin, token, result);
}

// The XMPP server's host, whenever its name is looked up.
static void on_server_address(void *ctx, const struct addr *addr)
{
    struct daemon *d = ctx;

    if (peers_deny(d->peers, addr) < 0)
        log_warning("the XMPP server has too many addresses: not all are kept from TURN clients");
}

static void on_call_ended(void *ctx, const struct call_report *report, usec_t now)
{
    struct daemon *d = ctx;

    call_line_log(report, now);
    drain_note(&d->history, report->ended > report->opened ? report->ended - report->opened : 0);
    inquiry_ended(d->inquiry, report, now);
}

// ---- signals

static void stop(struct daemon *d, bool drain)
{
    static const struct timeval report_time = {.tv_sec = 2}; // for the last figures of the calls

    service_stopping();
    signal_drain(d->signal);
    unsigned running = signal_calls(d->signal) + signal_echo_calls(d->signal);

    if (drain && !d->told && running + admin_allocations(d->admin) > 0) {
        log_kind(LOG_DRAINING,
                 "draining: %u calls and %u TURN allocations are running; a second signal ends "
                 "them",
                 running, admin_allocations(d->admin));
        admin_drain(d->admin);
    } else {
        log_kind(LOG_STOPPING, "stopping: %u calls are told", signal_calls(d->signal));
        signal_end_all(d->signal, "gone", usec_now());
        event_base_loopexit(d->base, &report_time);
        d->stopping = true;
    }
    d->told = true;
    tick(d);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct daemon *d = arg;

    (void)what;
    if (number == SIGHUP)
        reload_run(d->reload, (struct verb_reply){0});
    else if (number != SIGTERM || d->told || !service_restarting() || daemon_leave(d) < 0)
        stop(d, d->options->drain && number == SIGTERM);
}

// ---- start and stop

static unsigned worker_count(const struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return config_workers(config, cores > 0 ? (unsigned)cores : 1);
}

// What this daemon was left decides how many there are.
static int start_succession(struct daemon *d)
{
    int r = succession_open(d->config, d->options->take_over, &d->left);

    if (r == 0)
        d->worker_count = succession_workers(&d->left, worker_count(d->config));
    return r;
}

static int start_loop(struct daemon *d)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};

    (void)signal(SIGPIPE, SIG_IGN);
    d->base = evthread_use_pthreads() == 0 ? event_base_new() : NULL;
    d->dns = d->base ? evdns_base_new(d->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                                   EVDNS_BASE_DISABLE_WHEN_INACTIVE)
                     : NULL;
    // Without a usable resolv.conf an IP literal still works.
    if (d->base && !d->dns)
        d->dns = evdns_base_new(d->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    d->tick = d->base ? evtimer_new(d->base, on_tick, d) : NULL;
    if (!d->dns || !d->tick)
        return -ENOMEM;
    for (int i = 0; i < 3; i++) {
        d->signals[i] = evsignal_new(d->base, numbers[i], on_signal, d);
        if (!d->signals[i] || event_add(d->signals[i], NULL) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int start_peers(struct daemon *d)
{
    const struct config *c = d->config;
    const struct peers_config config = {
        .bind = {c->relay.address[0].addr, c->relay.address[1].addr},
        .advertise = {c->relay.advertise[0].addr, c->relay.advertise[1].addr},
        .allow = c->relay.allow_peers,
    };
    int r = peers_new(&config, &d->peers);

    if (r == 0 && c->stats.listen.family != FAMILY_NONE)
        r = peers_deny(d->peers, &c->stats.listen);
    return r < 0 ? r : own_hosts_new(d->base, d->peers, &d->own_hosts);
}

static void start_fastpath(struct daemon *d)
{
    if (d->fastpath)
        return;
    d->fastpath = fast_start(d->base, d->config);
    fast_late_bind(&d->fast, d->fastpath);
}

static int start_echo(struct daemon *d)
{
    int r = d->config->echo.enabled ? echo_identity_new(&d->echo) : 0;

    if (r == -EOPNOTSUPP)
        log_info("built without libsrtp2: there is no test partner (echo.enabled)");
    return r == -EOPNOTSUPP ? 0 : r;
}

static int start_workers(struct daemon *d)
{
    const struct relay_config relay = config_for_relay(d->config);
    const struct workers_handler handler = {d, on_relay_event, on_turn_listing, on_done,
                                            on_echo_event};
    struct workers_config config = {
        .count = d->worker_count,
        .relay = &relay,
        .peers = d->peers,
        .shared_port = config_shared_port(d->config),
        .records = d->records,
        .revival = succession_revival(&d->left),
        .echo = d->echo,
    };
    const struct capacity_limits limits = config_for_capacity(d->config, config.count);
    int r = admission_new(d->base, &limits, &d->admission);

    if (r == 0 && d->config->turn.enabled)
        r = turn_server_new(d->base, d->config, d->peers, config.count, &d->turn);
    if (r < 0)
        return r;
    if (d->turn)
        quota_ask(d->turn->quota, on_turn_room, d);
    if (d->turn && d->left.restart.root)
        r = restart_turn(&d->left.restart, d->config, d->turn, usec_now());
    if (r < 0)
        return r;
    config.turn = d->turn;
    const struct offload_io offload = fast_late_io(&d->fast);
    if (d->config->relay.fastpath != CONFIG_FASTPATH_OFF) {
        config.offload = &offload;
        admission_count(d->admission, fast_late_forwarded, &d->fast);
    }
    r = workers_new(d->base, &config, &handler, &d->workers);
    succession_heard(&d->left);
    if (r == 0)
        start_fastpath(d);
    if (r < 0)
        log_kind(LOG_CANNOT_START, "the forwarding threads cannot be started: %s", strerror(-r));
    return r;
}

static int set_echo(struct daemon *d)
{
    const struct echo_io io = {d, on_echo_open, on_echo_close};
    const struct echo_config config = {
        .fingerprint = echo_identity_fingerprint(d->echo),
        .calls = d->config->echo.calls,
        .duration = d->config->echo.duration,
    };

    return signal_set_echo(d->signal, &config, &io);
}

static int start_signal(struct daemon *d)
{
    struct config_services services;
    const struct signal_config config =
        config_for_signal(d->config, d->turn ? turn_server_secret(d->turn) : NULL, &services);
    const struct signal_io io = {d, on_send, on_order, on_random, on_call_ended, on_room};

    int r = signal_new(&config, &io, &d->counters, usec_now(), &d->signal);

    if (r == 0 && d->echo)
        r = set_echo(d);
    if (r == 0)
        succession_signal(&d->left, d->signal);
    return r;
}

static int start_inquiry(struct daemon *d)
{
    const struct inquiry_sources sources = {d->signal, d->workers, d->clock, d->base, d->records};

    return inquiry_new(&sources, &d->inquiry);
}

static struct stats_sources sources_of(struct daemon *d)
{
    return (struct stats_sources){d->signal,     d->workers,  d->inquiry,      d->admission,
                                  &d->counters,  d->fastpath, d->started,      d->clock,
                                  selftest_json, d->selftest, d->left.handover};
}

static int start_stats(struct daemon *d)
{
    const struct stats_sources sources = sources_of(d);
    char text[ADDR_TEXT_MAX];
    int r;

    if (d->config->stats.listen.family == FAMILY_NONE)
        return 0;
    r = stats_new(d->base, &d->config->stats.listen, &sources, &d->stats);
    if (r < 0)
        log_kind(LOG_NOT_LISTENING, "stats.listen = %s: %s",
                 addr_format(&d->config->stats.listen, text), strerror(-r));
    else
        log_kind(LOG_LISTENING, "stats at http://%s/", addr_format(&d->config->stats.listen, text));
    return r;
}

static int start_reload(struct daemon *d)
{
    const struct reload_parts parts = {
        .path = d->options->path,
        .config = d->config,
        .peers = d->peers,
        .admission = d->admission,
        .turn = &d->turn,
        .workers = d->workers,
        .signal = d->signal,
        .counters = &d->counters,
        .records = d->records,
        .find_address = local_addr_find,
    };

    return reload_new(&parts, &d->reload);
}

static void on_changed(void *ctx)
{
    tick(ctx);
}

static void on_drained(void *ctx)
{
    const struct daemon *d = ctx;

    service_stopping();
    event_base_loopexit(d->base, NULL);
}

static json_t *on_status(void *ctx)
{
    const struct stats_sources sources = sources_of(ctx);

    return status_to_json(&sources);
}

static int start_admin(struct daemon *d)
{
    const struct admin_parts parts = {
        .base = d->base,
        .config = d->config,
        .workers = d->workers,
        .signal = d->signal,
        .inquiry = d->inquiry,
        .questions = d->questions,
        .reload = d->reload,
        .history = &d->history,
        .draining = &d->draining,
        .counters = &d->counters,
        .ctx = d,
        .status = on_status,
        .facts = daemon_facts,
        .changed = on_changed,
        .drained = on_drained,
        .hand_over = daemon_hand_over,
    };

    return admin_new(&parts, &d->admin);
}

int daemon_start_component(struct daemon *d)
{
    const struct component_config config = {
        .domain = d->config->xmpp.domain,
        .secret = d->config->xmpp.secret,
        .server = d->config->xmpp.server,
        .port = (uint16_t)d->config->xmpp.port,
    };
    const struct component_handler handler = {d, on_stanza, on_component_state, on_server_address};

    return component_new(d->base, d->dns, &config, &handler, &d->component);
}

static int daemon_start(struct daemon *d)
{
    int r;

    r = privacy_start(d->config);
    if (r < 0)
        return r;
    descriptors_allow(config_descriptors(d->config, worker_count(d->config)));
    d->clock = clock_offset();
    d->started = usec_now();
    r = start_loop(d);
    if (r == 0)
        r = start_peers(d);
    // It takes a while: better while a daemon before this one still listens than while nobody does.
    if (r == 0 && d->options->take_over)
        start_fastpath(d);
    if (r == 0)
        r = start_succession(d);
    if (r == 0)
        r = start_echo(d);
    if (r == 0)
        r = records_new(d->config->log.records, d->clock, &d->records);
    if (r == 0)
        r = start_workers(d);
    if (r == 0)
        r = start_signal(d);
    if (r == 0)
        r = start_inquiry(d);
    if (r == 0)
        r = daemon_start_facts(d);
    if (r == 0)
        r = start_stats(d);
    if (r == 0)
        r = start_reload(d);
    if (r == 0)
        r = start_admin(d);
    if (r == 0)
        r = daemon_start_component(d);
    if (r == 0)
        d->watchdog = service_watchdog(d->base);
    if (r == 0)
        admission_watch(d->admission, d->workers, &d->counters, usec_now());
    if (r == 0)
        r = succession_done(&d->left, d->workers, &d->counters);
    return r;
}

static void daemon_stop(struct daemon *d)
{
    succession_abandon(&d->left, d->workers);
    if (d->watchdog)
        event_free(d->watchdog);
    if (d->component)
        component_free(d->component, DAEMON_FLUSH_TIME);
    d->component = NULL;
    stats_free(d->stats);
    admin_free(d->admin);
    d->admin = NULL;
    daemon_stop_facts(d);
    inquiry_free(d->inquiry);
    d->inquiry = NULL;
    signal_free(d->signal); // may have orders left for the workers
    workers_free(d->workers);
    echo_identity_free(d->echo);
    records_free(d->records);
    reload_free(d->reload);
    fastpath_free(d->fastpath);
    admission_free(d->admission);
    turn_server_free(d->turn);
    own_hosts_free(d->own_hosts);
    peers_free(d->peers);
    for (int i = 0; i < 3; i++) {
        if (d->signals[i])
            event_free(d->signals[i]);
    }
    if (d->tick)
        event_free(d->tick);
    if (d->dns)
        evdns_base_free(d->dns, 0);
    if (d->base)
        event_base_free(d->base);
}

int daemon_run(struct config *config, const struct daemon_options *options)
{
    struct daemon d = {
        .config = config,
        .options = options,
        .successor = -1,
        .left = {.connection = -1},
    };
    int r = daemon_start(&d);

    if (r == 0) {
        log_kind(LOG_STARTED,
                 "jingle-relayd " RELAYD_VERSION " started: component %s of %s port %u, %u workers",
                 config->xmpp.domain, config->xmpp.server, config->xmpp.port,
                 workers_count(d.workers));
        service_ready("Connecting to the XMPP server");
        event_base_dispatch(d.base);
    } else {
        log_kind(LOG_CANNOT_START, "cannot start: %s", strerror(-r));
    }
    daemon_stop(&d);
    return r == 0 ? 0 : 1;
}
