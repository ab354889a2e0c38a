// SPDX-License-Identifier: ISC
// For tests of the configuration: reading texts, looking for errors, and files in a directory of
// their own. A text is "t.conf" in errors.
#pragma once

#include "config_table.h"

#include <stddef.h>

#define SECRET "0123456789abcdef"
// The required keys in one line, so that what a case adds begins in line 2.
#define XMPP                                                                                       \
    "xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\"; "                           \
    "served_domains = [ \"example.org\" ]; };\n"

int config_of(const char *text, struct config *ret_config, struct config_errors *errors);
void config_right(const char *text, struct config *ret_config); // without so much as a warning
bool config_says(const struct config_errors *errors, bool warning, const char *text);
char *config_printed(const struct config *config); // free() it

struct config_wrong {
    const char *text;
    const char *error; // in full
};
// Each text gives this error and no other, and no configuration.
void config_check_wrong(const struct config_wrong *wrong, size_t count);

struct place {
    char directory[64];
    char path[512];
};

int place_make(void **state); // as setup and teardown of a test: its state is a struct place
int place_remove(void **state);
const char *place_path(struct place *place, const char *name); // valid until the next call
const char *place_file(struct place *place, const char *name, const char *text, size_t len);
