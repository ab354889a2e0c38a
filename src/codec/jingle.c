// SPDX-License-Identifier: ISC
// Jingle elements: tables and small readers and writers; see codec/jingle.h.
#include "codec/jingle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const action_names[JINGLE_ACTION_COUNT] = {
#define X(id, name) [JINGLE_##id] = name,
    JINGLE_ACTION_TABLE(X)
#undef X
};

enum jingle_action jingle_action(const char *name)
{
    int i;

    for (i = 0; i < JINGLE_ACTION_COUNT; i++) {
        if (name && strcmp(name, action_names[i]) == 0)
            break;
    }
    return (enum jingle_action)i;
}

const char *jingle_action_name(enum jingle_action action)
{
    return action < JINGLE_ACTION_COUNT ? action_names[action] : "unknown";
}

struct xml *jingle_element(const struct xml *iq)
{
    static const char *const spellings[] = {NS_JINGLE, NS_JINGLE_TMP_0, NS_JINGLE_TMP,
                                            NS_JINGLE_015};
    struct xml *x = NULL;

    for (size_t i = 0; !x && i < sizeof spellings / sizeof spellings[0]; i++)
        x = xml_child(iq, "jingle", spellings[i]);
    return x;
}

struct xml *jingle_transport(const struct xml *content)
{
    return xml_child(content, "transport", NULL);
}

// The provisional namespaces came with and without a version at their end.
static bool is_spelt(const struct xml *x, const char *const *prefix, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (strncmp(x->ns, prefix[i], strlen(prefix[i])) == 0)
            return true;
    }
    return false;
}

enum transport_kind jingle_transport_kind(const struct xml *transport)
{
    static const char *const ice[] = {NS_ICE_UDP, NS_ICE, NS_JINGLE_TMP ":transports:ice-udp"};
    static const char *const raw[] = {NS_RAW_UDP, NS_JINGLE_TMP ":transports:raw-udp"};

    if (!transport)
        return TRANSPORT_NONE;
    if (is_spelt(transport, ice, sizeof ice / sizeof ice[0]))
        return TRANSPORT_ICE;
    if (is_spelt(transport, raw, sizeof raw / sizeof raw[0]))
        return TRANSPORT_RAW;
    return strcmp(transport->ns, NS_GOOGLE_P2P) == 0 ? TRANSPORT_GOOGLE : TRANSPORT_OTHER;
}

unsigned jingle_components(const struct xml *content)
{
    static const char *const rtp[] = {NS_RTP, NS_JINGLE_TMP ":apps:rtp",
                                      NS_JINGLE_015 "/description/audio",
                                      NS_JINGLE_015 "/description/video"};
    const struct xml *description = xml_child(content, "description", NULL);

    return description && is_spelt(description, rtp, sizeof rtp / sizeof rtp[0]) ? 2 : 1;
}

bool jingle_has_mux(const struct xml *content)
{
    struct xml *description = xml_child(content, "description", NS_RTP);
    struct xml *transport = jingle_transport(content);

    return (description && xml_child(description, "rtcp-mux", NULL)) ||
           (transport && xml_child(transport, "rtcp-mux", NULL));
}

unsigned jingle_count_candidates(const struct xml *jingle)
{
    unsigned count = 0;

    for (struct xml *content = xml_child(jingle, "content", NULL); content;
         content = xml_next(content, "content", NULL)) {
        struct xml *transport = jingle_transport(content);
        struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL;

        for (; c; c = xml_next(c, "candidate", NULL))
            count++;
    }
    return count;
}

int jingle_add_candidate(struct xml *transport, const struct jingle_candidate *candidate)
{
    char ip[ADDR_TEXT_MAX];
    struct xml *c = xml_add(transport, "candidate", NULL);
    int r = 0;

    if (!c)
        return -ENOMEM;
    r |= xml_setf(c, "component", "%u", candidate->component);
    r |= xml_setf(c, "foundation", "%u", candidate->foundation);
    r |= xml_setf(c, "generation", "%u", candidate->generation);
    r |= xml_set(c, "id", candidate->id);
    r |= xml_set(c, "ip", addr_format_ip(&candidate->addr, ip));
    r |= xml_set(c, "network", "0");
    r |= xml_setf(c, "port", "%u", candidate->addr.port);
    r |= xml_setf(c, "priority", "%u", candidate->priority);
    r |= xml_set(c, "protocol", "udp");
    r |= xml_set(c, "type", candidate->type);
    if (r) {
        xml_free(c);
        return -ENOMEM;
    }
    return 0;
}

