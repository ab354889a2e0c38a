// SPDX-License-Identifier: ISC
// Renders the table of configuration keys for people.
#include "config_doc.h"

#include "config_kind.h"

#include <stdbool.h>
#include <string.h>

#define RESTART " Takes a restart."

static bool begins_group(size_t i)
{
    return i == 0 || strcmp(config_rows[i].group, config_rows[i - 1].group) != 0;
}

static void put_expectation(const struct config_row *row, struct buf *out)
{
    row->kind->expect(row, out);
}

static void put_default(const struct config_row *row, const char *quote, struct buf *out)
{
    if (row->fallback)
        buf_printf(out, "%s%s%s", quote, row->fallback, quote);
    else
        buf_puts(out, row->required ? "required" : row->absent);
}

void config_doc_markdown(struct buf *out)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        if (begins_group(i))
            buf_printf(out,
                       "\n### %s\n\n| key | value | default | meaning |\n"
                       "|---|---|---|---|\n",
                       row->group);
        buf_printf(out, "| `%s` | ", row->name);
        put_expectation(row, out);
        buf_puts(out, " | ");
        put_default(row, "`", out);
        buf_printf(out, " | %s%s |\n", row->help, row->reload ? "" : RESTART);
    }
    buf_puts(out, "\n");
}

// Roff reads a backslash as an escape, and a hyphen as something that may be broken or beautified.
static void put_roff(const char *text, struct buf *out)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            buf_puts(out, "\\e");
        else if (*p == '-')
            buf_puts(out, "\\-");
        else
            buf_add(out, p, 1);
    }
}

void config_doc_roff(struct buf *out)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        struct buf text = {0};
        if (begins_group(i))
            buf_printf(out, ".SS %s\n", row->group);
        buf_printf(out, ".TP\n.B %s\n", row->name);
        buf_printf(&text, "%s%s\n", row->help, row->reload ? "" : RESTART);
        buf_puts(&text, "Value: ");
        put_expectation(row, &text);
        buf_puts(&text, ".\n");
        buf_puts(&text, row->required ? "This key is " : "Default: ");
        put_default(row, "", &text);
        buf_puts(&text, ".\n");
        put_roff(text.data ? text.data : "", out);
        out->failed = out->failed || text.failed;
        buf_free(&text);
    }
}
