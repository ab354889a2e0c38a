// SPDX-License-Identifier: ISC
// The running daemon: every part, wired together.
#pragma once

#include "config.h"

#include <stdbool.h>

struct daemon_options {
    const char *path; // where the configuration comes from
    bool drain;       // SIGTERM waits for the running calls to end (a second one does not)
    bool take_over;   // from the daemon that runs now
};

// Runs until it is told to stop. What is reloaded is written to 'config'. Returns the exit status:
// 0, or 1 when something could not be started (said in the log).
int daemon_run(struct config *config, const struct daemon_options *options);
