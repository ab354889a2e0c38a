// SPDX-License-Identifier: ISC
// Channels (XEP-0278): two ports, and nobody has signalled who may use them. Every server for this
// so far sends to whoever was heard last; here a path opens once, for two sources that fit each
// other, and then stays theirs. Three things keep strangers out who cannot see the packets:
//
//   - Both legs are learned together or not at all, so that a stranger at one port is never joined
//     to a client at the other before that client's partner has come.
//   - A source that tries both ports is nobody's client: a client knows only one of them.
//   - ICE runs through a channel end to end, and its checks say which two belong together: those
//     of one side name "x:y" and those of the other "y:x", of 24 random bits each at least (RFC
//     8445 section 5.3). The relay knows no password, but both names are known to the two clients
//     alone. Two sources whose names mirror each other are a *pair*. Checks and their answers pass
//     between them, and when each has answered one of the other, whose id it could not know
//     before, the path is theirs for good. A pair that does not answer gives way to the next, so
//     that requests sprayed with names of a stranger's own keep nobody out.
//
// Without ICE (plain RTP) there is less to go by: when both legs have senders of consistent RTP, a
// contest begins, and whoever has sent at least twice as much as any other by its end is taken. It
// lasts half a second, and whoever leads must have been in it from the beginning, so that there is
// time for the other client to come. Two winners at one address are refused: they would rather be a
// stranger with many sockets than two clients behind one NAT, who can do with ICE. What was taken
// by RTP gives way to a pair that answers, but only when both of its sources have fallen silent; by
// RTP it is never taken again.
//
// The path of component 2 follows that of component 1: checks with the same names, or RTCP from the
// same host.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UFRAG_MIN 4 // RFC 8445 section 5.3

int channel_prepare(struct path *path)
{
    path->channel = calloc(1, sizeof(*path->channel));
    if (!path->channel)
        return -ENOMEM;
    path->channel->pair[0] = path->channel->pair[1] = -1;
    return 0;
}

static void latch(struct path *path, enum latch how, const int8_t winner[SIDE_COUNT], usec_t now)
{
    struct channel *c = path->channel;

    c->latch = how;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        const struct trial *t = &c->trial[s][winner[s]];
        c->names[s] = t->names;
        (void)leg_take(path, s, &t->addr, t->family, now); // its place was reserved
        c->trials[s] = 0;
    }
    c->pair[0] = c->pair[1] = -1;
    c->contest = 0;
    transactions_free(&path->transactions);
}

// --- sources on trial --------------------------------------------------------------------------

static int trial_find(const struct channel *c, enum side side, const struct addr *addr,
                      unsigned family)
{
    for (int i = 0; i < c->trials[side]; i++)
        if (c->trial[side][i].family == family && addr_equal(&c->trial[side][i].addr, addr))
            return i;
    return -1;
}

static unsigned weight(const struct trial *t, usec_t now)
{
    unsigned rtp = now - t->last_rtp <= TRIAL_LIFE ? t->run : 0;
    unsigned checks = now - t->last_check <= TRIAL_LIFE ? t->checks : 0;

    return t->stranger ? 0 : rtp > checks ? rtp : checks;
}

// When all places are taken, the one that has shown least goes, and of equal ones each in its turn;
// never one of the pair.
static int trial_place(struct channel *c, enum side side, usec_t now)
{
    int least = -1;

    if (c->trials[side] < TRIAL_SOURCES)
        return c->trials[side]++;
    for (unsigned i = 0; i < TRIAL_SOURCES; i++) {
        int at = (int)((c->turn[side] + i) % TRIAL_SOURCES);
        if (at != c->pair[side] &&
            (least < 0 || weight(&c->trial[side][at], now) < weight(&c->trial[side][least], now)))
            least = at;
    }
    c->turn[side] = (uint8_t)((least + 1) % TRIAL_SOURCES);
    return least;
}

static void unpair(struct channel *c)
{
    c->pair[0] = c->pair[1] = -1;
}

static void expose(const struct recv *r, int here, int there)
{
    struct channel *c = r->path->channel;
    enum side other = side_other(r->side);
    struct trial *a = &c->trial[r->side][here], *b = &c->trial[other][there];

    if (a->stranger && b->stranger)
        return;
    a->stranger = b->stranger = true;
    count(r->path->relay, COUNTER_LATCHES_REFUSED);
    if (c->pair[r->side] == here || c->pair[other] == there)
        unpair(c);
}

