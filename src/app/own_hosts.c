// SPDX-License-Identifier: ISC
// See own_hosts.h. Asking is simpler than being told, and as good: an address that is new to this
// machine is new to everybody.
#include "own_hosts.h"

#include "base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_SECONDS 10

struct own_hosts {
    struct peers *peers;
    struct event *timer;
    bool told;
};

static int look(struct own_hosts *own)
{
    int r = peers_deny_this_host(own->peers);

    if (r < 0 && !own->told)
        log_err("the addresses of this machine cannot be kept from TURN clients: %s", strerror(-r));
    own->told = r < 0;
    return r;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)look(arg);
}

int own_hosts_new(struct event_base *base, struct peers *peers, struct own_hosts **ret_own)
{
    const struct timeval every = {.tv_sec = LOOK_SECONDS};
    struct own_hosts *own = calloc(1, sizeof *own);
    int r;

    if (!own)
        return -ENOMEM;
    own->peers = peers;
    own->timer = event_new(base, -1, EV_PERSIST, on_timer, own);
    r = own->timer && event_add(own->timer, &every) == 0 ? look(own) : -ENOMEM;
    if (r < 0) {
        own_hosts_free(own);
        return r;
    }
    *ret_own = own;
    return 0;
}

void own_hosts_free(struct own_hosts *own)
{
    if (!own)
        return;
    if (own->timer)
        event_free(own->timer);
    free(own);
}
