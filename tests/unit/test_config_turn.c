// SPDX-License-Identifier: ISC
// The TURN server's configuration: what each key takes, which of them contradict each other, and
// the files with secrets and users.
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
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_SECRET "fedcba9876543210fedcba9876543210"
// What a case adds stands in line 2.
#define TURN(keys) XMPP "turn = { enabled = true; " keys " };"

#define WITH_TLS " certificate = \"@/pem\"; key = \"@/pem\";" // '@': see load()

// ---- values

#define EXPECT_LIST "expected a list of 1 to 8 ports such as [ 3478, 443 ]"
#define EXPECT_REALM                                                                               \
    "expected a text of 1 to 127 bytes without quotes, backslashes and control characters"
#define EXPECT_PATHS "expected a list of at most 8 full paths of files, each beginning with \"/\""
#define HUNDRED                                                                                    \
    "x23456789.x23456789.x23456789.x23456789.x23456789."                                           \
    "x23456789.x23456789.x23456789.x23456789.x23456789."

static const struct config_wrong wrong[] = {
    {TURN("secret = \"x\";"),
     "t.conf:2: turn.secret: unknown key; did you mean turn.secret_files?"},
    {TURN("cert = \"/x\";"), "t.conf:2: turn.cert: unknown key; did you mean turn.certificate?"},
    {XMPP "turn = { enabled = \"true\"; };",
     "t.conf:2: turn.enabled = \"true\": expected true or false (the word stands without quotes)"},
    {XMPP "turn = { enabled = 1; };", "t.conf:2: turn.enabled = 1: expected true or false"},
    // ports
    {TURN("ports = 3478;"), "t.conf:2: turn.ports = 3478: " EXPECT_LIST " (a list stands in [ ])"},
    {TURN("ports = [ ];"), "t.conf:2: turn.ports = [ ]: " EXPECT_LIST " (the list is empty)"},
    {TURN("ports = [ 1, 2, 3, 4, 5, 6, 7, 8, 9 ];"),
     "t.conf:2: turn.ports = [ ... ]: " EXPECT_LIST " (the list is too long)"},
    {TURN("ports = [ 3478, 0 ];"), "t.conf:2: turn.ports = 0: " EXPECT_LIST},
    {TURN("ports = [ 3478,\n 65536 ];"), "t.conf:3: turn.ports = 65536: " EXPECT_LIST},
    {TURN("ports = [ -1 ];"), "t.conf:2: turn.ports = -1: " EXPECT_LIST},
    {TURN("tls_ports = [ \"5349\" ];"),
     "t.conf:2: turn.tls_ports = \"5349\": " EXPECT_LIST " (a number stands without quotes)"},
    {TURN("ports = [ 0xd96 ];"),
     "t.conf:2: turn.ports = 3478: " EXPECT_LIST " (not in hexadecimal)"},
    {TURN("ports = [ 80, 443,\n 80 ];"),
     "t.conf:3: turn.ports = 80: " EXPECT_LIST " (it stands in the list twice)"},
    {TURN("ports = [ 80, 50999 ];"),
     "t.conf:2: turn.ports = [ 80, 50999 ]: port 50999 lies in relay.ports (50000-50999): expected "
     "a port outside"},
    {TURN("") "relay = { ports = \"3000-4000\"; };",
     "t.conf: turn.ports: port 3478 lies in relay.ports (3000-4000): expected a port outside"},
    // texts
    {TURN("realm = \"\";"), "t.conf:2: turn.realm = \"\": " EXPECT_REALM},
    {TURN("realm = \"a\\\"b\";"), "t.conf:2: turn.realm = \"a\\\"b\": " EXPECT_REALM},
    {TURN("realm = \"a\\\\b\";"), "t.conf:2: turn.realm = \"a\\\\b\": " EXPECT_REALM},
    {TURN("realm = \"a\\x01\";"), "t.conf:2: turn.realm = \"a\\x01\": " EXPECT_REALM},
    {TURN("host = \"turn.example.org:3478\";"),
     "t.conf:2: turn.host = \"turn.example.org:3478\": expected a host name or an IP address, "
     "without a port"},
    // numbers and durations
    {TURN("credential_lifetime = \"9 min\";"),
     "t.conf:2: turn.credential_lifetime = \"9 min\": expected a duration from \"10 min\" to \"720 "
     "h\", such as \"30 s\""},
    {TURN("credential_lifetime = \"721 h\";"),
     "t.conf:2: turn.credential_lifetime = \"721 h\": expected a duration from \"10 min\" to "
     "\"720 h\", such as \"30 s\""},
    {TURN("expiry_grace = \"169 h\";"),
     "t.conf:2: turn.expiry_grace = \"169 h\": expected a duration of at most \"168 h\", such as "
     "\"30 s\", or \"none\""},
    {TURN("proxies = [ \"192.0.2.1/24\" ];"),
     "t.conf:2: turn.proxies = \"192.0.2.1/24\": expected a list of address prefixes such as [ "
     "\"10.0.0.0/8\", \"fd00::/8\" ] (the bits behind the prefix must be zero)"},
    {XMPP "limits = { connections = 0; };",
     "t.conf:2: limits.connections = 0: expected a whole number from 1 to 1000000"},
    {XMPP "limits = { connections_per_address = 0; };",
     "t.conf:2: limits.connections_per_address = 0: expected a whole number from 1 to 1000000"},
    {XMPP "limits = { allocations = 1000001; };",
     "t.conf:2: limits.allocations = 1000001: expected a whole number from 0 to 1000000"},
    {XMPP "limits = { allocations_per_user = -1; };",
     "t.conf:2: limits.allocations_per_user = -1: expected a whole number from 0 to 1000000"},
    {XMPP "limits = { stun_answers = 1000001; };",
     "t.conf:2: limits.stun_answers = 1000001: expected a whole number from 0 to 1000000"},
    // files
    {TURN("secret_files = \"/x\";"),
     "t.conf:2: turn.secret_files = \"/x\": " EXPECT_PATHS " (a list stands in [ ])"},
    {TURN("secret_files = [ \"x\" ];"), "t.conf:2: turn.secret_files = \"x\": " EXPECT_PATHS},
    {TURN("secret_files = [ \"/x\", \"/X\",\n \"/x\" ];"),
     "t.conf:3: turn.secret_files = \"/x\": " EXPECT_PATHS " (it stands in the list twice)"},
    {TURN("secret_files = [ \"/1\", \"/2\", \"/3\", \"/4\", \"/5\", \"/6\", \"/7\", \"/8\", \"/9\" "
          "];"),
     "t.conf:2: turn.secret_files = [ ... ]: " EXPECT_PATHS " (the list is too long)"},
    {TURN("users_file = \"users\";"),
     "t.conf:2: turn.users_file = \"users\": expected the full path of a file, beginning with "
     "\"/\""},
    {TURN("certificate = \"/etc/hostname\";"),
     "t.conf:2: turn.certificate = \"/etc/hostname\": turn.key is missing: expected both or none"},
    {TURN("key = \"cert.pem\";"),
     "t.conf:2: turn.key = \"cert.pem\": expected the full path of a file, beginning with \"/\""},
};

