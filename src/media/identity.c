// SPDX-License-Identifier: ISC
// The certificate of the endpoints: an ECDSA key on P-256 and a certificate signed by itself, made
// at the start of the daemon. Nobody is asked to trust it: its fingerprint stands in the signalling
// (RFC 5763).
#include "internal.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME      "jingle-relayd"
#define DAY       86400L
#define VALID_FOR (3650 * DAY)

static int sign(X509 *x, EVP_PKEY *key)
{
    X509_NAME *name = X509_get_subject_name(x);
    uint64_t serial;

    return X509_set_version(x, 2) && RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 &&
                   ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial >> 1) &&
                   X509_gmtime_adj(X509_getm_notBefore(x), -DAY) &&
                   X509_gmtime_adj(X509_getm_notAfter(x), VALID_FOR) &&
                   X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)NAME,
                                              -1, -1, 0) &&
                   X509_set_issuer_name(x, name) && X509_set_pubkey(x, key) &&
                   X509_sign(x, key, EVP_sha256())
               ? 0
               : -ENOMEM;
}

static int print_fingerprint(const X509 *x, char text[MEDIA_FINGERPRINT_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (!X509_digest(x, EVP_sha256(), digest, &len))
        return -ENOMEM;
    for (unsigned i = 0; i < len; i++)
        snprintf(text + (size_t)3 * i, 4, "%02X%s", digest[i], i + 1 < len ? ":" : "");
    return 0;
}

static int give_certificate(struct media_identity *identity)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    int r = key && x ? sign(x, key) : -ENOMEM;

    if (r == 0)
        r = print_fingerprint(x, identity->fingerprint);
    if (r == 0 && (SSL_CTX_use_certificate(identity->ctx, x) != 1 ||
                   SSL_CTX_use_PrivateKey(identity->ctx, key) != 1))
        r = -ENOMEM;
    X509_free(x);
    EVP_PKEY_free(key);
    return r;
}

// Whose certificate it is follows from its fingerprint, which is looked at afterwards.
static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int on_read(BIO *bio, char *data, int size)
{
    struct component *component = BIO_get_data(bio);
    size_t len = component->in.len;

    BIO_clear_retry_flags(bio);
    if (!component->in.data || size <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (len > (size_t)size)
        len = (size_t)size;
    memcpy(data, component->in.data, len);
    component->in.data = NULL;
    return (int)len;
}

static int on_write(BIO *bio, const char *data, int len)
{
    BIO_clear_retry_flags(bio);
    if (len > 0)
        send_selected(BIO_get_data(bio), (const uint8_t *)data, (size_t)len);
    return len;
}

static long on_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int make_method(struct media_identity *identity)
{
    identity->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "media");
    return identity->method && BIO_meth_set_read(identity->method, on_read) &&
                   BIO_meth_set_write(identity->method, on_write) &&
                   BIO_meth_set_ctrl(identity->method, on_ctrl)
               ? 0
               : -ENOMEM;
}

int media_identity_new(struct media_identity **ret_identity)
{
    struct media_identity *identity = calloc(1, sizeof *identity);
    int r;

    if (!identity)
        return -ENOMEM;
    r = srtp_init() == srtp_err_status_ok ? make_method(identity) : -ENOMEM;
    identity->ctx = SSL_CTX_new(DTLS_method());
    if (r == 0 && identity->ctx) {
        SSL_CTX_set_min_proto_version(identity->ctx, DTLS1_2_VERSION); // RFC 8827 section 6.5
        SSL_CTX_set_options(identity->ctx, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET |
                                               SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_session_cache_mode(identity->ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_verify(identity->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           accept_any);
        r = give_certificate(identity);
    }
    // This one returns 0 for success.
    if (r == 0 && (!identity->ctx ||
                   SSL_CTX_set_tlsext_use_srtp(identity->ctx, "SRTP_AES128_CM_SHA1_80") != 0))
        r = -ENOMEM;
    if (r < 0) {
        media_identity_free(identity);
        return r;
    }
    *ret_identity = identity;
    return 0;
}

void media_identity_free(struct media_identity *identity)
{
    if (!identity)
        return;
    SSL_CTX_free(identity->ctx);
    BIO_meth_free(identity->method);
    free(identity);
    srtp_shutdown();
}

const char *media_identity_fingerprint(const struct media_identity *identity)
{
    return identity->fingerprint;
}
