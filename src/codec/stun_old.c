// SPDX-License-Identifier: ISC
// STUN as RFC 3489 has it, so far as Google's transport needs it; see codec/stun_old.h.
#include "codec/stun_old.h"

#include <errno.h>

#define OLD_CLASSES 0x0110 // the two bits of a type that tell request, response and error

struct old_attr {
    uint16_t type, len;
    const uint8_t *value;
};

// The next attribute; the error is the reader's.
static struct old_attr next_attr(struct reader *r)
{
    struct old_attr attr;
    size_t padding;

    attr.type = read_u16(r);
    attr.len = read_u16(r);
    attr.value = read_bytes(r, attr.len);
    padding = -(size_t)attr.len & 3;
    read_bytes(r, padding < reader_left(r) ? padding : reader_left(r));
    return attr;
}

// RFC 3489 section 11.1: Binding Request 0x0001, Response 0x0101, Error Response 0x0111.
static bool is_binding(uint16_t type, enum stun_class *ret_class)
{
    uint16_t class = type & OLD_CLASSES;

    if ((type & ~OLD_CLASSES) != STUN_BINDING)
        return false;
    *ret_class = class == 0        ? STUN_REQUEST
                 : class == 0x0100 ? STUN_SUCCESS
                 : class == 0x0110 ? STUN_ERROR
                                   : STUN_INDICATION;
    return true;
}

int stun_old_decode(const void *data, size_t len, struct stun_old *ret_msg)
{
    struct stun_old msg = {.data = data};
    struct reader r = reader_over(data, len);
    uint16_t type = read_u16(&r);
    uint16_t body = read_u16(&r);

    read_u32(&r); // the cookie, or the beginning of the id
    msg.txid = read_bytes(&r, STUN_TXID_LEN);
    struct reader attrs = read_block(&r, body);
    if (r.failed || !is_binding(type, &msg.class))
        return -EBADMSG;
    msg.len = STUN_HEADER_LEN + (size_t)body;
    while (reader_left(&attrs) > 0) {
        struct old_attr attr = next_attr(&attrs);
        if (attr.type == stun_attr_rows[STUN_USERNAME].type && !msg.username.data && attr.value)
            msg.username = (struct stun_view){attr.value, attr.len};
    }
    if (attrs.failed)
        return -EBADMSG;
    *ret_msg = msg;
    return 0;
}

static void put_attr(struct writer *w, uint16_t type, const void *value, size_t len)
{
    write_u16(w, type);
    write_u16(w, (uint16_t)len);
    write_bytes(w, value, len);
    write_zeros(w, -len & 3);
}

static bool is_checksum(uint16_t type)
{
    return type == stun_attr_rows[STUN_MESSAGE_INTEGRITY].type ||
           type == stun_attr_rows[STUN_INTEGRITY_SHA256].type ||
           type == stun_attr_rows[STUN_FINGERPRINT].type;
}

static int finish(struct writer *w)
{
    size_t body = writer_used(w) - STUN_HEADER_LEN;

    if (w->failed || body > UINT16_MAX)
        return -ENOSPC;
    w->start[2] = (uint8_t)(body >> 8);
    w->start[3] = (uint8_t)body;
    return (int)writer_used(w);
}

int stun_old_rename(const struct stun_old *msg, const void *username, size_t username_len,
                    void *buf, size_t size)
{
    struct reader r = reader_over(msg->data, msg->len);
    struct writer w = writer_over(buf, size);

    write_bytes(&w, read_bytes(&r, STUN_HEADER_LEN), STUN_HEADER_LEN);
    while (reader_left(&r) > 0) {
        struct old_attr attr = next_attr(&r);
        if (attr.value == msg->username.data)
            put_attr(&w, attr.type, username, username_len);
        else if (!is_checksum(attr.type))
            put_attr(&w, attr.type, attr.value, attr.len);
    }
    return finish(&w);
}

int stun_old_request(const uint8_t txid[STUN_TXID_LEN], const void *username, size_t username_len,
                     void *buf, size_t size)
{
    struct writer w = stun_begin(buf, size, STUN_REQUEST, STUN_BINDING, txid);

    stun_put_bytes(&w, STUN_USERNAME, username, username_len);
    return stun_finish(&w, NULL, 0, false);
}
