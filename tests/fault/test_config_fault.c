// SPDX-License-Identifier: ISC
// Memory runs out at each allocation while a configuration with every kind of key and file is read
// and printed: it is read, or refused with -ENOMEM, and nothing is left behind (the sanitizer
// looks).
#include "config.h"
#include "fault/lib_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define XMPP                                                                                       \
    "xmpp = { domain = \"relay.example.org\"; secret_file = \"%/secret\"; "                        \
    "served_domains = [ \"example.org\", \"example.net\" ]; };\n"

const char *__lsan_default_suppressions(void);

// libconfig's grammar has no destructors: at a syntax error it loses the text token in hand.
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

static char directory[] = "/tmp/test_config_fault.XXXXXX";

static const struct {
    const char *name, *text;
} files[] = {
    {"secret", "0123456789abcdef\n"},
    {"secret2", "fedcba9876543210\n"},
    {"turn-secret", "fedcba98765432100\n"},
    {"users", "bob:0123456789abcdef\nalice:short pass\n"},
    {"more.conf", "relay = { allow_peers = [ \"10.0.0.0/8\" ]; };\n"},
};

static const char *path_of(const char *name)
{
    static char path[64];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

// '%' stands for the directory.
static void put_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    for (const char *p = text; *p; p++) {
        if (*p == '%')
            fputs(directory, f);
        else
            fputc(*p, f);
    }
    fclose(f);
    assert_int_equal(chmod(path_of(name), 0600), 0);
}

static int make_files(void **state)
{
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        put_file(files[i].name, files[i].text);
    unsetenv("CREDENTIALS_DIRECTORY");
    return 0;
}

static int remove_files(void **state)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        unlink(path_of(files[i].name));
    unlink(path_of("a.conf"));
    return rmdir(directory);
}

static int find_private(enum family family, struct addr *ret_addr)
{
    return family == FAMILY_V4 ? addr_parse_ip("192.168.1.2", 0, ret_addr) : -ENETUNREACH;
}

// What the daemon and --check-config do with a file.
static int read_and_print(const char *path)
{
    struct config config = {0};
    struct config_errors errors = {0};
    struct buf out = {0};
    int r = config_load(path, &config, &errors);

    if (r != 0 && r != -ENOMEM && errors.count == errors.warnings)
        fail_msg("allocation %u: %d without an error", alloc_count(), r);
    if (r == 0)
        r = config_resolve_addresses(&config, find_private, &errors);
    if (r == 0)
        config_print(&config, &out);
    if (r == 0 && (out.failed || errors.failed))
        r = -ENOMEM;
    buf_free(&out);
    config_errors_free(&errors);
    config_free(&config);
    return r;
}

// Until the whole run passes untouched; then it gives 'expected'.
static void sweep(const char *text, int expected)
{
    char path[64];
    unsigned k = 0;
    int r;

    put_file("a.conf", text);
    strcpy(path, path_of("a.conf"));
    do {
        alloc_fail_at(++k);
        r = read_and_print(path);
        if (alloc_failed() && r != -ENOMEM && r != expected)
            fail_msg("allocation %u: %d", k, r);
    } while (alloc_failed());
    alloc_fail_at(0);
    assert_int_equal(r, expected);
    assert_true(k > 50);
    print_message("%u allocations\n", k);
}

static void everything_is_read(void **state)
{
    sweep(XMPP "@include \"more.conf\"\n"
               "turn = { enabled = true; host = \"turn.example.org\"; ports = [ 80, 443 ];\n"
               "  certificate = \"%/secret\"; key = \"%/secret2\"; realm = \"example.org\";\n"
               "  secret_files = [ \"%/secret\", \"%/secret2\" ]; users_file = \"%/users\";\n"
               "  proxies = [ \"192.0.2.0/24\" ]; };\n"
               "privacy = { key_file = \"%/secret\"; };\n",
          0);
}

static void credentials_are_found(void **state)
{
    setenv("CREDENTIALS_DIRECTORY", directory, 1);
    sweep(XMPP "turn = { enabled = true; };\n", 0);
    unsetenv("CREDENTIALS_DIRECTORY");
}

static void a_syntax_error_is_told(void **state)
{
    sweep(XMPP "turn = { enabled true; };\n", -EINVAL);
}

static void errors_are_told(void **state)
{
    sweep(XMPP "turn = { enabled = true; prots = 1; realm = \"\"; certificate = \"/nothing\";\n"
               "  secret_files = [ \"%/more.conf\", \"%/secret2\" ]; users_file = \"%/secret\";\n"
               "  ports = [ 50000, 1 ]; tls_ports = [ 1, 1 ]; proxies = [ \"x\" ]; };\n",
          -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(credentials_are_found),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(a_syntax_error_is_told),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
