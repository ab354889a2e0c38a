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

union control {
    struct cmsghdr header; // its alignment
    char bytes[CMSG_SPACE(HANDOVER_BATCH * sizeof(int))];
};

static int put_batch(int to, const int *fds, size_t count)
{
    char byte = 0;
    union control control = {0};
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_SPACE(count * sizeof *fds)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(cmsg), fds, count * sizeof *fds);
    return sendmsg(to, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

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
        r = put_batch(pair[1], fds, count);
        if (r < 0)
            break;
        *first += count;
    }
    close(pair[1]); // what is queued stays
    if (r == 0 || (r == -EAGAIN && *first > begin))
        return pair[0];
    close(pair[0]);
    return r;
}

// ---- coming back

// Descriptors of the next message, or 0 at the end, or -errno.
static int look_at_batch(int from, int *ret_fds)
{
    char byte;
    union control control;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(from, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    size_t bytes;

    if (n <= 0)
        return n < 0 ? -errno : 0;
    if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
        return -EPROTO;
    bytes = cmsg->cmsg_len - CMSG_LEN(0);
    memcpy(ret_fds, CMSG_DATA(cmsg), bytes);
    return (int)(bytes / sizeof *ret_fds);
}

int handover_unbundle(int bundle, int **sockets, size_t *count)
{
    const int beginning = 0;
    int fds[HANDOVER_BATCH] = {0}, n, *grown;

    if (setsockopt(bundle, SOL_SOCKET, SO_PEEK_OFF, &beginning, sizeof beginning) < 0)
        return -errno;
    while ((n = look_at_batch(bundle, fds)) > 0) {
        grown = reallocarray(*sockets, *count + (size_t)n, sizeof *grown);
        for (int i = 0; i < n && !grown; i++)
            close(fds[i]);
        if (!grown)
            return -ENOMEM;
        memcpy(grown + *count, fds, (size_t)n * sizeof *fds);
        *sockets = grown;
        *count += (size_t)n;
    }
    return n;
}
