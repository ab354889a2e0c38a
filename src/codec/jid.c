// SPDX-License-Identifier: ISC
// Parsing, comparing, escaping and wrapping of Jabber identifiers; see include/codec/jid.h.
#include "codec/jid.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

// XEP-0106 section 3.2, in the order of their codes. All but the last are what RFC 7622 section
// 3.3.1 forbids in a local part (space by its IdentifierClass).
static const struct escape {
    char plain;
    char code[3]; // lower case only: "CASE IS SIGNIFICANT"
} escapes[] = {
    {' ', "20"}, {'"', "22"}, {'&', "26"}, {'\'', "27"}, {'/', "2f"},
    {':', "3a"}, {'<', "3c"}, {'>', "3e"}, {'@', "40"},  {'\\', "5c"},
};

#define ESCAPES (sizeof(escapes) / sizeof(escapes[0]))

static const struct escape *escape_of_char(char c)
{
    for (size_t i = 0; i < ESCAPES; i++)
        if (escapes[i].plain == c)
            return &escapes[i];
    return NULL;
}

// The escape whose code stands at text, behind a backslash.
static const struct escape *escape_of_code(const char *text, size_t len)
{
    if (len < 2)
        return NULL;
    for (size_t i = 0; i < ESCAPES; i++)
        if (memcmp(escapes[i].code, text, 2) == 0)
            return &escapes[i];
    return NULL;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool local_ok(const char *text, size_t len)
{
    if (len == 0 || len > JID_PART_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (is_control(text[i]) || (text[i] != '\\' && escape_of_char(text[i])))
            return false;
    return true;
}

static bool domain_ok(const char *text, size_t len)
{
    if (len == 0 || len > JID_PART_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (is_control(text[i]) || text[i] == ' ' || text[i] == '@')
            return false;
    return true;
}

int jid_parse(const char *text, struct jid *ret_jid)
{
    if (!text)
        return -EINVAL;
    // RFC 7622 section 3.2: first the resource is cut off, then the local part.
    struct jid jid = {0};
    size_t bare_len = strcspn(text, "/");
    if (text[bare_len] == '/') {
        jid.resource = text + bare_len + 1;
        jid.resource_len = strlen(jid.resource);
        if (jid.resource_len == 0 || jid.resource_len > JID_PART_MAX)
            return -EINVAL;
    }
    const char *at = memchr(text, '@', bare_len);
    if (at) {
        jid.local = text;
        jid.local_len = (size_t)(at - text);
        if (!local_ok(jid.local, jid.local_len))
            return -EINVAL;
    }
    jid.domain = at ? at + 1 : text;
    jid.domain_len = bare_len - (size_t)(jid.domain - text);
    if (!domain_ok(jid.domain, jid.domain_len))
        return -EINVAL;
    jid.bare_len = bare_len;
    *ret_jid = jid;
    return 0;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_domain(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

static bool equal(const char *a, const char *b, bool with_resource)
{
    struct jid x;
    struct jid y;
    if (jid_parse(a, &x) < 0 || jid_parse(b, &y) < 0)
        return false;
    return same(x.local, x.local_len, y.local, y.local_len) &&
           same_domain(x.domain, x.domain_len, y.domain, y.domain_len) &&
           (!with_resource || same(x.resource, x.resource_len, y.resource, y.resource_len));
}

bool jid_equal(const char *a, const char *b)
{
    return equal(a, b, true);
}

bool jid_equal_bare(const char *a, const char *b)
{
    return equal(a, b, false);
}

bool jid_domain_is(const char *jid, const char *domain)
{
    struct jid x;
    return jid_parse(jid, &x) == 0 && same_domain(x.domain, x.domain_len, domain, strlen(domain));
}

// A bounded string under construction: it counts on after it is full, so that one check at the
// end suffices.
struct out {
    char *buf;
    size_t size;
    size_t len;
};

static void put(struct out *out, const char *text, size_t len)
{
    if (out->len < out->size && len <= out->size - out->len)
        memcpy(out->buf + out->len, text, len);
    out->len += len;
}

static int finish(struct out *out)
{
    if (out->len >= out->size)
        return -ENOSPC;
    out->buf[out->len] = '\0';
    return (int)out->len;
}

int jid_escape(const char *text, size_t len, char *buf, size_t size)
{
    // "The character sequence \20 MUST NOT be the first or last character of an escaped
    // localpart" (section 4.1 rule 6), and there is no other way to write such a text.
    if (len > 0 && (text[0] == ' ' || text[len - 1] == ' '))
        return -EINVAL;
    struct out out = {buf, size, 0};
    for (size_t i = 0; i < len; i++) {
        const struct escape *e = escape_of_char(text[i]);
        // A backslash is escaped only where it would be read as the start of an escape (4.2
        // step 3).
        if (e && e->plain == '\\' && !escape_of_code(text + i + 1, len - i - 1))
            e = NULL;
        if (e) {
            put(&out, "\\", 1);
            put(&out, e->code, 2);
        } else {
            put(&out, text + i, 1);
        }
    }
    return finish(&out);
}

int jid_unescape(const char *text, size_t len, char *buf, size_t size)
{
    struct out out = {buf, size, 0};
    for (size_t i = 0; i < len; i++) {
        const struct escape *e = NULL;
        if (text[i] == '\\')
            e = escape_of_code(text + i + 1, len - i - 1);
        put(&out, e ? &e->plain : text + i, 1);
        if (e)
            i += 2;
    }
    return finish(&out);
}

int jid_wrap(const char *jid, const char *domain, char *buf, size_t size)
{
    struct jid x;
    if (jid_parse(jid, &x) < 0 || x.local_len == 0)
        return -EINVAL;
    char local[JID_PART_MAX + 1];
    int local_len = jid_escape(jid, x.bare_len, local, sizeof(local));
    if (local_len < 0)
        return -EINVAL; // longer than a local part may be
    struct out out = {buf, size, 0};
    put(&out, local, (size_t)local_len);
    put(&out, "@", 1);
    put(&out, domain, strlen(domain));
    if (x.resource_len > 0) {
        put(&out, "/", 1);
        put(&out, x.resource, x.resource_len);
    }
    return finish(&out);
}

int jid_unwrap(const char *jid, char *buf, size_t size)
{
    struct jid x;
    if (jid_parse(jid, &x) < 0 || x.local_len == 0)
        return -EINVAL;
    char bare[JID_PART_MAX + 1];
    int bare_len = jid_unescape(x.local, x.local_len, bare, sizeof(bare));
    struct jid inner;
    if (bare_len < 0 || jid_parse(bare, &inner) < 0 || inner.local_len == 0 ||
        inner.resource_len > 0)
        return -EINVAL;
    struct out out = {buf, size, 0};
    put(&out, bare, (size_t)bare_len);
    if (x.resource_len > 0) {
        put(&out, "/", 1);
        put(&out, x.resource, x.resource_len);
    }
    return finish(&out);
}
