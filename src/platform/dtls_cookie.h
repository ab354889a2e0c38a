// SPDX-License-Identifier: ISC
// The cookie that a DTLS client must send back before anything is kept for it (RFC 6347 section
// 4.2.1): a MAC over its address, the listener's, and the time.
#pragma once

#include "base/addr.h"
#include "base/usec.h"

#include <openssl/ssl.h>

enum { DTLS_COOKIE_LEN = 20, DTLS_COOKIE_KEY_LEN = 32 };

// Whose cookie it is; an SSL's app data while it makes or takes one.
struct dtls_cookie_for {
    uint8_t key[DTLS_COOKIE_KEY_LEN];
    struct addr remote, local;
    usec_t now;
};

// Callbacks of an SSL_CTX.
int dtls_cookie_generate(SSL *ssl, unsigned char *cookie, unsigned *ret_len);
int dtls_cookie_verify(SSL *ssl, const unsigned char *cookie, unsigned len);
