// SPDX-License-Identifier: ISC
// No key of the configuration is read for nothing: each changes what some part of the daemon is
// given, at the start and, where its row says so, when the file is read again.
#include "base/buf.h"
#include "config_change.h"
#include "config_kind.h"
#include "config_table.h"
#include "config_use.h"
#include "platform/udp.h"
#include "turn_server.h"
#include "unit/lib_certificate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define TLS "; certificate = \"@/cert.pem\"; key = \"@/key.pem\""

// '@' stands for the directory of the files.
static const struct {
    const char *group, *name, *value; // other than the default; more keys may follow it
} changes[] = {
    {"relay", "address4", "\"192.0.2.1\""},
    {"relay", "address6", "\"2001:db8::1\""},
    {"relay", "advertise4", "\"192.0.2.2\""},
    {"relay", "advertise6", "\"2001:db8::2\""},
    {"relay", "ports", "\"50000-50998\""},
    {"relay", "ice_ports", "\"shared\""},
    {"relay", "shared_port", "3479; ice_ports = \"shared\""},
    {"relay", "fastpath", "\"off\""},
    {"relay", "policy", "\"relay-only\""},
    {"relay", "workers", "3"},
    {"relay", "allow_peers", "[ \"10.0.0.0/8\" ]"},
    {"relay", "quarantine", "\"11 s\""},
    {"limits", "calls", "499"},
    {"limits", "calls_per_user", "3"},
    {"limits", "new_calls_per_minute", "9"},
    {"limits", "load", "79"},
    {"limits", "bandwidth", "\"2 bit/s\""},
    {"limits", "bandwidth_per_call", "\"1 bit/s\""},
    {"limits", "stanza_candidates", "63"},
    {"limits", "proposal_timeout", "\"2 min\""},
    {"limits", "ring_timeout", "\"2 min\""},
    {"limits", "answer_timeout", "\"14 s\""},
    {"limits", "media_timeout", "\"2 min\""},
    {"limits", "call_duration", "\"1 h\""},
    {"limits", "learning_window", "\"9 s\""},
    {"limits", "allocations", "49"},
    {"limits", "allocations_per_user", "39"},
    {"limits", "connections", "1000"},
    {"limits", "connections_per_address", "49"},
    {"limits", "stun_answers", "50"},
    {"turn", "enabled", "false"},
    {"turn", "host", "\"turn.example.org\""},
    {"turn", "ports", "[ 3479 ]"},
    {"turn", "tls_ports", "[ 5350 ]" TLS},
    {"turn", "certificate", "\"@/cert.pem\"; key = \"@/key.pem\""},
    {"turn", "key", "\"@/key.pem\"; certificate = \"@/cert.pem\""},
    {"turn", "secret_files", "[ \"@/secret\" ]"},
    {"turn", "users_file", "\"@/users\""},
    {"turn", "realm", "\"example.org\""},
    {"turn", "credential_lifetime", "\"6 h\""},
    {"turn", "expiry_grace", "\"6 h\""},
    {"turn", "proxies", "[ \"192.0.2.0/24\" ]"},
    {"turn", "mobility", "false"},
    {"turn", "old_stun", "false"},
};

// Keys that main() and the connection use as they stand.
static const char *const elsewhere[] = {
    "xmpp.server",          "xmpp.port",        "xmpp.secret_file",
    "xmpp.secret",          "stats.listen",     "log.level",
    "log.target",           "xmpp.domain",      "xmpp.served_domains",
    "turn.tcp_allocations", "control.socket",   "drain.alternative",
    "xmpp.admins",          "xmpp.contact",     "log.records",
    "privacy.mask",         "privacy.key_file", "echo.enabled",
    "echo.calls",           "echo.duration",    "stats.selftest"};

static int find_address(enum family family, struct addr *ret_addr)
{
    return addr_parse_ip(family == FAMILY_V4 ? "198.51.100.1" : "2001:db8:5::1", 0, ret_addr);
}

static struct certificate_files files;

static void put_file(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", files.directory, name);
    if (!text) {
        unlink(path);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_files(void **state)
{
    certificate_make(&files, CERTIFICATE_GOOD, 1);
    put_file("secret", "fedcba9876543210fedcba9876543210\n");
    put_file("users", "bob:correct horse battery\n");
    return 0;
}

static int remove_files(void **state)
{
    put_file("secret", NULL);
    put_file("users", NULL);
    certificate_remove(&files);
    return 0;
}

static void put_with_paths(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '@')
            buf_puts(out, files.directory);
        else
            buf_add(out, p, 1);
    }
}

