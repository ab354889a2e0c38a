// SPDX-License-Identifier: ISC
// The configuration: what a file may say, and what is answered to every way of getting it wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XMPP_WITH(keys)                                                                            \
    "xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\";\n" keys "\n"                \
    "served_domains = [ \"example.org\" ]; };\n"

// ---- one error each

#define EXPECT_PORTS                                                                               \
    "expected a range of at least 8 ports from 1024 to 65535, such as \"50000-50999\""
#define EXPECT_PREFIXES                                                                            \
    "expected a list of address prefixes such as [ \"10.0.0.0/8\", \"fd00::/8\" ]"
#define EXPECT_DOMAINS                                                                             \
    "expected a list of domain names such as [ \"example.org\", \"example.net\" ]"

#define EXPECT_USERS                                                                               \
    "expected a list of at most 64 users' addresses such as [ \"admin@example.org\" ]"
#define EXPECT_URIS                                                                                \
    "expected a list of at most 16 URIs such as [ \"mailto:admin@example.org\", "                  \
    "\"xmpp:admin@example.org\" ]"

static const struct config_wrong wrong[] = {
    // names
    {XMPP "relay = { polcy = \"fallback\"; };",
     "t.conf:2: relay.polcy: unknown key; did you mean relay.policy?"},
    {XMPP "relay = { server = \"x\"; };",
     "t.conf:2: relay.server: unknown key; did you mean xmpp.server?"},
    {XMPP "turn = { secret = \"x\"; };",
     "t.conf:2: turn.secret: unknown key; did you mean turn.secret_files?"},
    {XMPP "limits = {\n max_calls = 3; };",
     "t.conf:3: limits.max_calls: unknown key; did you mean limits.calls?"},
    {XMPP "log = { frobnicate = 1; };",
     "t.conf:2: log.frobnicate: unknown key; log has: level, target, records"},
    {XMPP "limit = { calls = 3; };", "t.conf:2: limit: unknown group; did you mean limits?"},
    {XMPP "frobnicate = { calls = 3; };",
     "t.conf:2: frobnicate: unknown group; the groups are: "
     "xmpp, relay, limits, turn, stats, control, drain, echo, log, privacy"},
    {XMPP "calls = 3;",
     "t.conf:2: calls: unknown key outside of a group; did you mean limits.calls?"},
    {XMPP "stats = \"127.0.0.1:1\";", "t.conf:2: stats: expected a group, stats = { ... }"},
    {"xmmp = { domain = \"relay.example.org\"; secret = \"" SECRET "\"; "
     "served_domains = [ \"example.org\" ]; };",
     "t.conf:1: xmmp: unknown group; did you mean xmpp?"}, // its keys do not count as missing
    // types
    {XMPP_WITH("port = \"5347\";"),
     "t.conf:2: xmpp.port = \"5347\": expected a whole number from 1 "
     "to 65535 (a number stands without quotes)"},
    {XMPP_WITH("port = 0x14E3;"),
     "t.conf:2: xmpp.port = 5347: expected a whole number from 1 to 65535 (not in hexadecimal)"},
    {XMPP_WITH("port = 5347.0;"),
     "t.conf:2: xmpp.port = 5347: expected a whole number from 1 to 65535"},
    {XMPP_WITH("server = true;"),
     "t.conf:2: xmpp.server = true: expected a host name or an IP address, without a port"},
    {XMPP_WITH("server = { };"),
     "t.conf:2: xmpp.server = { ... }: expected a host name or an IP address, without a port"},
    {XMPP "limits = { ring_timeout = 30; };",
     "t.conf:2: limits.ring_timeout = 30: expected a duration from \"1 s\" to \"1 h\", such as "
     "\"30 s\" (a text in quotes, with the unit)"},
    {XMPP "relay = { allow_peers = \"10.0.0.0/8\"; };",
     "t.conf:2: relay.allow_peers = \"10.0.0.0/8\": " EXPECT_PREFIXES " (a list stands in [ ])"},
    {XMPP "relay = { allow_peers = [ 10 ]; };",
     "t.conf:2: relay.allow_peers = 10: " EXPECT_PREFIXES},
    {XMPP_WITH("admins = [ \"example.org\" ];"),
     "t.conf:2: xmpp.admins = \"example.org\": " EXPECT_USERS},
    {XMPP_WITH("admins = [ \"bob@example.org/phone\" ];"),
     "t.conf:2: xmpp.admins = \"bob@example.org/phone\": " EXPECT_USERS
     " (without what stands behind \"/\")"},
    {XMPP_WITH("admins = [ \"bob@example.org\", \"bob@example.org\" ];"),
     "t.conf:2: xmpp.admins = \"bob@example.org\": " EXPECT_USERS " (it stands in the list twice)"},
    {XMPP_WITH("contact = [ \"admin@example.org\" ];"),
     "t.conf:2: xmpp.contact = \"admin@example.org\": " EXPECT_URIS
     " (with \"mailto:\" or \"xmpp:\" before it)"},
    {XMPP_WITH("contact = [ \"mailto:a b\" ];"),
     "t.conf:2: xmpp.contact = \"mailto:a b\": " EXPECT_URIS},
    // bounds
    {XMPP_WITH("port = 65536;"),
     "t.conf:2: xmpp.port = 65536: expected a whole number from 1 to 65535"},
    {XMPP_WITH("port = -1;"), "t.conf:2: xmpp.port = -1: expected a whole number from 1 to 65535"},
    {XMPP_WITH("port = 4294972643;"), // 2^32 + 5347
     "t.conf:2: expected no number of more than 9 digits"},
    {XMPP_WITH("port = 5347000L;"),
     "t.conf:2: xmpp.port = 5347000: expected a whole number from 1 to 65535"},
    {XMPP "limits = { answer_timeout = \"1 h\"; };",
     "t.conf:2: limits.answer_timeout = \"1 h\": expected a duration from \"1 s\" to \"5 min\", "
     "such as \"30 s\""},
    {XMPP "limits = { answer_timeout = \"none\"; };",
     "t.conf:2: limits.answer_timeout = \"none\": expected a duration from \"1 s\" to \"5 min\", "
     "such as \"30 s\""},
    {XMPP "limits = { media_timeout = \"999999999999999999 h\"; };",
     "t.conf:2: limits.media_timeout = \"999999999999999999 h\": expected a duration of at most "
     "\"24 h\", such as \"30 s\", or \"none\""},
    {XMPP "limits = { media_timeout = \"30 sec\"; };",
     "t.conf:2: limits.media_timeout = \"30 sec\": expected a duration of at most \"24 h\", such "
     "as "
     "\"30 s\", or \"none\""},
    {XMPP "limits = { bandwidth_per_call = \"2 MB/s\"; };",
     "t.conf:2: limits.bandwidth_per_call = \"2 MB/s\": expected a bit rate of at most \"100 "
     "Gbit/s\", such as \"2 Mbit/s\", or \"none\""},
    {XMPP "log = { level = \"verbose\"; };",
     "t.conf:2: log.level = \"verbose\": expected one of \"error\", \"warning\", \"notice\", "
     "\"info\", \"debug\""},
    // addresses
    {XMPP "relay = { address4 = \"198.51.100.256\"; };",
     "t.conf:2: relay.address4 = \"198.51.100.256\": expected an IPv4 address, \"auto\" or "
     "\"none\""},
    {XMPP "relay = { address4 = \"2001:db8::1\"; };",
     "t.conf:2: relay.address4 = \"2001:db8::1\": expected an IPv4 address, \"auto\" or \"none\" "
     "(this is an IPv6 address; its key ends in 6)"},
    {XMPP "relay = { address6 = \"198.51.100.1\"; };",
     "t.conf:2: relay.address6 = \"198.51.100.1\": expected an IPv6 address, \"auto\" or \"none\" "
     "(this is an IPv4 address; its key ends in 4)"},
    {XMPP "relay = { address4 = \"0.0.0.0\"; };",
     "t.conf:2: relay.address4 = \"0.0.0.0\": expected an IPv4 address, \"auto\" or \"none\" (no "
     "host has this address)"},
    {XMPP "relay = { advertise6 = \"ff02::1\"; };",
     "t.conf:2: relay.advertise6 = \"ff02::1\": expected an IPv6 address or \"same\" (no host has "
     "this address)"},
    {XMPP "relay = { address4 = \"none\"; advertise4 = \"198.51.100.1\"; };",
     "t.conf:2: relay.advertise4 = \"198.51.100.1\": an address is advertised but relay.address4 "
     "is \"none\": expected an address or \"auto\" there"},
    {XMPP "relay = { address4 = \"none\"; address6 = \"none\"; };",
     "t.conf:2: relay.address4 = \"none\": relay.address6 is \"none\" as well: expected an address "
     "in one family"},
    {XMPP "relay = { address4 = \"none\"; address6 = \"none\"; policy = \"relay-only\"; };",
     "t.conf:2: relay.address4 = \"none\": relay.address6 is \"none\" as well: expected an address "
     "in one family (relay.policy is \"relay-only\")"},
    {XMPP "relay = { allow_peers = [ \"10.0.0.0/8\",\n \"10.0.0.1/8\" ]; };",
     "t.conf:3: relay.allow_peers = \"10.0.0.1/8\": " EXPECT_PREFIXES
     " (the bits behind the prefix must be zero)"},
    {XMPP "stats = { listen = \"::1:8791\"; };",
     "t.conf:2: stats.listen = \"::1:8791\": expected ADDRESS:PORT such as \"127.0.0.1:8791\" or "
     "\"[::1]:8791\", or \"off\""},
    // ports
    {XMPP "relay = { ports = \"50000-50006\"; };",
     "t.conf:2: relay.ports = \"50000-50006\": " EXPECT_PORTS " (the range is too small)"},
    {XMPP "relay = { ports = \"50999-50000\"; };",
     "t.conf:2: relay.ports = \"50999-50000\": " EXPECT_PORTS " (the range is reversed)"},
    {XMPP "relay = { ports = \"1000-2000\"; };",
     "t.conf:2: relay.ports = \"1000-2000\": " EXPECT_PORTS " (ports below 1024 are privileged)"},
    {XMPP "relay = { ports = \"50000-70000\"; };",
     "t.conf:2: relay.ports = \"50000-70000\": " EXPECT_PORTS},
    {XMPP "relay = { workers = 4; ports = \"50000-50062\"; };",
     "t.conf:2: relay.ports = \"50000-50062\": 4 workers share 63 ports: expected at least 16 for "
     "each"},
    {XMPP "relay = { workers = 63; };",
     "t.conf:2: relay.workers = 63: 63 workers share 1000 ports: expected at least 16 for each"},
    {XMPP "relay = { ice_ports = \"shared\"; shared_port = 50001; };",
     "t.conf:2: relay.shared_port = 50001: port 50001 lies in relay.ports (50000-50999): expected "
     "a port outside"},
    {XMPP "relay = { ice_ports = \"shared\"; ports = \"3000-4000\"; };",
     "t.conf: relay.shared_port: port 3478 lies in relay.ports (3000-4000): expected a port "
     "outside"},
    // domains
    {"xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\";\n"
     "served_domains = [ \"Relay.example.org\" ]; };",
     "t.conf:2: xmpp.served_domains = [ \"Relay.example.org\" ]: \"relay.example.org\" is the "
     "relay's own domain (xmpp.domain): expected the domains of its users"},
    {"xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\";\n"
     "served_domains = [ \"example.org\", \"EXAMPLE.org\" ]; };",
     "t.conf:2: xmpp.served_domains = \"EXAMPLE.org\": " EXPECT_DOMAINS
     " (it stands in the list twice)"},
    {"xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\";\n"
     "served_domains = [ \"bob@example.org\" ]; };",
     "t.conf:2: xmpp.served_domains = \"bob@example.org\": " EXPECT_DOMAINS
     " (not a user's address)"},
    {"xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\";\nserved_domains = [ ]; };",
     "t.conf:2: xmpp.served_domains = [ ]: " EXPECT_DOMAINS " (the list is empty)"},
    {"xmpp = { secret = \"" SECRET "\"; served_domains = [ \"example.org\" ]; };",
     "t.conf: xmpp.domain: this key is required: expected a domain name such as "
     "\"relay.example.org\""},
    {"xmpp = { domain = \"a..b\"; secret = \"" SECRET
     "\"; served_domains = [ \"example.org\" ]; };",
     "t.conf:1: xmpp.domain = \"a..b\": expected a domain name such as \"relay.example.org\""},
    {"xmpp = { domain = \"relay.example.org\"; secret = \"" SECRET "\"; };",
     "t.conf: xmpp.served_domains: this key is required: " EXPECT_DOMAINS},
    // the secret
    {XMPP_WITH("secret_file = \"/etc/hostname\";"),
     "t.conf:1: xmpp.secret = \"***\": expected either this key or xmpp.secret_file"},
    {"xmpp = { domain = \"relay.example.org\"; served_domains = [ \"example.org\" ]; };",
     "t.conf: xmpp.secret_file: expected this key, the file with the secret of the XMPP server's "
     "component (or a systemd credential component-secret, or a file of that name beside the "
     "configuration)"},
    {"xmpp = { domain = \"relay.example.org\"; served_domains = [ \"example.org\" ];\n"
     "secret_file = \"secret\"; };",
     "t.conf:2: xmpp.secret_file = \"secret\": expected the full path of a file, beginning with "
     "\"/\""},
    {"xmpp = { domain = \"relay.example.org\"; served_domains = [ \"example.org\" ];\n"
     "secret = 12345678; };",
     "t.conf:2: xmpp.secret = \"***\": expected a text of 1 to 1024 bytes"},
    // syntax
    {"xmpp = {\n  port = 5347\n  server = 127.0.0.1;\n};",
     "t.conf:3: syntax error here or just before: expected NAME = VALUE; with texts in \"quotes\" "
     "and keys in groups, NAME = { ... };"},
    {"xmpp = {\n  port = 5347;\n\n  port = 5347;\n};", "t.conf:4: xmpp.port is set twice"},
    {"xmpp = { port = 5347; };\nxmpp = { };", "t.conf:2: xmpp is set twice"},
    {"xmpp = {\n  served_domains = [ 1, true ];\n};",
     "t.conf:2: values of different types in one list [ ]"},
    {"xmpp = {\n  domain = \"relay.example.org;\n};\n",
     "t.conf:2: the text that begins here is never closed"},
    {"\n/* xmpp = {\n", "t.conf:2: the comment that begins here is never closed"},
    {"@include \"x\"\n", "t.conf:1: @include is possible only in a file"},
};

