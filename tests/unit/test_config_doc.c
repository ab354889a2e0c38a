// SPDX-License-Identifier: ISC
// The table of configuration keys, the sample file and the documents agree. Run with UPDATE_DOCS=1
// to write the documents anew after a change of the table.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_doc.h"
#include "config_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void project_path(const char *name, char path[512])
{
    const char *data = getenv("TEST_DATA"); // tests/data
    assert_non_null(data);
    snprintf(path, 512, "%s/../../%s", data, name);
}

static char *read_file(const char *name)
{
    char path[512];
    project_path(name, path);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s cannot be opened", path);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

// Compares what stands between two markers with 'expected', or puts it there.
static void check_part(const char *name, const char *begin, const char *end, struct buf *expected)
{
    char *text = read_file(name);
    char *from = strstr(text, begin);
    assert_non_null(from);
    from += strlen(begin);
    char *to = strstr(from, end);
    assert_non_null(to);
    assert_false(expected->failed);
    if (getenv("UPDATE_DOCS")) {
        char path[512];
        project_path(name, path);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "%.*s%s%s", (int)(from - text), text, expected->data, to);
        fclose(f);
    } else if ((size_t)(to - from) != expected->len ||
               memcmp(from, expected->data, expected->len)) {
        fail_msg("%s is not what the table in config_table.c says: run this with UPDATE_DOCS=1",
                 name);
    }
    free(text);
    buf_free(expected);
}

static void documents_follow_the_table(void **state)
{
    struct buf markdown = {0};
    config_doc_markdown(&markdown);
    check_part("docs/CONFIGURATION.md", CONFIG_DOC_MARKDOWN_BEGIN, CONFIG_DOC_MARKDOWN_END,
               &markdown);
    struct buf roff = {0};
    config_doc_roff(&roff);
    check_part("docs/man/jingle-relayd.conf.5", CONFIG_DOC_ROFF_BEGIN, CONFIG_DOC_ROFF_END, &roff);
}

// Every default is a value that its key takes, and is written as --print-config writes it.
static void defaults_are_right(void **state)
{
    struct config config = {0};
    assert_int_equal(config_set_defaults(&config), 0);
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        struct buf out = {0};
        if (row->fallback) {
            row->kind->print(row, config_field(&config, row), &out);
            assert_string_equal(out.data, row->fallback);
        } else {
            assert_true(row->required || row->absent);
        }
        assert_true(row->help && row->help[0]);
        assert_true(row->min <= row->max);
        assert_ptr_equal(config_row_find(row->group, row->name), row); // no other of that name
        buf_free(&out);
    }
    config_free(&config);
}

// A file that is not on this machine, or the secret.
static bool names_file(const char *group, const char *name)
{
    const struct config_row *row = config_row_find(group, name);
    return row && (row->kind == &config_kind_path || row->kind == &config_kind_secret);
}

// What the sample gives a key: its default, but for the one whose '#' is there to be removed.
static const char *in_sample(const struct config_row *row)
{
    bool is_switch = strcmp(row->group, "turn") == 0 && strcmp(row->name, "enabled") == 0;
    return is_switch ? "true" : row->fallback;
}

// "group.name = value" of each key in the sample, in or out of a comment, becomes a line of 'keys';
// and 'whole' the sample with every key live.
static void read_sample(struct buf *keys, struct buf *whole)
{
    char *text = read_file("conf/jingle-relayd.conf");
    char group[32] = "";
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        char name[32];
        char value[128];
        const char *body = line + strspn(line, " ");
        bool comment = body[0] == '#';
        body += comment ? strspn(body, "# ") : 0;
        bool inside = line[0] == ' ';
        if (!comment && sscanf(line, "%31[a-z] = {", group) == 1)
            buf_printf(whole, "%s\n", line);
        else if (inside && sscanf(body, "%31[a-z0-9_] = %127[^;];", name, value) == 2) {
            buf_printf(keys, "%s.%s = %s\n", group, name, value);
            if (!names_file(group, name))
                buf_printf(whole, "%s\n", body);
        } else if (!comment) {
            buf_printf(whole, "%s\n", line);
        }
    }
    free(text);
}

static void the_sample_has_every_key(void **state)
{
    struct buf keys = {0};
    struct buf whole = {0};
    size_t lines = 0;
    read_sample(&keys, &whole);
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        char expected[256];
        const char *value = in_sample(row);
        snprintf(expected, sizeof(expected), "%s.%s = %s%s", row->group, row->name,
                 value ? value : "", value ? "\n" : "");
        if (!strstr(keys.data, expected))
            fail_msg("conf/jingle-relayd.conf has no \"%s\"", expected);
    }
    for (const char *p = keys.data; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, config_row_count); // and no other
    buf_free(&keys);
    buf_free(&whole);
}

// The sample as it is, but for the file of the secret; and with all that is commented out.
static void the_sample_can_be_loaded(void **state)
{
    struct buf keys = {0};
    struct buf whole = {0};
    struct config config = {0};
    struct config_errors errors = {0};
    read_sample(&keys, &whole);
    assert_int_equal(config_load_text("sample", whole.data, whole.len, &config, &errors) == 0,
                     false);
    assert_int_equal(errors.count, 1); // no secret
    assert_non_null(strstr(errors.item[0].text, "xmpp.secret_file"));
    config_errors_free(&errors);
    buf_free(&keys);
    buf_free(&whole);

    char path[512];
    project_path("conf/jingle-relayd.conf", path);
    assert_true(config_load(path, &config, &errors) <= 0);
    for (size_t i = 0; i < errors.count; i++) // the file of the secret is not here
        assert_non_null(strstr(errors.item[i].text, "xmpp.secret_file"));
    config_errors_free(&errors);
    config_free(&config);
}

// The few lines that the sample and the manual promise to be enough.
static void the_example_is_enough(void **state)
{
    char *text = read_file("docs/CONFIGURATION.md");
    const char *example = strstr(text, "xmpp = {");
    assert_non_null(example);
    const char *end = strstr(example, "```");
    assert_non_null(end);
    size_t lines = 0;
    for (const char *p = example; p < end; p++)
        lines += *p == '\n';
    assert_true(lines <= 10);
    struct config config = {0};
    struct config_errors errors = {0};
    assert_true(config_load_text("example", example, (size_t)(end - example), &config, &errors) <=
                0);
    for (size_t i = 0; i < errors.count; i++)
        assert_non_null(strstr(errors.item[i].text, "xmpp.secret_file"));
    config_errors_free(&errors);
    config_free(&config);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_follow_the_table), cmocka_unit_test(defaults_are_right),
        cmocka_unit_test(the_sample_has_every_key),   cmocka_unit_test(the_sample_can_be_loaded),
        cmocka_unit_test(the_example_is_enough),
    };
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
