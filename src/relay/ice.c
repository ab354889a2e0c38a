// SPDX-License-Identifier: ISC
// ICE paths: who may send. An address proves itself by a connectivity check that only a party of
// the call can have made, with an id that was not used before; and it becomes the selected one by
//
//   first   no other is selected yet;
//   (a)     it nominates (USE-CANDIDATE), then answers a check of the relay's own;
//   (b)     nobody has nominated yet, it was the last to prove itself, and has answered;
//   (c)     the selected source has fallen silent, and it had answered before;
//   (d)     it answers a nomination that the relay has forwarded to it: a controlled client never
//           nominates, but its answer shows which of its addresses the pair uses.
//
// The relay ends no ICE here: it forwards checks to the other side's selected source (during a
// restart: to the one that belongs to the check's generation) and their answers to the very source
// that asked, like a NAT that both sides can reach.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- credentials -------------------------------------------------------------------------------

static bool same_credentials(const struct credentials *c, const char *ufrag, size_t ufrag_len,
                             const char *pwd, size_t pwd_len)
{
    return c && c->ufrag_len == ufrag_len && c->pwd_len == pwd_len &&
           memcmp(c->text, ufrag, ufrag_len) == 0 && memcmp(c->text + ufrag_len, pwd, pwd_len) == 0;
}

struct credentials *credentials_new(struct path *path, enum side side, const void *ufrag,
                                    size_t ufrag_len, const void *pwd, size_t pwd_len)
{
    struct credentials *c = malloc(sizeof(*c) + ufrag_len + pwd_len);

    if (!c)
        return NULL;
    c->ufrag_len = (uint16_t)ufrag_len;
    c->pwd_len = (uint16_t)pwd_len;
    memcpy(c->text, ufrag, ufrag_len);
    memcpy(c->text + ufrag_len, pwd, pwd_len);
    if (shared_list(path, side, c) == 0)
        return c;
    free(c);
    return NULL;
}

int ice_credentials(struct path *path, const struct order *order)
{
    struct leg *leg = &path->leg[order->side];
    const char *ufrag = order->u.credentials.ufrag;
    const char *pwd = order->u.credentials.pwd;
    size_t ufrag_len = strnlen(ufrag, ICE_UFRAG_MAX);
    size_t pwd_len = strnlen(pwd, ICE_PWD_MAX);
    struct credentials *c;

    // An empty password would be one that everybody knows.
    if (ufrag_len == 0 || pwd_len == 0)
        return 0;
    if (same_credentials(leg->credentials[0], ufrag, ufrag_len, pwd, pwd_len))
        return 0;
    c = credentials_new(path, order->side, ufrag, ufrag_len, pwd, pwd_len);
    if (!c)
        return -ENOMEM;
    credentials_free(leg->credentials[1]);
    leg->credentials[1] = leg->credentials[0];
    leg->credentials[0] = c;
    leg->generation++;
    return 0;
}

const struct credentials *ice_generation(const struct leg *leg, uint32_t generation)
{
    if (generation + 1 == leg->generation && leg->credentials[1])
        return leg->credentials[1];
    return leg->credentials[0];
}

static bool authentic_under(const struct credentials *c, const struct stun_msg *msg)
{
    return c && stun_check_integrity(msg, c->text + c->ufrag_len, c->pwd_len);
}

bool ice_authentic(const struct leg *leg, const struct stun_msg *msg)
{
    return authentic_under(leg->credentials[0], msg) || authentic_under(leg->credentials[1], msg);
}

void ice_forget_previous(struct path *path, enum side side, const struct source *source)
{
    const struct leg *own = &path->leg[side], *other = &path->leg[side_other(side)];

    if (source->generation[0] != own->generation || source->generation[1] != other->generation)
        return;
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        credentials_free(path->leg[s].credentials[1]);
        path->leg[s].credentials[1] = NULL;
    }
}

static bool username_is(const struct stun_view *username, const struct credentials *to,
                        const struct credentials *from)
{
    const char *text = (const char *)username->data;

    return text && username->len == (size_t)to->ufrag_len + 1 + from->ufrag_len &&
           memcmp(text, to->text, to->ufrag_len) == 0 && text[to->ufrag_len] == ':' &&
           memcmp(text + to->ufrag_len + 1, from->text, from->ufrag_len) == 0;
}

