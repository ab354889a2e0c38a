// SPDX-License-Identifier: ISC
// Jabber identifiers: RFC 7622 section 3.2 splitting, the examples of XEP-0106, wrapping.
#include "codec/jid.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void parts_are_split(void **state)
{
    struct jid j;
    assert_int_equal(jid_parse("bob@example.org/a/b@c", &j), 0);
    assert_memory_equal(j.local, "bob", j.local_len);
    assert_int_equal(j.local_len, 3);
    assert_memory_equal(j.domain, "example.org", j.domain_len);
    assert_int_equal(j.domain_len, 11);
    assert_string_equal(j.resource, "a/b@c"); // only the first slash cuts
    assert_int_equal(j.resource_len, 5);
    assert_int_equal(j.bare_len, 15);

    assert_int_equal(jid_parse("relay.example.org", &j), 0);
    assert_int_equal(j.local_len, 0);
    assert_int_equal(j.resource_len, 0);
    assert_int_equal(j.bare_len, 17);

    assert_int_equal(jid_parse("example.org/bob@home", &j), 0);
    assert_int_equal(j.local_len, 0);
    assert_int_equal(j.domain_len, 11);

    assert_int_equal(jid_parse("x@[2001:db8::1]/r", &j), 0);
    assert_int_equal(j.domain_len, 13);
}

