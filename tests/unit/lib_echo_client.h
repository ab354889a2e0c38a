// SPDX-License-Identifier: ISC
// A client opposite a media endpoint, all in memory and on virtual time: its checks, its side of
// DTLS and SRTP with libraries of its own, and a record of what the endpoint has sent and to whom.
#pragma once

#include "codec/rtp.h"
#include "codec/stun.h"
#include "media/endpoint.h"

#include <openssl/ssl.h>
#include <srtp2/srtp.h>

#define OURS      "endpoint" // the endpoint's ufrag and password, and the client's
#define OURS_PWD  "endpointendpointendpoint"
#define THEIRS    "client"
#define THEIR_PWD "clientclientclientclient"
#define SSRC_BACK 0xec40ec40u // of what comes back

struct sent {
    unsigned component;
    struct addr to;
    size_t len;
    uint8_t data[2100];
};

struct echo_client {
    struct endpoint *endpoint;
    struct media_identity *identity;
    struct counters counters;
    usec_t now;
    struct addr addr;
    struct sent sent[64]; // a ring
    unsigned sents;
    bool deaf; // it does not answer checks
    uint64_t random;
    // DTLS
    SSL_CTX *ctx;
    SSL *ssl;
    srtp_t out, in; // NULL: plain
};

struct media_terms echo_terms(enum media_protection protection);
// 'terms' NULL: none is made yet. With DTLS the fingerprint is filled in, unless there is one.
void echo_client_open(struct echo_client *c, struct media_terms *terms,
                      const struct endpoint_limits *limits);
void echo_client_close(struct echo_client *c);
struct addr echo_addr(unsigned host, uint16_t port); // public
// A check from there, as the client would make it but for 'pwd'. Answers the one that comes back.
void echo_check(struct echo_client *c, const struct addr *from, const char *pwd, bool nominate);
// The answer of who was sent this check; harmless for anything else, and when 'deaf'.
void echo_answer_check(struct echo_client *c, const struct sent *check);
void echo_recv(struct echo_client *c, const struct addr *from, const void *data, size_t len);
// Answers checks and feeds DTLS until nothing comes any more.
void echo_pump(struct echo_client *c);
void echo_wait(struct echo_client *c, usec_t time);
// An RTP packet of the client, protected if there are keys.
size_t echo_rtp(struct echo_client *c, uint8_t *buf, uint8_t type, uint32_t ssrc,
                uint16_t sequence);
// Sends that and takes what comes back: its decoded length, or 0 for nothing.
size_t echo_say(struct echo_client *c, uint8_t type, uint32_t ssrc, uint16_t sequence,
                struct rtp_header *ret_header);
void echo_keys(struct echo_client *c, const uint8_t mine[MEDIA_KEY_LEN],
               const uint8_t theirs[MEDIA_KEY_LEN], bool short_tag);
