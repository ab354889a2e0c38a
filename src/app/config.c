// SPDX-License-Identifier: ISC
// Reads a configuration: the text by config_text.c, the tree by libconfig, each key by its row of
// the table, and what concerns several keys by config_check.c. Also prints what is in force.
#include "config.h"

#include "config_kind.h"
#include "config_load.h"
#include "nearest.h"

#include <errno.h>
#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int apply_key(struct config_load *load, const struct config_row *row,
                     const config_setting_t *setting)
{
    struct config_input in = {.row = row, .setting = setting};
    load->line[row - config_rows] = config_setting_source_line(setting);
    int r = row->kind->parse(&in, config_field_mutable(&load->config, row));
    if (r == -EINVAL)
        config_blame_value(load, &in);
    return r == -ENOMEM ? r : 0;
}

// ---- unknown keys

static const struct config_row *nearest_row(const char *group, const char *name)
{
    const struct config_row *best = NULL;
    unsigned best_score = UINT_MAX;
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        bool elsewhere = strcmp(row->group, group) != 0;
        bool begins = strlen(name) > 3 && strncmp(row->name, name, strlen(name)) == 0;
        unsigned distance = nearest_distance(name, row->name);
        unsigned score = distance * 2 + elsewhere;
        if (begins && !elsewhere) { // turn.secret: turn.secret_files, not xmpp.secret
            score = 0;
        } else if (distance > nearest_limit(name)) {
            if (!strstr(name, row->name)) // limits.max_calls: limits.calls
                continue;
            score = 1000 - 2 * (unsigned)strlen(row->name) + elsewhere;
        }
        if (score < best_score) {
            best = row;
            best_score = score;
        }
    }
    return best;
}

static const char *nearest_group(const char *name)
{
    const char *best = NULL;
    unsigned best_distance = nearest_limit(name) + 1;
    for (size_t i = 0; i < config_row_count; i++) {
        unsigned distance = nearest_distance(name, config_rows[i].group);
        if (distance < best_distance) {
            best = config_rows[i].group;
            best_distance = distance;
        }
    }
    return best;
}

static void list_keys(const char *group, struct buf *out)
{
    const char *separator = "";
    for (size_t i = 0; i < config_row_count; i++)
        if (!group || strcmp(config_rows[i].group, group) == 0) {
            buf_printf(out, "%s%s", separator, config_rows[i].name);
            separator = ", ";
        }
}

static void list_groups(struct buf *out)
{
    for (size_t i = 0; i < config_row_count; i++)
        if (i == 0 || strcmp(config_rows[i].group, config_rows[i - 1].group) != 0)
            buf_printf(out, "%s%s", i == 0 ? "" : ", ", config_rows[i].group);
}

static void blame_unknown_key(struct config_load *load, const char *group,
                              const config_setting_t *setting)
{
    struct buf message = {0};
    const char *name = config_setting_name(setting);
    const struct config_row *near = nearest_row(group, name);
    if (group[0])
        buf_printf(&message, "%s.%.64s: unknown key", group, name);
    else
        buf_printf(&message, "%.64s: unknown key outside of a group", name);
    if (near)
        buf_printf(&message, "; did you mean %s.%s?", near->group, near->name);
    else if (group[0]) {
        buf_printf(&message, "; %s has: ", group);
        list_keys(group, &message);
    }
    config_blame_line(load, config_setting_source_line(setting), &message);
}

static void blame_unknown_group(struct config_load *load, const config_setting_t *setting,
                                const char *near)
{
    struct buf message = {0};
    buf_printf(&message, "%.64s: unknown group; ", config_setting_name(setting));
    if (near) {
        buf_printf(&message, "did you mean %s?", near);
    } else {
        buf_puts(&message, "the groups are: ");
        list_groups(&message);
    }
    config_blame_line(load, config_setting_source_line(setting), &message);
}

// ---- the tree

