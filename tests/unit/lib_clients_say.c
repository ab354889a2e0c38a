// SPDX-License-Identifier: ISC
// What callers and callees say: the samples, in a call between Alice and Bob. An answer of which
// there is no sample has the shape of its client's own offer, and takes up what was offered, as
// RFC 3264 wants it. See lib_clients.h.
#include "lib_clients.h"

#include "codec/jingle.h"
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#define SID "s1"

// ---- modes

static const struct {
    const char *name, *ns, *transport; // of the payload, and of its transports
} modes[MODE_COUNT] = {
    [MODE_ICE] = {"jingle", NS_JINGLE, NS_ICE_UDP},
    [MODE_ICE0] = {"jingle", NS_JINGLE, NS_ICE},
    [MODE_RAW] = {"jingle", NS_JINGLE, NS_RAW_UDP},
    [MODE_P2P] = {"jingle", NS_JINGLE, "http://www.google.com/transport/p2p"},
    [MODE_GOOGLE] = {"session", "http://www.google.com/session", NULL},
    [MODE_V015] = {"jingle", "http://jabber.org/protocol/jingle",
                   "http://www.google.com/transport/p2p"},
    [MODE_TMP] = {"jingle", "urn:xmpp:tmp:jingle:0", "urn:xmpp:tmp:jingle:transports:raw-udp:0"},
    [MODE_IAX] = {"jingle", "http://jabber.org/protocol/jingle",
                  "http://jabber.org/protocol/jingle/transport/iax"},
};

const struct xml *mode_payload(enum mode mode, const struct xml *iq)
{
    return xml_child(iq, modes[mode].name, modes[mode].ns);
}

const struct xml *mode_transport(enum mode mode, const struct xml *payload, const struct xml *last)
{
    const char *ns = modes[mode].transport;
    const struct xml *content;

    if (mode == MODE_GOOGLE) // candidates stand in the session itself
        return last ? NULL : payload;
    if (mode == MODE_IAX && !last && xml_child(payload, "transport", ns))
        return xml_child(payload, "transport", ns);
    content = last && xml_is(last->parent, "content", NULL)
                  ? xml_next(last->parent, "content", NULL)
              : last ? NULL
                     : xml_child(payload, "content", NULL);
    while (content && !xml_child(content, "transport", ns))
        content = xml_next(content, "content", NULL);
    return content ? xml_child(content, "transport", ns) : NULL;
}

static bool is_google(enum mode mode)
{
    return mode == MODE_P2P || mode == MODE_GOOGLE || mode == MODE_V015;
}

int mode_candidate_addr(enum mode mode, const struct xml *candidate, struct addr *ret_addr)
{
    const char *ip = xml_attr(candidate, is_google(mode) ? "address" : "ip");
    const char *port = xml_attr(candidate, "port");
    unsigned n;
    char rest;

    if (!ip || !port || sscanf(port, "%5u%c", &n, &rest) != 1 || n == 0 || n > UINT16_MAX)
        return -1;
    return addr_parse_ip(ip, (uint16_t)n, ret_addr);
}

unsigned mode_component(enum mode mode, const struct xml *candidate)
{
    const char *name = xml_attr(candidate, "name");

    if (!is_google(mode))
        return mode == MODE_IAX ? 1 : jingle_candidate_component(candidate);
    return name && strstr(name, "rtcp") ? 2 : name && strstr(name, "rtp") ? 1 : 0;
}

// ---- samples

static struct xml *load(const char *name)
{
    char file[128];

    snprintf(file, sizeof file, "%s.xml", name);
    return sample(file);
}

static void set(struct xml *x, const char *name, const char *value)
{
    assert_int_equal(xml_set(x, name, value), 0);
}

static void name_payload(struct xml *x, bool callee)
{
    const char *initiator = xml_attr(x, "initiator");

    if (initiator && callee)
        set(x, "initiator", ALICE);
    else if (initiator) // some write the bare JID
        set(x, "initiator", strchr(initiator, '/') ? ALICE : "alice@example.org");
    if (xml_attr(x, "responder"))
        set(x, "responder", BOB);
    set(x, strcmp(x->name, "session") == 0 ? "id" : "sid", SID);
}

