// SPDX-License-Identifier: ISC
// How busy threads and cores are, as the kernel counts it. Totals: the caller takes differences.
#pragma once

#include "base/usec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct load_thread {
    usec_t awake; // it ran, or would have if it had been given a core
    int core;     // on which it ran last; -1: unknown
};

struct load_core {
    bool online;
    usec_t idle;  // by a clock, not by ticks, wherever the kernel stops the tick while it is idle
    usec_t tasks; // programs and threads, by ticks
    usec_t interrupts; // packets on their way through the kernel, above all; by ticks
    bool counts;       // 'packets' is known
    uint32_t packets;  // received, through whatever interface; goes round
    usec_t stolen;     // the machine's host gave it to others while there was something to do
};

struct load_share { // of the time that a core had, of 1: without what the machine's host took away
    double busy;
    double interrupts; // of it, what no program had
};

// A thread of this process. Returns 0, or -errno where the kernel does not tell.
int load_thread(pid_t id, struct load_thread *ret_thread);
// Cores by their number, below 'most'. Returns the highest number and one, or -errno (systemd's
// ProcSubset=pid hides them).
int load_cores(struct load_core *ret_core, unsigned most);
// What a core did in 'span' from 'before' to 'after'; nothing where that is not known. Packets come
// between two ticks and put no tick on while the core is idle otherwise: ticks alone would see a
// third of the work. So what was neither idle nor a program's counts as interrupts; but no more
// than the packets that the core received can have cost, as programs, too, come and go between two
// ticks, and not all interrupts are packets'.
struct load_share load_share(const struct load_core *before, const struct load_core *after,
                             usec_t span);
// Packets, of any core since it started, that came faster than the kernel took them up, so that no
// socket and no program has seen them. 0 where the kernel does not tell.
uint64_t load_missed(void);
pid_t load_own_thread(void);
