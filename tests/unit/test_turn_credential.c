// SPDX-License-Identifier: ISC
// Giving out TURN REST credentials: a vector computed with
//     printf %s NAME | openssl dgst -sha1 -hmac SECRET -binary | base64
// and that the server takes what it gives.
#include "lib/turn_world.h"
#include "turn/credential.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECRET "north-wind-0123456789abcdef"

static void test_vectors(void **state)
{
    struct turn_credential c;
    assert_int_equal(turn_credential_make(SECRET, "romeo@montague.example", 1795305600, &c), 0);
    assert_string_equal(c.username, "1795305600:romeo@montague.example");
    assert_string_equal(c.password, "vvWUp8bDHhpmtLEwPAf5rX06AgY=");
    assert_int_equal(turn_credential_make(SECRET, "x", 1, &c), 0);
    assert_string_equal(c.username, "1:x");
    assert_string_equal(c.password, "DUBgPDnpIMNjCIz5EUmg4Q4aaRA=");
}

static void test_what_no_server_would_take_is_not_made(void **state)
{
    char longest[TURN_USERNAME_MAX - 2 + 1 + 1];
    struct turn_credential c = {.username = "untouched"};
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(turn_credential_make(SECRET, "", 1795305600, &c), -EINVAL);
    assert_int_equal(turn_credential_make(SECRET, "romeo", -1, &c), -EINVAL);
    longest[TURN_USERNAME_MAX - 2] = '\0'; // "1:" and this: one byte too many
    assert_int_equal(turn_credential_make(SECRET, longest, 1, &c), -EINVAL);
    assert_string_equal(c.username, "untouched");
    longest[TURN_USERNAME_MAX - 3] = '\0';
    assert_int_equal(turn_credential_make(SECRET, longest, 1, &c), 0);
    assert_int_equal(strlen(c.username), TURN_USERNAME_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_what_no_server_would_take_is_not_made),
    };
    return cmocka_run_group_tests_name("turn_credential", tests, NULL, NULL);
}
