// SPDX-License-Identifier: ISC
// To a successor that runs already, over a unix socket. First how many descriptors there will be
// (MAGIC and four bytes), then messages of one byte with up to HANDOVER_BATCH descriptors each, the
// image's first. The successor answers with one byte when it has everything in use; a sender that
// has given up before said so with one byte.
#include "handover_internal.h"

#include "base/usec.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC           "JRHO"
#define DESCRIPTORS_MAX (1u << 20)

enum { HELLO = 8, CONFIRMED = '+', GIVEN_UP = '-' };

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

// Until the connection is ready for this; 0, -ETIMEDOUT or -errno.
static int wait_for(int connection, short events, uint64_t deadline)
{
    struct pollfd ready = {.fd = connection, .events = events};
    int n;

    do {
        uint64_t now = now_ms();
        n = poll(&ready, 1, now < deadline ? (int)(deadline - now) : 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}

// ---- sending

static int send_one(int connection, const void *data, size_t len, const int *fds, size_t count,
                    uint64_t deadline)
{
    int r;

    // ETOOMANYREFS: so many descriptors of ours are on their way that the other side has to take
    // some first.
    do {
        r = wait_for(connection, POLLOUT, deadline);
        if (r < 0)
            return r;
        r = handover_put(connection, data, len, fds, count);
        if (r == -ETOOMANYREFS)
            (void)poll(NULL, 0, 1);
    } while (r == -EAGAIN || r == -EINTR || r == -ETOOMANYREFS);
    return r == -EPIPE ? -ECONNRESET : r;
}

static int send_descriptors(int connection, const int *fds, size_t count, uint64_t deadline)
{
    uint32_t number = (uint32_t)count;
    uint8_t hello[HELLO] = MAGIC;
    int r;

    memcpy(hello + 4, &number, sizeof number); // of this machine, for this machine
    r = send_one(connection, hello, sizeof hello, NULL, 0, deadline);
    for (size_t i = 0; i < count && r == 0; i += HANDOVER_BATCH) {
        size_t batch = count - i < HANDOVER_BATCH ? count - i : HANDOVER_BATCH;
        r = send_one(connection, "", 1, fds + i, batch, deadline);
    }
    return r;
}

static int read_exactly(int connection, void *buf, size_t len, uint64_t deadline)
{
    for (size_t got = 0; got < len;) {
        int r = wait_for(connection, POLLIN, deadline);
        ssize_t n = r < 0 ? 0 : recv(connection, (char *)buf + got, len - got, MSG_DONTWAIT);
        if (r < 0)
            return r;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ECONNRESET;
        got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

// Never two that both go on: either the successor's word is here already, or he cannot give it any
// more, and is told why. Returns 0 or 'r'.
static int give_up(int connection, int r)
{
    char answer = GIVEN_UP;

    (void)send_one(connection, &answer, 1, NULL, 0, now_ms());
    (void)shutdown(connection, SHUT_RD); // what is in the queue can still be read
    return recv(connection, &answer, 1, MSG_DONTWAIT) == 1 && answer == CONFIRMED ? 0 : r;
}

int handover_send(const struct handover *handover, int connection, int timeout_ms)
{
    uint64_t deadline = now_ms() + (uint64_t)timeout_ms;
    int *fds = calloc(handover->entries + 1, sizeof *fds);
    int image = fds ? handover_image_write(handover) : -ENOMEM;
    char answer = 0;
    int r = image < 0 ? image : 0;

    if (r == 0) {
        fds[0] = image;
        for (size_t i = 0; i < handover->entries; i++)
            fds[i + 1] = handover->entry[i].fd;
        r = send_descriptors(connection, fds, handover->entries + 1, deadline);
        close(image);
    }
    free(fds);
    if (r == 0)
        r = read_exactly(connection, &answer, 1, deadline);
    if (r == 0 && answer != CONFIRMED)
        r = -EPROTO;
    return r < 0 ? give_up(connection, r) : 0;
}

int handover_confirm(int connection)
{
    char answer = CONFIRMED;
    int r = send_one(connection, &answer, 1, NULL, 0, now_ms());

    if (r < 0 && recv(connection, &answer, 1, MSG_DONTWAIT) == 1 && answer == GIVEN_UP)
        return -ECANCELED;
    return r;
}

// ---- receiving

struct arrivals {
    int *fd; // room for 'expected'
    size_t expected, count;
};

// A descriptor too many is closed.
static int take_descriptors(const int *fds, int count, struct arrivals *arrivals)
{
    int r = 0;

    for (int i = 0; i < count; i++) {
        if (arrivals->count < arrivals->expected) {
            arrivals->fd[arrivals->count++] = handover_lift(fds[i]);
        } else {
            close(fds[i]);
            r = -EPROTO;
        }
    }
    return r;
}

static int receive_one(int connection, struct arrivals *arrivals, uint64_t deadline)
{
    int fds[HANDOVER_BATCH];
    int r = wait_for(connection, POLLIN, deadline);

    if (r < 0)
        return r;
    r = handover_get(connection, 0, fds);
    if (r == -EAGAIN || r == -EINTR)
        return 0;
    if (r == 0)
        return -ECONNRESET;
    return r < 0 ? r : take_descriptors(fds, r, arrivals);
}

static int receive_all(int connection, struct arrivals *arrivals, uint64_t deadline)
{
    uint8_t hello[HELLO];
    uint32_t number;
    int r = read_exactly(connection, hello, sizeof hello, deadline);

    if (r < 0)
        return r;
    memcpy(&number, hello + 4, sizeof number);
    if (memcmp(hello, MAGIC, 4) != 0 || number == 0 || number > DESCRIPTORS_MAX)
        return -EPROTO;
    arrivals->fd = calloc(number, sizeof *arrivals->fd);
    arrivals->expected = number;
    if (!arrivals->fd)
        return -ENOMEM;
    while (arrivals->count < arrivals->expected && r == 0)
        r = receive_one(connection, arrivals, deadline);
    return r;
}

int handover_receive(int connection, int timeout_ms, struct handover **ret_handover)
{
    struct arrivals arrivals = {0};
    int r = receive_all(connection, &arrivals, now_ms() + (uint64_t)timeout_ms);

    if (r == 0)
        r = handover_image_read(arrivals.fd[0], arrivals.fd + 1, arrivals.count - 1, ret_handover);
    else
        for (size_t i = 0; i < arrivals.count; i++)
            close(arrivals.fd[i]);
    free(arrivals.fd);
    return r;
}
