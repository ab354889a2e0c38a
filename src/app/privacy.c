// SPDX-License-Identifier: ISC
// See privacy.h.
#include "privacy.h"

#include "base/log_kind.h"
#include "base/mask.h"
#include "codec/hmac.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

// Whatever the file holds, its hash is the key.
static int make_key(const struct config *config, uint8_t key[HMAC_SHA256_LEN])
{
    static const char purpose[] = "jingle-relayd mask";
    const struct hmac_part part = {purpose, sizeof purpose};

    if (config->privacy.key)
        return hmac_sum(HMAC_SHA256, config->privacy.key, config->privacy.key_len, &part, 1, key);
    // Never short up to 256 bytes.
    return getrandom(key, HMAC_SHA256_LEN, 0) == HMAC_SHA256_LEN ? 0 : -EIO;
}

int privacy_start(const struct config *config)
{
    uint8_t key[HMAC_SHA256_LEN];
    int r = make_key(config, key);

    if (r < 0) {
        log_kind(LOG_CANNOT_START, "no key for privacy.mask: %s", strerror(-r));
        return r;
    }
    mask_set_key(key);
    mask_set(config->privacy.mask);
    explicit_bzero(key, sizeof key);
    return 0;
}
