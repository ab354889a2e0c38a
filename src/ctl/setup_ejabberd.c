// SPDX-License-Identifier: ISC
// ejabberd's side of "jingle-relayctl setup": its configuration is one file of lists, which only a
// person can add to; so the lines are printed.
#include "setup.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_PATH  "/etc/ejabberd/ejabberd.yml"
#define MODULES_PATH "/usr/share/jingle-relayd/ejabberd"

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
                  "cp -r " MODULES_PATH " ~ejabberd/.ejabberd-modules/sources/mod_jingle_relay\n"
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
    char *text = NULL;
    bool listener = false, module = false;

    if (setup_read(setup, CONFIG_PATH, &text) == 0) {
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
