// SPDX-License-Identifier: ISC
// Sockets and a text; see platform/handover.h.
#include "handover_internal.h"

#include "sockaddr.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int handover_new(struct handover **ret_handover)
{
    struct handover *handover = calloc(1, sizeof *handover);

    if (!handover)
        return -ENOMEM;
    handover->image = -1;
    // Nobody chooses the addresses but who may open sockets here: no secret is needed.
    map_init(&handover->by_address, (const uint8_t[16]){0});
    *ret_handover = handover;
    return 0;
}

void handover_free(struct handover *handover)
{
    if (!handover)
        return;
    for (size_t i = 0; handover->inherited && i < handover->entries; i++)
        if (handover->entry[i].fd >= 0)
            close(handover->entry[i].fd);
    map_free(&handover->by_address);
    free(handover->entry);
    if (handover->state)
        explicit_bzero(handover->state, handover->state_len); // it has keys
    free(handover->state);
    if (handover->image >= 0) {
        handover_image_untry(handover->image);
        close(handover->image);
    }
    free(handover);
}

// ---- what there is

static int option(int fd, int name)
{
    int value;
    socklen_t len = sizeof value;

    return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

// Fills in what the kernel knows of the socket.
static int look_at(struct handover_entry *entry)
{
    union sockaddr_any sa = {0};
    socklen_t sa_len = sizeof sa, cookie_len = sizeof entry->cookie;
    int type = option(entry->fd, SO_TYPE), listening = option(entry->fd, SO_ACCEPTCONN);

    if (type < 0)
        return type;
    if (type != SOCK_DGRAM && (type != SOCK_STREAM || listening != 1))
        return -EINVAL;
    if (getsockname(entry->fd, &sa.sa, &sa_len) < 0 ||
        getsockopt(entry->fd, SOL_SOCKET, SO_COOKIE, &entry->cookie, &cookie_len) < 0)
        return -errno;
    entry->kind = type == SOCK_DGRAM ? HANDOVER_UDP : HANDOVER_TCP_LISTENER;
    entry->local = addr_from_sockaddr(&sa);
    return entry->local.family == FAMILY_NONE || entry->local.port == 0 ? -EINVAL : 0;
}

int handover_append(struct handover *handover, int fd)
{
    struct handover_entry entry = {.fd = fd};
    int r = look_at(&entry);

    if (r < 0)
        return r;
    if (handover->entries == handover->room) {
        size_t room = handover->room ? 2 * handover->room : 64;
        struct handover_entry *grown = reallocarray(handover->entry, room, sizeof *grown);
        if (!grown)
            return -ENOMEM;
        handover->entry = grown;
        handover->room = room;
    }
    handover->entry[handover->entries++] = entry;
    return 0;
}

int handover_add(struct handover *handover, int fd)
{
    return handover_append(handover, fd);
}

int handover_set_state(struct handover *handover, const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, len);
    copy[len] = '\0';
    free(handover->state);
    handover->state = copy;
    handover->state_len = len;
    return 0;
}

const char *handover_state(const struct handover *handover, size_t *ret_len)
{
    if (!handover || !handover->state)
        return NULL;
    *ret_len = handover->state_len;
    return handover->state;
}

bool handover_is_kept(const struct handover *handover)
{
    return handover && handover->image >= 0;
}

unsigned handover_sockets(const struct handover *handover)
{
    return handover ? handover->left : 0;
}

// ---- taking

static uint64_t hash_of(const struct handover *handover, enum handover_socket kind,
                        const struct addr *local)
{
    uint8_t key[20] = {(uint8_t)kind, (uint8_t)local->family, (uint8_t)(local->port >> 8),
                       (uint8_t)local->port};

    memcpy(key + 4, local->ip, local->family == FAMILY_V6 ? 16 : 4);
    return map_hash(&handover->by_address, key, sizeof key);
}

int handover_index(struct handover *handover)
{
    for (size_t i = 0; i < handover->entries; i++) {
        struct handover_entry *entry = &handover->entry[i];
        int r = map_insert(&handover->by_address, &entry->node,
                           hash_of(handover, entry->kind, &entry->local));
        if (r < 0)
            return r;
        handover->left++;
    }
    return 0;
}

static struct handover_entry *first_bound_to(const struct handover *handover,
                                             enum handover_socket kind, const struct addr *local)
{
    struct handover_entry *first = NULL;
    uint64_t hash = hash_of(handover, kind, local);

    for (struct map_node *n = map_first(&handover->by_address, hash); n; n = map_next(n)) {
        struct handover_entry *entry = container_of(n, struct handover_entry, node);
        if (entry->kind == kind && addr_equal(&entry->local, local) && (!first || entry < first))
            first = entry;
    }
    return first;
}

bool handover_has(const struct handover *handover, enum handover_socket kind,
                  const struct addr *local)
{
    return handover && handover->left > 0 && first_bound_to(handover, kind, local);
}

int handover_take(struct handover *handover, enum handover_socket kind, const struct addr *local)
{
    struct handover_entry *entry =
        handover && handover->left > 0 ? first_bound_to(handover, kind, local) : NULL;
    int fd;

    if (!entry)
        return -ENOENT;
    fd = entry->fd;
    entry->fd = -1;
    handover->left--;
    map_remove(&handover->by_address, &entry->node);
    return fd;
}

int handover_lift(int fd)
{
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, HANDOVER_LOWEST);

    if (lifted < 0) { // few descriptors are allowed
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        return fd;
    }
    close(fd);
    return lifted;
}
