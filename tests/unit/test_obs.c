// SPDX-License-Identifier: ISC
// What people are shown: verdicts, calls as JSON, counters as Prometheus text, and the page about
// the metrics. Run with UPDATE_DOCS=1 to write docs/METRICS.md anew after a change of the counters.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "obs/json.h"
#include "obs/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND USEC_PER_SEC

static struct call_report accepted_call(const struct path_view *view, unsigned views)
{
    return (struct call_report){
        .id = 0xabc,
        .sid = "s1",
        .door = "addressed",
        .state = CALL_ACTIVE,
        .jid = {"alice@example.org/phone", "bob@example.org/desk"},
        .proxy = {"alice\\40example.org@relay.example.org/phone",
                  "bob\\40example.org@relay.example.org/desk"},
        .opened = SECOND,
        .accepted = 2 * SECOND,
        .view = view,
        .views = views,
    };
}

static void verdicts_follow_what_was_seen(void **state)
{
    struct path_view view = {.call = 0xabc, .path = 1};
    struct call_report r = accepted_call(&view, 1);

    r.accepted = 0;
    assert_int_equal(call_verdict(&r, 3 * SECOND), VERDICT_CALL_SETUP);
    r.ended = 3 * SECOND;
    assert_int_equal(call_verdict(&r, 3 * SECOND), VERDICT_CALL_REFUSED);
    r = accepted_call(&view, 1);
    assert_int_equal(call_verdict(&r, 3 * SECOND), VERDICT_CALL_NO_RELAY);
    view.leg[SIDE_INITIATOR].sources = 1;
    assert_int_equal(call_verdict(&r, 3 * SECOND), VERDICT_CALL_ONE_SIDE_INITIATOR);
    view.leg[SIDE_INITIATOR].sources = 0;
    view.leg[SIDE_RESPONDER].sources = 2;
    assert_int_equal(call_verdict(&r, 3 * SECOND), VERDICT_CALL_ONE_SIDE_RESPONDER);
    view.leg[SIDE_INITIATOR].sources = 1;
    assert_int_equal(call_verdict(&r, 3 * SECOND), VERDICT_CALL_CONNECTED);
    assert_int_equal(call_verdict(&r, 8 * SECOND), VERDICT_CALL_DIRECT);
    view.leg[SIDE_INITIATOR].media_in = 5;
    assert_int_equal(call_verdict(&r, 8 * SECOND), VERDICT_CALL_NO_MEDIA_RESPONDER);
    view.leg[SIDE_INITIATOR].media_in = 0;
    view.leg[SIDE_RESPONDER].media_in = 5;
    assert_int_equal(call_verdict(&r, 8 * SECOND), VERDICT_CALL_NO_MEDIA_INITIATOR);
    view.leg[SIDE_INITIATOR].media_in = 5;
    view.leg[SIDE_INITIATOR].last_media = 4 * SECOND;
    assert_int_equal(call_verdict(&r, 14 * SECOND), VERDICT_CALL_CARRIED);
    assert_int_equal(call_verdict(&r, 14 * SECOND + 1), VERDICT_CALL_LEFT);
    for (int v = 0; v < VERDICT_CALL_COUNT; v++)
        assert_true(strlen(call_verdict_text((enum call_verdict)v)) > 3);
}

static const char *text_at(const json_t *json, const char *outer, const char *inner)
{
    return json_string_value(json_object_get(json_object_get(json, outer), inner));
}

static void a_call_is_told_whole(void **state)
{
    struct path_view view = {.call = 0xabc, .path = 7, .mode = PATH_ICE};
    const struct candidate_report candidate = {"host", "udp", "192.0.2.1 port 5000"};
    const struct content_report content = {.name = "audio",
                                           .media = "audio",
                                           .transport = "urn:x",
                                           .accepted = true,
                                           .path = {7, 0},
                                           .candidates = {&candidate, NULL},
                                           .candidate_count = {1, 0}};
    struct call_report r = accepted_call(&view, 1);
    struct leg_view *leg = &view.leg[SIDE_INITIATOR];
    json_t *json, *path, *one;

    r.content = &content;
    r.contents = 1;
    r.first_media = 2500 * USEC_PER_MSEC;
    leg->sources = 1;
    leg->source[0] = (struct source_view){.selected = true, .verified = true, .last_seen = SECOND};
    assert_int_equal(addr_parse_ip("198.51.100.9", 4242, &leg->source[0].addr), 0);
    leg->port[0] = leg->source[0].addr;
    leg->rtt = 12500;
    leg->media_in = 100;
    leg->qualities = 1;
    leg->quality[0] = (struct quality_view){.ssrc = 77, .received = 100, .lost = 3};

    json = call_to_json(&r, true, (struct clock_offset){1000000000LL * 1000000}, 4 * SECOND);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "id")), "0000000000000abc");
    assert_string_equal(text_at(json, "initiator", "jid"), "alice@example.org/phone");
    assert_string_equal(json_string_value(json_object_get(json, "opened")),
                        "2001-09-09T01:46:41.000Z");
    assert_true(json_real_value(json_object_get(json, "setup_ms")) == 1500.0);
    assert_true(json_is_null(json_object_get(json, "ended")));
    assert_int_equal(json_integer_value(json_object_get(json, "lost_before_relay_from_initiator")),
                     3);
    path = json_array_get(json_object_get(json, "paths"), 0);
    one = json_array_get(json_object_get(json_object_get(path, "initiator"), "sources"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "address")), "198.51.100.9:4242");
    one = json_array_get(json_object_get(json, "contents"), 0);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(one, "paths"), 0)), 7);
    one =
        json_array_get(json_object_get(json_object_get(one, "candidates_offered"), "initiator"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "address")), "192.0.2.1 port 5000");
    json_decref(json);

    json = call_to_json(&r, false, (struct clock_offset){0}, 4 * SECOND);
    assert_null(json_object_get(json, "paths"));
    json_decref(json);
}

