// SPDX-License-Identifier: ISC
// The world around a TURN core; see turn_worker.h.
#include "turn_worker_internal.h"

#include "base/log.h"
#include "base/log_kind.h"
#include "platform/probe.h"
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define CLOCK_EVERY USEC_PER_SEC

// ---- relayed ports

static int io_open(void *ctx, enum family family, enum port_parity parity, void *owner,
                   struct turn_port ret_port[2])
{
    struct turn_worker *w = ctx;
    struct relayed *relayed[2];
    int r = relayed_open(&w->ports, family, parity, owner, relayed, w->now);

    if (r < 0)
        return r;
    for (int i = 0; i < (parity == PORT_PAIR ? 2 : 1); i++)
        ret_port[i] = (struct turn_port){relayed[i], relayed[i]->port.advertise};
    return 0;
}

static void io_set_owner(void *ctx, void *handle, void *owner)
{
    struct relayed *relayed = handle;

    (void)ctx;
    relayed->owner = owner;
}

static void io_close(void *ctx, void *handle)
{
    struct turn_worker *w = ctx;

    relayed_close(&w->ports, handle, w->now);
}

// ---- the rest of what the core asks for

static void io_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    if (getrandom(buf, len, 0) != (ssize_t)len) // never short up to 256 bytes
        abort();
}

static bool io_peer_allowed(void *ctx, const struct addr *peer)
{
    const struct turn_worker *w = ctx;

    return peers_allowed(w->server->peers, peer);
}

static enum turn_refusal io_charge(void *ctx, const char *identity)
{
    const struct turn_worker *w = ctx;

    return quota_charge(w->server->quota, identity);
}

static void io_release(void *ctx, const char *identity)
{
    const struct turn_worker *w = ctx;

    quota_release(w->server->quota, identity);
}

static void io_ended(void *ctx, const struct turn_view *view, const char *reason, usec_t now)
{
    const struct turn_worker *w = ctx;

    records_allocation(w->config.records, view, reason, now);
}

// ---- from peers

static struct udp_socket *on_relayed(void *ctx, void *owner, struct udp_datagram *datagram,
                                     struct addr *ret_to, usec_t now)
{
    struct turn_worker *w = ctx;
    struct relayed *relayed = owner;
    struct addr from = peers_sender(w->server->peers, &datagram->from);
    struct turn_packet packet = {.data = datagram->data, .len = datagram->len};
    struct turn_forward forward;

    w->now = now;
    if (turn_peer_recv(w->turn, relayed->owner, relayed, &from, &packet, &forward, now) !=
        TURN_TO_CLIENT)
        return NULL;
    if (forward.client.transport != TURN_UDP) {
        client_sent(w, client_send(w, &forward.client, packet.data, packet.len));
        return NULL;
    }
    datagram->data = packet.data;
    datagram->len = packet.len;
    datagram->unsent = COUNTER_TURN_DROP_SEND_ERROR;
    *ret_to = forward.client.remote;
    return listener_of_link(w, forward.client.link);
}

static void on_relayed_icmp(void *ctx, void *owner, const struct udp_icmp *icmp, usec_t now)
{
    struct turn_worker *w = ctx;
    const struct relayed *relayed = owner;
    struct addr peer = peers_sender(w->server->peers, &icmp->to);

    w->now = now;
    turn_peer_icmp(w->turn, relayed->owner, &peer, icmp->type, icmp->code, icmp->mtu, now);
}

// ---- life

static void set_clock(struct turn_worker *w, usec_t now)
{
    struct timespec wall;

    if (now < w->clock_set + CLOCK_EVERY && w->clock_set != 0)
        return;
    clock_gettime(CLOCK_REALTIME, &wall);
    turn_set_clock(w->turn, (int64_t)wall.tv_sec * (int64_t)USEC_PER_SEC + wall.tv_nsec / 1000 -
                                (int64_t)usec_now());
    w->clock_set = now;
}

struct udp_socket *turn_worker_share(struct turn_worker *w, const struct addr *addr)
{
    for (unsigned i = 0; i < w->server->listeners; i++) {
        if (!addr_equal(&w->server->listener[i], addr))
            continue;
        w->listener[i].shared = true;
        return w->listener[i].socket;
    }
    return NULL;
}

usec_t turn_worker_tick(struct turn_worker *w, usec_t now)
{
    usec_t review, next, dtls = USEC_NEVER;

    w->now = now;
    set_clock(w, now);
    review = clients_review(w, now);
    if (w->dtls)
        dtls = dtls_tick(w->dtls, now);
    next = turn_tick(w->turn, now);
    if (review < next)
        next = review;
    return dtls < next ? dtls : next;
}

