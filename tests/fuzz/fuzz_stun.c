// SPDX-License-Identifier: ISC
// STUN: decodes the input, reads every attribute, checks its integrity, writes what was decoded
// and decodes that: both must say the same, and what we protected must verify. As a message of
// Google's transport it gets another name, and must be the same but for that.
#include "codec/stun.h"
#include "codec/stun_old.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "VOkJxbRl1RmTxUk/WvJxBt";

static void must(bool condition)
{
    if (!condition)
        abort();
}

static bool is_checksum(enum stun_attr attr)
{
    return attr == STUN_MESSAGE_INTEGRITY || attr == STUN_INTEGRITY_SHA256 ||
           attr == STUN_FINGERPRINT;
}

static void put_attr(struct writer *w, const struct stun_msg *msg, enum stun_attr attr)
{
    const struct stun_view *view = &msg->attr[attr];
    enum stun_value kind = stun_attr_rows[attr].value;
    struct addr addr;
    if (kind == STUN_VALUE_NONE)
        stun_put_flag(w, attr);
    else if (kind == STUN_VALUE_U32)
        stun_put_u32(w, attr, stun_u32(msg, attr));
    else if (kind == STUN_VALUE_U64)
        stun_put_u64(w, attr, stun_u64(msg, attr));
    else if (stun_addr(msg, attr, &addr) == 0 &&
             (kind == STUN_VALUE_ADDR || kind == STUN_VALUE_XOR_ADDR))
        stun_put_addr(w, attr, &addr);
    else
        stun_put_bytes(w, attr, view->data, view->len);
}

static void same_attr(const struct stun_msg *a, const struct stun_msg *b, enum stun_attr attr)
{
    must(stun_has(a, attr) == stun_has(b, attr));
    if (!stun_has(a, attr))
        return;
    must(stun_u32(a, attr) == stun_u32(b, attr) || stun_attr_rows[attr].value != STUN_VALUE_U32);
    must(stun_u64(a, attr) == stun_u64(b, attr) || stun_attr_rows[attr].value != STUN_VALUE_U64);
    enum stun_value kind = stun_attr_rows[attr].value;
    if (kind == STUN_VALUE_ADDR || kind == STUN_VALUE_XOR_ADDR) {
        struct addr x, y;
        int rc = stun_addr(a, attr, &x);
        must(rc == stun_addr(b, attr, &y));
        must(rc != 0 || addr_equal(&x, &y));
        return;
    }
    must(a->attr[attr].len == b->attr[attr].len);
    must(memcmp(a->attr[attr].data, b->attr[attr].data, a->attr[attr].len) == 0);
}

static void write_and_read_again(const struct stun_msg *msg)
{
    static uint8_t out[66000];
    struct stun_msg again;
    struct writer w = stun_begin(out, sizeof out, msg->class, msg->method, msg->txid);
    for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
        if (stun_has(msg, attr) && !is_checksum(attr))
            put_attr(&w, msg, attr);
    }
    int len = stun_finish(&w, key, sizeof key - 1, true);
    must(len > 0);
    must(stun_decode(out, (size_t)len, &again) == 0);
    must(again.class == msg->class && again.method == msg->method);
    must(memcmp(again.txid, msg->txid, STUN_TXID_LEN) == 0);
    must(stun_check_integrity(&again, key, sizeof key - 1));
    must(stun_error_code(&again) == stun_error_code(msg));
    for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
        if (!is_checksum(attr))
            same_attr(msg, &again, attr);
    }
}

static void try_message(const uint8_t *data, size_t size)
{
    struct stun_msg msg;
    if (stun_decode(data, size, &msg) < 0)
        return;
    must(msg.len >= STUN_HEADER_LEN && msg.len <= size && msg.len % 4 == 0);
    for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
        const struct stun_view *view = &msg.attr[attr];
        must(!view->data || (view->data >= data && view->data + view->len <= data + msg.len));
    }
    must(msg.unknown_count <= sizeof msg.unknown / sizeof msg.unknown[0]);
    must(stun_has(&msg, STUN_MESSAGE_INTEGRITY) || !stun_check_integrity(&msg, key, 5));
    stun_check_integrity(&msg, key, sizeof key - 1);
    write_and_read_again(&msg);
}

static void try_old(const uint8_t *data, size_t size)
{
    static const char name[] = "the name that it gets instead";
    static uint8_t out[66000 + 64];
    struct stun_old msg, again;
    if (stun_old_decode(data, size, &msg) < 0)
        return;
    must(msg.len >= STUN_HEADER_LEN && msg.len <= size);
    int len = stun_old_rename(&msg, name, sizeof name - 1, out, sizeof out);
    if (len < 0)
        return; // too long with it
    must(stun_old_decode(out, (size_t)len, &again) == 0);
    must((size_t)len == again.len && again.class == msg.class && len % 4 == 0);
    must(memcmp(again.txid, msg.txid, STUN_TXID_LEN) == 0);
    must(!again.username.data == !msg.username.data);
    must(!msg.username.data || (again.username.len == sizeof name - 1 &&
                                memcmp(again.username.data, name, sizeof name - 1) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_message(data, size);
    try_old(data, size);

    // The same attributes under a right length and FINGERPRINT, which chance does not find.
    static uint8_t fixed[66000];
    if (size < STUN_HEADER_LEN || size > 65000)
        return 0;
    struct writer w = writer_over(fixed, sizeof fixed);
    write_bytes(&w, data, size);
    write_zeros(&w, -size & 3);
    int len = stun_finish(&w, NULL, 0, true);
    if (len > 0)
        try_message(fixed, (size_t)len);
    return 0;
}
