// SPDX-License-Identifier: ISC
// Many sockets as one descriptor. A manager compares each descriptor that it is to keep with all
// that it has, which takes seconds from some thousands on. So they wait as messages in the queue of
// a unix socket, and it keeps that. Who reads looks at the messages and leaves them there.
#include "handover_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int handover_bundle(const struct handover *handover, size_t *first)
{
    int pair[2], fds[HANDOVER_BATCH], r = 0;
    size_t begin = *first;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    while (*first < handover->entries) {
        size_t count = 0;
        while (count < HANDOVER_BATCH && *first + count < handover->entries) {
            fds[count] = handover->entry[*first + count].fd;
            count++;
        }
        r = handover_put(pair[1], "", 1, fds, count);
        if (r < 0)
            break;
        *first += count;
    }
    close(pair[1]); // what is queued stays
    if (r == 0 || (r == -EAGAIN && *first > begin))
        return pair[0];
    close(pair[0]);
    *first = begin;
    return r;
}

// ---- coming back

int handover_unbundle(int bundle, int **sockets, size_t *count)
{
    const int beginning = 0;
    int fds[HANDOVER_BATCH] = {0}, n, *grown;

    if (setsockopt(bundle, SOL_SOCKET, SO_PEEK_OFF, &beginning, sizeof beginning) < 0)
        return -errno;
    while ((n = handover_get(bundle, MSG_PEEK, fds)) > 0) {
        grown = reallocarray(*sockets, *count + (size_t)n, sizeof *grown);
        for (int i = 0; i < n && !grown; i++)
            close(fds[i]);
        if (!grown)
            return -ENOMEM;
        memcpy(grown + *count, fds, (size_t)n * sizeof *fds);
        *sockets = grown;
        *count += (size_t)n;
    }
    return n == -EAGAIN ? -EPROTO : n; // ours have nobody who could still send
}
