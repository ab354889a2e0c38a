// SPDX-License-Identifier: ISC
// One HMAC context of each kind for each thread, which keeps the key that it had last: the key of a
// nonce is always the same, and an answer is signed under the key that its request was checked
// with.
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

enum { KEPT_KEY_MAX = 64 }; // longer ones are keyed anew

struct keyed_mac {
    EVP_MAC_CTX *ctx;
    uint8_t key[KEPT_KEY_MAX];
    size_t len;
    bool keyed; // with 'key'
};

static _Thread_local struct keyed_mac thread_mac[HMAC_KINDS];

static void free_macs(void *macs)
{
    (void)macs;
    for (int i = 0; i < HMAC_KINDS; i++) {
        EVP_MAC_CTX_free(thread_mac[i].ctx);
        OPENSSL_cleanse(&thread_mac[i], sizeof thread_mac[i]);
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

// NULL: no memory.
static struct keyed_mac *get_mac(enum hmac_kind kind)
{
    struct keyed_mac *mac = &thread_mac[kind];
    if (mac->ctx)
        return mac;
    pthread_once(&mac_once, make_owner);
    EVP_MAC_CTX *ctx = make_mac(kind);
    // Any value but NULL makes the destructor run.
    if (!ctx || pthread_setspecific(mac_owner, thread_mac) != 0) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    mac->ctx = ctx;
    return mac;
}

static bool begin(struct keyed_mac *mac, const void *key, size_t len)
{
    bool same = mac->keyed && len == mac->len && CRYPTO_memcmp(mac->key, key, len) == 0;
    if (same && EVP_MAC_init(mac->ctx, NULL, 0, NULL) == 1)
        return true;
    // An empty key needs an address all the same: NULL would keep the one before.
    mac->keyed = false;
    if (EVP_MAC_init(mac->ctx, len ? key : "", len, NULL) != 1)
        return false;
    if (len > 0 && len <= sizeof mac->key) {
        memcpy(mac->key, key, len);
        mac->len = len;
        mac->keyed = true;
    }
    return true;
}

int hmac_sum(enum hmac_kind kind, const void *key, size_t key_len, const struct hmac_part *part,
             unsigned parts, uint8_t *ret_mac)
{
    size_t len = kind == HMAC_SHA1 ? HMAC_SHA1_LEN : HMAC_SHA256_LEN;
    struct keyed_mac *mac = get_mac(kind);
    bool ok = mac && begin(mac, key, key_len);
    for (unsigned i = 0; ok && i < parts; i++)
        ok = EVP_MAC_update(mac->ctx, part[i].data, part[i].len) == 1;
    return ok && EVP_MAC_final(mac->ctx, ret_mac, &len, len) == 1 ? 0 : -ENOMEM;
}

bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
