// SPDX-License-Identifier: ISC
// Receivers: each finds fault with a stanza as its client would, and keeps the candidates that this
// client could use of it. See lib_clients.h.
#include "lib_clients.h"

#include "codec/jingle.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

static void __attribute__((format(printf, 2, 3))) fault(struct ear *ear, const char *format, ...)
{
    va_list ap;

    if (ear->fault[0])
        return;
    va_start(ap, format);
    vsnprintf(ear->fault, sizeof ear->fault, format, ap);
    va_end(ap);
}

static bool demands(const struct ear *ear, unsigned demand)
{
    return ear->client->demands & demand;
}

static bool is(const char *value, const char *wanted)
{
    return value && strcmp(value, wanted) == 0;
}

static bool is_ice(enum mode mode)
{
    return mode == MODE_ICE || mode == MODE_ICE0;
}

// ---- candidates: NULL, or what is wrong with one

static const char *missing(const struct xml *candidate, unsigned needs)
{
    static const char *const names[] = {"component", "foundation", "generation", "id",
                                        "ip",        "network",    "port",       "priority",
                                        "protocol",  "type"};

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (needs & 1u << i && !xml_attr(candidate, names[i]))
            return names[i];
    }
    return NULL;
}

static bool is_number(const char *text)
{
    size_t len = text ? strspn(text, "0123456789") : 0;

    return len > 0 && len <= 10 && !text[len];
}

static bool is_type(const char *type)
{
    return is(type, "host") || is(type, "srflx") || is(type, "prflx") || is(type, "relay");
}

static bool is_known_id(struct ear *ear, const char *id)
{
    for (unsigned i = 0; id && i < ear->heard_count; i++) {
        if (strcmp(ear->id[i], id) == 0)
            return true;
    }
    return false;
}

static const char *ice_flaw(const struct ear *ear, const struct xml *c)
{
    const char *protocol = xml_attr(c, "protocol"), *gap = missing(c, ear->client->needs);
    struct addr addr;

    if (gap)
        return gap;
    if (xml_attr(c, "type") && !is_type(xml_attr(c, "type")))
        return "type";
    if (!is_number(xml_attr(c, "port")) || !is_number(xml_attr(c, "component")))
        return "a number";
    if (xml_attr(c, "priority") && !is_number(xml_attr(c, "priority")))
        return "a priority that is a number";
    if (demands(ear, DEMAND_NUMBER) && !is_number(xml_attr(c, "foundation")))
        return "a foundation that is a number";
    if (demands(ear, DEMAND_LITERAL) && mode_candidate_addr(ear->mode, c, &addr) < 0 &&
        strcmp(xml_attr(c, "port"), "0") != 0)
        return "an IP address";
    if (protocol && strcmp(protocol, "udp") != 0 && strcmp(protocol, "tcp") != 0)
        return "protocol";
    return NULL;
}

static const char *google_flaw(const struct ear *ear, const struct xml *c)
{
    static const char *const names[] = {"name",     "address",  "port",
                                        "username", "protocol", "generation"};
    const char *username = xml_attr(c, "username"), *type = xml_attr(c, "type");

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!xml_attr(c, names[i]))
            return names[i];
    }
    if (demands(ear, DEMAND_SHORT_USERNAME) &&
        (strlen(username) > 16 || username[strspn(username, BASE64)]))
        return "a username of 16 characters of base64";
    if (demands(ear, DEMAND_PASSWORD) && !xml_attr(c, "password"))
        return "password";
    if (demands(ear, DEMAND_FULL) &&
        (!xml_attr(c, "preference") || !type || !xml_attr(c, "network")))
        return "preference, type and network";
    if ((demands(ear, DEMAND_PUBLIC) || type) && !is(type, "local") && !is(type, "stun") &&
        !is(type, "relay"))
        return "type";
    return NULL;
}

static const char *raw_flaw(const struct xml *c)
{
    const char *gap = missing(c, NEED_COMPONENT | NEED_GENERATION | NEED_ID | NEED_IP | NEED_PORT);

    return gap ? gap : is_number(xml_attr(c, "port")) ? NULL : "port";
}

static const char *flaw(const struct ear *ear, const struct xml *c)
{
    if (is_ice(ear->mode))
        return ice_flaw(ear, c);
    if (ear->mode == MODE_IAX)
        return xml_attr(c, "name") && xml_attr(c, "ip") ? NULL : "name and ip";
    return ear->mode == MODE_RAW || ear->mode == MODE_TMP ? raw_flaw(c) : google_flaw(ear, c);
}

