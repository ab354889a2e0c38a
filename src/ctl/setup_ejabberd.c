// SPDX-License-Identifier: ISC
// ejabberd's side of "jingle-relayctl setup": its configuration is one file of lists, which only a
// person can add to; so the lines are printed.
#include "setup.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_PATH  "/etc/ejabberd/ejabberd.yml"
#define DIRECTORY    "/etc/ejabberd/"
#define MODULES_PATH "/usr/share/jingle-relayd/ejabberd"

// ---- what it says

// Without comments.
static void add_lines(struct buf *out, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n"), end = 0;

        while (end < len && !(text[end] == '#' && (end == 0 || strchr(" \t", text[end - 1]))))
            end++;
        buf_printf(out, "%.*s\n", (int)end, text);
        text += len + (text[len] == '\n');
    }
}

static bool ends_with(const char *text, size_t len, const char *end)
{
    return len > strlen(end) && strncmp(text + len - strlen(end), end, strlen(end)) == 0;
}

// Whatever in it is the name of a file of YAML is taken as included: there is no other use for one.
static void add_included(const struct setup *setup, struct buf *out)
{
    static const char around[] = " \t\n\"'[]{},";
    char *names = out->data ? strdup(out->data) : NULL;

    for (const char *p = names; p && *(p += strspn(p, around));) {
        size_t len = strcspn(p, around);
        char path[SETUP_PATH_MAX], *text = NULL;

        if (ends_with(p, len, ".yml") || ends_with(p, len, ".yaml")) {
            snprintf(path, sizeof path, "%s%.*s", *p == '/' ? "" : DIRECTORY, (int)len, p);
            if (setup_read(setup, path, &text) == 0)
                add_lines(out, text);
            free(text);
        }
        p += len;
    }
    free(names);
}

// All of it, "" without one; NULL without memory.
static char *read_all(const struct setup *setup)
{
    struct buf out = {0};
    char *text = NULL;

    if (setup_read(setup, CONFIG_PATH, &text) == 0) {
        add_lines(&out, text);
        add_included(setup, &out);
    }
    free(text);
    return buf_take(&out);
}

// ---- what it lacks

static void tell_listener(struct setup *setup)
{
    struct buf lines = {0};

    buf_printf(&lines,
               "  - port: 5347\n"
               "    ip: \"127.0.0.1\"\n"
               "    module: ejabberd_service\n"
               "    access: all\n"
               "    hosts:\n"
               "      %s:\n"
               "        password: \"%s\"\n",
               setup->component, setup->secret);
    setup_by_hand(setup, lines.data, "add this to \"listen:\" in %s", CONFIG_PATH);
    buf_free(&lines);
}

static void tell_module(struct setup *setup)
{
    struct buf lines = {0};

    setup_by_hand(setup,
                  "mkdir -p ~ejabberd/.ejabberd-modules/sources\n"
                  "cp -rT " MODULES_PATH " ~ejabberd/.ejabberd-modules/sources/mod_jingle_relay\n"
                  "chown -R ejabberd: ~ejabberd/.ejabberd-modules\n"
                  "ejabberdctl module_install mod_jingle_relay\n",
                  "install the module%s",
                  setup_exists(setup, MODULES_PATH)
                      ? ""
                      : " (of the package ejabberd-mod-jingle-relay, which is missing)");
    buf_printf(&lines, "  mod_jingle_relay:\n    component: %s\n", setup->component);
    setup_by_hand(setup, lines.data, "only then add this to \"modules:\" in %s", CONFIG_PATH);
    buf_free(&lines);
}

void setup_ejabberd(struct setup *setup)
{
    char *text = read_all(setup);
    bool listener = false, module = false;

    if (text) {
        listener = strstr(text, setup->component) && strstr(text, "ejabberd_service");
        module = strstr(text, "mod_jingle_relay");
    }
    if (listener && module)
        setup_unchanged(setup, CONFIG_PATH, "it names the component and the module");
    if (!listener)
        tell_listener(setup);
    if (!module)
        tell_module(setup);
    if (setup->turn)
        setup_turn_ejabberd(setup, text);
    free(text);
}
