// SPDX-License-Identifier: ISC
// A restart that drops no call: nobody is told anything, packets wait in the sockets, and the next
// daemon begins with what this one writes down here.
#include "daemon_internal.h"

#include "base/log.h"
#include "platform/service.h"
#include "platform/udp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TAKE_OVER_MS 15000 // that a successor has to start, while nobody listens

// Everything is written down and goes to the successor, or to systemd without one.
static int give(struct daemon *d, const struct estate *estate)
{
    struct handover *handover;
    int r = succession_leave(estate, &handover);

    if (r < 0)
        return r;
    component_free(d->component, DAEMON_FLUSH_TIME); // what diverted stanzas wait for is sent
    d->component = NULL;
    if (d->successor < 0) {
        r = handover_store(handover);
    } else {
        succession_clear_path(d->config);
        r = handover_send(handover, d->successor, TAKE_OVER_MS);
        if (r < 0)
            succession_restore_path(d->config);
        else
            succession_forget_path(d->config);
    }
    handover_free(handover);
    return r;
}

int daemon_leave(struct daemon *d)
{
    const struct estate estate = {
        .workers = d->workers,
        .signal = d->signal,
        .turn = d->turn,
        .stats = d->stats,
        .restarts = (unsigned)counter_get(&d->counters, COUNTER_RESTARTS),
        .stopped = usec_now(),
    };
    int r;

    if (d->successor < 0)
        service_stopping(); // and systemd asks for no sign of life any more
    else
        service_alive();
    workers_freeze(d->workers);
    r = give(d, &estate);
    if (r == 0) {
        log_notice("%u calls go on in the next daemon", signal_calls(d->signal));
        event_base_loopbreak(d->base);
        return 0;
    }
    log_warning("the calls cannot be handed over: %s", strerror(-r));
    if (workers_thaw(d->workers) < 0 || (!d->component && daemon_start_component(d) < 0))
        event_base_loopbreak(d->base); // nothing is left to do
    return r;
}

static void on_successor(evutil_socket_t fd, short what, void *arg)
{
    struct daemon *d = arg;

    (void)fd;
    (void)what;
    if (!d->told) // a signal may have been faster
        (void)daemon_leave(d);
    close(d->successor);
    d->successor = -1;
}

// Later: who asks is inside the control socket, and so are his callers.
void daemon_hand_over(void *daemon, int connection)
{
    static const struct timeval at_once = {0};
    struct daemon *d = daemon;

    if (d->successor >= 0 || d->told ||
        event_base_once(d->base, -1, EV_TIMEOUT, on_successor, d, &at_once) < 0)
        close(connection);
    else
        d->successor = connection;
}