static void counters_are_summed_over_threads(void **state)
{
    static struct counters slab[2];
    const struct counters *all[] = {&slab[0], &slab[1]};
    struct histogram setup = {0}, divert = {0};
    const struct metrics m = {.slab = all,
                              .slabs = 2,
                              .setup = &setup,
                              .divert = &divert,
                              .worker = all + 1,
                              .workers = 1};
    struct buf out = {0};

    counter_add(&slab[0], COUNTER_PACKETS_IN, 40);
    counter_add(&slab[1], COUNTER_PACKETS_IN, 2);
    counter_add(&slab[1], COUNTER_WORKER_BUSY_USEC, 2500000);
    histogram_add(&setup, 50 * USEC_PER_MSEC); // on the bound: inside
    histogram_add(&setup, 51 * USEC_PER_MSEC);
    histogram_add(&setup, 60 * SECOND); // beyond the last
    metrics_write(&m, &out);
    assert_false(out.failed);
    assert_non_null(strstr(out.data, "\njingle_relay_packets_received_total 42\n"));
    assert_non_null(strstr(out.data, "setup_seconds_bucket{le=\"0.05\"} 1\n"));
    assert_non_null(strstr(out.data, "setup_seconds_bucket{le=\"0.1\"} 2\n"));
    assert_non_null(strstr(out.data, "setup_seconds_bucket{le=\"10\"} 2\n"));
    assert_non_null(strstr(out.data, "setup_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.data, "worker_busy_seconds_total{worker=\"0\"} 2.5\n"));
    buf_free(&out);
}

// Each metric has one HELP and one TYPE line, and all its rows stand together.
static void the_text_is_well_formed(void **state)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        bool first = i == 0 || strcmp(counter_rows[i].name, counter_rows[i - 1].name) != 0;

        assert_int_equal(first, counter_rows[i].help[0] != 0);
        for (int k = 0; first && k < i; k++)
            assert_string_not_equal(counter_rows[k].name, counter_rows[i].name);
    }
}

static void describe(struct buf *out)
{
    buf_puts(out,
             "# Metrics\n\nAt `/metrics` of the stats endpoint, each with the prefix "
             "`jingle_relay_`. Beside these: `build_info`, `uptime_seconds`,\n"
             "`setup_seconds` (a histogram, from the offer of a call to the first packet "
             "carried), `divert_seconds` (another, of what servers wait\nfor stanzas that they "
             "have diverted) and `worker_busy_seconds_total` by worker.\n\n"
             "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (int i = 0; i < COUNTER_COUNT; i++) {
        const struct counter_row *row = &counter_rows[i];

        buf_printf(out, "| %s | %s | %s | %s |\n", row->help[0] ? row->name : "",
                   row->help[0] ? (row->type == COUNTER_TYPE_GAUGE ? "gauge" : "counter") : "",
                   row->labels, row->help);
    }
}

static void the_page_follows_the_table(void **state)
{
    const char *data = getenv("TEST_DATA");
    char path[512], *text = calloc(1, 1 << 16);
    struct buf expected = {0};
    FILE *f;

    assert_non_null(data);
    assert_non_null(text);
    snprintf(path, sizeof path, "%s/../../docs/METRICS.md", data);
    describe(&expected);
    assert_false(expected.failed);
    f = fopen(path, getenv("UPDATE_DOCS") ? "w+" : "r");
    assert_non_null(f);
    if (getenv("UPDATE_DOCS"))
        assert_int_equal(fwrite(expected.data, 1, expected.len, f), expected.len);
    rewind(f);
    assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    assert_string_equal(text, expected.data);
    buf_free(&expected);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_follow_what_was_seen),
        cmocka_unit_test(a_call_is_told_whole),
        cmocka_unit_test(counters_are_summed_over_threads),
        cmocka_unit_test(the_text_is_well_formed),
        cmocka_unit_test(the_page_follows_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
