// SPDX-License-Identifier: ISC
// See privacy.h.
#include "privacy.h"

#include "base/log_kind.h"
#include "base/mask.h"
#include "codec/hmac.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define KEY_LEAST 16
#define KEY_MOST  4096

// Whatever the file holds, its hash is the key: text or bytes, a newline at the end or not.
static int key_of(const char *path, uint8_t key[HMAC_SHA256_LEN])
{
    static const char purpose[] = "jingle-relayd mask";
    const struct hmac_part part = {purpose, sizeof purpose};
    char text[KEY_MOST];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r = 0;
    ssize_t len;

    if (fd < 0)
        return -errno;
    len = read(fd, text, sizeof text);
    if (len < 0)
        r = -errno;
    (void)close(fd);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (r == 0 && len < KEY_LEAST)
        r = -EINVAL;
    if (r == 0)
        r = hmac_sum(HMAC_SHA256, text, (size_t)len, &part, 1, key);
    explicit_bzero(text, sizeof text);
    return r;
}

int privacy_start(const struct config *config)
{
    const char *path = config->privacy.key_file;
    uint8_t key[HMAC_SHA256_LEN];
    int r = 0;

    if (path)
        r = key_of(path, key);
    else if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        r = -EIO; // never short up to 256 bytes
    if (r < 0) {
        log_kind(LOG_CANNOT_START, "privacy.key_file = %s: %s", path ? path : "",
                 r == -EINVAL
                     ? "expected at least 16 bytes, such as \"openssl rand -hex 32\" prints"
                     : strerror(-r));
        return r;
    }
    mask_set_key(key);
    mask_set(config->privacy.mask);
    explicit_bzero(key, sizeof key);
    return 0;
}
