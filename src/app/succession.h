// SPDX-License-Identifier: ISC
// One daemon after another: what this one was left by the one before it, and what it leaves. Either
// systemd keeps it in between, or the successor asks the running daemon for it over the control
// socket (jingle-relayd --take-over). What systemd has kept and cannot be used is no reason not to
// start: one line in the log says why, and the start is a cold one. A daemon that runs goes on.
#pragma once

#include "base/counter.h"
#include "config.h"
#include "platform/handover.h"
#include "restart.h"
#include "signal/signal.h"
#include "stats.h"
#include "workers.h"

struct succession { // zeros but for 'connection': nothing was left
    struct handover *handover;
    struct restart restart;         // root NULL: sockets alone
    struct workers_revival revival; // for workers_new()
    int connection;                 // at which the daemon before this one waits; -1: none
    usec_t heard;                   // since when this one listens
    unsigned calls;                 // that are kept
};

// Fetches what was left. Returns 0 also when that was nothing, or -errno, said in the log: a daemon
// that runs did not hand over, and goes on. What systemd has kept stays there until
// succession_done(): a start that fails leaves it for the next one.
int succession_open(const struct config *config, bool take_over, struct succession *ret_succession);
// How many workers there will be: those of what was left, as long as anything lives on them.
unsigned succession_workers(struct succession *succession, unsigned configured);
struct workers_revival *succession_revival(struct succession *succession); // NULL: none
// The workers listen. Then the calls go on.
void succession_heard(struct succession *succession);
void succession_signal(struct succession *succession, struct signal *signal);
// Everything runs: says so to whoever waits, in the log, and in the figures. Returns 0, or
// -ECANCELED: whoever waited does so no more, and goes on in the place of this one.
int succession_done(struct succession *succession, const struct workers *workers,
                    struct counters *counters);
void succession_free(struct succession *succession); // closes what nobody has taken
// Before the workers (NULL: none) end: if this was not done, what they have lives on elsewhere.
void succession_abandon(struct succession *succession, struct workers *workers);

// What is left; all borrowed.
struct estate {
    struct workers *workers; // frozen
    struct signal *signal;
    const struct turn_server *turn; // NULL: off
    const struct stats *stats;      // NULL: off
    unsigned restarts;              // that have kept the calls so far
    usec_t stopped;
};

// The path of the control socket is the successor's, which is to find it free; or this daemon's
// again, if there was no successor after all.
void succession_clear_path(const struct config *config);
void succession_restore_path(const struct config *config);
void succession_forget_path(const struct config *config);

// Writes everything down. Returns 0, -ENOMEM or -errno.
int succession_leave(const struct estate *estate, struct handover **ret_handover);
