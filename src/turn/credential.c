// SPDX-License-Identifier: ISC
// TURN REST credentials: giving them out, and the password that both sides compute.
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int rest_password(const char *secret, struct part username,
                  char ret_password[TURN_REST_PASSWORD_SIZE])
{
    uint8_t mac[HMAC_SHA1_LEN];
    const struct hmac_part text = {username.data, username.len};
    if (hmac_sum(HMAC_SHA1, secret, strlen(secret), &text, 1, mac) < 0)
        return -ENOMEM;
    _Static_assert((sizeof mac + 2) / 3 * 4 + 1 == TURN_REST_PASSWORD_SIZE, "base64 and NUL");
    EVP_EncodeBlock((unsigned char *)ret_password, mac, sizeof mac);
    return 0;
}

int turn_credential_make(const char *secret, const char *identity, int64_t expiry,
                         struct turn_credential *ret_credential)
{
    struct turn_credential c = {0};
    if (identity[0] == '\0' || expiry < 0)
        return -EINVAL;
    int len = snprintf(c.username, sizeof c.username, "%" PRId64 ":%s", expiry, identity);
    if (len < 0 || (size_t)len >= sizeof c.username)
        return -EINVAL;
    int rc = rest_password(secret, (struct part){c.username, (size_t)len}, c.password);
    if (rc < 0)
        return rc;
    *ret_credential = c;
    return 0;
}
