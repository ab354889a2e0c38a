// SPDX-License-Identifier: ISC
// The table of configuration keys, and what each of them may be.
// From a row follow parsing, bounds, errors, the default, --print-config, docs/CONFIGURATION.md,
// the key list in jingle-relayd.conf(5), and the check of the sample file.
#pragma once

#include "config.h"

struct config_kind; // config_kind.h

struct config_word { // a list of them ends with a NULL name
    const char *name;
    int value;
};

struct config_row {
    const char *group;
    const char *name;
    const struct config_kind *kind;
    size_t offset;     // of the value in struct config
    uint64_t min, max; // in the unit of the kind; a duration or bit rate with min 0 may be "none"
    const char *fallback; // the default, as it would stand in the file; NULL: there is none
    const char *absent;   // for docs, where fallback is NULL: what happens then
    bool required;
    bool reload;                     // may change while the daemon runs
    const struct config_word *words; // of a word; the special words of an address
    const char *help;                // what it is for: a sentence or two
};

extern const struct config_row config_rows[];
extern const size_t config_row_count;

#define CONFIG_PORTS_MIN        8  // the smallest range that is of use
#define CONFIG_PORTS_PER_WORKER 16 // where there is more than one worker

static inline const void *config_field(const struct config *config, const struct config_row *row)
{
    return (const char *)config + row->offset;
}

static inline void *config_field_mutable(struct config *config, const struct config_row *row)
{
    return (char *)config + row->offset;
}

const struct config_row *config_row_find(const char *group, const char *name); // NULL if unknown
bool config_group_known(const char *group);
// Sets every key that has a default; the texts are the table's own. Returns 0 or -ENOMEM.
int config_set_defaults(struct config *config);
