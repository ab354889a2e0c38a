// SPDX-License-Identifier: ISC
// The element tree: parsing within limits, writing what parses back to the same, changing.
#include "codec/xml.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const struct xml_limits wide = {.bytes = 1 << 20, .depth = 64, .elements = 10000};

static struct xml *parse(const char *text)
{
    struct xml *x = NULL;
    if (xml_parse(text, strlen(text), &wide, &x) < 0)
        fail_msg("does not parse: %s", text);
    return x;
}

static char *write_ns(const struct xml *x, const char *default_ns)
{
    struct buf out = {0};
    xml_write(x, default_ns, &out);
    char *text = buf_take(&out);
    assert_non_null(text);
    return text;
}

// Parsed, written and parsed again, it means the same and is written the same.
static void expect_round_trip(const char *text, const char *default_ns)
{
    struct xml *x = parse(text);
    char *once = write_ns(x, "");
    struct xml *y = parse(once);
    if (!xml_equal(x, y) || !xml_equal(y, x))
        fail_msg("%s\nbecame\n%s", text, once);
    char *twice = write_ns(y, "");
    assert_string_equal(once, twice);
    free(once);
    free(twice);

    // With a default namespace from outside the outer tag may be bare; a wrapper supplies it.
    char *bare = write_ns(x, default_ns);
    struct buf wrapped = {0};
    buf_printf(&wrapped, "<w xmlns=\"%s\">", default_ns);
    buf_puts(&wrapped, bare);
    buf_puts(&wrapped, "</w>");
    struct xml *w = parse(wrapped.data);
    assert_true(xml_equal(x, w->first));
    free(bare);
    buf_free(&wrapped);
    xml_free(w);
    xml_free(x);
    xml_free(y);
}

static void expect_written(const char *text, const char *default_ns, const char *expected)
{
    struct xml *x = parse(text);
    char *out = write_ns(x, default_ns);
    assert_string_equal(out, expected);
    free(out);
    xml_free(x);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    size_t n = fread(text, 1, (1 << 16) - 1, f);
    assert_true(n > 0 && feof(f));
    fclose(f);
    return text;
}

static void every_sample_stanza_survives(void **state)
{
    const char *data = getenv("TEST_DATA");
    char dir[512];
    snprintf(dir, sizeof(dir), "%s/stanzas", data ? data : "tests/data");
    DIR *d = opendir(dir);
    assert_non_null(d);
    unsigned count = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (!strstr(e->d_name, ".xml"))
            continue;
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        char *text = read_file(path);
        expect_round_trip(text, "jabber:client");
        free(text);
        count++;
    }
    closedir(d);
    assert_true(count >= 42);
}

static void names_have_namespaces(void **state)
{
    struct xml *x =
        parse("<iq xmlns='jabber:client' xmlns:j='urn:xmpp:jingle:1' to='b' xml:lang='en'"
              " xmlns:q='urn:q' q:to='other'>"
              "<j:jingle sid='1'><content/><j:content/></j:jingle><ping/></iq>");
    assert_true(xml_is(x, "iq", "jabber:client"));
    assert_true(xml_is(x, "iq", NULL));
    assert_false(xml_is(x, "iq", "jabber:server"));
    assert_false(xml_is(NULL, "iq", NULL));
    assert_string_equal(xml_attr(x, "to"), "b");
    assert_null(xml_attr(x, "lang")); // that one is xml:lang
    assert_null(xml_attr(x, "xmlns"));

    const struct xml *j = xml_child(x, "jingle", "urn:xmpp:jingle:1");
    assert_non_null(j);
    assert_null(xml_child(x, "jingle", "jabber:client"));
    assert_ptr_equal(xml_child(x, NULL, NULL), j);
    assert_true(xml_is(xml_next(j, NULL, NULL), "ping", "jabber:client"));
    assert_null(xml_next(j, "content", NULL));
    assert_true(xml_is(xml_child(j, "content", "jabber:client"), "content", NULL));
    assert_true(xml_is(xml_child(j, "content", "urn:xmpp:jingle:1"), "content", NULL));
    xml_free(x);
}

static void attributes_keep_their_namespaces(void **state)
{
    expect_round_trip("<a xmlns='urn:a' xml:lang='de' b='1' xmlns:p='urn:p' p:b='2' p:c='3'"
                      " xmlns:r='urn:r' r:b='4'><b xml:space='preserve' p:b='5'/></a>",
                      "urn:a");
    expect_written("<a xml:lang='de' xmlns:p='urn:p&amp;\"' p:b='2' p:c='3' d='4'/>", "",
                   "<a xml:lang=\"de\" xmlns:n1=\"urn:p&amp;&quot;\" n1:b=\"2\""
                   " xmlns:n2=\"urn:p&amp;&quot;\" n2:c=\"3\" d=\"4\"/>");
}

