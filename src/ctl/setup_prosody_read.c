// SPDX-License-Identifier: ISC
// Reads Prosody's configuration as far as "jingle-relayctl setup" has to know it. The language is
// Lua: comments and strings are told from words, and of the words a few are understood. Whoever
// computes his configuration is told what to do by what Prosody says later.
#include "setup.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4

enum section { GLOBAL, OF_HOST, OF_COMPONENT, ELSEWHERE };

struct lua {
    const struct setup *setup;
    struct setup_prosody *found;
    const char *own;
    const char *path; // of this file, without the root
    const char *p;
    unsigned line;
    unsigned depth;
    enum section section;
};

static void read_file(struct lua *from, const char *path);

// ---- the language

static void step(struct lua *lua, size_t bytes)
{
    for (; bytes > 0 && *lua->p; bytes--)
        lua->line += *lua->p++ == '\n';
}

// "[[", "[=[", ...: the length of the opening, 0 if it is none.
static size_t long_bracket(const char *p)
{
    size_t level = p[0] == '[' ? strspn(p + 1, "=") : 0;

    return p[0] == '[' && p[1 + level] == '[' ? level + 2 : 0;
}

static void skip_long(struct lua *lua, size_t opening)
{
    char end[32] = "]";
    size_t level = opening - 2 < sizeof end - 3 ? opening - 2 : sizeof end - 3;

    memset(end + 1, '=', level);
    end[1 + level] = ']';
    const char *stop = strstr(lua->p + opening, end);
    step(lua, stop ? (size_t)(stop - lua->p) + strlen(end) : strlen(lua->p));
}

static void skip_blank(struct lua *lua)
{
    for (;;) {
        if (lua->p[0] == '-' && lua->p[1] == '-') {
            size_t opening = long_bracket(lua->p + 2);

            step(lua, 2);
            if (opening)
                skip_long(lua, opening);
            else
                step(lua, strcspn(lua->p, "\n"));
        } else if (isspace((unsigned char)*lua->p)) {
            step(lua, 1);
        } else {
            return;
        }
    }
}

// A string in quotes, if one comes; what does not fit is left out.
static bool take_string(struct lua *lua, char text[SETUP_NAME_MAX])
{
    char quote = *lua->p;
    size_t len = 0;

    if (quote != '"' && quote != '\'')
        return false;
    step(lua, 1);
    while (*lua->p && *lua->p != quote && *lua->p != '\n') {
        if (*lua->p == '\\')
            step(lua, 1);
        if (*lua->p && len + 1 < SETUP_NAME_MAX)
            text[len++] = *lua->p;
        step(lua, 1);
    }
    text[len] = '\0';
    step(lua, *lua->p == quote);
    return true;
}

// Behind a word: its argument, with or without a parenthesis.
static bool take_argument(struct lua *lua, char text[SETUP_NAME_MAX])
{
    skip_blank(lua);
    if (*lua->p == '(') {
        step(lua, 1);
        skip_blank(lua);
    }
    return take_string(lua, text);
}

static bool take_equals(struct lua *lua)
{
    skip_blank(lua);
    if (lua->p[0] != '=' || lua->p[1] == '=')
        return false;
    step(lua, 1);
    skip_blank(lua);
    return true;
}

// ---- the words

static void on_section(struct lua *lua, bool component)
{
    struct setup_prosody *found = lua->found;
    const char *wanted = component ? lua->setup->component : lua->setup->domain;
    unsigned line = lua->line;
    char name[SETUP_NAME_MAX];

    if (!take_argument(lua, name))
        return;
    lua->section = ELSEWHERE;
    if (strcmp(name, wanted) != 0)
        return;
    lua->section = component ? OF_COMPONENT : OF_HOST;
    if (component) {
        found->component_line = line;
        snprintf(found->component_file, sizeof found->component_file, "%s", lua->path);
    } else {
        found->host = true;
    }
}

