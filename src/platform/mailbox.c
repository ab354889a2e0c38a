// SPDX-License-Identifier: ISC
// A queue from any thread to one libevent loop. Posters append to a growing array under a mutex,
// and whoever finds it empty rings the eventfd, so that a batch costs one wake-up. The loop swaps
// the array for an empty one and hands its items out under no lock: what 'take' posts meanwhile
// makes the next batch, and other events of the loop come in between.
#include "platform/mailbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

// Room that is kept for the next batch; what a rare flood needed goes back to the system.
enum { KEEP_BYTES = 1 << 16, FIRST_ITEMS = 16 };

struct batch {
    uint8_t *data; // 'room' items; NULL when room is 0
    size_t count, room;
};

struct mailbox_slot {
    struct mailbox_slot *next;
    max_align_t item[]; // as large as one is
};

// Owned by the loop's thread; posters borrow it.
struct mailbox {
    size_t item_size;
    void (*take)(void *ctx, const void *item);
    void *ctx;
    struct event *event;
    int wake;
    pthread_mutex_t lock; // guards 'posted' and 'sure'
    struct batch posted;
    struct mailbox_slot *sure, **sure_end; // behind those of 'posted', for which there was no room
    struct batch spare;                    // the loop's: empty between batches
    bool taking;
};

static int batch_grow(struct batch *batch, size_t item_size)
{
    size_t room = batch->room ? batch->room * 2 : FIRST_ITEMS;
    if (room < batch->room || room > SIZE_MAX / item_size)
        return -ENOMEM;
    uint8_t *data = realloc(batch->data, room * item_size);
    if (!data)
        return -ENOMEM;
    batch->data = data;
    batch->room = room;
    return 0;
}

static void batch_empty(struct batch *batch, size_t item_size)
{
    batch->count = 0;
    if (batch->room * item_size <= KEEP_BYTES)
        return;
    free(batch->data);
    *batch = (struct batch){0};
}

static void hand_out(struct mailbox *mailbox)
{
    struct batch empty = mailbox->spare;
    pthread_mutex_lock(&mailbox->lock);
    struct mailbox_slot *sure = mailbox->sure;
    mailbox->spare = mailbox->posted;
    mailbox->posted = empty;
    mailbox->sure = NULL;
    mailbox->sure_end = &mailbox->sure;
    pthread_mutex_unlock(&mailbox->lock);

    mailbox->taking = true;
    for (size_t i = 0; i < mailbox->spare.count; i++)
        mailbox->take(mailbox->ctx, mailbox->spare.data + i * mailbox->item_size);
    while (sure) {
        struct mailbox_slot *next = sure->next;
        mailbox->take(mailbox->ctx, sure->item);
        free(sure);
        sure = next;
    }
    mailbox->taking = false;
    batch_empty(&mailbox->spare, mailbox->item_size);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct mailbox *mailbox = arg;
    uint64_t rings;
    // Before the swap: a ring that comes later then finds its items, or an empty batch, never a
    // batch that nobody rang for. Nothing to read is no harm either.
    ssize_t got = read(fd, &rings, sizeof rings);
    (void)got;

    hand_out(mailbox);
}

int mailbox_new(struct event_base *base, size_t item_size,
                void (*take)(void *ctx, const void *item), void *ctx, struct mailbox **ret_mailbox)
{
    if (item_size == 0)
        return -EINVAL;
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (!mailbox)
        return -ENOMEM;
    mailbox->item_size = item_size;
    mailbox->sure_end = &mailbox->sure;
    mailbox->take = take;
    mailbox->ctx = ctx;
    pthread_mutex_init(&mailbox->lock, NULL);
    mailbox->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->wake < 0) {
        int error = -errno;
        mailbox_free(mailbox);
        return error;
    }
    mailbox->event = event_new(base, mailbox->wake, EV_READ | EV_PERSIST, on_wake, mailbox);
    if (!mailbox->event || event_add(mailbox->event, NULL) < 0) {
        mailbox_free(mailbox);
        return -ENOMEM;
    }
    *ret_mailbox = mailbox;
    return 0;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    assert(!mailbox->taking); // not from inside 'take'
    if (mailbox->event)
        event_free(mailbox->event);
    if (mailbox->wake >= 0)
        close(mailbox->wake);
    pthread_mutex_destroy(&mailbox->lock);
    while (mailbox->sure) {
        struct mailbox_slot *slot = mailbox->sure;
        mailbox->sure = slot->next;
        free(slot);
    }
    free(mailbox->posted.data);
    free(mailbox->spare.data);
    free(mailbox);
}

void mailbox_flush(struct mailbox *mailbox)
{
    if (mailbox)
        hand_out(mailbox);
}

int mailbox_post(struct mailbox *mailbox, const void *item)
{
    return mailbox_post_unless_full(mailbox, item, SIZE_MAX);
}

static void ring(struct mailbox *mailbox)
{
    // Only a counter near 2^64 could refuse it, and then the loop is awake anyway.
    uint64_t one = 1;
    ssize_t put = write(mailbox->wake, &one, sizeof one);
    (void)put;
}

int mailbox_post_unless_full(struct mailbox *mailbox, const void *item, size_t full)
{
    pthread_mutex_lock(&mailbox->lock);
    struct batch *batch = &mailbox->posted;
    int error = batch->count >= full ? -ENOBUFS : 0;
    if (!error && batch->count == batch->room)
        error = batch_grow(batch, mailbox->item_size);
    bool first = !error && batch->count == 0;
    if (!error)
        memcpy(batch->data + batch->count++ * mailbox->item_size, item, mailbox->item_size);
    pthread_mutex_unlock(&mailbox->lock);
    if (first)
        ring(mailbox);
    return error;
}

struct mailbox_slot *mailbox_slot_new(const struct mailbox *mailbox)
{
    struct mailbox_slot *slot = malloc(sizeof *slot + mailbox->item_size);
    if (slot)
        slot->next = NULL;
    return slot;
}

void mailbox_slot_free(struct mailbox_slot *slot)
{
    free(slot);
}

// Where there is room among the others it takes its turn with them.
void mailbox_post_sure(struct mailbox *mailbox, struct mailbox_slot *slot, const void *item)
{
    if (mailbox_post(mailbox, item) == 0) {
        free(slot);
        return;
    }
    memcpy(slot->item, item, mailbox->item_size);
    pthread_mutex_lock(&mailbox->lock);
    *mailbox->sure_end = slot;
    mailbox->sure_end = &slot->next;
    pthread_mutex_unlock(&mailbox->lock);
    ring(mailbox);
}