static void each_error_is_explained(void **state)
{
    config_check_wrong(wrong, sizeof(wrong) / sizeof(wrong[0]));
}

static void all_errors_are_collected(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    static const char text[] = "xmpp = { port = 0; };\n"
                               "relay = { ports = \"1-2\"; };\n"
                               "limits = { calls = -1; ring = 3; };\n";
    assert_int_equal(config_of(text, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "t.conf:1: xmpp.port = 0"));
    assert_true(config_says(&errors, false, "t.conf:2: relay.ports = \"1-2\""));
    assert_true(config_says(&errors, false, "t.conf:3: limits.calls = -1"));
    assert_true(config_says(&errors, false, "t.conf:3: limits.ring: unknown key"));
    assert_true(config_says(&errors, false, "t.conf: xmpp.domain: this key is required"));
    assert_true(config_says(&errors, false, "t.conf: xmpp.served_domains: this key is required"));
    assert_true(config_says(&errors, false, "t.conf: xmpp.secret_file: expected this key"));
    assert_int_equal(errors.count, 7);
    config_errors_free(&errors);
}

// A value goes into a terminal and a log: it may be neither long nor control it.
static void wrong_values_are_shown_harmlessly(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    char text[1024];
    char tail[301];
    memset(tail, 'x', 300);
    tail[300] = '\0';
    snprintf(text, sizeof(text), XMPP "log = { level = \"\\x1b[2J\n%s\"; };", tail);
    assert_int_equal(config_of(text, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "log.level = \"\\x1b[2J\\x0axxx"));
    assert_true(strlen(errors.item[0].text) < 250);
    config_errors_free(&errors);

    static const char nul[] = XMPP "log = {\0 };";
    assert_int_equal(config_load_text("t.conf", nul, sizeof(nul) - 1, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "without NUL bytes"));
    config_errors_free(&errors);
}

