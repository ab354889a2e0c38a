// SPDX-License-Identifier: ISC
// The two checksums of STUN messages, for stun.c alone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stun_hmac_kind { STUN_HMAC_SHA1, STUN_HMAC_SHA256, STUN_HMAC_KINDS };

#define STUN_SHA1_LEN   20
#define STUN_SHA256_LEN 32

// MESSAGE-INTEGRITY, or -SHA256, of the message whose first 'len' bytes, header included, precede
// that attribute; whatever the header says of the length, it counts as section 14.5 wants it.
// Returns 0 or -ENOMEM.
int stun_hmac(enum stun_hmac_kind kind, const uint8_t *msg, size_t len, const void *key,
              size_t key_len, uint8_t ret_hmac[STUN_SHA256_LEN]);
bool stun_hmac_equal(const uint8_t *a, const uint8_t *b, size_t len);

// FINGERPRINT of the first 'len' bytes, whose header counts that attribute already.
uint32_t stun_fingerprint(const uint8_t *msg, size_t len);
