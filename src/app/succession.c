// SPDX-License-Identifier: ISC
// See succession.h.
#include "succession.h"

#include "base/log.h"
#include "base/log_kind.h"
#include "platform/udp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST      "{\"verb\": \"hand-over\"}\n"
#define TAKE_OVER_MS 30000

// ---- what was left

// Returns a connection to the running daemon, or -errno.
static int reach(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, r = 0;

    if (!path || strlen(path) >= sizeof address.sun_path)
        return -EINVAL;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) != (ssize_t)strlen(REQUEST))
        r = -errno;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

static int take_over(const struct config *config, struct succession *succession)
{
    const char *path = config->control.socket;
    int r;

    succession->connection = reach(path);
    if (succession->connection == -ENOENT || succession->connection == -ECONNREFUSED) {
        log_notice("--take-over: no daemon runs at %s; this is a cold start", path);
        succession->connection = -1;
        return 0;
    }
    r = succession->connection < 0
            ? succession->connection
            : handover_receive(succession->connection, TAKE_OVER_MS, &succession->handover);
    if (r < 0)
        log_err("--take-over: the daemon at %s does not hand over, and goes on: %s",
                path ? path : "control.socket", strerror(-r));
    return r;
}

// Returns 0, or -EPROTO with a reason for people in 'ret_why'.
static int read_state(struct succession *succession, const char **ret_why)
{
    size_t len;
    const char *text = handover_state(succession->handover, &len);

    *ret_why = "there is no state with it";
    if (!text || restart_read(text, len, usec_now(), &succession->restart, ret_why) < 0)
        return -EPROTO;
    succession->revival.states = succession->restart.workers;
    return 0;
}

static const char *wrong_with_kept(int r)
{
    if (r == -ESTALE)
        return "another daemon has used it already";
    if (r == -ELOOP)
        return "daemons that tried to have ended without a word";
    return strerror(-r);
}

int succession_open(const struct config *config, bool take, struct succession *ret_succession)
{
    struct succession succession = {.connection = -1};
    const char *why = NULL;
    int r = take ? take_over(config, &succession) : handover_restore(&succession.handover);

    if (r < 0 && !take)
        why = wrong_with_kept(r);
    else if (r == 0 && succession.handover)
        r = read_state(&succession, &why);
    if (r < 0 && take) { // nothing is lost yet
        if (why)
            log_err("--take-over: what the daemon has cannot be used, and it goes on: %s", why);
        succession_free(&succession);
        return r;
    }
    if (why && r < 0)
        log_kind(LOG_NOT_RESTORED,
                 "what the last daemon has left cannot be used: %s; this is a cold start", why);
    *ret_succession = succession;
    return 0;
}

unsigned succession_workers(struct succession *succession, unsigned configured)
{
    struct restart *restart = &succession->restart;
    unsigned left = restart_workers(restart);

    if (!restart->root || left == configured)
        return configured;
    if (restart->calls == 0 && restart->allocations == 0) {
        succession->revival.states = NULL; // nothing lives there; credentials stay good
        return configured;
    }
    log_notice("%u workers until the next start without calls, though the configuration means %u: "
               "calls and allocations live on them",
               left, configured);
    return left;
}

struct workers_revival *succession_revival(struct succession *succession)
{
    succession->revival.handover = succession->handover;
    return succession->handover ? &succession->revival : NULL;
}

void succession_heard(struct succession *succession)
{
    succession->heard = usec_now();
}

void succession_signal(struct succession *succession, struct signal *signal)
{
    const struct restart *restart = &succession->restart;
    const struct workers_revival *revival = &succession->revival;
    usec_t now = usec_now();
    unsigned lost;
    int r;

    if (!restart->root)
        return;
    r = signal_restore(signal, restart->signal, now, &lost);
    if (r < 0)
        log_err("the calls cannot go on: %s", strerror(-r));
    signal_keep_paths(signal, revival->path, revival->paths, now);
    succession->calls = signal_calls(signal);
}

static uint64_t allocations_of(const struct workers *workers)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < workers_count(workers); i++)
        sum += counter_get(workers_counters(workers, i), COUNTER_TURN_ALLOCATIONS);
    return sum;
}

