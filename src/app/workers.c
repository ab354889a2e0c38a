// SPDX-License-Identifier: ISC
// Threads around the core; see workers.h.
#include "workers_internal.h"

#include "base/log_kind.h"
#include "platform/load.h"
#include "platform/udp.h"
#include "turn_listing.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LETTERS_MAX 2048 // of one worker's, that wait

struct report { // from a worker
    struct relay_event event;
    struct path_view *view;       // owned: the copy that event.u.view points to
    struct turn_listing *listing; // owned; then there is no event
    uint64_t unlisted;            // token of a listing for which there was no memory; 0: none
    struct echo_event *echo;      // owned; then there is no event
    uint64_t done;                // token of what is done, with this result; 0: something else
    int result;
};

// ---- in the worker's thread

static void arm(struct worker *worker, usec_t deadline, usec_t now)
{
    usec_t delay = deadline > now ? deadline - now : 0;
    struct timeval tv = {.tv_sec = (time_t)(delay / USEC_PER_SEC),
                         .tv_usec = (suseconds_t)(delay % USEC_PER_SEC)};

    if (deadline == worker->armed)
        return;
    worker->armed = deadline;
    if (deadline == USEC_NEVER)
        event_del(worker->tick);
    else
        event_add(worker->tick, &tv);
}

void worker_tick(struct worker *worker, usec_t now)
{
    usec_t relay = relay_tick(worker->relay, now);
    usec_t turn = worker->turn ? turn_worker_tick(worker->turn, now) : USEC_NEVER;

    usec_t echo = worker->echo ? echo_worker_tick(worker->echo, now) : USEC_NEVER;

    if (echo < turn)
        turn = echo;
    arm(worker, relay < turn ? relay : turn, now);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;

    (void)fd;
    (void)what;
    worker->armed = 0; // it has fired
    worker_tick(worker, usec_now());
}

static void take_letter(struct worker *worker, struct turn_letter letter, usec_t now)
{
    if (worker->turn && !worker->closing)
        turn_worker_take(worker->turn, &letter, now);
    else
        turn_letter_free(&letter);
}

static void list_turn(struct worker *worker, const struct message *question, usec_t now)
{
    struct report report = {.listing = turn_listing_new(worker->turn, question->token, now)};

    if (!report.listing)
        report.unlisted = question->token;
    mailbox_post_sure(worker->workers->events, question->answer, &report);
}

static void take_order(struct worker *worker, const struct message *message, usec_t now)
{
    worker->answer = message->answer;
    relay_order(worker->relay, &message->u.order, now);
    mailbox_slot_free(worker->answer);
    worker->answer = NULL;
}

static void tell_done(struct worker *worker, const struct message *question, int result)
{
    const struct report report = {.done = question->token, .result = result};

    mailbox_post_sure(worker->workers->events, question->answer, &report);
}

static int renew(struct worker *worker, const struct workers_renewal *renewal, usec_t now)
{
    int r = 0;

    relay_set_limits(worker->relay, &renewal->limits, &renewal->allow);
    if (worker->turn && renewal->turn)
        r = turn_worker_renew(worker->turn, renewal->turn, now);
    return r;
}

static int end_user(struct worker *worker, const char *identity, usec_t now)
{
    return worker->turn ? (int)turn_worker_end_user(worker->turn, identity, now) : 0;
}

static void take_echo(struct worker *worker, uint64_t id, struct media_terms *terms, usec_t now)
{
    if (worker->echo && !worker->closing && terms)
        echo_worker_open(worker->echo, id, terms, now);
    else if (worker->echo && !worker->closing)
        echo_worker_close(worker->echo, id, now);
    free(terms);
}

static void on_echo_event(void *ctx, const struct echo_event *event)
{
    struct worker *worker = ctx;
    struct report report = {.echo = malloc(sizeof *event)};

    if (!report.echo)
        return;
    *report.echo = *event;
    if (mailbox_post(worker->workers->events, &report) < 0)
        free(report.echo);
}

static void take_message(void *ctx, const void *item)
{
    const struct message *message = item;
    struct worker *worker = ctx;
    usec_t now = usec_now();

    if (worker->closing && message->kind != MESSAGE_LETTER && message->kind != MESSAGE_ECHO) {
        mailbox_slot_free(message->answer);
        return;
    }
    switch (message->kind) {
    case MESSAGE_ORDER:
        take_order(worker, message, now);
        break;
    case MESSAGE_LETTER:
        take_letter(worker, message->u.letter, now);
        break;
    case MESSAGE_LIST_TURN:
        list_turn(worker, message, now);
        break;
    case MESSAGE_RENEW:
        tell_done(worker, message, renew(worker, &message->u.renewal, now));
        break;
    case MESSAGE_END_USER:
        tell_done(worker, message, end_user(worker, message->u.identity, now));
        break;
    case MESSAGE_ECHO:
        take_echo(worker, message->u.echo.id, message->u.echo.terms, now);
        break;
    case MESSAGE_STOP:
        event_base_loopbreak(worker->base);
        return;
    }
    if (!worker->closing)
        worker_tick(worker, now);
    counter_add(&worker->counters, COUNTER_WORKER_BUSY_USEC, usec_now() - now);
}

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct worker *worker = ctx;
    const struct packet packet = {
        .data = datagram->data, .len = datagram->len, .tos = datagram->tos};
    struct forward forward;

    if (relay_recv(worker->relay, owner, &datagram->from, &packet, &forward, now) !=
        VERDICT_FORWARD)
        return NULL;
    *ret_to = forward.to;
    return forward.socket;
}

