// SPDX-License-Identifier: ISC
// How administrators find their commands (XEP-0050 section 2), and what the component tells
// everybody of itself: whom to write to (XEP-0157) and a few figures (XEP-0128).
#include "adhoc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NS_SERVERINFO "http://jabber.org/network/serverinfo"
#define NS_STATISTICS "urn:xmpp:jingle-relayd:statistics:0"

bool adhoc_has_node(const struct signal *signal, const char *node)
{
    if (strcmp(node, NS_COMMANDS) == 0)
        return true;
    for (size_t i = 0; i < signal->admin.verbs; i++) {
        if (strcmp(signal->admin.verb[i].name, node) == 0)
            return true;
    }
    return false;
}

static bool forbidden(struct signal *signal, const struct xml *iq)
{
    if (adhoc_is_admin(signal, xml_attr(iq, "from")))
        return false;
    counter_add(signal->counters, COUNTER_ADMIN_FORBIDDEN, 1);
    reply_error(signal, iq, &condition_forbidden);
    return true;
}

static const char *help_of(const struct signal *signal, const char *node)
{
    for (size_t i = 0; i < signal->admin.verbs; i++) {
        if (strcmp(signal->admin.verb[i].name, node) == 0)
            return signal->admin.verb[i].help;
    }
    return "Commands";
}

static int add_feature(struct xml *query, const char *name)
{
    struct xml *feature = xml_add(query, "feature", NULL);

    return !feature || xml_set(feature, "var", name) ? -ENOMEM : 0;
}

void adhoc_disco_info(struct signal *signal, const struct xml *iq, const char *node)
{
    bool list = strcmp(node, NS_COMMANDS) == 0;
    struct xml *reply, *query, *identity;

    if (forbidden(signal, iq))
        return;
    reply = reply_new(iq, "result");
    query = reply ? xml_add(reply, "query", NS_DISCO_INFO) : NULL;
    identity = query ? xml_add(query, "identity", NULL) : NULL;
    if (!identity || xml_set(query, "node", node) || xml_set(identity, "category", "automation") ||
        xml_set(identity, "type", list ? "command-list" : "command-node") ||
        xml_set(identity, "name", help_of(signal, node)) || add_feature(query, NS_COMMANDS) ||
        add_feature(query, NS_DATA)) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

void adhoc_disco_items(struct signal *signal, const struct xml *iq)
{
    struct xml *reply, *query;

    if (forbidden(signal, iq))
        return;
    reply = reply_new(iq, "result");
    query = reply ? xml_add(reply, "query", NS_DISCO_ITEMS) : NULL;
    if (!query || xml_set(query, "node", NS_COMMANDS))
        goto fail;
    for (size_t i = 0; i < signal->admin.verbs; i++) {
        const struct signal_verb *verb = &signal->admin.verb[i];
        struct xml *item = xml_add(query, "item", NULL);

        if (!item || xml_set(item, "jid", signal->config.domain) ||
            xml_set(item, "node", verb->name) || xml_set(item, "name", verb->help))
            goto fail;
    }
    stanza_send(signal, reply);
    return;

fail:
    xml_free(reply);
}

// ---- for everybody

static int add_form(struct xml *query, const char *kind, struct xml **ret_form)
{
    *ret_form = adhoc_add_form(query, "result");
    return *ret_form ? adhoc_add_field(*ret_form, "FORM_TYPE", "hidden", NULL, kind) : -ENOMEM;
}

static int add_number(struct xml *form, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    return adhoc_add_field(form, name, NULL, NULL, text);
}

static int add_contact(const struct signal *signal, struct xml *query)
{
    struct xml *form, *field;
    int r = add_form(query, NS_SERVERINFO, &form);

    if (r < 0)
        return r;
    field = xml_add(form, "field", NULL);
    if (!field || xml_set(field, "var", "admin-addresses") || xml_set(field, "type", "list-multi"))
        return -ENOMEM;
    for (size_t i = 0; i < signal->config.contact_count; i++) {
        const char *text = signal->config.contact[i];
        struct xml *value = xml_add(field, "value", NULL);

        if (!value || xml_add_text(value, text, strlen(text)))
            return -ENOMEM;
    }
    return 0;
}

int adhoc_add_service_info(struct signal *signal, struct xml *query, usec_t now)
{
    const struct counters *c = signal->counters;
    struct xml *form = NULL;
    int r = signal->config.contact_count > 0 ? add_contact(signal, query) : 0;

    if (r == 0)
        r = add_form(query, NS_STATISTICS, &form);
    if (r == 0)
        r = add_number(form, "calls", signal_calls(signal));
    if (r == 0)
        r = add_number(form, "calls_total",
                       counter_get(c, COUNTER_CALLS_OPENED) +
                           counter_get(c, COUNTER_CHANNELS_OPENED) +
                           counter_get(c, COUNTER_DIVERTED_OPENED));
    if (r == 0 && signal->admin.allocations)
        r = add_number(form, "allocations", signal->admin.allocations(signal->admin.ctx));
    return r < 0 ? r : add_number(form, "uptime_s", (now - signal->started) / USEC_PER_SEC);
}
