// SPDX-License-Identifier: ISC
// Channels (RFC 8656 section 12): numbers for peers, in a short array like permissions.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

static struct channel *find_number(const struct allocation *a, uint16_t number, usec_t now)
{
    for (unsigned i = 0; i < a->channels; i++) {
        if (a->channel[i].number == number && a->channel[i].until > now)
            return &a->channel[i];
    }
    return NULL;
}

const struct channel *channel_by_number(const struct allocation *a, uint16_t number, usec_t now)
{
    return find_number(a, number, now);
}

const struct channel *channel_by_peer(const struct allocation *a, const struct addr *peer,
                                      usec_t now)
{
    for (unsigned i = 0; i < a->channels; i++) {
        if (a->channel[i].until > now && addr_equal(&a->channel[i].peer, peer))
            return &a->channel[i];
    }
    return NULL;
}

static void sweep(struct turn *turn, struct allocation *a, usec_t now)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < a->channels; i++) {
        if (a->channel[i].until > now)
            a->channel[kept++] = a->channel[i];
        else
            turn_offload_take_channel(turn, a, &a->channel[i], now);
    }
    a->channels = (uint16_t)kept;
}

void channel_drop_family(struct turn *turn, struct allocation *a, enum family family, usec_t now)
{
    for (unsigned i = 0; i < a->channels; i++) {
        if (a->channel[i].peer.family == family)
            a->channel[i].until = 0;
    }
    sweep(turn, a, now);
}

// Makes room for one more. Returns 0, -ENOSPC or -ENOMEM.
static int make_room(struct turn *turn, struct allocation *a, usec_t now)
{
    sweep(turn, a, now);
    if (a->channels >= turn->config->channels_max || a->channels > CHANNEL_MAX - CHANNEL_MIN)
        return -ENOSPC;
    if (a->channels < a->channels_size)
        return 0;
    unsigned size = a->channels_size ? a->channels_size * 2u : 1;
    struct channel *channel = reallocarray(a->channel, size, sizeof *channel);
    if (!channel)
        return -ENOMEM;
    a->channel = channel;
    a->channels_size = (uint16_t)size;
    return 0;
}

static struct channel *channel_add(struct allocation *a, const struct addr *peer, uint16_t number)
{
    struct channel *channel = &a->channel[a->channels++];
    *channel = (struct channel){.peer = *peer, .number = number};
    return channel;
}

// Section 12.2. Returns 0 or a STUN error code.
static int check_request(const struct request *r, uint16_t *ret_number, struct addr *ret_peer)
{
    // RFC 6062 section 3.1 knows no channels, and no code for those who ask for one.
    if (r->allocation->tcp)
        return 403;
    if (!stun_has(r->msg, STUN_CHANNEL_NUMBER) ||
        stun_addr(r->msg, STUN_XOR_PEER_ADDRESS, ret_peer) < 0)
        return 400;
    *ret_number = (uint16_t)(stun_u32(r->msg, STUN_CHANNEL_NUMBER) >> 16);
    // A peer without a port cannot be sent to.
    if (*ret_number < CHANNEL_MIN || *ret_number > CHANNEL_MAX || ret_peer->port == 0)
        return 400;
    int code = peer_check(r, ret_peer);
    if (code != 0)
        return code;
    const struct channel *same = channel_by_number(r->allocation, *ret_number, r->now);
    const struct channel *other = channel_by_peer(r->allocation, ret_peer, r->now);
    return same == other ? 0 : 400;
}

int handle_channel_bind(struct request *r)
{
    uint16_t number;
    struct addr peer;
    struct allocation *a = r->allocation;
    int code = check_request(r, &number, &peer);
    if (code != 0)
        return code;
    bool permitted = permission_find(a, &peer, r->now) != NULL;
    if (!permitted && permission_room(r->turn, a, 1, r->now) < 0)
        return 508;
    struct channel *channel = find_number(a, number, r->now);
    if (!channel && make_room(r->turn, a, r->now) < 0)
        return 508;
    if (!channel)
        channel = channel_add(a, &peer, number);
    channel->until = r->now + CHANNEL_LIFE;
    permission_install(a, &peer, r->now);
    return 0;
}
