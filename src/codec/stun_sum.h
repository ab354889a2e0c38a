// SPDX-License-Identifier: ISC
// The two checksums of STUN messages, for stun.c alone.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STUN_HMAC_LEN 20

// MESSAGE-INTEGRITY of the message whose first 'len' bytes, header included, precede that
// attribute; whatever the header says of the length, it counts as section 14.5 wants it.
// Returns 0 or -ENOMEM.
int stun_hmac(const uint8_t *msg, size_t len, const void *key, size_t key_len,
              uint8_t ret_hmac[STUN_HMAC_LEN]);
bool stun_hmac_equal(const uint8_t a[STUN_HMAC_LEN], const uint8_t b[STUN_HMAC_LEN]);

// FINGERPRINT of the first 'len' bytes, whose header counts that attribute already.
uint32_t stun_fingerprint(const uint8_t *msg, size_t len);
