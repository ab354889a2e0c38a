// SPDX-License-Identifier: ISC
// The counter table, expanded for those who render it.
#include "base/counter.h"

#define X(id, kind, metric, label_list, help_text)                                                 \
    [COUNTER_##id] = {.name = (metric),                                                            \
                      .labels = (label_list),                                                      \
                      .help = (help_text),                                                         \
                      .type = COUNTER_TYPE_##kind},
const struct counter_row counter_rows[COUNTER_COUNT] = {COUNTER_TABLE(X)};
#undef X