static void name_parties(struct xml *iq, bool callee)
{
    set(iq, "from", callee ? BOB : ALICE);
    set(iq, "to", callee ? ALICE : BOB);
    for (struct xml *x = xml_child(iq, NULL, NULL); x; x = xml_next(x, NULL, NULL))
        name_payload(x, callee);
}

static struct xml *payload_of(enum mode mode, struct xml *iq)
{
    struct xml *x = xml_child(iq, modes[mode].name, modes[mode].ns);

    assert_non_null(x);
    return x;
}

// The content that a call in this mode is about; NULL in modes that have none.
static struct xml *content_in(enum mode mode, const struct xml *payload)
{
    const struct xml *transport = mode_transport(mode, payload, NULL);

    return transport && xml_is(transport->parent, "content", NULL) ? transport->parent : NULL;
}

struct xml *client_offer(const struct client *caller, const struct client *callee, enum mode mode)
{
    bool dtls = caller->dtls_initiate && mode == MODE_ICE && callee->encryption & ENC_DTLS;
    struct xml *iq = load(dtls ? caller->dtls_initiate : caller->says[mode].initiate);

    name_parties(iq, false);
    return iq;
}

// ---- answers

static void drop(struct xml *parent, const char *name)
{
    struct xml *x;

    while (parent && (x = xml_child(parent, name, NULL)))
        xml_free(x);
}

// Only that stays which was offered, too.
static void keep_offered(struct xml *mine, const struct xml *offered, const char *name)
{
    if (!offered || !xml_child(offered, name, NULL))
        drop(mine, name);
}

static unsigned codec_of(const struct xml *payload_type)
{
    static const struct {
        const char *name;
        unsigned codec;
    } names[] = {{"opus", CODEC_OPUS | CODEC_OPUS_111},
                 {"speex", CODEC_SPEEX},
                 {"PCMA", CODEC_G711},
                 {"PCMU", CODEC_G711},
                 {"ISAC", CODEC_ISAC}};
    const char *name = xml_attr(payload_type, "name");

    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(names[i].name, name) == 0)
            return names[i].codec;
    }
    return 0;
}

// RFC 3264 section 6.1: the payload types of the offer, so far as they are known here.
static void answer_codecs(const struct client *client, struct xml *mine, const struct xml *offered)
{
    struct xml *x;

    if (!mine || !offered)
        return;
    drop(mine, "payload-type");
    for (x = xml_child(offered, "payload-type", NULL); x; x = xml_next(x, "payload-type", NULL)) {
        struct xml *copy = codec_of(x) & client->codecs ? xml_clone(x) : NULL;

        if (copy)
            xml_append(mine, copy);
    }
    if (!xml_child(mine, "payload-type", NULL)) // both have more than their samples show
        xml_append(mine, xml_clone(xml_child(offered, "payload-type", NULL)));
}

// Not the other's, where both are of one client.
static void own_credentials(struct xml *transport)
{
    static const char *const names[] = {"ufrag", "pwd"};
    char text[256];

    for (int i = 0; i < 2; i++) {
        const char *value = xml_attr(transport, names[i]);

        if (!value)
            continue;
        snprintf(text, sizeof text, "Z%s", value + 1);
        set(transport, names[i], text);
    }
}

static void answer_transport(struct xml *mine, const struct xml *offered)
{
    struct xml *fingerprint;

    keep_offered(mine, offered, "fingerprint");
    fingerprint = xml_child(mine, "fingerprint", NULL);
    if (fingerprint)
        set(fingerprint, "setup", "active"); // RFC 5763 section 5
}

static void own_addresses(enum mode mode, const struct xml *payload)
{
    const struct xml *t = NULL;

    while ((t = mode_transport(mode, payload, t))) {
        for (struct xml *c = xml_child(t, "candidate", NULL); c;
             c = xml_next(c, "candidate", NULL)) {
            const char *port = xml_attr(c, "port");
            unsigned n;

            if (sscanf(port, "%5u", &n) == 1 && n > 9)
                assert_int_equal(xml_setf(c, "port", "%u", n + 1000), 0);
        }
    }
}

