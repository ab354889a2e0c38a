// SPDX-License-Identifier: ISC
// Prosody's side of "jingle-relayctl setup": one file beside the others, with the component and the
// module. In Prosody a second value of an option takes the place of the first, so nothing is
// written that another file has already.
#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_PATH "/etc/prosody/prosody.cfg.lua"
#define OWN_PATH    "/etc/prosody/conf.d/jingle-relay.cfg.lua"
#define MARK        "-- Made by: jingle-relayctl setup"

static void put_component(const struct setup *setup, struct buf *out)
{
    buf_printf(out, "\nComponent \"%s\"\n    component_secret = \"%s\"\n", setup->component,
               setup->secret);
    if (setup->turn)
        buf_puts(out, "    modules_enabled = { \"delegation\" }\n");
}

static void put_host(const struct setup *setup, const struct setup_prosody *found, struct buf *out)
{
    bool turn = setup->turn && found->delegations_line == 0;

    if (found->module && found->component_of_host && !turn)
        return;
    buf_printf(out, "\nVirtualHost \"%s\"\n", setup->domain);
    if (found->list_line == 0)
        buf_printf(out, "    modules_enabled = { \"jingle_relay\"%s }\n",
                   setup->turn ? ", \"delegation\"" : "");
    if (!found->component_of_host)
        buf_printf(out, "    jingle_relay_component = \"%s\"\n", setup->component);
    if (turn)
        setup_turn_put_host(setup, out);
}

// What other files of Prosody have, and this one can therefore not.
static void tell_others(struct setup *setup, const struct setup_prosody *found)
{
    if (found->component_line > 0 && strcmp(found->secret, setup->secret) != 0) {
        struct buf line = {0};

        buf_printf(&line, "component_secret = \"%s\"\n", setup->secret);
        setup_by_hand(setup, line.data, "the component in %s, line %u, has another secret; make it",
                      found->component_file, found->component_line);
        buf_free(&line);
    }
    if (found->list_line > 0 && setup->turn && !found->delegation)
        setup_by_hand(setup,
                      found->module ? "modules_enabled = { \"delegation\";"
                                    : "modules_enabled = { \"jingle_relay\"; \"delegation\";",
                      "%s has modules of its own; add what lacks in %s, line %u, so that it begins",
                      setup->domain, found->list_file, found->list_line);
    else if (found->list_line > 0 && !found->module)
        setup_by_hand(setup, "modules_enabled = { \"jingle_relay\";",
                      "%s has modules of its own; add the name in %s, line %u, so that it begins",
                      setup->domain, found->list_file, found->list_line);
}

// The file as it is wanted: NULL when memory is out; "" when there is nothing to say.
static char *own_text(const struct setup *setup, const struct setup_prosody *found)
{
    struct buf body = {0}, out = {0};

    if (found->component_line == 0)
        put_component(setup, &body);
    put_host(setup, found, &body);
    if (body.len > 0)
        buf_printf(&out, "%s %s\n%s", MARK, setup->domain, body.data);
    else
        buf_puts(&out, "");
    out.failed |= body.failed;
    buf_free(&body);
    return buf_take(&out);
}

static bool is_ours(const struct setup *setup, const char *text)
{
    char mark[sizeof MARK + SETUP_NAME_MAX];

    snprintf(mark, sizeof mark, "%s %s\n", MARK, setup->domain);
    return strncmp(text, mark, strlen(mark)) == 0;
}

static void put_file(struct setup *setup, const char *text)
{
    char *there = NULL;
    int r = setup_read(setup, OWN_PATH, &there);

    if (r == 0 && strcmp(there, text) == 0)
        setup_unchanged(setup, OWN_PATH, "it has the component and the module");
    else if (r == 0 && !is_ours(setup, there))
        setup_by_hand(setup, text,
                      "%s is not from here, or for another domain; these are the lines", OWN_PATH);
    else
        setup_write(setup, OWN_PATH, text, 0640, "prosody", "the component and the module");
    free(there);
}

static void check_module(struct setup *setup, const struct setup_prosody *found)
{
    if (!found->has_relay)
        setup_by_hand(setup, NULL,
                      "Prosody lacks mod_jingle_relay: install the package "
                      "prosody-mod-jingle-relay");
}

void setup_prosody(struct setup *setup)
{
    struct setup_prosody found = {0};
    char *text;

    setup->turn |= setup_turn_in_prosody(setup);

    if (setup_prosody_read(setup, CONFIG_PATH, OWN_PATH, &found) == -ENOENT)
        found.included = true; // it runs elsewhere
    text = own_text(setup, &found);
    if (!text) {
        setup->failed = true;
        return;
    }
    if (*text)
        put_file(setup, text);
    free(text);
    if (!found.host)
        fprintf(setup->ctl->out,
                "%-10s no other file of Prosody has VirtualHost \"%s\": mistyped? "
                "If not, this makes it\n",
                "note", setup->domain);
    if (!found.included)
        setup_by_hand(setup, "Include \"conf.d/*.cfg.lua\"", "let %s end with", CONFIG_PATH);
    tell_others(setup, &found);
    if (setup->turn)
        setup_turn_prosody(setup, &found);
    check_module(setup, &found);
}