// RFC 8445 section 7.2.2: the USERNAME of a check is "<ufrag of the receiver>:<ufrag of the
// sender>", and its integrity is keyed with the receiver's password. The sender is the client of
// this leg, the receiver that of the other. During an ICE restart either may still use its
// previous credentials. Returns true and the generations (own, other's), or the reason to drop.
static bool authenticate(const struct recv *r, const struct stun_msg *msg,
                         uint32_t ret_generation[2], enum counter *ret_reason)
{
    *ret_reason = COUNTER_DROP_BAD_USERNAME;
    if (!r->leg->credentials[0] || !r->out->credentials[0])
        *ret_reason = COUNTER_DROP_NO_CREDENTIALS;
    for (uint32_t i = 0; i < 4; i++) {
        const struct credentials *from = r->leg->credentials[i & 1];
        const struct credentials *to = r->out->credentials[i >> 1];
        if (!from || !to || !username_is(&msg->attr[STUN_USERNAME], to, from))
            continue;
        if (authentic_under(to, msg)) {
            ret_generation[0] = r->leg->generation - (i & 1);
            ret_generation[1] = r->out->generation - (i >> 1);
            return true;
        }
        *ret_reason = COUNTER_DROP_BAD_INTEGRITY;
    }
    return false;
}

// --- requests whose receiver is not known yet --------------------------------------------------

static enum verdict hold(const struct recv *r, uint32_t nomination)
{
    struct held *held = r->leg->held;
    size_t len = r->packet->len;

    if (len > HELD_MAX)
        return leg_drop(r, COUNTER_DROP_PEER_UNKNOWN);
    if (held && held->len == len && memcmp(held->data, r->packet->data, len) == 0) {
        held->until = r->now + HELD_LIFE; // a retransmission
    } else {
        held = malloc(sizeof(*held) + len);
        if (!held || r->leg->held)
            leg_drop(r, COUNTER_DROP_PEER_UNKNOWN); // of this one, or of the one that it replaces
        if (!held)
            return VERDICT_DROP;
        *held = (struct held){.until = r->now + HELD_LIFE,
                              .from = *r->from,
                              .nomination = nomination,
                              .len = (uint16_t)len,
                              .from_family = r->port->family,
                              .tos = r->packet->tos};
        memcpy(held->data, r->packet->data, len);
        free(r->leg->held);
        r->leg->held = held;
    }
    r->leg->packets_in++;
    r->leg->bytes_in += len;
    path_schedule(r->path);
    return VERDICT_CONSUME;
}

void ice_hold_expire(struct path *path, enum side side, usec_t now)
{
    struct leg *leg = &path->leg[side];

    if (!leg->held || now < leg->held->until)
        return;
    count(path->relay, COUNTER_DROP_PEER_UNKNOWN);
    leg->refused++;
    free(leg->held);
    leg->held = NULL;
}

static void transaction_of(const uint8_t *request, enum side side, const struct source *from,
                           const struct source *to, uint32_t nomination, usec_t now,
                           struct transaction *ret_t)
{
    *ret_t = (struct transaction){.sent = now,
                                  .from = from->addr,
                                  .to = to->addr,
                                  .nomination = nomination,
                                  .side = (uint8_t)side,
                                  .from_family = from->family,
                                  .to_family = to->family};
    memcpy(ret_t->txid, request + STUN_HEADER_LEN - STUN_TXID_LEN, STUN_TXID_LEN);
}

static void release(struct path *path, enum side asked, const struct held *held, usec_t now)
{
    struct relay *relay = path->relay;
    struct leg *leg = &path->leg[asked], *out = &path->leg[side_other(asked)];
    const struct source *to = &out->source[out->selected];
    int from = source_find(leg, &held->from, held->from_family);
    struct transaction t;

    if (from < 0) {
        count(relay, COUNTER_DROP_UNPROVED);
        return;
    }
    if (!bucket_take(&path->call->bucket, held->len, now)) {
        count(relay, COUNTER_DROP_BANDWIDTH);
        return;
    }
    if (relay->io.send(relay->ctx, out->port[to->family].socket, &to->addr, held->data, held->len,
                       held->tos) < 0) {
        count(relay, COUNTER_DROP_SEND_ERROR);
        return;
    }
    transaction_of(held->data, asked, &leg->source[from], to, held->nomination, now, &t);
    transactions_add(&path->transactions, &t);
    out->packets_out++;
    out->bytes_out += held->len;
    path->last_forward = now;
}

void ice_hold_release(struct path *path, enum side side, usec_t now)
{
    struct leg *asked = &path->leg[side_other(side)];
    struct held *held = asked->held;

    if (!held)
        return;
    asked->held = NULL;
    release(path, side_other(side), held, now);
    free(held);
}

// --- requests ----------------------------------------------------------------------------------