static void load(const char *group, const char *name, const char *value, struct config *ret_config)
{
    struct config_errors errors = {0};
    struct buf text = {0};

    buf_puts(&text, "xmpp = { domain = \"relay.example.org\"; secret = \"0123456789abcdef0123\"; "
                    "served_domains = [ \"example.org\", \"example.net\" ]; };\n");
    bool turn = group && strcmp(group, "turn") == 0;
    if (!turn)
        buf_puts(&text, "turn = { enabled = true; };\n");
    if (group) {
        bool is_switch = turn && strcmp(name, "enabled") == 0;
        buf_printf(&text, "%s = { %s %s = ", group, turn && !is_switch ? "enabled = true;" : "",
                   name);
        put_with_paths(&text, value);
        buf_puts(&text, "; };\n");
    }
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
    for (size_t i = 0; i < s->services.count; i++) {
        const struct signal_service *service = &s->services.item[i];
        buf_printf(out, "%s %s %s %u\n", service->type, service->transport, service->host,
                   service->port);
    }
    buf_printf(out, "%s %" PRIu64 "\n", s->services.count ? s->services.secret : "no secret",
               s->services.lifetime);
}

// How many allocations are granted to one identity, and to so many of them.
static unsigned quota_of(struct quota *quota, unsigned identities)
{
    unsigned granted = 0;

    for (unsigned i = 0; i < 50 * identities; i++) {
        char identity[16];
        snprintf(identity, sizeof identity, "user%u", i % identities);
        granted += quota_charge(quota, identity) == TURN_GRANTED;
    }
    return granted;
}

static void put_turn(struct buf *out, const struct turn_server *server)
{
    const struct turn_config *t = &server->turn;
    const struct streams_config *s = &server->streams;

    buf_printf(out, "%s %" PRIu64 " %u %" PRIu64 " %u %u %d %d\n", t->realm, t->expiry_grace,
               t->allocations_max, t->bytes_per_second, t->answers_per_second, t->answers_burst,
               t->old_stun, t->mobility);
    for (unsigned i = 0; i < t->users; i++)
        buf_printf(out, "%s:%s\n", t->user[i].name, t->user[i].password);
    for (unsigned i = 0; i < t->secrets && !server->generated_secret; i++)
        buf_printf(out, "%s\n", t->secret[i].text);
    for (unsigned i = 0; i < server->listeners; i++)
        put_addr(out, &server->listener[i]);
    buf_printf(out, "%d %zu %u %u %u %u\n", s->tls != NULL, s->proxies->count, s->connections_max,
               s->per_source_max, server->dtls.sessions_max, server->dtls.per_source_max);
    buf_printf(out, "%u %u\n", quota_of(server->quota, 1), quota_of(server->quota, 2));
}

static void put_server(struct buf *out, const struct config *config)
{
    struct event_base *base = event_base_new();
    struct turn_server *server;

    assert_non_null(base);
    assert_int_equal(turn_server_new(base, config, NULL, 2, &server), 0);
    put_turn(out, server);
    turn_server_free(server);
    event_base_free(base);
}

static void put_capacity(struct buf *out, const struct config *config)
{
    struct capacity_limits limits = config_for_capacity(config, 2);

    buf_printf(out, "room for %u calls, %u allocations; load %g, %g byte/s, %u ports per call\n",
               limits.number[CAPACITY_CALL], limits.number[CAPACITY_ALLOCATION], limits.load,
               limits.bandwidth, limits.ports_per_call);
}