// A decimal number of at most 10 digits; -1 for anything else.
static long long decimal(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (len == 0 || len > 10 || strspn(text, "0123456789") != len)
        return -1;
    return atoll(text);
}

static bool is_google(const struct xml *candidate)
{
    return strcmp(candidate->ns, NS_GOOGLE_P2P) == 0 ||
           strcmp(candidate->ns, NS_GOOGLE_SESSION) == 0;
}

int jingle_candidate_addr(const struct xml *candidate, struct addr *ret_addr)
{
    const char *ip = xml_attr(candidate, is_google(candidate) ? "address" : "ip");
    long long port = decimal(xml_attr(candidate, "port"));

    if (!ip || port < 1 || port > UINT16_MAX)
        return -EINVAL;
    return addr_parse_ip(ip, (uint16_t)port, ret_addr);
}

unsigned jingle_candidate_component(const struct xml *candidate)
{
    const char *text = xml_attr(candidate, "component");
    long long n = decimal(text);
    const char *name = is_google(candidate) ? xml_attr(candidate, "name") : NULL;

    if (name)
        return strstr(name, "rtcp") ? 2 : strstr(name, "rtp") ? 1 : 0;
    if (!text)
        return 1;
    return n >= 1 && n <= 256 ? (unsigned)n : 0;
}

// FNV-1a: a foundation only has to stay the same for the same text (RFC 8445 section 5.1.1.3).
static uint32_t fold(const char *text)
{
    uint32_t h = 2166136261u;

    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 16777619u;
    return h;
}

// RFC 8445 section 5.1.2.1, with one local preference for all.
static uint32_t usual_priority(const char *type, unsigned component)
{
    unsigned preference = strcmp(type, "host") == 0    ? 126
                          : strcmp(type, "prflx") == 0 ? 110
                          : strcmp(type, "srflx") == 0 ? 100
                                                       : 0;

    return preference << 24 | 65535u << 8 | (256 - component);
}

static int complete_number(struct xml *candidate, const char *name, uint32_t value)
{
    return xml_attr(candidate, name) ? 0 : xml_setf(candidate, name, "%u", value);
}

static int complete_text(struct xml *candidate, const char *name, const char *value)
{
    return xml_attr(candidate, name) ? 0 : xml_set(candidate, name, value);
}

int jingle_complete_candidate(struct xml *candidate, unsigned generation)
{
    const char *ip = xml_attr(candidate, "ip"), *port = xml_attr(candidate, "port");
    const char *type = xml_attr(candidate, "type"), *foundation = xml_attr(candidate, "foundation");
    const char *rel_port = xml_attr(candidate, "rel_port"); // Monal's spelling
    const char *protocol = xml_attr(candidate, "protocol");
    unsigned component = jingle_candidate_component(candidate);
    int r = 0;

    if (!type)
        type = "host";
    // Two candidates have one foundation when type and base are one (RFC 8445 section 5.1.1.3).
    if (!foundation)
        r |= xml_setf(candidate, "foundation", "%u", fold(ip ? ip : "") ^ fold(type));
    else if (decimal(foundation) < 0)
        r |= xml_setf(candidate, "foundation", "%u", fold(foundation));
    // Unique as long as component, protocol, address and port are together (XEP-0176 section 5.3).
    if (!xml_attr(candidate, "id"))
        r |= xml_setf(candidate, "id", "c%u-%.3s-%08x-%.5s", component, protocol ? protocol : "udp",
                      fold(ip ? ip : ""), port ? port : "");
    if (rel_port)
        r |= complete_text(candidate, "rel-port", rel_port);
    r |= complete_number(candidate, "component", 1);
    r |= complete_number(candidate, "generation", generation);
    r |= complete_number(candidate, "network", 0);
    r |= complete_number(candidate, "priority", usual_priority(type, component ? component : 1));
    r |= complete_text(candidate, "protocol", "udp");
    r |= complete_text(candidate, "type", type);
    return r ? -ENOMEM : 0;
}

bool jingle_tells_address(const struct xml *x)
{
    static const char *const attributes[] = {"ip", "address", "host", "rel-addr"};

    if (strcmp(x->name, "candidate") == 0 || strcmp(x->name, "remote-candidate") == 0)
        return true;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (xml_attr(x, attributes[i]))
            return true;
    }
    return false;
}
