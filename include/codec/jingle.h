// SPDX-License-Identifier: ISC
// The words of Jingle: namespaces, actions, transports, candidates (XEP-0166, 0167, 0176, 0177,
// 0371). Reads and writes elements; knows nothing of sessions.
#pragma once

#include "base/addr.h"
#include "codec/xml.h"

#include <stdbool.h>
#include <stdint.h>

#define NS_CLIENT        "jabber:client"
#define NS_STANZAS       "urn:ietf:params:xml:ns:xmpp-stanzas"
#define NS_DISCO_INFO    "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS   "http://jabber.org/protocol/disco#items"
#define NS_CAPS          "http://jabber.org/protocol/caps"
#define NS_PING          "urn:xmpp:ping"
#define NS_VERSION       "jabber:iq:version"
#define NS_LAST          "jabber:iq:last"
#define NS_JINGLE        "urn:xmpp:jingle:1"
#define NS_JINGLE_ERRORS "urn:xmpp:jingle:errors:1"
#define NS_JMI           "urn:xmpp:jingle-message:0"
#define NS_RTP           "urn:xmpp:jingle:apps:rtp:1"
#define NS_DTLS          "urn:xmpp:jingle:apps:dtls:0"
#define NS_GROUPING      "urn:xmpp:jingle:apps:grouping:0"
#define NS_ICE_UDP       "urn:xmpp:jingle:transports:ice-udp:1"
#define NS_ICE           "urn:xmpp:jingle:transports:ice:0"
#define NS_RAW_UDP       "urn:xmpp:jingle:transports:raw-udp:1"

// Jingle as it was written before 2009 (Kopete; Gabble calls the last v0.15).
#define NS_JINGLE_TMP   "urn:xmpp:tmp:jingle"
#define NS_JINGLE_TMP_0 "urn:xmpp:tmp:jingle:0"
#define NS_JINGLE_015   "http://jabber.org/protocol/jingle"

// Google Talk's own (libjingle, FreeSWITCH, Gabble, Pidgin, Yate): a session that is no Jingle, and
// a transport that stands in both.
#define NS_GOOGLE_SESSION "http://www.google.com/session"
#define NS_GOOGLE_P2P     "http://www.google.com/transport/p2p"

#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_DIVERT  "urn:xmpp:jingle-relayd:divert:1"

#define NS_JINGLENODES         "http://jabber.org/protocol/jinglenodes"
#define NS_JINGLENODES_CHANNEL "http://jabber.org/protocol/jinglenodes#channel"
#define NS_JINGLENODES_TURN    "http://jabber.org/protocol/jinglenodes#turncredentials"

// X(identifier, name): the 15 actions of XEP-0166 section 7.2
#define JINGLE_ACTION_TABLE(X)                                                                     \
    X(CONTENT_ACCEPT, "content-accept")                                                            \
    X(CONTENT_ADD, "content-add")                                                                  \
    X(CONTENT_MODIFY, "content-modify")                                                            \
    X(CONTENT_REJECT, "content-reject")                                                            \
    X(CONTENT_REMOVE, "content-remove")                                                            \
    X(DESCRIPTION_INFO, "description-info")                                                        \
    X(SECURITY_INFO, "security-info")                                                              \
    X(SESSION_ACCEPT, "session-accept")                                                            \
    X(SESSION_INFO, "session-info")                                                                \
    X(SESSION_INITIATE, "session-initiate")                                                        \
    X(SESSION_TERMINATE, "session-terminate")                                                      \
    X(TRANSPORT_ACCEPT, "transport-accept")                                                        \
    X(TRANSPORT_INFO, "transport-info")                                                            \
    X(TRANSPORT_REJECT, "transport-reject")                                                        \
    X(TRANSPORT_REPLACE, "transport-replace")

#define X(id, name) JINGLE_##id,
enum jingle_action { JINGLE_ACTION_TABLE(X) JINGLE_ACTION_COUNT };
#undef X

// JINGLE_ACTION_COUNT for an unknown or absent name.
enum jingle_action jingle_action(const char *name);
const char *jingle_action_name(enum jingle_action action);

enum transport_kind {
    TRANSPORT_NONE,   // no transport element
    TRANSPORT_ICE,    // NS_ICE_UDP, NS_ICE, and as it was written before
    TRANSPORT_RAW,    // NS_RAW_UDP, and as it was written before
    TRANSPORT_GOOGLE, // NS_GOOGLE_P2P
    TRANSPORT_OTHER,  // passed on as it is
};

// The Jingle element of an IQ, in any of its namespaces; NULL if there is none.
struct xml *jingle_element(const struct xml *iq);

// The transport of a content element, whatever its namespace; NULL if it has none.
struct xml *jingle_transport(const struct xml *content);
enum transport_kind jingle_transport_kind(const struct xml *transport);

// The contents of a session start with description and transport; RTP has RTCP beside it
// (component 2), everything else one component.
unsigned jingle_components(const struct xml *content);
// rtcp-mux in the description (XEP-0167 section 4), or in the transport as Jitsi writes it.
bool jingle_has_mux(const struct xml *content);
// How many candidates stand in a jingle element, over all contents.
unsigned jingle_count_candidates(const struct xml *jingle);

struct jingle_candidate {
    unsigned component; // 1..256
    unsigned generation;
    unsigned foundation; // as a number of at most 10 digits: what every client accepts
    struct addr addr;
    uint32_t priority;
    const char *type; // "relay"
    char id[24];
};

// Adds an ICE candidate with all the attributes that some client demands (component, foundation,
// generation, id, ip, network, port, priority, protocol, type) and no others. 0 or -ENOMEM.
int jingle_add_candidate(struct xml *transport, const struct jingle_candidate *candidate);

struct google_candidate {
    struct addr addr;
    const char *username; // at most 16 characters of base64: what every client accepts
};

// Adds a candidate of Google's transport that is written like 'like', another one of the same
// component, for clients differ in what they demand; of type relay, and the least preferred. 0 or
// -ENOMEM.
int jingle_add_google(struct xml *parent, const struct xml *like,
                      const struct google_candidate *candidate);

// The address of a candidate element. Returns 0, or -EINVAL when it is no IP literal or the port
// is not 1..65535.
int jingle_candidate_addr(const struct xml *candidate, struct addr *ret_addr);
// Its component: 1..256, 1 when the attribute is missing, 0 when it is no such number. Google's is
// said by its name: rtp, rtcp, and video_ before either; 0 for others.
unsigned jingle_candidate_component(const struct xml *candidate);

// Writes what is missing in a candidate that a client sent, but for its address, turns a foundation
// that is no number of 10 digits or fewer into one, and spells rel-port right. 0 or -ENOMEM.
int jingle_complete_candidate(struct xml *candidate, unsigned generation);

// ---- Google's session, in the words of Jingle

// The element in an IQ, if there is no Jingle beside it; NULL if there is none.
struct xml *jingle_google_session(const struct xml *iq);

// What it says, as a Jingle element: the caller's. Its candidates stand in one content for audio
// and one for video, of these names. NULL: no memory.
struct xml *jingle_from_google(const struct xml *session, const char *audio, const char *video);

// Puts the candidates of that Jingle element in the place of those of the session. 0 or -ENOMEM.
int jingle_to_google(const struct xml *jingle, struct xml *session);

// Whether the element tells a transport address of a client: a candidate of any transport, or
// anything else with an attribute for one.
bool jingle_tells_address(const struct xml *x);