static void on_burst_done(void *ctx, usec_t now)
{
    worker_tick(ctx, now);
}

static int io_bind(void *ctx, const struct addr *local, struct port *port, void **ret_socket)
{
    struct worker *worker = ctx;
    struct udp_socket *socket;
    int r = udp_open(worker->udp, local, &worker->path_reader, port, &socket);

    if (r < 0)
        return r;
    peers_port_opened(worker->workers->peers, PEERS_UDP, local);
    *ret_socket = socket;
    return 0;
}

static void io_unbind(void *ctx, void *socket)
{
    struct worker *worker = ctx;

    peers_port_closed(worker->workers->peers, PEERS_UDP, udp_local(socket));
    udp_close(socket);
}

static int io_send(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                   uint8_t tos)
{
    (void)ctx;
    return udp_send(socket, to, data, len, tos);
}

static void io_event(void *ctx, const struct relay_event *event)
{
    struct worker *worker = ctx;
    struct report report = {.event = *event};

    if (worker->revival && event->kind == EVENT_OPENED) {
        worker_note_kept(worker, event);
        return;
    }
    if (event->kind == EVENT_SNAPSHOT_END && worker->answer) {
        mailbox_post_sure(worker->workers->events, worker->answer, &report);
        worker->answer = NULL;
        return;
    }
    if (event->kind == EVENT_SNAPSHOT) {
        report.view = malloc(sizeof *report.view);
        if (!report.view)
            return;
        *report.view = *event->u.view;
        report.event.u.view = report.view;
    }
    if (mailbox_post(worker->workers->events, &report) < 0)
        free(report.view);
}

static void io_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    // At most 256 bytes at a time are never interrupted or short (getrandom(2)).
    if (getrandom(buf, len, 0) != (ssize_t)len)
        abort();
}

// Messages may be lost like datagrams, and are when the other worker does not keep up.
static void post_letter(void *ctx, unsigned number, struct turn_letter *letter)
{
    struct worker *worker = ctx;
    struct workers *workers = worker->workers;
    struct mailbox *to = number < workers->count ? workers->worker[number].orders : NULL;
    const struct message message = {.kind = MESSAGE_LETTER, .u.letter = *letter};
    bool loseable = letter->kind == TURN_LETTER_MESSAGE || letter->kind == TURN_LETTER_ANSWER ||
                    letter->kind == TURN_LETTER_ASK;
    int r = to ? mailbox_post_unless_full(to, &message, loseable ? LETTERS_MAX : SIZE_MAX) : -EPIPE;

    if (r < 0) {
        counter_add(&worker->counters, COUNTER_TURN_DROP_BUSY, 1);
        turn_letter_free(letter);
    }
}

// Closing it leaves as they are the allocations that go on elsewhere (turn_state_save()).
static void on_turn_changed(void *ctx, usec_t now)
{
    struct worker *worker = ctx;

    if (!worker->closing)
        worker_tick(worker, now);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;

    atomic_store(&worker->id, load_own_thread());
    event_base_dispatch(worker->base);
    return NULL;
}

// ---- in the main thread

static void take_report(void *ctx, const void *item)
{
    struct workers *workers = ctx;
    const struct report *report = item;

    if (report->done) {
        if (workers->handler.done)
            workers->handler.done(workers->handler.ctx, report->done, report->result);
    } else if (report->listing || report->unlisted) {
        const struct turn_listing none = {.token = report->unlisted};
        if (workers->handler.turn)
            workers->handler.turn(workers->handler.ctx, report->listing ? report->listing : &none);
    } else if (report->echo) {
        if (workers->handler.echo)
            workers->handler.echo(workers->handler.ctx, report->echo);
    } else if (workers->handler.event) {
        workers->handler.event(workers->handler.ctx, &report->event);
    }
    free(report->echo);
    turn_listing_free(report->listing);
    free(report->view);
}

static int start_turn(struct worker *worker, const struct workers_config *workers, unsigned number)
{
    const struct turn_worker_config config = {
        .server = workers->turn,
        .number = number,
        .base = worker->base,
        .udp = worker->udp,
        .relay = worker->relay,
        .counters = &worker->counters,
        .offload = workers->offload,
        .records = workers->records,
        .handover = worker->revival ? worker->revival->handover : NULL,
        .ctx = worker,
        .post = post_letter,
        .changed = on_turn_changed,
    };

    return workers->turn ? turn_worker_new(&config, &worker->turn) : 0;
}

