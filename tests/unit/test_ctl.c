// SPDX-License-Identifier: ISC
// jingle-relayctl against a control socket with canned answers: what it prints, how it ends, and
// that its documents know every command.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control.h"
#include "ctl.h"

#include <event2/thread.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char directory[32], path[64];
    struct event_base *base;
    struct counters counters;
    struct verbs *verbs;
    struct control *control;
    pthread_t thread;
    atomic_bool connected, draining, ill;
};

// ---- the daemon, in a thread of its own

static json_t *on_status(void *ctx)
{
    struct fixture *f = ctx;

    return json_pack(
        "{s:s, s:s, s:{s:b}, s:b, s:i, s:{s:{s:i}, s:{s:i}}, s:{s:i}, s:{s:f, s:f}, s:{s:b, "
        "s:[{s:b, s:s}]}}",
        "version", "7", "domain", "relay.example.org", "component", "connected",
        (int)atomic_load(&f->connected), "draining", (int)atomic_load(&f->draining), "uptime_ms",
        3723000, "calls", "addressed", "active", 2, "diverted", "active", 1, "turn", "allocations",
        5, "capacity", "load", 0.25, "bits_per_second", 1.5e6, "selftest", "ok",
        (int)!atomic_load(&f->ill), "findings", "ok", (int)!atomic_load(&f->ill), "text",
        "the echo did not come back");
}

static void on_kick(void *ctx, unsigned long long call, const char *user, struct verb_reply reply)
{
    (void)ctx;
    if (user && strncmp(user, "nobody@", 7) == 0)
        verb_fail(reply, "nobody of that name has a call or a TURN allocation here");
    else if (user || call == 0xff)
        verb_answer(reply, json_pack("{s:i, s:i}", "calls", 1, "allocations", user ? 3 : 0));
    else
        verb_fail(reply, "no such call is running");
}

static void on_drain(void *ctx, const char *mode, struct verb_reply reply)
{
    struct fixture *f = ctx;
    bool on = strcmp(mode, "off") != 0;

    atomic_store(&f->draining, on);
    verb_answer(reply, json_pack("{s:b, s:b, s:i, s:i, s:{s:i, s:i}}", "draining", on, "ends",
                                 strcmp(mode, "on") == 0, "calls", 2, "allocations", 5, "estimate",
                                 "likely_s", 90, "nearly_sure_s", 4000));
}

static void on_reload(void *ctx, struct verb_reply reply)
{
    (void)ctx;
    verb_answer(reply, json_pack("{s:[s], s:[s], s:[s]}", "applied", "limits.calls", "restart",
                                 "relay.ports", "warnings", "a\033[31mwarning"));
}

static void on_rotate(void *ctx, struct verb_reply reply)
{
    (void)ctx;
    verb_answer(reply, json_pack("{s:i, s:[s]}", "old_accepted_s", 86400, "tell", "write it down"));
}

static void *serve(void *arg)
{
    event_base_loop(arg, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct verbs_world world = {.ctx = f,
                                      .status = on_status,
                                      .kick = on_kick,
                                      .drain = on_drain,
                                      .reload = on_reload,
                                      .rotate = on_rotate};

    assert_non_null(f);
    *state = f;
    atomic_store(&f->connected, true);
    strcpy(f->directory, "/tmp/test_ctl.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/control", f->directory);
    assert_int_equal(evthread_use_pthreads(), 0);
    f->base = event_base_new();
    assert_int_equal(verbs_new(&world, &f->verbs), 0);
    assert_int_equal(control_new(f->base, f->path, f->verbs, &f->counters, &f->control), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f->base), 0);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;

    event_base_loopbreak(f->base);
    pthread_join(f->thread, NULL);
    verbs_free(f->verbs);
    control_free(f->control);
    event_base_free(f->base);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

// ---- the tool

struct said {
    int status;
    char out[16384], err[4096];
};

// The words of a command line, by spaces.
static const struct said *ctl(const struct fixture *f, const char *line)
{
    static struct said said;
    char program[] = "jingle-relayctl", option[] = "--socket", path[64];
    char copy[256], *rest = copy, *argv[16] = {program, option, path};
    int argc = 3;

    snprintf(path, sizeof path, "%s", f->path);
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strsep(&rest, " "); word && argc < 15; word = strsep(&rest, " "))
        argv[argc++] = word;
    FILE *out = fmemopen(said.out, sizeof said.out, "w"),
         *err = fmemopen(said.err, sizeof said.err, "w");
    assert_non_null(out);
    assert_non_null(err);
    memset(&said, 0, sizeof said);
    said.status = ctl_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
    return &said;
}

