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

// What no single key can tell: keys that are missing or contradict each other; and the files with
// secrets, which are read here. Each returns 0 (whatever it found stands in the errors) or -ENOMEM.
int config_check(struct config_load *load);
int config_check_secret(struct config_load *load); // xmpp.secret, xmpp.secret_file
int config_check_key(struct config_load *load);    // privacy.key_file
int config_check_turn(struct config_load *load);
int config_check_users(struct config_load *load); // turn.users_file

// When the addresses are known. Returns 0, or -EINVAL with an error.
int config_check_turn_addresses(const struct config *config, struct config_errors *errors);

// Reads a file that 'row' names, with a warning if it is 'secret' and open to all. Returns 0 or
// -ENOMEM; '*ret_data' is NULL when there is an error instead, else the caller's, for
// config_wipe().
int config_read_named(struct config_load *load, const struct config_row *row, const char *path,
                      size_t max, bool secret, char **ret_data, size_t *ret_len);
// The one line of a file with a secret; the same.
int config_read_secret(struct config_load *load, const struct config_row *row, const char *path,
                       char **ret_secret);
// Where systemd's LoadCredential puts it: NULL if there are no credentials; free() it. Returns 0 or
// -ENOMEM.
int config_credential_path(const char *name, char **ret_path);
void config_wipe(char *data, size_t len); // and free it; NULL is fine
// The texts of a list, which may be secrets; and its array.
void config_wipe_list(char **item, size_t count);
