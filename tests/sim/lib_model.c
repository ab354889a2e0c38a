// SPDX-License-Identifier: ISC
// See lib_model.h.
#include "sim/lib_model.h"

#include "codec/demux.h"

#include <string.h>

bool model_is_proved(const struct model_leg *leg, const struct addr *addr)
{
    for (unsigned i = 0; i < leg->proveds; i++)
        if (addr_equal(&leg->proved[i], addr))
            return true;
    return false;
}

void model_prove(struct model_leg *leg, const struct addr *addr)
{
    if (model_is_proved(leg, addr))
        return;
    if (leg->proveds == MODEL_PROVED)
        net_fail(leg->net, "the model has no room for another address");
    leg->proved[leg->proveds++] = *addr;
}

// A check proves the address that it comes from if the leg's own client has made it and it was
// never seen to come from another.
static void judge_check(struct model_leg *leg, const struct net_flight *f)
{
    const uint8_t *txid = f->data + STUN_HEADER_LEN - STUN_TXID_LEN;

    if (!f->origin.agent || f->origin.agent != leg->agent || f->origin.kind != AGENT_CHECK)
        return;
    for (unsigned i = 0; i < leg->seens; i++)
        if (memcmp(leg->seen[i].txid, txid, STUN_TXID_LEN) == 0) {
            if (addr_equal(&leg->seen[i].from, &f->from))
                model_prove(leg, &f->from);
            return;
        }
    if (leg->seens == MODEL_SEEN)
        net_fail(leg->net, "the model has no room for another check");
    leg->seen[leg->seens].from = f->from;
    memcpy(leg->seen[leg->seens++].txid, txid, STUN_TXID_LEN);
    model_prove(leg, &f->from);
}

// There is no proof in raw-udp; three RTP packets are the least.
static void judge_rtp(struct model_leg *leg, const struct net_flight *f)
{
    unsigned i = 0;

    if (demux(f->data, f->len) != PACKET_RTP)
        return;
    while (i < leg->heards && !addr_equal(&leg->heard[i].from, &f->from))
        i++;
    if (i == MODEL_HEARD)
        return;
    if (i == leg->heards)
        leg->heard[leg->heards++] = (struct model_heard){.from = f->from};
    if (++leg->heard[i].packets >= 3)
        model_prove(leg, &f->from);
}

// --- sockets -----------------------------------------------------------------------------------

static unsigned family_of(const struct net_socket *socket)
{
    return socket->local.family == FAMILY_V6 ? 1 : 0;
}

// The legs at a socket: start with NULL.
static struct model_leg *leg_at(const struct net_socket *socket, const struct model_leg *after)
{
    if (!after)
        return socket->user;
    return socket->shared ? after->next[family_of(socket)] : NULL;
}

void model_attach(struct net_socket *socket, struct model_leg *leg)
{
    if (socket->shared)
        leg->next[family_of(socket)] = socket->user;
    socket->user = leg;
}

void model_detach(struct net *net, const struct model_leg *leg)
{
    for (unsigned i = 0; i < NET_SOCKETS; i++) {
        struct net_socket *socket = &net->socket[i];
        unsigned f = family_of(socket);
        struct model_leg *before = NULL;
        if (!socket->shared)
            continue;
        for (struct model_leg *at = socket->user; at; at = at->next[f]) {
            if (at != leg)
                before = at;
            else if (before)
                before->next[f] = leg->next[f];
            else
                socket->user = leg->next[f];
        }
    }
}

void model_arrives(struct net *net, const struct net_socket *socket,
                   const struct net_flight *flight)
{
    struct model_leg *leg = leg_at(socket, NULL);

    if (!leg && !socket->shared)
        net_fail(net, "a port without a path");
    for (; leg; leg = leg_at(socket, leg)) {
        if (leg->raw)
            judge_rtp(leg, flight);
        else
            judge_check(leg, flight);
    }
}

// Has the source proved itself to a leg at that socket, of the path of 'out' and the other side?
static bool may_cross(const struct net_socket *at, const struct addr *from,
                      const struct model_leg *out)
{
    const struct model_leg *in = leg_at(at, NULL);

    while (in && (in->path != out->path || in->side == out->side || !model_is_proved(in, from)))
        in = leg_at(at, in);
    return in != NULL;
}

void model_leaves(struct net *net, const struct net_socket *socket, const struct addr *to,
                  const struct net_flight *cause, const struct net_socket *at)
{
    char text[ADDR_TEXT_MAX], text2[ADDR_TEXT_MAX];
    bool proved = false;

    for (const struct model_leg *out = leg_at(socket, NULL); out; out = leg_at(socket, out)) {
        if (!model_is_proved(out, to))
            continue;
        proved = true;
        if (!cause || may_cross(at, &cause->from, out))
            return;
    }
    if (!proved)
        net_fail(net, "sent to %s, which has not proved itself", addr_format(to, text));
    net_fail(net, "forwarded from %s to %s, which has not proved itself to the other side",
             addr_format(&cause->from, text), addr_format(to, text2));
}
