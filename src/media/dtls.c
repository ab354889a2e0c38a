// SPDX-License-Identifier: ISC
// DTLS-SRTP (RFC 5763, 5764): the handshake with a proved source, the comparison of its certificate
// with the fingerprint in the signalling, and the keys. The clock of retransmissions is OpenSSL's.
#include "internal.h"

#include "codec/hmac.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

enum {
    MTU = 1200,   // of handshakes; fits every path
    KEY_LEN = 16, // RFC 5764 section 4.1.2
    SALT_LEN = 14,
};
#define EXPORTER "EXTRACTOR-dtls_srtp" // RFC 5764 section 4.2

int handshake_open(struct component *component)
{
    const struct media_identity *identity = component->endpoint->identity;
    BIO *bio = BIO_new(identity->method);

    component->ssl = SSL_new(identity->ctx);
    if (!component->ssl || !bio) {
        BIO_free(bio);
        return -ENOMEM;
    }
    BIO_set_data(bio, component);
    BIO_set_init(bio, 1);
    SSL_set_bio(component->ssl, bio, bio);
    SSL_set_mtu(component->ssl, MTU);
    if (component->endpoint->terms.dtls.active)
        SSL_set_connect_state(component->ssl);
    else
        SSL_set_accept_state(component->ssl);
    return 0;
}

void handshake_close(struct component *component)
{
    if (component->ssl && component->keyed)
        (void)SSL_shutdown(component->ssl);
    SSL_free(component->ssl);
    component->ssl = NULL;
    ERR_clear_error();
}

static const EVP_MD *hash_of(const char *name)
{
    static const struct {
        const char *name;
        const EVP_MD *(*md)(void);
    } hashes[] = {
        // RFC 8122 section 5, without the broken ones
        {"sha-1", EVP_sha1},     {"sha-224", EVP_sha224}, {"sha-256", EVP_sha256},
        {"sha-384", EVP_sha384}, {"sha-512", EVP_sha512},
    };

    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        if (strcasecmp(name, hashes[i].name) == 0)
            return hashes[i].md();
    return NULL;
}

static bool is_theirs(const struct component *component)
{
    const struct media_terms *terms = &component->endpoint->terms;
    const EVP_MD *md = hash_of(terms->dtls.hash);
    X509 *x = SSL_get1_peer_certificate(component->ssl);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool same = x && md && X509_digest(x, md, digest, &len) && len == terms->dtls.fingerprint_len &&
                hmac_equal(digest, terms->dtls.fingerprint, len);

    X509_free(x);
    return same;
}

// RFC 5764 section 4.2: both keys, then both salts, the client's first.
static int take_keys(struct component *component)
{
    uint8_t all[2 * (KEY_LEN + SALT_LEN)], key[2][MEDIA_KEY_LEN];
    bool client = component->endpoint->terms.dtls.active;
    int r;

    if (!SSL_get_selected_srtp_profile(component->ssl) ||
        SSL_export_keying_material(component->ssl, all, sizeof all, EXPORTER, strlen(EXPORTER),
                                   NULL, 0, 0) != 1)
        return -EINVAL;
    for (unsigned i = 0; i < 2; i++) {
        memcpy(key[i], all + (size_t)i * KEY_LEN, KEY_LEN);
        memcpy(key[i] + KEY_LEN, all + 2 * KEY_LEN + (size_t)i * SALT_LEN, SALT_LEN);
    }
    r = protection_open(component, MEDIA_AES_CM_80, key[client ? 0 : 1], key[client ? 1 : 0]);
    OPENSSL_cleanse(all, sizeof all);
    OPENSSL_cleanse(key, sizeof key);
    return r;
}

static void note_resend(struct component *component, usec_t now)
{
    struct timeval left;

    component->resend = USEC_NEVER;
    if (!component->keyed && DTLSv1_get_timeout(component->ssl, &left))
        component->resend = now + (usec_t)left.tv_sec * USEC_PER_SEC + (usec_t)left.tv_usec;
}

static void go_on(struct component *component, usec_t now)
{
    int r, error;

    ERR_clear_error();
    r = SSL_do_handshake(component->ssl);
    error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(component->ssl, r);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        note_resend(component, now);
        return;
    }
    if (r != 1 || !is_theirs(component) || take_keys(component) < 0) {
        endpoint_fail(component->endpoint, ENDPOINT_INSECURE);
        return;
    }
    counter_add(component->endpoint->counters, COUNTER_ECHO_DTLS, 1);
    component->resend = USEC_NEVER;
}

void handshake_begin(struct component *component, usec_t now)
{
    if (component->began || !component->endpoint->terms.dtls.active)
        return;
    component->began = true;
    go_on(component, now);
}

void handshake_datagram(struct component *component, const uint8_t *data, size_t len, usec_t now)
{
    uint8_t rest[256];

    if (!selected_source(component) || component->endpoint->state > ENDPOINT_RETURNING)
        return;
    component->began = true;
    component->in = (struct dtls_datagram){data, len};
    if (!component->keyed) {
        go_on(component, now);
    } else {
        // A last flight that was lost is sent again from here; anything else means nothing to us.
        ERR_clear_error();
        while (SSL_read(component->ssl, rest, sizeof rest) > 0)
            ;
    }
    component->in.data = NULL;
}

usec_t handshake_tick(struct component *component, usec_t now)
{
    if (component->resend > now)
        return component->resend;
    ERR_clear_error();
    if (DTLSv1_handle_timeout(component->ssl) < 0)
        endpoint_fail(component->endpoint, ENDPOINT_INSECURE);
    note_resend(component, now);
    if (component->resend <= now)
        component->resend = now + 10 * USEC_PER_MSEC; // OpenSSL's clock is another one
    return component->resend;
}
