// SPDX-License-Identifier: ISC
// The snapshot as a whole: what is written is read, and what cannot be used says why, so that the
// daemon starts without it.
#include "codec/state.h"
#include "restart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 123456789 + 1000 }; // the snapshot is a millisecond old

static char *write_one(const struct turn_server *turn, size_t *len)
{
    struct restart_parts parts = {
        .turn = turn,
        .workers = json_array(),
        .signal = state_new(),
        .calls = 7,
        .allocations = 3,
        .restarts = 41,
        .stopped = 123456789,
    };
    json_array_append_new(parts.workers, state_new());
    json_array_append_new(parts.workers, state_new());
    return restart_write(&parts, len);
}

static struct turn_server server_with(const char *made, const char *old, usec_t until)
{
    struct turn_server server = {.generated_secret = made ? strdup(made) : NULL};
    if (old)
        server.old[0] = (struct turn_old_secret){strdup(old), until};
    return server;
}

static void forget(struct turn_server *server)
{
    free(server->generated_secret);
    for (unsigned i = 0; i < TURN_OLD_SECRETS_MAX; i++)
        free(server->old[i].text);
    free(server->secret);
    *server = (struct turn_server){0};
}

static void what_is_written_is_read(void **state)
{
    struct turn_server turn = server_with("0123456789", "older", 5000);
    struct turn_server next = server_with("abcdefghij", NULL, 0);
    char *given[] = {(char[]){"the operator's own"}};
    struct config config = {.turn = {.credential_lifetime = 100, .expiry_grace = 10}};
    struct restart restart;
    const char *why;
    size_t len;
    memset(turn.turn.nonce_key, 0xa5, sizeof turn.turn.nonce_key);
    char *text = write_one(&turn, &len);
    assert_non_null(text);
    assert_int_equal(restart_read(text, len, NOW, &restart, &why), 0);
    assert_int_equal(restart.calls, 7);
    assert_int_equal(restart.allocations, 3);
    assert_int_equal(restart.restarts, 41);
    assert_int_equal(restart.stopped, 123456789);
    assert_int_equal(restart_workers(&restart), 2);
    assert_string_equal(restart.version, RELAYD_VERSION);
    assert_int_equal(restart_turn(&restart, &config, &next, 1000), 0);
    assert_memory_equal(next.turn.nonce_key, turn.turn.nonce_key, sizeof next.turn.nonce_key);
    assert_string_equal(next.generated_secret, "0123456789");
    assert_int_equal(next.turn.secrets, 2);
    assert_string_equal(next.turn.secret[0].text, "0123456789");
    assert_string_equal(next.turn.secret[1].text, "older");
    forget(&next);
    // The operator has given one: what was made is accepted for as long as it was given out.
    config.turn.secrets = (struct config_list){given, 1};
    assert_int_equal(restart_turn(&restart, &config, &next, 6000), 0);
    assert_null(next.generated_secret);
    assert_int_equal(next.turn.secrets, 2);
    assert_string_equal(next.turn.secret[0].text, given[0]);
    assert_string_equal(next.turn.secret[1].text, "0123456789");
    assert_int_equal(next.old[0].until, 6110);
    assert_null(next.old[1].text); // its time is over
    forget(&next);
    forget(&turn);
    restart_free(&restart);
    restart_free(&restart);
    free(text);
}

static void without_turn(void **state)
{
    struct turn_server next = server_with("abcdefghij", NULL, 0);
    const struct config config = {0};
    struct restart restart;
    const char *why;
    size_t len;
    char *text = write_one(NULL, &len);
    next.turn.nonce_key[1] = 2;
    assert_int_equal(restart_read(text, len, NOW, &restart, &why), 0);
    assert_int_equal(restart_turn(&restart, &config, &next, 1000), 0); // TURN is on now
    assert_int_equal(next.turn.nonce_key[1], 2);
    assert_string_equal(next.turn.secret[0].text, "abcdefghij");
    forget(&next);
    restart_free(&restart);
    free(text);
}

static void what_is_incomplete_is_not_written(void **state)
{
    size_t len;
    struct restart_parts parts = {.workers = json_array(), .signal = NULL};
    assert_null(restart_write(&parts, &len));
    parts = (struct restart_parts){.workers = NULL, .signal = state_new()};
    assert_null(restart_write(&parts, &len));
    parts = (struct restart_parts){.workers = json_array(), .signal = json_object()};
    assert_null(restart_write(&parts, &len));
}

