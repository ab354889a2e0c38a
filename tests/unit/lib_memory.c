// SPDX-License-Identifier: ISC
// See lib_memory.h. Sanitizers have an allocator of their own.
#include "lib_memory.h"

#include <malloc.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

size_t live_bytes(void)
{
#ifdef SANITIZED
    extern size_t __sanitizer_get_current_allocated_bytes(void);
    return __sanitizer_get_current_allocated_bytes();
#else
    return mallinfo2().uordblks;
#endif
}