static uint64_t missing(uint64_t of, uint64_t kept)
{
    return of > kept ? of - kept : 0;
}

static void tell(const struct succession *succession, const struct workers *workers,
                 struct counters *counters)
{
    const struct restart *restart = &succession->restart;
    uint64_t allocations = allocations_of(workers);
    usec_t deaf = missing(succession->heard, restart->stopped) / USEC_PER_MSEC;

    counter_set(counters, COUNTER_RESTARTS, restart->restarts + 1);
    counter_set(counters, COUNTER_RESTART_CALLS_KEPT, succession->calls);
    counter_set(counters, COUNTER_RESTART_CALLS_LOST, missing(restart->calls, succession->calls));
    counter_set(counters, COUNTER_RESTART_ALLOCATIONS_KEPT, allocations);
    counter_set(counters, COUNTER_RESTART_ALLOCATIONS_LOST,
                missing(restart->allocations, allocations));
    counter_set(counters, COUNTER_RESTART_DEAF_MS, deaf);
    log_kind(LOG_RESTARTED,
             "goes on with %u of %u calls and %" PRIu64 " of %u allocations that jingle-relayd "
             "%s has left; nobody listened for %" PRIu64 " ms",
             succession->calls, restart->calls, allocations, restart->allocations, restart->version,
             deaf);
}

int succession_done(struct succession *succession, const struct workers *workers,
                    struct counters *counters)
{
    int r = succession->connection >= 0 ? handover_confirm(succession->connection) : 0;

    if (r == -ECANCELED) {
        log_err("--take-over: this start took too long: the daemon before this one goes on");
        return r;
    }
    if (r < 0)
        log_warning("the daemon before this one has gone before its time");
    if (succession->restart.root)
        tell(succession, workers, counters);
    handover_used(succession->handover);
    succession_free(succession);
    return 0;
}

void succession_free(struct succession *succession)
{
    if (succession->connection >= 0)
        close(succession->connection);
    if (succession->restart.root && handover_is_kept(succession->handover))
        log_notice("%u calls of the last daemon wait for the next start, for at most 5 minutes",
                   succession->restart.calls);
    free(succession->revival.path);
    restart_free(&succession->restart);
    handover_free(succession->handover);
    *succession = (struct succession){.connection = -1};
}

void succession_abandon(struct succession *succession, struct workers *workers)
{
    if (succession->restart.root && workers)
        workers_disown(workers);
    succession_free(succession);
}

// ---- the control socket

// Beside the path: a socket may be renamed and is the same, and cannot be bound again.
static bool name_aside(const struct config *config, char *buf, size_t size)
{
    return (size_t)snprintf(buf, size, "%s.left", config->control.socket) < size;
}

void succession_clear_path(const struct config *config)
{
    char aside[sizeof(struct sockaddr_un)];

    if (name_aside(config, aside, sizeof aside))
        (void)rename(config->control.socket, aside);
}

void succession_restore_path(const struct config *config)
{
    char aside[sizeof(struct sockaddr_un)];

    if (name_aside(config, aside, sizeof aside))
        (void)rename(aside, config->control.socket);
}

void succession_forget_path(const struct config *config)
{
    char aside[sizeof(struct sockaddr_un)];

    if (name_aside(config, aside, sizeof aside))
        (void)unlink(aside);
}

// ---- what is left

int succession_leave(const struct estate *estate, struct handover **ret_handover)
{
    struct restart_parts parts = {
        .turn = estate->turn,
        .calls = signal_calls(estate->signal),
        .allocations = (unsigned)allocations_of(estate->workers),
        .restarts = estate->restarts,
        .stopped = estate->stopped,
    };
    struct handover *handover;
    size_t len = 0;
    char *text;
    int r = handover_new(&handover);

    if (r < 0)
        return r;
    parts.signal = signal_save(estate->signal, usec_now()); // its last orders go to the workers
    parts.workers = workers_save(estate->workers, handover, usec_now());
    text = restart_write(&parts, &len);
    r = text ? handover_set_state(handover, text, len) : -ENOMEM;
    if (text)
        explicit_bzero(text, len);
    free(text);
    if (r == 0)
        r = stats_leave(estate->stats, handover);
    if (r < 0)
        handover_free(handover);
    else
        *ret_handover = handover;
    return r;
}
