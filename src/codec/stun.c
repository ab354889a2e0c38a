// SPDX-License-Identifier: ISC
// STUN (RFC 8489). Every attribute is one row of STUN_ATTR_TABLE; reading and writing go by the
// row. The checksums, which cover the message as it was when they were its last attribute,
// are in stun_sum.c.
#include "codec/stun.h"

#include "stun_sum.h"

#include <errno.h>
#include <string.h>

#define STUN_FAMILY_V4 1 // RFC 8489 section 14.1
#define STUN_FAMILY_V6 2

#define X(id, number, text, kind, shortest, longest)                                               \
    [STUN_##id] = {                                                                                \
        .type = (number), .name = (text), .value = (kind), .min = (shortest), .max = (longest)},
const struct stun_attr_row stun_attr_rows[STUN_ATTR_COUNT] = {STUN_ATTR_TABLE(X)};
#undef X

// ---- reading ----

// Both ranges of types begin densely: six bits of each, and the bit that tells them apart.
#define PLACE(type) (((type)&0x3fu) | ((type) >> 9 & 0x40u))

#define X(id, number, text, kind, shortest, longest)                                               \
    _Static_assert(((number)&0x7fc0) == 0, "type of " text " outside the index");
STUN_ATTR_TABLE(X)
#undef X

#define X(id, number, text, kind, shortest, longest) [PLACE(number)] = STUN_##id + 1,
static const uint8_t row_index[128] = {STUN_ATTR_TABLE(X)};
#undef X

// Returns the row's number, or -1.
static int row_of(uint16_t type)
{
    return (type & 0x7fc0) ? -1 : row_index[PLACE(type)] - 1;
}

static void note_unknown(struct stun_msg *msg, uint16_t type)
{
    // RFC 8489 section 14: 0x0000 to 0x7FFF must be understood, the rest may be ignored.
    if (type >= 0x8000 || msg->unknown_count == sizeof msg->unknown / sizeof msg->unknown[0])
        return;
    for (unsigned i = 0; i < msg->unknown_count; i++) {
        if (msg->unknown[i] == type)
            return;
    }
    msg->unknown[msg->unknown_count++] = type;
}

// RFC 8489 section 14.5: agents "MUST ignore all other attributes that follow MESSAGE-INTEGRITY",
// save MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; behind the former only the latter counts.
static bool is_covered(const struct stun_msg *msg, int row)
{
    if (row == STUN_FINGERPRINT)
        return true;
    return !msg->sha256_at && (!msg->integrity_at || row == STUN_INTEGRITY_SHA256);
}

// One attribute, whose header begins at offset 'at'.
static void take_attr(struct stun_msg *msg, uint16_t type, const uint8_t *value, uint16_t len,
                      size_t at)
{
    int row = row_of(type);
    if (!is_covered(msg, row))
        return;
    if (row < 0) {
        note_unknown(msg, type);
        return;
    }
    if (len < stun_attr_rows[row].min || len > stun_attr_rows[row].max) {
        msg->malformed = true;
        return;
    }
    // Section 14: of an attribute that appears more than once only the first counts.
    if (msg->attr[row].data)
        return;
    msg->attr[row] = (struct stun_view){.data = value, .len = len};
    if (row == STUN_MESSAGE_INTEGRITY)
        msg->integrity_at = at;
    if (row == STUN_INTEGRITY_SHA256)
        msg->sha256_at = at;
    if (row == STUN_FINGERPRINT)
        msg->fingerprint_at = at;
}

static int read_attrs(struct stun_msg *msg, struct reader *r)
{
    while (reader_left(r) > 0) {
        // Section 14.7: FINGERPRINT "MUST be the last attribute in the message".
        if (msg->fingerprint_at)
            return -EBADMSG;
        size_t at = (size_t)(r->p - msg->data);
        uint16_t type = read_u16(r);
        uint16_t len = read_u16(r);
        const uint8_t *value = read_bytes(r, len);
        read_bytes(r, -(size_t)len & 3);
        if (r->failed)
            return -EBADMSG;
        take_attr(msg, type, value, len, at);
    }
    return 0;
}