void turn_worker_list(const struct turn_worker *w,
                      void (*each)(void *ctx, const struct turn_view *view), void *ctx, usec_t now)
{
    turn_list(w->turn, each, ctx, now);
}

// The workers share their listeners, and must not share them with another program: the first one
// looks.
static int listen_udp(struct turn_worker *w, const struct addr *addr, struct listener *listener,
                      bool probe)
{
    bool left = handover_has(w->config.handover, HANDOVER_UDP, addr);
    int r = probe && !left ? probe_udp(addr) : 0;

    return r < 0
               ? r
               : udp_listen(w->config.udp, addr, &w->listener_reader, listener, &listener->socket);
}

static int listen_tcp(struct turn_worker *w, const struct addr *addr, bool probe)
{
    int fd = handover_take(w->config.handover, HANDOVER_TCP_LISTENER, addr);
    int r = fd < 0 && probe ? probe_tcp(addr) : 0;

    if (fd >= 0)
        return streams_listen_on(w->streams, fd);
    return r < 0 ? r : streams_listen(w->streams, addr);
}

static int listen_on(struct turn_worker *w, unsigned number, bool probe)
{
    const struct addr *addr = &w->server->listener[number];
    struct listener *listener = &w->listener[number];
    char text[ADDR_TEXT_MAX];
    const char *transport = "UDP";
    int r;

    *listener = (struct listener){.worker = w, .number = number};
    r = listen_udp(w, addr, listener, probe);
    if (r == 0) {
        transport = "TCP";
        r = listen_tcp(w, addr, probe);
    }
    if (r < 0)
        log_kind(LOG_NOT_LISTENING, "turn: %s cannot be listened on (%s): %s",
                 addr_format(addr, text), transport, strerror(-r));
    else if (w->config.number == 0)
        log_kind(LOG_LISTENING, "STUN and TURN on %s, UDP and TCP%s", addr_format(addr, text),
                 w->server->tls ? ", TLS and DTLS" : "");
    return r;
}

// ---- a restart

static int revive_port(void *ctx, const struct addr *relayed, bool tcp, void *owner,
                       struct turn_port *ret_port)
{
    struct turn_worker *w = ctx;
    struct relayed *port;
    // Its connections have ended, and with them what it is for.
    int r = tcp ? -EOPNOTSUPP : relayed_reopen(&w->ports, relayed, owner, &port, w->now);

    if (r == 0)
        *ret_port = (struct turn_port){port, port->port.advertise};
    return r;
}

static void *revive_link(void *ctx, const struct addr *local)
{
    const struct turn_worker *w = ctx;

    for (unsigned i = 0; i < w->server->listeners; i++)
        if (addr_equal(&w->server->listener[i], local))
            return turn_link_listener(i);
    return NULL;
}

json_t *turn_worker_save(struct turn_worker *w, usec_t now)
{
    w->now = now;
    return turn_save(w->turn, now);
}

int turn_worker_restore(struct turn_worker *w, const json_t *state, usec_t now, unsigned *ret_lost)
{
    const struct turn_revival revival = {w, revive_port, revive_link};

    w->now = now;
    return turn_restore(w->turn, state, &revival, now, ret_lost);
}

int turn_worker_leave(const struct turn_worker *w, struct handover *handover)
{
    return streams_leave(w->streams, handover);
}

void turn_worker_disown(struct turn_worker *w)
{
    turn_disown(w->turn);
}

// ---- TCP allocations

static unsigned worker_of_link(void *ctx, const void *link)
{
    (void)ctx;
    return turn_link_worker(link);
}

static struct stream_conn *take_stream(void *ctx, const void *link)
{
    struct turn_worker *w = ctx;
    struct stream_conn *stream = stream_of_link(w, link);

    if (stream)
        turn_link_remove(&w->links, link);
    return stream;
}

static void post_letter(void *ctx, unsigned worker, struct turn_letter *letter)
{
    struct turn_worker *w = ctx;

    w->config.post(w->config.ctx, worker, letter);
}

static void changed(void *ctx, usec_t now)
{
    struct turn_worker *w = ctx;

    w->config.changed(w->config.ctx, now);
}

