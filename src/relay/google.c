// SPDX-License-Identifier: ISC
// Paths of Google's transport (libjingle, Gabble, Pidgin, FreeSWITCH, Asterisk): its checks carry
// no password, only names. Every candidate has one, and a check's USERNAME is the name of the
// candidate that it goes to, followed by that of the one that it comes from.
//
// The relay's candidate towards a client has a random name of its own, which is told to that client
// alone. So a check for the relay begins with a name that no stranger and no capture from between
// the clients can have; and because nothing protects the message, the relay gives it the name that
// its receiver expects: that of the address where it is sent, and the relay's own. Each client sees
// one candidate, the relay, and checks it like any other (libjingle refuses a check whose name is
// not that of the candidate that it comes from).
//
// Who may send: the first source that has the name, and either has signalled its address or comes
// within the learning window. It counts, for media, when it has answered a check of the relay's own
// (verify.c), which shows that packets arrive where they come from. With that the leg is locked:
// only signalled addresses enter, and whoever has captured a name does not. Clients have several
// addresses and no nomination: of those that the relay trusts, the one that sends media is
// selected, and before there are media the one that is heard.
//
// Another signalled address opens a locked leg for a window again, because a client that roams may
// come from an address that it does not know. Who comes then is on trial: nothing of his is
// forwarded unless the selected source is silent, although the relay asks it, too; and whenever a
// signalled address sends media it takes over at once.
//
// What is weaker than ICE: who reads the relay's name on the way between client and relay, and is
// first in the window, or finds the client gone after new signalling, is taken for the client.

#include "internal.h"

#include "codec/stun_old.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 600 // RFC 3489 has nothing that long

int google_prepare(struct path *path)
{
    path->google = calloc(1, sizeof(*path->google));
    return path->google ? 0 : -ENOMEM;
}

// --- signalling --------------------------------------------------------------------------------

void google_name(struct path *path, const struct order *order)
{
    struct google_leg *g = &path->google->leg[order->side];

    g->own_len = (uint8_t)strnlen(order->u.credentials.ufrag, GOOGLE_NAME_MAX);
    memcpy(g->own, order->u.credentials.ufrag, g->own_len);
}

static bool is_signalled(const struct google_leg *g, const struct addr *addr)
{
    for (unsigned i = 0; i < g->peers; i++)
        if (addr_equal(&g->peer[i], addr))
            return true;
    return false;
}

// Whatever is signalled, checks of both sides will follow it soon.
void google_peer(struct path *path, enum side side, const struct addr *peer, usec_t now)
{
    struct google_leg *g = &path->google->leg[side];

    for (unsigned s = 0; s < SIDE_COUNT; s++)
        path->google->leg[s].window_end = now + path->relay->config.limits.learning_window;
    if (peer->port == 0 || is_signalled(g, peer))
        return; // nothing new
    g->peer[g->turn] = *peer;
    g->turn = (uint8_t)((g->turn + 1) % GOOGLE_PEERS_MAX);
    if (g->peers < GOOGLE_PEERS_MAX)
        g->peers++;
    g->locked = false;
}

// --- names -------------------------------------------------------------------------------------

// What a client calls its own candidate, behind the relay's name. Returns its length, or 0.
static size_t name_in(const struct google_leg *g, const struct stun_view *username,
                      const uint8_t **ret_name)
{
    if (g->own_len == 0 || username->len <= g->own_len ||
        username->len > g->own_len + GOOGLE_NAME_MAX ||
        memcmp(username->data, g->own, g->own_len) != 0)
        return 0;
    *ret_name = username->data + g->own_len;
    return (size_t)username->len - g->own_len;
}

static size_t join(const void *first, size_t first_len, const void *second, size_t second_len,
                   uint8_t username[2 * GOOGLE_NAME_MAX])
{
    memcpy(username, first, first_len);
    memcpy(username + first_len, second, second_len);
    return first_len + second_len;
}

// USERNAME of a check that goes to this source.
static size_t name_for(const struct google_leg *g, int index, uint8_t username[2 * GOOGLE_NAME_MAX])
{
    const struct google_source *s = &g->source[index];

    return join(s->name, s->name_len, g->own, g->own_len, username);
}

int google_compose(const struct path *path, enum side side, const struct source *source,
                   uint8_t *buf, size_t size)
{
    uint8_t username[2 * GOOGLE_NAME_MAX];
    int index = (int)(source - path->leg[side].source);
    size_t len = name_for(&path->google->leg[side], index, username);

    return stun_old_request(source->check_id, username, len, buf, size);
}

// --- sources -----------------------------------------------------------------------------------

// Something may still be learned of this leg.
static bool is_learning(const struct google_leg *g, usec_t now)
{
    return !g->locked && now < g->window_end;
}

