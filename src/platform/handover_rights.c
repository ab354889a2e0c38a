// SPDX-License-Identifier: ISC
// Descriptors over a unix socket (SCM_RIGHTS, unix(7)), as many as one message takes.
#include "handover_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr head; // its alignment
    char space[CMSG_SPACE(HANDOVER_BATCH * sizeof(int))];
};

int handover_put(int to, const void *data, size_t len, const int *fds, size_t count)
{
    struct iovec iov = {.iov_len = len};
    union control control = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    memcpy(&iov.iov_base, &data, sizeof data); // sendmsg() does not write there
    if (count > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof *fds);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(count * sizeof *fds);
        memcpy(CMSG_DATA(&control.head), fds, count * sizeof *fds);
    }
    n = sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -EPROTO;
}

// The descriptors of a message that has come.
static int unpack(struct msghdr *message, int *ret_fds)
{
    const struct cmsghdr *c = CMSG_FIRSTHDR(message);
    size_t bytes = 0;

    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        bytes = c->cmsg_len - CMSG_LEN(0);
        memcpy(ret_fds, CMSG_DATA(c), bytes);
    }
    return (int)(bytes / sizeof *ret_fds);
}

int handover_get(int from, int flags, int *ret_fds)
{
    char byte;
    struct iovec iov = {&byte, 1};
    union control control;
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t n = recvmsg(from, &message, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int count;

    if (n <= 0)
        return n < 0 ? -errno : 0;
    count = unpack(&message, ret_fds);
    if (!(message.msg_flags & MSG_CTRUNC))
        return count > 0 ? count : -EPROTO;
    for (int i = 0; i < count; i++)
        close(ret_fds[i]);
    return -EMFILE;
}
