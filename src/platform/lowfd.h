// SPDX-License-Identifier: ISC
// Descriptors below FD_SETSIZE kept in reserve for a library that calls select(): with a number of
// 1,024 or more it would write beyond its fd_set. A relay with thousands of sockets has no low
// number left when it must connect again, so some are held from the start and a socket is moved
// onto one of them.
#pragma once

// More than one, because a number is for anybody to take between the library's close() and our
// refilling. Whoever takes it keeps it for a while, and there must be another.
#define LOWFD_RESERVE 4

struct lowfd {
    int spare[LOWFD_RESERVE]; // -1 where there is none
};

// Returns 0 or -EMFILE (no low number is free).
int lowfd_init(struct lowfd *low);
void lowfd_free(struct lowfd *low);
// Takes low numbers for spares that are missing, as far as there are any.
void lowfd_refill(struct lowfd *low);
// Moves an open descriptor onto a spare one (close-on-exec); 'fd' is closed on success. Returns the
// new number or -EMFILE.
int lowfd_move(struct lowfd *low, int fd);
