// SPDX-License-Identifier: ISC
// The port of all ICE paths (relay.ice_ports = "shared"): who listens there, and what comes.
#include "workers_internal.h"

#include "base/log_kind.h"
#include "platform/probe.h"
#include "platform/steer.h"

#include <errno.h>
#include <string.h>

static struct udp_socket *on_shared(void *ctx, void *owner, struct udp_datagram *datagram,
                                    struct addr *ret_to, usec_t now)
{
    struct worker *worker = ctx;
    const struct packet packet = {
        .data = datagram->data, .len = datagram->len, .tos = datagram->tos};
    struct forward forward;
    enum verdict verdict =
        relay_recv_shared(worker->relay, &datagram->from, &packet, &forward, now);

    (void)owner;
    if (verdict == VERDICT_ELSEWHERE) // nobody else is here
        counter_add(&worker->counters, COUNTER_DROP_UNPROVED, 1);
    if (verdict != VERDICT_FORWARD)
        return NULL;
    *ret_to = forward.to;
    return forward.socket;
}

// With TURN on the same address there is one socket, else it is the first worker's own.
static int open_shared(struct worker *worker, const struct addr *addr, unsigned family,
                       bool *ret_of_turn)
{
    struct udp_socket *socket = worker->turn ? turn_worker_share(worker->turn, addr) : NULL;
    int r = 0;

    worker->shared_reader = (struct udp_reader){.ctx = worker, .datagram = on_shared};
    *ret_of_turn = socket != NULL;
    if (!socket) {
        // Nobody else listens there, but it takes as much traffic as if.
        r = worker->revival && handover_has(worker->revival->handover, HANDOVER_UDP, addr)
                ? 0
                : probe_udp(addr);
        if (r == 0)
            r = udp_listen(worker->udp, addr, &worker->shared_reader, NULL, &socket);
        worker->shared[family] = socket;
    }
    if (r == 0)
        relay_share(worker->relay, addr->family, addr->port, socket);
    return r;
}

// A call must meet one worker, and until a packet has come nobody knows from where it will: so all
// that share the port live on the first one, and what is not TURN's is steered there.
int workers_share_port(struct workers *workers, const struct workers_config *config)
{
    char text[ADDR_TEXT_MAX];
    bool of_turn;
    int r = 0;

    for (unsigned f = 0; f < 2 && r == 0; f++) {
        struct addr addr = config->relay->bind[f];
        if (addr.family == FAMILY_NONE || config->shared_port == 0)
            continue;
        addr.port = config->shared_port;
        r = open_shared(&workers->worker[0], &addr, f, &of_turn);
        if (r == 0 && of_turn && workers->count > 1)
            r = steer_to_first(&addr);
        if (r == -EADDRINUSE) {
            log_kind(LOG_NOT_LISTENING,
                     "relay.shared_port: another program has %s: calls get ports of their own, "
                     "out of relay.ports",
                     addr_format(&addr, text));
            return 0;
        }
        if (r < 0) {
            log_kind(LOG_NOT_LISTENING, "relay.shared_port: %s cannot be used: %s",
                     addr_format(&addr, text), strerror(-r));
            return r;
        }
        workers->shared[f] = addr;
        peers_port_opened(workers->peers, PEERS_UDP, &addr);
        log_kind(LOG_LISTENING, "ICE on %s%s", addr_format(&addr, text),
                 of_turn ? ", with STUN and TURN" : "");
    }
    return r;
}
