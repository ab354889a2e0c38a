// SPDX-License-Identifier: ISC
// Secrets of the configuration: where the component's is looked for, the key of the mask, and files
// that cannot be read, or can be read by everybody.
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

// ---- the component's

// Loads a configuration whose secret stands in the file 'secret'.
static int load_secret(struct place *place, struct config *ret_config, struct config_errors *errors)
{
    char text[512];
    snprintf(text, sizeof(text),
             "xmpp = { domain = \"relay.example.org\"; served_domains = [ \"example.org\" ];\n"
             "secret_file = \"%s/secret\"; };",
             place->directory);
    return config_of(text, ret_config, errors);
}

static void secret_files_are_read(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    place_file(*state, "secret", SECRET "\r\n", sizeof(SECRET) + 1); // newline and all
    assert_int_equal(load_secret(*state, &config, &errors), 0);
    assert_int_equal(errors.count, 0);
    assert_string_equal(config.xmpp.secret, SECRET);
    assert_non_null(config.xmpp.secret_file);
    char *text = config_printed(&config);
    assert_non_null(strstr(text, "/secret\";"));
    assert_null(strstr(text, "secret ="));
    assert_null(strstr(text, SECRET));
    free(text);
    config_free(&config);
}

// Without a key that names it.
static void the_secret_stands_beside_the_configuration(void **state)
{
    static const char text[] = "xmpp = { domain = \"relay.example.org\"; served_domains = [ "
                               "\"example.org\" ]; };";
    struct place *place = *state;
    struct config config = {0};
    struct config_errors errors = {0};
    char path[sizeof place->path + 32];

    place_file(place, "t.conf", text, strlen(text));
    snprintf(path, sizeof path, "%s", place->path);
    assert_int_equal(config_load(path, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, "xmpp.secret_file: expected this key"));
    config_errors_free(&errors);
    place_file(place, "component-secret", SECRET "\n", sizeof SECRET);
    assert_int_equal(config_load(path, &config, &errors), 0);
    assert_string_equal(config.xmpp.secret, SECRET);
    assert_non_null(strstr(config.xmpp.secret_file, "/component-secret"));
    config_free(&config);
    unlink(path);
}

static void secret_files_are_worth_a_warning(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    chmod(place_file(*state, "secret", "short\n", 6), 0644);
    assert_int_equal(load_secret(*state, &config, &errors), 0);
    assert_true(config_says(&errors, true, "open to every user of this machine (mode 0644)"));
    assert_true(config_says(&errors, true, "the secret is short: expected 16 bytes or more"));
    assert_int_equal(errors.warnings, 2);
    assert_int_equal(errors.count, 2);
    assert_string_equal(config.xmpp.secret, "short");
    config_errors_free(&errors);
    config_free(&config);
}

static void bad_secret_files_are_errors(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        const char *error;
    } bad[] = {
        {"", 0, "/secret is empty: expected the secret"},
        {"\n\n", 2, "/secret is empty: expected the secret"},
        {"one\ntwo\n", 8, "expected one line of text in /tmp/"},
        {"one\0two\n", 8, "expected one line of text in /tmp/"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config config = {0};
        struct config_errors errors = {0};
        place_file(*state, "secret", bad[i].data, bad[i].len);
        assert_int_equal(load_secret(*state, &config, &errors), -EINVAL);
        assert_true(config_says(&errors, false, bad[i].error));
        assert_int_equal(errors.count, 1);
        config_errors_free(&errors);
    }
}

static void unreadable_secret_files_are_explained(void **state)
{
    struct config config = {0};
    struct config_errors errors = {0};
    struct place *place = *state;
    assert_int_equal(load_secret(place, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false,
                            "/secret: No such file or directory (this process runs as uid"));
    config_errors_free(&errors);

    place_file(place, "secret", SECRET, strlen(SECRET));
    chmod(place->path, 0000);
    chmod(place->directory, 0711);
    bool root = geteuid() == 0;
    if (root) // root reads everything
        assert_int_equal(seteuid(65534), 0);
    int r = load_secret(place, &config, &errors);
    if (root)
        assert_int_equal(seteuid(0), 0);
    char expected[160];
    snprintf(expected, sizeof(expected),
             "belongs to uid %u, gid %u, mode 0000; this process runs as"
             " uid %u",
             (unsigned)geteuid(), (unsigned)getegid(), root ? 65534 : (unsigned)geteuid());
    assert_int_equal(r, -EINVAL);
    assert_true(config_says(&errors, false, "t.conf:2: xmpp.secret_file = \"/tmp/"));
    assert_true(config_says(&errors, false, "cannot be read: Permission denied"));
    assert_true(config_says(&errors, false, expected));
    config_errors_free(&errors);
}

