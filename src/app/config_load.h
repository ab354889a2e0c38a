// SPDX-License-Identifier: ISC
// A configuration while it is being read: shared by the files that read and check it.
#pragma once

#include "config_kind.h"
#include "config_text.h"

struct config_load {
    struct config config;
    struct config_text text;
    unsigned
        *line; // for each row of the table: its line in 'text', or 0 if the file has not got it
    struct config_errors *errors; // borrowed
};

bool config_given(const struct config_load *load, const struct config_row *row);
// Adds "FILE:LINE: group.key = value: " and the text: an error, or a warning, about a key.
void config_blame(struct config_load *load, bool warning, const struct config_row *row,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
// An error about the value that 'in' could not take.
void config_blame_value(struct config_load *load, const struct config_input *in);
// An error at a line of the text; takes what 'message' holds.
void config_blame_line(struct config_load *load, unsigned line, struct buf *message);

// What no single key can tell: keys that are missing or contradict each other; and the secret,
// which is read here. Returns 0 (whatever it found stands in the errors) or -ENOMEM.
int config_check(struct config_load *load);