static void expect(const struct fixture *f, const char *line, int status, const char *part)
{
    const struct said *said = ctl(f, line);

    if (said->status != status || !strstr(said->out, part))
        fail_msg("%s ends with %d: %s%s", line, said->status, said->out, said->err);
    assert_null(strchr(said->out, '\033'));
}

static void expect_refusal(const struct fixture *f, const char *line, int status, const char *part)
{
    const struct said *said = ctl(f, line);

    if (said->status != status || !strstr(said->err, part))
        fail_msg("%s ends with %d: %s%s", line, said->status, said->out, said->err);
    assert_null(strchr(said->err, '\033'));
}

static void every_answer_is_printed(void **state)
{
    struct fixture *f = *state;

    expect(f, "status", CTL_OK, "relay.example.org (jingle-relayd 7), up for 1 h 02 min");
    expect(f, "status", CTL_OK, "traffic        1.5 Mbit/s");
    expect(f, "status", CTL_OK, "calls          3 active");
    expect(f, "kick ff", CTL_OK, "Ended: 1 calls, 0 TURN allocations.");
    expect(f, "kick alice@example.org", CTL_OK, "Ended: 1 calls, 3 TURN allocations.");
    expect(f, "drain", CTL_OK, "over in 1 min 30 s, nearly surely in 1 h 06 min");
    expect(f, "drain", CTL_OK, "The daemon ends after the last.");
    expect(f, "status", CTL_OK, "DRAINING");
    expect(f, "drain stay", CTL_OK, "The daemon goes on running.");
    expect(f, "drain off", CTL_OK, "New calls are taken again.");
    expect(f, "reload", CTL_OK, "In force now:\n  limits.calls\n");
    expect(f, "reload", CTL_OK, "a?[31mwarning"); // what could steer a terminal cannot
    expect(f, "secrets rotate", CTL_OK, "good for another 24 h 00 min");
}

static void json_is_what_came(void **state)
{
    struct fixture *f = *state;
    static const char *const lines[] = {"--json status", "-j kick ff", "drain stay --json",
                                        "reload -j", "secrets rotate --json"};

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const struct said *said = ctl(f, lines[i]);
        json_t *json = json_loads(said->out, 0, NULL);

        assert_int_equal(said->status, CTL_OK);
        assert_true(json_is_object(json));
        json_decref(json);
    }
}

