// SPDX-License-Identifier: ISC
// See turn_relayed.h.
#include "turn_relayed.h"

#include <errno.h>
#include <stdlib.h>

#define BIND_TRIES 16

void relayed_close(struct relayed_ports *ports, struct relayed *relayed, usec_t now)
{
    if (relayed->socket) {
        peers_port_closed(ports->peers, PEERS_UDP, &relayed->port.bind);
        udp_close(relayed->socket);
    }
    relay_take_back(ports->relay, &relayed->port, now);
    free(relayed);
}

// Takes the port, whether or not it can be opened.
static int open_one(struct relayed_ports *ports, const struct lent_port *port, void *owner,
                    struct relayed **ret_relayed, usec_t now)
{
    struct relayed *relayed = calloc(1, sizeof *relayed);
    int r;

    if (!relayed) {
        relay_take_back(ports->relay, port, now);
        return -ENOMEM;
    }
    relayed->port = *port;
    relayed->owner = owner;
    r = udp_open(ports->udp, &port->bind, ports->reader, relayed, &relayed->socket);
    if (r < 0) {
        relayed_close(ports, relayed, now);
        return r;
    }
    peers_port_opened(ports->peers, PEERS_UDP, &port->bind);
    (void)udp_report_icmp(relayed->socket); // without it clients do not hear of ICMP errors
    *ret_relayed = relayed;
    return 0;
}

static int open_once(struct relayed_ports *ports, enum family family, enum port_parity parity,
                     void *owner, struct relayed *ret_relayed[2], usec_t now)
{
    struct lent_port port[2];
    int r = relay_lend(ports->relay, family, parity, port, now);

    if (r < 0)
        return r;
    r = open_one(ports, &port[0], owner, &ret_relayed[0], now);
    if (parity != PORT_PAIR)
        return r;
    if (r < 0) {
        relay_take_back(ports->relay, &port[1], now);
        return r;
    }
    r = open_one(ports, &port[1], NULL, &ret_relayed[1], now);
    if (r < 0)
        relayed_close(ports, ret_relayed[0], now);
    return r;
}

int relayed_open(struct relayed_ports *ports, enum family family, enum port_parity parity,
                 void *owner, struct relayed *ret_relayed[2], usec_t now)
{
    int r = -EADDRINUSE;

    // A number that another program has is as good as used: it rests, and another is tried.
    for (int i = 0; i < BIND_TRIES && r == -EADDRINUSE; i++)
        r = open_once(ports, family, parity, owner, ret_relayed, now);
    return r;
}

int relayed_reopen(struct relayed_ports *ports, const struct addr *relayed, void *owner,
                   struct relayed **ret_relayed, usec_t now)
{
    struct lent_port port;
    int r = relay_lend_again(ports->relay, relayed->family, relayed->port, &port, now);

    return r < 0 ? r : open_one(ports, &port, owner, ret_relayed, now);
}

// What another address stands in for is this relay itself, which no kernel's program reaches.
int relayed_route(void *ctx, const struct turn_client *client, void *handle,
                  const struct addr *peer, struct turn_route *ret_route)
{
    const struct relayed_ports *ports = ctx;
    const struct relayed *relayed = handle;
    struct addr to = *peer;

    if (!peers_route(ports->peers, PEERS_UDP, &to) || !addr_equal(&to, peer))
        return -EHOSTUNREACH;
    *ret_route = (struct turn_route){client->local, relayed->port.bind, *peer};
    return 0;
}