static void each_error_is_explained(void **state)
{
    config_check_wrong(wrong, sizeof(wrong) / sizeof(wrong[0]));
}

static void realms_end_at_127_bytes(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    config_right(TURN("realm = \"" HUNDRED "90123456789012345678901234.\";"), &config);
    assert_int_equal(strlen(config.turn.realm), 127);
    config_free(&config);
    assert_int_equal(
        config_of(TURN("realm = \"" HUNDRED "901234567890123456789012345.\";"), &config, &errors),
        -EINVAL);
    assert_true(config_says(&errors, false, EXPECT_REALM));
    config_errors_free(&errors);

    // The component's domain may be longer than a realm.
    static const char longest[] = "turn = { enabled = true; };\n"
                                  "xmpp = { domain = \"" HUNDRED "relay.department.example.org\"; "
                                  "secret = \"" SECRET "\"; served_domains = [ \"a\" ]; };";
    assert_int_equal(config_of(longest, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false,
                            "t.conf: turn.realm: xmpp.domain has more than 127 bytes: expected "
                            "this key"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
}

static void one_line_turns_it_on(void **state)
{
    struct config config = {0};
    config_right(XMPP, &config);
    assert_false(config.turn.enabled);
    config_free(&config);
    config_right(XMPP "turn = { enabled = true; };", &config);
    assert_true(config.turn.enabled);
    assert_int_equal(config.turn.ports.count, 1);
    assert_int_equal(config.turn.ports.item[0], 3478);
    assert_int_equal(config.turn.tls_ports.item[0], 5349);
    assert_int_equal(config.turn.credential_lifetime, 12 * 3600 * USEC_PER_SEC);
    assert_int_equal(config.turn.expiry_grace, 12 * 3600 * USEC_PER_SEC);
    assert_true(config.turn.mobility);
    assert_true(config.turn.old_stun);
    assert_false(config.turn.tcp_allocations);
    assert_int_equal(config.turn.proxies.count, 0);
    assert_int_equal(config.turn.secrets.count, 0);
    assert_int_equal(config.turn.users.count, 0);
    assert_null(config.turn.host);
    assert_null(config.turn.realm);
    assert_null(config.turn.certificate);
    assert_int_equal(config.limits.allocations, 5000);
    assert_int_equal(config.limits.allocations_per_user, 40);
    assert_int_equal(config.limits.connections, 2000);
    assert_int_equal(config.limits.connections_per_address, 50);
    assert_int_equal(config.limits.stun_answers, 100);
    char *text = config_printed(&config);
    assert_non_null(strstr(text, "    enabled = true;\n    ports = [ 3478 ];\n"));
    assert_null(strstr(text, "host"));
    assert_null(strstr(text, "realm"));
    free(text);
    config_free(&config);
}

static void keys_without_turn_are_worth_a_warning(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    // Files that nobody uses are not read, and the ports collide with nothing.
    assert_int_equal(config_of(XMPP "turn = { ports = [ 50000 ];\n secret_files = [ \"/nothing\" ];"
                                    " certificate = \"/nothing\"; };",
                               &config, &errors),
                     0);
    assert_true(config_says(&errors, true,
                            "t.conf:2: turn.ports = [ 50000 ]: TURN is off, so that no key of this "
                            "group has an effect: expected turn.enabled = true as well"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    config_free(&config);
    config_right(XMPP "turn = { enabled = false; };", &config);
    config_free(&config);
}

// ---- files

// Loads TURN(keys), where '@' stands for the directory.
static int load(struct place *place, const char *keys, struct config *ret_config,
                struct config_errors *errors)
{
    struct buf text = {0};
    buf_puts(&text, XMPP "turn = { enabled = true; ");
    for (const char *p = keys; *p; p++) {
        if (*p == '@')
            buf_puts(&text, place->directory);
        else
            buf_add(&text, p, 1);
    }
    buf_puts(&text, " };");
    assert_false(text.failed);
    int r = config_of(text.data, ret_config, errors);
    buf_free(&text);
    return r;
}

// One error and no other.
static void load_wrong(struct place *place, const char *keys, const char *error)
{
    struct config config = {0};
    struct config_errors errors = {0};
    assert_int_equal(load(place, keys, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, error));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
}

static void load_right(struct place *place, const char *keys, struct config *ret_config)
{
    struct config_errors errors = {0};
    int r = load(place, keys, ret_config, &errors);
    for (size_t i = 0; i < errors.count; i++)
        print_message("%s\n", errors.item[i].text);
    assert_int_equal(r, 0);
    assert_int_equal(errors.count, 0);
}

static void put_text(struct place *place, const char *name, const char *text)
{
    place_file(place, name, text, strlen(text));
}

static void secrets_are_read_in_their_order(void **state)
{
    struct config config = {0};
    put_text(*state, "new", SECRET "\n");
    put_text(*state, "old", OTHER_SECRET "\r\n");
    load_right(*state, "secret_files = [ \"@/new\", \"@/old\" ];", &config);
    assert_int_equal(config.turn.secrets.count, 2);
    assert_string_equal(config.turn.secrets.item[0], SECRET); // 16 bytes are enough
    assert_string_equal(config.turn.secrets.item[1], OTHER_SECRET);
    char *text = config_printed(&config);
    assert_non_null(strstr(text, "/new\", \"/tmp/"));
    assert_null(strstr(text, SECRET));
    assert_null(strstr(text, OTHER_SECRET));
    free(text);
    config_free(&config);
}

static void bad_secrets_are_refused(void **state)
{
    struct place *place = *state;
    put_text(place, "good", SECRET);
    put_text(place, "short", "0123456789abcde\n");
    load_wrong(place, "secret_files = [ \"@/good\", \"@/short\" ];",
               "/short is short: expected 16 bytes or more, such as \"openssl rand -hex 32\" "
               "prints");
    put_text(place, "short", "\n");
    load_wrong(place, "secret_files = [ \"@/short\" ];", "/short is empty: expected the secret");
    put_text(place, "short", SECRET "\n" SECRET "\n");
    load_wrong(place, "secret_files = [ \"@/short\" ];", "expected one line of text in /tmp/");
    load_wrong(place, "secret_files = [ \"@/missing\" ];",
               "/missing: No such file or directory (this process runs as uid");
    load_wrong(place, "secret_files = [ \"@\" ];", "cannot be read: Is a directory (/tmp/");

    struct config config = {0};
    struct config_errors errors = {0};
    put_text(place, "short", SECRET);
    chmod(place->path, 0644);
    assert_int_equal(load(place, "secret_files = [ \"@/short\" ];", &config, &errors), 0);
    assert_true(config_says(&errors, true, "/short is open to every user of this machine"));
    config_errors_free(&errors);
    config_free(&config);
}

static void the_credential_stands_in_for_an_empty_list(void **state)
{
    struct place *place = *state;
    struct config config = {0};
    put_text(place, "good", SECRET);
    setenv("CREDENTIALS_DIRECTORY", place->directory, 1);
    load_right(place, "", &config); // there is no such credential
    assert_int_equal(config.turn.secrets.count, 0);
    config_free(&config);

    put_text(place, "turn-secret", OTHER_SECRET "\n");
    load_right(place, "", &config);
    assert_int_equal(config.turn.secrets.count, 1);
    assert_string_equal(config.turn.secrets.item[0], OTHER_SECRET);
    assert_int_equal(config.turn.secret_files.count, 1);
    assert_true(config.turn.secrets_by_systemd);
    config_free(&config);
    load_right(place, "secret_files = [ \"@/good\" ];", &config); // what the file says comes first
    assert_int_equal(config.turn.secrets.count, 1);
    assert_false(config.turn.secrets_by_systemd);
    assert_string_equal(config.turn.secrets.item[0], SECRET);
    config_free(&config);

    config_right(XMPP, &config); // without TURN nobody asks
    assert_int_equal(config.turn.secrets.count, 0);
    config_free(&config);
    put_text(place, "turn-secret", "short\n");
    load_wrong(place, "", "/turn-secret is short");
}

static void certificates_must_be_readable(void **state)
{
    struct place *place = *state;
    struct config config = {0};
    struct config_errors errors = {0};
    put_text(place, "cert.pem", "not looked at");
    put_text(place, "key.pem", "not looked at");
    load_right(place, "certificate = \"@/cert.pem\"; key = \"@/key.pem\";", &config);
    assert_non_null(strstr(config.turn.certificate, "/cert.pem"));
    assert_non_null(strstr(config.turn.key, "/key.pem"));
    config_free(&config);
    load_wrong(place, "key = \"@/key.pem\";", "turn.certificate is missing: expected both or none");
    load_wrong(place, "certificate = \"@/cert.pem\"; key = \"@/nothing\";",
               "/nothing: No such file or directory (this process runs as uid");
    load_wrong(place, "certificate = \"@\"; key = \"@/key.pem\";",
               "cannot be read: Is a directory (/tmp/");

    chmod(place_path(place, "cert.pem"), 0644); // as it should be
    chmod(place_path(place, "key.pem"), 0644);
    assert_int_equal(
        load(place, "certificate = \"@/cert.pem\"; key = \"@/key.pem\";", &config, &errors), 0);
    assert_true(config_says(&errors, true, "/key.pem is open to every user of this machine"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    config_free(&config);

    chmod(place->directory, 0711);
    chmod(place_path(place, "key.pem"), 0000);
    bool root = geteuid() == 0;
    if (root) // root reads everything
        assert_int_equal(seteuid(65534), 0);
    int r = load(place, "certificate = \"@/cert.pem\"; key = \"@/key.pem\";", &config, &errors);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(r, -EINVAL);
    assert_true(config_says(&errors, false, "/key.pem\": cannot be read: Permission denied"));
    assert_true(config_says(&errors, false, "mode 0000; this process runs as uid"));
    config_errors_free(&errors);
}

// Ports for TLS are open only where there is TLS.
static void tls_ports_collide_only_when_they_are_open(void **state)
{
    struct place *place = *state;
    struct config config = {0};
    put_text(place, "pem", "not looked at");
    load_right(place, "ports = [ 5349 ];", &config);
    config_free(&config);
    load_right(place, "tls_ports = [ 50000 ];", &config);
    config_free(&config);
    load_wrong(place, "ports = [ 3478, 5349 ];" WITH_TLS,
               "t.conf: turn.tls_ports: port 5349 stands in turn.ports as well: expected another");
    load_wrong(place, "tls_ports = [ 50000 ];" WITH_TLS,
               "t.conf:2: turn.tls_ports = [ 50000 ]: port 50000 lies in relay.ports "
               "(50000-50999)");
    load_right(place, "ports = [ 3478, 49999 ]; tls_ports = [ 443, 51000 ];" WITH_TLS, &config);
    config_free(&config);
}

// ---- users

static void load_users(struct place *place, const char *text, size_t len, struct config *config,
                       struct config_errors *errors, int expected)
{
    place_file(place, "users", text, len);
    assert_int_equal(load(place, "users_file = \"@/users\";", config, errors), expected);
}

static void users_are_read(void **state)
{
    static const char text[] = "# phones\n"
                               "bob:correct horse: battery\n"
                               "\n"
                               "  \t\r\n"
                               "alice@example.org:0123456789abcdef\r\n"
                               "100m:#123456789abcdef"; // a number only at its beginning
    struct config config = {0};
    struct config_errors errors = {0};
    load_users(*state, text, strlen(text), &config, &errors, 0);
    assert_int_equal(errors.count, 0);
    static const char *const expected[] = {
        "bob",  "correct horse: battery", "alice@example.org", "0123456789abcdef",
        "100m", "#123456789abcdef"};
    assert_int_equal(config.turn.users.count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(config.turn.users.item[i], expected[i]);
    char *printed = config_printed(&config);
    assert_non_null(strstr(printed, "    users_file = \"/tmp/"));
    assert_null(strstr(printed, "bob"));
    assert_null(strstr(printed, "horse"));
    free(printed);
    config_free(&config);
}

static void bad_users_are_named_by_their_line(void **state)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"bob\n", "line 1: expected NAME:PASSWORD"},
        {"#\n\nbob\n", "line 3: expected NAME:PASSWORD"},
        {":0123456789abcdef\n", "line 1: expected a name of 1 to 512 bytes"},
        {"1800000000:0123456789abcdef\n", "line 1: expected a name that is not a number"},
        {"1800000000:bob:0123456789abcdef\n", "line 1: expected a name that is not a number"},
        {"b\tob:0123456789abcdef\n", "line 1: expected no control characters"},
        {"bob:0123456789\x7f"
         "bcdef\n",
         "line 1: expected no control characters"},
        {"bob:0123456789abcdef\rbob\n", "line 1: expected no control characters"},
        {"bob:1234567\n", "line 1: expected a password of at least 8 bytes"},
        {"bob:\n", "line 1: expected a password of at least 8 bytes"},
        {"bob:0123456789abcdef\neve:0123456789abcdef\nbob:fedcba9876543210\n",
         "line 3: the name stands in the file twice"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config config = {0};
        struct config_errors errors = {0};
        load_users(*state, bad[i].text, strlen(bad[i].text), &config, &errors, -EINVAL);
        assert_true(config_says(&errors, false, bad[i].error));
        assert_int_equal(errors.count, 1);
        assert_non_null(strstr(errors.item[0].text, "t.conf:2: turn.users_file = \"/tmp/"));
        assert_null(strstr(errors.item[0].text, "012345"));
        config_errors_free(&errors);
    }
}

static void all_bad_users_are_named(void **state)
{
    static const char text[] = "bob\nalice:0123456789abcdef\n12:0123456789abcdef\n";
    struct config config = {0};
    struct config_errors errors = {0};
    load_users(*state, text, strlen(text), &config, &errors, -EINVAL);
    assert_int_equal(errors.count, 2);
    config_errors_free(&errors);
}

static void names_end_at_512_bytes(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    char text[600];
    memset(text, 'n', 513);
    strcpy(text + 512, ":0123456789abcdef\n");
    load_users(*state, text, strlen(text), &config, &errors, 0);
    assert_int_equal(strlen(config.turn.users.item[0]), 512);
    config_free(&config);
    text[512] = 'n';
    strcpy(text + 513, ":0123456789abcdef\n");
    load_users(*state, text, strlen(text), &config, &errors, -EINVAL);
    assert_true(config_says(&errors, false, "line 1: expected a name of 1 to 512 bytes"));
    config_errors_free(&errors);
}

static void odd_files_of_users_are_explained(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    load_users(*state, "bob:01234567\n", 13, &config, &errors, 0);
    assert_true(
        config_says(&errors, true, "line 1: the password is short: expected 16 bytes or more"));
    assert_int_equal(errors.count, 1);
    assert_int_equal(config.turn.users.count, 2);
    config_errors_free(&errors);
    config_free(&config);

    load_users(*state, "", 0, &config, &errors, 0);
    assert_int_equal(config.turn.users.count, 0);
    config_free(&config);

    load_users(*state, "bob:0123\00045678\n", 14, &config, &errors, -EINVAL);
    assert_true(config_says(&errors, false, "expected no NUL bytes in the file"));
    config_errors_free(&errors);

    load_wrong(*state, "users_file = \"@/nothing\";", "/nothing: No such file or directory");
}

// ---- addresses in the end

static int find_public(enum family family, struct addr *ret_addr)
{
    return addr_parse_ip(family == FAMILY_V4 ? "9.9.9.9" : "2620:fe::9", 0, ret_addr);
}

static int find_private(enum family family, struct addr *ret_addr)
{
    return family == FAMILY_V4 ? addr_parse_ip("192.168.1.2", 0, ret_addr) : -ENETUNREACH;
}

static int resolve(const char *text, int (*find)(enum family family, struct addr *ret_addr),
                   struct config_errors *errors)
{
    struct config config = {0};
    assert_int_equal(config_of(text, &config, errors), 0);
    config_errors_free(errors); // a public stats.listen
    int r = config_resolve_addresses(&config, find, errors);
    config_free(&config);
    return r;
}

static void unreachable_servers_are_worth_a_warning(void **state)
{
    struct config_errors errors = {0};
    assert_int_equal(resolve(TURN(""), find_private, &errors), 0);
    assert_true(config_says(&errors, true,
                            "turn.host: clients are told that the TURN server is 192.168.1.2, "
                            "which cannot be reached from the Internet: expected its public name "
                            "or address"));
    assert_true(config_says(&errors, true, "relay.advertise4: clients are told 192.168.1.2"));
    assert_int_equal(errors.count, 2);
    config_errors_free(&errors);

    // A name may mean anything; an address is what it is.
    assert_int_equal(resolve(TURN("host = \"turn.example.org\";"), find_private, &errors), 0);
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    assert_int_equal(resolve(TURN("host = \"9.9.9.9\";"), find_public, &errors), 0);
    assert_int_equal(errors.count, 0);
    assert_int_equal(resolve(TURN("host = \"fd00::1\";"), find_public, &errors), 0);
    assert_true(config_says(&errors, true,
                            "turn.host: clients are told that the TURN server is "
                            "fd00::1"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    assert_int_equal(resolve(XMPP, find_private, &errors), 0);
    assert_int_equal(errors.count, 1); // without TURN
    config_errors_free(&errors);
}

static void stats_and_turn_do_not_share_a_port(void **state)
{
    struct config_errors errors = {0};
    static const char *const wrong_listen[] = {"9.9.9.9:3478", "[2620:fe::9]:3478", "0.0.0.0:3478",
                                               "[::]:3478"};
    for (size_t i = 0; i < sizeof(wrong_listen) / sizeof(wrong_listen[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text), TURN("") "stats = { listen = \"%s\"; };", wrong_listen[i]);
        assert_int_equal(resolve(text, find_public, &errors), -EINVAL);
        char expected[160];
        snprintf(expected, sizeof(expected),
                 "stats.listen = \"%s\": turn.ports has this port on the same address: expected "
                 "another",
                 wrong_listen[i]);
        assert_true(config_says(&errors, false, expected));
        assert_int_equal(errors.count, 1);
        config_errors_free(&errors);
    }
    assert_int_equal(
        resolve(TURN("") "stats = { listen = \"127.0.0.1:3478\"; };", find_public, &errors), 0);
    assert_int_equal(resolve(XMPP "stats = { listen = \"9.9.9.9:3478\"; };", find_public, &errors),
                     0); // TURN is off
    assert_int_equal(errors.count, 0);
    assert_int_equal(
        resolve(TURN("") "stats = { listen = \"9.9.9.9:5349\"; };", find_public, &errors), 0);
    assert_int_equal(errors.count, 0); // there is no TLS
}

static void certificates_are_for_names(void **state)
{
    struct place *place = *state;
    struct config config = {0};
    struct config_errors errors = {0};
    put_text(place, "pem", "not looked at");
    load_right(place, "" WITH_TLS, &config);
    assert_int_equal(config_resolve_addresses(&config, find_public, &errors), 0);
    assert_true(config_says(&errors, true,
                            "turn.host: clients are told an address, but verify the certificate's "
                            "name: expected the name in the certificate"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    config.stats.listen = (struct addr){.ip = {9, 9, 9, 9}, .port = 5349, .family = FAMILY_V4};
    assert_int_equal(config_resolve_addresses(&config, find_public, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "turn.tls_ports has this port on the same address"));
    config_errors_free(&errors);
    config_free(&config);
    load_right(place, "host = \"turn.example.org\";" WITH_TLS, &config);
    assert_int_equal(config_resolve_addresses(&config, find_public, &errors), 0);
    assert_int_equal(errors.count, 0);
    config_free(&config);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_is_explained),
        cmocka_unit_test(realms_end_at_127_bytes),
        cmocka_unit_test(one_line_turns_it_on),
        cmocka_unit_test(keys_without_turn_are_worth_a_warning),
        WITH_PLACE(secrets_are_read_in_their_order),
        WITH_PLACE(bad_secrets_are_refused),
        WITH_PLACE(the_credential_stands_in_for_an_empty_list),
        WITH_PLACE(certificates_must_be_readable),
        WITH_PLACE(tls_ports_collide_only_when_they_are_open),
        WITH_PLACE(users_are_read),
        WITH_PLACE(bad_users_are_named_by_their_line),
        WITH_PLACE(all_bad_users_are_named),
        WITH_PLACE(names_end_at_512_bytes),
        WITH_PLACE(odd_files_of_users_are_explained),
        cmocka_unit_test(unreachable_servers_are_worth_a_warning),
        cmocka_unit_test(stats_and_turn_do_not_share_a_port),
        WITH_PLACE(certificates_are_for_names),
    };
    unsetenv("CREDENTIALS_DIRECTORY");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
