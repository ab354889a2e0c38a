// SPDX-License-Identifier: ISC
// Parses one XML document into an element tree with expat, as XMPP allows it (RFC 6120 section
// 11.1: no DTD, no entities of its own, no processing instructions; comments are skipped).
//
// The input is a stranger's, so no step may cost more than its share: text arrives from expat in
// as many pieces as it has lines and references, and is put together in a buffer before it enters
// the tree; attributes are appended without looking for doubles, which expat has refused already.
#include "codec/xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NS_SEPARATOR '\x01' // cannot occur in a document

struct parse {
    XML_Parser expat;
    const struct xml_limits *limits;
    struct xml *root;
    struct xml *open; // the innermost open element
    struct buf text;  // collected below 'open' since the last tag
    unsigned depth;
    unsigned elements;
    int error; // why we stopped the parser
};

static void stop(struct parse *p, int error)
{
    if (!p->error)
        p->error = error;
    XML_StopParser(p->expat, XML_FALSE);
}

static void flush_text(struct parse *p)
{
    if (p->text.failed || xml_add_text(p->open, p->text.data, p->text.len) < 0)
        stop(p, -ENOMEM);
    p->text.len = 0;
}

// Splits "namespace SEPARATOR name" in a copy; a name without a separator has no namespace.
// Returns 0 or -ENOMEM; free(*ret_copy).
static int split(const char *expat_name, char **ret_copy, const char **ret_ns,
                 const char **ret_local)
{
    char *copy = strdup(expat_name);
    if (!copy)
        return -ENOMEM;
    char *cut = strchr(copy, NS_SEPARATOR);
    if (cut)
        *cut = '\0';
    *ret_copy = copy;
    *ret_ns = cut ? copy : "";
    *ret_local = cut ? cut + 1 : copy;
    return 0;
}

static struct xml *new_element(const char *expat_name)
{
    char *copy;
    const char *ns;
    const char *local;
    if (split(expat_name, &copy, &ns, &local) < 0)
        return NULL;
    struct xml *x = xml_new(local, ns);
    free(copy);
    return x;
}

// A carrier element makes the attribute, so that no lookup among its siblings is needed.
static struct xml_attr *new_attr(const char *expat_name, const char *value)
{
    char *copy;
    const char *ns;
    const char *local;
    if (split(expat_name, &copy, &ns, &local) < 0)
        return NULL;
    struct xml carrier = {0};
    int r = xml_set_ns(&carrier, ns, local, value);
    free(copy);
    return r < 0 ? NULL : carrier.attrs;
}

static int add_attrs(struct xml *x, const XML_Char **attr)
{
    struct xml_attr **tail = &x->attrs;
    for (; attr[0]; attr += 2) {
        *tail = new_attr(attr[0], attr[1]);
        if (!*tail)
            return -ENOMEM;
        tail = &(*tail)->next;
    }
    return 0;
}

static void on_start(void *ctx, const XML_Char *name, const XML_Char **attr)
{
    struct parse *p = ctx;
    if (p->error) // expat may still report an empty element's end and the like after a stop
        return;
    if (p->depth == p->limits->depth || p->elements == p->limits->elements) {
        stop(p, -E2BIG);
        return;
    }
    if (p->open)
        flush_text(p);
    struct xml *x = new_element(name);
    if (!x || add_attrs(x, attr) < 0) {
        xml_free(x);
        stop(p, -ENOMEM);
        return;
    }
    if (p->open)
        xml_append(p->open, x);
    else
        p->root = x;
    p->open = x;
    p->depth++;
    p->elements++;
}

static void on_end(void *ctx, const XML_Char *name)
{
    (void)name;
    struct parse *p = ctx;
    if (p->error)
        return;
    flush_text(p);
    p->open = p->open->parent;
    p->depth--;
}

static void on_text(void *ctx, const XML_Char *text, int len)
{
    struct parse *p = ctx;
    if (!p->error && p->open)
        buf_add(&p->text, text, (size_t)len);
}

static void on_doctype(void *ctx, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal_subset)
{
    (void)name, (void)sysid, (void)pubid, (void)has_internal_subset;
    stop(ctx, -EBADMSG);
}

static void on_pi(void *ctx, const XML_Char *target, const XML_Char *data)
{
    (void)target, (void)data;
    stop(ctx, -EBADMSG);
}

static int run(struct parse *p, const char *text, size_t len)
{
    XML_SetUserData(p->expat, p);
    XML_SetStartElementHandler(p->expat, on_start); // both at once is libstrophe's call
    XML_SetEndElementHandler(p->expat, on_end);
    XML_SetCharacterDataHandler(p->expat, on_text);
    XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
    XML_SetProcessingInstructionHandler(p->expat, on_pi);

    enum XML_Status status = XML_Parse(p->expat, text, (int)len, XML_TRUE);
    if (p->error)
        return p->error;
    if (status == XML_STATUS_OK)
        return 0;
    return XML_GetErrorCode(p->expat) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EBADMSG;
}

int xml_parse(const char *text, size_t len, const struct xml_limits *limits, struct xml **ret_x)
{
    if (len > limits->bytes || len > INT_MAX)
        return -E2BIG;
    struct parse p = {.limits = limits};
    // XMPP is UTF-8 whatever the declaration says (RFC 6120 section 11.6).
    p.expat = XML_ParserCreateNS("UTF-8", NS_SEPARATOR);
    if (!p.expat)
        return -ENOMEM;
    int r = run(&p, text, len);
    XML_ParserFree(p.expat);
    buf_free(&p.text);
    if (r < 0) {
        xml_free(p.root);
        return r;
    }
    *ret_x = p.root;
    return 0;
}
