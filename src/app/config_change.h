// SPDX-License-Identifier: ISC
// What is other in a configuration that was read again, and what of it may be taken over while the
// daemon runs: each key by its row, and the files that keys name by what is in them.
#pragma once

#include "config.h"

enum config_change {
    CONFIG_SAME,
    CONFIG_APPLIED, // config_exchange() exchanges it
    CONFIG_RESTART, // the daemon has to be restarted
};

struct config_changes {
    enum config_change *row; // owned; as many as config_row_count
    bool secrets, users;     // what turn.secret_files and turn.users_file hold is other
};

// Returns 0 or -ENOMEM.
int config_compare(const struct config *live, const struct config *fresh,
                   struct config_changes *ret_changes);
void config_changes_free(struct config_changes *changes); // zeroed memory is fine
// What is to be applied changes places; all else stays where it is, to the address. A second time
// it is undone.
void config_exchange(struct config *live, struct config *fresh,
                     const struct config_changes *changes);
