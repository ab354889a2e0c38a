// SPDX-License-Identifier: ISC
// With whom TURN clients may talk through this relay. Refused are the special-purpose ranges that
// the operator has not allowed, the hosts of the relay and of its XMPP server, and the relay's own
// listeners. Of the relay's own addresses those ports are allowed that a call or an allocation has
// open now: so two clients of this relay reach each other, and nobody reaches anything else.
//
// Any thread may ask.
#pragma once

#include "base/addr.h"

#include <stdbool.h>

struct peers;

enum peers_protocol { PEERS_UDP, PEERS_TCP };

struct peers_config {
    struct addr bind[2];      // [0] IPv4, [1] IPv6; family NONE: none
    struct addr advertise[2]; // equal to 'bind' but for a 1:1 NAT
    struct prefix_list allow; // borrowed
};

// Returns 0 or -ENOMEM.
int peers_new(const struct peers_config *config, struct peers **ret_peers);
void peers_free(struct peers *peers);

// Other ranges from now on; copied. What was given before may be read by other threads until the
// next time this is called, which must be after they have seen a message that was sent meanwhile.
// Returns 0 or -ENOMEM.
int peers_set_allow(struct peers *peers, const struct prefix_list *allow);

// From now on this host is refused, whatever the operator has allowed; its port does not matter.
// From one thread. Returns 0, or -ENOSPC when there are too many.
int peers_deny(struct peers *peers, const struct addr *host);
// All addresses that this machine has now, but for those of a link. Returns 0, -ENOSPC or -errno.
int peers_deny_this_host(struct peers *peers);

// A relay port was bound, or closed.
void peers_port_opened(struct peers *peers, enum peers_protocol protocol, const struct addr *bound);
void peers_port_closed(struct peers *peers, enum peers_protocol protocol, const struct addr *bound);

// A relay port that is open in this protocol? By the address that it is bound to or the one that
// clients are told, as which a NAT may show it.
bool peers_is_port(const struct peers *peers, enum peers_protocol protocol,
                   const struct addr *addr);

// Port 0: any port of that host? A port of this relay may be open in either protocol;
// peers_route() knows which.
bool peers_allowed(const struct peers *peers, const struct addr *peer);
// Where to send what is meant for 'to': a port of this relay is reached at the address that it is
// bound to, which need not be the one that clients are told. False: that port is closed, or the
// host has been refused since.
bool peers_route(const struct peers *peers, enum peers_protocol protocol, struct addr *to);
// The other way round: the address by which clients know the sender.
struct addr peers_sender(const struct peers *peers, const struct addr *from);
