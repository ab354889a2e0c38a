// SPDX-License-Identifier: ISC
// Log kinds: each has an id of its own, floods are cut and counted, and the journal's catalogue and
// docs/LOGS.md say what the table says. Run with UPDATE_DOCS=1 to write both anew.
#include "base/buf.h"
#include "base/log_kind.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static usec_t now;
static unsigned written;
static char last_id[40], last_suppressed[24], last_message[64];

static usec_t clock_now(void)
{
    return now;
}

static void keep(void *ctx, enum log_level level, const char *message,
                 const struct log_field *field, size_t fields)
{
    written++;
    last_id[0] = last_suppressed[0] = '\0';
    snprintf(last_message, sizeof last_message, "%d %s", (int)level, message);
    for (size_t i = 0; i < fields; i++) {
        if (!strcmp(field[i].name, "MESSAGE_ID"))
            snprintf(last_id, sizeof last_id, "%s", field[i].value);
        if (!strcmp(field[i].name, "SUPPRESSED"))
            snprintf(last_suppressed, sizeof last_suppressed, "%s", field[i].value);
    }
}

static int open_log(void **state)
{
    const struct log_sink sink = {.max = LOG_LEVEL_INFO, .write = keep, .now = clock_now};

    written = 0;
    log_set_sink(&sink);
    return 0;
}

static void records_have_the_level_and_id_of_their_kind(void **state)
{
    log_kind(LOG_JOINED, "joined %s", "it");
    assert_string_equal(last_message, "5 joined it");
    assert_string_equal(last_id, log_kind_row(LOG_JOINED)->id);
    log_kind_write_at(LOG_JOINED, LOG_LEVEL_DEBUG, NULL, 0, "again");
    assert_int_equal(written, 1); // below the sink's level
}

static void ids_are_unique(void **state)
{
    for (unsigned i = 0; i < LOG_KIND_COUNT; i++) {
        const struct log_kind_row *row = log_kind_row(i);
        assert_int_equal(strlen(row->id), 32);
        for (const char *p = row->id; *p; p++)
            assert_true(isxdigit((unsigned char)*p) && !isupper((unsigned char)*p));
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(row->id, log_kind_row(k)->id);
            assert_string_not_equal(row->name, log_kind_row(k)->name);
        }
    }
}

static void floods_are_cut_and_counted(void **state)
{
    unsigned burst = log_kind_row(LOG_CALL_REFUSED)->burst;
    unsigned long before = log_suppressed();

    now = 1000 * USEC_PER_SEC;
    for (unsigned i = 0; i < burst + 30; i++)
        log_kind(LOG_CALL_REFUSED, "refused");
    assert_int_equal(written, burst);
    assert_int_equal(log_suppressed() - before, 30);
    log_kind(LOG_CALL_ENDED, "others are not held up");
    assert_int_equal(written, burst + 1);

    now += 60 * USEC_PER_SEC / burst;
    log_kind(LOG_CALL_REFUSED, "the next");
    assert_int_equal(written, burst + 2);
    assert_string_equal(last_suppressed, "30");
    log_kind(LOG_CALL_REFUSED, "one too many");
    assert_int_equal(written, burst + 2);

    now += 60 * USEC_PER_SEC;
    for (unsigned i = 0; i < burst; i++)
        log_kind(LOG_CALL_REFUSED, "all over again");
    assert_int_equal(written, 2 * burst + 2);
}

static void kinds_without_a_limit_are_all_written(void **state)
{
    for (unsigned i = 0; i < 1000; i++)
        log_kind(LOG_CALL_ENDED, "ended");
    assert_int_equal(written, 1000);
}

// ---- documents

static void add_wrapped(struct buf *out, const char *text, size_t width)
{
    size_t column = 0;

    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > width) {
            buf_puts(out, "\n");
            column = 0;
        } else if (column > 0) {
            buf_puts(out, " ");
            column++;
        }
        buf_add(out, text, word);
        column += word;
        text += word + (text[word] == ' ');
    }
    buf_puts(out, "\n");
}

static void write_catalogue(struct buf *out)
{
    buf_puts(out, "# SPDX-License-Identifier: ISC\n"
                  "# What \"journalctl -x\" tells of each record; written from the table in "
                  "src/base/log_kind.c.\n");
    for (unsigned i = 0; i < LOG_KIND_COUNT; i++) {
        const struct log_kind_row *row = log_kind_row(i);
        buf_printf(out,
                   "\n-- %s\nSubject: %s\nDefined-By: jingle-relayd\n"
                   "Documentation: man:jingle-relayd(8)\n\n",
                   row->id, row->subject);
        add_wrapped(out, row->help, 80);
    }
}

static void write_page(struct buf *out)
{
    static const char *const levels[] = {"", "", "", "error", "warning", "notice", "info", "debug"};

    buf_puts(
        out,
        "# Log records\n\n"
        "Each has its id in the journal: `journalctl -u jingle-relayd MESSAGE_ID=...` finds "
        "all of one kind, `journalctl -x`\nexplains each. Of some no more than a number are "
        "written a minute; how many were left out stands in the field `SUPPRESSED` of the "
        "next.\n\n"
        "| kind | level | most a minute | what it means | MESSAGE_ID |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < LOG_KIND_COUNT; i++) {
        const struct log_kind_row *row = log_kind_row(i);
        buf_printf(out, "| %s | %s | ", row->name, levels[row->level]);
        if (row->burst)
            buf_printf(out, "%u", row->burst);
        buf_printf(out, " | %s. %s | `%s` |\n", row->subject, row->help, row->id);
    }
}

static void check_document(const char *name, void (*write)(struct buf *out))
{
    const char *data = getenv("TEST_DATA");
    struct buf expected = {0};
    char path[512], text[32768];

    assert_non_null(data);
    snprintf(path, sizeof path, "%s/../../%s", data, name);
    write(&expected);
    assert_false(expected.failed);
    FILE *f = fopen(path, getenv("UPDATE_DOCS") ? "w+" : "r");
    assert_non_null(f);
    if (getenv("UPDATE_DOCS")) {
        fwrite(expected.data, 1, expected.len, f);
        rewind(f);
    }
    size_t len = fread(text, 1, sizeof text, f);
    fclose(f);
    if (len != expected.len || memcmp(text, expected.data, len) != 0)
        fail_msg("%s is not what log_kind.c says: run this with UPDATE_DOCS=1", name);
    buf_free(&expected);
}

static void documents_follow_the_table(void **state)
{
    check_document("systemd/jingle-relayd.catalog", write_catalogue);
    check_document("docs/LOGS.md", write_page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(records_have_the_level_and_id_of_their_kind, open_log),
        cmocka_unit_test(ids_are_unique),
        cmocka_unit_test_setup(floods_are_cut_and_counted, open_log),
        cmocka_unit_test_setup(kinds_without_a_limit_are_all_written, open_log),
        cmocka_unit_test(documents_follow_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
