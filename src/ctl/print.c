// SPDX-License-Identifier: ISC
// Output for people: fields, tables, colours.
#include "ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_WIDTH 14
#define GAP         2

void ctl_json(struct ctl *ctl, const json_t *json)
{
    (void)json_dumpf(json, ctl->out, JSON_INDENT(1));
    fputs("\n", ctl->out);
}

// C0, DEL, and C1, which UTF-8 spells C2 80 to C2 9F.
static void make_printable(char *text)
{
    for (char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p, next = (unsigned char)p[1];

        if (c < 0x20 || c == 0x7f)
            *p = '?';
        else if (c == 0xc2 && next >= 0x80 && next <= 0x9f)
            p[0] = p[1] = '?';
    }
}

static void put(FILE *out, const char *text, size_t len)
{
    char *copy = strndup(text, len);

    if (!copy)
        return;
    make_printable(copy);
    fputs(copy, out);
    free(copy);
}

void ctl_text(struct ctl *ctl, const char *text)
{
    put(ctl->out, text, strlen(text));
}

void ctl_complain(struct ctl *ctl, const char *text)
{
    fputs("jingle-relayctl: ", ctl->err);
    for (size_t len; *text; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        put(ctl->err, text, len);
        fputs("\n", ctl->err);
    }
}

static void begin(struct ctl *ctl, enum ctl_colour colour)
{
    static const char *const codes[] = {[CTL_PLAIN] = "",
                                        [CTL_GOOD] = "\033[32m",
                                        [CTL_BAD] = "\033[1;31m",
                                        [CTL_DIM] = "\033[2m",
                                        [CTL_BOLD] = "\033[1m"};

    if (ctl->colour)
        fputs(codes[colour], ctl->out);
}

static void end(struct ctl *ctl, enum ctl_colour colour)
{
    if (ctl->colour && colour != CTL_PLAIN)
        fputs("\033[0m", ctl->out);
}

void ctl_paint(struct ctl *ctl, enum ctl_colour colour, const char *text)
{
    begin(ctl, colour);
    ctl_text(ctl, text);
    end(ctl, colour);
}

void ctl_field(struct ctl *ctl, const char *label, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(ctl->out, "%-*s ", LABEL_WIDTH, label);
    ctl_text(ctl, text);
    fputs("\n", ctl->out);
}

// ---- tables

static bool grow(struct ctl_table *table)
{
    size_t size = table->size ? 2 * table->size : 64;
    char **grown;

    if (table->cells < table->size)
        return true;
    grown = realloc(table->cell, size * sizeof *grown);
    if (!grown)
        return false;
    table->cell = grown;
    table->size = size;
    return true;
}

void ctl_table_add(struct ctl_table *table, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_printable(text);
    if (!grow(table))
        return;
    table->cell[table->cells] = strdup(text);
    if (table->cell[table->cells])
        table->cells++;
}

// In characters, not bytes: bytes 10xxxxxx continue one in UTF-8.
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(struct ctl *ctl, const struct ctl_table *table, unsigned column,
                       const char *text, size_t width)
{
    size_t own = width_of(text);
    int fill = width > own ? (int)(width - own) : 0;
    bool last = column + 1 == table->columns;

    if (table->right[column])
        fprintf(ctl->out, "%*s%s", fill, "", text);
    else
        fprintf(ctl->out, "%s%*s", text, last ? 0 : fill, "");
    if (!last)
        fprintf(ctl->out, "%*s", GAP, "");
}

void ctl_table_print(struct ctl *ctl, const struct ctl_table *table)
{
    size_t width[CTL_COLUMNS_MAX];

    for (unsigned c = 0; c < table->columns; c++) {
        width[c] = width_of(table->head[c]);
        for (size_t i = c; i < table->cells; i += table->columns) {
            if (width_of(table->cell[i]) > width[c])
                width[c] = width_of(table->cell[i]);
        }
    }
    begin(ctl, CTL_BOLD);
    for (unsigned c = 0; c < table->columns; c++)
        print_cell(ctl, table, c, table->head[c], width[c]);
    end(ctl, CTL_BOLD);
    fputs("\n", ctl->out);
    for (size_t i = 0; i + table->columns <= table->cells; i += table->columns) {
        for (unsigned c = 0; c < table->columns; c++)
            print_cell(ctl, table, c, table->cell[i + c], width[c]);
        fputs("\n", ctl->out);
    }
}

void ctl_table_free(struct ctl_table *table)
{
    for (size_t i = 0; i < table->cells; i++)
        free(table->cell[i]);
    free(table->cell);
    table->cell = NULL;
    table->cells = table->size = 0;
}
