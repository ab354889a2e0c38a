// SPDX-License-Identifier: ISC
// Data forms (XEP-0004) of commands: a verb's arguments as questions, its answer, which is JSON, as
// a form that people can read. An object's members become fields, those of objects in it with a
// path for a name; a list becomes lines, or a table where the verb says of which columns.
#include "adhoc.h"

#include "base/buf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 128

static int add_text(struct xml *parent, const char *name, const char *text)
{
    struct xml *x = xml_add(parent, name, NULL);

    return !x || xml_add_text(x, text, strlen(text)) ? -ENOMEM : 0;
}

int adhoc_add_note(struct xml *command, const char *type, const char *format, ...)
{
    struct xml *note = xml_add(command, "note", NULL);
    char text[ADHOC_LINE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return !note || xml_set(note, "type", type) || xml_add_text(note, text, strlen(text)) ? -ENOMEM
                                                                                          : 0;
}

struct xml *adhoc_add_form(struct xml *parent, const char *type)
{
    struct xml *form = xml_add(parent, "x", NS_DATA);

    if (!form || xml_set(form, "type", type))
        return NULL;
    return form;
}

static struct xml *new_field(struct xml *form, const char *var, const char *type, const char *label)
{
    struct xml *field = xml_add(form, "field", NULL);

    if (!field || xml_set(field, "var", var) || xml_set(field, "type", type) ||
        xml_set(field, "label", label))
        return NULL;
    return field;
}

int adhoc_add_field(struct xml *form, const char *var, const char *type, const char *label,
                    const char *value)
{
    struct xml *field = new_field(form, var, type, label);

    return field ? add_text(field, "value", value) : -ENOMEM;
}

// ---- questions

static int add_words(struct xml *field, const char *const *words)
{
    if (words && add_text(field, "value", words[0]) < 0)
        return -ENOMEM;
    for (; words && *words; words++) {
        struct xml *option = xml_add(field, "option", NULL);

        if (!option || xml_set(option, "label", *words) || add_text(option, "value", *words) < 0)
            return -ENOMEM;
    }
    return 0;
}

int adhoc_add_question(struct xml *command, const struct signal_verb *verb)
{
    struct xml *form = adhoc_add_form(command, "form");

    if (!form || add_text(form, "title", verb->name) || add_text(form, "instructions", verb->help))
        return -ENOMEM;
    for (int i = 0; i < SIGNAL_ARGUMENTS_MAX && verb->argument[i].name; i++) {
        const struct signal_argument *a = &verb->argument[i];
        struct xml *field =
            new_field(form, a->name, a->words ? "list-single" : "text-single", a->name);

        if (!field || add_text(field, "desc", a->help) || add_words(field, a->words) ||
            (a->required && !xml_add(field, "required", NULL)))
            return -ENOMEM;
    }
    return 0;
}

static const char *value_of(const struct xml *form, const char *var)
{
    const struct xml *field = xml_child(form, "field", NS_DATA);

    for (; field; field = xml_next(field, "field", NS_DATA)) {
        const char *name = xml_attr(field, "var");

        if (name && strcmp(name, var) == 0) {
            const struct xml *value = xml_child(field, "value", NS_DATA);
            return value && *xml_text(value) ? xml_text(value) : NULL;
        }
    }
    return NULL;
}

int adhoc_read(const struct xml *form, const struct signal_verb *verb, json_t **ret_arguments)
{
    const char *type = form ? xml_attr(form, "type") : NULL;
    json_t *arguments;

    if (!form || !type || strcmp(type, "submit") != 0)
        return -EINVAL;
    arguments = json_object();
    for (int i = 0; i < SIGNAL_ARGUMENTS_MAX && verb->argument[i].name; i++) {
        const struct signal_argument *a = &verb->argument[i];
        const char *value = value_of(form, a->name);
        int r = 0;

        if (value ? strlen(value) > ADHOC_VALUE_MAX : a->required)
            r = -EINVAL;
        else if (value && json_object_set_new(arguments, a->name, json_string(value)) < 0)
            r = -ENOMEM;
        if (r < 0) {
            json_decref(arguments);
            return r;
        }
    }
    *ret_arguments = arguments;
    return arguments ? 0 : -ENOMEM;
}

// ---- answers

struct writer {
    struct xml *form;
    unsigned values;
    size_t bytes;  // of the message, roughly
    bool left_out; // there was no room for something
};

static bool has_room(struct writer *w)
{
    bool room = w->values < ADHOC_VALUES_MAX && w->bytes < ADHOC_BYTES_MAX;

    w->values += room;
    w->left_out |= !room;
    return room;
}

// As XML: what is escaped, and the elements around it.
static size_t written_bytes(const char *text, size_t len)
{
    size_t bytes = 64 + len;

    for (size_t i = 0; i < len; i++)
        bytes += strchr("&<>\"'", text[i]) ? 5 : 0;
    return bytes;
}

static void put_scalar(const json_t *value, struct buf *out)
{
    if (json_is_string(value))
        buf_puts(out, json_string_value(value));
    else if (json_is_integer(value))
        buf_printf(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        buf_printf(out, "%.6g", json_real_value(value));
    else
        buf_puts(out, json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
}

static bool is_scalar(const json_t *value)
{
    return !json_is_object(value) && !json_is_array(value);
}

// jansson iterates over what it may change.
static json_t *may_iterate(const json_t *json)
{
    union {
        const json_t *borrowed;
        json_t *json;
    } u = {json};

    return u.json;
}

// One element of a list as a line: "id: 0a, initiator: (jid: alice@example.org/a)".
static void put_line(const json_t *value, struct buf *out)
{
    const char *separator = "", *name;
    json_t *member;
    size_t i;

    if (is_scalar(value))
        put_scalar(value, out);
    json_object_foreach(may_iterate(value), name, member)
    {
        buf_printf(out, "%s%s: ", separator, name);
        if (!is_scalar(member))
            buf_puts(out, "(");
        put_line(member, out);
        if (!is_scalar(member))
            buf_puts(out, ")");
        separator = ", ";
    }
    json_array_foreach(may_iterate(value), i, member)
    {
        buf_puts(out, separator);
        put_line(member, out);
        separator = json_is_object(member) ? "; " : ", ";
    }
}

static int add_value(struct writer *w, struct xml *field, const json_t *json)
{
    struct buf text = {0};
    size_t len;
    int r;

    put_line(json, &text);
    len = text.len < ADHOC_LINE_MAX ? text.len : ADHOC_LINE_MAX;
    while (len > 0 && len < text.len && ((unsigned char)text.data[len] & 0xc0) == 0x80)
        len--; // not inside of a character
    struct xml *value = text.failed ? NULL : xml_add(field, "value", NULL);
    r = !value || (len > 0 && xml_add_text(value, text.data, len)) ? -ENOMEM : 0;
    if (r == 0)
        w->bytes += written_bytes(text.data, len);
    buf_free(&text);
    return r;
}

static int add_list(struct writer *w, const char *path, const json_t *list)
{
    struct xml *field = new_field(w->form, path, "text-multi", path);
    json_t *element;
    size_t i;

    if (!field)
        return -ENOMEM;
    json_array_foreach(may_iterate(list), i, element)
    {
        if (has_room(w) && add_value(w, field, element) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_scalar(struct writer *w, const char *path, const json_t *value)
{
    struct xml *field = new_field(w->form, path, "text-single", path);

    return field ? add_value(w, field, value) : -ENOMEM;
}

// The depth of what the daemon makes is small.
static int add_members(struct writer *w, const char *prefix, const json_t *object)
{
    const char *name;
    json_t *member;
    int r = 0;

    json_object_foreach(may_iterate(object), name, member)
    {
        char path[NAME_MAX_LEN];

        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", name);
        if (json_is_object(member))
            r = add_members(w, path, member);
        else if (json_is_array(member))
            r = json_array_size(member) > 0 ? add_list(w, path, member) : 0;
        else if (has_room(w))
            r = add_scalar(w, path, member);
        if (r < 0)
            break;
    }
    return r;
}

// ---- tables

static const json_t *by_path(const json_t *json, const char *path)
{
    char name[NAME_MAX_LEN];

    for (; json && *path; path += *path == '.') {
        size_t len = strcspn(path, ".");

        snprintf(name, sizeof name, "%.*s", (int)len, path);
        json = json_object_get(json, name);
        path += len;
    }
    return json;
}

static int add_row(struct writer *w, const char *const *columns, const json_t *row)
{
    struct xml *item = xml_add(w->form, "item", NULL);

    for (; item && *columns; columns++) {
        struct xml *field = new_field(item, *columns, NULL, NULL);
        const json_t *value = by_path(row, *columns);

        if (!field || (value ? add_value(w, field, value) : add_text(field, "value", "")) < 0)
            return -ENOMEM;
    }
    return item ? 0 : -ENOMEM;
}

// XEP-0004 section 3.4: one table in a form, its head before its rows. Several lists are one.
static int add_table(struct writer *w, const char *const *columns, const json_t *result)
{
    struct xml *reported = xml_add(w->form, "reported", NULL);
    const char *name;
    json_t *list, *row;
    size_t i;

    for (const char *const *c = columns; reported && *c; c++) {
        if (!new_field(reported, *c, "text-single", *c))
            return -ENOMEM;
    }
    json_object_foreach(may_iterate(result), name, list)
    {
        json_array_foreach(list, i, row)
        {
            if (has_room(w) && add_row(w, columns, row) < 0)
                return -ENOMEM;
        }
    }
    return reported ? 0 : -ENOMEM;
}

int adhoc_add_result(struct xml *command, const struct signal_verb *verb, const json_t *result)
{
    struct writer w = {.form = adhoc_add_form(command, "result")};
    int r;

    if (!w.form || add_text(w.form, "title", verb->name) < 0)
        return -ENOMEM;
    r = verb->columns ? add_table(&w, verb->columns, result) : add_members(&w, "", result);
    if (r == 0 && w.left_out)
        r = add_text(w.form, "instructions",
                     "This is not all: the rest is too long for a message. See jingle-relayctl.");
    return r;
}
