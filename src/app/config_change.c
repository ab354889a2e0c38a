// SPDX-License-Identifier: ISC
// See config_change.h.
#include "config_change.h"

#include "config_kind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_MAX = 64 }; // bytes

// ---- what is other

static bool texts_differ(char *const *a, size_t as, char *const *b, size_t bs)
{
    for (size_t i = 0; as == bs && i < as; i++) {
        if (strcmp(a[i], b[i]) != 0)
            return true;
    }
    return as != bs;
}

static bool pointers_differ(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) != 0 : a != b;
}

// By how it is printed, but for what is not shown. Returns 1, 0 or -ENOMEM.
static int differs(const struct config_row *row, const struct config *live,
                   const struct config *fresh)
{
    const void *a = config_field(live, row), *b = config_field(fresh, row);
    struct buf texts[2] = {{0}, {0}};
    int r;

    if (row->kind->size == sizeof(char *) && row->kind->clear) // kinds that are one text
        return pointers_differ(*(char *const *)a, *(char *const *)b);
    row->kind->print(row, a, &texts[0]);
    row->kind->print(row, b, &texts[1]);
    if (texts[0].failed || texts[1].failed)
        r = -ENOMEM;
    else
        r = texts[0].len != texts[1].len || memcmp(texts[0].data, texts[1].data, texts[0].len) != 0;
    buf_free(&texts[0]);
    buf_free(&texts[1]);
    return r;
}

// A certificate may be exchanged for another; TLS where there was none, or none any more, is a
// matter of listeners.
static bool can_apply(const struct config_row *row, const struct config *live,
                      const struct config *fresh)
{
    bool tls = strcmp(row->group, "turn") == 0 &&
               (strcmp(row->name, "certificate") == 0 || strcmp(row->name, "key") == 0);

    return row->reload && (!tls || !live->turn.certificate == !fresh->turn.certificate);
}

int config_compare(const struct config *live, const struct config *fresh,
                   struct config_changes *ret_changes)
{
    struct config_changes changes = {.row = calloc(config_row_count, sizeof *changes.row)};

    if (!changes.row)
        return -ENOMEM;
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        int other = differs(row, live, fresh);

        if (other < 0) {
            free(changes.row);
            return other;
        }
        if (other)
            changes.row[i] = can_apply(row, live, fresh) ? CONFIG_APPLIED : CONFIG_RESTART;
    }
    changes.secrets = texts_differ(live->turn.secrets.item, live->turn.secrets.count,
                                   fresh->turn.secrets.item, fresh->turn.secrets.count);
    changes.users = texts_differ(live->turn.users.item, live->turn.users.count,
                                 fresh->turn.users.item, fresh->turn.users.count);
    *ret_changes = changes;
    return 0;
}

void config_changes_free(struct config_changes *changes)
{
    free(changes->row);
    *changes = (struct config_changes){0};
}

// ---- taking over

static void exchange(void *a, void *b, size_t size)
{
    uint8_t between[FIELD_MAX];

    memcpy(between, a, size);
    memcpy(a, b, size);
    memcpy(b, between, size);
}

void config_exchange(struct config *live, struct config *fresh,
                     const struct config_changes *changes)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];

        if (changes->row[i] == CONFIG_APPLIED && row->kind->size <= FIELD_MAX)
            exchange(config_field_mutable(live, row), config_field_mutable(fresh, row),
                     row->kind->size);
    }
    if (changes->secrets)
        exchange(&live->turn.secrets, &fresh->turn.secrets, sizeof live->turn.secrets);
    if (changes->users)
        exchange(&live->turn.users, &fresh->turn.users, sizeof live->turn.users);
    // Whatever is other: secret_files are the fresh one's from now on.
    exchange(&live->turn.secrets_by_systemd, &fresh->turn.secrets_by_systemd,
             sizeof live->turn.secrets_by_systemd);
}