// Its number on trial, or -1 for somebody who tries both legs.
static int trial_of(const struct recv *r)
{
    struct channel *c = r->path->channel;
    int here = trial_find(c, r->side, r->from, r->port->family);
    int there = trial_find(c, side_other(r->side), r->from, r->port->family);

    if (here < 0) {
        here = trial_place(c, r->side, r->now);
        c->trial[r->side][here] = (struct trial){.addr = *r->from, .family = r->port->family};
    }
    if (there >= 0)
        expose(r, here, there);
    return c->trial[r->side][here].stranger ? -1 : here;
}

// --- checks ------------------------------------------------------------------------------------

struct names {
    uint64_t here, mirrored;
};

// Who names itself the same on both sides would mirror itself.
static bool names_of(const struct relay *relay, const struct stun_msg *msg, struct names *ret_names)
{
    const struct stun_view *name = &msg->attr[STUN_USERNAME];
    const uint8_t *colon = name->data ? memchr(name->data, ':', name->len) : NULL;
    uint8_t mirrored[2 * ICE_UFRAG_MAX + 1];

    if (!colon || !stun_has(msg, STUN_MESSAGE_INTEGRITY) || !stun_has(msg, STUN_PRIORITY) ||
        (!stun_has(msg, STUN_ICE_CONTROLLING) && !stun_has(msg, STUN_ICE_CONTROLLED)))
        return false;
    size_t first = (size_t)(colon - name->data), second = name->len - first - 1;
    if (first < UFRAG_MIN || first > ICE_UFRAG_MAX || second < UFRAG_MIN || second > ICE_UFRAG_MAX)
        return false;
    memcpy(mirrored, colon + 1, second);
    mirrored[second] = ':';
    memcpy(mirrored + second + 1, name->data, first);
    ret_names->here = map_hash(&relay->paths, name->data, name->len);
    ret_names->mirrored = map_hash(&relay->paths, mirrored, name->len);
    return ret_names->here != ret_names->mirrored;
}

static void note_check(struct trial *t, const struct names *names, usec_t now)
{
    if (t->names != names->here || now - t->last_check > TRIAL_LIFE)
        t->checks = 0;
    t->names = names->here;
    t->mirrored = names->mirrored;
    t->last_check = now;
    if (t->checks < UINT8_MAX)
        t->checks++;
}

// The names of component 2 are known from component 1 already.
static bool has_checked(const struct path *path, const struct trial *t, usec_t now)
{
    return !t->stranger && now - t->last_check <= TRIAL_LIFE &&
           t->checks >= (path->rtp_path != 0 ? 1 : TRIAL_CHECKS);
}

// Between which two names checks of component 2 pass, component 1 decides: those that it has
// latched to ('sure'), or else those that it tries.
static bool rtp_goes_by(const struct path *path, enum side side, const struct trial *t, bool sure)
{
    const struct path *rtp = path_find(path->relay, path->rtp_path);
    const struct channel *c = rtp ? rtp->channel : NULL;

    if (path->rtp_path == 0)
        return true;
    if (c && c->latch == LATCH_CHECKS)
        return c->names[side] == t->names;
    return c && !sure && c->pair[side] >= 0 && c->trial[side][c->pair[side]].names == t->names;
}

// Both have answered, and nobody can be meant but these two.
static bool is_proved(const struct path *path)
{
    const struct channel *c = path->channel;

    return c->pair[0] >= 0 && c->answered[0] && c->answered[1] &&
           rtp_goes_by(path, SIDE_INITIATOR, &c->trial[SIDE_INITIATOR][c->pair[0]], true);
}

// A pair is tried for a while; then others may be, in turn.
static void pair_up(const struct recv *r, int here)
{
    struct channel *c = r->path->channel;
    enum side other = side_other(r->side);
    const struct trial *t = &c->trial[r->side][here];

    if (!has_checked(r->path, t, r->now) || !rtp_goes_by(r->path, r->side, t, false) ||
        (c->pair[other] >= 0 && r->now - c->paired < PAIR_LIFE))
        return;
    for (int i = 1; i <= c->trials[other]; i++) {
        int there = (c->pair[other] + i) % c->trials[other];
        const struct trial *o = &c->trial[other][there];
        if (o->names != t->mirrored || !has_checked(r->path, o, r->now))
            continue;
        if (c->pair[r->side] == here && c->pair[other] == there)
            return; // there is no other
        c->answered[0] = c->answered[1] = false;
        c->pair[r->side] = (int8_t)here;
        c->pair[other] = (int8_t)there;
        c->paired = r->now;
        return;
    }
}

