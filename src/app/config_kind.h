// SPDX-License-Identifier: ISC
// The kinds of value that a configuration key may have: how each is read from libconfig's tree,
// printed in the file's syntax, and described to whoever wrote it wrong.
#pragma once

#include "config_table.h"

struct config_setting_t; // libconfig's

// One value on its way in. On failure 'culprit' is the setting to blame (the element of a list)
// and 'hint', if not NULL, says more than "expected ...".
struct config_input {
    const struct config_row *row;
    const struct config_setting_t *setting;
    const struct config_setting_t *culprit;
    const char *hint;
};

struct config_kind {
    const char *name; // for docs
    // Returns 0, -EINVAL or -ENOMEM. On success the old value was released, else it stands.
    int (*parse)(struct config_input *in, void *field);
    void (*print)(const struct config_row *row, const void *field, struct buf *out);
    void (*expect)(const struct config_row *row, struct buf *out); // completes "expected ..."
    void (*clear)(void *field);                                    // NULL: nothing is owned
    size_t size;                                                   // of the field
};

extern const struct config_kind config_kind_bool;        // bool
extern const struct config_kind config_kind_uint;        // unsigned
extern const struct config_kind config_kind_duration;    // usec_t
extern const struct config_kind config_kind_bitrate;     // uint64_t, bit/s
extern const struct config_kind config_kind_word;        // an enum, by row->words
extern const struct config_kind config_kind_domain;      // char *
extern const struct config_kind config_kind_domain_list; // struct config_list
extern const struct config_kind config_kind_host;        // char *
extern const struct config_kind config_kind_path;        // char *, absolute
extern const struct config_kind config_kind_file;        // char *, a path or "none"
extern const struct config_kind config_kind_socket;      // char *, a path or "none"
extern const struct config_kind config_kind_path_list;   // struct config_list
extern const struct config_kind config_kind_user_list;   // struct config_list, bare JIDs
extern const struct config_kind config_kind_uri_list;    // struct config_list
extern const struct config_kind config_kind_realm;       // char *
extern const struct config_kind config_kind_secret;      // char *, never shown
extern const struct config_kind config_kind_addr4;       // struct config_addr
extern const struct config_kind config_kind_addr6;       // struct config_addr
extern const struct config_kind config_kind_listen;      // struct addr
extern const struct config_kind config_kind_ports;       // struct config_ports
extern const struct config_kind config_kind_port_list;   // struct config_port_list
extern const struct config_kind config_kind_prefix_list; // struct prefix_list

// For the kinds themselves. Sets 'hint', and 'culprit' unless it is set; returns -EINVAL.
int config_wrong(struct config_input *in, const char *hint);
const char *config_text_value(const struct config_setting_t *setting); // NULL if not a text
bool config_word_value(const struct config_word *word, const char *text, int *ret_value);
// A whole number within bounds: 0, or -EINVAL with the culprit set.
int config_number_value(struct config_input *in, const struct config_setting_t *setting,
                        uint64_t min, uint64_t max, unsigned *ret_value);
// 0 if the setting is a list, of texts, of as many elements as the row allows; else -EINVAL.
int config_check_list(struct config_input *in);
int config_check_texts(struct config_input *in);
bool config_port_listed(const struct config_port_list *list, unsigned port);
// Writes a text in quotes, as libconfig reads it; control characters as \xNN.
void config_quote(const char *text, struct buf *out);
