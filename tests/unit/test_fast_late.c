// SPDX-License-Identifier: ISC
// Workers that run before the kernel's fast path is there keep their flows to themselves.
#include "fast_late.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

static void nothing_is_there_yet(void **state)
{
    struct fast_late late = {NULL};
    const struct offload_io io = fast_late_io(&late);
    const struct offload_flow flow = {0};
    struct offload_report report;
    uint64_t packets = 7, bytes = 7;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(io.put(io.ctx, &flow, NULL, 0), -EHOSTUNREACH);
        assert_int_equal(io.read(io.ctx, &flow, &report), -ENOENT);
        assert_int_equal(io.take(io.ctx, &flow, &report), -ENOENT);
        fast_late_forwarded(&late, &packets, &bytes);
        assert_int_equal(packets + bytes, 0);
        fast_late_bind(&late, NULL); // there will be none
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_there_yet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