// The host's own, or what it has from the part that is for all.
static void note_own_services(struct lua *lua, unsigned line)
{
    struct setup_prosody *found = lua->found;

    if (lua->section != GLOBAL && lua->section != OF_HOST)
        return;
    found->own_services_line = line;
    found->own_services_for_all = lua->section == GLOBAL;
    snprintf(found->own_services_file, sizeof found->own_services_file, "%s", lua->path);
}

static void on_module(struct lua *lua, const char *name)
{
    struct setup_prosody *found = lua->found;

    if (strcmp(name, "turn_external") == 0 || strcmp(name, "external_services") == 0)
        note_own_services(lua, lua->line);
    else if (strcmp(name, "jingle_relay") == 0)
        found->module |= lua->section == OF_HOST;
    else if (strcmp(name, "delegation") == 0 && lua->section == OF_HOST)
        found->delegation = true;
    else if (strcmp(name, "delegation") == 0 && lua->section == OF_COMPONENT)
        found->component_delegation = true;
}

static void on_modules(struct lua *lua)
{
    struct setup_prosody *found = lua->found;
    unsigned line = lua->line;
    char name[SETUP_NAME_MAX];

    if (lua->section == ELSEWHERE || !take_equals(lua))
        return;
    if (lua->section == OF_HOST) {
        found->list_line = line;
        snprintf(found->list_file, sizeof found->list_file, "%s", lua->path);
    } else if (lua->section == OF_COMPONENT) {
        found->component_list_line = line;
    }
    if (*lua->p != '{')
        return; // a name, which only Lua knows
    for (skip_blank(lua); *lua->p && *lua->p != '}'; skip_blank(lua)) {
        if (take_string(lua, name))
            on_module(lua, name);
        else
            step(lua, 1);
    }
}

static void on_modules_disabled(struct lua *lua)
{
    char name[SETUP_NAME_MAX];

    if (lua->section != OF_HOST || !take_equals(lua) || *lua->p != '{')
        return;
    for (; *lua->p && *lua->p != '}'; skip_blank(lua)) {
        if (take_string(lua, name))
            lua->found->services_disabled |= strcmp(name, "external_services") == 0;
        else
            step(lua, 1);
    }
}

// A table: namespace by namespace, each with a table of its own. That of the host stands in for
// the one that is for all.
static void on_delegations(struct lua *lua)
{
    struct setup_prosody *found = lua->found;
    unsigned line = lua->line, depth = 0;
    char name[SETUP_NAME_MAX];

    if ((lua->section != GLOBAL && lua->section != OF_HOST) || !take_equals(lua))
        return;
    found->services = false;
    found->delegations_line = line;
    snprintf(found->delegations_file, sizeof found->delegations_file, "%s", lua->path);
    do {
        depth += *lua->p == '{';
        depth -= *lua->p == '}' && depth > 0;
        if (take_string(lua, name))
            found->services |= setup_turn_is_handed_over(name);
        else
            step(lua, 1);
        skip_blank(lua);
    } while (*lua->p && depth > 0);
}

static bool has_module(const struct setup *setup, const char *directory, const char *name)
{
    static const char *const below[] = {"", "/mod_*", "/share/lua/*/mod_*"}; // luarocks' last
    bool has = false;

    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        char pattern[2 * SETUP_PATH_MAX];
        glob_t files = {0};

        snprintf(pattern, sizeof pattern, "%s%s%s/mod_%s.lua", setup->root, directory, below[i],
                 name);
        has |= glob(pattern, 0, NULL, &files) == 0;
        globfree(&files);
    }
    return has;
}

static void look_for_modules(const struct setup *setup, const char *directory,
                             struct setup_prosody *found)
{
    found->has_relay |= has_module(setup, directory, "jingle_relay");
    found->has_delegation |= has_module(setup, directory, "delegation");
}

// One name, or a table of them.
static void on_plugin_paths(struct lua *lua)
{
    char name[SETUP_NAME_MAX];
    bool table;

    if (!take_equals(lua))
        return;
    table = *lua->p == '{';
    do {
        if (take_string(lua, name))
            look_for_modules(lua->setup, name, lua->found);
        else
            step(lua, 1);
        skip_blank(lua);
    } while (table && *lua->p && *lua->p != '}');
}

