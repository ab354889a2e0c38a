// SPDX-License-Identifier: ISC
// The growing text buffer. It doubles, so that appending n bytes costs O(n); the terminating NUL
// is kept in place after every append, so that the content may be handed out at any time.
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST_SIZE 64

void buf_free(struct buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    *buf = (struct buf){0};
}

// Makes room for 'more' bytes and the NUL.
static bool buf_reserve(struct buf *buf, size_t more)
{
    if (buf->failed)
        return false;
    if (more >= SIZE_MAX / 2 - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t want = buf->len + more + 1;
    if (want <= buf->size)
        return true;
    size_t size = buf->size ? buf->size : BUF_FIRST_SIZE;
    while (size < want)
        size *= 2;
    char *data = realloc(buf->data, size);
    if (!data) {
        buf->failed = true;
        return false;
    }
    if (!buf->data)
        data[0] = '\0';
    buf->data = data;
    buf->size = size;
    return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (len == 0 || !buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0) {
        buf->failed = true;
    } else if (n > 0 && buf_reserve(buf, (size_t)n)) {
        vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

char *buf_take(struct buf *buf)
{
    // Nothing was appended: the caller still gets a string of its own.
    buf_reserve(buf, 0);
    char *text = buf->data;
    if (buf->failed) {
        free(text);
        text = NULL;
    }
    *buf = (struct buf){0};
    return text;
}
