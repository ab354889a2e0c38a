// SPDX-License-Identifier: ISC
// The text buffer, and the log's line, which is one bounded buffer too.
#include "base/buf.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void appends(void **state)
{
    struct buf buf = {0};
    buf_puts(&buf, "");
    buf_add(&buf, NULL, 0);
    assert_null(buf.data);
    buf_puts(&buf, "one");
    buf_printf(&buf, " %d %s", 2, "three");
    buf_printf(&buf, "%s", "");
    buf_add(&buf, "\0x", 2);
    assert_int_equal(buf.len, 13);
    assert_memory_equal(buf.data, "one 2 three\0x", 14);
    assert_false(buf.failed);
    buf_free(&buf);
    assert_null(buf.data);
    buf_free(&buf);
    buf_free(NULL);
}

// Every length around the doublings keeps content and terminator.
static void grows(void **state)
{
    struct buf buf = {0};
    for (size_t i = 0; i < 5000; i++) {
        if (i % 2)
            buf_add(&buf, &(char){(char)('a' + i % 26)}, 1);
        else
            buf_printf(&buf, "%c", (int)('a' + i % 26));
        assert_int_equal(buf.data[buf.len], '\0');
        assert_int_equal(strlen(buf.data), i + 1);
        assert_true(buf.len < buf.size);
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], 'a' + (int)(i % 26));
    buf_printf(&buf, "%*s", 100000, "x");
    assert_int_equal(buf.len, 105000);
    buf_free(&buf);
}

static void takes_out(void **state)
{
    struct buf buf = {0};
    buf_puts(&buf, "text");
    char *text = buf_take(&buf);
    assert_string_equal(text, "text");
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    free(text);
    text = buf_take(&buf); // nothing was added: an empty text, not an error
    assert_string_equal(text, "");
    free(text);
}

static void errors_stick(void **state)
{
    struct buf buf = {0};
    buf_puts(&buf, "kept");
    buf_add(&buf, "x", SIZE_MAX); // more than there can be; nothing is read
    assert_true(buf.failed);
    buf_puts(&buf, "more");
    buf_printf(&buf, "%d", 1);
    assert_string_equal(buf.data, "kept");
    assert_null(buf_take(&buf));
    assert_false(buf.failed); // reset
    assert_null(buf.data);
}

struct record {
    unsigned count;
    enum log_level level;
    char message[4096];
    size_t fields;
};

static void keep(void *ctx, enum log_level level, const char *message,
                 const struct log_field *field, size_t fields)
{
    struct record *record = ctx;
    record->count++;
    record->level = level;
    record->fields = fields;
    strncpy(record->message, message, sizeof record->message - 1);
}

static void logs(void **state)
{
    struct record record = {0};
    log_err("dropped, there is no sink");
    log_set_sink(&(struct log_sink){.ctx = &record, .max = LOG_LEVEL_INFO, .write = keep});
    log_debug("less important than wanted");
    assert_int_equal(record.count, 0);
    log_write(LOG_LEVEL_INFO, (struct log_field[]){{"A", "1"}, {"B", NULL}}, 2, "hello %d", 7);
    assert_int_equal(record.count, 1);
    assert_int_equal(record.level, LOG_LEVEL_INFO);
    assert_int_equal(record.fields, 2);
    assert_string_equal(record.message, "hello 7");
    log_warning("a\nb\tc\x1b[31m\x7f \xc2\x9b \xc3\xa4");
    assert_string_equal(record.message, "a?b?c?[31m? ?? \xc3\xa4");
    log_set_sink(NULL);
    log_err("dropped again");
    assert_int_equal(record.count, 2);
}

static void cuts_long_lines(void **state)
{
    struct record record = {0};
    log_set_sink(&(struct log_sink){.ctx = &record, .max = LOG_LEVEL_DEBUG, .write = keep});
    char text[4096];
    for (size_t shift = 0; shift < 2; shift++) {
        memset(text, 'x', sizeof text);
        for (size_t i = shift; i + 2 < sizeof text; i += 2)
            memcpy(text + i, "\xc3\xa4", 2);
        text[sizeof text - 1] = '\0';
        log_info("%s", text);
        size_t len = strlen(record.message);
        assert_in_range(len, 2046, 2047);
        assert_string_equal(record.message + len - 3, "...");
        assert_int_equal((unsigned char)record.message[len - 4], 0xa4); // a whole character
    }
    memset(text, 'y', 2047);
    text[2047] = '\0';
    log_info("%s", text);
    assert_string_equal(record.message, text); // just fits
    log_set_sink(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),      cmocka_unit_test(grows), cmocka_unit_test(takes_out),
        cmocka_unit_test(errors_stick), cmocka_unit_test(logs),  cmocka_unit_test(cuts_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
