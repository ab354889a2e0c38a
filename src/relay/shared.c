// SPDX-License-Identifier: ISC
// One UDP port for the ICE paths of all calls. Who may send into a path is decided by ice.c as with
// ports of its own; here it is only found out which path, and which leg of it, a datagram is for:
//
//   a check        by its USERNAME: the leg that faces its sender, who is the client of the second
//                  name, of the path whose other client has the first. Names are short and chosen
//                  by strangers, so that several paths may have them: the one that knows both,
//                  whose password fits, and whose component is the check's, in this order.
//   its answer     by the transaction that it answers, among the paths that know its source.
//   all the rest   by its 5-tuple: to the path that holds it.
//   no path's      checks that nobody waits for and media of nobody are dropped; what may be
//                  for a STUN or TURN server on the same port is said to be elsewhere's: TURN's
//                  methods and ChannelData always are, though a path may hold their 5-tuple.
//
// A source claims its address when it is proved. The first claim holds it. Where two paths have
// proved the same address (one socket in two calls; two components on one socket, which ICE does
// not allow; or somebody who has forged his source address in a check of a call of his own) it
// stays with the holder, unless only the other one can answer a check at that address, or the
// holder has fallen silent and the other one can. So an address cannot be stolen by who does not
// receive what is sent there. The path without it still has its checks, and counts what it refuses.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Names and addresses are strangers' choice; what one datagram costs must not be.
#define NAMES_LOOKED    64 // credentials of one name
#define PASSWORDS_TRIED 8  // of those that are alike
#define RIVALS_MAX      16 // claims to one address, besides the holder's

#define TYPE_METHOD(type) (((type)&0x3e00) >> 2 | ((type)&0x00e0) >> 1 | ((type)&0x000f))

void relay_share(struct relay *relay, enum family family, uint16_t port, void *socket)
{
    relay->shared[family == FAMILY_V6] = (struct shared_port){socket, port};
}

// --- names -------------------------------------------------------------------------------------

int shared_list(struct path *path, enum side side, struct credentials *c)
{
    struct relay *relay = path->relay;
    int err;

    c->path = path;
    c->side = (uint8_t)side;
    c->listed = false;
    if (!path->shared)
        return 0;
    err = map_insert(&relay->names, &c->node, map_hash(&relay->names, c->text, c->ufrag_len));
    c->listed = err == 0;
    return err;
}

void credentials_free(struct credentials *c)
{
    if (c && c->listed)
        map_remove(&c->path->relay->names, &c->node);
    free(c);
}

struct name {
    const char *text;
    size_t len;
};

static bool is_name(const struct credentials *c, const struct name *name)
{
    return c->ufrag_len == name->len && memcmp(c->text, name->text, name->len) == 0;
}

// RFC 8445 section 7.2.2: the receiver's name, a colon, the sender's. No name has a colon in it.
static bool split(const struct stun_view *username, struct name *ret_to, struct name *ret_from)
{
    const char *text = (const char *)username->data;
    const char *colon = text ? memchr(text, ':', username->len) : NULL;

    if (!colon)
        return false;
    *ret_to = (struct name){text, (size_t)(colon - text)};
    *ret_from = (struct name){colon + 1, username->len - ret_to->len - 1};
    return true;
}

static struct port *port_of_sender(const struct credentials *to, const struct addr *from)
{
    return &to->path->leg[side_other(to->side)].port[from->family == FAMILY_V6];
}

static bool knows_sender(const struct credentials *to, const struct name *from)
{
    const struct leg *leg = &to->path->leg[side_other(to->side)];

    return (leg->credentials[0] && is_name(leg->credentials[0], from)) ||
           (leg->credentials[1] && is_name(leg->credentials[1], from));
}

// --- addresses ---------------------------------------------------------------------------------

static uint64_t addr_hash(const struct relay *relay, const struct addr *addr)
{
    uint8_t bytes[sizeof(addr->ip) + 3];

    memcpy(bytes, addr->ip, sizeof(addr->ip));
    bytes[sizeof(addr->ip)] = (uint8_t)(addr->port >> 8);
    bytes[sizeof(addr->ip) + 1] = (uint8_t)addr->port;
    bytes[sizeof(addr->ip) + 2] = addr->family;
    return map_hash(&relay->claims, bytes, sizeof(bytes));
}

