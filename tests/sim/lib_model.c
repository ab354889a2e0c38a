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

void model_arrives(struct net *net, const struct net_socket *socket,
                   const struct net_flight *flight)
{
    struct model_leg *leg = socket->user;

    if (!leg)
        net_fail(net, "a port without a path");
    if (leg->raw)
        judge_rtp(leg, flight);
    else
        judge_check(leg, flight);
}

void model_leaves(struct net *net, const struct net_socket *socket, const struct addr *to,
                  const struct net_flight *cause, const struct net_socket *at)
{
    const struct model_leg *out = socket->user;
    char text[ADDR_TEXT_MAX];

    if (!out || !model_is_proved(out, to))
        net_fail(net, "sent to %s, which has not proved itself", addr_format(to, text));
    if (!cause)
        return;
    const struct model_leg *in = at->user;
    if (!model_is_proved(in, &cause->from))
        net_fail(net, "forwarded from %s, which has not proved itself",
                 addr_format(&cause->from, text));
    if (in->path != out->path || in->side == out->side)
        net_fail(net, "forwarded to another path");
}