static void namespaces_are_declared_where_they_change(void **state)
{
    expect_written("<p:a xmlns:p='urn:a'><p:b/><c/><d xmlns='urn:d'><e/><p:f/></d></p:a>", "",
                   "<a xmlns=\"urn:a\"><b/><c xmlns=\"\"/><d xmlns=\"urn:d\"><e/>"
                   "<f xmlns=\"urn:a\"/></d></a>");
    expect_written("<iq xmlns='jabber:client'><q xmlns='urn:q'/></iq>", "jabber:client",
                   "<iq><q xmlns=\"urn:q\"/></iq>");
    expect_written("<a/>", "jabber:client", "<a xmlns=\"\"/>");
    expect_written("<a/>", NULL, "<a/>");
    // The namespace of xml: cannot be a default one.
    expect_written("<a xmlns='urn:a'><xml:b><c/></xml:b></a>", "urn:a",
                   "<a><xml:b><c/></xml:b></a>");
    expect_round_trip("<a xmlns='urn:a'><xml:b><c/></xml:b></a>", "urn:a");
}

static void text_is_escaped_and_keeps_its_place(void **state)
{
    expect_written("<a>one<b/>two &lt;&amp;&gt;<!-- no --> three<c/><![CDATA[]] >]]>&#13;\n</a>",
                   "", "<a>one<b/>two &lt;&amp;&gt; three<c/>]] &gt;&#13;\n</a>");
    expect_written("<a b='&#9;&#10;&#13;&lt;&gt;&amp;&quot;&apos;'/>", "",
                   "<a b=\"&#9;&#10;&#13;&lt;&gt;&amp;&quot;'\"/>");
    expect_round_trip("<a> <b/>\t<c>x</c> &#9; tail &#xe9;&#x1F4DE;</a>", "urn:x");
    expect_round_trip("<a b='&#9;&#10;&#13; x'>&#13;&#10;</a>", "urn:x");
}

// XML 1.0 section 2.2; one such byte on the wire and the server closes the stream.
static void what_xml_cannot_carry_is_left_out(void **state)
{
    static const struct {
        const char *text;
        const char *written;
    } rows[] = {
        {"a\x01\x08\x0b\x1f\x62", "ab"},
        {"\x7f\xc2\x80", "\x7f\xc2\x80"},         // allowed, if discouraged
        {"a\x80z", "az"},                         // a continuation byte on its own
        {"a\xc3", "a"},                           // cut short at the end
        {"a\xe2\x82", "a"},                       // "
        {"a\xf0\x9f\x93z", "az"},                 // "
        {"\xc0\xaf\xc1\xbf\xe0\x9f\xbf", ""},     // longer than needed
        {"\xf0\x8f\xbf\xbf\xf4\x90\x80\x80", ""}, // longer than needed; beyond U+10FFFF
        {"\xed\xa0\x80\xed\xbf\xbf", ""},         // surrogates
        {"\xef\xbf\xbe\xef\xbf\xbf", ""},         // U+FFFE, U+FFFF
        {"\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
         "\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct xml *x = xml_new("a", "");
        assert_int_equal(xml_set(x, "b", rows[i].text), 0);
        assert_int_equal(xml_add_text(x, rows[i].text, strlen(rows[i].text)), 0);
        char *out = write_ns(x, "");
        char expected[128];
        snprintf(expected, sizeof(expected), "<a b=\"%s\">%s</a>", rows[i].written,
                 rows[i].written);
        assert_string_equal(out, expected);
        xml_free(parse(out));
        free(out);
        xml_free(x);
    }
}

static void expect_refused(const char *text, int error)
{
    struct xml *x = (struct xml *)(uintptr_t)8;
    int r = xml_parse(text, strlen(text), &wide, &x);
    if (r != error)
        fail_msg("%d, not %d: %.80s", r, error, text);
    assert_ptr_equal(x, (void *)(uintptr_t)8); // written only on success
}

static void what_xmpp_forbids_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "text",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "<a b='1' b='2'/>",
        "<p:a/>",
        "<a p:b='1'/>",
        "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
        "<a>&nbsp;</a>",
        "<a>\x01</a>",
        "<a>\xc3</a>",
        "<a>\xff</a>",
        "<a b='<'/>",
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>",
        // Billion laughs, small.
        "<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;'>]><a>&y;&y;</a>",
        "<?xml version='1.0'?><?php x?><a/>",
        "<a><?x y?></a>",
        "<a/><?x y?>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refused(bad[i], -EBADMSG);
    // An embedded NUL is not the end of the document.
    struct xml *x = NULL;
    assert_int_equal(xml_parse("<a/>\0<b/>", 9, &wide, &x), -EBADMSG);
    // The declaration is fine; comments are skipped, and UTF-8 is what XMPP speaks.
    x = parse("<?xml version='1.0' encoding='iso-8859-1'?><!-- c --><a>\xc3\xa9</a><!-- d -->");
    assert_string_equal(xml_text(x), "\xc3\xa9");
    xml_free(x);
}

