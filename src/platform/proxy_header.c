// SPDX-License-Identifier: ISC
// PROXY protocol headers; see proxy_header.h.
#include "proxy_header.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
    V1_MAX = 107,
    V1_MIN = 15, // "PROXY UNKNOWN" CR LF
    V2_FIXED = 16,
    WORD_MAX = 46, // an IPv6 address, and NUL
};

static const uint8_t v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const uint8_t v1_signature[6] = "PROXY ";

static bool begins(const uint8_t *data, size_t len, const uint8_t *signature, size_t signature_len)
{
    return memcmp(data, signature, len < signature_len ? len : signature_len) == 0;
}

// ---- version 1: a line of words

struct line {
    const char *at, *end;
    bool bad;
};

// The next word, which ends with 'stop'.
static void next_word(struct line *line, char stop, char word[WORD_MAX])
{
    const char *end = memchr(line->at, stop, (size_t)(line->end - line->at));
    size_t len = end ? (size_t)(end - line->at) : 0;
    word[0] = 0;
    if (line->bad || len == 0 || len >= WORD_MAX) {
        line->bad = true;
        return;
    }
    memcpy(word, line->at, len);
    word[len] = 0;
    line->at = end + 1;
}

static uint16_t next_port(struct line *line, char stop)
{
    char word[WORD_MAX];
    unsigned port = 0;
    next_word(line, stop, word);
    size_t len = strlen(word);
    if (len == 0 || len > 5 || strspn(word, "0123456789") != len)
        line->bad = true;
    for (size_t i = 0; i < len && !line->bad; i++)
        port = port * 10 + (unsigned)(word[i] - '0');
    if (port > 65535)
        line->bad = true;
    return (uint16_t)port;
}

static void next_ip(struct line *line, enum family family, struct addr *ret_addr)
{
    char word[WORD_MAX];
    struct addr addr = {.family = FAMILY_NONE};
    next_word(line, ' ', word);
    // A mapped address under TCP6 comes out as IPv4, which it is.
    if (line->bad || addr_parse_ip(word, 0, &addr) < 0 ||
        (family == FAMILY_V4 && addr.family != FAMILY_V4))
        line->bad = true;
    *ret_addr = addr;
}

static int parse_v1(const uint8_t *data, size_t len, struct proxy_header *ret_header)
{
    const char *text = (const char *)data;
    struct line line = {.at = text + sizeof v1_signature, .end = text + len - 1}; // without LF
    struct proxy_header header = {.remote.family = FAMILY_NONE};
    char word[WORD_MAX];
    if (data[len - 2] != '\r')
        return -EBADMSG;
    if (len >= V1_MIN && memcmp(line.at, "UNKNOWN", 7) == 0) {
        *ret_header = header;
        return 0;
    }
    next_word(&line, ' ', word);
    enum family family = strcmp(word, "TCP6") == 0 ? FAMILY_V6 : FAMILY_V4;
    if (family == FAMILY_V4 && strcmp(word, "TCP4") != 0)
        return -EBADMSG;
    next_ip(&line, family, &header.remote);
    next_ip(&line, family, &header.local);
    header.remote.port = next_port(&line, ' ');
    header.local.port = next_port(&line, '\r');
    if (line.bad || line.at != line.end)
        return -EBADMSG;
    *ret_header = header;
    return 0;
}

static int take_v1(const uint8_t *data, size_t len, struct proxy_header *ret_header,
                   size_t *ret_want)
{
    if (data[len - 1] == '\n')
        return len < V1_MIN ? -EBADMSG : parse_v1(data, len, ret_header);
    if (len >= V1_MAX || memchr(data, '\n', len))
        return -EBADMSG;
    // CR LF are yet to come, or LF.
    *ret_want = len < V1_MIN ? V1_MIN - len : data[len - 1] == '\r' ? 1 : 2;
    return -EAGAIN;
}

// ---- version 2

static uint16_t get16(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static int parse_v2(const uint8_t *data, size_t body, struct proxy_header *ret_header)
{
    enum { LOCAL = 0x20, PROXY = 0x21, UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX = 0x31 };
    const uint8_t *p = data + V2_FIXED;
    struct proxy_header header = {.remote.family = FAMILY_NONE};
    uint8_t command = data[12], family = data[13];
    if (command == PROXY && family == TCP4 && body >= 12) {
        header.remote = addr_v4(p, get16(p + 8));
        header.local = addr_v4(p + 4, get16(p + 10));
    } else if (command == PROXY && family == TCP6 && body >= 36) {
        header.remote = addr_v6(p, get16(p + 32));
        header.local = addr_v6(p + 16, get16(p + 34));
    } else if (command != LOCAL && !(command == PROXY && (family == UNSPEC || family == UNIX))) {
        return -EBADMSG;
    }
    *ret_header = header;
    return 0;
}

static int take_v2(const uint8_t *data, size_t len, struct proxy_header *ret_header,
                   size_t *ret_want)
{
    if (len < V2_FIXED) {
        *ret_want = V2_FIXED - len;
        return -EAGAIN;
    }
    size_t body = get16(data + 14), whole = V2_FIXED + body;
    if (whole > PROXY_HEADER_MAX || len > whole)
        return -EBADMSG;
    if (len < whole) {
        *ret_want = whole - len;
        return -EAGAIN;
    }
    return parse_v2(data, body, ret_header);
}

int proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *ret_header,
                       size_t *ret_want)
{
    if (len == 0) {
        *ret_want = sizeof v2_signature;
        return -EAGAIN;
    }
    if (begins(data, len, v1_signature, sizeof v1_signature))
        return take_v1(data, len, ret_header, ret_want);
    if (begins(data, len, v2_signature, sizeof v2_signature))
        return take_v2(data, len, ret_header, ret_want);
    return -EBADMSG;
}