// Section 5: M11..M7 C1 M6..M4 C0 M3..M0.
static void split_type(uint16_t type, struct stun_msg *msg)
{
    msg->class = (enum stun_class)((type >> 7 & 2) | (type >> 4 & 1));
    msg->method = (uint16_t)((type >> 2 & 0xf80) | (type >> 1 & 0x70) | (type & 0xf));
}

static uint16_t join_type(enum stun_class class, uint16_t method)
{
    unsigned m = method, c = (unsigned)class;
    return (uint16_t)((m & 0xf80) << 2 | (m & 0x70) << 1 | (m & 0xf) | (c & 2) << 7 | (c & 1) << 4);
}

int stun_parse(const void *data, size_t len, struct stun_msg *ret_msg)
{
    struct stun_msg msg = {.data = data};
    struct reader r = reader_over(data, len);
    uint16_t type = read_u16(&r);
    uint16_t body = read_u16(&r);
    uint32_t cookie = read_u32(&r);
    msg.txid = read_bytes(&r, STUN_TXID_LEN);
    struct reader attrs = read_block(&r, body);
    // Section 6.3: the first two bits zero, the cookie right, the length sensible.
    if (r.failed || type > 0x3fff || cookie != STUN_MAGIC || body % 4 != 0)
        return -EBADMSG;
    msg.len = STUN_HEADER_LEN + (size_t)body;
    split_type(type, &msg);
    if (read_attrs(&msg, &attrs) < 0)
        return -EBADMSG;
    if (msg.fingerprint_at &&
        stun_u32(&msg, STUN_FINGERPRINT) != stun_fingerprint(msg.data, msg.fingerprint_at))
        return -EBADMSG;
    *ret_msg = msg;
    return 0;
}

int stun_decode(const void *data, size_t len, struct stun_msg *ret_msg)
{
    struct stun_msg msg;
    if (stun_parse(data, len, &msg) < 0 || msg.malformed)
        return -EBADMSG;
    *ret_msg = msg;
    return 0;
}

bool stun_has(const struct stun_msg *msg, enum stun_attr attr)
{
    return msg->attr[attr].data != NULL;
}

static struct reader attr_reader(const struct stun_msg *msg, enum stun_attr attr)
{
    return reader_over(msg->attr[attr].data, msg->attr[attr].len);
}

uint32_t stun_u32(const struct stun_msg *msg, enum stun_attr attr)
{
    struct reader r = attr_reader(msg, attr);
    return read_u32(&r);
}

uint64_t stun_u64(const struct stun_msg *msg, enum stun_attr attr)
{
    struct reader r = attr_reader(msg, attr);
    return read_u64(&r);
}

// Section 14.2: what an address is mixed with, cookie and transaction id; zeros for a plain one.
static void make_mask(enum stun_attr attr, const uint8_t *txid, uint8_t mask[16])
{
    memset(mask, 0, 16);
    if (stun_attr_rows[attr].value != STUN_VALUE_XOR_ADDR)
        return;
    struct writer w = writer_over(mask, 16);
    write_u32(&w, STUN_MAGIC);
    write_bytes(&w, txid, STUN_TXID_LEN);
}

int stun_addr(const struct stun_msg *msg, enum stun_attr attr, struct addr *ret_addr)
{
    return stun_has(msg, attr) ? stun_view_addr(msg, attr, &msg->attr[attr], ret_addr) : -ENOENT;
}