static void limits_hold_exactly(void **state)
{
    struct xml_limits limits = {.bytes = 30, .depth = 3, .elements = 4};
    static const struct {
        const char *text;
        int result;
    } rows[] = {
        {"<a><b><c/></b></a>", 0},
        {"<a><b><c><d/></c></b></a>", -E2BIG}, // depth 4
        {"<a><b/><b/><b/></a>", 0},
        {"<a><b/><b/><b/><b/></a>", -E2BIG},         // 5 elements
        {"<a>23456789012345678901234</a>", 0},       // 30 bytes
        {"<a>234567890123456789012345</a>", -E2BIG}, // 31
        {"<a><b/><b/><b/><b/>", -E2BIG},             // never closed
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct xml *x = NULL;
        assert_int_equal(xml_parse(rows[i].text, strlen(rows[i].text), &limits, &x),
                         rows[i].result);
        xml_free(x);
    }
}

static char *repeated(const char *start, const char *unit, size_t times, const char *end)
{
    size_t n = strlen(unit);
    char *text = malloc(strlen(start) + n * times + strlen(end) + 1);
    assert_non_null(text);
    char *p = stpcpy(text, start);
    for (size_t i = 0; i < times; i++)
        p = stpcpy(p, unit);
    strcpy(p, end);
    return text;
}

// Input that would take a careless builder quadratic time or a deep stack.
static void bombs_are_cheap(void **state)
{
    clock_t start = clock();
    char *deep = repeated("", "<a>", 300000, "");
    expect_refused(deep, -E2BIG);
    free(deep);
    char *broad = repeated("<a>", "<b/>", 200000, "</a>");
    expect_refused(broad, -E2BIG);
    free(broad);

    char *lines = repeated("<a>", "&amp;\n", 150000, "</a>"); // two pieces from expat each
    struct xml *x = parse(lines);
    assert_int_equal(strlen(xml_text(x)), 300000);
    xml_free(x);
    free(lines);

    char *many = malloc(1 << 20);
    assert_non_null(many);
    char *p = stpcpy(many, "<a");
    for (int i = 0; i < 50000; i++)
        p += sprintf(p, " a%d=''", i);
    strcpy(p, "/>");
    x = parse(many);
    assert_non_null(xml_attr(x, "a49999"));
    xml_free(x);
    free(many);
    assert_true(clock() - start < 10 * CLOCKS_PER_SEC);
}

static void attributes_change(void **state)
{
    struct xml *x = xml_new("a", NULL);
    assert_string_equal(x->ns, "");
    assert_int_equal(xml_set(x, "b", "1"), 0);
    assert_int_equal(xml_setf(x, "c", "%d-%s", 7, "x"), 0);
    assert_int_equal(xml_set_ns(x, XML_NS_XML, "b", "2"), 0);
    assert_string_equal(xml_attr(x, "b"), "1");
    assert_string_equal(xml_attr(x, "c"), "7-x");
    assert_int_equal(xml_set(x, "b", xml_attr(x, "b")), 0); // its own value
    assert_int_equal(xml_set(x, "b", "3"), 0);
    char *out = write_ns(x, "");
    assert_string_equal(out, "<a b=\"3\" c=\"7-x\" xml:b=\"2\"/>");
    free(out);
    assert_int_equal(xml_set(x, "b", NULL), 0);
    assert_int_equal(xml_set(x, "gone", NULL), 0);
    assert_null(xml_attr(x, "b"));
    assert_int_equal(xml_set_ns(x, XML_NS_XML, "b", NULL), 0);
    assert_int_equal(xml_set_ns(x, "", "d", "4"), 0); // "" is no namespace
    assert_string_equal(xml_attr(x, "d"), "4");
    assert_int_equal(xml_set(x, "xmlns", "urn:trap"), 0); // never written: the element has its own
    out = write_ns(x, "");
    assert_string_equal(out, "<a c=\"7-x\" d=\"4\"/>");
    free(out);
    xml_free(x);
}

