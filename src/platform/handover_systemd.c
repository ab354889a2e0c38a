// SPDX-License-Identifier: ISC
// To a successor that does not run yet, through systemd's fd store (sd_notify(3), FDSTORE=1), or
// that of any manager that speaks the same protocol. What is stored comes back as LISTEN_FDS, in an
// order of its own.
#include "handover_internal.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD

#include <systemd/sd-daemon.h>

// All names together come back as one variable of the environment ($LISTEN_FDNAMES), and of those
// the kernel takes no more than 128 KiB: with longer names the next daemon could not even be
// started.
#define NAME_IMAGE  "i"
#define NAME_BUNDLE "b"
#define NAME_SOCKET "s" // by itself: releases before bundles stored it so
// By itself the manager would drop a socket as soon as an error is queued on it (ICMP, say).
#define STORE "FDSTORE=1\nFDPOLL=0\nFDNAME="

// For the manager to have read what it was sent; it kills only after TimeoutStopSec=, 90 s if
// nobody says else.
#define BARRIER_USEC 30000000u
#define FORGET_USEC  5000000u // with nothing but that to do

// All of it, whatever becomes of one of the messages.
static void forget(void)
{
    static const char *const message[] = {
        "FDSTOREREMOVE=1\nFDNAME=" NAME_IMAGE,
        "FDSTOREREMOVE=1\nFDNAME=" NAME_BUNDLE,
        "FDSTOREREMOVE=1\nFDNAME=" NAME_SOCKET,
    };
    int first = 0;

    for (size_t i = 0; i < sizeof message / sizeof *message; i++) {
        int r = sd_notify(0, message[i]);
        if (r < 0 && first == 0)
            first = r;
    }
    if (first < 0)
        log_err("systemd cannot be told to forget what it keeps: %s", strerror(-first));
}

static int store_one(const char *state, int fd)
{
    int r = sd_pid_notify_with_fds(0, 0, state, &fd, 1);

    return r < 0 ? r : r == 0 ? -EOPNOTSUPP : 0;
}

// The kernel lets only so many descriptors of one user be on their way (ETOOMANYREFS): those of
// other bundles count for as long as they live, the bundles themselves until the manager has them.
static int next_bundle(const struct handover *handover, size_t *next)
{
    int bundle = handover_bundle(handover, next);

    if (bundle == -ETOOMANYREFS && sd_notify_barrier(0, BARRIER_USEC) >= 0)
        bundle = handover_bundle(handover, next);
    return bundle;
}

static int store_sockets(const struct handover *handover)
{
    int r = 0;

    for (size_t next = 0; next < handover->entries && r == 0;) {
        int bundle = next_bundle(handover, &next);
        if (bundle < 0)
            return bundle;
        r = store_one(STORE NAME_BUNDLE, bundle);
        close(bundle);
    }
    return r;
}

int handover_store(const struct handover *handover)
{
    int image, r;

    if (!getenv("NOTIFY_SOCKET"))
        return -EOPNOTSUPP;
    image = handover_image_write(handover);
    if (image < 0)
        return image;
    // First the image: where there is too little room, what came last is lost.
    r = store_one(STORE NAME_IMAGE, image);
    if (r == 0)
        r = store_sockets(handover);
    close(image);
    // A manager that reads it after our end would not know whose it is.
    if (r == 0)
        r = sd_notify_barrier(0, BARRIER_USEC);
    if (r < 0)
        forget();
    return r < 0 ? r : 0;
}

// ---- coming back

struct kept {
    int image;    // the last that was left and not used; -1: none
    int *sockets; // owned
    size_t count;
    int wrong; // with a bundle
};

// The last that was stored comes first. One that was used is there if forgetting it went wrong.
static void keep_image(struct kept *kept, int fd)
{
    if (kept->image >= 0 && !handover_image_is_used(kept->image)) {
        close(fd);
        return;
    }
    if (kept->image >= 0)
        close(kept->image);
    kept->image = fd;
}

static void add_bundles(struct kept *kept, char **names, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (strcmp(names[i], NAME_BUNDLE) != 0)
            continue;
        if (kept->wrong == 0)
            kept->wrong = handover_unbundle(fd, &kept->sockets, &kept->count);
        close(fd);
    }
}

// Others may have given us descriptors, too: they are not touched.
static void sort_out(struct kept *kept, char **names, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (strcmp(names[i], NAME_SOCKET) == 0) {
            kept->sockets[kept->count++] = fd;
        } else if (strcmp(names[i], NAME_IMAGE) == 0) {
            keep_image(kept, fd);
        }
    }
}

static int wrong_with(const struct kept *kept)
{
    if (kept->image < 0)
        return -EPROTO;
    if (kept->wrong < 0)
        return kept->wrong;
    if (handover_image_is_used(kept->image))
        return -ESTALE;
    return handover_image_tries(kept->image) >= HANDOVER_TRIES_MAX ? -ELOOP : 0;
}

static void close_kept(const struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++)
        close(kept->sockets[i]);
    if (kept->image >= 0)
        close(kept->image);
}

static int read_kept(const struct kept *kept, struct handover **ret_handover)
{
    int r = wrong_with(kept), image = -1;

    if (r == 0) { // the other one goes with the reading
        image = fcntl(kept->image, F_DUPFD_CLOEXEC, HANDOVER_LOWEST);
        if (image < 0) // few descriptors are allowed
            image = fcntl(kept->image, F_DUPFD_CLOEXEC, 0);
        r = image < 0 ? -errno : 0;
    }
    if (r < 0) {
        close_kept(kept);
        return r;
    }
    handover_image_try(image);
    r = handover_image_read(kept->image, kept->sockets, kept->count, ret_handover);
    if (r < 0)
        close(image);
    else
        (*ret_handover)->image = image;
    return r;
}

static int gather(char **names, int count, struct handover **ret_handover)
{
    struct kept kept = {.image = -1, .sockets = calloc((size_t)count + 1, sizeof(int))};
    int r;

    if (!kept.sockets)
        return -ENOMEM;
    sort_out(&kept, names, count);
    add_bundles(&kept, names, count);
    if (kept.image < 0 && kept.count == 0 && kept.wrong == 0) {
        free(kept.sockets);
        return 0;
    }
    r = read_kept(&kept, ret_handover);
    free(kept.sockets);
    if (r < 0) { // and the ports are to be free before this start wants them
        forget();
        (void)sd_notify_barrier(0, FORGET_USEC);
    }
    return r;
}

int handover_restore(struct handover **ret_handover)
{
    struct handover *handover = NULL;
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    int r = count > 0 ? gather(names, count, &handover) : count;

    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    if (r == 0)
        *ret_handover = handover;
    return r;
}

void handover_used(struct handover *handover)
{
    if (!handover_is_kept(handover))
        return;
    handover_image_use(handover->image);
    close(handover->image);
    handover->image = -1;
    forget();
}

#else

int handover_store(const struct handover *handover)
{
    (void)handover;
    return -EOPNOTSUPP;
}

int handover_restore(struct handover **ret_handover)
{
    *ret_handover = NULL;
    return 0;
}

void handover_used(struct handover *handover)
{
    (void)handover;
}

#endif