// FreeSWITCH compares the beginning of the text.
static bool is_refused(const struct addr *addr)
{
    static const char *const prefixes[] = {"10.", "192.168.", "127.",     "255.",    "0.",
                                           "1.",  "2.",       "192.0.2.", "169.254."};
    char text[ADDR_TEXT_MAX];
    unsigned second;

    addr_format_ip(addr, text);
    for (unsigned i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(text, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return sscanf(text, "172.%3u.", &second) == 1 && second >= 16 && second <= 31;
}

bool ear_could_use(const struct ear *ear, const struct addr *addr, const char *protocol)
{
    return (!protocol || strcmp(protocol, "udp") == 0) &&
           !(demands(ear, DEMAND_IPV4) && addr->family != FAMILY_V4) &&
           !(demands(ear, DEMAND_PUBLIC) && is_refused(addr));
}

bool ear_has(const struct ear *ear, const struct addr *addr, unsigned component)
{
    for (unsigned i = 0; i < ear->heard_count; i++) {
        if (addr_equal(&ear->heard[i].addr, addr) && ear->heard[i].component == component)
            return true;
    }
    return false;
}

static bool is_google(enum mode mode)
{
    return mode == MODE_P2P || mode == MODE_GOOGLE || mode == MODE_V015;
}

// libjingle takes a check for one of the candidate that it comes from, and refuses another's name.
static void hear_name(struct ear *ear, const struct addr *addr, const char *username)
{
    for (unsigned i = 0; i < ear->heard_count; i++) {
        if (addr_equal(&ear->heard[i].addr, addr) && strcmp(ear->id[i], username) != 0)
            fault(ear, "two names for one candidate");
    }
}

static void hear_candidate(struct ear *ear, const struct xml *c)
{
    const char *id = xml_attr(c, is_google(ear->mode) ? "username" : "id"), *gap = flaw(ear, c);
    unsigned component = mode_component(ear->mode, c);
    struct addr addr;

    if (gap && demands(ear, DEMAND_WHOLE))
        fault(ear, "a candidate lacks %s", gap);
    if (gap || mode_candidate_addr(ear->mode, c, &addr) < 0 ||
        !ear_could_use(ear, &addr, xml_attr(c, "protocol")))
        return;
    // Jitsi passes over them in silence.
    if (is_ice(ear->mode) && demands(ear, DEMAND_GENERATION_0) &&
        !is(xml_attr(c, "generation"), "0"))
        return;
    if (is_google(ear->mode))
        hear_name(ear, &addr, id);
    if (ear_has(ear, &addr, component) || ear->heard_count == EAR_MAX)
        return;
    if (demands(ear, DEMAND_UNIQUE_ID) && !is_google(ear->mode) && is_known_id(ear, id))
        fault(ear, "a second candidate has the id %s", id);
    snprintf(ear->id[ear->heard_count], sizeof ear->id[0], "%.63s", id ? id : "");
    ear->heard[ear->heard_count++] = (struct heard){addr, component};
}

// ---- transports

static void hear_credentials(struct ear *ear, const struct xml *t, bool offers)
{
    const char *ufrag = xml_attr(t, "ufrag"), *pwd = xml_attr(t, "pwd");
    bool candidates = xml_child(t, "candidate", NULL);

    if (candidates && demands(ear, DEMAND_CREDENTIALS | DEMAND_UFRAG) && !ufrag)
        fault(ear, "candidates without ufrag");
    if (candidates && demands(ear, DEMAND_CREDENTIALS) && !pwd)
        fault(ear, "candidates without pwd");
    if (offers || !ear->ufrag[0]) {
        snprintf(ear->ufrag, sizeof ear->ufrag, "%.63s", ufrag ? ufrag : "");
        snprintf(ear->pwd, sizeof ear->pwd, "%.63s", pwd ? pwd : "");
        return;
    }
    if (demands(ear, DEMAND_SAME | DEMAND_SAME_UFRAG) && ufrag && strcmp(ufrag, ear->ufrag) != 0)
        fault(ear, "another ufrag than before");
    if (demands(ear, DEMAND_SAME) && (!ufrag || !is(pwd, ear->pwd)))
        fault(ear, "other credentials than before");
}

static void hear_dtls(struct ear *ear, const struct xml *t, bool offer)
{
    const struct xml *f = xml_child(t, "fingerprint", NS_DTLS);
    const char *setup = f ? xml_attr(f, "setup") : NULL;

    if (!f || !xml_attr(f, "hash") || !setup || !xml_text(f)[0])
        fault(ear, "no fingerprint with hash and setup");
    else if (offer && strcmp(setup, "actpass") != 0)
        fault(ear, "setup is %s in an offer", setup);
    else if (!offer && strcmp(setup, "active") != 0 && strcmp(setup, "passive") != 0)
        fault(ear, "setup is %s in an answer", setup);
}

static const struct xml *other_child(const struct xml *x, const char *name)
{
    const struct xml *child = xml_child(x, NULL, NULL);

    while (child && strcmp(child->name, name) == 0)
        child = xml_next(child, NULL, NULL);
    return child;
}

static void hear_transport(struct ear *ear, const struct xml *t, const char *action)
{
    bool offer = is(action, "session-initiate"), offers = offer || is(action, "session-accept");
    const struct xml *c = xml_child(t, "candidate", NULL);
    const struct xml *alien = other_child(t, "candidate");

    if (is_ice(ear->mode))
        hear_credentials(ear, t, offers);
    if (ear->mode == MODE_ICE && demands(ear, DEMAND_BARE_TRANSPORT) && alien)
        fault(ear, "<%s/> in a transport", alien->name);
    if (offers && demands(ear, DEMAND_DTLS))
        hear_dtls(ear, t, offer);
    if (offers && demands(ear, DEMAND_NOT_EARLY))
        return;
    for (; c; c = xml_next(c, "candidate", NULL)) {
        hear_candidate(ear, c);
        if (demands(ear, DEMAND_FIRST_ONLY))
            return;
    }
}

// ---- contents

static void hear_content(struct ear *ear, const struct xml *content, const char *action)
{
    const struct xml *description = xml_child(content, "description", NULL);
    const struct xml *alien = description ? other_child(description, "payload-type") : NULL;
    const char *name = xml_attr(content, "name");

    if (!name)
        fault(ear, "a content without a name");
    else if (demands(ear, DEMAND_SHORT_NAMES) && (strlen(name) > 16 || strpbrk(name, " \t\r\n")))
        fault(ear, "a content named %s", name);
    if (demands(ear, DEMAND_CREATOR) && ear->mode != MODE_V015 &&
        !is(xml_attr(content, "creator"), "initiator"))
        fault(ear, "a content of another creator");
    if (demands(ear, DEMAND_BARE_DESCRIPTION) && alien)
        fault(ear, "<%s/> in a description", alien->name);
    if ((is(action, "session-initiate") || is(action, "session-accept")) &&
        (!description || !xml_child(description, "payload-type", NULL)) && ear->mode != MODE_IAX)
        fault(ear, "no payload type in %s", action);
}

static unsigned count(const struct xml *x, const char *name)
{
    unsigned n = 0;

    for (const struct xml *c = xml_child(x, name, NULL); c; c = xml_next(c, name, NULL))
        n++;
    return n;
}

static void hear_peer(struct ear *ear, const struct xml *iq)
{
    const char *from = xml_attr(iq, "from");

    if (ear->peer[0] && strcmp(ear->peer, from) != 0)
        fault(ear, "%s speaks for %s", from, ear->peer);
    snprintf(ear->peer, sizeof ear->peer, "%.255s", from);
}

void ear_hear(struct ear *ear, const struct xml *iq)
{
    const struct xml *payload = mode_payload(ear->mode, iq), *t = NULL;
    const char *action;

    hear_peer(ear, iq);
    if (!payload) {
        fault(ear, "nothing in the dialect of this call");
        return;
    }
    action = xml_attr(payload, ear->mode == MODE_GOOGLE ? "type" : "action");
    if (!is(xml_attr(payload, ear->mode == MODE_GOOGLE ? "id" : "sid"), "s1"))
        fault(ear, "another sid");
    if (demands(ear, DEMAND_ONE_CONTENT) && is(action, "transport-info") &&
        count(payload, "content") != 1)
        fault(ear, "%u contents in a transport-info", count(payload, "content"));
    while ((t = mode_transport(ear->mode, payload, t))) {
        if (xml_is(t->parent, "content", NULL))
            hear_content(ear, t->parent, action);
        hear_transport(ear, t, action);
    }
}
