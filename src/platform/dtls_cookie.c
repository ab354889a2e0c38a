// SPDX-License-Identifier: ISC
// DTLS cookies; see dtls_cookie.h.
//
// With 20 bytes of cookie a HelloVerifyRequest takes 48 bytes, and the shortest ClientHello of an
// honest client more than that: what is sent to a forged address is less than what came from it.
#include "dtls_cookie.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

// A cookie is good in the period it was made in, and in the next.
#define PERIOD (60 * USEC_PER_SEC)

static bool make(const struct dtls_cookie_for *cookie_for, uint64_t period,
                 unsigned char ret_cookie[DTLS_COOKIE_LEN])
{
    // Every byte of it counts, so no padding may be in it.
    unsigned char text[8 + 2 * (16 + 2 + 1)], mac[EVP_MAX_MD_SIZE], *p = text;
    const struct addr *addr[] = {&cookie_for->remote, &cookie_for->local};
    unsigned mac_len = sizeof mac;
    memcpy(p, &period, sizeof period);
    p += sizeof period;
    for (int i = 0; i < 2; i++) {
        memcpy(p, addr[i]->ip, 16);
        memcpy(p + 16, &addr[i]->port, 2);
        p[18] = addr[i]->family;
        p += 19;
    }
    if (!HMAC(EVP_sha256(), cookie_for->key, sizeof cookie_for->key, text, sizeof text, mac,
              &mac_len))
        return false;
    memcpy(ret_cookie, mac, DTLS_COOKIE_LEN);
    return true;
}

int dtls_cookie_generate(SSL *ssl, unsigned char *cookie, unsigned *ret_len)
{
    const struct dtls_cookie_for *cookie_for = SSL_get_app_data(ssl);
    if (!cookie_for || !make(cookie_for, cookie_for->now / PERIOD, cookie))
        return 0;
    *ret_len = DTLS_COOKIE_LEN;
    return 1;
}

int dtls_cookie_verify(SSL *ssl, const unsigned char *cookie, unsigned len)
{
    const struct dtls_cookie_for *cookie_for = SSL_get_app_data(ssl);
    unsigned char expected[DTLS_COOKIE_LEN];
    if (!cookie_for || len != sizeof expected)
        return 0;
    for (uint64_t age = 0; age < 2; age++)
        if (make(cookie_for, cookie_for->now / PERIOD - age, expected) &&
            CRYPTO_memcmp(cookie, expected, sizeof expected) == 0)
            return 1;
    return 0;
}
