// SPDX-License-Identifier: ISC
// A growing text buffer with a sticky error: append, append, and check once. Always terminated.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; // owned; NULL while empty
    size_t len;
    size_t size;
    bool failed; // out of memory at some append; the content is then incomplete
};

void buf_free(struct buf *buf);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Takes the text out (free() it) and resets the buffer. NULL when something failed.
char *buf_take(struct buf *buf);
