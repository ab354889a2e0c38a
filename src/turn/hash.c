// SPDX-License-Identifier: ISC
// Keys of the long-term mechanism (RFC 8489 section 9.2). Looking up an algorithm costs OpenSSL 3
// more than using it, so each server looks them up once.
#include "internal.h"

#include <errno.h>
#include <string.h>

int hashes_init(struct hashes *hashes)
{
    *hashes = (struct hashes){0};
    hashes->md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    hashes->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (!hashes->md5 || !hashes->sha256)
        return -EINVAL;
    hashes->digest = EVP_MD_CTX_new();
    return hashes->digest ? 0 : -ENOMEM;
}

void hashes_free(struct hashes *hashes)
{
    EVP_MD_CTX_free(hashes->digest);
    EVP_MD_free(hashes->md5);
    EVP_MD_free(hashes->sha256);
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
