// SPDX-License-Identifier: ISC
// What the files of the media endpoint share. An endpoint owns its components, and they their
// sources, DTLS session and SRTP contexts.
#pragma once

#include "base/bucket.h"
#include "codec/rtp.h"
#include "codec/stun.h"
#include "media/endpoint.h"

#include <openssl/ssl.h>
#include <srtp2/srtp.h>

#define SOURCES_MAX   8
#define CHECKS_MAX    3    // of one source, until it shows the credentials again
#define CHECKS_RATE   50   // of theirs that are answered in a second
#define CHECKS_BURST  100  // and at once
#define SSRCS_MAX     8    // of one component: libsrtp keeps a state for each
#define PACKET_MAX    2048 // longer datagrams are not media
#define LEARN_PACKETS 3    // consistent ones that make a raw source

enum source_state { SOURCE_PROVED, SOURCE_ANSWERED };

struct source { // somebody who has the credentials
    struct addr addr;
    enum source_state state;
    bool nominated;
    uint8_t txid[STUN_TXID_LEN]; // of our check
    unsigned checks;             // sent
    usec_t next_check;           // USEC_NEVER: none
    usec_t seen;
};

struct dtls_datagram { // what OpenSSL reads next
    const uint8_t *data;
    size_t len;
};

struct component {
    struct endpoint *endpoint;
    unsigned number;
    struct source source[SOURCES_MAX];
    unsigned sources;
    int selected; // -1: nobody; raw: source[0] is the one
    // raw: the one on trial
    struct addr trial;
    uint32_t trial_ssrc;
    uint16_t trial_sequence;
    unsigned trial_packets;
    // DTLS
    SSL *ssl;
    struct dtls_datagram in;
    bool began; // the handshake
    usec_t resend;
    // SRTP
    bool keyed;
    srtp_t srtp_in, srtp_out; // NULL: plain
    uint32_t ssrc[SSRCS_MAX];
    unsigned ssrcs;
};

struct stream { // what goes back of one kind of media
    bool started;
    uint32_t ssrc_in, ssrc_before;
    uint16_t sequence_offset, sequence; // what is added; the last that was sent
    uint32_t timestamp_offset, timestamp;
    struct rtp_quality quality;
    uint64_t told_received, told_expected; // at the last report
    uint32_t sr_middle;                    // of their last sender report; 0: none
    usec_t sr_at;
    bool picture_wanted; // they asked for a key frame: so do we
};

struct media_identity {
    SSL_CTX *ctx;
    BIO_METHOD *method;
    char fingerprint[MEDIA_FINGERPRINT_TEXT];
};

struct endpoint {
    struct media_terms terms;
    struct endpoint_limits limits;
    struct endpoint_io io;
    struct media_identity *identity;
    struct counters *counters;
    struct component component[MEDIA_COMPONENTS];
    struct stream stream[MEDIA_KINDS];
    struct bucket bucket; // media
    struct bucket checks; // theirs
    enum endpoint_state state;
    usec_t began, heard;
    usec_t last_report, next_report; // 0: none yet; USEC_NEVER: none is due
    uint64_t packets, bytes;
    uint8_t scratch[PACKET_MAX + SRTP_MAX_TRAILER_LEN];
};

// ---- endpoint.c

void endpoint_fail(struct endpoint *endpoint, enum endpoint_state why);
void send_selected(struct component *component, const uint8_t *data, size_t len); // if selected
struct source *selected_source(struct component *component);                      // or NULL
// The source is the one to send to from now on.
void select_source(struct component *component, struct source *source, usec_t now);
// Something authentic, or media, have come from there.
void see_source(struct component *component, struct source *source, usec_t now);

// ---- ice.c

void agent_recv(struct component *component, const struct addr *from, const uint8_t *data,
                size_t len, usec_t now);
usec_t agent_tick(struct component *component, usec_t now);
struct source *agent_source(struct component *component, const struct addr *from); // or NULL

// ---- raw.c

// Whether this datagram is the client's.
bool raw_accepts(struct component *component, const struct addr *from, const uint8_t *data,
                 size_t len, usec_t now);

// ---- dtls.c

int handshake_open(struct component *component); // 0 or -ENOMEM
void handshake_close(struct component *component);
void handshake_begin(struct component *component, usec_t now); // there is somebody to send to
void handshake_datagram(struct component *component, const uint8_t *data, size_t len, usec_t now);
usec_t handshake_tick(struct component *component, usec_t now);

// ---- srtp.c

int protection_open(struct component *component, enum media_suite suite,
                    const uint8_t ours[MEDIA_KEY_LEN],
                    const uint8_t theirs[MEDIA_KEY_LEN]); // 0 or -ENOMEM
void protection_close(struct component *component);
// In place; '*len' becomes shorter. False: not authentic, replayed, or of too many senders.
bool protection_remove(struct component *component, bool rtcp, uint8_t *data, size_t *len);
// In place, with room for SRTP_MAX_TRAILER_LEN more.
bool protection_add(struct component *component, bool rtcp, uint8_t *data, size_t *len);

// ---- media.c

void media_rtp(struct component *component, const uint8_t *data, size_t len, usec_t now);
void media_rtcp(struct component *component, const uint8_t *data, size_t len, usec_t now);
usec_t media_tick(struct endpoint *endpoint, usec_t now); // reports
