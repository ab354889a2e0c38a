// SPDX-License-Identifier: ISC
// Conversion of received stanzas. Users of the server shape them, so depth, elements and attributes
// are bounded here; the bytes are bounded by the server's own limit.
#include "component_stanza.h"

#include <errno.h>
#include <string.h>

#define NS_COMPONENT "jabber:component:accept"
#define NS_CLIENT    "jabber:client"

#define DEPTH_MAX 64

static int copy_attrs(xmpp_stanza_t *s, struct xml *x)
{
    int count = xmpp_stanza_get_attribute_count(s);
    if (count > COMPONENT_ATTRIBUTES_MAX + 1) // libstrophe's "xmlns" is among them
        return -E2BIG;
    const char *attr[2 * (COMPONENT_ATTRIBUTES_MAX + 1)]; // names and values in turn
    int n = xmpp_stanza_get_attributes(s, attr, 2 * (COMPONENT_ATTRIBUTES_MAX + 1));
    for (int i = 0; i + 1 < n; i += 2) {
        if (strcmp(attr[i], "xmlns") == 0)
            continue;
        // libstrophe drops the namespace of xml:lang, the only one that gets so far. It is put
        // back, or the receiver would take the attribute for another.
        const char *ns = strcmp(attr[i], "lang") == 0 ? XML_NS_XML : NULL;
        int r = xml_set_ns(x, ns, attr[i], attr[i + 1]);
        if (r < 0)
            return r;
    }
    return 0;
}

static struct xml *make_element(xmpp_stanza_t *s, struct xml *parent)
{
    const char *ns = xmpp_stanza_get_ns(s);
    if (!ns)
        ns = parent ? "" : NS_CLIENT;
    else if (strcmp(ns, NS_COMPONENT) == 0)
        ns = NS_CLIENT;
    const char *name = xmpp_stanza_get_name(s);
    return parent ? xml_add(parent, name, ns) : xml_new(name, ns);
}

static int copy_text(xmpp_stanza_t *s, struct xml *parent)
{
    const char *text = xmpp_stanza_get_text_ptr(s);
    return text ? xml_add_text(parent, text, strlen(text)) : 0;
}

static int copy_below(xmpp_stanza_t *s, struct xml *x, unsigned depth, unsigned *elements)
{
    for (s = xmpp_stanza_get_children(s); s; s = xmpp_stanza_get_next(s)) {
        int r;
        if (xmpp_stanza_is_text(s)) {
            r = copy_text(s, x);
        } else if (depth == DEPTH_MAX || ++*elements > COMPONENT_ELEMENTS_MAX) {
            r = -E2BIG;
        } else {
            struct xml *child = make_element(s, x);
            r = child ? copy_attrs(s, child) : -ENOMEM;
            if (r == 0)
                r = copy_below(s, child, depth + 1, elements);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

int component_stanza_convert(xmpp_stanza_t *stanza, struct xml **ret_x, bool *ret_cut)
{
    struct xml *x = make_element(stanza, NULL);
    if (!x)
        return -ENOMEM;
    unsigned elements = 1;
    int r = copy_attrs(stanza, x);
    if (r == 0)
        r = copy_below(stanza, x, 1, &elements);
    if (r == -ENOMEM) {
        xml_free(x);
        return r;
    }
    *ret_cut = r < 0;
    while (r < 0 && x->first)
        xml_free(x->first);
    *ret_x = x;
    return 0;
}