// ---- right values

static void ten_lines_suffice(void **state)
{
    struct config config = {0};
    config_right("xmpp = {\n"
                 "    domain = \"relay.example.org\";\n"
                 "    secret = \"" SECRET "\";\n"
                 "    served_domains = [ \"example.org\" ];\n"
                 "};\n",
                 &config);
    assert_string_equal(config.xmpp.domain, "relay.example.org");
    assert_string_equal(config.xmpp.server, "127.0.0.1");
    assert_int_equal(config.xmpp.port, 5347);
    assert_string_equal(config.xmpp.secret, SECRET);
    assert_null(config.xmpp.secret_file);
    assert_int_equal(config.xmpp.served_domains.count, 1);
    assert_int_equal(config.relay.address[0].mode, CONFIG_ADDR_AUTO);
    assert_int_equal(config.relay.address[1].mode, CONFIG_ADDR_AUTO);
    assert_int_equal(config.relay.ports.min, 50000);
    assert_int_equal(config.relay.ports.max, 50999);
    assert_int_equal(config.relay.policy, CONFIG_POLICY_FALLBACK);
    assert_int_equal(config.relay.allow_peers.count, 0);
    assert_int_equal(config.limits.ring_timeout, 180 * USEC_PER_SEC);
    assert_int_equal(config.limits.call_duration, 0);
    assert_int_equal(config.stats.listen.port, 8791);
    assert_int_equal(config.log.level, LOG_LEVEL_INFO);
    config_free(&config);
}