// A snapshot with this member in the place of its own; NULL: without it.
static void refused(const char *member, const char *value, const char *reason)
{
    struct restart restart;
    const char *why = NULL;
    size_t len;
    char *text = write_one(NULL, &len);
    json_t *root = json_loadb(text, len, 0, NULL);
    free(text);
    if (value)
        json_object_set_new(root, member, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(root, member);
    text = json_dumps(root, 0);
    assert_int_equal(restart_read(text, strlen(text), NOW, &restart, &why), -EINVAL);
    if (!strstr(why, reason))
        fail_msg("%s = %s: %s", member, value ? value : "nothing", why);
    json_decref(root);
    free(text);
}

static void a_bad_snapshot_says_why(void **state)
{
    static const char *const no_json[] = {"", "{", "[]", "7", "\x01", "{\"v\":1,\"v\":1}", "null"};
    char many[257 * 3 + 2] = "[";
    struct restart restart;
    const char *why;
    for (size_t i = 0; i < sizeof no_json / sizeof *no_json; i++)
        assert_int_equal(restart_read(no_json[i], strlen(no_json[i]), NOW, &restart, &why),
                         -EINVAL);
    refused("v", NULL, "version");
    refused("v", "0", "version");
    refused("v", "99", "version");
    refused("v", "\"1\"", "version");
    refused("boot", "\"another\"", "machine");
    refused("boot", "1", "machine");
    refused("daemon", NULL, "no sense");
    refused("stopped", "\"x\"", "no sense");
    refused("calls", "-1", "no sense");
    refused("restarts", "4294967295", "no sense");
    refused("workers", NULL, "workers");
    refused("workers", "{}", "no sense");
    refused("workers", "[]", "workers");
    for (int i = 0; i < 257; i++)
        strcat(many, i ? ",1" : "1");
    refused("workers", strcat(many, "]"), "workers");
    refused("signal", NULL, "no sense");
    refused("signal", "[]", "no sense");
}

// Who wrote it saw no /proc/sys (ProcSubset=pid).
static void of_an_unknown_boot(void **state)
{
    struct restart restart;
    const char *why = NULL;
    size_t len;
    char *text = write_one(NULL, &len);
    json_t *root = json_loadb(text, len, 0, NULL);
    free(text);
    json_object_set_new(root, "boot", json_string(""));
    text = json_dumps(root, 0);
    assert_int_equal(restart_read(text, strlen(text), NOW, &restart, &why), 0);
    restart_free(&restart);
    json_decref(root);
    free(text);
}

// Nobody waits for its calls any more.
static void too_old_or_of_another_time(void **state)
{
    struct restart restart;
    const char *why = NULL;
    size_t len;
    char *text = write_one(NULL, &len);
    usec_t stopped = 123456789;
    assert_int_equal(restart_read(text, len, stopped, &restart, &why), 0);
    restart_free(&restart);
    assert_int_equal(restart_read(text, len, stopped + RESTART_AGE_MAX, &restart, &why), 0);
    restart_free(&restart);
    assert_int_equal(restart_read(text, len, stopped + RESTART_AGE_MAX + 1, &restart, &why),
                     -EINVAL);
    assert_non_null(strstr(why, "older"));
    assert_int_equal(restart_read(text, len, stopped - 1, &restart, &why), -EINVAL);
    assert_non_null(strstr(why, "time"));
    free(text);
}

// The value of a setting of the unit.
static unsigned of_the_unit(const char *name)
{
    char path[512], line[512];
    unsigned value = 0;
    snprintf(path, sizeof path, "%s/../../systemd/jingle-relayd.service", getenv("TEST_DATA"));
    FILE *unit = fopen(path, "r");
    assert_non_null(unit);
    while (fgets(line, sizeof line, unit))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == '=')
            value = (unsigned)strtoul(line + strlen(name) + 1, NULL, 10);
    (void)fclose(unit);
    assert_true(value > 0);
    return value;
}

// Starts that fail at once follow each other for as long as what was left can be used, and not for
// ever: one that takes a few seconds counts as well.
static void systemd_tries_for_as_long(void **state)
{
    unsigned attempts = of_the_unit("StartLimitBurst"), pause = of_the_unit("RestartSec");
    assert_true(attempts * pause * USEC_PER_SEC >= RESTART_AGE_MAX);
    assert_true(attempts * (pause + 3) < of_the_unit("StartLimitIntervalSec"));
}

// Cut anywhere, it is refused.
static void a_truncated_snapshot(void **state)
{
    struct restart restart;
    const char *why;
    size_t len;
    char *text = write_one(NULL, &len);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(restart_read(text, cut, NOW, &restart, &why), -EINVAL);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(without_turn),
        cmocka_unit_test(what_is_incomplete_is_not_written),
        cmocka_unit_test(a_bad_snapshot_says_why),
        cmocka_unit_test(of_an_unknown_boot),
        cmocka_unit_test(too_old_or_of_another_time),
        cmocka_unit_test(systemd_tries_for_as_long),
        cmocka_unit_test(a_truncated_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
