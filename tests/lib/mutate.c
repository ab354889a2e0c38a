// SPDX-License-Identifier: ISC
// See mutate.h.
#include "lib/mutate.h"

#include <stdint.h>
#include <string.h>

static void change(json_t *object, const char *name, enum mutation how)
{
    char key[64] = {0};

    strncpy(key, name, sizeof(key) - 1); // the object's own goes with the member
    switch (how) {
    case MUTATE_ADD:
        json_object_set_new(object, "later", json_integer(1));
        break;
    case MUTATE_REMOVE:
        json_object_del(object, key);
        break;
    case MUTATE_TEXT:
        json_object_set_new(object, key, json_string("abcd"));
        break;
    case MUTATE_NEGATIVE:
        json_object_set_new(object, key, json_integer(-1));
        break;
    case MUTATE_GREAT:
        json_object_set_new(object, key, json_integer(INT64_MAX));
        break;
    case MUTATE_ARRAY:
        json_object_set_new(object, key, json_pack("[{}]"));
        break;
    case MUTATE_NULL:
    case MUTATIONS:
        json_object_set_new(object, key, json_null());
        break;
    }
}

static bool walk(json_t *value, unsigned *left, enum mutation how)
{
    const char *key;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item) if (walk(item, left, how)) return true;
    json_object_foreach(value, key, item)
    {
        if ((*left)-- == 0) {
            change(value, key, how);
            return true;
        }
        if (walk(item, left, how))
            return true;
    }
    return false;
}

bool mutate(json_t *state, unsigned k, enum mutation how)
{
    return walk(state, &k, how);
}