static struct claim *holder_of(const struct relay *relay, const struct addr *addr)
{
    struct map_node *n = map_first(&relay->claims, addr_hash(relay, addr));

    for (; n; n = map_next(n)) {
        struct claim *claim = container_of(n, struct claim, node);
        if (addr_equal(&claim->addr, addr))
            return claim;
    }
    return NULL;
}

// NULL: the claim is being made.
static struct source *source_of(const struct claim *claim)
{
    struct leg *leg = &claim->port->path->leg[claim->port->side];
    int index = source_find(leg, &claim->addr, claim->port->family);

    return index < 0 ? NULL : &leg->source[index];
}

static int claim_add(struct relay *relay, struct claim *claim)
{
    struct claim *last = holder_of(relay, &claim->addr);

    claim->holds = !last;
    if (!last)
        return map_insert(&relay->claims, &claim->node, addr_hash(relay, &claim->addr));
    for (unsigned i = 0; i < RIVALS_MAX; i++, last = last->next) {
        if (last->next)
            continue;
        last->next = claim;
        return 0;
    }
    return -ENOSPC;
}

int shared_claim(struct relay *relay, struct port *port, const struct addr *addr,
                 struct claim **ret_claim)
{
    struct claim *claim;
    int err;

    *ret_claim = NULL;
    if (!port->shared)
        return 0;
    claim = calloc(1, sizeof(*claim));
    if (!claim)
        return -ENOMEM;
    claim->port = port;
    claim->addr = *addr;
    err = claim_add(relay, claim);
    if (err < 0)
        free(claim);
    else
        *ret_claim = claim;
    return err;
}

// Who has answered comes before who has not, then who was heard of last.
static bool better(const struct claim *a, const struct claim *b)
{
    const struct source *sa = source_of(a), *sb = b ? source_of(b) : NULL;

    if (!sa || !sb)
        return sa || !b;
    if (sa->answered != sb->answered)
        return sa->answered;
    return sa->last_seen > sb->last_seen;
}

static void unlink_rival(struct claim *holder, struct claim *rival)
{
    struct claim **link = &holder->next;

    while (*link != rival)
        link = &(*link)->next;
    *link = rival->next;
    rival->next = NULL;
}

// The other one holds the address from now on.
static void hand_over(struct relay *relay, struct claim *holder, struct claim *rival)
{
    unlink_rival(holder, rival);
    (void)map_insert(&relay->claims, &rival->node, holder->node.hash); // the table has heads
    map_remove(&relay->claims, &holder->node);
    rival->holds = true;
    holder->holds = false;
    rival->next = holder;
}

void shared_hold(struct relay *relay, struct claim *claim)
{
    if (!claim->holds)
        hand_over(relay, holder_of(relay, &claim->addr), claim);
}

void shared_unclaim(struct relay *relay, struct claim *claim)
{
    struct claim *holder, *heir = NULL;

    if (!claim)
        return;
    for (struct claim *c = claim->next; claim->holds && c; c = c->next)
        if (better(c, heir))
            heir = c;
    if (heir)
        hand_over(relay, claim, heir);
    holder = claim->holds ? NULL : holder_of(relay, &claim->addr);
    if (holder)
        unlink_rival(holder, claim);
    else
        map_remove(&relay->claims, &claim->node);
    free(claim);
}

void shared_contend(struct path *path, enum side side, struct source *source, usec_t now)
{
    struct claim *mine = source->claim, *holder;
    struct source *rival;

    if (!mine || mine->holds)
        return;
    holder = holder_of(path->relay, &mine->addr);
    offload_refresh(holder->port->path, now);
    rival = source_of(holder);
    if (source->answered &&
        (!rival || !rival->answered || now - rival->last_seen >= SOURCE_STALE_LOST)) {
        offload_take(holder->port->path, now);
        hand_over(path->relay, holder, mine);
        return;
    }
    if (!source->answered)
        verify_start(path, side, source, now);
    if (rival && !rival->answered)
        verify_start(holder->port->path, holder->port->side, rival, now);
}

// --- checks --------------------------------------------------------------------------------------