#define EVERYTHING                                                                                 \
    "xmpp = { domain = \"relay.example.org\"; server = \"::1\"; port = 1; secret = \"***\";\n"     \
    "  served_domains = ( \"example.org\", \"xn--nxasmq6b.example\" ); };\n"                       \
    "relay = { address4 = \"192.0.2.1\"; address6 = \"2001:db8::1\"; advertise4 = \"9.9.9.9\";\n"  \
    "  advertise6 = \"2620:fe::9\"; ports = \"1024-65535\"; policy = \"relay-only\";\n"            \
    "  ice_ports = \"dedicated\"; shared_port = 443;\n"                                            \
    "  fastpath = \"off\"; workers = 256; allow_peers = [ \"10.0.0.0/8\", \"fd00::/8\", "          \
    "\"192.0.2.7\" ];\n"                                                                           \
    "  quarantine = \"1500 ms\"; };\n"                                                             \
    "limits = { calls = 1; calls_per_user = 0; new_calls_per_minute = 1000000;\n"                  \
    "  load = 100; bandwidth = \"1 Gbit/s\";\n"                                                    \
    "  bandwidth_per_call = \"1500 kbit/s\"; stanza_candidates = 1; proposal_timeout = \"1 h\";\n" \
    "  ring_timeout=\"90s\"; answer_timeout = \"5 min\"; media_timeout = \"none\";\n"              \
    "  call_duration = \"720 h\"; learning_window = \"100 ms\"; allocations = 0;\n"                \
    "  allocations_per_user = 1; connections = 1; connections_per_address = 1;\n"                  \
    "  stun_answers = 0; };\n"                                                                     \
    "turn = { enabled = true; host = \"turn.example.org\"; ports = [ 80, 1 ]; tls_ports = ( 443 "  \
    ");\n"                                                                                         \
    "  realm = \"example.org\"; credential_lifetime = \"720 h\"; expiry_grace = \"none\";\n"       \
    "  proxies = [ \"192.0.2.0/24\" ]; mobility = false; tcp_allocations = true;\n"                \
    "  old_stun = false; };\n"                                                                     \
    "stats : { listen = \"[::1]:1\"; }\n"                                                          \
    "log = { level = \"debug\"; target = \"stderr\"; };"