// Everything that the parts are given, as text; free() it.
static char *use(const struct config *config)
{
    struct relay_config relay = config_for_relay(config);
    struct config_services services;
    struct signal_config signal = config_for_signal(config, "made at start", &services);
    struct buf out = {0};

    put_relay(&out, &relay);
    put_signal(&out, &signal);
    put_capacity(&out, config);
    if (config->turn.enabled)
        put_server(&out, config);
    buf_printf(&out, "%u workers, port %u, fast path %d\n", config_workers(config, 2),
               config_shared_port(config), config->relay.fastpath);
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

static struct signal_config signal_of(const struct config *config)
{
    static struct config_services services;

    return config_for_signal(config, "made at start", &services);
}

static void values_arrive_in_their_units(void **state)
{
    struct config config;

    (void)state;
    load("limits", "bandwidth_per_call", "\"2 Mbit/s\"", &config);
    assert_int_equal(signal_of(&config).bytes_per_second, 250000);
    config_free(&config);
    load("limits", "bandwidth_per_call", "\"1 bit/s\"", &config);
    assert_int_equal(signal_of(&config).bytes_per_second, 1); // 0 would be no limit
    config_free(&config);
    load("limits", "media_timeout", "\"3 s\"", &config);
    // The relay's wait and the call's are one after the other.
    assert_int_equal(config_for_relay(&config).limits.silence +
                         signal_of(&config).calls.media_timeout,
                     3 * USEC_PER_SEC);
    config_free(&config);
    load("limits", "media_timeout", "\"none\"", &config);
    assert_int_equal(config_for_relay(&config).limits.silence, 0);
    assert_int_equal(signal_of(&config).calls.media_timeout, 0);
    config_free(&config);
}

static void check_services(const struct config *config, const struct signal_service *expected,
                           size_t count)
{
    const struct signal_services services = signal_of(config).services;

    assert_int_equal(services.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(services.item[i].type, expected[i].type);
        assert_string_equal(services.item[i].transport, expected[i].transport);
        assert_string_equal(services.item[i].host, expected[i].host);
        assert_int_equal(services.item[i].port, expected[i].port);
    }
}

#define CHECK_SERVICES(config, expected)                                                           \
    check_services(config, expected, sizeof(expected) / sizeof(expected)[0])

// Every transport that clients take, once, from the one a call likes best; at the name, or else at
// the address of each family.
static void clients_are_told_the_whole_server(void **state)
{
    static const struct signal_service by_address[] = {
        {"stun", "udp", "198.51.100.1", 3478},  {"turn", "udp", "198.51.100.1", 3478},
        {"turn", "tcp", "198.51.100.1", 3478},  {"stun", "udp", "2001:db8:5::1", 3478},
        {"turn", "udp", "2001:db8:5::1", 3478}, {"turn", "tcp", "2001:db8:5::1", 3478},
    };
    static const struct signal_service by_name[] = {
        {"stun", "udp", "turn.example.org", 80},
        {"turn", "udp", "turn.example.org", 80},
        {"turn", "tcp", "turn.example.org", 80},
        {"turns", "tcp", "turn.example.org", 443},
    };
    static const struct signal_service by_addresses_with_tls[] = {
        {"stun", "udp", "192.0.2.9", 3478},     {"turn", "udp", "192.0.2.9", 3478},
        {"turn", "tcp", "192.0.2.9", 3478},     {"turns", "tcp", "192.0.2.9", 5349},
        {"stun", "udp", "2001:db8:5::1", 3478}, {"turn", "udp", "2001:db8:5::1", 3478},
        {"turn", "tcp", "2001:db8:5::1", 3478}, {"turns", "tcp", "2001:db8:5::1", 5349},
    };
    struct config config;

    load(NULL, NULL, NULL, &config);
    CHECK_SERVICES(&config, by_address);
    config_free(&config);
    load("turn", "host",
         "\"turn.example.org\"; ports = [ 80, 3478 ]; tls_ports = [ 443, 5349 ]" TLS, &config);
    CHECK_SERVICES(&config, by_name);
    config_free(&config);
    load("turn", "enabled", "true" TLS "; }; relay = { advertise4 = \"192.0.2.9\"", &config);
    CHECK_SERVICES(&config, by_addresses_with_tls);
    config_free(&config);
    load("turn", "enabled", "false", &config);
    assert_int_equal(signal_of(&config).services.count, 0);
    config_free(&config);
}

static void credentials_are_made_with_the_first_secret(void **state)
{
    struct config config;

    load(NULL, NULL, NULL, &config);
    assert_string_equal(signal_of(&config).services.secret, "made at start");
    assert_int_equal(signal_of(&config).services.lifetime, 12 * 3600 * USEC_PER_SEC);
    config_free(&config);
    load("turn", "secret_files", "[ \"@/secret\", \"@/users\" ]", &config);
    assert_string_equal(signal_of(&config).services.secret, "fedcba9876543210fedcba9876543210");
    config_free(&config);
}

// Connections of TURN clients have none left when the ports took them all.
static void descriptors_are_for_connections_too(void **state)
{
    struct config config;

    load("turn", "enabled", "false", &config);
    unsigned ports = config_descriptors(&config, 1);
    assert_in_range(ports, 2 * 1000 + 64, 2 * 1000 + 512);
    config_free(&config);
    load("limits", "connections", "30000", &config);
    unsigned all = config_descriptors(&config, 1);
    assert_in_range(all, ports + 30000, ports + 30512);
    assert_in_range(config_descriptors(&config, 33), all + 32 * (3 + 8), all + 32 * 16);
    config_free(&config);
    load("turn", "tcp_allocations", "true", &config);
    all = config_descriptors(&config, 1);
    config_free(&config);
    load(NULL, NULL, NULL, &config);
    assert_int_equal(all, config_descriptors(&config, 1) + 2000);
    config_free(&config);
}

// ---- what changes while the daemon runs

static const struct config_row *row_of(size_t change)
{
    const struct config_row *row = config_row_find(changes[change].group, changes[change].name);

    assert_non_null(row);
    return row;
}

static char *printed(const struct config *config, const struct config_row *row)
{
    struct buf out = {0};

    row->kind->print(row, config_field(config, row), &out);
    return buf_take(&out);
}

// TLS where there was none is a matter of listeners.
static bool is_of_tls(const struct config_row *row)
{
    return strcmp(row->name, "certificate") == 0 || strcmp(row->name, "key") == 0;
}

// The parts get what they would have been given at a start with the new value. Listeners are added
// to sockets, which is another test (test_reload).
static void check_renewed(struct config *live, const struct config *before)
{
    struct event_base *base = event_base_new();
    struct turn_server *old, *renewed;
    struct buf expected = {0}, got = {0};
    char error[256];

    assert_int_equal(turn_server_new(base, before, NULL, 2, &old), 0);
    assert_int_equal(turn_server_renew(old, live, false, usec_now(), &renewed, error), 0);
    quota_set(renewed->quota, live->limits.allocations_per_user, live->limits.allocations);
    if (live->turn.secrets.count > 0) { // the one that was made is an old one now
        assert_int_equal(renewed->turn.secrets, live->turn.secrets.count + 1);
        assert_string_equal(renewed->secret[1].text, turn_server_secret(old));
        renewed->turn.secrets--;
    }
    put_turn(&got, renewed);
    turn_server_free_replaced(old);
    turn_server_free(renewed);
    put_server(&expected, live);
    assert_string_equal(got.data, expected.data);
    buf_free(&expected);
    buf_free(&got);
    event_base_free(base);
}

// Of a value that comes with keys that take a restart: it is taken over, its effect comes later.
static bool waits_for_restart(const struct config_changes *other)
{
    for (size_t i = 0; i < config_row_count; i++)
        if (other->row[i] == CONFIG_RESTART)
            return true;
    return false;
}

static void check_applied(size_t change)
{
    const struct config_row *row = row_of(change);
    struct config live, fresh, before;
    struct config_changes other;

    load(NULL, NULL, NULL, &live);
    load(NULL, NULL, NULL, &before);
    load(changes[change].group, changes[change].name, changes[change].value, &fresh);
    char *expected = use(&fresh);
    assert_int_equal(config_compare(&live, &fresh, &other), 0);
    assert_int_equal(other.row[row - config_rows], CONFIG_APPLIED);
    config_exchange(&live, &fresh, &other);
    char *got = use(&live);
    bool waits = waits_for_restart(&other);
    if (!waits && strcmp(got, expected) != 0)
        fail_msg("%s.%s: a reload brings\n%s, a start\n%s", row->group, row->name, got, expected);
    if (!waits && live.turn.enabled && strcmp(row->name, "ports") != 0)
        check_renewed(&live, &before);
    config_exchange(&live, &fresh, &other); // and back again
    free(got);
    got = use(&live);
    char *usual = use_of(NULL, NULL, NULL);
    assert_string_equal(got, usual);
    free(got);
    free(usual);
    free(expected);
    config_changes_free(&other);
    config_free(&live);
    config_free(&before);
    config_free(&fresh);
}

static void check_named(size_t change)
{
    const struct config_row *row = row_of(change);
    struct config live, fresh;
    struct config_changes other;

    load(NULL, NULL, NULL, &live);
    load(changes[change].group, changes[change].name, changes[change].value, &fresh);
    char *before = printed(&live, row);
    assert_int_equal(config_compare(&live, &fresh, &other), 0);
    assert_int_equal(other.row[row - config_rows], CONFIG_RESTART);
    config_exchange(&live, &fresh, &other);
    char *after = printed(&live, row);
    assert_string_equal(after, before);
    free(before);
    free(after);
    config_changes_free(&other);
    config_free(&live);
    config_free(&fresh);
}

static void every_key_is_applied_or_named(void **state)
{
    unsigned applied = 0;

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const struct config_row *row = row_of(i);
        bool reloads = row->reload && !is_of_tls(row);

        applied += reloads;
        if (reloads)
            check_applied(i);
        else
            check_named(i);
    }
    assert_true(applied > 25);
}