static void on_secret(struct lua *lua)
{
    char text[SETUP_NAME_MAX];

    if (lua->section == OF_COMPONENT && take_equals(lua) && take_string(lua, text))
        snprintf(lua->found->secret, sizeof lua->found->secret, "%s", text);
}

// A relative name is relative to the file that includes it; a pattern means every file that fits.
static void on_include(struct lua *lua)
{
    const char *slash = strrchr(lua->path, '/');
    char name[SETUP_NAME_MAX], path[2 * SETUP_PATH_MAX], pattern[3 * SETUP_PATH_MAX];
    glob_t files = {0};

    if (!take_argument(lua, name) || lua->depth >= DEPTH_MAX)
        return;
    snprintf(path, sizeof path, "%.*s%s", name[0] == '/' ? 0 : (int)(slash - lua->path) + 1,
             lua->path, name);
    snprintf(pattern, sizeof pattern, "%s%s", lua->setup->root, path);
    if (fnmatch(path, lua->own, FNM_PATHNAME) == 0)
        lua->found->included = true;
    if (glob(pattern, 0, NULL, &files) == 0) {
        for (size_t i = 0; i < files.gl_pathc; i++)
            read_file(lua, files.gl_pathv[i] + strlen(lua->setup->root));
    }
    globfree(&files);
}

static bool word_is(const char *word, size_t len, const char *name)
{
    return len == strlen(name) && memcmp(word, name, len) == 0;
}

static void on_word(struct lua *lua)
{
    const char *word = lua->p;
    size_t len = 0;

    while (isalnum((unsigned char)word[len]) || word[len] == '_')
        len++;
    step(lua, len);
    if (word_is(word, len, "VirtualHost") || word_is(word, len, "Host"))
        on_section(lua, false);
    else if (word_is(word, len, "Component"))
        on_section(lua, true);
    else if (word_is(word, len, "modules_enabled"))
        on_modules(lua);
    else if (word_is(word, len, "modules_disabled"))
        on_modules_disabled(lua);
    else if (word_is(word, len, "component_secret"))
        on_secret(lua);
    else if (word_is(word, len, "Include"))
        on_include(lua);
    else if (word_is(word, len, "jingle_relay_component") && lua->section == OF_HOST)
        lua->found->component_of_host = true;
    else if (word_is(word, len, "delegations"))
        on_delegations(lua);
    else if (word_is(word, len, "external_services"))
        note_own_services(lua, lua->line);
    else if (word_is(word, len, "plugin_paths") || word_is(word, len, "installer_plugin_path"))
        on_plugin_paths(lua);
}

// ---- files

static void read_text(struct lua *lua)
{
    char ignored[SETUP_NAME_MAX];

    for (skip_blank(lua); *lua->p; skip_blank(lua)) {
        size_t opening = long_bracket(lua->p);

        if (opening)
            skip_long(lua, opening);
        else if (isalpha((unsigned char)*lua->p) || *lua->p == '_')
            on_word(lua);
        else if (!take_string(lua, ignored))
            step(lua, 1);
    }
}

// A file that is included begins with the global section, and leaves that of its includer alone.
static void read_file(struct lua *from, const char *path)
{
    struct lua lua = {.setup = from->setup, .found = from->found, .own = from->own, .path = path};
    char *text = NULL;

    if (strcmp(path, from->own) == 0 || setup_read(from->setup, path, &text) < 0)
        return;
    lua.p = text;
    lua.line = 1;
    lua.depth = from->depth + 1;
    read_text(&lua);
    free(text);
}

int setup_prosody_read(const struct setup *setup, const char *path, const char *own,
                       struct setup_prosody *ret_found)
{
    static const char *const places[] = {"/usr/lib/prosody/modules",
                                         "/usr/local/lib/prosody/modules",
                                         "/var/lib/prosody/custom_plugins"};
    struct lua lua = {.setup = setup, .found = ret_found, .own = own};

    memset(ret_found, 0, sizeof *ret_found);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        look_for_modules(setup, places[i], ret_found);
    if (!setup_exists(setup, path))
        return -ENOENT;
    read_file(&lua, path);
    return 0;
}
