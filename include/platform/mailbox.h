// SPDX-License-Identifier: ISC
// A queue between two threads: any thread posts, one libevent loop takes. Items are copied.
// Order is kept per poster. A mailbox that is destroyed drops what is left in it.
#pragma once

#include <event2/event.h>
#include <stddef.h>

struct mailbox;

// Each taken item is given to 'take' in the thread of 'base'. Returns 0 or -errno.
int mailbox_new(struct event_base *base, size_t item_size,
                void (*take)(void *ctx, const void *item), void *ctx, struct mailbox **ret_mailbox);
void mailbox_free(struct mailbox *mailbox);
// Gives what waits to 'take' at once, in the calling thread, which has to be that of the loop: for
// items that own something, before the mailbox goes. Not from inside 'take'. NULL is fine.
void mailbox_flush(struct mailbox *mailbox);
// Returns 0 or -ENOMEM.
int mailbox_post(struct mailbox *mailbox, const void *item);
// The same for what may be lost: -ENOBUFS when so many wait already.
int mailbox_post_unless_full(struct mailbox *mailbox, const void *item, size_t full);
// For what must not be lost: room for one item, made while there still is somebody to be told that
// there is none (NULL). mailbox_post_sure() cannot fail, and takes the slot; what one poster posts
// later may overtake it.
struct mailbox_slot;
struct mailbox_slot *mailbox_slot_new(const struct mailbox *mailbox);
void mailbox_slot_free(struct mailbox_slot *slot); // NULL is fine
void mailbox_post_sure(struct mailbox *mailbox, struct mailbox_slot *slot, const void *item);
