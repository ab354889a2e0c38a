// SPDX-License-Identifier: ISC
// Bounded readers and writers over bytes, with a sticky error: straight-line code and one check
// at the end. After an error every read gives zero and every write does nothing. Integers are in
// network order.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *p;
    const uint8_t *end;
    bool failed;
};

struct writer {
    uint8_t *start;
    uint8_t *p;
    uint8_t *end;
    bool failed;
};

struct reader reader_over(const void *data, size_t len);
size_t reader_left(const struct reader *r);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
// A view of the next n bytes, or NULL (and the error) when fewer are left.
const uint8_t *read_bytes(struct reader *r, size_t n);
// A reader over exactly the next n bytes, which the outer reader skips.
struct reader read_block(struct reader *r, size_t n);

struct writer writer_over(void *buf, size_t size);
size_t writer_used(const struct writer *w);
void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_u64(struct writer *w, uint64_t v);
void write_bytes(struct writer *w, const void *data, size_t n);
void write_zeros(struct writer *w, size_t n);
// Length-prefixed blocks: opens a 16-bit length, returns its place; closing patches in the
// number of bytes written since.
size_t write_open_u16(struct writer *w);
void write_close_u16(struct writer *w, size_t place);
