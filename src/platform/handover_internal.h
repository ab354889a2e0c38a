// SPDX-License-Identifier: ISC
// What the files behind platform/handover.h share. handover.c: what is handed over;
// handover_image.c: how it is written down; handover_unix.c: to a successor that runs;
// handover_systemd.c: to one that does not run yet, handover_bundle.c: how sockets wait for it,
// handover_rights.c: one message of them.
//
// Either way the same descriptors travel, in any order: that of the image, a file in memory, and
// the sockets. The image says in which order the sockets were added, by the kernel's own number of
// each (SO_COOKIE), and has the text behind that.
#pragma once

#include "base/map.h"
#include "platform/handover.h"

#include <stdint.h>

enum {
    // Of one message: what the kernel takes (SCM_MAX_FD).
    HANDOVER_BATCH = 253,
    // What arrives is moved to higher numbers, as those below are needed: libstrophe selects.
    HANDOVER_LOWEST = 1024,
    // After so many that have ended without a word nobody tries any more.
    HANDOVER_TRIES_MAX = 2,
};

struct handover_entry {
    struct map_node node; // in handover->by_address, while it can be taken
    int fd;               // -1: taken
    enum handover_socket kind;
    struct addr local;
    uint64_t cookie;
};

struct handover {
    struct handover_entry *entry; // owned, in the order in which they were added
    size_t entries, room;
    bool inherited; // the descriptors are ours
    struct map by_address;
    unsigned left; // that can be taken
    char *state;
    size_t state_len;
    int image; // that systemd keeps: a descriptor of ours; -1: none
};

// ---- handover.c

// Makes room for an entry with this descriptor. Returns 0, -ENOMEM, -EINVAL or -errno.
int handover_append(struct handover *handover, int fd);
// All entries are there: from now on they can be taken. Returns 0 or -ENOMEM.
int handover_index(struct handover *handover);

// ---- handover_rights.c

// One message over a unix socket, without waiting; up to HANDOVER_BATCH descriptors go with it.
// Returns 0 or -errno: -EAGAIN, or -ETOOMANYREFS: so many of this user's are on their way that
// others have to be taken or closed first.
int handover_put(int to, const void *data, size_t len, const int *fds, size_t count);
// The descriptors, close-on-exec, of the next message, of one byte, into an array of
// HANDOVER_BATCH; flags: MSG_PEEK or 0. Returns how many; 0: there is no message any more, or
// -errno: -EAGAIN, -EPROTO (one without descriptors), -EMFILE (this process may not have so many;
// those that came are closed).
int handover_get(int from, int flags, int *ret_fds);

// ---- handover_bundle.c

// A descriptor with the sockets from the 'first' on, as many as it takes, in it; 'first' becomes
// the next one's. Or -errno, with 'first' as it was.
int handover_bundle(const struct handover *handover, size_t *first);
// Adds those of a bundle, which stays as it is, to an array. Returns 0 or -errno, with those that
// came before.
int handover_unbundle(int bundle, int **sockets, size_t *count);

// ---- handover_image.c

// A descriptor, or -errno.
int handover_image_write(const struct handover *handover);
// Puts text and sockets, whose descriptors come in any order, into a new hand-over, and owns
// all of them from now on, also when it fails. Returns 0, -EPROTO (no image, or one of another
// format), -ENOMEM or -errno.
int handover_image_read(int image, const int *fds, size_t count, struct handover **ret_handover);
// The same socket with a number that is not needed by others, close-on-exec; it replaces 'fd'.
int handover_lift(int fd);

// An image that is kept knows what became of those who read it: each adds a line end behind the
// text, which is no part of it, and takes it back if it could not use it. Who has ended without a
// word is counted so. One that was used is empty. Whoever has a descriptor sees the same file.
unsigned handover_image_tries(int image); // that were not taken back
bool handover_image_is_used(int image);
void handover_image_try(int image);
void handover_image_untry(int image);
void handover_image_use(int image);