static int apply_group(struct config_load *load, const char *group, const config_setting_t *setting)
{
    int r = 0;
    unsigned count = (unsigned)config_setting_length(setting);
    for (unsigned i = 0; i < count && r == 0; i++) {
        const config_setting_t *member = config_setting_get_elem(setting, i);
        const struct config_row *row = config_row_find(group, config_setting_name(member));
        if (row)
            r = apply_key(load, row, member);
        else
            blame_unknown_key(load, group, member);
    }
    return r;
}

// A group whose name is misspelt is read as what it was probably meant to be, so that its keys are
// checked and do not count as missing.
static int apply_unknown_group(struct config_load *load, const config_setting_t *root,
                               const config_setting_t *setting)
{
    const char *near = nearest_group(config_setting_name(setting));
    blame_unknown_group(load, setting, near);
    if (!near || config_setting_get_member(root, near))
        return 0;
    return apply_group(load, near, setting);
}

static int apply_root(struct config_load *load, const config_setting_t *root)
{
    int r = 0;
    unsigned count = (unsigned)config_setting_length(root);
    for (unsigned i = 0; i < count && r == 0; i++) {
        const config_setting_t *setting = config_setting_get_elem(root, i);
        const char *name = config_setting_name(setting);
        bool known = config_group_known(name);
        if (known && config_setting_is_group(setting)) {
            r = apply_group(load, name, setting);
        } else if (known) {
            struct buf message = {0};
            buf_printf(&message, "%s: expected a group, %s = { ... }", name, name);
            config_blame_line(load, config_setting_source_line(setting), &message);
        } else if (config_setting_is_group(setting)) {
            r = apply_unknown_group(load, root, setting);
        } else {
            blame_unknown_key(load, "", setting);
        }
    }
    return r;
}

// ---- syntax

// The last name in the line that the tree has already: libconfig says only which line it was.
static void put_duplicate(const config_t *tree, const char *line, struct buf *out)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-_*";
    const config_setting_t *root = config_root_setting(tree);
    int groups = config_setting_length(root);
    const config_setting_t *group =
        groups > 0 ? config_setting_get_elem(root, (unsigned)groups - 1) : NULL;
    const config_setting_t *found = NULL;
    if (group && !config_setting_is_group(group))
        group = NULL;
    for (const char *p = line + strcspn(line, letters); *p; p += strcspn(p, letters)) {
        char name[64];
        size_t len = strspn(p, letters);
        snprintf(name, sizeof(name), "%.*s", (int)(len < sizeof(name) ? len : 0), p);
        const config_setting_t *here = group ? config_setting_get_member(group, name) : NULL;
        if (!here)
            here = config_setting_get_member(root, name);
        found = here ? here : found;
        p += len;
    }
    if (found && !config_setting_is_root(config_setting_parent(found)))
        buf_printf(out, "%s.", config_setting_name(config_setting_parent(found)));
    buf_printf(out, "%s is set twice", found ? config_setting_name(found) : "a key");
}

static int blame_syntax(struct config_load *load, const config_t *tree)
{
    unsigned number = (unsigned)config_error_line(tree);
    const char *text = config_error_text(tree) ? config_error_text(tree) : "";
    struct buf message = {0};
    if (strstr(text, "duplicate")) {
        const char *content;
        size_t len = config_text_content(&load->text, number, &content);
        char *line = strndup(content, len);
        if (line)
            put_duplicate(tree, line, &message);
        else
            message.failed = true;
        free(line);
    } else if (strstr(text, "mismatched")) {
        buf_puts(&message, "values of different types in one list [ ]");
    } else {
        buf_puts(&message, "syntax error here or just before: expected NAME = VALUE; with texts in "
                           "\"quotes\" and keys in groups, NAME = { ... };");
    }
    config_blame_line(load, number, &message);
    return -EINVAL;
}

static int apply_text(struct config_load *load)
{
    config_t tree;
    config_init(&tree);
    // config_text.c has resolved every include. Should libconfig see one where that file saw none,
    // it must not open anything: it would end the process if that were a directory.
    config_set_include_dir(&tree, "/dev/null");
    const char *text = load->text.text.data ? load->text.text.data : "";
    int r = config_read_string(&tree, text) == CONFIG_TRUE
                ? apply_root(load, config_root_setting(&tree))
                : blame_syntax(load, &tree);
    config_destroy(&tree);
    return r;
}

