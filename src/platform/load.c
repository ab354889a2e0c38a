// SPDX-License-Identifier: ISC
// What /proc says; see platform/load.h and proc(5).
#include "platform/load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STAT_CORE = 39 - 2, // of /proc/PID/stat, counted from behind the program's name
    CORE_FIELDS = 8,    // of /proc/stat
};

enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL };

// NULL: errno says why.
static FILE *open_own(pid_t id, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)id, name);
    return fopen(path, "re");
}

// The core on which the thread ran last.
static int read_core(pid_t id)
{
    char line[1024], *field;
    FILE *file = open_own(id, "stat");
    int core = -1;

    if (!file)
        return -1;
    if (fgets(line, sizeof line, file) && (field = strrchr(line, ')'))) {
        for (int i = 0; i < STAT_CORE && field; i++)
            field = strchr(field + 1, ' ');
        if (field)
            core = atoi(field);
    }
    fclose(file);
    return core;
}

int load_thread(pid_t id, struct load_thread *ret_thread)
{
    uint64_t ran, waited; // nanoseconds
    FILE *file = open_own(id, "schedstat");
    int r;

    if (!file)
        return -errno;
    r = fscanf(file, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2 ? 0 : -EIO;
    fclose(file);
    if (r == 0)
        *ret_thread = (struct load_thread){(ran + waited) / 1000, read_core(id)};
    return r;
}

static bool read_one(FILE *file, usec_t per_tick, struct load_core *ret_core)
{
    uint64_t ticks[CORE_FIELDS], busy;
    char line[256];

    if (!fgets(line, sizeof line, file) || strncmp(line, "cpu", 3) != 0 ||
        sscanf(line,
               "%*s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &ticks[USER], &ticks[NICE], &ticks[SYSTEM], &ticks[IDLE], &ticks[IOWAIT],
               &ticks[IRQ], &ticks[SOFTIRQ], &ticks[STEAL]) != CORE_FIELDS)
        return false;
    busy = ticks[USER] + ticks[NICE] + ticks[SYSTEM] + ticks[IRQ] + ticks[SOFTIRQ] + ticks[STEAL];
    *ret_core = (struct load_core){busy * per_tick, (ticks[IRQ] + ticks[SOFTIRQ]) * per_tick};
    return true;
}

int load_cores(struct load_core *ret_core, unsigned most)
{
    long ticks = sysconf(_SC_CLK_TCK);
    usec_t per_tick = USEC_PER_SEC / (usec_t)(ticks > 0 ? ticks : 100);
    FILE *file = fopen("/proc/stat", "re");
    struct load_core all;
    unsigned count = 0;

    if (!file)
        return -errno;
    // The first line is the sum.
    if (read_one(file, per_tick, &all)) {
        while (count < most && read_one(file, per_tick, &ret_core[count]))
            count++;
    }
    fclose(file);
    return (int)count;
}

uint64_t load_missed(void)
{
    FILE *file = fopen("/proc/net/softnet_stat", "re"); // a line for each core
    char line[512];
    uint64_t missed = 0;
    unsigned dropped;

    if (!file)
        return 0;
    while (fgets(line, sizeof line, file) && sscanf(line, "%*x %x", &dropped) == 1)
        missed += dropped;
    fclose(file);
    return missed;
}

pid_t load_own_thread(void)
{
    return gettid();
}
