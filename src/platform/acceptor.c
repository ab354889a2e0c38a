// SPDX-License-Identifier: ISC
// See platform/acceptor.h.
#include "platform/acceptor.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <unistd.h>

enum { RETRY_SECONDS = 1 };

struct acceptor {
    struct evconnlistener *listener;
    struct event *retry;
    acceptor_handler accepted;
    void *ctx;
};

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int from_len, void *arg)
{
    const struct acceptor *acceptor = arg;

    (void)listener;
    (void)from_len;
    acceptor->accepted(acceptor->ctx, fd, from);
}

static void on_error(struct evconnlistener *listener, void *arg)
{
    static const struct timeval pause = {.tv_sec = RETRY_SECONDS};
    const struct acceptor *acceptor = arg;

    if (evtimer_add(acceptor->retry, &pause) == 0)
        evconnlistener_disable(listener);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    const struct acceptor *acceptor = arg;

    (void)fd;
    (void)what;
    evconnlistener_enable(acceptor->listener);
}

int acceptor_new(struct event_base *base, int fd, int backlog, acceptor_handler accepted, void *ctx,
                 struct acceptor **ret_acceptor)
{
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    int r = -ENOMEM;

    if (!acceptor) {
        close(fd);
        return r;
    }
    acceptor->accepted = accepted;
    acceptor->ctx = ctx;
    acceptor->retry = evtimer_new(base, on_retry, acceptor);
    errno = ENOMEM;
    acceptor->listener = evconnlistener_new(
        base, on_accept, acceptor, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, backlog, fd);
    if (!acceptor->listener) {
        r = -errno;
        close(fd);
    }
    if (!acceptor->listener || !acceptor->retry) {
        acceptor_free(acceptor);
        return r;
    }
    evconnlistener_set_error_cb(acceptor->listener, on_error);
    *ret_acceptor = acceptor;
    return 0;
}

int acceptor_fd(const struct acceptor *acceptor)
{
    return evconnlistener_get_fd(acceptor->listener);
}

void acceptor_free(struct acceptor *acceptor)
{
    if (!acceptor)
        return;
    if (acceptor->listener)
        evconnlistener_free(acceptor->listener);
    if (acceptor->retry)
        event_free(acceptor->retry);
    free(acceptor);
}