// ---- loading

// The defaults go the same way as a file: the table's texts through libconfig and the kinds.
int config_set_defaults(struct config *config)
{
    int r = 0;
    for (size_t i = 0; i < config_row_count && r == 0; i++) {
        const struct config_row *row = &config_rows[i];
        struct buf text = {0};
        config_t tree;
        if (!row->fallback)
            continue;
        buf_printf(&text, "value = %s;\n", row->fallback);
        config_init(&tree);
        struct config_input in = {.row = row};
        if (text.failed)
            r = -ENOMEM;
        else if (config_read_string(&tree, text.data) != CONFIG_TRUE)
            r = -EINVAL;
        else {
            in.setting = config_lookup(&tree, "value");
            r = row->kind->parse(&in, config_field_mutable(config, row));
        }
        config_destroy(&tree);
        buf_free(&text);
    }
    return r;
}

static int load_text(struct config_load *load)
{
    int r = config_set_defaults(&load->config);
    if (r == 0)
        r = apply_text(load);
    if (r == 0)
        r = config_check(load);
    return r;
}

static bool has_errors(const struct config_errors *errors)
{
    return errors->count > errors->warnings;
}

// Reads 'path', or 'text' under that name.
static int load_from(const char *path, const char *text, size_t len, struct config *ret_config,
                     struct config_errors *errors)
{
    struct config_load load = {.errors = errors};
    load.line = calloc(config_row_count, sizeof(*load.line));
    int r = load.line ? 0 : -ENOMEM;
    if (r == 0)
        r = text ? config_text_set(&load.text, path, text, len, errors)
                 : config_text_read(&load.text, path, errors);
    if (r == 0)
        r = load_text(&load);
    if (errors->failed) // what is wrong may be just what is not told
        r = -ENOMEM;
    if (r == 0 && has_errors(errors))
        r = -EINVAL;
    free(load.line);
    config_text_free(&load.text);
    if (r < 0)
        config_free(&load.config);
    else
        *ret_config = load.config;
    return r;
}

int config_load(const char *path, struct config *ret_config, struct config_errors *errors)
{
    return load_from(path, NULL, 0, ret_config, errors);
}

int config_load_text(const char *name, const char *text, size_t len, struct config *ret_config,
                     struct config_errors *errors)
{
    return load_from(name, text, len, ret_config, errors);
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config_row_count; i++)
        if (config_rows[i].kind->clear)
            config_rows[i].kind->clear(config_field_mutable(config, &config_rows[i]));
    config_wipe_list(config->turn.secrets.item, config->turn.secrets.count);
    config_wipe_list(config->turn.users.item, config->turn.users.count);
    config_wipe(config->privacy.key, config->privacy.key_len);
    *config = (struct config){0};
}

// ---- printing

// A key without default that nobody set; or the secret, when it came from a file.
static bool is_unset(const struct config *config, const struct config_row *row)
{
    if (row->kind == &config_kind_secret)
        return !config->xmpp.secret || config->xmpp.secret_file;
    bool is_text = row->kind == &config_kind_path || row->kind == &config_kind_host ||
                   row->kind == &config_kind_realm;
    return is_text && !*(char *const *)config_field(config, row);
}

void config_print(const struct config *config, struct buf *out)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        bool first = i == 0 || strcmp(row->group, config_rows[i - 1].group) != 0;
        bool last = i + 1 == config_row_count || strcmp(row->group, config_rows[i + 1].group) != 0;
        if (first)
            buf_printf(out, "%s = {\n", row->group);
        if (!is_unset(config, row)) {
            buf_printf(out, "    %s = ", row->name);
            row->kind->print(row, config_field(config, row), out);
            buf_puts(out, ";\n");
        }
        if (last)
            buf_puts(out, "};\n");
    }
}
