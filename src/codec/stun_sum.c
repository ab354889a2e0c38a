// SPDX-License-Identifier: ISC
// HMAC-SHA1, HMAC-SHA256 and CRC-32 over STUN messages.
//
// Looking up an algorithm costs OpenSSL 3 more than the HMAC of a connectivity check, takes a lock
// and allocates. So each thread keeps one HMAC context of each kind, made on its first use and
// freed when the thread ends, which every message keys anew.
#include "stun_sum.h"

#include "codec/stun.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#define FINGERPRINT_XOR 0x5354554Eu // RFC 8489 section 14.7

static pthread_once_t mac_once = PTHREAD_ONCE_INIT;
static pthread_key_t mac_owner; // runs free_macs() when a thread ends
static _Thread_local EVP_MAC_CTX *thread_mac[STUN_HMAC_KINDS];

static void free_macs(void *macs)
{
    (void)macs;
    for (int i = 0; i < STUN_HMAC_KINDS; i++) {
        EVP_MAC_CTX_free(thread_mac[i]);
        thread_mac[i] = NULL;
    }
}

static void make_owner(void)
{
    (void)pthread_key_create(&mac_owner, free_macs);
}

// Returns a context that wants only a key, or NULL.
static EVP_MAC_CTX *make_mac(enum stun_hmac_kind kind)
{
    char digest[8];
    memcpy(digest, kind == STUN_HMAC_SHA1 ? "SHA1\0\0\0" : "SHA256\0", sizeof digest);
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

static EVP_MAC_CTX *get_mac(enum stun_hmac_kind kind)
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

int stun_hmac(enum stun_hmac_kind kind, const uint8_t *msg, size_t len, const void *key,
              size_t key_len, uint8_t ret_hmac[STUN_SHA256_LEN])
{
    // RFC 8489 sections 14.5 and 14.6: the length field counts everything up to and including the
    // attribute itself, nothing behind it.
    uint8_t header[STUN_HEADER_LEN];
    memcpy(header, msg, sizeof header);
    size_t hmac_len = kind == STUN_HMAC_SHA1 ? STUN_SHA1_LEN : STUN_SHA256_LEN;
    size_t body = len - sizeof header + 4 + hmac_len;
    header[2] = (uint8_t)(body >> 8);
    header[3] = (uint8_t)body;

    EVP_MAC_CTX *ctx = get_mac(kind);
    size_t out = 0;
    if (!ctx || EVP_MAC_init(ctx, key, key_len, NULL) != 1 ||
        EVP_MAC_update(ctx, header, sizeof header) != 1 ||
        EVP_MAC_update(ctx, msg + sizeof header, len - sizeof header) != 1 ||
        EVP_MAC_final(ctx, ret_hmac, &out, hmac_len) != 1)
        return -ENOMEM;
    return 0;
}

bool stun_hmac_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

uint32_t stun_fingerprint(const uint8_t *msg, size_t len)
{
    // CRC-32 of ITU-T V.42, reflected, four bits at a time.
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= msg[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc ^ FINGERPRINT_XOR;
}
