// SPDX-License-Identifier: ISC
// Restarts of the relay in a simulated network: its state goes through text, its sockets stay open,
// and nobody else sees anything.
#include "sim/lib_net.h"

#include <stdlib.h>
#include <string.h>

static json_t *through_text(struct net *net, json_t *state)
{
    char *text = json_dumps(state, JSON_COMPACT);
    json_t *again = text ? json_loads(text, 0, NULL) : NULL;

    if (!again)
        net_fail(net, "what a relay leaves is no text");
    json_decref(state);
    free(text);
    return again;
}

static void successor(struct net *net)
{
    relay_free(net->relay);
    net_new_relay(net);
    for (unsigned i = 0; i < NET_SOCKETS; i++)
        if (net->socket[i].shared)
            relay_share(net->relay, net->socket[i].local.family, NET_SHARED_PORT, &net->socket[i]);
    if (net->kernel) {
        const struct offload_io io = kernel_io(net->kernel);
        relay_set_offload(net->relay, &io);
    }
}

static void restart(struct net *net)
{
    struct net_socket left[NET_SOCKETS];
    uint64_t random = net->random;
    json_t *state = through_text(net, relay_save(net->relay, net->now));
    unsigned lost = 0;

    memcpy(left, net->socket, sizeof(left));
    net->left = left;
    successor(net);
    if (relay_restore(net->relay, state, net->now, &lost) < 0 || lost > 0)
        net_fail(net, "%u paths were lost by a restart", lost);
    net->left = NULL;
    net->random = random;
    net->restarted++;
    json_decref(state);
    net_check_relay(net);
}

void net_maybe_restart(struct net *net)
{
    if (net->restarts == 0)
        return;
    net->restart_random = net->restart_random * 6364136223846793005u + net->seed * 2 + 1;
    if ((net->restart_random >> 33) % net->restarts == 0)
        restart(net);
}