static void trees_change(void **state)
{
    struct xml *x = xml_new("a", "urn:a");
    assert_int_equal(xml_add_text(x, "one!", 3), 0);
    struct xml *b = xml_add(x, "b", NULL);
    struct xml *c = xml_add(x, "c", "urn:c");
    assert_int_equal(xml_add_text(x, "two", 3), 0);
    assert_int_equal(xml_add_text(x, "", 0), 0);
    assert_int_equal(xml_add_text(x, "three", 5), 0);
    assert_non_null(xml_add(c, "d", NULL));
    assert_string_equal(xml_text(x), ""); // two pieces
    assert_string_equal(xml_text(b), "");

    struct xml *copy = xml_clone(x);
    assert_true(xml_equal(x, copy));
    struct xml *part = xml_clone(c);
    assert_null(part->parent);
    assert_null(part->prev);

    xml_detach(c);
    assert_null(c->parent);
    assert_false(xml_equal(x, copy));
    xml_append(b, c);
    char *out = write_ns(x, "");
    assert_string_equal(out,
                        "<a xmlns=\"urn:a\">one<b><c xmlns=\"urn:c\"><d/></c></b>twothree</a>");
    free(out);
    xml_detach(x); // a root: nothing to do
    xml_free(b);   // leaves x, and takes c with it
    assert_null(xml_child(x, NULL, NULL));
    assert_non_null(x->first);

    // Neighbouring pieces mean the same as one.
    struct xml *whole = parse("<a xmlns='urn:a'>onetwothree</a>");
    assert_true(xml_equal(x, whole));
    assert_true(xml_equal(whole, x));
    xml_free(x->last);
    assert_ptr_equal(x->first, x->last);
    assert_string_equal(xml_text(x), "one");
    assert_false(xml_equal(x, whole));
    assert_false(xml_equal(whole, x));
    xml_free(whole);
    xml_free(part);
    xml_free(copy);
    xml_free(x);
    xml_free(NULL);
}

static void differences_are_seen(void **state)
{
    struct xml *x = parse("<a xmlns='urn:a' b='1' c='2'>x<d/>y</a>");
    static const char *const others[] = {
        "<b xmlns='urn:a' b='1' c='2'>x<d/>y</b>",
        "<a xmlns='urn:b' b='1' c='2'>x<d/>y</a>",
        "<a xmlns='urn:a' b='1' c='3'>x<d/>y</a>",
        "<a xmlns='urn:a' b='1'>x<d/>y</a>",
        "<a xmlns='urn:a' b='1' c='2' d=''>x<d/>y</a>",
        "<a xmlns='urn:a' b='1' c='2'>x<e/>y</a>",
        "<a xmlns='urn:a' b='1' c='2'><d/>xy</a>",
        "<a xmlns='urn:a' b='1' c='2'>x<d/></a>",
        "<a xmlns='urn:a' b='1' c='2'>x<d/>yz</a>",
        "<a xmlns='urn:a' b='1' c='2'>x<d/>y<d/></a>",
        "<a xmlns='urn:a' b='1' c='2'>x<d>z</d>y</a>",
        "<a xmlns='urn:a' b='1' xml:c='2'>x<d/>y</a>",
        "<a xmlns='urn:a' b='1' c='2'/>",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct xml *y = parse(others[i]);
        if (xml_equal(x, y) || xml_equal(y, x))
            fail_msg("equal to %s", others[i]);
        xml_free(y);
    }
    struct xml *same = parse("<p:a c='2' xmlns:p='urn:a' b='1'>x<p:d></p:d>y</p:a>");
    assert_true(xml_equal(x, same));
    xml_free(same);
    xml_free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_stanza_survives),
        cmocka_unit_test(names_have_namespaces),
        cmocka_unit_test(attributes_keep_their_namespaces),
        cmocka_unit_test(namespaces_are_declared_where_they_change),
        cmocka_unit_test(text_is_escaped_and_keeps_its_place),
        cmocka_unit_test(what_xml_cannot_carry_is_left_out),
        cmocka_unit_test(what_xmpp_forbids_is_refused),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(bombs_are_cheap),
        cmocka_unit_test(attributes_change),
        cmocka_unit_test(trees_change),
        cmocka_unit_test(differences_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