usec_t google_patience(const struct path *path, enum side side, int index, usec_t now)
{
    const struct leg *leg = &path->leg[side];
    const struct google_leg *g = &path->google->leg[side];

    if (!leg->source[leg->selected].answered)
        return 0;
    if (g->source[index].trusted)
        return SILENT_AFTER;
    return is_learning(g, now) ? SOURCE_STALE_LOST : USEC_NEVER;
}

void google_settle(struct path *path, enum side side)
{
    const struct leg *leg = &path->leg[side];
    struct google_leg *g = &path->google->leg[side];

    if (leg->selected < 0 || !leg->source[leg->selected].answered)
        return;
    if (!g->settled) // who comes after new signalling is only trusted while he is selected
        g->source[leg->selected].trusted = true;
    if (!g->settled || g->moves != leg->moves) // it has found its place
        g->locked = true;
    g->settled = true;
    g->moves = leg->moves;
}

static bool may_enter(const struct recv *r)
{
    const struct google_leg *g = &r->path->google->leg[r->side];

    if (relay_owns(r->path->relay, r->from))
        return false;
    return is_signalled(g, r->from) || is_learning(g, r->now);
}

static void note_check(const struct recv *r, int index, const uint8_t *name, size_t name_len)
{
    struct google_source *s = &r->path->google->leg[r->side].source[index];
    struct leg *leg = r->leg;

    s->name_len = (uint8_t)name_len;
    memcpy(s->name, name, name_len);
    s->trusted = s->trusted || is_signalled(&r->path->google->leg[r->side], r->from);
    leg->checks_in++;
    leg->last_check = r->now;
    if (!leg->checked) {
        leg->checked = true;
        leg->first_check = r->now;
        path_event(r->path, EVENT_CHECKED, r->side, r->from);
    }
}

// Is this source more than on trial?
static bool may_use(const struct recv *r, int index)
{
    return index == r->leg->selected || r->path->google->leg[r->side].source[index].trusted;
}

static void contend(const struct recv *r, int index)
{
    struct leg *leg = r->leg;
    struct source *source = &leg->source[index];

    if (leg->selected < 0)
        leg_select(r->path, r->side, index, r->now);
    else
        leg_heard(r->path, r->side, index, r->now);
    google_settle(r->path, r->side);
    if (!source->answered)
        verify_start(r->path, r->side, source, r->now);
    if (!may_use(r, index)) // is the selected one alive?
        verify_start(r->path, r->side, &leg->source[leg->selected], r->now);
}

static int enter(const struct recv *r)
{
    int index = source_add(r->leg, r->from, r->port->family, r->now);

    if (index >= 0)
        r->path->google->leg[r->side].source[index] = (struct google_source){0};
    return index;
}

// --- forwarding --------------------------------------------------------------------------------

// The message leaves under another name, so it cannot be forwarded as it is.
static enum verdict send_renamed(const struct recv *r, const struct stun_old *msg,
                                 const struct source *to, const uint8_t *username,
                                 size_t username_len)
{
    struct relay *relay = r->path->relay;
    struct source target = *to;
    uint8_t buf[MESSAGE_MAX];
    int len = stun_old_rename(msg, username, username_len, buf, sizeof(buf));

    if (len < 0)
        return leg_drop(r, COUNTER_DROP_MALFORMED);
    enum verdict verdict = leg_forward(r, &target.addr, target.family);
    if (verdict != VERDICT_FORWARD)
        return verdict;
    r->out->bytes_out += (uint64_t)len - r->packet->len;
    if (relay->io.send(relay->ctx, r->ret_forward->socket, &target.addr, buf, (size_t)len,
                       r->packet->tos) < 0)
        count(relay, COUNTER_DROP_SEND_ERROR);
    return VERDICT_CONSUME;
}

static enum verdict forward_request(const struct recv *r, const struct stun_old *msg)
{
    struct transaction t = {
        .sent = r->now, .from = *r->from, .side = (uint8_t)r->side, .from_family = r->port->family};
    const struct source *to;
    uint8_t username[2 * GOOGLE_NAME_MAX];
    size_t len;

    if (r->out->selected < 0)
        return leg_drop(r, COUNTER_DROP_PEER_UNKNOWN); // it will be sent again
    to = &r->out->source[r->out->selected];
    t.to = to->addr;
    t.to_family = to->family;
    memcpy(t.txid, msg->txid, STUN_TXID_LEN);
    len = name_for(&r->path->google->leg[side_other(r->side)], r->out->selected, username);
    enum verdict verdict = send_renamed(r, msg, to, username, len);
    if (verdict == VERDICT_CONSUME)
        transactions_add(&r->path->transactions, &t);
    return verdict;
}

// --- messages ----------------------------------------------------------------------------------