static void every_key_is_read_and_printed(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    assert_int_equal(config_of(EVERYTHING, &config, &errors), 0);
    assert_true(config_says(&errors, true, "the secret is short"));
    config_errors_free(&errors);
    assert_string_equal(config.xmpp.served_domains.item[1], "xn--nxasmq6b.example");
    assert_int_equal(config.relay.advertise[0].addr.ip[0], 9);
    assert_int_equal(config.relay.allow_peers.item[2].bits, 32);
    assert_int_equal(config.relay.quarantine, 1500 * USEC_PER_MSEC);
    assert_int_equal(config.limits.load, 100);
    assert_int_equal(config.limits.bandwidth, 1000000000);
    assert_int_equal(config.relay.ice_ports, CONFIG_ICE_DEDICATED);
    assert_int_equal(config.relay.shared_port, 443);
    assert_int_equal(config.limits.bandwidth_per_call, 1500000);
    assert_int_equal(config.limits.ring_timeout, 90 * USEC_PER_SEC);
    assert_int_equal(config.limits.call_duration, 720 * 3600 * USEC_PER_SEC);
    assert_int_equal(config.limits.allocations, 0);
    assert_true(config.turn.enabled);
    assert_int_equal(config.turn.ports.count, 2);
    assert_int_equal(config.turn.ports.item[1], 1);
    assert_int_equal(config.turn.tls_ports.item[0], 443);
    assert_int_equal(config.turn.expiry_grace, 0);
    assert_int_equal(config.turn.proxies.count, 1);
    assert_int_equal(config.stats.listen.family, FAMILY_V6);
    assert_int_equal(config.log.target, LOG_TARGET_STDERR);

    char *first = config_printed(&config);
    assert_null(strstr(first, "\"auto\"")); // no key is left at its default
    config_free(&config);
    assert_int_equal(config_of(first, &config, &errors), 0); // what is printed can be read
    char *second = config_printed(&config);
    assert_string_equal(first, second);
    free(first);
    free(second);
    config_errors_free(&errors);
    config_free(&config);
}