int stun_view_addr(const struct stun_msg *msg, enum stun_attr attr, const struct stun_view *view,
                   struct addr *ret_addr)
{
    uint8_t mask[16], ip[16];
    make_mask(attr, msg->txid, mask);
    struct reader r = reader_over(view->data, view->len);
    read_u8(&r); // section 14.1: zero, to be ignored
    uint8_t family = read_u8(&r);
    uint16_t port = read_u16(&r) ^ (uint16_t)(mask[0] << 8 | mask[1]);
    size_t len = reader_left(&r);
    if (!(family == STUN_FAMILY_V4 && len == 4) && !(family == STUN_FAMILY_V6 && len == 16))
        return -EBADMSG;
    for (size_t i = 0; i < len; i++)
        ip[i] = read_u8(&r) ^ mask[i];
    *ret_addr = len == 4 ? addr_v4(ip, port) : addr_v6(ip, port);
    return 0;
}

struct stun_view stun_next(const struct stun_msg *msg, enum stun_attr attr, const uint8_t *after)
{
    size_t end = msg->integrity_at     ? msg->integrity_at
                 : msg->sha256_at      ? msg->sha256_at
                 : msg->fingerprint_at ? msg->fingerprint_at
                                       : msg->len;
    struct reader r = reader_over(msg->data, end);
    read_bytes(&r, after ? (size_t)(after - msg->data) - 2 : STUN_HEADER_LEN);
    if (after) {
        size_t len = read_u16(&r); // of the one before
        read_bytes(&r, len + (-len & 3));
    }
    while (reader_left(&r) > 0) {
        uint16_t type = read_u16(&r);
        uint16_t len = read_u16(&r);
        const uint8_t *value = read_bytes(&r, len);
        read_bytes(&r, -(size_t)len & 3);
        if (!r.failed && type == stun_attr_rows[attr].type)
            return (struct stun_view){.data = value, .len = len};
    }
    return (struct stun_view){0};
}

unsigned stun_error_code(const struct stun_msg *msg)
{
    // Section 14.8: 21 reserved bits, the hundreds (3 to 6) in three, the rest (0 to 99) in eight.
    uint32_t v = stun_u32(msg, STUN_ERROR_CODE);
    unsigned hundreds = v >> 8 & 7, rest = v & 0xff;
    return hundreds < 3 || hundreds > 6 || rest > 99 ? 0 : hundreds * 100 + rest;
}

bool stun_check_integrity(const struct stun_msg *msg, const void *key, size_t key_len)
{
    // An empty key is one that everybody knows.
    if (!msg->integrity_at || key_len == 0)
        return false;
    uint8_t want[HMAC_SHA256_LEN];
    if (stun_hmac(HMAC_SHA1, msg->data, msg->integrity_at, key, key_len, want) < 0)
        return false;
    return hmac_equal(msg->attr[STUN_MESSAGE_INTEGRITY].data, want, HMAC_SHA1_LEN);
}

bool stun_check_sha256(const struct stun_msg *msg, const void *key, size_t key_len)
{
    // Section 14.6: shorter values only where a usage says so; none that we serve does.
    if (!msg->sha256_at || msg->attr[STUN_INTEGRITY_SHA256].len != HMAC_SHA256_LEN || key_len == 0)
        return false;
    uint8_t want[HMAC_SHA256_LEN];
    if (stun_hmac(HMAC_SHA256, msg->data, msg->sha256_at, key, key_len, want) < 0)
        return false;
    return hmac_equal(msg->attr[STUN_INTEGRITY_SHA256].data, want, HMAC_SHA256_LEN);
}

// ---- writing ----

static size_t open_attr(struct writer *w, enum stun_attr attr)
{
    write_u16(w, stun_attr_rows[attr].type);
    return write_open_u16(w);
}

static void close_attr(struct writer *w, enum stun_attr attr, size_t place)
{
    write_close_u16(w, place);
    if (w->failed)
        return;
    size_t len = writer_used(w) - place - 2;
    if (len < stun_attr_rows[attr].min || len > stun_attr_rows[attr].max)
        w->failed = true;
    write_zeros(w, -len & 3);
}

