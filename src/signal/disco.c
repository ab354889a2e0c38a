// SPDX-License-Identifier: ISC
// What the component says of itself (XEP-0030, 0199, 0092, 0012), what a JID that stands for
// another says before a call, and what disco#info tells of a client's dialect.
#include "adhoc.h"
#include "services.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const component_features[] = {
    NS_DISCO_INFO,     NS_DISCO_ITEMS, NS_JINGLE,       NS_PING,
    NS_VERSION,        NS_LAST,        NS_JINGLENODES,  NS_JINGLENODES_CHANNEL,
    NS_DIVERT,         NS_JINGLE_TMP,  NS_JINGLE_TMP_0, NS_JINGLE_015,
    NS_GOOGLE_SESSION,
};

// And while TURN is on. That it takes delegated questions is a feature too: XEP-0355 section 7.1.
static const char *const service_features[] = {NS_EXTDISCO_2, NS_EXTDISCO_1, NS_JINGLEINFO,
                                               NS_JINGLENODES_TURN, NS_DELEGATION_2};

// What callers look for before they offer a call; the same for every JID, whether or not there is
// anybody behind it, so that nobody learns anything. Sorted, as XEP-0115 section 5.1 wants it.
static const char *const proxy_features[] = {
    NS_CAPS,
    NS_DISCO_INFO,
    "urn:ietf:rfc:5576", // XEP-0339
    "urn:ietf:rfc:5888", // XEP-0338 section 3
    NS_JMI,
    NS_JINGLE,
    NS_DTLS,
    NS_GROUPING,
    NS_RTP,
    "urn:xmpp:jingle:apps:rtp:audio",
    "urn:xmpp:jingle:apps:rtp:rtcp-fb:0",
    "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0",
    "urn:xmpp:jingle:apps:rtp:ssma:0",
    "urn:xmpp:jingle:apps:rtp:video",
    NS_ICE_UDP,
};

#define CAPS_NODE      "urn:xmpp:jingle-relayd:caps"
#define PROXY_IDENTITY "client/phone//"

// Which client announces itself how, and what may be written to it.
static const struct {
    const char *identity; // the name of an identity begins with this
    unsigned dialect;
} dialects[] = {
    {"Miranda", DIALECT_ONE_CANDIDATE | DIALECT_NO_EARLY_CANDIDATES},
    {"Dino", DIALECT_ONE_CONTENT},
    {"Jitsi", DIALECT_GENERATION_0},
    {"Psi", DIALECT_PLAIN_TRANSPORT | DIALECT_PLAIN_DESCRIPTION},
    {"Asterisk", DIALECT_PLAIN_TRANSPORT | DIALECT_NO_EARLY_CANDIDATES},
};

unsigned dialect_of(const struct xml *query)
{
    unsigned dialect = 0;

    for (struct xml *x = xml_child(query, "identity", NULL); x; x = xml_next(x, "identity", NULL)) {
        const char *name = xml_attr(x, "name");
        size_t i;

        for (i = 0; name && i < sizeof dialects / sizeof dialects[0]; i++) {
            if (strncasecmp(name, dialects[i].identity, strlen(dialects[i].identity)) == 0)
                dialect |= dialects[i].dialect;
        }
    }
    return dialect;
}

// XEP-0115 section 5.1: SHA-1 over identity and features, each closed by '<'.
static int proxy_caps_version(char *buf, size_t size)
{
    struct buf text = {0};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    size_t i;

    buf_puts(&text, PROXY_IDENTITY "<");
    for (i = 0; i < sizeof proxy_features / sizeof proxy_features[0]; i++)
        buf_printf(&text, "%s<", proxy_features[i]);
    if (text.failed || !EVP_Digest(text.data, text.len, digest, &len, EVP_sha1(), NULL) ||
        (size_t)4 * ((len + 2) / 3) >= size) {
        buf_free(&text);
        return -1;
    }
    EVP_EncodeBlock((unsigned char *)buf, digest, (int)len);
    buf_free(&text);
    return 0;
}

static int add_features(struct xml *query, const char *const *feature, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        struct xml *x = xml_add(query, "feature", NULL);

        if (!x || xml_set(x, "var", feature[i]))
            return -1;
    }
    return 0;
}

static int add_identity(struct xml *query, const char *category, const char *type, const char *name)
{
    struct xml *identity = xml_add(query, "identity", NULL);

    return !identity || xml_set(identity, "category", category) ||
                   xml_set(identity, "type", type) || (name && xml_set(identity, "name", name))
               ? -1
               : 0;
}

