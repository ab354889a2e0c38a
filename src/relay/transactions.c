// SPDX-License-Identifier: ISC
// Checks that left for the other side and whose answers must find the way back to the very source
// that asked. A path has a handful at a time, so a short array and a scan do.

#include "internal.h"

#include <stdlib.h>
#include <string.h>

void transactions_free(struct transactions *table)
{
    free(table->item);
    *table = (struct transactions){0};
}

static bool same(const struct transaction *a, const struct transaction *b)
{
    return memcmp(a->txid, b->txid, STUN_TXID_LEN) == 0 && a->side == b->side &&
           a->to_family == b->to_family && addr_equal(&a->from, &b->from) &&
           addr_equal(&a->to, &b->to);
}

static void grow(struct transactions *table)
{
    uint16_t size = table->size == 0 ? 8 : (uint16_t)(table->size * 2);
    struct transaction *item;

    if (size > TRANSACTIONS_MAX)
        return;
    item = realloc(table->item, size * sizeof(*item));
    if (!item)
        return;
    table->item = item;
    table->size = size;
}

// The place for a new one: an unused one, one whose time is over, a grown one, the oldest.
static struct transaction *place(struct transactions *table, usec_t now)
{
    struct transaction *oldest = NULL;

    if (table->count == table->size) {
        for (unsigned i = 0; i < table->count; i++)
            if (!oldest || table->item[i].sent < oldest->sent)
                oldest = &table->item[i];
        if (oldest && oldest->sent + TRANSACTION_LIFE <= now) // a restart brings them in any order
            return oldest;
        size_t at = oldest ? (size_t)(oldest - table->item) : 0;
        grow(table);
        if (table->count == table->size)
            return table->size > 0 ? &table->item[at] : NULL;
    }
    return &table->item[table->count++];
}

void transactions_add(struct transactions *table, const struct transaction *t)
{
    struct transaction *to;

    for (unsigned i = 0; i < table->count; i++) {
        if (same(&table->item[i], t)) {
            table->item[i].sent = t->sent;
            table->item[i].resent = true;
            return;
        }
    }
    to = place(table, t->sent);
    if (to)
        *to = *t;
}

struct transaction *transactions_find(struct transactions *table, const uint8_t *txid,
                                      enum side asked, const struct addr *to, unsigned to_family,
                                      usec_t now)
{
    for (unsigned i = 0; i < table->count; i++) {
        struct transaction *t = &table->item[i];
        if (t->side == asked && memcmp(t->txid, txid, STUN_TXID_LEN) == 0 &&
            t->to_family == to_family && addr_equal(&t->to, to) && now - t->sent < TRANSACTION_LIFE)
            return t;
    }
    return NULL;
}