struct writer stun_begin(void *buf, size_t size, enum stun_class class, uint16_t method,
                         const uint8_t txid[STUN_TXID_LEN])
{
    struct writer w = writer_over(buf, size);
    write_u16(&w, join_type(class, method));
    write_u16(&w, 0); // the length, see set_length()
    write_u32(&w, STUN_MAGIC);
    write_bytes(&w, txid, STUN_TXID_LEN);
    return w;
}

void stun_put_bytes(struct writer *w, enum stun_attr attr, const void *data, size_t len)
{
    size_t place = open_attr(w, attr);
    write_bytes(w, data, len);
    close_attr(w, attr, place);
}

void stun_put_flag(struct writer *w, enum stun_attr attr)
{
    stun_put_bytes(w, attr, NULL, 0);
}

void stun_put_u32(struct writer *w, enum stun_attr attr, uint32_t value)
{
    size_t place = open_attr(w, attr);
    write_u32(w, value);
    close_attr(w, attr, place);
}

void stun_put_u64(struct writer *w, enum stun_attr attr, uint64_t value)
{
    size_t place = open_attr(w, attr);
    write_u64(w, value);
    close_attr(w, attr, place);
}

void stun_put_addr(struct writer *w, enum stun_attr attr, const struct addr *addr)
{
    size_t place = open_attr(w, attr);
    if (w->failed)
        return;
    uint8_t mask[16];
    make_mask(attr, w->start + STUN_HEADER_LEN - STUN_TXID_LEN, mask);
    bool v4 = addr->family == FAMILY_V4;
    if (addr->family == FAMILY_NONE)
        w->failed = true;
    write_u8(w, 0);
    write_u8(w, v4 ? STUN_FAMILY_V4 : STUN_FAMILY_V6);
    write_u16(w, addr->port ^ (uint16_t)(mask[0] << 8 | mask[1]));
    for (size_t i = 0; i < (v4 ? 4u : 16u); i++)
        write_u8(w, addr->ip[i] ^ mask[i]);
    close_attr(w, attr, place);
}

void stun_put_error(struct writer *w, unsigned code, const char *reason)
{
    if (code < 300 || code > 699)
        w->failed = true;
    size_t place = open_attr(w, STUN_ERROR_CODE);
    write_u16(w, 0);
    write_u8(w, (uint8_t)(code / 100));
    write_u8(w, (uint8_t)(code % 100));
    write_bytes(w, reason, strlen(reason));
    close_attr(w, STUN_ERROR_CODE, place);
}

// Sets the header's length as if 'more' bytes followed what has been written.
static void set_length(struct writer *w, size_t more)
{
    size_t body = writer_used(w) - STUN_HEADER_LEN + more;
    if (w->failed || body > UINT16_MAX) {
        w->failed = true;
        return;
    }
    w->start[2] = (uint8_t)(body >> 8);
    w->start[3] = (uint8_t)body;
}

static void put_integrity(struct writer *w, enum hmac_kind kind, const void *key, size_t key_len)
{
    uint8_t hmac[HMAC_SHA256_LEN];
    if (w->failed)
        return;
    if (stun_hmac(kind, w->start, writer_used(w), key, key_len, hmac) < 0)
        w->failed = true;
    if (kind == HMAC_SHA1)
        stun_put_bytes(w, STUN_MESSAGE_INTEGRITY, hmac, HMAC_SHA1_LEN);
    else
        stun_put_bytes(w, STUN_INTEGRITY_SHA256, hmac, HMAC_SHA256_LEN);
}

void stun_put_sha256(struct writer *w, const void *key, size_t key_len)
{
    put_integrity(w, HMAC_SHA256, key, key_len);
}

int stun_finish(struct writer *w, const void *key, size_t key_len, bool fingerprint)
{
    if (key)
        put_integrity(w, HMAC_SHA1, key, key_len);
    if (fingerprint && !w->failed) {
        set_length(w, 8);
        stun_put_u32(w, STUN_FINGERPRINT, stun_fingerprint(w->start, writer_used(w)));
    }
    set_length(w, 0);
    return w->failed ? -ENOSPC : (int)writer_used(w);
}