static enum verdict forward_check(const struct recv *r, const uint8_t *txid)
{
    const struct channel *c = r->path->channel;
    enum side other = side_other(r->side);
    const struct trial *to = &c->trial[other][c->pair[other]];
    struct transaction t = {.sent = r->now,
                            .from = *r->from,
                            .to = to->addr,
                            .side = (uint8_t)r->side,
                            .from_family = r->port->family,
                            .to_family = to->family};
    enum verdict verdict = leg_forward(r, &to->addr, to->family);

    memcpy(t.txid, txid, STUN_TXID_LEN);
    if (verdict == VERDICT_FORWARD)
        transactions_add(&r->path->transactions, &t);
    return verdict;
}

static enum verdict request(const struct recv *r, const struct stun_msg *msg)
{
    struct channel *c = r->path->channel;
    struct names names;

    if (!names_of(r->path->relay, msg, &names))
        return leg_drop(r, COUNTER_DROP_BAD_USERNAME);
    int here = trial_of(r);
    if (here < 0)
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    if (c->pair[r->side] == here && c->trial[r->side][here].names != names.here)
        unpair(c); // an ICE restart; its partner will follow
    note_check(&c->trial[r->side][here], &names, r->now);
    if (c->pair[r->side] == here && !rtp_goes_by(r->path, r->side, &c->trial[r->side][here], false))
        unpair(c);
    pair_up(r, here);
    return c->pair[r->side] == here ? forward_check(r, msg->txid)
                                    : leg_drop(r, COUNTER_DROP_INCONSISTENT);
}

static enum verdict response(const struct recv *r, const struct stun_msg *msg)
{
    struct channel *c = r->path->channel;
    enum side other = side_other(r->side);
    int here = trial_find(c, r->side, r->from, r->port->family);

    if (here < 0 || here != c->pair[r->side])
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    const struct transaction *asked = transactions_find(&r->path->transactions, msg->txid, other,
                                                        r->from, r->port->family, r->now);
    const struct trial *to = &c->trial[other][c->pair[other]];
    if (!asked || !addr_equal(&asked->from, &to->addr) || asked->from_family != to->family)
        return leg_drop(r, COUNTER_DROP_UNMATCHED);
    enum verdict verdict = leg_forward(r, &to->addr, to->family);
    if (verdict != VERDICT_FORWARD || msg->class != STUN_SUCCESS)
        return verdict;
    if (!asked->resent)
        r->leg->rtt = r->now - asked->sent;
    c->answered[r->side] = true;
    if (is_proved(r->path))
        latch(r->path, LATCH_CHECKS, c->pair, r->now);
    return verdict;
}

static enum verdict learn_stun(const struct recv *r)
{
    struct stun_msg msg;

    if (stun_decode(r->packet->data, r->packet->len, &msg) < 0 || msg.method != STUN_BINDING)
        return leg_drop(r, COUNTER_DROP_MALFORMED);
    if (msg.class == STUN_REQUEST)
        return request(r, &msg);
    return msg.class == STUN_INDICATION ? leg_drop(r, COUNTER_DROP_UNPROVED) : response(r, &msg);
}

// --- RTP ---------------------------------------------------------------------------------------

static void note_rtp(struct trial *t, const struct rtp_header *header, usec_t now)
{
    uint16_t step = (uint16_t)(header->sequence - t->sequence);

    // What comes late or twice tells nothing.
    if (t->run > 0 && header->ssrc == t->ssrc && (step == 0 || step > UINT16_MAX - LEARN_STEP_MAX))
        return;
    if (header->ssrc != t->ssrc || step < 1 || step > LEARN_STEP_MAX ||
        now - t->last_rtp > TRIAL_PAUSE)
        t->run = 0;
    if (t->run < UINT16_MAX)
        t->run++;
    if (t->run > 1 && t->scored < UINT16_MAX)
        t->scored++;
    t->ssrc = header->ssrc;
    t->sequence = header->sequence;
    t->last_rtp = now;
}

static bool sends_rtp(const struct trial *t, usec_t now)
{
    return !t->stranger && t->run >= LEARN_PACKETS && now - t->last_rtp <= TRIAL_PAUSE;
}

