// SPDX-License-Identifier: ISC
// What two sides have agreed on for one transport of a call that ends at the relay itself: who may
// send, how media are protected, and what they are. A plain value: the signalling fills it in, the
// media endpoint (media/endpoint.h) keeps to it, and neither knows the other.
#pragma once

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define MEDIA_UFRAG_MAX       256 // RFC 8445 section 5.3
#define MEDIA_PWD_MAX         256
#define MEDIA_COMPONENTS      2
#define MEDIA_KINDS           2  // audio, video
#define MEDIA_KEY_LEN         30 // master key and salt of AES_CM_128 (RFC 4568 section 6.1)
#define MEDIA_FINGERPRINT_MAX 64

enum media_protection {
    MEDIA_PLAIN, // RTP as it is
    MEDIA_SDES,  // SRTP with keys from the signalling (RFC 4568)
    MEDIA_DTLS,  // SRTP with keys from DTLS (RFC 5764)
};

enum media_suite { MEDIA_AES_CM_80, MEDIA_AES_CM_32, MEDIA_SUITES };

struct media_terms {
    bool ice;            // else raw UDP
    unsigned components; // 1: RTP and RTCP on one (RFC 5761); 2: RTCP on the second
    enum media_protection protection;
    struct { // ICE: of ours and theirs
        char ufrag[MEDIA_UFRAG_MAX + 1];
        char pwd[MEDIA_PWD_MAX + 1];
    } ours, theirs;
    struct addr peer[MEDIA_COMPONENTS]; // raw: what they signalled, or family NONE
    struct {
        bool active;                                // the endpoint begins the handshake
        char hash[12];                              // "sha-256"
        uint8_t fingerprint[MEDIA_FINGERPRINT_MAX]; // of their certificate
        unsigned fingerprint_len;
    } dtls;
    struct {
        enum media_suite suite;
        uint8_t ours[MEDIA_KEY_LEN], theirs[MEDIA_KEY_LEN];
    } sdes;
    uint8_t kind[128];          // by payload type: 0 not agreed on, else 1 + which of the kinds
    uint32_t ssrc[MEDIA_KINDS]; // that what is sent carries
};

const char *media_suite_name(enum media_suite suite);
// MEDIA_SUITES for an unknown or absent name.
enum media_suite media_suite(const char *name);
// "inline:" and base64 of key and salt, whatever follows; a master key identifier is not supported.
// Returns 0 or -EINVAL.
int media_key_parse(const char *text, uint8_t ret_key[MEDIA_KEY_LEN]);
#define MEDIA_KEY_TEXT 48
void media_key_print(const uint8_t key[MEDIA_KEY_LEN], char buf[MEDIA_KEY_TEXT]);
// "AB:CD:..." into bytes. Returns their number, or -EINVAL.
int media_fingerprint_parse(const char *text, uint8_t ret_bytes[MEDIA_FINGERPRINT_MAX]);
