// SPDX-License-Identifier: ISC
// How busy threads and cores are, as the kernel counts it. Totals: the caller takes differences.
#pragma once

#include "base/usec.h"

#include <stdint.h>
#include <sys/types.h>

struct load_thread {
    usec_t awake; // it ran, or would have if it had been given a core
    int core;     // on which it ran last; -1: unknown
};

struct load_core {
    usec_t busy;       // not idle
    usec_t interrupts; // of it: packets on their way through the kernel, above all
};

// A thread of this process. Returns 0, or -errno where the kernel does not tell.
int load_thread(pid_t id, struct load_thread *ret_thread);
// The first 'most' cores. Returns how many there are of them, or -errno (systemd's ProcSubset=pid
// hides them).
int load_cores(struct load_core *ret_core, unsigned most);
// Packets, of any core since it started, that came faster than the kernel took them up, so that no
// socket and no program has seen them. 0 where the kernel does not tell.
uint64_t load_missed(void);
pid_t load_own_thread(void);
