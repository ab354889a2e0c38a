// SPDX-License-Identifier: ISC
// No key of the configuration is read for nothing: each changes what some part of the daemon is
// given.
#include "base/buf.h"
#include "config_table.h"
#include "config_use.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *group, *name, *value; // other than the default
} changes[] = {
    {"relay", "address4", "\"192.0.2.1\""},
    {"relay", "address6", "\"2001:db8::1\""},
    {"relay", "advertise4", "\"192.0.2.2\""},
    {"relay", "advertise6", "\"2001:db8::2\""},
    {"relay", "ports", "\"50000-50998\""},
    {"relay", "policy", "\"relay-only\""},
    {"relay", "workers", "3"},
    {"relay", "allow_peers", "[ \"10.0.0.0/8\" ]"},
    {"relay", "quarantine", "\"11 s\""},
    {"limits", "calls", "499"},
    {"limits", "calls_per_user", "3"},
    {"limits", "new_calls_per_minute", "9"},
    {"limits", "bandwidth_per_call", "\"1 bit/s\""},
    {"limits", "stanza_candidates", "63"},
    {"limits", "proposal_timeout", "\"2 min\""},
    {"limits", "ring_timeout", "\"2 min\""},
    {"limits", "answer_timeout", "\"14 s\""},
    {"limits", "media_timeout", "\"2 min\""},
    {"limits", "call_duration", "\"1 h\""},
    {"limits", "learning_window", "\"9 s\""},
};

// Keys that main() and the connection use as they stand.
static const char *const elsewhere[] = {"xmpp.server", "xmpp.port",    "xmpp.secret_file",
                                        "xmpp.secret", "stats.listen", "log.level",
                                        "log.target",  "xmpp.domain",  "xmpp.served_domains"};

static int find_address(enum family family, struct addr *ret_addr)
{
    return addr_parse_ip(family == FAMILY_V4 ? "198.51.100.1" : "2001:db8:5::1", 0, ret_addr);
}

static void load(const char *group, const char *name, const char *value, struct config *ret_config)
{
    struct config_errors errors = {0};
    struct buf text = {0};

    buf_puts(&text, "xmpp = { domain = \"relay.example.org\"; secret = \"0123456789abcdef0123\"; "
                    "served_domains = [ \"example.org\", \"example.net\" ]; };\n");
    if (group)
        buf_printf(&text, "%s = { %s = %s; };\n", group, name, value);
    assert_int_equal(config_load_text("t", text.data, text.len, ret_config, &errors), 0);
    assert_int_equal(config_resolve_addresses(ret_config, find_address, &errors), 0);
    config_errors_free(&errors);
    buf_free(&text);
}

static void put_addr(struct buf *out, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];

    buf_printf(out, "%s ", addr_format(addr, text));
}

static void put_relay(struct buf *out, const struct relay_config *r)
{
    for (int i = 0; i < 2; i++) {
        put_addr(out, &r->bind[i]);
        put_addr(out, &r->advertise[i]);
    }
    buf_printf(out, "%u %u ", r->port_min, r->port_max);
    for (size_t i = 0; i < r->allow.count; i++) {
        put_addr(out, &r->allow.item[i].net);
        buf_printf(out, "/%u ", r->allow.item[i].bits);
    }
    buf_printf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", r->limits.quarantine,
               r->limits.silence, r->limits.learning_window);
}

static void put_signal(struct buf *out, const struct signal_config *s)
{
    const struct calls_limits *c = &s->calls;

    buf_printf(out, "%s ", s->domain);
    for (size_t i = 0; i < s->served_count; i++)
        buf_printf(out, "%s ", s->served[i]);
    buf_printf(out, "%d %d %d %u %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", s->policy, s->family_v4,
               s->family_v6, s->candidates_max, s->bytes_per_second, s->answer_timeout,
               s->proposal_timeout);
    buf_printf(out, "%u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
               c->calls, c->calls_per_user, c->new_calls_per_minute, c->setup_timeout,
               c->ring_timeout, c->media_timeout, c->idle_timeout, c->duration);
}

// Everything that the parts are given, as text; free() it.
static char *use(const struct config *config)
{
    struct relay_config relay = config_for_relay(config);
    struct signal_config signal = config_for_signal(config);
    struct buf out = {0};

    put_relay(&out, &relay);
    put_signal(&out, &signal);
    buf_printf(&out, "%u workers\n", config_workers(config, 2));
    return buf_take(&out);
}

static char *use_of(const char *group, const char *name, const char *value)
{
    struct config config;

    load(group, name, value, &config);
    char *text = use(&config);
    config_free(&config);
    assert_non_null(text);
    return text;
}

static void every_key_bites(void **state)
{
    char *usual = use_of(NULL, NULL, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char *changed = use_of(changes[i].group, changes[i].name, changes[i].value);
        if (strcmp(changed, usual) == 0)
            fail_msg("%s.%s changes nothing", changes[i].group, changes[i].name);
        free(changed);
    }
    free(usual);
}

static bool is_covered(const struct config_row *row)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%s", row->group, row->name);
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (strcmp(elsewhere[i], name) == 0)
            return true;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (strcmp(changes[i].group, row->group) == 0 && strcmp(changes[i].name, row->name) == 0)
            return true;
    return false;
}

static void no_key_is_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_row_count; i++)
        if (!is_covered(&config_rows[i]))
            fail_msg("%s.%s: add it to this test", config_rows[i].group, config_rows[i].name);
}

static void values_arrive_in_their_units(void **state)
{
    struct config config;

    (void)state;
    load("limits", "bandwidth_per_call", "\"2 Mbit/s\"", &config);
    assert_int_equal(config_for_signal(&config).bytes_per_second, 250000);
    config_free(&config);
    load("limits", "bandwidth_per_call", "\"1 bit/s\"", &config);
    assert_int_equal(config_for_signal(&config).bytes_per_second, 1); // 0 would be no limit
    config_free(&config);
    load("limits", "media_timeout", "\"3 s\"", &config);
    // The relay's wait and the call's are one after the other.
    assert_int_equal(config_for_relay(&config).limits.silence +
                         config_for_signal(&config).calls.media_timeout,
                     3 * USEC_PER_SEC);
    config_free(&config);
    load("limits", "media_timeout", "\"none\"", &config);
    assert_int_equal(config_for_relay(&config).limits.silence, 0);
    assert_int_equal(config_for_signal(&config).calls.media_timeout, 0);
    config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_bites),
        cmocka_unit_test(no_key_is_left_out),
        cmocka_unit_test(values_arrive_in_their_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
