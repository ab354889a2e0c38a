// SPDX-License-Identifier: ISC
// See turn_listing.h.
#include "turn_listing.h"

#include <stdlib.h>
#include <string.h>

static void free_texts(const struct turn_view *view)
{
    union {
        const char *borrowed;
        char *owned;
    } username = {view->username}, identity = {view->identity};

    free(username.owned);
    free(identity.owned);
}

static void add(void *ctx, const struct turn_view *view)
{
    struct turn_listing *listing = ctx;
    struct turn_view copy = *view;

    if (listing->views == listing->size) {
        size_t size = listing->size ? 2 * listing->size : 16;
        struct turn_view *grown = realloc(listing->view, size * sizeof *grown);

        if (!grown)
            return;
        listing->view = grown;
        listing->size = size;
    }
    copy.username = strdup(view->username);
    copy.identity = strdup(view->identity);
    if (copy.username && copy.identity)
        listing->view[listing->views++] = copy;
    else
        free_texts(&copy);
}

struct turn_listing *turn_listing_new(const struct turn_worker *worker, uint64_t token, usec_t now)
{
    struct turn_listing *listing = calloc(1, sizeof *listing);

    if (!listing)
        return NULL;
    listing->token = token;
    if (worker)
        turn_worker_list(worker, add, listing, now);
    return listing;
}

void turn_listing_free(struct turn_listing *listing)
{
    if (!listing)
        return;
    for (size_t i = 0; i < listing->views; i++)
        free_texts(&listing->view[i]);
    free(listing->view);
    free(listing);
}
