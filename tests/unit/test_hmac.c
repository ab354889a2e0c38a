// SPDX-License-Identifier: ISC
// HMACs whatever key came before: vectors of RFC 2202 and RFC 4231, and keys of all lengths in
// turns against OpenSSL's own.
#include "codec/hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void vectors(void **state)
{
    // RFC 2202 section 3 and RFC 4231 section 4.3, test case 2 of both.
    static const uint8_t sha1[HMAC_SHA1_LEN] = {0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f,
                                                0xa2, 0xd2, 0x74, 0x16, 0xd5, 0xf1, 0x84,
                                                0xdf, 0x9c, 0x25, 0x9a, 0x7c, 0x79};
    static const uint8_t sha256[HMAC_SHA256_LEN] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
                                                    0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
                                                    0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83,
                                                    0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
    const struct hmac_part part[] = {{"what do ya want ", 16}, {"for nothing?", 12}};
    uint8_t mac[HMAC_SHA256_LEN];

    for (int i = 0; i < 3; i++) { // keyed anew, then with the key that is kept
        assert_int_equal(hmac_sum(HMAC_SHA1, "Jefe", 4, part, 2, mac), 0);
        assert_memory_equal(mac, sha1, sizeof sha1);
        assert_int_equal(hmac_sum(HMAC_SHA256, "Jefe", 4, part, 2, mac), 0);
        assert_memory_equal(mac, sha256, sizeof sha256);
    }
}

static void keys_of_all_lengths_in_turns(void **state)
{
    static const size_t lengths[] = {0, 1, 16, 20, 32, 63, 64, 65, 100, 200};
    const size_t count = sizeof lengths / sizeof lengths[0];
    uint8_t key[200], text[50], mac[HMAC_SHA256_LEN], want[EVP_MAX_MD_SIZE];
    const struct hmac_part part = {text, sizeof text};
    unsigned want_len;

    memset(text, 7, sizeof text);
    for (unsigned i = 0; i < 400; i++) {
        size_t len = lengths[(i / 3 * 7 + i % 2) % count]; // some twice behind each other
        enum hmac_kind kind = i / 5 % 2 ? HMAC_SHA256 : HMAC_SHA1;
        size_t mac_len = kind == HMAC_SHA1 ? HMAC_SHA1_LEN : HMAC_SHA256_LEN;

        memset(key, (int)(i / 6 % 3), sizeof key);
        text[0] = (uint8_t)i;
        assert_int_equal(hmac_sum(kind, len ? key : NULL, len, &part, 1, mac), 0);
        assert_non_null(HMAC(kind == HMAC_SHA1 ? EVP_sha1() : EVP_sha256(), key, (int)len, text,
                             sizeof text, want, &want_len));
        assert_int_equal(want_len, mac_len);
        assert_memory_equal(mac, want, mac_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(keys_of_all_lengths_in_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
