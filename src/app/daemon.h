// SPDX-License-Identifier: ISC
// The running daemon: every part, wired together.
#pragma once

#include "config.h"

#include <stdbool.h>

// Runs until it is told to stop. 'path' is where the configuration comes from; what is reloaded is
// written to 'config'. 'drain': SIGTERM waits for the running calls to end (a second one
// does not). Returns the exit status: 0, or 1 when something could not be started (said in the
// log).
int daemon_run(struct config *config, const char *path, bool drain);
