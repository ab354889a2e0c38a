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

#define LEAST_HAD   0.1 // of the time: what is stolen is counted by ticks, and may seem to be all
#define PACKET_MOST 50  // usec: what a packet can take that wakes a core; trains, too

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

// A line of /proc/stat. Returns the core's number, or -1.
static int parse_core(const char *line, usec_t per_tick, struct load_core *ret_core)
{
    uint64_t ticks[CORE_FIELDS];
    int core;

    if (sscanf(line,
               "cpu%d %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64 " %" SCNu64,
               &core, &ticks[USER], &ticks[NICE], &ticks[SYSTEM], &ticks[IDLE], &ticks[IOWAIT],
               &ticks[IRQ], &ticks[SOFTIRQ], &ticks[STEAL]) != 1 + CORE_FIELDS)
        return -1;
    *ret_core = (struct load_core){
        .online = true,
        .idle = (ticks[IDLE] + ticks[IOWAIT]) * per_tick,
        .tasks = (ticks[USER] + ticks[NICE] + ticks[SYSTEM]) * per_tick,
        .interrupts = (ticks[IRQ] + ticks[SOFTIRQ]) * per_tick,
        .stolen = ticks[STEAL] * per_tick,
    };
    return core;
}

// A line for each core that is online, with the core's number in the 13th field since Linux 5.10.
// Returns its number, or -1 at the end.
static int read_softnet(FILE *file, int line_number, uint32_t *ret_packets, uint32_t *ret_missed)
{
    char line[512];
    unsigned core;

    if (!fgets(line, sizeof line, file) ||
        sscanf(line, "%" SCNx32 " %" SCNx32, ret_packets, ret_missed) != 2)
        return -1;
    if (sscanf(line, "%*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %*x %x", &core) == 1)
        return (int)core;
    return line_number;
}

static void read_packets(struct load_core *core, unsigned most)
{
    FILE *file = fopen("/proc/net/softnet_stat", "re");
    uint32_t packets, missed;
    int number;

    if (!file)
        return;
    for (int line = 0; (number = read_softnet(file, line, &packets, &missed)) >= 0; line++) {
        if ((unsigned)number >= most)
            continue;
        core[number].counts = true;
        core[number].packets = packets;
    }
    fclose(file);
}

int load_cores(struct load_core *ret_core, unsigned most)
{
    long ticks = sysconf(_SC_CLK_TCK);
    usec_t per_tick = USEC_PER_SEC / (usec_t)(ticks > 0 ? ticks : 100);
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    int count = 0;

    if (!file)
        return -errno;
    memset(ret_core, 0, most * sizeof *ret_core);
    // The first line is the sum; a core that is offline has none.
    while (fgets(line, sizeof line, file) && strncmp(line, "cpu", 3) == 0) {
        struct load_core one;
        int core = parse_core(line, per_tick, &one);

        if (core < 0 || (unsigned)core >= most)
            continue;
        ret_core[core] = one;
        count = core + 1;
    }
    fclose(file);
    read_packets(ret_core, most);
    return count;
}

// The kernel may take a little back.
static double risen(usec_t before, usec_t now)
{
    return now > before ? (double)(now - before) : 0;
}

struct load_share load_share(const struct load_core *before, const struct load_core *after,
                             usec_t span)
{
    struct load_share share = {0};
    double busy, rest, interrupts, had = (double)span;

    if (!before->online || !after->online || span == 0)
        return share;
    had -= risen(before->stolen, after->stolen);
    if (had < LEAST_HAD * (double)span)
        had = LEAST_HAD * (double)span;
    busy = had - risen(before->idle, after->idle);
    if (busy < 0)
        busy = 0;
    rest = busy - risen(before->tasks, after->tasks);
    interrupts = risen(before->interrupts, after->interrupts);
    if (interrupts < rest)
        interrupts = rest;
    if (before->counts && after->counts) {
        double packets = (double)PACKET_MOST * (uint32_t)(after->packets - before->packets);

        interrupts = packets < interrupts ? packets : interrupts;
    }
    share.busy = busy / had;
    share.interrupts = (interrupts < busy ? interrupts : busy) / had;
    return share;
}

uint64_t load_missed(void)
{
    FILE *file = fopen("/proc/net/softnet_stat", "re");
    uint32_t packets, missed;
    uint64_t sum = 0;

    if (!file)
        return 0;
    for (int line = 0; read_softnet(file, line, &packets, &missed) >= 0; line++)
        sum += missed;
    fclose(file);
    return sum;
}

pid_t load_own_thread(void)
{
    return gettid();
}
