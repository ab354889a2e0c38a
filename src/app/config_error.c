// SPDX-License-Identifier: ISC
// What is said about a configuration: where it stands, which key, its value, what was expected.
#include "config_kind.h"
#include "config_load.h"

#include <libconfig.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX 80 // bytes of a wrong value that an error repeats

static void add_error(struct config_errors *errors, bool warning, char *text)
{
    struct config_error *grown =
        text ? reallocarray(errors->item, errors->count + 1, sizeof(*grown)) : NULL;
    if (!grown) {
        free(text);
        errors->failed = true;
        return;
    }
    errors->item = grown;
    errors->item[errors->count++] = (struct config_error){.text = text, .warning = warning};
    errors->warnings += warning;
}

void config_errors_add(struct config_errors *errors, bool warning, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    add_error(errors, warning, n < 0 ? NULL : text);
}

void config_errors_log(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        log_write(errors->item[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERR, NULL, 0, "%s",
                  errors->item[i].text);
}

void config_errors_free(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++)
        free(errors->item[i].text);
    free(errors->item);
    *errors = (struct config_errors){0};
}

static void put_place(const struct config_load *load, unsigned line, struct buf *out)
{
    struct config_line place = config_text_line(&load->text, line);
    if (line == 0)
        buf_printf(out, "%s: ", load->text.file[0]);
    else
        buf_printf(out, "%s:%u: ", place.file, place.number);
}

// An error at a line of the text; takes what 'message' holds.
void config_blame_line(struct config_load *load, unsigned line, struct buf *message)
{
    struct buf out = {0};
    put_place(load, line, &out);
    buf_puts(&out, message->data ? message->data : "");
    out.failed = out.failed || message->failed;
    buf_free(message);
    add_error(load->errors, false, buf_take(&out));
}

bool config_given(const struct config_load *load, const struct config_row *row)
{
    return load->line[row - config_rows] != 0;
}

void config_blame(struct config_load *load, bool warning, const struct config_row *row,
                  const char *format, ...)
{
    struct buf out = {0};
    put_place(load, load->line[row - config_rows], &out);
    buf_printf(&out, "%s.%s", row->group, row->name);
    if (config_given(load, row)) {
        buf_puts(&out, " = ");
        row->kind->print(row, config_field(&load->config, row), &out);
    }
    buf_puts(&out, ": ");
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        out.failed = true;
    else
        buf_puts(&out, text);
    if (n >= 0)
        free(text);
    add_error(load->errors, warning, buf_take(&out));
}

static void put_text(const char *text, struct buf *out)
{
    char shown[SHOWN_MAX + 1];
    size_t len = strlen(text);
    if (len > SHOWN_MAX) {
        len = SHOWN_MAX;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) // not inside a UTF-8 sequence
            len--;
    }
    memcpy(shown, text, len);
    shown[len] = '\0';
    config_quote(shown, out);
    if (text[len])
        buf_puts(out, "...");
}

static void put_value(const config_setting_t *s, struct buf *out)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
        buf_printf(out, "%d", config_setting_get_int(s));
        break;
    case CONFIG_TYPE_INT64:
        buf_printf(out, "%lld", config_setting_get_int64(s));
        break;
    case CONFIG_TYPE_FLOAT:
        buf_printf(out, "%g", config_setting_get_float(s));
        break;
    case CONFIG_TYPE_BOOL:
        buf_puts(out, config_setting_get_bool(s) ? "true" : "false");
        break;
    case CONFIG_TYPE_STRING:
        put_text(config_setting_get_string(s), out);
        break;
    case CONFIG_TYPE_GROUP:
        buf_puts(out, "{ ... }");
        break;
    default:
        buf_puts(out, config_setting_length(s) > 0 ? "[ ... ]" : "[ ]");
        break;
    }
}

void config_blame_value(struct config_load *load, const struct config_input *in)
{
    struct buf message = {0};
    const struct config_row *row = in->row;
    buf_printf(&message, "%s.%s = ", row->group, row->name);
    if (row->kind == &config_kind_secret)
        buf_puts(&message, "\"***\"");
    else
        put_value(in->culprit, &message);
    buf_puts(&message, ": expected ");
    row->kind->expect(row, &message);
    if (in->hint)
        buf_printf(&message, " (%s)", in->hint);
    config_blame_line(load, config_setting_source_line(in->culprit), &message);
}
