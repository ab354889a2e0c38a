// SPDX-License-Identifier: ISC
// Compares two trees that are alike, child by child; see additions.h.
#include "additions.h"

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 16 // of stanzas that are looked at; those of Jingle are less deep

// Where an element is: numbers of elements among their siblings, from 1, on the way from the
// stanza.
struct place {
    unsigned number[DEPTH_MAX];
    unsigned depth;
};

static bool has_all(const struct xml *original, const struct xml *copy, unsigned depth)
{
    const struct xml *i, *j;

    if (!original->name || !copy->name)
        return !original->name && !copy->name && strcmp(original->text, copy->text) == 0;
    if (depth >= DEPTH_MAX || !xml_same_tag(original, copy))
        return false;
    for (i = original->first, j = copy->first; i && j; i = i->next, j = j->next) {
        if (!has_all(i, j, depth + 1))
            return false;
    }
    if (j && depth == 0)
        return false; // beside the session
    while (j && j->name)
        j = j->next;
    return !i && !j;
}

bool additions_suffice(const struct xml *original, const struct xml *copy)
{
    return has_all(original, copy, 0);
}

static int set_place(struct xml *add, const struct place *place)
{
    struct buf path = {0};
    int r;

    for (unsigned i = 0; i < place->depth; i++)
        buf_printf(&path, "%s%u", i > 0 ? "." : "", place->number[i]);
    r = path.failed ? -ENOMEM : xml_set(add, "to", path.data);
    buf_free(&path);
    return r;
}

// From 'added' to the last of its siblings.
static int move(struct xml *added, const struct place *place, struct xml *divert)
{
    struct xml *add = xml_add(divert, "add", NULL), *next;

    if (!add || set_place(add, place) < 0)
        return -ENOMEM;
    for (; added; added = next) {
        next = added->next;
        xml_detach(added);
        xml_append(add, added);
    }
    return 0;
}

static int walk(const struct xml *original, struct xml *copy, struct place *place,
                struct xml *divert)
{
    const struct xml *i = original->first;
    struct xml *j = copy->first;
    unsigned number = 0;
    int r = 0;

    for (; i && r == 0; i = i->next, j = j->next) {
        if (!i->name)
            continue;
        place->number[place->depth++] = ++number;
        r = walk(i, j, place, divert);
        place->depth--;
    }
    return r == 0 && j ? move(j, place, divert) : r;
}

int additions_move(const struct xml *original, struct xml *copy, struct xml *divert)
{
    struct place top = {.depth = 0};

    return walk(original, copy, &top, divert);
}