// Where the holder of the sender's address is called by that name.
static const struct credentials *holders_credentials(const struct relay *relay,
                                                     const struct addr *from, const struct name *to)
{
    const struct claim *holder = holder_of(relay, from);
    const struct leg *leg =
        holder ? &holder->port->path->leg[side_other(holder->port->side)] : NULL;

    for (unsigned i = 0; leg && i < 2; i++)
        if (leg->credentials[i] && is_name(leg->credentials[i], to))
            return leg->credentials[i];
    return NULL;
}

// Of the paths that the name stands for those that know both; if there are none, all. What holds
// the sender's address comes first.
static unsigned named(const struct relay *relay, const struct addr *from, const struct name *to,
                      const struct name *sender,
                      const struct credentials *ret_named[NAMES_LOOKED + 1])
{
    unsigned count = 0, looked = 0;
    const struct credentials *holds = holders_credentials(relay, from, to);
    bool known = holds && knows_sender(holds, sender);

    if (known)
        ret_named[count++] = holds;
    struct map_node *n = map_first(&relay->names, map_hash(&relay->names, to->text, to->len));
    for (; n && looked < NAMES_LOOKED; n = map_next(n), looked++) {
        const struct credentials *c = container_of(n, struct credentials, node);
        if (!is_name(c, to) || !port_of_sender(c, from)->shared || (known && c == holds))
            continue;
        bool knows = knows_sender(c, sender);
        if (knows && !known)
            count = 0;
        known = known || knows;
        if (knows == known)
            ret_named[count++] = c;
    }
    return count;
}

// How well a path fits a check. RFC 8445 sections 7.1.1 and 5.1.2.1: the low byte of PRIORITY is
// 256 - component.
static unsigned fits(const struct credentials *to, const struct stun_msg *msg)
{
    bool authentic = stun_check_integrity(msg, to->text + to->ufrag_len, to->pwd_len);
    bool component = ((stun_u32(msg, STUN_PRIORITY) + to->path->component) & 0xff) == 0;

    return 2u * authentic + component;
}

// The leg's port that the check came to, or NULL: it is no path's.
static struct port *port_of_check(const struct relay *relay, const struct addr *from,
                                  const struct stun_msg *msg)
{
    const struct credentials *found[NAMES_LOOKED + 1], *best;
    struct name to, sender;
    unsigned count, best_fit;

    if (!split(&msg->attr[STUN_USERNAME], &to, &sender))
        return NULL;
    count = named(relay, from, &to, &sender, found);
    if (count == 0)
        return NULL;
    best = found[0];
    best_fit = count > 1 ? fits(best, msg) : 0; // nearly always there is one
    for (unsigned i = 1; i < count && i < PASSWORDS_TRIED; i++) {
        unsigned fit = fits(found[i], msg);
        if (fit > best_fit) {
            best = found[i];
            best_fit = fit;
        }
    }
    return port_of_sender(best, from);
}

// --- datagrams ---------------------------------------------------------------------------------

// Any path that it is an answer for, or else the holder of its source; NULL: neither.
static struct port *port_of_answer(const struct relay *relay, const struct addr *from,
                                   const struct stun_msg *msg, usec_t now)
{
    struct claim *holder = holder_of(relay, from);

    for (struct claim *c = holder; c; c = c->next) {
        struct port *port = c->port;
        const struct source *source = source_of(c);
        if (transactions_find(&port->path->transactions, msg->txid, side_other(port->side), from,
                              port->family, now) ||
            (source && source->check_open &&
             memcmp(source->check_id, msg->txid, STUN_TXID_LEN) == 0))
            return port;
    }
    return holder ? holder->port : NULL;
}

static struct port *port_of_source(const struct relay *relay, const struct addr *from)
{
    const struct claim *holder = holder_of(relay, from);

    return holder ? holder->port : NULL;
}

// A Binding message's port; or NULL, and what becomes of it then.
static struct port *port_of_binding(const struct relay *relay, const struct addr *from,
                                    const struct packet *packet, usec_t now,
                                    enum verdict *ret_otherwise)
{
    struct stun_msg msg;
    struct port *port;