static void the_credential_is_the_default_secret(void **state)
{
    struct config config = {0};
    struct place *place = *state;
    place_file(place, "component-secret", SECRET "\n", sizeof(SECRET));
    setenv("CREDENTIALS_DIRECTORY", place->directory, 1);
    config_right(
        "xmpp = { domain = \"relay.example.org\"; served_domains = [ \"example.org\" ]; };",
        &config);
    assert_string_equal(config.xmpp.secret, SECRET);
    config_free(&config);
    config_right("xmpp = { domain = \"relay.example.org\"; served_domains = [ \"example.org\" ];\n"
                 "secret = \"fedcba9876543210\"; };", // what the file says comes first
                 &config);
    assert_string_equal(config.xmpp.secret, "fedcba9876543210");
    config_free(&config);
}

// In the configuration itself, or in what it includes: wherever the line stands.
static void secrets_in_place_are_worth_a_warning(void **state)
{
    static const char included[] = "@include \"b.conf\"\n";
    struct place *place = *state;
    char path[2][sizeof place->path];

    snprintf(path[0], sizeof path[0], "%s", place_file(place, "b.conf", XMPP, strlen(XMPP)));
    snprintf(path[1], sizeof path[1], "%s",
             place_file(place, "a.conf", included, strlen(included)));
    for (unsigned bits = 0; bits < 4; bits++) {
        struct config config = {0};
        struct config_errors errors = {0};
        assert_int_equal(chmod(path[0], bits & 1 ? 0644 : 0640), 0);
        assert_int_equal(chmod(path[1], bits & 2 ? 0644 : 0640), 0);
        assert_int_equal(config_load(path[1], &config, &errors), 0);
        assert_int_equal(errors.count, bits & 1);
        if (bits & 1)
            assert_true(config_says(&errors, true,
                                    "/b.conf is open to every user of this machine (mode 0644)"));
        config_errors_free(&errors);
        config_free(&config);
    }
}

// ---- the key of the mask

static int load_key(struct place *place, struct config *ret_config, struct config_errors *errors)
{
    char text[512];
    snprintf(text, sizeof text, XMPP "privacy = { key_file = \"%s/key\"; };", place->directory);
    return config_of(text, ret_config, errors);
}

static void wrong_key(struct place *place, const char *error)
{
    struct config config = {0};
    struct config_errors errors = {0};
    assert_int_equal(load_key(place, &config, &errors), -EINVAL);
    assert_true(config_says(&errors, false, error));
    assert_true(config_says(&errors, false, "t.conf:2: privacy.key_file = \"/tmp/"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
}

static void the_key_of_the_mask_is_read(void **state)
{
    static const char key[] = "0123456\00089abcdef\r\n"; // bytes, with an end of line
    struct config config = {0};
    struct config_errors errors = {0};
    place_file(*state, "key", key, sizeof key - 1);
    assert_int_equal(load_key(*state, &config, &errors), 0);
    assert_int_equal(errors.count, 0);
    assert_int_equal(config.privacy.key_len, 16);
    assert_memory_equal(config.privacy.key, key, 16);
    config_free(&config);

    chmod(place_path(*state, "key"), 0604);
    assert_int_equal(load_key(*state, &config, &errors), 0);
    assert_true(config_says(&errors, true, "/key is open to every user of this machine"));
    assert_int_equal(errors.count, 1);
    config_errors_free(&errors);
    config_free(&config);
}

static void bad_keys_of_the_mask_are_errors(void **state)
{
    struct place *place = *state;
    wrong_key(place, "/key: No such file or directory (this process runs as uid");
    place_file(place, "key", "0123456789abcde\n\n\n\n", 19);
    wrong_key(place, "/key is short: expected 16 bytes or more, such as \"openssl rand -hex 32\"");
    place_file(place, "key", "", 0);
    wrong_key(place, "/key is short: expected 16 bytes or more");
    unlink(place_path(place, "key"));
    assert_int_equal(mkfifo(place_path(place, "key"), 0600), 0); // which nobody will ever fill
    wrong_key(place, "cannot be read: not a regular file");
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(secret_files_are_read),
        WITH_PLACE(the_secret_stands_beside_the_configuration),
        WITH_PLACE(secret_files_are_worth_a_warning),
        WITH_PLACE(bad_secret_files_are_errors),
        WITH_PLACE(unreadable_secret_files_are_explained),
        WITH_PLACE(the_credential_is_the_default_secret),
        WITH_PLACE(secrets_in_place_are_worth_a_warning),
        WITH_PLACE(the_key_of_the_mask_is_read),
        WITH_PLACE(bad_keys_of_the_mask_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
