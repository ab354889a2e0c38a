// SPDX-License-Identifier: ISC
// The spellings of keys (RFC 4568) and fingerprints (RFC 8122); see media_terms.h.
#include "codec/media_terms.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define INLINE     "inline:"
#define KEY_BASE64 40 // characters of 30 bytes

static const char *const suites[MEDIA_SUITES] = {
    [MEDIA_AES_CM_80] = "AES_CM_128_HMAC_SHA1_80",
    [MEDIA_AES_CM_32] = "AES_CM_128_HMAC_SHA1_32",
};

const char *media_suite_name(enum media_suite suite)
{
    return suites[suite];
}

enum media_suite media_suite(const char *name)
{
    unsigned i = 0;

    while (i < MEDIA_SUITES && (!name || strcmp(name, suites[i]) != 0))
        i++;
    return (enum media_suite)i;
}

// RFC 4568 section 6.1: "inline:" key "|" lifetime "|" MKI ":" length. A lifetime has no colon.
int media_key_parse(const char *text, uint8_t ret_key[MEDIA_KEY_LEN])
{
    uint8_t bytes[KEY_BASE64]; // EVP_DecodeBlock() writes no more than it reads
    const char *key;

    if (!text || strncmp(text, INLINE, strlen(INLINE)) != 0)
        return -EINVAL;
    key = text + strlen(INLINE);
    if (strcspn(key, "=|;") != KEY_BASE64 || strchr(key, ':'))
        return -EINVAL;
    if (EVP_DecodeBlock(bytes, (const unsigned char *)key, KEY_BASE64) != MEDIA_KEY_LEN)
        return -EINVAL;
    memcpy(ret_key, bytes, MEDIA_KEY_LEN);
    return 0;
}

void media_key_print(const uint8_t key[MEDIA_KEY_LEN], char buf[MEDIA_KEY_TEXT])
{
    memcpy(buf, INLINE, sizeof(INLINE));
    EVP_EncodeBlock((unsigned char *)buf + strlen(INLINE), key, MEDIA_KEY_LEN);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'         ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

int media_fingerprint_parse(const char *text, uint8_t ret_bytes[MEDIA_FINGERPRINT_MAX])
{
    int len = 0;

    while (text && isspace((unsigned char)*text))
        text++;
    while (text && *text && len < MEDIA_FINGERPRINT_MAX) {
        int high = hex(text[0]), low = high < 0 ? -1 : hex(text[1]);

        if (low < 0)
            return -EINVAL;
        ret_bytes[len++] = (uint8_t)(high << 4 | low);
        text += 2;
        if (*text != ':')
            break;
        text++;
    }
    while (text && isspace((unsigned char)*text))
        text++;
    return !text || *text || len == 0 ? -EINVAL : len;
}