static void bad_jids_are_refused(void **state)
{
    static const char *const bad[] = {
        "",      "@",      "/",     "@example.org", "bob@",      "bob@/r",     "bob@example.org/",
        "a b@x", "a\"b@x", "a&b@x", "a'b@x",        "a:b@x",     "a<b@x",      "a>b@x",
        "a@b@x", "a\tb@x", "a@x y", "a\x7f@x",      "a@x\n.org", "/bob@x.org",
    };
    struct jid j = {.bare_len = 77};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (jid_parse(bad[i], &j) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(jid_parse(NULL, &j), -EINVAL);
    assert_int_equal(j.bare_len, 77); // written only on success
}

// Three parts of 'n' bytes each.
static const char *long_jid(size_t local, size_t domain, size_t resource)
{
    static char text[4096];
    char *p = text;
    memset(p, 'l', local);
    p += local;
    *p++ = '@';
    memset(p, 'd', domain);
    p += domain;
    *p++ = '/';
    memset(p, 'r', resource);
    p[resource] = '\0';
    return text;
}

static void parts_have_1023_bytes(void **state)
{
    struct jid j;
    assert_int_equal(jid_parse(long_jid(1023, 1023, 1023), &j), 0);
    assert_int_equal(strlen(long_jid(1023, 1023, 1023)) + 1, JID_MAX);
    assert_int_equal(jid_parse(long_jid(1024, 1, 1), &j), -EINVAL);
    assert_int_equal(jid_parse(long_jid(1, 1024, 1), &j), -EINVAL);
    assert_int_equal(jid_parse(long_jid(1, 1, 1024), &j), -EINVAL);
}

static void comparison(void **state)
{
    assert_true(jid_equal("bob@Example.ORG/R", "bob@example.org/R"));
    assert_false(jid_equal("bob@example.org/R", "bob@example.org/r"));
    assert_false(jid_equal("Bob@example.org/R", "bob@example.org/R"));
    assert_false(jid_equal("bob@example.org", "bob@example.org/R"));
    assert_false(jid_equal("example.org", "bob@example.org"));
    assert_true(jid_equal("example.org", "example.org"));
    assert_false(jid_equal("bob@", "bob@")); // not a JID: equal to nothing
    assert_false(jid_equal(NULL, NULL));
    assert_true(jid_equal_bare("bob@example.org/a", "bob@EXAMPLE.org/b"));
    assert_true(jid_equal_bare("bob@example.org", "bob@example.org/b"));
    assert_false(jid_equal_bare("bob@example.org", "bobb@example.org"));
    assert_true(jid_domain_is("bob@Relay.example.org/x", "relay.example.org"));
    assert_false(jid_domain_is("bob@relay.example.org", "example.org"));
    assert_false(jid_domain_is("bob@", ""));
    assert_false(jid_domain_is(NULL, "example.org"));
}

static void expect_escape(const char *plain, const char *escaped)
{
    char buf[256];
    assert_int_equal(jid_escape(plain, strlen(plain), buf, sizeof(buf)), strlen(escaped));
    assert_string_equal(buf, escaped);
    assert_int_equal(jid_unescape(escaped, strlen(escaped), buf, sizeof(buf)), strlen(plain));
    assert_string_equal(buf, plain);
}

// XEP-0106 section 5.1, table "JID Examples", in order; then sections 5.2 and 4.2.
static void xep_0106_examples(void **state)
{
    expect_escape("space cadet", "space\\20cadet");
    expect_escape("call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22");
    expect_escape("at&t guy", "at\\26t\\20guy");
    expect_escape("d'artagnan", "d\\27artagnan");
    expect_escape("/.fanboy", "\\2f.fanboy");
    expect_escape("::foo::", "\\3a\\3afoo\\3a\\3a");
    expect_escape("<foo>", "\\3cfoo\\3e");
    expect_escape("user@host", "user\\40host");
    expect_escape("c:\\net", "c\\3a\\net");
    expect_escape("c:\\\\net", "c\\3a\\\\net");
    expect_escape("c:\\cool stuff", "c\\3a\\cool\\20stuff");
    expect_escape("c:\\5commas", "c\\3a\\5c5commas");
    expect_escape("here's_a_wild_&_/cr%zy/_address", "here\\27s_a_wild_\\26_\\2fcr%zy\\2f_address");
    expect_escape("\\3and\\2is\\5cool", "\\5c3and\\2is\\5c5cool");
    expect_escape("tr\xc3\xa9ville@musketeers.lit", "tr\xc3\xa9ville\\40musketeers.lit");
}

// XEP-0106 section 4.3: what is no escape stays as it is, both ways.
static void partial_escapes_are_plain_text(void **state)
{
    expect_escape("\\2plus\\2is\\4", "\\2plus\\2is\\4");
    expect_escape("foo\\bar", "foo\\bar");
    expect_escape("foob\\41r", "foob\\41r");
    expect_escape("up\\2Fper", "up\\2Fper"); // "CASE IS SIGNIFICANT"
    expect_escape("end\\", "end\\");
    expect_escape("end\\4", "end\\4");
    expect_escape("", "");
}

static void spaces_at_the_ends_cannot_be_escaped(void **state)
{
    char buf[16];
    assert_int_equal(jid_escape(" a", 2, buf, sizeof(buf)), -EINVAL);
    assert_int_equal(jid_escape("a ", 2, buf, sizeof(buf)), -EINVAL);
    assert_int_equal(jid_escape(" ", 1, buf, sizeof(buf)), -EINVAL);
}

static void buffers_are_bounded(void **state)
{
    char buf[8];
    memset(buf, '#', sizeof(buf));
    assert_int_equal(jid_escape("a@b", 3, buf, 5), -ENOSPC);
    assert_int_equal(buf[5], '#');
    assert_int_equal(jid_escape("a@b", 3, buf, 6), 5);
    assert_int_equal(buf[6], '#');
    assert_int_equal(jid_unescape("abc", 3, buf, 3), -ENOSPC);
    assert_int_equal(jid_unescape("abc", 3, buf, 4), 3);
    assert_int_equal(jid_unescape("", 0, buf, 0), -ENOSPC);
    // Only the given length is read: the 40 behind it belongs to somebody else.
    assert_int_equal(jid_unescape("a\\40", 2, buf, sizeof(buf)), 2);
    assert_string_equal(buf, "a\\");
    char big[64];
    assert_int_equal(jid_wrap("bob@example.org/r", "relay", big, 25), -ENOSPC);
    assert_int_equal(jid_wrap("bob@example.org/r", "relay", big, 26), 25);
    assert_int_equal(jid_unwrap("bob\\40example.org@relay/r", big, 17), -ENOSPC);
    assert_int_equal(jid_unwrap("bob\\40example.org@relay/r", big, 18), 17);
}

static void expect_wrap(const char *jid, const char *wrapped)
{
    char buf[JID_MAX];
    assert_int_equal(jid_wrap(jid, "relay.example.org", buf, sizeof(buf)), strlen(wrapped));
    assert_string_equal(buf, wrapped);
    assert_int_equal(jid_unwrap(wrapped, buf, sizeof(buf)), strlen(jid));
    assert_string_equal(buf, jid);
}

static void wrapping_goes_both_ways(void **state)
{
    expect_wrap("alice@example.org/phone", "alice\\40example.org@relay.example.org/phone");
    expect_wrap("alice@example.org", "alice\\40example.org@relay.example.org");
    // Escaped already: the backslash is escaped once more, or unwrapping would make another user.
    expect_wrap("d\\27artagnan@musketeers.lit/elder",
                "d\\5c27artagnan\\40musketeers.lit@relay.example.org/elder");
    expect_wrap("treville\\40musketeers.lit@smtp.gascon.fr",
                "treville\\5c40musketeers.lit\\40smtp.gascon.fr@relay.example.org");
    expect_wrap("a\\5c40b@x.org", "a\\5c5c40b\\40x.org@relay.example.org");
    expect_wrap("c\\net@x.org", "c\\net\\40x.org@relay.example.org");
    expect_wrap("\\20@x.org", "\\5c20\\40x.org@relay.example.org");
    // A local part that ends in a backslash: the escaped @ behind it is 40 behind "\\", still.
    expect_wrap("end\\@x.org", "end\\\\40x.org@relay.example.org");
    expect_wrap("end\\5@x.org", "end\\5\\40x.org@relay.example.org");
    expect_wrap("bob@[2001:db8::1]/r", "bob\\40[2001\\3adb8\\3a\\3a1]@relay.example.org/r");
    expect_wrap("\xc3\xa9@\xc3\xa9.org/\xf0\x9f\x93\x9e/ @\\40",
                "\xc3\xa9\\40\xc3\xa9.org@relay.example.org/\xf0\x9f\x93\x9e/ @\\40");
}

// Every local part of up to four characters out of those that matter to escaping.
static void wrapping_is_reversible(void **state)
{
    static const char alphabet[] = "\\0245cfa";
    const unsigned n = sizeof(alphabet) - 1;
    for (unsigned code = 0; code < n * n * n * n * n; code++) {
        char jid[32];
        unsigned rest = code;
        for (unsigned i = 0; i < 5; i++, rest /= n)
            jid[i] = alphabet[rest % n];
        memcpy(jid + 5, "@x.org", sizeof("@x.org"));
        char wrapped[JID_MAX];
        char back[JID_MAX];
        assert_true(jid_wrap(jid, "r.org", wrapped, sizeof(wrapped)) > 0);
        assert_true(jid_unwrap(wrapped, back, sizeof(back)) > 0);
        if (strcmp(jid, back) != 0)
            fail_msg("%s became %s became %s", jid, wrapped, back);
    }
}

static void what_is_not_wrapped_is_refused(void **state)
{
    static const char *const bad[] = {
        "relay.example.org",                    // no local part
        "bob@relay.example.org",                // of no domain
        "example.org@relay.example.org",        // a domain, no user
        "\\40example.org@relay.example.org",    // an empty user
        "bob\\40@relay.example.org",            // no domain
        "a\\40b\\40c@relay.example.org",        // two at signs
        "bob\\40x.org\\2fr@relay.example.org",  // a resource inside
        "d\\27artagnan\\40x@relay.example.org", // unescapes to a character no local part has
        "\\20bob\\40x@relay.example.org",
        "bob\\40x\\20y@relay.example.org",
        "bad jid\\40x@relay.example.org",
    };
    char buf[JID_MAX];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (jid_unwrap(bad[i], buf, sizeof(buf)) != -EINVAL)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(jid_wrap("example.org", "r", buf, sizeof(buf)), -EINVAL);
    assert_int_equal(jid_wrap("a b@example.org", "r", buf, sizeof(buf)), -EINVAL);
    assert_int_equal(jid_wrap(NULL, "r", buf, sizeof(buf)), -EINVAL);
}

static void the_wrapped_local_part_has_1023_bytes(void **state)
{
    char buf[JID_MAX];
    // 1019 + "\40" + 1 = 1023
    assert_true(jid_wrap(long_jid(1019, 1, 1), "r", buf, sizeof(buf)) > 0);
    char back[JID_MAX];
    assert_int_equal(jid_unwrap(buf, back, sizeof(back)), 1023);
    assert_int_equal(jid_wrap(long_jid(1020, 1, 1), "r", buf, sizeof(buf)), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_split),
        cmocka_unit_test(bad_jids_are_refused),
        cmocka_unit_test(parts_have_1023_bytes),
        cmocka_unit_test(comparison),
        cmocka_unit_test(xep_0106_examples),
        cmocka_unit_test(partial_escapes_are_plain_text),
        cmocka_unit_test(spaces_at_the_ends_cannot_be_escaped),
        cmocka_unit_test(buffers_are_bounded),
        cmocka_unit_test(wrapping_goes_both_ways),
        cmocka_unit_test(wrapping_is_reversible),
        cmocka_unit_test(what_is_not_wrapped_is_refused),
        cmocka_unit_test(the_wrapped_local_part_has_1023_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
