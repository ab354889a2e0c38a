// SPDX-License-Identifier: ISC
// The command line.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK_CONFIG,
    OPTIONS_PRINT_CONFIG,
    OPTIONS_VERSION,
    OPTIONS_HELP,
};

struct options {
    enum options_action action;
    const char *config_path; // a view into argv, or the default
    bool drain;              // SIGTERM waits for running calls
    bool take_over;          // from the daemon that runs
};

#define OPTIONS_EXIT_USAGE 2 // the exit status for a command line that is wrong

// Returns 0, or -EINVAL with one line in 'error' that says what is wrong.
int options_parse(int argc, char *const argv[], struct options *ret_options, char *error,
                  size_t error_size);

// Does what was asked for instead of running, and returns the exit status: 0, or 1 when the
// configuration has errors. 'action' must not be OPTIONS_RUN.
int options_answer(const struct options *options, FILE *out, FILE *err);