static void the_same_is_no_change(void **state)
{
    struct config live, fresh;
    struct config_changes other;

    (void)state;
    load("turn", "secret_files", "[ \"@/secret\" ]; users_file = \"@/users\"", &live);
    load("turn", "secret_files", "[ \"@/secret\" ]; users_file = \"@/users\"", &fresh);
    assert_int_equal(config_compare(&live, &fresh, &other), 0);
    for (size_t i = 0; i < config_row_count; i++)
        assert_int_equal(other.row[i], CONFIG_SAME);
    assert_false(other.secrets || other.users);
    config_changes_free(&other);
    config_free(&fresh);

    // The names are the same, what is in the files is not.
    put_file("secret", "00000000000000000000000000000000\n");
    put_file("users", "carol:another battery\n");
    load("turn", "secret_files", "[ \"@/secret\" ]; users_file = \"@/users\"", &fresh);
    put_file("secret", "fedcba9876543210fedcba9876543210\n");
    put_file("users", "bob:correct horse battery\n");
    assert_int_equal(config_compare(&live, &fresh, &other), 0);
    assert_true(other.secrets && other.users);
    config_exchange(&live, &fresh, &other);
    assert_string_equal(live.turn.secrets.item[0], "00000000000000000000000000000000");
    assert_string_equal(live.turn.users.item[0], "carol");
    config_changes_free(&other);
    config_free(&live);
    config_free(&fresh);
}

