// SPDX-License-Identifier: ISC
// Bounded cursors: what is read and written, and that nothing beyond a bound is touched.
#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t bytes[] = {
    0x01,                                           // u8
    0x02, 0x03,                                     // u16
    0x04, 0x05, 0x06, 0x07,                         // u32
    0x88, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, // u64
};

static void reads_network_order(void **state)
{
    struct reader r = reader_over(bytes, sizeof bytes);
    assert_int_equal(reader_left(&r), 15);
    assert_int_equal(read_u8(&r), 0x01);
    assert_int_equal(read_u16(&r), 0x0203);
    assert_int_equal(read_u32(&r), 0x04050607);
    assert_true(read_u64(&r) == 0x88090a0b0c0d0e0f);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.failed);
}

// Every length too short for a value gives zero, the error, and zeros ever after.
static void errors_stick(void **state)
{
    for (size_t len = 0; len < sizeof bytes; len++) {
        uint8_t *exact = malloc(len ? len : 1); // so that ASan sees one byte too many
        memcpy(exact, bytes, len);
        struct reader r = reader_over(exact, len);
        read_u8(&r);
        read_u16(&r);
        read_u32(&r);
        assert_true(read_u64(&r) == 0);
        assert_true(r.failed);
        assert_int_equal(read_u8(&r), 0);
        assert_null(read_bytes(&r, 0));
        assert_int_equal(reader_left(&r), 0);
        free(exact);
    }
    struct reader r = reader_over(bytes, sizeof bytes);
    assert_null(read_bytes(&r, SIZE_MAX));
    assert_true(r.failed);
}

static void reads_views(void **state)
{
    struct reader r = reader_over(bytes, sizeof bytes);
    assert_ptr_equal(read_bytes(&r, 3), bytes);
    assert_ptr_equal(read_bytes(&r, 0), bytes + 3);
    struct reader block = read_block(&r, 4);
    assert_int_equal(reader_left(&block), 4);
    assert_int_equal(read_u32(&block), 0x04050607);
    assert_int_equal(read_u8(&block), 0); // its end, although the outer reader goes on
    assert_true(block.failed);
    assert_false(r.failed);
    assert_int_equal(reader_left(&r), 8);
    block = read_block(&r, 9);
    assert_true(block.failed);
    assert_true(r.failed);
    assert_int_equal(read_u8(&block), 0);
}

static void reads_nothing(void **state)
{
    struct reader r = reader_over(NULL, 0);
    assert_int_equal(reader_left(&r), 0);
    assert_non_null(read_bytes(&r, 0));
    assert_false(r.failed);
    assert_int_equal(read_u8(&r), 0);
    assert_true(r.failed);
    r = reader_over(NULL, 4);
    assert_int_equal(read_u32(&r), 0);
    assert_true(r.failed);
}

static void writes_what_is_read(void **state)
{
    uint8_t out[sizeof bytes];
    struct writer w = writer_over(out, sizeof out);
    write_u8(&w, 0x01);
    write_u16(&w, 0x0203);
    write_u32(&w, 0x04050607);
    write_u64(&w, 0x88090a0b0c0d0e0f);
    assert_false(w.failed);
    assert_int_equal(writer_used(&w), sizeof bytes);
    assert_memory_equal(out, bytes, sizeof bytes);
    write_bytes(&w, "", 0);
    write_zeros(&w, 0);
    assert_false(w.failed);
    write_u8(&w, 1);
    assert_true(w.failed);
    assert_int_equal(writer_used(&w), sizeof bytes);
}

static void writes_within_bounds(void **state)
{
    for (size_t size = 0; size < 12; size++) {
        uint8_t *out = malloc(size ? size : 1);
        struct writer w = writer_over(out, size);
        write_u16(&w, 1);
        write_bytes(&w, bytes, 6);
        write_zeros(&w, 4);
        assert_true(w.failed);
        size_t used = writer_used(&w);
        assert_true(used <= size);
        write_u8(&w, 1); // would fit where a longer value did not: the error sticks
        assert_int_equal(writer_used(&w), used);
        free(out);
    }
    struct writer none = writer_over(NULL, 0);
    assert_int_equal(writer_used(&none), 0);
    write_u8(&none, 1);
    assert_true(none.failed);
    none = writer_over(NULL, 10);
    write_zeros(&none, 2);
    assert_true(none.failed);
}

static void patches_lengths(void **state)
{
    uint8_t out[16];
    struct writer w = writer_over(out, sizeof out);
    size_t outer = write_open_u16(&w);
    write_u8(&w, 0xaa);
    size_t inner = write_open_u16(&w);
    write_bytes(&w, "xyz", 3);
    write_close_u16(&w, inner);
    write_close_u16(&w, outer);
    static const uint8_t want[] = {
        0x00, 0x06,     // outer length
        0xaa,           //
        0x00, 0x03,     // inner length
        'x',  'y',  'z' //
    };
    assert_int_equal(writer_used(&w), sizeof want);
    assert_memory_equal(out, want, sizeof want);
}

static void refuses_blocks_too_long(void **state)
{
    static uint8_t out[70000];
    struct writer w = writer_over(out, sizeof out);
    size_t place = write_open_u16(&w);
    write_zeros(&w, 65535);
    write_close_u16(&w, place);
    assert_false(w.failed);
    assert_int_equal(out[0] << 8 | out[1], 65535);

    w = writer_over(out, sizeof out);
    place = write_open_u16(&w);
    write_zeros(&w, 65536);
    write_close_u16(&w, place);
    assert_true(w.failed);

    w = writer_over(out, 1);
    place = write_open_u16(&w);
    write_close_u16(&w, place);
    assert_true(w.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_network_order), cmocka_unit_test(errors_stick),
        cmocka_unit_test(reads_views),         cmocka_unit_test(reads_nothing),
        cmocka_unit_test(writes_what_is_read), cmocka_unit_test(writes_within_bounds),
        cmocka_unit_test(patches_lengths),     cmocka_unit_test(refuses_blocks_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