uint32_t source_hash(const struct relay *relay, const struct addr *addr)
{
    uint8_t bytes[sizeof(addr->ip) + 3];

    memcpy(bytes, addr->ip, sizeof(addr->ip));
    bytes[sizeof(addr->ip)] = (uint8_t)(addr->port >> 8);
    bytes[sizeof(addr->ip) + 1] = (uint8_t)addr->port;
    bytes[sizeof(addr->ip) + 2] = addr->family;
    return (uint32_t)map_hash(&relay->paths, bytes, sizeof(bytes));
}

// During an ICE restart the other client may use an address per generation, and only that of the
// generation which the request is made for knows its password (RFC 8445 section 9: the old pair
// carries media until the new one is validated).
static const struct source *receiver(const struct leg *out, uint32_t generation)
{
    const struct source *found = &out->source[out->selected];

    if (found->generation[0] == generation)
        return found;
    for (int i = 0; i < out->sources; i++) {
        const struct source *s = &out->source[i];
        if (s->verified && s->generation[0] == generation &&
            (found->generation[0] != generation || s->last_seen > found->last_seen))
            found = s;
    }
    return found;
}

static enum verdict forward_request(const struct recv *r, const struct source *from,
                                    uint32_t nomination)
{
    struct transaction t;
    const struct source *to;
    enum verdict verdict;

    if (r->out->selected < 0)
        return hold(r, nomination);
    to = receiver(r->out, from->generation[1]);
    verdict = leg_forward(r, &to->addr, to->family);
    if (verdict == VERDICT_FORWARD) {
        transaction_of(r->packet->data, r->side, from, to, nomination, r->now, &t);
        transactions_add(&r->path->transactions, &t);
    }
    return verdict;
}

// Another source than the selected one has proved itself: may it take over, now or after a check?
static void contend(const struct recv *r, int index)
{
    struct leg *leg = r->leg;
    struct source *source = &leg->source[index];

    if (source->verified && leg->nomination == 0)
        leg_select(r->path, r->side, index, r->now); // rule (b)
    else
        leg_heard(r->path, r->side, index, r->now); // rule (c)
    if (leg->selected == index)
        return;
    if (!source->verified || source->nomination > leg->nomination)
        verify_start(r->path, r->side, source, r->now); // rules (a) and (b)
    // The first source was believed on credit; now that there is a rival it must show that it can
    // answer, or count as silent.
    if (!leg->source[leg->selected].answered)
        verify_start(r->path, r->side, &leg->source[leg->selected], r->now);
}

static void note_check(const struct recv *r, int index, const struct stun_msg *msg,
                       const uint32_t generation[2])
{
    struct leg *leg = r->leg;
    struct source *source = &leg->source[index];
    bool controlling = stun_has(msg, STUN_ICE_CONTROLLING);

    leg->checks_in++;
    leg->last_check = r->now;
    leg->last_proved = (int8_t)index;
    source->generation[0] = generation[0];
    source->generation[1] = generation[1];
    if (controlling || stun_has(msg, STUN_ICE_CONTROLLED)) {
        leg->role = controlling ? ROLE_CONTROLLING : ROLE_CONTROLLED;
        leg->tie_breaker = stun_u64(msg, controlling ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED);
    }
    if (!leg->checked) {
        leg->checked = true;
        leg->first_check = r->now;
        path_event(r->path, EVENT_CHECKED, r->side, r->from);
    }
}

// An authentic request that is no retransmission, from a source that is in the list or may enter.
static enum verdict fresh_request(const struct recv *r, const struct stun_msg *msg,
                                  const uint32_t generation[2], bool nominates)
{
    struct leg *leg = r->leg;
    int index = source_find(leg, r->from, r->port->family);

    if (index < 0)
        index = source_add(leg, r->from, r->port->family, r->now);
    if (index < 0)
        return leg_drop(r, COUNTER_DROP_TOO_MANY_SOURCES);
    struct source *source = &leg->source[index];
    note_check(r, index, msg, generation);
    if (nominates) {
        source->nomination = ++r->path->nominations;
        source->nominated_at = r->now;
    }
    if (leg->selected < 0) {
        leg_select(r->path, r->side, index, r->now);
    } else if (index != leg->selected) {
        contend(r, index);
    } else if (source->nomination > leg->nomination) {
        leg->nomination = source->nomination;
        ice_forget_previous(r->path, r->side, source);
    }
    source->last_seen = r->now;
    shared_contend(r->path, r->side, source, r->now);
    return forward_request(r, source, nominates ? source->nomination : 0);
}