// The secret of the component, wherever it is from, is the connection's.
static void another_component_secret_takes_a_restart(void **state)
{
    struct config live, fresh;
    struct config_changes other;
    const struct config_row *row = config_row_find("xmpp", "secret");

    (void)state;
    load(NULL, NULL, NULL, &live);
    load(NULL, NULL, NULL, &fresh);
    fresh.xmpp.secret[0] ^= 1;
    assert_int_equal(config_compare(&live, &fresh, &other), 0);
    assert_int_equal(other.row[row - config_rows], CONFIG_RESTART);
    config_changes_free(&other);
    config_free(&live);
    config_free(&fresh);
}

static void elsewhere_is_the_alternative(void **state)
{
    struct config_services services;
    struct signal_services told;
    struct config config;

    (void)state;
    load("drain", "alternative", "\"relay2.example.org\"", &config);
    told = config_for_signal(&config, "made at start", &services).services;
    config_point_elsewhere(&config, &services, &told);
    assert_int_equal(told.count, 3);
    for (size_t i = 0; i < told.count; i++)
        assert_string_equal(told.item[i].host, "relay2.example.org");
    config_free(&config);
    load(NULL, NULL, NULL, &config);
    told = config_for_signal(&config, "made at start", &services).services;
    config_point_elsewhere(&config, &services, &told);
    assert_int_equal(told.count, 0);
    config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_bites),
        cmocka_unit_test(no_key_is_left_out),
        cmocka_unit_test(values_arrive_in_their_units),
        cmocka_unit_test(clients_are_told_the_whole_server),
        cmocka_unit_test(credentials_are_made_with_the_first_secret),
        cmocka_unit_test(descriptors_are_for_connections_too),
        cmocka_unit_test(every_key_is_applied_or_named),
        cmocka_unit_test(the_same_is_no_change),
        cmocka_unit_test(another_component_secret_takes_a_restart),
        cmocka_unit_test(elsewhere_is_the_alternative),
    };
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