    *ret_otherwise = VERDICT_ELSEWHERE;
    if (stun_decode(packet->data, packet->len, &msg) < 0 || msg.class == STUN_INDICATION)
        return port_of_source(relay, from);
    if (msg.class != STUN_REQUEST)
        return port_of_answer(relay, from, &msg, now);
    // A request to a STUN server has no name, or one of TURN's, with a realm. Who checks must not
    // get an answer of that server: to a careless client it would look like its peer's.
    if (!stun_has(&msg, STUN_USERNAME) || stun_has(&msg, STUN_REALM))
        return NULL;
    port = port_of_check(relay, from, &msg);
    if (!port && stun_has(&msg, STUN_PRIORITY)) {
        port = port_of_source(relay, from); // which counts what it refuses
        *ret_otherwise = VERDICT_DROP;
    }
    return port;
}

static bool is_binding(const struct packet *packet)
{
    return TYPE_METHOD(packet->data[0] << 8 | packet->data[1]) == STUN_BINDING;
}

// As RFC 5766 has it, whose clients go beyond what RFC 8656 leaves of it.
static bool is_channel_data(const struct packet *packet)
{
    return packet->len > 0 && packet->data[0] >> 6 == 1;
}

enum verdict relay_recv_shared(struct relay *relay, const struct addr *from,
                               const struct packet *packet, struct forward *ret_forward, usec_t now)
{
    enum packet_kind kind = demux(packet->data, packet->len);
    enum verdict otherwise = VERDICT_ELSEWHERE;
    const struct shared_port *shared = &relay->shared[from->family == FAMILY_V6];
    struct port *port;

    if (is_channel_data(packet) || (kind == PACKET_STUN && !is_binding(packet)))
        return VERDICT_ELSEWHERE;
    // Nothing comes from the port itself, and what claims to would go round for ever.
    if (from->port == shared->number && relay_is_host(relay, from)) {
        count(relay, COUNTER_DROP_UNPROVED);
        return VERDICT_DROP;
    }
    if (kind == PACKET_STUN)
        port = port_of_binding(relay, from, packet, now, &otherwise);
    else
        port = port_of_source(relay, from);
    if (port)
        return relay_recv(relay, port, from, packet, ret_forward, now);
    if (kind == PACKET_RTP || kind == PACKET_RTCP)
        otherwise = VERDICT_DROP;
    if (otherwise == VERDICT_DROP)
        count(relay, kind == PACKET_STUN ? COUNTER_DROP_BAD_USERNAME : COUNTER_DROP_UNPROVED);
    return otherwise;
}

// --- invariants --------------------------------------------------------------------------------

static const char *check_claim(const struct relay *relay, const struct claim *claim)
{
    const struct claim *holder = holder_of(relay, &claim->addr), *c = holder;
    unsigned rivals = 0;

    if (!holder || !holder->holds || claim->holds != (claim == holder))
        return "an address of claims has one holder";
    for (; c && c != claim; c = c->next)
        rivals++;
    return c && rivals <= RIVALS_MAX ? NULL : "rivals are listed behind the holder";
}

static const char *check_leg(const struct relay *relay, const struct path *path, enum side side,
                             size_t *names, size_t *claims)
{
    const struct leg *leg = &path->leg[side];

    for (unsigned i = 0; i < 2; i++) {
        const struct credentials *c = leg->credentials[i];
        if (c && (c->listed != path->shared || c->path != path || c->side != side))
            return "credentials are listed where the path shares ports";
        *names += c && c->listed;
    }
    for (unsigned i = 0; i < leg->sources; i++) {
        const struct source *s = &leg->source[i];
        const struct port *port = &leg->port[s->family];
        const char *wrong = s->claim ? check_claim(relay, s->claim) : NULL;
        if (wrong)
            return wrong;
        if ((s->claim != NULL) != port->shared)
            return "a source claims its address where its port is shared";
        if (s->claim && (s->claim->port != port || !addr_equal(&s->claim->addr, &s->addr)))
            return "a claim is its source's";
        *claims += s->claim && s->claim->holds;
    }
    return NULL;
}

const char *shared_check(const struct relay *relay)
{
    size_t names = 0, claims = 0;
    const char *wrong = NULL;

    for (struct map_node *n = map_each(&relay->paths, NULL); n; n = map_each(&relay->paths, n)) {
        const struct path *path = container_of(n, struct path, node);
        for (unsigned s = 0; s < SIDE_COUNT && !wrong; s++)
            wrong = check_leg(relay, path, s, &names, &claims);
    }
    if (wrong)
        return wrong;
    return names == relay->names.count && claims == relay->claims.count
               ? NULL
               : "names and claims are those of paths";
}
