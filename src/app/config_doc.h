// SPDX-License-Identifier: ISC
// The table of configuration keys as documents have it: what stands between the markers of
// docs/CONFIGURATION.md and of docs/man/jingle-relayd.conf.5. A unit test compares the files with
// this, and rewrites them when it is run with UPDATE_DOCS=1.
#pragma once

#include "base/buf.h"

#define CONFIG_DOC_MARKDOWN_BEGIN                                                                  \
    "<!-- keys: written from the table in src/app/config_table.c -->\n"
#define CONFIG_DOC_MARKDOWN_END "<!-- end of keys -->\n"
#define CONFIG_DOC_ROFF_BEGIN   ".\\\" keys: written from the table in src/app/config_table.c\n"
#define CONFIG_DOC_ROFF_END     ".\\\" end of keys\n"

void config_doc_markdown(struct buf *out);
void config_doc_roff(struct buf *out);