static enum verdict request(const struct recv *r, const struct stun_old *msg)
{
    struct relay *relay = r->path->relay;
    const struct google_leg *g = &r->path->google->leg[r->side];
    uint64_t id = map_hash(&relay->paths, msg->txid, STUN_TXID_LEN);
    int index = source_find(r->leg, r->from, r->port->family);
    const uint8_t *name = NULL;
    size_t name_len = name_in(g, &msg->username, &name);

    if (name_len == 0)
        return leg_drop(r,
                        g->own_len == 0 ? COUNTER_DROP_NO_CREDENTIALS : COUNTER_DROP_BAD_USERNAME);
    enum id_seen seen = ids_look(&r->leg->ids, id, source_hash(relay, r->from));
    if (verify_is_own_id(relay, msg->txid) || seen == ID_OTHER_SOURCE) {
        count(relay, COUNTER_LATCHES_REFUSED);
        return leg_drop(r, COUNTER_DROP_REPLAY);
    }
    if (index < 0 && !may_enter(r)) {
        count(relay, COUNTER_LATCHES_REFUSED);
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    }
    // What is not remembered must not count.
    if (seen == ID_NEW && ids_add(&r->leg->ids, id, source_hash(relay, r->from)) < 0)
        return leg_drop(r, COUNTER_DROP_TOO_MANY_SOURCES);
    if (index < 0)
        index = enter(r);
    if (index < 0)
        return leg_drop(r, COUNTER_DROP_TOO_MANY_SOURCES);
    note_check(r, index, name, name_len);
    contend(r, index);
    if (!may_use(r, index))
        return leg_drop(r, COUNTER_DROP_NOT_SELECTED);
    return forward_request(r, msg);
}

static enum verdict response(const struct recv *r, const struct stun_old *msg)
{
    struct transaction *t = transactions_find(
        &r->path->transactions, msg->txid, side_other(r->side), r->from, r->port->family, r->now);
    uint8_t username[2 * GOOGLE_NAME_MAX];

    if (!t)
        return leg_drop(r, COUNTER_DROP_UNMATCHED);
    int from = source_find(r->leg, r->from, r->port->family);
    int to = source_find(r->out, &t->from, t->from_family);
    if (from < 0 || to < 0)
        return leg_drop(r, from < 0 ? COUNTER_DROP_UNPROVED : COUNTER_DROP_UNMATCHED);
    if (!t->resent)
        r->leg->rtt = r->now - t->sent;
    leg_heard(r->path, r->side, from, r->now);
    // Some repeat the USERNAME of the request: then as it was there.
    const struct google_leg *g = &r->path->google->leg[side_other(r->side)];
    size_t len = join(g->own, g->own_len, g->source[to].name, g->source[to].name_len, username);
    return send_renamed(r, msg, &r->out->source[to], username, len);
}

// Of its trusted addresses a client uses the one that it sends media from.
static void follow_media(const struct recv *r, int index)
{
    const struct google_leg *g = &r->path->google->leg[r->side];
    const struct leg *leg = r->leg;

    if (index == leg->selected || !g->source[index].trusted || !leg->source[index].answered)
        return;
    offload_take(r->path, r->now); // when did the selected one send some?
    if (r->now - leg->last_media >= SILENT_AFTER ||
        (is_signalled(g, r->from) && !is_signalled(g, &leg->source[leg->selected].addr)))
        leg_select(r->path, r->side, index, r->now);
}

static enum verdict media(const struct recv *r)
{
    int index = source_find(r->leg, r->from, r->port->family);
    enum verdict verdict;

    if (index < 0)
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    if (!may_use(r, index))
        return leg_drop(r, COUNTER_DROP_NOT_SELECTED);
    follow_media(r, index);
    verdict = leg_media(r);
    google_settle(r->path, r->side);
    return verdict;
}

enum verdict google_recv(const struct recv *r)
{
    struct stun_old msg;

    if (r->kind != PACKET_STUN && r->kind != PACKET_UNKNOWN)
        return media(r);
    if (stun_old_decode(r->packet->data, r->packet->len, &msg) < 0)
        return r->kind == PACKET_STUN ? leg_drop(r, COUNTER_DROP_MALFORMED) : media(r);
    switch (msg.class) {
    case STUN_REQUEST:
        return request(r, &msg);
    case STUN_SUCCESS:
    case STUN_ERROR:
        if (!verify_is_own_id(r->path->relay, msg.txid))
            return response(r, &msg);
        // An error says that the name is wrong: whoever sent it is not the client.
        return msg.class == STUN_SUCCESS ? verify_answer(r, msg.txid, NULL)
                                         : leg_drop(r, COUNTER_DROP_UNMATCHED);
    case STUN_INDICATION:
        break;
    }
    return media(r);
}
