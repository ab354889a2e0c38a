// SPDX-License-Identifier: ISC
// See lib_alloc.h.
#include "fault/lib_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint counted, fail_at; // of all threads

void alloc_fail_at(unsigned k)
{
    counted = 0;
    fail_at = k;
}

bool alloc_failed(void)
{
    return fail_at > 0 && counted >= fail_at;
}

unsigned alloc_count(void)
{
    return counted;
}

static bool refuse(void)
{
    if (atomic_fetch_add(&counted, 1) + 1 != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

// The names that --wrap asks for.
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t max);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t max);

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refuse() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return refuse() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
    return refuse() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t max)
{
    return refuse() ? NULL : __real_strndup(text, max);
}
