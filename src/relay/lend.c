// SPDX-License-Identifier: ISC
// Ports for users of the pool who are not paths. Only the numbers are handed out; sockets are the
// borrower's.

#include "internal.h"

#include <errno.h>

static int family_index(const struct relay *relay, enum family family)
{
    int f = family == FAMILY_V6 ? 1 : 0;

    return relay->config.bind[f].family == FAMILY_NONE ? -EAFNOSUPPORT : f;
}

static struct lent_port lent_port(const struct relay *relay, int f, uint16_t number)
{
    struct lent_port port = {relay->config.bind[f], relay->config.advertise[f]};

    port.bind.port = port.advertise.port = number;
    return port;
}

int relay_lend(struct relay *relay, enum family family, enum port_parity parity,
               struct lent_port *ret_port, usec_t now)
{
    int f = family_index(relay, family);
    uint16_t index = 0;
    unsigned n = parity == PORT_PAIR ? 2 : 1;
    int r = f;

    if (r >= 0)
        r = pool_take_parity(&relay->pool[f], parity, relay_random(relay), &index);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < n; i++) {
        relay->pool[f].port[index + i].lent = true;
        ret_port[i] = lent_port(relay, f, relay->pool[f].port[index + i].number);
    }
    relay->lent[f] += n;
    relay_ports_changed(relay, now);
    return 0;
}

int relay_lend_again(struct relay *relay, enum family family, uint16_t number,
                     struct lent_port *ret_port, usec_t now)
{
    int f = family_index(relay, family);
    uint16_t index = 0;
    int r = f;

    if (r >= 0)
        r = pool_take_number(&relay->pool[f], number, &index);
    if (r < 0)
        return r;
    relay->pool[f].port[index].lent = true;
    *ret_port = lent_port(relay, f, number);
    relay->lent[f]++;
    relay_ports_changed(relay, now);
    return 0;
}

void relay_take_back(struct relay *relay, const struct lent_port *port, usec_t now)
{
    int f = family_index(relay, port->bind.family);
    uint16_t index = pool_index(&relay->pool[f], port->bind.port);

    relay->pool[f].port[index].lent = false;
    pool_quarantine(&relay->pool[f], index, now + relay->config.limits.quarantine);
    relay->lent[f]--;
    relay_ports_changed(relay, now);
}
