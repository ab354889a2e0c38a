// SPDX-License-Identifier: ISC
// How busy is a core with everything else? Interrupts and the network stack's own work are charged
// to whatever task they happen to interrupt, so the figures of a process miss much of what its
// packets cost. This one runs on that core when nothing else wants it (SCHED_IDLE) and reads the
// clock without pause: each step of the clock that is too long was time taken by something else.
//
//   spin CPU SECONDS
//
// Prints the share of the time that was taken, 0 to 1, and the seconds that the kernel counts as
// the spinner's own; what interrupts took from it is among them.
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define GAP 250 // ns; a reading of the clock takes a tenth of it, the shortest interrupt more

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
    const struct sched_param none = {0};
    uint64_t start, end, last, taken = 0;
    cpu_set_t cpu;

    if (argc != 3) {
        fprintf(stderr, "usage: spin CPU SECONDS\n");
        return 2;
    }
    CPU_ZERO(&cpu);
    CPU_SET((size_t)atoi(argv[1]), &cpu);
    if (sched_setaffinity(0, sizeof cpu, &cpu) < 0 ||
        sched_setscheduler(0, SCHED_IDLE, &none) < 0) {
        perror("spin");
        return 1;
    }
    start = last = read_clock(CLOCK_MONOTONIC);
    end = start + (uint64_t)(atof(argv[2]) * 1e9);
    while (last < end) {
        uint64_t t = read_clock(CLOCK_MONOTONIC);

        if (t - last > GAP)
            taken += t - last;
        last = t;
    }
    printf("%.5f %.6f\n", (double)taken / (double)(last - start),
           (double)read_clock(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    return 0;
}