// One is enough of an answer: what is left out is declined.
static void keep_content(struct xml *payload, const struct xml *mine)
{
    struct xml *x = xml_child(payload, "content", NULL), *next;

    for (; x; x = next) {
        next = xml_next(x, "content", NULL);
        if (x != mine)
            xml_free(x);
    }
}

static void answer_content(const struct client *callee, enum mode mode, struct xml *payload,
                           const struct xml *offered)
{
    struct xml *mine = content_in(mode, payload), *x;
    struct xml *description = xml_child(mine, "description", NULL);
    const struct xml *theirs = xml_child(offered, "description", NULL);

    keep_content(payload, mine);
    set(mine, "name", xml_attr(offered, "name"));
    set(mine, "creator", callee->habits & HABIT_WRONG_CREATOR ? "responder" : "initiator");
    answer_codecs(callee, description, theirs);
    keep_offered(description, theirs, "rtcp-mux");
    keep_offered(description, theirs, "encryption");
    answer_transport(jingle_transport(mine), jingle_transport(offered));
    own_credentials(jingle_transport(mine));
    x = xml_child(payload, "group", NULL);
    if (x)
        set(xml_child(x, "content", NULL), "name", xml_attr(offered, "name"));
}

static void set_action(enum mode mode, struct xml *payload, const char *jingle, const char *google)
{
    if (mode == MODE_GOOGLE) {
        set(payload, "type", google);
        if (xml_attr(payload, "action"))
            set(payload, "action", google);
        return;
    }
    set(payload, "action", jingle);
    if (xml_attr(payload, "type")) // Yate writes both
        set(payload, "type", jingle);
}

struct xml *client_answer(const struct client *callee, enum mode mode, const struct xml *offer)
{
    const struct xml *offered = mode_payload(mode, offer);
    const struct xml *content = content_in(mode, offered);
    bool dtls = callee->dtls_initiate && xml_child(jingle_transport(content), "fingerprint", NULL);
    const char *accept = callee->says[mode].accept, *initiate = callee->says[mode].initiate;
    struct xml *iq = load(accept ? accept : dtls ? callee->dtls_initiate : initiate), *mine, *x;
    struct xml *payload = payload_of(mode, iq), *next;

    for (x = xml_child(iq, NULL, NULL); x; x = next) { // one dialect of those offered
        next = xml_next(x, NULL, NULL);
        if (x != payload)
            xml_free(x);
    }
    if (!accept)
        set_action(mode, payload, "session-accept", "accept");
    name_parties(iq, true);
    keep_offered(payload, offered, "group");
    mine = content_in(mode, payload);
    if (mine && content)
        answer_content(callee, mode, payload, content);
    own_addresses(mode, payload);
    return iq;
}

// As it said in its offer or answer, so far as it says it again.
static void repeat_credentials(struct xml *transport, const struct xml *before)
{
    static const char *const names[] = {"ufrag", "pwd"};

    for (int i = 0; i < 2; i++) {
        const char *value = xml_attr(before, names[i]);

        if (value && xml_attr(transport, names[i]))
            set(transport, names[i], value);
    }
}

struct xml *client_trickle(const struct client *client, enum mode mode, bool callee,
                           const struct xml *before)
{
    const struct xml *content = content_in(mode, mode_payload(mode, before));
    struct xml *iq, *payload, *mine;

    if (!client->says[mode].info)
        return NULL;
    iq = load(client->says[mode].info);
    name_parties(iq, callee);
    payload = payload_of(mode, iq);
    mine = content_in(mode, payload);
    if (mine && content) {
        set(mine, "name", xml_attr(content, "name"));
        if (xml_attr(content, "creator"))
            set(mine, "creator", xml_attr(content, "creator"));
        repeat_credentials(jingle_transport(mine), jingle_transport(content));
    }
    if (callee && mine)
        keep_content(payload, mine);
    if (callee)
        own_addresses(mode, payload);
    return iq;
}