static int start_tcp(struct turn_worker *w, struct turn_tcp_io *ret_io)
{
    const struct turn_tcp_config config = {
        .worker = w->config.number,
        .base = w->config.base,
        .relay = w->config.relay,
        .peers = w->server->peers,
        .counters = w->config.counters,
        .bytes_per_second = w->turn_config[0].bytes_per_second,
        .ctx = w,
        .worker_of = worker_of_link,
        .take_stream = take_stream,
        .post = post_letter,
        .changed = changed,
    };
    int r = turn_tcp_new(&config, &w->tcp);

    if (r == 0)
        *ret_io = turn_tcp_io(w->tcp);
    return r;
}

static int start(struct turn_worker *w)
{
    struct turn_io io = {
        .ctx = w,
        .open = io_open,
        .set_owner = io_set_owner,
        .close = io_close,
        .send_client = client_send,
        .random = io_random,
        .peer_allowed = io_peer_allowed,
        .charge = io_charge,
        .release = io_release,
        .ended = io_ended,
    };
    const struct stream_handler streams = client_streams(w);
    const struct dtls_handler dtls = client_dtls(w);
    const struct turn_server *server = w->server;
    int r = start_tcp(w, &io.tcp); // the core knows whether they are allowed

    if (r == 0)
        r = turn_new(&w->turn_config[0], &io, w->config.counters, &w->turn);
    if (r == 0 && w->config.offload)
        turn_set_offload(w->turn,
                         &(struct turn_offload){*w->config.offload, &w->ports, relayed_route});
    if (r == 0 && w->tcp)
        turn_tcp_start(w->tcp, w->turn);
    if (r == 0)
        r = streams_new(w->config.base, &server->streams, &streams, w->config.counters,
                        &w->streams);
    if (r == 0 && server->tls)
        r = dtls_new(&server->dtls, &dtls, w->config.counters, &w->dtls);
    for (unsigned i = 0; i < server->listeners && r == 0; i++)
        r = listen_on(w, i, w->config.number == 0);
    return r;
}

// ---- another configuration

static int renew_parts(struct turn_worker *w, const struct turn_server *server)
{
    struct turn_config *next = &w->turn_config[!w->config_used];
    int r;

    *next = server->turn;
    next->worker = w->config.number;
    r = turn_set_config(w->turn, next);
    if (r < 0)
        return r;
    w->config_used = !w->config_used;
    turn_tcp_set_rate(w->tcp, next->bytes_per_second);
    r = streams_set_limits(w->streams, &server->streams);
    return w->dtls && r == 0 ? dtls_set_limits(w->dtls, &server->dtls) : r;
}

int turn_worker_renew(struct turn_worker *w, const struct turn_server *server, usec_t now)
{
    unsigned listeners = w->server->listeners;
    int r = renew_parts(w, server);

    w->now = now;
    if (r < 0) {
        log_err("turn: worker %u keeps its old configuration: %s", w->config.number, strerror(-r));
        return r;
    }
    w->server = server;
    for (unsigned i = listeners; i < server->listeners; i++) {
        int s = listen_on(w, i, false);

        r = r < 0 ? r : s;
    }
    return r;
}

unsigned turn_worker_end_user(struct turn_worker *w, const char *identity, usec_t now)
{
    w->now = now;
    return turn_end_user(w->turn, identity, now);
}

int turn_worker_new(const struct turn_worker_config *config, struct turn_worker **ret_worker)
{
    struct turn_worker *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return -ENOMEM;
    w->config = *config;
    w->server = config->server;
    w->turn_config[0] = config->server->turn;
    w->turn_config[0].worker = config->number;
    w->listener_reader = (struct udp_reader){.ctx = w, .datagram = client_datagram};
    w->relayed_reader =
        (struct udp_reader){.ctx = w, .datagram = on_relayed, .icmp = on_relayed_icmp};
    w->ports = (struct relayed_ports){config->udp, config->relay, config->server->peers,
                                      &w->relayed_reader};
    w->links.worker = config->number;
    w->now = usec_now();
    r = start(w);
    if (r < 0) {
        turn_worker_free(w);
        return r;
    }
    w->config.handover = NULL; // all listeners are open
    (void)turn_worker_tick(w, w->now);
    *ret_worker = w;
    return 0;
}

void turn_worker_free(struct turn_worker *w)
{
    if (!w)
        return;
    w->now = usec_now();
    streams_free(w->streams);
    dtls_free(w->dtls);
    turn_free(w->turn);
    turn_tcp_free(w->tcp);
    for (unsigned i = 0; i < w->server->listeners; i++)
        udp_close(w->listener[i].socket);
    turn_links_free(&w->links);
    free(w);
}
