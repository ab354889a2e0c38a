// SPDX-License-Identifier: ISC
// HMAC-SHA1 and HMAC-SHA256. Looking up an algorithm costs OpenSSL 3 more than the HMAC of a
// message, takes a lock and allocates; so each thread keeps one context of each kind, made on its
// first use and freed when the thread ends. It stays keyed: the last key of each kind is in memory
// until then, whatever its owner does with his copy.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hmac_kind { HMAC_SHA1, HMAC_SHA256, HMAC_KINDS };

enum { HMAC_SHA1_LEN = 20, HMAC_SHA256_LEN = 32 };

struct hmac_part { // of a text that need not lie in one place
    const void *data;
    size_t len;
};

// Writes HMAC_SHA1_LEN or HMAC_SHA256_LEN bytes. Returns 0 or -ENOMEM.
int hmac_sum(enum hmac_kind kind, const void *key, size_t key_len, const struct hmac_part *part,
             unsigned parts, uint8_t *ret_mac);

// In a time that does not depend on the bytes.
bool hmac_equal(const uint8_t *a, const uint8_t *b, size_t len);
