// SPDX-License-Identifier: ISC
// The rows of the clients; see lib_clients.h. Each was read from the client's own source, but for
// Kaidan's call engine and Google Talk, which could not be: they are given the demands of their
// nearest kin.
#include "lib_clients.h"

#include <stddef.h>

#define NEED_ADDRESS   (NEED_COMPONENT | NEED_IP | NEED_PORT)
#define NEED_CANDIDATE (NEED_ADDRESS | NEED_FOUNDATION | NEED_PRIORITY | NEED_TYPE | NEED_PROTOCOL)
#define WEBRTC         (DEMAND_DTLS | DEMAND_UFRAG)
#define CODEC_BROWSER  (CODEC_OPUS | CODEC_OPUS_111 | CODEC_G711)
#define OFFERS(...)                                                                                \
    .offers = {__VA_ARGS__},                                                                       \
    .offer_count = sizeof((const enum mode[]){__VA_ARGS__}) / sizeof(enum mode)

const struct client clients[] = {
    {.name = "Asterisk",
     .identity = "asterisk",
     OFFERS(MODE_ICE, MODE_P2P, MODE_GOOGLE),
     .takes = MODE(ICE) | MODE(P2P) | MODE(GOOGLE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_ANY,
     .habits = HABIT_NO_MUX | HABIT_WRONG_CREATOR,
     .needs = NEED_CANDIDATE | NEED_GENERATION | NEED_ID,
     .demands = DEMAND_WHOLE | DEMAND_BARE_TRANSPORT | DEMAND_IPV4,
     .says = {[MODE_ICE] = {"asterisk-video-session-initiate", "asterisk-session-accept",
                            "asterisk-video-transport-info"},
              [MODE_P2P] = {"asterisk-google-session-initiate", NULL,
                            "asterisk-google-transport-info"},
              [MODE_GOOGLE] = {"asterisk-google-v1-initiate", NULL,
                               "asterisk-google-v1-candidates"}}},
    {.name = "Coccinella",
     .identity = "Coccinella",
     OFFERS(MODE_IAX),
     .takes = MODE(IAX),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_IAX,
     .says = {[MODE_IAX] = {"coccinella-iax-session-initiate", "coccinella-iax-transport-accept",
                            NULL}}},
    {.name = "Conversations (Snikket, Cheogram)",
     .identity = "Conversations",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_BROWSER,
     .habits = HABIT_PROPOSES,
     .needs = NEED_ADDRESS | NEED_FOUNDATION | NEED_PRIORITY | NEED_PROTOCOL,
     .demands = WEBRTC | DEMAND_UDP | DEMAND_SHORT_NAMES,
     .says = {[MODE_ICE] = {"conversations-session-initiate", "conversations-session-accept",
                            "conversations-transport-info"}}},
    {.name = "Dino",
     .identity = "Dino",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_PLAIN | ENC_SDES | ENC_DTLS,
     .codecs = CODEC_OPUS | CODEC_SPEEX | CODEC_G711,
     .habits = HABIT_PROPOSES,
     .needs = NEED_ADDRESS | NEED_FOUNDATION | NEED_PRIORITY | NEED_TYPE,
     .demands = DEMAND_WHOLE | DEMAND_ONE_CONTENT,
     .says = {[MODE_ICE] = {"dino-session-initiate", NULL, "dino-transport-info"}}},
    {.name = "FreeSWITCH to 1.10.7",
     .identity = "freeswitch",
     OFFERS(MODE_P2P, MODE_GOOGLE),
     .takes = MODE(P2P) | MODE(GOOGLE),
     .encryption = ENC_PLAIN | ENC_SDES,
     .codecs = CODEC_ANY,
     .demands = DEMAND_PUBLIC | DEMAND_PASSWORD,
     .says = {[MODE_P2P] = {"freeswitch-session-initiate", NULL, "freeswitch-transport-info"},
              [MODE_GOOGLE] = {"freeswitch-session-initiate", NULL, "freeswitch-candidates"}}},
    {.name = "Gabble (Empathy, KDE Telepathy)",
     .identity = "Telepathy Gabble",
     OFFERS(MODE_P2P, MODE_ICE, MODE_V015, MODE_GOOGLE),
     .takes = MODE(P2P) | MODE(ICE) | MODE(RAW) | MODE(V015) | MODE(GOOGLE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_OPUS | CODEC_SPEEX | CODEC_G711 | CODEC_ISAC,
     .habits = HABIT_NO_MUX,
     .needs = NEED_CANDIDATE | NEED_GENERATION | NEED_NETWORK,
     .demands = DEMAND_UDP | DEMAND_CREDENTIALS | DEMAND_CREATOR,
     .says = {[MODE_P2P] = {"gabble-p2p-session-initiate", NULL, "gabble-p2p-transport-info"},
              [MODE_ICE] = {"gabble-v032-session-initiate", NULL, NULL},
              [MODE_RAW] = {NULL, "gabble-raw-session-accept", NULL},
              [MODE_V015] = {"gabble-v015-session-initiate", NULL, "gabble-v015-transport-info"},
              [MODE_GOOGLE] = {"gabble-gtalk3-initiate", NULL, "gabble-gtalk3-candidates"}}},
    {.name = "Gabble before 0.7.16 (Maemo)",
     .identity = "Telepathy Gabble",
     OFFERS(MODE_V015, MODE_GOOGLE),
     .takes = MODE(V015) | MODE(GOOGLE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_SPEEX | CODEC_G711 | CODEC_ISAC,
     .habits = HABIT_NO_MUX,
     .says = {[MODE_V015] = {"gabble-v015-session-initiate", NULL, "gabble-v015-transport-info"},
              [MODE_GOOGLE] = {"gabble-gtalk3-initiate", NULL, "gabble-gtalk3-candidates"}}},
    {.name = "Gajim (calls switched on)",
     .identity = "Gajim",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_OPUS | CODEC_SPEEX | CODEC_G711,
     .habits = HABIT_NO_MUX,
     .needs = NEED_ADDRESS | NEED_FOUNDATION | NEED_PRIORITY | NEED_PROTOCOL,
     .demands = DEMAND_WHOLE | DEMAND_CREDENTIALS | DEMAND_CREATOR,
     .says = {[MODE_ICE] = {"gajim-session-initiate", NULL, NULL}}},
    {.name = "Google Talk (QIP Infium)",
     .identity = "Google Talk",
     OFFERS(MODE_GOOGLE),
     .takes = MODE(GOOGLE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_ISAC | CODEC_SPEEX | CODEC_G711,
     .demands = DEMAND_SHORT_USERNAME | DEMAND_WHOLE,
     .says = {[MODE_GOOGLE] = {"gabble-gtalk3-initiate", NULL, "gabble-gtalk3-candidates"}}},
    {.name = "Jitsi",
     .identity = "Jitsi",
     OFFERS(MODE_ICE, MODE_RAW),
     .takes = MODE(ICE) | MODE(RAW),
     .encryption = ENC_PLAIN | ENC_SDES | ENC_DTLS | ENC_ZRTP,
     .codecs = CODEC_OPUS | CODEC_SPEEX | CODEC_G711,
     .habits = HABIT_NO_MUX,
     .needs = NEED_CANDIDATE | NEED_GENERATION,
     .demands = DEMAND_WHOLE | DEMAND_GENERATION_0,
     .says = {[MODE_ICE] = {"jitsi-session-initiate", NULL, "jitsi-transport-info"},
              [MODE_RAW] = {"jitsi-raw-session-initiate", NULL, NULL}},
     .dtls_initiate = "jitsi-dtls-session-initiate"},
    {.name = "Kaidan",
     .identity = "Kaidan",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_OPUS | CODEC_G711,
     .habits = HABIT_PROPOSES,
     .needs = NEED_ADDRESS | NEED_FOUNDATION | NEED_PRIORITY | NEED_PROTOCOL,
     .demands = WEBRTC | DEMAND_LITERAL,
     .says = {[MODE_ICE] = {"kaidan-session-initiate", NULL, NULL}}},
    {.name = "Kopete",
     .identity = "Kopete",
     OFFERS(MODE_TMP, MODE_P2P, MODE_GOOGLE),
     .takes = MODE(TMP) | MODE(P2P) | MODE(GOOGLE),
     .encryption = ENC_PLAIN | ENC_SDES,
     .codecs = CODEC_SPEEX | CODEC_G711 | CODEC_ISAC,
     .demands = DEMAND_SHORT_USERNAME,
     .says = {[MODE_TMP] = {"kopete-session-initiate", NULL, NULL},
              [MODE_P2P] = {"libjingle-hybrid-session-initiate", NULL, "libjingle-transport-info"},
              [MODE_GOOGLE] = {"libjingle-hybrid-session-initiate", NULL, NULL}}},
    {.name = "libjingle",
     .identity = "libjingle call",
     OFFERS(MODE_P2P, MODE_GOOGLE),
     .takes = MODE(P2P) | MODE(GOOGLE),
     .encryption = ENC_PLAIN | ENC_SDES,
     .codecs = CODEC_SPEEX | CODEC_G711 | CODEC_ISAC,
     .demands = DEMAND_SHORT_USERNAME | DEMAND_WHOLE,
     .says = {[MODE_P2P] = {"libjingle-hybrid-session-initiate", NULL, "libjingle-transport-info"},
              [MODE_GOOGLE] = {"libjingle-hybrid-session-initiate", NULL, NULL}}},
    {.name = "Miranda NG",
     .identity = "Miranda NG",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_OPUS_111,
     .habits = HABIT_MUX_ONLY,
     .needs = NEED_CANDIDATE,
     .demands = WEBRTC | DEMAND_FIRST_ONLY | DEMAND_NOT_EARLY | DEMAND_CREATOR,
     .says = {[MODE_ICE] = {"miranda-session-initiate", NULL, "miranda-transport-info"}}},
    {.name = "Monal",
     .identity = "Monal",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_BROWSER,
     .habits = HABIT_MUX_ONLY | HABIT_PROPOSES | HABIT_ONLY_PROPOSED,
     .needs = NEED_CANDIDATE | NEED_GENERATION,
     .demands = WEBRTC | DEMAND_WHOLE | DEMAND_SAME | DEMAND_CREDENTIALS,
     .says = {[MODE_ICE] = {"monal-session-initiate", NULL, "monal-transport-info"}}},
    {.name = "Movim",
     .identity = "Movim",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_BROWSER,
     .habits = HABIT_MUX_ONLY | HABIT_PROPOSES | HABIT_ONLY_PROPOSED,
     .needs = NEED_CANDIDATE,
     .demands = WEBRTC | DEMAND_WHOLE,
     .says = {[MODE_ICE] = {"movim-session-initiate", NULL, "movim-transport-info"}}},
    {.name = "Pidgin",
     .identity = "Pidgin",
     OFFERS(MODE_ICE, MODE_RAW, MODE_P2P, MODE_GOOGLE),
     .takes = MODE(ICE) | MODE(RAW) | MODE(P2P) | MODE(GOOGLE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_OPUS | CODEC_SPEEX | CODEC_G711 | CODEC_ISAC,
     .habits = HABIT_NO_MUX,
     .needs = NEED_CANDIDATE | NEED_GENERATION | NEED_ID | NEED_NETWORK,
     .demands = DEMAND_UNIQUE_ID | DEMAND_CREATOR,
     .says = {[MODE_ICE] = {"pidgin-session-initiate", NULL, NULL},
              [MODE_RAW] = {"pidgin-raw-session-initiate", NULL, NULL},
              [MODE_P2P] = {"pidgin-p2p-session-initiate", NULL, "pidgin-p2p-transport-info"},
              [MODE_GOOGLE] = {"pidgin-google-initiate", NULL, NULL}}},
    {.name = "Psi, Psi+",
     .identity = "Psi+",
     OFFERS(MODE_ICE0, MODE_ICE),
     .takes = MODE(ICE) | MODE(ICE0),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_OPUS | CODEC_SPEEX,
     .habits = HABIT_NO_MUX,
     .needs = NEED_TYPE,
     .demands = DEMAND_WHOLE | DEMAND_BARE_TRANSPORT | DEMAND_BARE_DESCRIPTION | DEMAND_CREDENTIALS,
     .says = {[MODE_ICE] = {"psi-session-initiate", NULL, NULL},
              [MODE_ICE0] = {"psi-ice0-session-initiate", NULL, "psi-ice0-transport-info"}}},
    {.name = "QXmpp of 2025",
     .identity = "QXmpp",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_PLAIN,
     .codecs = CODEC_SPEEX | CODEC_G711,
     .habits = HABIT_NO_MUX,
     .needs = NEED_IP | NEED_PORT,
     .demands = DEMAND_CREDENTIALS | DEMAND_LITERAL,
     .says = {[MODE_ICE] = {"qxmpp-session-initiate", NULL, "qxmpp-transport-info"}}},
    {.name = "Siskin",
     .identity = "Siskin IM",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_BROWSER,
     .habits = HABIT_MUX_ONLY | HABIT_PROPOSES,
     .needs = NEED_ADDRESS | NEED_FOUNDATION | NEED_PROTOCOL,
     .demands = WEBRTC | DEMAND_NUMBER,
     .says = {[MODE_ICE] = {"siskin-session-initiate", NULL, "siskin-transport-info"}}},
    {.name = "stanza.js",
     .identity = "StanzaJS",
     OFFERS(MODE_ICE),
     .takes = MODE(ICE),
     .encryption = ENC_DTLS,
     .codecs = CODEC_BROWSER,
     .habits = HABIT_MUX_ONLY,
     .needs = NEED_ADDRESS | NEED_FOUNDATION | NEED_PRIORITY | NEED_TYPE,
     .demands = WEBRTC | DEMAND_SAME_UFRAG,
     .says = {[MODE_ICE] = {"stanzajs-session-initiate", NULL, "stanzajs-transport-info"}}},
    {.name = "Yate",
     .identity = "yate",
     OFFERS(MODE_RAW, MODE_ICE, MODE_GOOGLE),
     .takes = MODE(RAW) | MODE(ICE) | MODE(GOOGLE),
     .encryption = ENC_PLAIN | ENC_SDES,
     .codecs = CODEC_ANY,
     .habits = HABIT_NO_MUX,
     .needs = NEED_CANDIDATE | NEED_GENERATION | NEED_NETWORK,
     .demands = DEMAND_WHOLE | DEMAND_UDP | DEMAND_COMPONENT_1,
     .says = {[MODE_RAW] = {"yate-v1-session-initiate", NULL, NULL},
              [MODE_ICE] = {"yate-v1-session-initiate", NULL, "yate-ice-transport-info"},
              [MODE_GOOGLE] = {"yate-v0-initiate", NULL, NULL}}},
};

const unsigned client_count = sizeof clients / sizeof clients[0];

static bool codecs_meet(unsigned caller, unsigned callee)
{
    // Who answers takes the number of the offer.
    return (caller & callee) || ((caller & CODEC_OPUS_111) && (callee & CODEC_OPUS));
}

static bool proposals_meet(unsigned a, unsigned b)
{
    return (!(a & HABIT_ONLY_PROPOSED) || (b & HABIT_PROPOSES)) &&
           (!(b & HABIT_ONLY_PROPOSED) || (a & HABIT_PROPOSES));
}

static bool mux_meets(unsigned a, unsigned b)
{
    return !((a | b) & HABIT_MUX_ONLY) || !((a | b) & HABIT_NO_MUX);
}

const char *client_meet(const struct client *caller, const struct client *callee,
                        enum mode *ret_mode)
{
    unsigned i = 0;

    while (i < caller->offer_count && !(callee->takes & 1u << caller->offers[i]))
        i++;
    if (i == caller->offer_count)
        return "t";
    if (!(caller->encryption & callee->encryption))
        return "e";
    if (!mux_meets(caller->habits, callee->habits))
        return "m";
    if (!proposals_meet(caller->habits, callee->habits))
        return "p";
    if (!codecs_meet(caller->codecs, callee->codecs))
        return "c";
    *ret_mode = caller->offers[i];
    return NULL;
}
