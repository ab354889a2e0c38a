// SPDX-License-Identifier: ISC
// Relayed UDP ports of a worker's TURN server: numbers out of the pool that its calls use, bound,
// and known to be open to who may talk to whom (peers.h).
#pragma once

#include "peers.h"
#include "platform/udp.h"
#include "relay/relay.h"
#include "turn/turn.h"

struct relayed { // one port
    struct udp_socket *socket;
    struct lent_port port;
    void *owner; // who opened it; NULL: nobody yet
};

struct relayed_ports { // all borrowed
    struct udp *udp;
    struct relay *relay;
    struct peers *peers;
    const struct udp_reader *reader; // of each port; its 'owner' is the struct relayed
};

// The second port of a PORT_PAIR has no owner. Returns 0, -EMFILE (none is free), -EAFNOSUPPORT,
// -ENOMEM or what bind said.
int relayed_open(struct relayed_ports *ports, enum family family, enum port_parity parity,
                 void *owner, struct relayed *ret_relayed[2], usec_t now);
// The very port that clients know by this address, after a restart. Returns 0, -EADDRINUSE,
// -ENOENT, -EAFNOSUPPORT, -ENOMEM or what bind said.
int relayed_reopen(struct relayed_ports *ports, const struct addr *relayed, void *owner,
                   struct relayed **ret_relayed, usec_t now);
// For turn_set_offload(); 'ctx' is the struct relayed_ports, 'handle' a struct relayed.
int relayed_route(void *ctx, const struct turn_client *client, void *handle,
                  const struct addr *peer, struct turn_route *ret_route);
void relayed_close(struct relayed_ports *ports, struct relayed *relayed, usec_t now);
