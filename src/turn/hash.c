// SPDX-License-Identifier: ISC
// Keys and signatures of the long-term mechanism (RFC 8489 section 9.2) and of TURN REST. Looking
// up an algorithm costs OpenSSL 3 more than using it, so each server looks them up once.
#include "internal.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

// Returns a context that wants only a key, or NULL.
static EVP_MAC_CTX *make_hmac(const char *digest)
{
    char name[16] = {0};
    strncpy(name, digest, sizeof name - 1);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
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

int hashes_init(struct hashes *hashes)
{
    *hashes = (struct hashes){0};
    hashes->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    hashes->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (!hashes->md5 || !hashes->sha256)
        return -EINVAL;
    hashes->digest = EVP_MD_CTX_new();
    hashes->hmac_sha1 = make_hmac("SHA1");
    hashes->hmac_sha256 = make_hmac("SHA2-256");
    return hashes->digest && hashes->hmac_sha1 && hashes->hmac_sha256 ? 0 : -ENOMEM;
}

void hashes_free(struct hashes *hashes)
{
    EVP_MD_CTX_free(hashes->digest);
    EVP_MD_free(hashes->md5);
    EVP_MD_free(hashes->sha256);
    EVP_MAC_CTX_free(hashes->hmac_sha1);
    EVP_MAC_CTX_free(hashes->hmac_sha256);
    *hashes = (struct hashes){0};
}

static int digest(struct hashes *hashes, const EVP_MD *md, const struct part *part, unsigned n,
                  uint8_t *ret_digest)
{
    int ok = EVP_DigestInit_ex2(hashes->digest, md, NULL);
    for (unsigned i = 0; ok == 1 && i < n; i++)
        ok = EVP_DigestUpdate(hashes->digest, part[i].data, part[i].len);
    return ok == 1 && EVP_DigestFinal_ex(hashes->digest, ret_digest, NULL) == 1 ? 0 : -ENOMEM;
}

int hash_key(struct hashes *hashes, bool sha256, struct part user, const char *realm,
             struct part password, struct key *ret_key)
{
    const struct part parts[] = {
        user, {":", 1}, {realm, strlen(realm)}, {":", 1}, password,
    };
    ret_key->len = sha256 ? SHA256_LEN : MD5_LEN;
    return digest(hashes, sha256 ? hashes->sha256 : hashes->md5, parts, 5, ret_key->bytes);
}

int hash_userhash(struct hashes *hashes, const char *user, const char *realm,
                  uint8_t ret_hash[SHA256_LEN])
{
    const struct part parts[] = {{user, strlen(user)}, {":", 1}, {realm, strlen(realm)}};
    return digest(hashes, hashes->sha256, parts, 3, ret_hash);
}

static int hmac(EVP_MAC_CTX *ctx, struct part key, const struct part *text, unsigned n,
                uint8_t *ret_mac, size_t size)
{
    size_t len = 0;
    int ok = EVP_MAC_init(ctx, key.data, key.len, NULL);
    for (unsigned i = 0; ok == 1 && i < n; i++)
        ok = EVP_MAC_update(ctx, text[i].data, text[i].len);
    return ok == 1 && EVP_MAC_final(ctx, ret_mac, &len, size) == 1 ? 0 : -ENOMEM;
}

int hash_hmac_sha1(struct hashes *hashes, struct part key, struct part text,
                   uint8_t ret_mac[SHA1_LEN])
{
    return hmac(hashes->hmac_sha1, key, &text, 1, ret_mac, SHA1_LEN);
}

int hash_hmac_sha256(struct hashes *hashes, struct part key, const struct part *text, unsigned n,
                     uint8_t ret_mac[SHA256_LEN])
{
    return hmac(hashes->hmac_sha256, key, text, n, ret_mac, SHA256_LEN);
}
