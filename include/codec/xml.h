// SPDX-License-Identifier: ISC
// Our own small element tree: what stanzas are above platform/. Every element and every attribute
// knows its namespace, whatever prefixes the sender chose, and text stands between children as it
// was sent, so that what we do not understand can be passed on unchanged in meaning.
//
// Ownership: a parent owns its children; xml_free() of a root frees all. An element that was
// detached, or never added, is its holder's. Functions that make things return NULL when memory is
// out; functions that change things return 0 or -ENOMEM and leave the tree as it was on failure.
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define XML_NS_XML "http://www.w3.org/XML/1998/namespace"

struct xml_attr {
    const char *name;
    const char *ns; // NULL for the usual attribute without a namespace
    const char *value;
    char *replaced; // xml.c's: what 'value' is since it was set again
    struct xml_attr *next;
};

struct xml { // an element, or a piece of text when name is NULL
    const char *name;
    const char *ns; // never NULL for an element; "" if it has none
    char *text;     // of a piece of text
    struct xml_attr *attrs;
    struct xml *parent;
    struct xml *first;
    struct xml *last;
    struct xml *next;
    struct xml *prev;
};

struct xml_limits {
    size_t bytes;   // longest document
    unsigned depth; // deepest element, the root being 1
    unsigned elements;
};

struct xml *xml_new(const char *name, const char *ns);
struct xml *xml_clone(const struct xml *x); // with all below; parent NULL
void xml_free(struct xml *x);               // detaches it first; NULL is fine

// NULL if absent. The name is that of an attribute without a namespace.
const char *xml_attr(const struct xml *x, const char *name);
int xml_set(struct xml *x, const char *name, const char *value); // NULL value removes
int xml_set_ns(struct xml *x, const char *ns, const char *name, const char *value);
int xml_setf(struct xml *x, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

bool xml_is(const struct xml *x, const char *name, const char *ns); // NULL x: false; NULL ns: any
struct xml *xml_child(const struct xml *x, const char *name,
                      const char *ns); // first such; NULLs: any
struct xml *xml_next(const struct xml *x, const char *name, const char *ns); // next such sibling
// Makes an element below parent (at its end). ns NULL: the parent's.
struct xml *xml_add(struct xml *parent, const char *name, const char *ns);
int xml_add_text(struct xml *parent, const char *text, size_t len);
void xml_append(struct xml *parent, struct xml *child); // takes a detached child
void xml_detach(struct xml *x);
// The text directly below x, when it is all one piece; "" if there is none.
const char *xml_text(const struct xml *x);

// Two trees mean the same: names, namespaces, attributes in any order, children and text in order.
bool xml_equal(const struct xml *a, const struct xml *b);

// The same of the elements alone, without what is in them.
bool xml_same_tag(const struct xml *a, const struct xml *b);

// Writes x. Elements in 'default_ns' at the top need no xmlns; control characters that XML 1.0
// cannot carry are dropped. The error is the buffer's.
void xml_write(const struct xml *x, const char *default_ns, struct buf *out);

// Parses one document. A DTD, entities of its own, processing instructions and anything beyond the
// limits are refused. Returns 0, -EBADMSG (not well-formed or refused), -E2BIG (a limit) or
// -ENOMEM.
int xml_parse(const char *text, size_t len, const struct xml_limits *limits, struct xml **ret_x);