// Who leads clearly, and has from the beginning; -1: nobody. A client that comes into a contest of
// strangers would else win its leg alone.
static int8_t leader(const struct channel *c, enum side side, usec_t now)
{
    unsigned second = 0;
    int8_t first = -1;

    for (int8_t i = 0; i < c->trials[side]; i++) {
        const struct trial *t = &c->trial[side][i];
        if (!sends_rtp(t, now))
            continue;
        if (first < 0 || t->scored > c->trial[side][first].scored) {
            second = first < 0 ? 0 : c->trial[side][first].scored;
            first = i;
        } else if (t->scored > second) {
            second = t->scored;
        }
    }
    if (first < 0 || !c->trial[side][first].entered || c->trial[side][first].scored < LEARN_PACKETS)
        return -1;
    return c->trial[side][first].scored >= 2 * second ? first : -1;
}

static bool has_sender(const struct channel *c, enum side side, usec_t now)
{
    for (int i = 0; i < c->trials[side]; i++)
        if (sends_rtp(&c->trial[side][i], now))
            return true;
    return false;
}

// An IPv6 host may choose among all addresses of its network.
static bool same_site(const struct addr *a, const struct addr *b)
{
    return a->family == b->family &&
           (a->family == FAMILY_V6 ? memcmp(a->ip, b->ip, 8) == 0 : addr_equal_ip(a, b));
}

static void contest(struct path *path, usec_t now)
{
    struct channel *c = path->channel;
    int8_t winner[SIDE_COUNT];

    if (c->contest == 0 || now > c->contest + TRIAL_PAUSE) {
        c->contest = 0;
        if (!has_sender(c, SIDE_INITIATOR, now) || !has_sender(c, SIDE_RESPONDER, now))
            return;
        c->contest = now + CONTEST_LENGTH;
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            for (unsigned i = 0; i < c->trials[s]; i++) {
                c->trial[s][i].scored = 0;
                c->trial[s][i].entered = sends_rtp(&c->trial[s][i], now);
            }
        return;
    }
    if (now < c->contest)
        return;
    c->contest = 0; // without a winner the next packet begins another
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        winner[s] = leader(c, s, now);
    if (winner[SIDE_INITIATOR] >= 0 && winner[SIDE_RESPONDER] >= 0 &&
        !same_site(&c->trial[SIDE_INITIATOR][winner[SIDE_INITIATOR]].addr,
                   &c->trial[SIDE_RESPONDER][winner[SIDE_RESPONDER]].addr))
        latch(path, LATCH_RTP, winner, now);
}

static enum verdict learn_rtp(const struct recv *r)
{
    struct channel *c = r->path->channel;
    struct rtp_header header;

    if (rtp_decode(r->packet->data, r->packet->len, &header) < 0)
        return leg_drop(r, COUNTER_DROP_MALFORMED);
    int here = trial_of(r);
    if (here < 0)
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    note_rtp(&c->trial[r->side][here], &header, r->now);
    contest(r->path, r->now);
    return c->latch == LATCH_NONE ? leg_drop(r, COUNTER_DROP_INCONSISTENT) : leg_media(r);
}

// Component 2 of a channel without ICE: each leg by itself, RTCP from the host of the RTP.
static enum verdict learn_rtcp(const struct recv *r)
{
    const struct path *path = path_find(r->path->relay, r->path->rtp_path);
    const struct leg *rtp = path ? &path->leg[r->side] : NULL;

    if (!rtp || path->channel->latch != LATCH_RTP)
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    if (r->leg->selected < 0 && r->kind == PACKET_RTCP &&
        addr_equal_ip(&rtp->source[rtp->selected].addr, r->from))
        (void)leg_take(r->path, r->side, r->from, r->port->family, r->now);
    return leg_media(r);
}

// --- all packets -------------------------------------------------------------------------------

static bool deserted(struct path *path, usec_t now)
{
    offload_refresh(path, now);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (now - path->leg[s].source[0].last_seen < CHANNEL_DESERTED)
            return false;
    return true;
}

enum verdict channel_recv(const struct recv *r)
{
    const struct channel *c = r->path->channel;

    if (is_proved(r->path)) // of component 2, when component 1 has been latched since
        latch(r->path, LATCH_CHECKS, c->pair, r->now);
    if (c->latch == LATCH_CHECKS ||
        (c->latch == LATCH_RTP && (r->kind != PACKET_STUN || !deserted(r->path, r->now))))
        return leg_media(r);
    if (!relay_may_send_unproved(r->path->relay, r->from))
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    if (r->kind == PACKET_STUN)
        return learn_stun(r);
    if (r->path->rtp_path != 0)
        return learn_rtcp(r);
    return r->kind == PACKET_RTP ? learn_rtp(r) : leg_drop(r, COUNTER_DROP_UNPROVED);
}
