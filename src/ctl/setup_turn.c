// SPDX-License-Identifier: ISC
// "jingle-relayctl setup DOMAIN --turn": the daemon is a STUN and TURN server, and the XMPP server
// hands it the clients' question for one (XEP-0215, by XEP-0355). The daemon then makes the
// credentials by itself: there is no second secret that both would have to know.
#include "setup.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_PATH "/etc/jingle-relayd/jingle-relayd.conf"
#define OWN_PATH    "/etc/prosody/conf.d/jingle-relay.cfg.lua"
#define GROUP       "turn = {"
#define SAMPLE_LINE "# enabled = true;"
#define NS_SERVICES "urn:xmpp:extdisco:2"
#define ENABLED     "enabled = true;"

// ---- the daemon

// The sample's line in its group; NULL: it is not the sample's any more.
static const char *find_line(const char *text)
{
    const char *group = strstr(text, "\n" GROUP "\n");
    const char *end = group ? strstr(group, "\n};") : NULL;
    const char *line = group ? strstr(group, "    " SAMPLE_LINE "\n") : NULL;

    return line && end && line < end ? line : NULL;
}

static void tell_line(struct setup *setup, const config_t *parsed)
{
    if (config_lookup(parsed, "turn"))
        setup_by_hand(setup, ENABLED, "turn TURN on: in %s, the group \"turn\" has to have",
                      CONFIG_PATH);
    else
        setup_by_hand(setup, GROUP " " ENABLED " };", "turn TURN on: add to %s", CONFIG_PATH);
}

static void turn_on(struct setup *setup, const char *text, const char *line)
{
    struct buf out = {0};

    buf_printf(&out, "%.*s    %s%s", (int)(line - text), text, ENABLED,
               line + strlen("    " SAMPLE_LINE));
    if (out.failed)
        setup->failed = true;
    else
        setup_write(setup, CONFIG_PATH, out.data, 0644, NULL, "TURN is turned on");
    buf_free(&out);
}

void setup_turn_configuration(struct setup *setup)
{
    config_t parsed;
    char *text = NULL;
    const char *line;
    int on = 0;

    if (setup_read(setup, CONFIG_PATH, &text) < 0)
        return; // made just now, with it; or only told
    line = find_line(text);
    if (setup_parse(setup, CONFIG_PATH, &parsed) < 0)
        setup->failed = true; // told already
    else if (config_lookup_bool(&parsed, "turn.enabled", &on) == CONFIG_TRUE && on)
        setup_unchanged(setup, CONFIG_PATH, "TURN is on");
    else if (line && !config_lookup(&parsed, "turn.enabled")) // not twice in the group
        turn_on(setup, text, line);
    else
        tell_line(setup, &parsed);
    config_destroy(&parsed);
    free(text);
}

// ---- Prosody

// Run again without --turn, it stays as it was.
bool setup_turn_in_prosody(const struct setup *setup)
{
    char *text = NULL;
    bool there = setup_read(setup, OWN_PATH, &text) == 0 &&
                 (strstr(text, "\n    delegations = {") || strstr(text, "\"delegation\" }"));

    free(text);
    return there;
}

bool setup_turn_is_handed_over(const char *text)
{
    return strstr(text, NS_SERVICES) != NULL;
}

static void put_names(const struct setup *setup, const char *indent, struct buf *out)
{
    static const char *const names[] = {NS_SERVICES, "urn:xmpp:extdisco:1", "google:jingleinfo"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        buf_printf(out, "%s[\"%s\"] = { jid = \"%s\" };\n", indent, names[i], setup->component);
}

void setup_turn_put_host(const struct setup *setup, struct buf *out)
{
    buf_puts(out, "    delegations = {\n");
    put_names(setup, "        ", out);
    buf_puts(out, "    }\n");
}

static void tell_delegations(struct setup *setup, const struct setup_prosody *found)
{
    struct buf lines = {0};

    put_names(setup, "", &lines);
    setup_by_hand(setup, lines.data,
                  "%s hands over other things; add to \"delegations\" in %s, line %u",
                  setup->domain, found->delegations_file, found->delegations_line);
    buf_free(&lines);
}

void setup_turn_prosody(struct setup *setup, const struct setup_prosody *found)
{
    if (found->delegations_line > 0 && !found->services)
        tell_delegations(setup, found);
    if (found->component_list_line > 0 && !found->component_delegation)
        setup_by_hand(setup, "modules_enabled = { \"delegation\";",
                      "the component has modules of its own; add the name in %s, line %u, so that "
                      "it begins",
                      found->component_file, found->component_list_line);
    else if (found->component_line > 0 && !found->component_delegation)
        setup_by_hand(setup, "modules_enabled = { \"delegation\" }",
                      "below the component in %s, line %u, add", found->component_file,
                      found->component_line);
    if (found->own_services_line > 0 && found->own_services_for_all && !found->services_disabled)
        setup_by_hand(setup, "modules_disabled = { \"turn_external\"; \"external_services\" }",
                      "below VirtualHost \"%s\" add, since by %s, line %u, Prosody would go on to "
                      "answer by itself",
                      setup->domain, found->own_services_file, found->own_services_line);
    else if (found->own_services_line > 0 && !found->own_services_for_all)
        setup_by_hand(setup, NULL,
                      "remove turn_external and external_services from %s, line %u: Prosody would "
                      "go on to answer by itself",
                      found->own_services_file, found->own_services_line);
    if (!found->has_delegation)
        setup_by_hand(setup, "apt install prosody-modules", "Prosody lacks mod_delegation");
}

// ---- ejabberd

void setup_turn_ejabberd(struct setup *setup, const char *text)
{
    struct buf lines = {0};

    if (text && strstr(text, "mod_stun_disco:"))
        setup_by_hand(setup, NULL, "remove \"mod_stun_disco\" from \"modules:\" of ejabberd");
    if (text && strstr(text, "ejabberd_stun"))
        setup_by_hand(setup, NULL,
                      "remove the entry with \"module: ejabberd_stun\" from \"listen:\" of "
                      "ejabberd: while that has port 3478 the daemon does not start");
    if (text && strstr(text, "mod_delegation:") && setup_turn_is_handed_over(text))
        return;
    buf_printf(&lines,
               "acl:\n"
               "  relay:\n"
               "    server: %s\n"
               "access_rules:\n"
               "  relay:\n"
               "    allow: relay\n"
               "modules:\n"
               "  mod_delegation:\n"
               "    namespaces:\n"
               "      \"urn:xmpp:extdisco:2\": {access: relay}\n"
               "      \"urn:xmpp:extdisco:1\": {access: relay}\n"
               "      \"google:jingleinfo\": {access: relay}\n",
               setup->component);
    setup_by_hand(setup, lines.data,
                  "for TURN add these to the parts of the same names in ejabberd.yml, or put them "
                  "into a file that it includes");
    buf_free(&lines);
}