static void the_secret_is_never_shown(void **state)
{
    struct config config = {0};
    config_right(XMPP, &config);
    char *text = config_printed(&config);
    assert_null(strstr(text, SECRET));
    assert_non_null(strstr(text, "secret = \"***\";"));
    free(text);
    config_free(&config);
}

static void figures_belong_on_loopback(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    assert_int_equal(config_of(XMPP "stats = { listen = \"0.0.0.0:80\"; };", &config, &errors), 0);
    assert_true(
        config_says(&errors, true, "t.conf:2: stats.listen = \"0.0.0.0:80\": whoever reaches"));
    config_errors_free(&errors);
    config_free(&config);
    config_right(XMPP "stats = { listen = \"off\"; };", &config);
    assert_int_equal(config.stats.listen.family, FAMILY_NONE);
    config_free(&config);
}

static void workers_never_starve(void **state)
{
    struct config config = {0};
    config_right(XMPP, &config);
    assert_int_equal(config_workers(&config, 8), 8);
    assert_int_equal(config_workers(&config, 128), 62); // 1,000 ports
    config_free(&config);
    config_right(XMPP "relay = { ports = \"50000-50007\"; };", &config);
    assert_int_equal(config_workers(&config, 8), 1);
    config_free(&config);
    config_right(XMPP "relay = { workers = 2; ports = \"50000-50031\"; };", &config);
    assert_int_equal(config_workers(&config, 8), 2);
    config_free(&config);
}

// ---- addresses in the end

static int find_both(enum family family, struct addr *ret_addr)
{
    return addr_parse_ip(family == FAMILY_V4 ? "192.168.1.2" : "2620:fe::9", 0, ret_addr);
}

static int find_v4(enum family family, struct addr *ret_addr)
{
    return family == FAMILY_V4 ? addr_parse_ip("9.9.9.9", 0, ret_addr) : -ENETUNREACH;
}

static int find_none(enum family family, struct addr *ret_addr)
{
    return -ENETUNREACH;
}

