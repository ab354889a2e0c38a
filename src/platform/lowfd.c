// SPDX-License-Identifier: ISC
// The reserve of low descriptors; see lowfd.h.
#include "lowfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/select.h>
#include <unistd.h>

void lowfd_refill(struct lowfd *low)
{
    for (unsigned i = 0; i < LOWFD_RESERVE; i++) {
        if (low->spare[i] >= 0)
            continue;
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); // the lowest free number
        if (fd >= FD_SETSIZE) {
            close(fd);
            return;
        }
        low->spare[i] = fd;
    }
}

int lowfd_init(struct lowfd *low)
{
    for (unsigned i = 0; i < LOWFD_RESERVE; i++)
        low->spare[i] = -1;
    lowfd_refill(low);
    return low->spare[0] >= 0 ? 0 : -EMFILE;
}

void lowfd_free(struct lowfd *low)
{
    for (unsigned i = 0; i < LOWFD_RESERVE; i++) {
        if (low->spare[i] >= 0)
            close(low->spare[i]);
        low->spare[i] = -1;
    }
}

int lowfd_move(struct lowfd *low, int fd)
{
    for (unsigned i = 0; i < LOWFD_RESERVE; i++) {
        int spare = low->spare[i];
        if (spare < 0 || dup3(fd, spare, O_CLOEXEC) < 0)
            continue;
        low->spare[i] = -1;
        close(fd);
        return spare;
    }
    return -EMFILE;
}
