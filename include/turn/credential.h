// SPDX-License-Identifier: ISC
// Ephemeral credentials (TURN REST, draft-uberti-behave-turn-rest-00): whoever shares the secret
// with the server can give them out, and the server need not be told.
//     username: EXPIRY:IDENTITY    EXPIRY in seconds since 1970
//     password: base64(HMAC-SHA1(secret, username))
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    TURN_USERNAME_MAX = 513,      // RFC 8489 section 14.3, NUL included
    TURN_REST_PASSWORD_SIZE = 29, // 28 and NUL
    TURN_SECRET_MIN = 16,         // bytes: 128 bits
};

struct turn_credential {
    char username[TURN_USERNAME_MAX];
    char password[TURN_REST_PASSWORD_SIZE];
};

// 'identity' is the bare JID that quotas and logs name. Returns 0, -EINVAL (identity empty or too
// long) or -ENOMEM.
int turn_credential_make(const char *secret, const char *identity, int64_t expiry,
                         struct turn_credential *ret_credential);
