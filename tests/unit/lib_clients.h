// SPDX-License-Identifier: ISC
// The clients of docs/INTEROP.md as both doors meet them: a row per client with the stanzas that it
// sends (samples of tests/data/stanzas) and the demands that it makes on what it receives; what a
// caller and a callee say to each other in a call; and a receiver that finds fault with a stanza as
// that client would. Real clients' names stand here only: the daemon asks flags.
#pragma once

#include "base/addr.h"
#include "codec/xml.h"

#include <stdbool.h>

enum mode { // dialect and transport of a call
    MODE_ICE,
    MODE_ICE0,   // XEP-0371
    MODE_RAW,    // XEP-0177
    MODE_P2P,    // jingle:1 with Google's transport
    MODE_GOOGLE, // Google's session
    MODE_V015,   // XEP-0166 version 0.15
    MODE_TMP,    // urn:xmpp:tmp:jingle:0
    MODE_IAX,    // XEP-0179
    MODE_COUNT
};

#define MODE(name) (1u << MODE_##name)

enum media_encryption { ENC_PLAIN = 1, ENC_SDES = 2, ENC_DTLS = 4, ENC_ZRTP = 8 };

enum codec {
    CODEC_OPUS = 1,
    CODEC_OPUS_111 = 2, // under that number only
    CODEC_SPEEX = 4,
    CODEC_G711 = 8,
    CODEC_ISAC = 16,
    CODEC_IAX = 32,        // chosen within IAX2
    CODEC_ANY = 1 + 4 + 8, // as its operator configures it
};

enum habit {
    HABIT_MUX_ONLY = 1,       // no call without rtcp-mux
    HABIT_NO_MUX = 2,         // never rtcp-mux
    HABIT_PROPOSES = 4,       // knows XEP-0353
    HABIT_ONLY_PROPOSED = 8,  // no call without it
    HABIT_WRONG_CREATOR = 16, // says that it made what the caller made
};

// Attributes of a candidate, in the order of the safe one (jingle_add_candidate()).
enum need {
    NEED_COMPONENT = 1,
    NEED_FOUNDATION = 2,
    NEED_GENERATION = 4,
    NEED_ID = 8,
    NEED_IP = 16,
    NEED_NETWORK = 32,
    NEED_PORT = 64,
    NEED_PRIORITY = 128,
    NEED_PROTOCOL = 256,
    NEED_TYPE = 512,
};

enum demand {
    DEMAND_WHOLE = 1 << 0,            // one bad candidate costs the stanza, or the call
    DEMAND_BARE_TRANSPORT = 1 << 1,   // every child of a transport is taken for a candidate
    DEMAND_BARE_DESCRIPTION = 1 << 2, // and of a description for a payload type
    DEMAND_ONE_CONTENT = 1 << 3,      // per transport-info
    DEMAND_FIRST_ONLY = 1 << 4,       // the other candidates of a stanza are not read
    DEMAND_NOT_EARLY = 1 << 5,        // nor those of offers and answers
    DEMAND_CREATOR = 1 << 6,          // is there and right
    DEMAND_CREDENTIALS = 1 << 7,      // both beside candidates
    DEMAND_UFRAG = 1 << 8,            // one beside candidates
    DEMAND_SAME = 1 << 9,             // credentials as in offer or answer
    DEMAND_SAME_UFRAG = 1 << 10,      // another is a restart
    DEMAND_NUMBER = 1 << 11,          // foundations are numbers of 10 digits at most
    DEMAND_GENERATION_0 = 1 << 12,
    DEMAND_UDP = 1 << 13,
    DEMAND_LITERAL = 1 << 14, // an IP address
    DEMAND_IPV4 = 1 << 15,
    DEMAND_DTLS = 1 << 16,           // fingerprint, hash and a proper setup
    DEMAND_SHORT_NAMES = 1 << 17,    // of contents: 16 characters, no space
    DEMAND_UNIQUE_ID = 1 << 18,      // an equal one replaces the earlier candidate
    DEMAND_SHORT_USERNAME = 1 << 19, // Google: 16 characters of base64
    DEMAND_PUBLIC = 1 << 20,         // Google: no private or reserved address
    DEMAND_PASSWORD = 1 << 21,       // Google: beside the user name
    DEMAND_COMPONENT_1 = 1 << 22,    // knows no RTCP
    DEMAND_FULL = 1 << 23,           // Google: with preference, type and network
};

struct client {
    const char *name;
    const char *identity;         // of its disco#info
    enum mode offers[MODE_COUNT]; // the one that it likes best first
    unsigned offer_count;
    unsigned takes; // MODE() of what it can answer
    unsigned encryption, codecs, habits;
    unsigned needs, demands;
    struct {
        const char *initiate, *accept, *info; // accept NULL: of the shape of its initiate
    } says[MODE_COUNT];
    const char *dtls_initiate; // NULL: DTLS is always offered, or never
};

extern const struct client clients[];
extern const unsigned client_count;

// How a call from one to the other is made. Returns NULL and the mode, or in one letter why there
// is none: t (no common dialect and transport), e (encryption), m (rtcp-mux), p (proposal),
// c (codec).
const char *client_meet(const struct client *caller, const struct client *callee,
                        enum mode *ret_mode);

// ---- what they say; the caller frees it. Alice offers, Bob answers; the sid is s1.

struct xml *client_offer(const struct client *caller, const struct client *callee, enum mode mode);
struct xml *client_answer(const struct client *callee, enum mode mode, const struct xml *offer);
// NULL: all was said before, which was its offer or answer.
struct xml *client_trickle(const struct client *client, enum mode mode, bool callee,
                           const struct xml *before);

// ---- what they make of what they receive

#define EAR_MAX 32

struct ear { // of one client in one call; all zero but for the first two
    const struct client *client;
    enum mode mode;
    char fault[256];         // what is wrong with a stanza; the first
    char peer[256];          // who speaks
    char ufrag[64], pwd[64]; // in the offer or answer
    char id[EAR_MAX][64];    // Google: the user name
    struct heard {
        struct addr addr;
        unsigned component;
    } heard[EAR_MAX]; // usable candidates
    unsigned heard_count;
};

void ear_hear(struct ear *ear, const struct xml *iq);
// May it use this one, if it were written as it wants it?
bool ear_could_use(const struct ear *ear, const struct addr *addr, const char *protocol);
bool ear_has(const struct ear *ear, const struct addr *addr, unsigned component);

// ---- reading a stanza in its mode

const struct xml *mode_payload(enum mode mode, const struct xml *iq); // or NULL
// The next element with candidates, the first for NULL. Its candidates are children.
const struct xml *mode_transport(enum mode mode, const struct xml *payload, const struct xml *last);
int mode_candidate_addr(enum mode mode, const struct xml *candidate, struct addr *ret_addr);
unsigned mode_component(enum mode mode, const struct xml *candidate);
