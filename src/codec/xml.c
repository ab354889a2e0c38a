// SPDX-License-Identifier: ISC
// The element tree of include/codec/xml.h: making, changing, looking up and comparing.
//
// Some functions here recurse. That is safe because every tree that a stranger can shape is built
// under a depth limit (xml_parse() and the component's converter); what the daemon builds itself
// is a dozen levels deep.
#include "codec/xml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Elements and attributes are one allocation each, with their strings behind them: a stanza has a
// hundred, and is copied several times on its way.

static const char *put(char **end, const char *text, size_t size)
{
    char *start = *end;
    memcpy(start, text, size);
    *end += size;
    return start;
}

static void attr_free(struct xml_attr *a)
{
    if (!a)
        return;
    free(a->replaced);
    free(a);
}

static struct xml_attr *attr_new(const char *ns, const char *name, const char *value)
{
    size_t value_size = strlen(value) + 1, name_size = strlen(name) + 1;
    size_t ns_size = ns ? strlen(ns) + 1 : 0;
    struct xml_attr *a = malloc(sizeof(*a) + value_size + name_size + ns_size);
    if (!a)
        return NULL;
    char *end = (char *)(a + 1);
    *a = (struct xml_attr){0};
    a->value = put(&end, value, value_size);
    a->name = put(&end, name, name_size);
    a->ns = ns ? put(&end, ns, ns_size) : NULL;
    return a;
}

static bool attr_is(const struct xml_attr *a, const char *ns, const char *name)
{
    if (strcmp(a->name, name) != 0)
        return false;
    return ns ? a->ns && strcmp(a->ns, ns) == 0 : !a->ns;
}

struct xml *xml_new(const char *name, const char *ns)
{
    size_t name_size = strlen(name) + 1, ns_size = ns ? strlen(ns) + 1 : 1;
    struct xml *x = malloc(sizeof(*x) + name_size + ns_size);
    if (!x)
        return NULL;
    char *end = (char *)(x + 1);
    *x = (struct xml){0};
    x->name = put(&end, name, name_size);
    x->ns = put(&end, ns ? ns : "", ns_size);
    return x;
}

static struct xml *text_new(const char *text, size_t len)
{
    struct xml *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->text = strndup(text, len);
    if (!x->text) {
        free(x);
        return NULL;
    }
    return x;
}

static void free_below(struct xml *x)
{
    for (struct xml *child = x->first, *next; child; child = next) {
        next = child->next;
        free_below(child);
    }
    for (struct xml_attr *a = x->attrs, *next; a; a = next) {
        next = a->next;
        attr_free(a);
    }
    free(x->text);
    free(x);
}

void xml_free(struct xml *x)
{
    if (!x)
        return;
    xml_detach(x);
    free_below(x);
}

static struct xml *clone_alone(const struct xml *x)
{
    if (!x->name)
        return text_new(x->text, strlen(x->text));
    struct xml *copy = xml_new(x->name, x->ns);
    if (!copy)
        return NULL;
    struct xml_attr **tail = &copy->attrs;
    for (const struct xml_attr *a = x->attrs; a; a = a->next) {
        *tail = attr_new(a->ns, a->name, a->value);
        if (!*tail) {
            xml_free(copy);
            return NULL;
        }
        tail = &(*tail)->next;
    }
    return copy;
}

struct xml *xml_clone(const struct xml *x)
{
    struct xml *copy = clone_alone(x);
    if (!copy)
        return NULL;
    for (const struct xml *child = x->first; child; child = child->next) {
        struct xml *below = xml_clone(child);
        if (!below) {
            xml_free(copy);
            return NULL;
        }
        xml_append(copy, below);
    }
    return copy;
}

const char *xml_attr(const struct xml *x, const char *name)
{
    for (const struct xml_attr *a = x->attrs; a; a = a->next)
        if (attr_is(a, NULL, name))
            return a->value;
    return NULL;
}

int xml_set(struct xml *x, const char *name, const char *value)
{
    return xml_set_ns(x, NULL, name, value);
}

int xml_set_ns(struct xml *x, const char *ns, const char *name, const char *value)
{
    if (ns && !*ns)
        ns = NULL;
    struct xml_attr **place = &x->attrs;
    while (*place && !attr_is(*place, ns, name))
        place = &(*place)->next;

    struct xml_attr *found = *place;
    if (!value) {
        if (found) {
            *place = found->next;
            attr_free(found);
        }
        return 0;
    }
    if (!found) {
        *place = attr_new(ns, name, value);
        return *place ? 0 : -ENOMEM;
    }
    char *copy = strdup(value); // before the old one goes: 'value' may be that very string
    if (!copy)
        return -ENOMEM;
    free(found->replaced);
    found->value = found->replaced = copy;
    return 0;
}

