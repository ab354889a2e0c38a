// SPDX-License-Identifier: ISC
// The checksums of STUN messages, for stun.c alone.
#pragma once

#include "codec/hmac.h"

// MESSAGE-INTEGRITY, or -SHA256, of the message whose first 'len' bytes, header included, precede
// that attribute; whatever the header says of the length, it counts as section 14.5 wants it.
// Returns 0 or -ENOMEM.
int stun_hmac(enum hmac_kind kind, const uint8_t *msg, size_t len, const void *key, size_t key_len,
              uint8_t ret_hmac[HMAC_SHA256_LEN]);

// FINGERPRINT of the first 'len' bytes, whose header counts that attribute already.
uint32_t stun_fingerprint(const uint8_t *msg, size_t len);
