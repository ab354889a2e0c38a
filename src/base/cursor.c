// SPDX-License-Identifier: ISC
// Bounded readers and writers with a sticky error.
#include "base/cursor.h"

#include <string.h>

// Stands in for NULL, so that an empty reader has an address that may be computed with.
static const uint8_t nothing[1];

struct reader reader_over(const void *data, size_t len)
{
    const uint8_t *p = data ? data : nothing;
    return (struct reader){.p = p, .end = data ? p + len : p, .failed = !data && len > 0};
}

size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->p);
}

const uint8_t *read_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > (size_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint64_t read_uint(struct reader *r, size_t n)
{
    const uint8_t *p = read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++)
        v = v << 8 | p[i];
    return v;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_uint(r, 1);
}

uint16_t read_u16(struct reader *r)
{
    return (uint16_t)read_uint(r, 2);
}

uint32_t read_u32(struct reader *r)
{
    return (uint32_t)read_uint(r, 4);
}

uint64_t read_u64(struct reader *r)
{
    return read_uint(r, 8);
}

struct reader read_block(struct reader *r, size_t n)
{
    const uint8_t *p = read_bytes(r, n);
    if (!p)
        return (struct reader){.p = nothing, .end = nothing, .failed = true};
    return (struct reader){.p = p, .end = p + n};
}

struct writer writer_over(void *buf, size_t size)
{
    uint8_t *p = buf;
    return (struct writer){.start = p, .p = p, .end = p ? p + size : p, .failed = !p && size > 0};
}

size_t writer_used(const struct writer *w)
{
    return w->start ? (size_t)(w->p - w->start) : 0;
}

// Room for n bytes, or NULL and the error.
static uint8_t *write_room(struct writer *w, size_t n)
{
    if (w->failed || !w->start || n > (size_t)(w->end - w->p)) {
        w->failed = true;
        return NULL;
    }
    uint8_t *p = w->p;
    w->p += n;
    return p;
}

static void store(uint8_t *p, size_t n, uint64_t v)
{
    for (size_t i = n; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

static void write_uint(struct writer *w, size_t n, uint64_t v)
{
    uint8_t *p = write_room(w, n);
    if (p)
        store(p, n, v);
}

void write_u8(struct writer *w, uint8_t v)
{
    write_uint(w, 1, v);
}

void write_u16(struct writer *w, uint16_t v)
{
    write_uint(w, 2, v);
}

void write_u32(struct writer *w, uint32_t v)
{
    write_uint(w, 4, v);
}

void write_u64(struct writer *w, uint64_t v)
{
    write_uint(w, 8, v);
}

void write_bytes(struct writer *w, const void *data, size_t n)
{
    if (n == 0)
        return;
    uint8_t *p = write_room(w, n);
    if (p)
        memcpy(p, data, n);
}

void write_zeros(struct writer *w, size_t n)
{
    if (n == 0)
        return;
    uint8_t *p = write_room(w, n);
    if (p)
        memset(p, 0, n);
}

size_t write_open_u16(struct writer *w)
{
    size_t place = writer_used(w);
    write_u16(w, 0);
    return place;
}

void write_close_u16(struct writer *w, size_t place)
{
    if (w->failed)
        return;
    size_t len = writer_used(w) - place - 2;
    if (len > UINT16_MAX) {
        w->failed = true;
        return;
    }
    store(w->start + place, 2, len);
}
