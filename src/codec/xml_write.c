// SPDX-License-Identifier: ISC
// Writes an element tree as XML 1.0 with namespaces. The default namespace is declared wherever it
// changes and nowhere else; attributes with a namespace get a prefix declared on their element.
//
// One bad byte would cost the whole stream, because the server closes it as not well-formed. So
// whatever XML 1.0 cannot carry (section 2.2: control characters, broken UTF-8, surrogates,
// U+FFFE and U+FFFF) is left out here, however it got into the tree.
#include "codec/xml.h"

#include <stdint.h>
#include <string.h>

#define ATTR_PREFIX "n" // with a number behind it

// The number of bytes of the UTF-8 character at p if XML can carry it, otherwise 0 (RFC 3629
// section 4: the shortest form only). The text ends with a NUL, which is never a continuation
// byte, so nothing is read beyond it.
static size_t char_len(const unsigned char *p)
{
    uint32_t c = p[0];
    if (c < 0x80)
        return c >= 0x20 || c == '\t' || c == '\n' || c == '\r';
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    c &= 0x7fu >> n;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)))
        return 0;
    if ((c >= 0xd800 && c <= 0xdfff) || c == 0xfffe || c == 0xffff)
        return 0;
    return n;
}

// What stands for an ASCII character in the output; NULL: itself. Line ends and tabs are written
// as references where a parser would otherwise turn them into something else (XML 1.0 sections
// 2.11 and 3.3.3).
static const char *replacement(unsigned char c, bool in_attr)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '\r':
        return "&#13;";
    case '"':
        return in_attr ? "&quot;" : NULL;
    case '\n':
        return in_attr ? "&#10;" : NULL;
    case '\t':
        return in_attr ? "&#9;" : NULL;
    default:
        return NULL;
    }
}

static void write_escaped(const char *text, bool in_attr, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)text;
    const unsigned char *start = p; // of what can be copied as it stands
    while (*p) {
        size_t n = char_len(p);
        const char *instead = n == 0 ? "" : replacement(*p, in_attr);
        if (!instead) {
            p += n;
            continue;
        }
        buf_add(out, start, (size_t)(p - start));
        buf_puts(out, instead);
        p++;
        start = p;
    }
    buf_add(out, start, (size_t)(p - start));
}

static void write_attr(const char *prefix, const char *name, const char *value, struct buf *out)
{
    buf_puts(out, " ");
    buf_puts(out, prefix);
    buf_puts(out, name);
    buf_puts(out, "=\"");
    write_escaped(value, true, out);
    buf_puts(out, "\"");
}

static void write_attrs(const struct xml *x, struct buf *out)
{
    unsigned prefixes = 0;
    for (const struct xml_attr *a = x->attrs; a; a = a->next) {
        if (!a->ns) {
            // Namespaces are declared by the element itself; a second xmlns would be an error.
            if (strcmp(a->name, "xmlns") != 0)
                write_attr("", a->name, a->value, out);
        } else if (strcmp(a->ns, XML_NS_XML) == 0) {
            write_attr("xml:", a->name, a->value, out);
        } else {
            buf_printf(out, " xmlns:" ATTR_PREFIX "%u=\"", ++prefixes);
            write_escaped(a->ns, true, out);
            buf_printf(out, "\" " ATTR_PREFIX "%u:", prefixes);
            buf_puts(out, a->name);
            buf_puts(out, "=\"");
            write_escaped(a->value, true, out);
            buf_puts(out, "\"");
        }
    }
}

void xml_write(const struct xml *x, const char *default_ns, struct buf *out)
{
    if (!x->name) {
        write_escaped(x->text, false, out);
        return;
    }
    // The namespace of xml: may not be made the default one (Namespaces in XML section 3).
    const char *prefix = strcmp(x->ns, XML_NS_XML) == 0 ? "xml:" : "";
    buf_puts(out, "<");
    buf_puts(out, prefix);
    buf_puts(out, x->name);
    if (!*prefix && strcmp(x->ns, default_ns ? default_ns : "") != 0) {
        write_attr("", "xmlns", x->ns, out);
        default_ns = x->ns;
    }
    write_attrs(x, out);
    if (!x->first) {
        buf_puts(out, "/>");
        return;
    }
    buf_puts(out, ">");
    for (const struct xml *child = x->first; child; child = child->next)
        xml_write(child, default_ns, out);
    buf_puts(out, "</");
    buf_puts(out, prefix);
    buf_puts(out, x->name);
    buf_puts(out, ">");
}
