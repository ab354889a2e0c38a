// SPDX-License-Identifier: ISC
// jingle-relayctl setup: its command line, its order, and what remains to be typed; see setup.h.
#include "setup.h"

#include <stdlib.h>
#include <string.h>

#define USAGE                                                                                      \
    "Usage: jingle-relayctl setup DOMAIN [--server prosody|ejabberd] [--component NAME] "          \
    "[--turn] [--dry-run]\n"

// ---- the command line

// A domain goes into the files of three programs: letters of host names only, and bytes of UTF-8.
static bool is_domain(const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > SETUP_NAME_MAX / 2 || text[0] == '.' || text[0] == '-')
        return false;
    for (const char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '.';

        if (!plain && !((unsigned char)*p & 0x80))
            return false;
    }
    return true;
}

static enum ctl_exit refuse(const struct ctl *ctl, const char *word, const char *why)
{
    fprintf(ctl->err, "jingle-relayctl: setup: %s%s\n" USAGE, word, why);
    return CTL_USAGE;
}

// "--NAME VALUE" or "--NAME=VALUE"; NULL: it is not that option, or has no value.
static const char *value_of(const struct ctl *ctl, int *i, const char *name)
{
    const char *word = ctl->argument[*i];
    size_t len = strlen(name);

    if (word && strncmp(word, name, len) == 0 && word[len] == '=')
        return word + len + 1;
    if (!word || strcmp(word, name) != 0 || *i + 1 >= ctl->arguments)
        return NULL;
    return ctl->argument[++*i];
}

static enum ctl_exit take_server(struct setup *setup, const char *name)
{
    if (strcmp(name, "prosody") == 0)
        setup->server = SETUP_PROSODY;
    else if (strcmp(name, "ejabberd") == 0)
        setup->server = SETUP_EJABBERD;
    else
        return refuse(setup->ctl, name, " is neither prosody nor ejabberd");
    return CTL_OK;
}

static enum ctl_exit take_component(struct setup *setup, const char *name)
{
    if (!is_domain(name))
        return refuse(setup->ctl, name, " is no domain name (in small letters)");
    snprintf(setup->component, sizeof setup->component, "%s", name);
    setup->component_given = true;
    return CTL_OK;
}

static enum ctl_exit take(struct setup *setup, int *i)
{
    const struct ctl *ctl = setup->ctl;
    const char *word = ctl->argument[*i], *value;

    if (strcmp(word, "--dry-run") == 0) {
        setup->dry = true;
        return CTL_OK;
    }
    if (strcmp(word, "--turn") == 0) {
        setup->turn = true;
        return CTL_OK;
    }
    if ((value = value_of(ctl, i, "--server")))
        return take_server(setup, value);
    if ((value = value_of(ctl, i, "--component")))
        return take_component(setup, value);
    if ((value = value_of(ctl, i, "--root"))) { // for tests
        setup->root = value;
        return CTL_OK;
    }
    if (word[0] == '-')
        return refuse(ctl, word, " is no option, or lacks its value");
    if (setup->domain)
        return refuse(ctl, "one domain", " at a time");
    if (!is_domain(word))
        return refuse(ctl, word, " is no domain name (in small letters)");
    setup->domain = word;
    return CTL_OK;
}

static enum ctl_exit parse(struct setup *setup)
{
    enum ctl_exit r = CTL_OK;

    for (int i = 0; i < setup->ctl->arguments && r == CTL_OK; i++)
        r = take(setup, &i);
    if (r == CTL_OK && !setup->domain)
        r = refuse(setup->ctl, "the domain of your users is missing", "");
    return r;
}

// ---- the steps

static enum ctl_exit find_server(struct setup *setup)
{
    bool prosody = setup_exists(setup, "/etc/prosody/prosody.cfg.lua");
    bool ejabberd = setup_exists(setup, "/etc/ejabberd/ejabberd.yml");

    if (setup->server != SETUP_UNKNOWN)
        return CTL_OK;
    if (prosody && ejabberd)
        return refuse(setup->ctl, "Prosody and ejabberd are both here",
                      ": say which one by --server");
    if (!prosody && !ejabberd)
        return refuse(setup->ctl, "neither /etc/prosody nor /etc/ejabberd has a configuration",
                      ": install the server first, or say by --server what runs elsewhere");
    setup->server = prosody ? SETUP_PROSODY : SETUP_EJABBERD;
    return CTL_OK;
}

static void say_what_remains(struct setup *setup)
{
    bool prosody = setup->server == SETUP_PROSODY;

    if (setup->dry) {
        fputs("\nNothing was changed (--dry-run).\n", setup->ctl->out);
        return;
    }
    fprintf(setup->ctl->out, "\n%s\n\n    %s\n    %s\n    jingle-relayctl doctor\n",
            setup->by_hand ? "Then these commands remain:" : "These commands remain:",
            prosody ? "systemctl restart prosody" : "ejabberdctl reload_config",
            setup->turn // it may have run before
                ? "systemctl enable jingle-relayd && systemctl restart jingle-relayd"
                : "systemctl enable --now jingle-relayd");
}

enum ctl_exit ctl_setup(struct ctl *ctl)
{
    struct setup setup = {.ctl = ctl, .root = ""};
    enum ctl_exit r = parse(&setup);

    if (r == CTL_OK)
        r = find_server(&setup);
    if (r != CTL_OK)
        return r;
    setup_secret(&setup);
    if (!setup.failed)
        setup_configuration(&setup);
    if (!setup.failed && setup.turn)
        setup_turn_configuration(&setup);
    if (!setup.failed && setup.server == SETUP_PROSODY)
        setup_prosody(&setup);
    else if (!setup.failed)
        setup_ejabberd(&setup);
    if (!setup.failed)
        say_what_remains(&setup);
    if (setup.secret)
        explicit_bzero(setup.secret, strlen(setup.secret));
    free(setup.secret);
    return setup.failed || setup.by_hand ? CTL_PROBLEM : CTL_OK;
}