int xml_setf(struct xml *x, const char *name, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *value = NULL;
    int n = vasprintf(&value, format, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM;
    int r = xml_set(x, name, value);
    free(value);
    return r;
}

bool xml_is(const struct xml *x, const char *name, const char *ns)
{
    if (!x || !x->name || strcmp(x->name, name) != 0)
        return false;
    return !ns || strcmp(x->ns, ns) == 0;
}

// The first element at x or after it that fits.
static struct xml *find_from(struct xml *x, const char *name, const char *ns)
{
    for (; x; x = x->next) {
        if (!x->name)
            continue;
        if ((!name || strcmp(x->name, name) == 0) && (!ns || strcmp(x->ns, ns) == 0))
            return x;
    }
    return NULL;
}

struct xml *xml_child(const struct xml *x, const char *name, const char *ns)
{
    return find_from(x->first, name, ns);
}

struct xml *xml_next(const struct xml *x, const char *name, const char *ns)
{
    return find_from(x->next, name, ns);
}

struct xml *xml_add(struct xml *parent, const char *name, const char *ns)
{
    struct xml *x = xml_new(name, ns ? ns : parent->ns);
    if (x)
        xml_append(parent, x);
    return x;
}

int xml_add_text(struct xml *parent, const char *text, size_t len)
{
    if (len == 0)
        return 0;
    struct xml *last = parent->last;
    if (!last || last->name) {
        struct xml *x = text_new(text, len);
        if (!x)
            return -ENOMEM;
        xml_append(parent, x);
        return 0;
    }
    len = strnlen(text, len);
    size_t old = strlen(last->text);
    char *grown = malloc(old + len + 1);
    if (!grown)
        return -ENOMEM;
    memcpy(grown, last->text, old);
    memcpy(grown + old, text, len);
    grown[old + len] = '\0';
    free(last->text);
    last->text = grown;
    return 0;
}

void xml_append(struct xml *parent, struct xml *child)
{
    child->parent = parent;
    child->prev = parent->last;
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

void xml_detach(struct xml *x)
{
    struct xml *parent = x->parent;
    if (!parent)
        return;
    if (x->prev)
        x->prev->next = x->next;
    else
        parent->first = x->next;
    if (x->next)
        x->next->prev = x->prev;
    else
        parent->last = x->prev;
    x->parent = x->next = x->prev = NULL;
}

const char *xml_text(const struct xml *x)
{
    const char *found = NULL;
    for (const struct xml *child = x->first; child; child = child->next) {
        if (child->name)
            continue;
        if (found)
            return "";
        found = child->text;
    }
    return found ? found : "";
}

static bool attrs_within(const struct xml *a, const struct xml *b)
{
    for (const struct xml_attr *i = a->attrs; i; i = i->next) {
        const struct xml_attr *j = b->attrs;
        while (j && !attr_is(j, i->ns, i->name))
            j = j->next;
        if (!j || strcmp(i->value, j->value) != 0)
            return false;
    }
    return true;
}

bool xml_same_tag(const struct xml *a, const struct xml *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->ns, b->ns) == 0 && attrs_within(a, b) &&
           attrs_within(b, a);
}

// Text may be in several neighbouring pieces, as after the removal of an element between two; it
// means the same as one piece. A cursor walks over the bytes of such a run.
struct run {
    const struct xml *node;
    const char *p;
};

static struct run run_at(const struct xml *node)
{
    return (struct run){node, node && !node->name ? node->text : NULL};
}

static int run_byte(struct run *r)
{
    while (r->p) {
        if (*r->p)
            return (unsigned char)*r->p++;
        *r = run_at(r->node->next);
    }
    return -1;
}

bool xml_equal(const struct xml *a, const struct xml *b)
{
    if (!a->name || !b->name)
        return !a->name && !b->name && strcmp(a->text, b->text) == 0;
    if (!xml_same_tag(a, b))
        return false;

    const struct xml *i = a->first;
    const struct xml *j = b->first;
    for (;;) {
        struct run p = run_at(i);
        struct run q = run_at(j);
        int c;
        while ((c = run_byte(&p)) == run_byte(&q) && c >= 0)
            ;
        if (c >= 0 || q.p)
            return false;
        i = p.node;
        j = q.node;
        if (!i || !j)
            return !i && !j;
        if (!xml_equal(i, j))
            return false;
        i = i->next;
        j = j->next;
    }
}
