// SPDX-License-Identifier: ISC
// Records of calls and allocations: the lines and their times, rotation, files that cannot be
// opened or written, and what is too much.
#include "records.h"

#include "base/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW    (2000 * USEC_PER_SEC)
#define OPENED (1000 * USEC_PER_SEC)

static const struct clock_offset clock_1970 = {0};
static atomic_uint complaints;

static void on_log(void *ctx, enum log_level level, const char *message,
                   const struct log_field *field, size_t fields)
{
    (void)ctx;
    (void)field;
    (void)fields;
    if (level == LOG_LEVEL_ERR && strstr(message, "log.records"))
        atomic_fetch_add(&complaints, 1);
}

struct place {
    char directory[64];
    char path[96], other[96];
};

static int make(void **state)
{
    static struct place place;
    const struct log_sink sink = {.max = LOG_LEVEL_ERR, .write = on_log};

    snprintf(place.directory, sizeof place.directory, "/tmp/test_records.XXXXXX");
    assert_non_null(mkdtemp(place.directory));
    snprintf(place.path, sizeof place.path, "%s/records", place.directory);
    snprintf(place.other, sizeof place.other, "%s/other", place.directory);
    atomic_store(&complaints, 0);
    log_set_sink(&sink);
    *state = &place;
    return 0;
}

static int clean(void **state)
{
    struct place *place = *state;

    log_set_sink(NULL);
    unlink(place->path);
    unlink(place->other);
    return rmdir(place->directory);
}

static json_t *line_of(const char *path, unsigned number)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    json_t *json;

    assert_non_null(file);
    do
        assert_non_null(fgets(text, sizeof text, file));
    while (number-- > 0);
    fclose(file);
    assert_int_equal(text[strlen(text) - 1], '\n');
    json = json_loads(text, 0, NULL);
    assert_non_null(json);
    return json;
}

static unsigned lines_of(const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned count = 0;

    for (int c; file && (c = fgetc(file)) != EOF;)
        count += c == '\n';
    if (file)
        fclose(file);
    return count;
}

static void put(struct records *records, const char *text)
{
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    records_call(records, json, OPENED, NOW);
    json_decref(json);
}

// Until the thread has done its work with so many.
static void settle(const struct records *records, uint64_t count)
{
    const struct timespec step = {.tv_nsec = 1000000};

    while (records_written(records) + records_lost(records) < count)
        nanosleep(&step, NULL);
    assert_int_equal(records_written(records) + records_lost(records), count);
}

// ---- lines

static void a_call_is_a_line_with_its_times(void **state)
{
    const struct place *place = *state;
    struct records *records;
    json_t *expected, *line;
    struct stat about;

    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    put(records,
        "{\"id\": \"0a\", \"duration_ms\": 5, \"steps\": [{\"what\": \"asked\", \"at_ms\": "
        "1500}], \"paths\": [{\"initiator\": {\"sources\": [{\"last_seen_ms_ago\": 2500, "
        "\"address\": null}], \"last_check_ms_ago\": null}}]}");
    records_free(records);
    expected = json_loads(
        "{\"record\": \"call\", \"id\": \"0a\", \"duration_ms\": 5, \"steps\": [{\"what\": "
        "\"asked\", \"at\": \"1970-01-01T00:16:41.500Z\"}], \"paths\": [{\"initiator\": "
        "{\"sources\": [{\"last_seen\": \"1970-01-01T00:33:17.500Z\", \"address\": null}], "
        "\"last_check\": null}}]}",
        0, NULL);
    line = line_of(place->path, 0);
    assert_true(json_equal(line, expected));
    json_decref(line);
    json_decref(expected);
    assert_int_equal(stat(place->path, &about), 0);
    assert_int_equal(about.st_mode & 07, 0); // not for everybody
}

static void an_allocation_is_a_line(void **state)
{
    const struct place *place = *state;
    const struct turn_view view = {
        .username = "2000:alice@example.org",
        .identity = "alice@example.org",
        .client = {.remote = {.ip = {192, 0, 2, 1}, .port = 5000, .family = FAMILY_V4}},
        .relayed = {{.ip = {198, 51, 100, 1}, .port = 50000, .family = FAMILY_V4}},
        .opened = OPENED,
        .expires = NOW + USEC_PER_SEC,
        .packets_in = 3,
        .bytes_in = 300,
    };
    struct records *records;
    json_t *line;

    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    records_allocation(records, &view, "expired", NOW);
    records_free(records);
    line = line_of(place->path, 0);
    assert_string_equal(json_string_value(json_object_get(line, "record")), "allocation");
    assert_string_equal(json_string_value(json_object_get(line, "identity")), "alice@example.org");
    assert_string_equal(json_string_value(json_object_get(line, "end_reason")), "expired");
    assert_string_equal(json_string_value(json_object_get(line, "opened")),
                        "1970-01-01T00:16:40.000Z");
    assert_string_equal(json_string_value(json_object_get(line, "ended")),
                        "1970-01-01T00:33:20.000Z");
    assert_null(json_object_get(line, "expires_s"));
    json_decref(line);
}

static void lines_are_added_to_what_is_there(void **state)
{
    const struct place *place = *state;
    struct records *records;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(records_new(place->path, clock_1970, &records), 0);
        for (int k = 0; k < 100; k++)
            put(records, "{\"id\": \"0a\"}");
        records_free(records); // what waits is written
    }
    assert_int_equal(lines_of(place->path), 300);
}

// ---- files

