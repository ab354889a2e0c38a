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
    struct admission_totals totals;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(io.put(io.ctx, &flow, NULL, 0), -EOPNOTSUPP);
        assert_int_equal(io.read(io.ctx, &flow, &report), -ENOENT);
        assert_int_equal(io.take(io.ctx, &flow, &report), -ENOENT);
        totals = (struct admission_totals){7, 7, 7};
        fast_late_forwarded(&late, &totals);
        assert_int_equal(totals.packets + totals.packets_of_turn + totals.bytes, 0);
        fast_late_bind(&late, NULL); // there will be none
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_there_yet)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