// The called client often checks before its acceptance, with its ufrag, has come this way. Its
// request cannot count yet, but it is authentic as far as can be told, and its id must not serve
// whoever captures it now and is first with it then.
static void remember_early(const struct recv *r, const struct stun_msg *msg, uint64_t id,
                           uint32_t source)
{
    const struct stun_view *name = &msg->attr[STUN_USERNAME];

    for (unsigned i = 0; i < 2 && name->data; i++) {
        const struct credentials *to = r->out->credentials[i];
        if (!to || name->len <= to->ufrag_len || name->data[to->ufrag_len] != ':' ||
            memcmp(name->data, to->text, to->ufrag_len) != 0 || !authentic_under(to, msg))
            continue;
        if (ids_look(&r->leg->ids, id, source) == ID_NEW)
            ids_add(&r->leg->ids, id, source); // without memory it is forgotten
        return;
    }
}

static enum verdict request(const struct recv *r, const struct stun_msg *msg)
{
    struct relay *relay = r->path->relay;
    uint64_t id = map_hash(&relay->paths, msg->txid, STUN_TXID_LEN);
    uint32_t source = source_hash(relay, r->from);
    uint32_t generation[2];
    enum counter reason;

    if (!authenticate(r, msg, generation, &reason)) {
        if (reason != COUNTER_DROP_BAD_INTEGRITY)
            remember_early(r, msg, id, source);
        return leg_drop(r, reason);
    }
    enum id_seen seen = ids_look(&r->leg->ids, id, source);
    // Our own checks look like the other side's; coming back, they were captured.
    if (verify_is_own_id(relay, msg->txid) || seen == ID_OTHER_SOURCE) {
        count(relay, COUNTER_LATCHES_REFUSED);
        return leg_drop(r, COUNTER_DROP_REPLAY);
    }
    if (seen == ID_SAME_SOURCE) {
        int index = source_find(r->leg, r->from, r->port->family);
        if (index >= 0)
            return forward_request(r, &r->leg->source[index], 0);
    } else if (ids_add(&r->leg->ids, id, source) < 0) {
        return leg_drop(r, COUNTER_DROP_TOO_MANY_SOURCES); // what is not remembered must not count
    }
    return fresh_request(r, msg, generation, seen == ID_NEW && stun_has(msg, STUN_USE_CANDIDATE));
}

// --- responses ---------------------------------------------------------------------------------

// Rule (d), and the first answer of a source that was believed on credit.
static void answered(const struct recv *r, int index, uint32_t nomination)
{
    struct leg *leg = r->leg;
    struct source *source = &leg->source[index];

    source->answered = source->verified = true;
    source->mute = false;
    shared_contend(r->path, r->side, source, r->now);
    if (nomination <= leg->nomination)
        return;
    if (source->nomination < nomination)
        source->nomination = nomination;
    if (index != leg->selected) {
        leg_select(r->path, r->side, index, r->now);
        return;
    }
    leg->nomination = nomination;
    ice_forget_previous(r->path, r->side, source);
}

static enum verdict response(const struct recv *r, const struct stun_msg *msg)
{
    struct transaction *t = transactions_find(
        &r->path->transactions, msg->txid, side_other(r->side), r->from, r->port->family, r->now);

    if (!t)
        return leg_drop(r, COUNTER_DROP_UNMATCHED);
    struct transaction asked = *t;
    int from = source_find(r->leg, r->from, r->port->family);
    int to = source_find(r->out, &asked.from, asked.from_family);
    if (from < 0 || to < 0)
        return leg_drop(r, from < 0 ? COUNTER_DROP_UNPROVED : COUNTER_DROP_UNMATCHED);
    if (msg->class == STUN_SUCCESS && (asked.nomination > 0 || !r->leg->source[from].answered)) {
        if (!ice_authentic(r->leg, msg))
            return leg_drop(r, COUNTER_DROP_BAD_INTEGRITY);
        answered(r, from, asked.nomination);
    }
    if (!asked.resent)
        r->leg->rtt = r->now - asked.sent;
    leg_heard(r->path, r->side, from, r->now);
    return leg_forward(r, &asked.from, asked.from_family);
}

enum verdict ice_recv(const struct recv *r)
{
    struct stun_msg msg;

    if (r->kind != PACKET_STUN)
        return leg_media(r);
    if (stun_decode(r->packet->data, r->packet->len, &msg) < 0 || msg.method != STUN_BINDING)
        return leg_drop(r, COUNTER_DROP_MALFORMED);
    switch (msg.class) {
    case STUN_REQUEST:
        return request(r, &msg);
    case STUN_SUCCESS:
    case STUN_ERROR:
        return verify_is_own_id(r->path->relay, msg.txid) ? verify_answer(r, msg.txid, &msg)
                                                          : response(r, &msg);
    case STUN_INDICATION:
        break;
    }
    return leg_media(r); // keep-alives (RFC 8445 section 11)
}