static struct xml *info_reply(const struct xml *iq, const char *category, const char *type,
                              const char *name)
{
    const char *node = xml_attr(xml_child(iq, "query", NULL), "node");
    struct xml *reply = reply_new(iq, "result");
    struct xml *query = reply ? xml_add(reply, "query", NS_DISCO_INFO) : NULL;

    if (!query || add_identity(query, category, type, name) ||
        (node && xml_set(query, "node", node))) {
        xml_free(reply);
        return NULL;
    }
    return reply;
}

static int add_component(struct signal *signal, const struct xml *iq, struct xml *query, usec_t now)
{
    static const char *const commands[] = {NS_COMMANDS};

    // By the second identity relays of XEP-0278 know each other.
    if (add_identity(query, "proxy", "relay", "Jingle Nodes Relay") ||
        add_features(query, component_features,
                     sizeof component_features / sizeof component_features[0]) ||
        (signal->config.services.count > 0 &&
         add_features(query, service_features,
                      sizeof service_features / sizeof service_features[0])) ||
        (adhoc_is_admin(signal, xml_attr(iq, "from")) && add_features(query, commands, 1)))
        return -1;
    return adhoc_add_service_info(signal, query, now);
}

void disco_info(struct signal *signal, const struct xml *iq, usec_t now)
{
    struct jid to;
    bool component = jid_parse(xml_attr(iq, "to"), &to) == 0 && to.local_len == 0;
    const char *node = xml_attr(xml_child(iq, "query", NULL), "node");
    struct xml *reply;

    if (component && node && *node) { // the only nodes that we have
        if (adhoc_has_node(signal, node))
            adhoc_disco_info(signal, iq, node);
        else
            stanza_send(signal, delegation_disco(signal, iq, node));
        return;
    }
    reply = component ? info_reply(iq, "component", "generic", "Jingle relay")
                      : info_reply(iq, "client", "phone", NULL);
    if (!reply)
        return;
    if ((component ? add_component(signal, iq, xml_child(reply, "query", NULL), now)
                   : add_features(xml_child(reply, "query", NULL), proxy_features,
                                  sizeof proxy_features / sizeof proxy_features[0])) < 0) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

void disco_items(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *node = xml_attr(xml_child(iq, "query", NULL), "node");
    struct xml *reply;
    struct jid to;

    (void)now;
    if (node && strcmp(node, NS_COMMANDS) == 0 && jid_parse(xml_attr(iq, "to"), &to) == 0 &&
        to.local_len == 0) {
        adhoc_disco_items(signal, iq);
        return;
    }
    reply = reply_new(iq, "result");
    if (reply && !xml_add(reply, "query", NS_DISCO_ITEMS)) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

void answer_ping(struct signal *signal, const struct xml *iq, usec_t now)
{
    (void)now;
    reply_result(signal, iq);
}

void answer_version(struct signal *signal, const struct xml *iq, usec_t now)
{
    struct xml *reply = reply_new(iq, "result");
    struct xml *query = reply ? xml_add(reply, "query", NS_VERSION) : NULL;
    struct xml *name = query ? xml_add(query, "name", NULL) : NULL;
    struct xml *version = query ? xml_add(query, "version", NULL) : NULL;

    (void)now;
    if (!name || !version || xml_add_text(name, "jingle-relayd", strlen("jingle-relayd")) ||
        xml_add_text(version, RELAYD_VERSION, strlen(RELAYD_VERSION))) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

void answer_last(struct signal *signal, const struct xml *iq, usec_t now)
{
    struct xml *reply = reply_new(iq, "result");
    struct xml *query = reply ? xml_add(reply, "query", NS_LAST) : NULL;

    if (!query || xml_setf(query, "seconds", "%" PRIu64, (now - signal->started) / USEC_PER_SEC)) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

struct xml *proxy_presence(const char *from, const char *to)
{
    char version[64];
    struct xml *presence = xml_new("presence", NS_CLIENT);
    struct xml *caps = presence ? xml_add(presence, "c", NS_CAPS) : NULL;

    if (!caps || xml_set(presence, "from", from) || xml_set(presence, "to", to) ||
        proxy_caps_version(version, sizeof version) || xml_set(caps, "hash", "sha-1") ||
        xml_set(caps, "node", CAPS_NODE) || xml_set(caps, "ver", version)) {
        xml_free(presence);
        return NULL;
    }
    return presence;
}