static int start_echo(struct worker *worker, struct media_identity *identity)
{
    const struct echo_worker_config config = {
        .udp = worker->udp,
        .relay = worker->relay,
        .peers = worker->workers->peers,
        .counters = &worker->counters,
        .identity = identity,
        .ctx = worker,
        .event = on_echo_event,
    };

    return identity ? echo_worker_new(&config, &worker->echo) : 0;
}

// Everything but the thread.
static int worker_prepare(struct worker *worker, const struct workers_config *config,
                          unsigned share)
{
    const struct relay_io io = {io_bind, io_unbind, io_send, io_event, io_random};
    struct relay_config own = *config->relay;
    int r;

    worker->path_reader = (struct udp_reader){.ctx = worker, .datagram = on_datagram};
    own.share = share;
    own.shares = config->count;
    worker->base = event_base_new();
    if (!worker->base)
        return -ENOMEM;
    worker->tick = evtimer_new(worker->base, on_tick, worker);
    if (!worker->tick)
        return -ENOMEM;
    worker->armed = USEC_NEVER;
    r = mailbox_new(worker->base, sizeof(struct message), take_message, worker, &worker->orders);
    if (r == 0)
        r = udp_new(worker->base, on_burst_done, worker, &worker->counters, &worker->udp);
    worker->revival = config->revival;
    if (r == 0 && worker->revival)
        udp_inherit(worker->udp, worker->revival->handover);
    if (r == 0)
        r = relay_new(&own, &io, worker, &worker->counters, &worker->relay);
    if (r == 0 && config->offload)
        relay_set_offload(worker->relay, config->offload);
    if (r == 0)
        r = start_turn(worker, config, share);
    if (r == 0 && share == 0) // it is little
        r = start_echo(worker, config->echo);
    return r;
}

int worker_start(struct worker *worker)
{
    sigset_t all, before;
    int r;

    // Signals are the main loop's.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = -pthread_create(&worker->thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    worker->running = r == 0;
    return r;
}

void worker_stop(struct worker *worker)
{
    const struct message stop = {.kind = MESSAGE_STOP};

    if (!worker->running)
        return;
    while (mailbox_post(worker->orders, &stop) < 0)
        ; // it has to go through: the thread would be left behind
    pthread_join(worker->thread, NULL);
    worker->running = false;
}

// When no thread runs any more, and no worker has clients that letters could be written about.
static void worker_free(struct worker *worker)
{
    mailbox_flush(worker->orders); // letters own memory
    echo_worker_free(worker->echo);
    relay_free(worker->relay);
    udp_close(worker->shared[0]);
    udp_close(worker->shared[1]);
    udp_free(worker->udp);
    mailbox_free(worker->orders);
    if (worker->tick)
        event_free(worker->tick);
    if (worker->base)
        event_base_free(worker->base);
}

int workers_new(struct event_base *base, const struct workers_config *config,
                const struct workers_handler *handler, struct workers **ret_workers)
{
    struct workers *workers = calloc(1, sizeof *workers + config->count * sizeof *workers->worker);
    int r;

    if (!workers)
        return -ENOMEM;
    workers->handler = *handler;
    workers->peers = config->peers;
    workers->count = config->count;
    r = mailbox_new(base, sizeof(struct report), take_report, workers, &workers->events);
    for (unsigned i = 0; i < config->count && r == 0; i++) {
        workers->worker[i].workers = workers;
        r = worker_prepare(&workers->worker[i], config, i);
    }
    if (r == 0)
        r = workers_share_port(workers, config);
    if (r == 0)
        workers_revive(workers, config->revival);
    for (unsigned i = 0; i < config->count && r == 0; i++)
        r = worker_start(&workers->worker[i]);
    if (r < 0) {
        workers_disown(workers);
        workers_free(workers);
        return r;
    }
    *ret_workers = workers;
    return 0;
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    for (unsigned i = 0; i < workers->count; i++) {
        worker_stop(&workers->worker[i]);
        workers->worker[i].closing = true;
    }
    for (unsigned i = 0; i < workers->count; i++) {
        turn_worker_free(workers->worker[i].turn);
        workers->worker[i].turn = NULL;
    }
    for (unsigned i = 0; i < workers->count; i++)
        worker_free(&workers->worker[i]);
    for (unsigned f = 0; f < 2; f++) {
        if (workers->shared[f].family != FAMILY_NONE)
            peers_port_closed(workers->peers, PEERS_UDP, &workers->shared[f]);
    }
    workers->handler = (struct workers_handler){0};
    mailbox_flush(workers->events); // reports own memory
    mailbox_free(workers->events);
    free(workers);
}

unsigned workers_count(const struct workers *workers)
{
    return workers->count;
}

pid_t workers_thread(const struct workers *workers, unsigned worker)
{
    return atomic_load(&workers->worker[worker].id);
}

const struct counters *workers_counters(const struct workers *workers, unsigned worker)
{
    return &workers->worker[worker].counters;
}