static void automatic_addresses_are_found(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    config_right(XMPP, &config);
    assert_int_equal(config_resolve_addresses(&config, find_both, &errors), 0);
    assert_int_equal(config.relay.address[0].addr.ip[0], 192);
    assert_int_equal(config.relay.advertise[0].addr.ip[0], 192);
    assert_int_equal(config.relay.advertise[1].addr.family, FAMILY_V6);
    assert_true(
        config_says(&errors, true, "relay.advertise4: clients are told 192.168.1.2, which cannot"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    config_free(&config);

    config_right(XMPP "relay = { advertise4 = \"9.9.9.9\"; address6 = \"none\"; };", &config);
    assert_int_equal(config_resolve_addresses(&config, find_both, &errors), 0);
    assert_int_equal(config.relay.address[0].addr.ip[0], 192);
    assert_int_equal(config.relay.advertise[0].addr.ip[0], 9);
    assert_int_equal(config.relay.address[1].addr.family, FAMILY_NONE);
    assert_int_equal(errors.count, 0);
    config_free(&config);
}

static void missing_addresses_are_errors(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    config_right(XMPP, &config);
    assert_int_equal(config_resolve_addresses(&config, find_none, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "no route to the world"));
    config_errors_free(&errors);
    config_free(&config);

    config_right(XMPP "relay = { advertise6 = \"2620:fe::9\"; };", &config);
    assert_int_equal(config_resolve_addresses(&config, find_v4, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "relay.address6 = \"auto\": no address was found"));
    config_errors_free(&errors);
    config_free(&config);
}

// ---- files

static void files_include_files(void **state)
{
    static const char a[] = "# the first line\n@include \"b.conf\"\nlimits = {\n calls = -1; };";
    static const char b[] = XMPP "\n\nlog = { levle = 1; };";
    struct config config = {0};
    struct config_errors errors = {0};
    struct place *place = *state;
    place_file(place, "b.conf", b, strlen(b));
    place_file(place, "a.conf", a, strlen(a));
    assert_int_equal(config_load(place->path, &config, &errors), -EINVAL);
    assert_true(
        config_says(&errors, false, "/b.conf:4: log.levle: unknown key; did you mean log.level?"));
    assert_true(config_says(&errors, false, "/a.conf:4: limits.calls = -1"));
    assert_int_equal(errors.count, 2);
    config_errors_free(&errors);
}

static void includes_fail_with_a_reason(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } bad[] = {
        {"\n@include \"nothing.conf\"\n", "a.conf:2: @include \"nothing.conf\": /tmp/"},
        {"\n@include \"nothing.conf\"\n", "cannot be read: No such file or directory"},
        {"@include \"/tmp\"\n",
         "a.conf:1: @include \"/tmp\": /tmp: cannot be read: Is a directory"},
        {"@include \"/dev/zero\"\n", "cannot be read: not a regular file"},
        {"@include \"a.conf\"\n", "expected at most 8 files that include one another"},
        {"@include b.conf\n", "a.conf:1: @include: expected @include \"FILE\" alone in its line"},
        {"@include \"b.conf\" xmpp\n", "a.conf:1: @include: expected @include \"FILE\" alone"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config config = {0};
        struct config_errors errors = {0};
        const char *path = place_file(*state, "a.conf", bad[i].text, strlen(bad[i].text));
        assert_int_equal(config_load(path, &config, &errors), -EINVAL);
        assert_true(config_says(&errors, false, bad[i].error));
        config_errors_free(&errors);
    }
}

static void includes_in_texts_and_comments_are_none(void **state)
{
    static const char a[] = XMPP "/*\n@include \"nothing.conf\"\n*/\n"
                                 "# \"\n"
                                 "log = { level = \"\\\"\n@include \\\"/tmp\\\"\n\"; };";
    struct config config = {0};
    struct config_errors errors = {0};
    assert_int_equal(config_load(place_file(*state, "a.conf", a, strlen(a)), &config, &errors),
                     -EINVAL);
    assert_true(config_says(&errors, false, "log.level = \"\\\"\\x0a@include"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
}

static void unreadable_files_are_named(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    struct place *place = *state;
    assert_int_equal(config_load(place_path(place, "a.conf"), &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "/a.conf: cannot be read: No such file or directory"));
    config_errors_free(&errors);
    assert_int_equal(config_load(place->directory, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "cannot be read: Is a directory"));
    config_errors_free(&errors);
    assert_int_equal(config_load("/dev/zero", &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "/dev/zero: cannot be read: not a regular file"));
    config_errors_free(&errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_is_explained),
        cmocka_unit_test(all_errors_are_collected),
        cmocka_unit_test(wrong_values_are_shown_harmlessly),
        cmocka_unit_test(ten_lines_suffice),
        cmocka_unit_test(every_key_is_read_and_printed),
        cmocka_unit_test(the_secret_is_never_shown),
        cmocka_unit_test(figures_belong_on_loopback),
        cmocka_unit_test(workers_never_starve),
        cmocka_unit_test(automatic_addresses_are_found),
        cmocka_unit_test(missing_addresses_are_errors),
        cmocka_unit_test_setup_teardown(files_include_files, place_make, place_remove),
        cmocka_unit_test_setup_teardown(includes_fail_with_a_reason, place_make, place_remove),
        cmocka_unit_test_setup_teardown(includes_in_texts_and_comments_are_none, place_make,
                                        place_remove),
        cmocka_unit_test_setup_teardown(unreadable_files_are_named, place_make, place_remove),
    };
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
