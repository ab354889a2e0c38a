// SPDX-License-Identifier: ISC
// One locked table; an allocation takes the lock twice in its life.
#include "quota.h"

#include "base/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct account {
    struct map_node node;
    unsigned charged;
    char identity[];
};

struct quota {
    pthread_mutex_t lock;
    struct map accounts;
    unsigned per_identity, total, charged;
    bool (*room)(void *ctx); // NULL: there always is
    void *ctx;
};

int quota_new(unsigned per_identity, unsigned total, struct quota **ret_quota)
{
    struct quota *quota = calloc(1, sizeof *quota);
    uint8_t key[16];

    if (!quota)
        return -ENOMEM;
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort();
    map_init(&quota->accounts, key);
    pthread_mutex_init(&quota->lock, NULL);
    quota->per_identity = per_identity;
    quota->total = total;
    *ret_quota = quota;
    return 0;
}

void quota_ask(struct quota *quota, bool (*room)(void *ctx), void *ctx)
{
    quota->room = room;
    quota->ctx = ctx;
}

void quota_free(struct quota *quota)
{
    struct map_node *node;

    if (!quota)
        return;
    while ((node = map_each(&quota->accounts, NULL))) {
        map_remove(&quota->accounts, node);
        free(container_of(node, struct account, node));
    }
    map_free(&quota->accounts);
    pthread_mutex_destroy(&quota->lock);
    free(quota);
}

static struct account *find(const struct quota *quota, const char *identity, uint64_t hash)
{
    for (struct map_node *n = map_first(&quota->accounts, hash); n; n = map_next(n)) {
        struct account *account = container_of(n, struct account, node);

        if (strcmp(account->identity, identity) == 0)
            return account;
    }
    return NULL;
}

static struct account *add(struct quota *quota, const char *identity, uint64_t hash)
{
    size_t size = strlen(identity) + 1;
    struct account *account = calloc(1, sizeof *account + size);

    if (!account)
        return NULL;
    memcpy(account->identity, identity, size);
    if (map_insert(&quota->accounts, &account->node, hash) < 0) {
        free(account);
        return NULL;
    }
    return account;
}

static enum turn_refusal charge(struct quota *quota, const char *identity)
{
    uint64_t hash = map_hash(&quota->accounts, identity, strlen(identity));
    struct account *account = find(quota, identity, hash);

    if (account && quota->per_identity && account->charged >= quota->per_identity)
        return TURN_REFUSED_USER;
    if (quota->total && quota->charged >= quota->total)
        return TURN_REFUSED_TOTAL;
    if (!account)
        account = add(quota, identity, hash);
    if (!account)
        return TURN_REFUSED_TOTAL;
    account->charged++;
    quota->charged++;
    return TURN_GRANTED;
}

void quota_set(struct quota *quota, unsigned per_identity, unsigned total)
{
    pthread_mutex_lock(&quota->lock);
    quota->per_identity = per_identity;
    quota->total = total;
    pthread_mutex_unlock(&quota->lock);
}

enum turn_refusal quota_charge(struct quota *quota, const char *identity)
{
    if (quota->room && !quota->room(quota->ctx))
        return TURN_REFUSED_TOTAL;
    pthread_mutex_lock(&quota->lock);
    enum turn_refusal refusal = charge(quota, identity);
    pthread_mutex_unlock(&quota->lock);
    return refusal;
}

void quota_release(struct quota *quota, const char *identity)
{
    pthread_mutex_lock(&quota->lock);
    struct account *account =
        find(quota, identity, map_hash(&quota->accounts, identity, strlen(identity)));

    if (account) {
        quota->charged--;
        if (--account->charged == 0) {
            map_remove(&quota->accounts, &account->node);
            free(account);
        }
    }
    pthread_mutex_unlock(&quota->lock);
}