static void how_it_ends_is_for_scripts(void **state)
{
    struct fixture *f = *state;

    atomic_store(&f->connected, false);
    expect(f, "status", CTL_PROBLEM, "NOT CONNECTED");
    expect(f, "--json status", CTL_PROBLEM, "\"connected\": false");
    atomic_store(&f->connected, true);
    atomic_store(&f->ill, true);
    expect(f, "status", CTL_PROBLEM, "the echo did not come back");
    expect(f, "-j status", CTL_PROBLEM, "selftest");
    expect_refusal(f, "kick 1", CTL_PROBLEM, "no such call is running");
    expect_refusal(f, "kick nobody@example.org", CTL_PROBLEM, "nobody of that name");
    expect_refusal(f, "kick x", CTL_PROBLEM, "neither the id of a call");
    expect_refusal(f, "kick \033[31m", CTL_PROBLEM, "\"?[31m\" is neither");
    expect_refusal(f, "kick", CTL_USAGE, "Usage: jingle-relayctl kick CALL|USER");
    expect_refusal(f, "kick a b", CTL_USAGE, "Usage");
    expect_refusal(f, "statis", CTL_USAGE, "did you mean \"status\"?");
    expect_refusal(f, "zzzzzzzzz", CTL_USAGE, "there is no command");
    expect_refusal(f, "--frobnicate status", CTL_USAGE, "unknown option");
    expect_refusal(f, "status --socket", CTL_USAGE, "needs a path");
    expect_refusal(f, "top 99", CTL_USAGE, "1 to 30 seconds");
    expect_refusal(f, "--socket /nowhere/at/all status", CTL_UNREACHABLE, "systemctl");
    expect(f, "--version", CTL_OK, "jingle-relayctl ");
    expect(f, "--help", CTL_OK, "secrets rotate");
    expect(f, "help", CTL_OK, "secrets rotate");
    expect_refusal(f, "calls extra", CTL_USAGE, "Usage: jingle-relayctl calls\n");
    expect_refusal(f, "setup", CTL_USAGE, "--turn");
}

static void values_are_for_people(void **state)
{
    char text[CTL_VALUE_MAX];

    assert_string_equal(ctl_duration(0, text), "0 s");
    assert_string_equal(ctl_duration(59.9, text), "59 s");
    assert_string_equal(ctl_duration(61, text), "1 min 01 s");
    assert_string_equal(ctl_duration(3600 * 50, text), "2 days");
    assert_string_equal(ctl_rate(999, text), "999 bit/s");
    assert_string_equal(ctl_rate(64000, text), "64 kbit/s");
    assert_string_equal(ctl_bytes(1234567, text), "1.2 MB");
    assert_string_equal(ctl_clock("2026-11-23T07:41:18.123Z", text), "07:41:18");
    assert_string_equal(ctl_clock("", text), "-");
}

// Widths count characters, and the last column has nothing behind it.
static void tables_are_aligned(void **state)
{
    char out[512] = "";
    struct ctl ctl = {.out = fmemopen(out, sizeof out, "w")};
    struct ctl_table table = {.columns = 3, .head = {"A", "NUMBER", "C"}, .right = {[1] = true}};

    assert_non_null(ctl.out);
    ctl_table_add(&table, "%s", "\xc3\xa4\xc3\xb6\xc3\xbc"); // three letters of two bytes
    ctl_table_add(&table, "%d", 7);
    ctl_table_add(&table, "x\ny");
    ctl_table_print(&ctl, &table);
    ctl_table_free(&table);
    fclose(ctl.out);
    assert_string_equal(out, "A    NUMBER  C\n\xc3\xa4\xc3\xb6\xc3\xbc       7  x?y\n");
}

static char *read_file(const char *name)
{
    char path[512];
    char *text = calloc(1, 1 << 18);

    snprintf(path, sizeof path, "%s/../../%s", getenv("TEST_DATA"), name);
    FILE *f = fopen(path, "r");
    if (!f || !text)
        fail_msg("%s cannot be read", path);
    assert_true(fread(text, 1, (1 << 18) - 1, f) > 0);
    fclose(f);
    return text;
}

static void documents_know_every_command(void **state)
{
    static const char *const names[] = {"docs/man/jingle-relayctl.8", "conf/completion/bash",
                                        "conf/completion/zsh", "conf/completion/fish"};

    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        char *text = read_file(names[n]);

        for (size_t i = 0; i < ctl_command_count; i++)
            if (!strstr(text, ctl_commands[i].name))
                fail_msg("%s does not know %s", names[n], ctl_commands[i].name);
        free(text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_answer_is_printed),        TEST(json_is_what_came),
        TEST(how_it_ends_is_for_scripts),     cmocka_unit_test(values_are_for_people),
        cmocka_unit_test(tables_are_aligned), cmocka_unit_test(documents_know_every_command),
    };
    unsetenv("JINGLE_RELAYD_SOCKET");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
