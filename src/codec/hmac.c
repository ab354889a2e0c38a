// SPDX-License-Identifier: ISC
// One HMAC context of each kind for each thread, which every message keys anew.
#include "codec/hmac.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t mac_once = PTHREAD_ONCE_INIT;
static pthread_key_t mac_owner; // runs free_macs() when a thread ends
static _Thread_local EVP_MAC_CTX *thread_mac[HMAC_KINDS];

static void free_macs(void *macs)
{
    (void)macs;
    for (int i = 0; i < HMAC_KINDS; i++) {
        EVP_MAC_CTX_free(thread_mac[i]);
        thread_mac[i] = NULL;
    }
}

static void make_owner(void)
{
    (void)pthread_key_create(&mac_owner, free_macs);
}

// Returns a context that wants only a key, or NULL.
static EVP_MAC_CTX *make_mac(enum hmac_kind kind)
{
    char digest[8];
    memcpy(digest, kind == HMAC_SHA1 ? "SHA1\0\0\0" : "SHA256\0", sizeof digest);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac); // the context holds it
    if (ctx && EVP_MAC_CTX_set_params(ctx, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static EVP_MAC_CTX *get_mac(enum hmac_kind kind)
{
    if (thread_mac[kind])
        return thread_mac[kind];
    pthread_once(&mac_once, make_owner);
    EVP_MAC_CTX *ctx = make_mac(kind);
    // Any value but NULL makes the destructor run.
    if (!ctx || pthread_setspecific(mac_owner, thread_mac) != 0) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    thread_mac[kind] = ctx;
    return ctx;
}

int hmac_sum(enum hmac_kind kind, const void *key, size_t key_len, const struct hmac_part *part,
             unsigned parts, uint8_t *ret_mac)
{
    size_t len = kind == HMAC_SHA1 ? HMAC_SHA1_LEN : HMAC_SHA256_LEN;
    EVP_MAC_CTX *ctx = get_mac(kind);
    // An empty key needs an address all the same: NULL would keep the one before.
    int ok = ctx && EVP_MAC_init(ctx, key_len ? key : "", key_len, NULL) == 1;
    for (unsigned i = 0; ok && i < parts; i++)
        ok = EVP_MAC_update(ctx, part[i].data, part[i].len) == 1;
    return ok && EVP_MAC_final(ctx, ret_mac, &len, len) == 1 ? 0 : -ENOMEM;
}

bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