static void a_rotated_file_is_left(void **state)
{
    const struct place *place = *state;
    struct records *records;

    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    put(records, "{}");
    settle(records, 1);
    assert_int_equal(rename(place->path, place->other), 0);
    put(records, "{}");
    settle(records, 2);
    assert_int_equal(lines_of(place->other), 2);
    assert_int_equal(records_open(records, place->path), 0);
    put(records, "{}");
    settle(records, 3);
    assert_int_equal(lines_of(place->other), 2);
    assert_int_equal(lines_of(place->path), 1);
    records_free(records);
}

// What the reader of a FIFO has not taken yet.
static size_t drain(int reader, char *text, size_t size)
{
    ssize_t n;
    size_t len = 0;

    while (len < size - 1 && (n = read(reader, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return len;
}

// A FIFO took the beginning of a record; then the configuration is read again, and there is room.
static void a_torn_line_takes_no_other_along(void **state)
{
    const struct place *place = *state;
    static char text[1 << 20], record[60000];
    struct records *records;
    int reader;

    assert_int_equal(mkfifo(place->path, 0600), 0);
    reader = open(place->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    snprintf(record, sizeof record, "{\"id\": \"%050000d\"}", 7);
    for (int i = 0; i < 40; i++)
        put(records, record);
    settle(records, 40);
    assert_true(records_lost(records) > 0);
    assert_true(drain(reader, text, sizeof text) > 0);
    assert_int_not_equal(text[strlen(text) - 1], '\n'); // torn it is
    assert_int_equal(records_open(records, place->path), 0);
    put(records, "{}");
    settle(records, 41);
    drain(reader, text, sizeof text);
    assert_string_equal(text, "\n{\"record\":\"call\"}\n");
    records_free(records);
    close(reader);
}

// The disk is full within a record, and the file is rotated: the next one begins with a record.
static void a_torn_line_stays_in_its_file(void **state)
{
    const struct place *place = *state;
    const struct rlimit small = {100, RLIM_INFINITY}, large = {RLIM_INFINITY, RLIM_INFINITY};
    struct records *records;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 10; i++)
        put(records, "{\"id\": \"0a\"}");
    settle(records, 10);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &large), 0);
    assert_true(records_lost(records) > 0);
    assert_int_equal(rename(place->path, place->other), 0);
    assert_int_equal(records_open(records, place->path), 0);
    put(records, "{}");
    settle(records, 11);
    records_free(records);
    json_decref(line_of(place->path, 0));
    assert_int_equal(lines_of(place->path), 1);
}

static void none_is_nothing(void **state)
{
    const struct place *place = *state;
    struct records *records;

    records_call(NULL, NULL, OPENED, NOW);
    assert_int_equal(records_new("none", clock_1970, &records), 0);
    put(records, "{}");
    assert_int_equal(records_open(records, place->path), 0);
    put(records, "{}");
    settle(records, 1);
    assert_int_equal(records_open(records, "none"), 0);
    put(records, "{}");
    records_free(records);
    assert_int_equal(lines_of(place->path), 1);
    assert_int_equal(atomic_load(&complaints), 0);
}

static void what_cannot_be_opened_is_said_once(void **state)
{
    const struct place *place = *state;
    struct records *records;
    char path[128];

    snprintf(path, sizeof path, "%s/nothing/records", place->directory);
    assert_int_equal(records_new(path, clock_1970, &records), 0);
    for (int i = 0; i < 10; i++)
        put(records, "{}");
    settle(records, 10);
    assert_int_equal(records_lost(records), 10);
    assert_int_equal(atomic_load(&complaints), 1);
    assert_int_equal(records_open(records, place->path), 0); // repaired
    put(records, "{}");
    settle(records, 11);
    assert_int_equal(records_written(records), 1);
    records_free(records);
}

static void a_full_disk_is_said_once(void **state)
{
    const struct place *place = *state;
    struct records *records;

    assert_int_equal(records_new("/dev/full", clock_1970, &records), 0);
    for (int i = 0; i < 10; i++)
        put(records, "{}");
    settle(records, 10);
    assert_int_equal(records_lost(records), 10);
    assert_int_equal(atomic_load(&complaints), 1);
    records_free(records);
    assert_int_equal(lines_of(place->path), 0);
}

// A reader that does not read: what is more than the queue holds is lost, and nobody waits for it.
static void nobody_waits_for_a_slow_reader(void **state)
{
    const struct place *place = *state;
    struct records *records;
    char *text = malloc(60000);
    int reader;

    assert_non_null(text);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    reader = open(place->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    snprintf(text, 60000, "{\"id\": \"%050000d\"}", 7);
    for (int i = 0; i < 50; i++)
        put(records, text);
    settle(records, 50);
    assert_in_range(records_lost(records), 40, 50);
    records_free(records);
    close(reader);
    free(text);
}

static void what_is_too_long_is_lost(void **state)
{
    const struct place *place = *state;
    char *text = malloc(RECORDS_LONGEST + 64);
    struct records *records;

    assert_non_null(text);
    snprintf(text, RECORDS_LONGEST + 64, "{\"id\": \"%0*d\"}", RECORDS_LONGEST, 7);
    assert_int_equal(records_new(place->path, clock_1970, &records), 0);
    put(records, text);
    put(records, "{}");
    records_free(records);
    assert_int_equal(lines_of(place->path), 1);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_is_a_line_with_its_times),
        TEST(an_allocation_is_a_line),
        TEST(lines_are_added_to_what_is_there),
        TEST(a_rotated_file_is_left),
        TEST(a_torn_line_takes_no_other_along),
        TEST(a_torn_line_stays_in_its_file),
        TEST(none_is_nothing),
        TEST(what_cannot_be_opened_is_said_once),
        TEST(a_full_disk_is_said_once),
        TEST(nobody_waits_for_a_slow_reader),
        TEST(what_is_too_long_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
