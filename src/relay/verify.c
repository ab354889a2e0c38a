// SPDX-License-Identifier: ISC
// The relay's own checks. Before a path moves to another source, that source must answer a request
// with an id that nobody could have captured: it is made here, and looks like one of the other
// side's, whose password, role and tie-breaker the relay knows. It never nominates.
//
// Such a request is itself worth capturing: sent back to the relay at the other leg it would pass
// for an honest check of the other client. So half of its id is a keyed hash of the random half,
// by which the relay knows its own for ever, without remembering any.

#include "internal.h"

#include <string.h>

#define ID_HALF (STUN_TXID_LEN / 2)

// RFC 8445 section 5.1.2.1 with type preference 0: should a client take the sender for a new
// candidate, it must not prefer it to anything.
#define CHECK_PRIORITY ((65535u << 8) | 255u)

static void id_seal(const struct relay *relay, uint8_t txid[STUN_TXID_LEN])
{
    static const char purpose[] = "check of the relay";
    uint64_t hash = map_hash2(&relay->paths, purpose, sizeof(purpose), txid, ID_HALF);

    memcpy(txid + ID_HALF, &hash, ID_HALF);
}

bool verify_is_own_id(const struct relay *relay, const uint8_t txid[STUN_TXID_LEN])
{
    uint8_t own[STUN_TXID_LEN];

    memcpy(own, txid, ID_HALF);
    id_seal(relay, own);
    return memcmp(own, txid, STUN_TXID_LEN) == 0;
}

static void put_role(const struct path *path, enum side side, struct writer *w)
{
    const struct leg *leg = &path->leg[side], *other = &path->leg[side_other(side)];
    bool controlling = other->role == ROLE_CONTROLLING;
    uint64_t tie_breaker = other->tie_breaker;

    if (other->role == ROLE_UNKNOWN) {
        // Nothing heard of the other side yet: the role that causes no conflict, and a tie-breaker
        // that stays the same when the check is repeated.
        controlling = leg->role != ROLE_CONTROLLING;
        tie_breaker =
            map_hash2(&path->relay->paths, "tie-breaker", 11, &path->id, sizeof(path->id));
    }
    stun_put_u64(w, controlling ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED, tie_breaker);
}

// RFC 8445 section 7.2.2, as the other side would write it.
static int compose(const struct path *path, enum side side, const struct source *source,
                   uint8_t *buf, size_t size)
{
    const struct leg *leg = &path->leg[side], *other = &path->leg[side_other(side)];
    const struct credentials *to = ice_generation(leg, source->generation[0]);
    const struct credentials *from = ice_generation(other, source->generation[1]);
    char username[ICE_UFRAG_MAX + 1 + ICE_UFRAG_MAX];
    struct writer w = stun_begin(buf, size, STUN_REQUEST, STUN_BINDING, source->check_id);

    memcpy(username, to->text, to->ufrag_len);
    username[to->ufrag_len] = ':';
    memcpy(username + to->ufrag_len + 1, from->text, from->ufrag_len);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)to->ufrag_len + 1 + from->ufrag_len);
    stun_put_u32(&w, STUN_PRIORITY, CHECK_PRIORITY);
    put_role(path, side, &w);
    return stun_finish(&w, to->text + to->ufrag_len, to->pwd_len, true);
}

static void send_check(const struct path *path, enum side side, const struct source *source)
{
    struct relay *relay = path->relay;
    uint8_t buf[1024];
    int len = path->google ? google_compose(path, side, source, buf, sizeof(buf))
                           : compose(path, side, source, buf, sizeof(buf));

    if (len < 0)
        return; // cannot be: the longest names fit
    void *socket = path->leg[side].port[source->family].socket;
    if (relay->io.send(relay->ctx, socket, &source->addr, buf, (size_t)len, 0) < 0)
        count(relay, COUNTER_DROP_SEND_ERROR);
    else
        count(relay, COUNTER_CHECKS_SENT);
}

usec_t verify_deadline(const struct source *source)
{
    return source->check_wanted || source->check_tries > 0 ? source->check_next : USEC_NEVER;
}

void verify_run(struct path *path, enum side side, struct source *source, usec_t now)
{
    struct relay *relay = path->relay;

    if (verify_deadline(source) > now)
        return;
    if (source->check_wanted) {
        relay->io.random(relay->ctx, source->check_id, ID_HALF);
        id_seal(relay, source->check_id);
        source->check_started = now;
        source->check_tries = 0;
        source->check_open = true;
        source->check_wanted = false;
    } else if (source->check_tries == CHECK_TRIES) {
        source->check_tries = 0; // given up, though a late answer still counts
        source->mute = !source->answered;
        return;
    }
    send_check(path, side, source);
    source->check_tries++;
    source->check_next = now + CHECK_INTERVAL;
}

void verify_start(struct path *path, enum side side, struct source *source, usec_t now)
{
    // One that is under way will do, unless it is older than the nomination it is to confirm.
    if (source->check_tries > 0 &&
        (source->nomination == 0 || source->check_started >= source->nominated_at))
        return;
    source->check_wanted = true;
    verify_run(path, side, source, now);
    path_schedule(path);
}

enum verdict verify_answer(const struct recv *r, const uint8_t *txid, const struct stun_msg *msg)
{
    struct leg *leg = r->leg;
    int index = source_find(leg, r->from, r->port->family);
    struct source *source = index < 0 ? NULL : &leg->source[index];

    if (!source || !source->check_open || memcmp(source->check_id, txid, STUN_TXID_LEN) != 0)
        return leg_drop(r, COUNTER_DROP_UNMATCHED);
    // An error, such as a role conflict, shows as well as a success that its sender is alive and
    // knows the password; without integrity neither shows anything.
    if (msg && !ice_authentic(leg, msg))
        return leg_drop(r, COUNTER_DROP_BAD_INTEGRITY);
    if (source->check_tries == 1)
        leg->rtt = r->now - source->check_started;
    source->check_tries = 0;
    source->check_open = false;
    source->mute = false;
    source->answered = source->verified = true;
    shared_contend(r->path, r->side, source, r->now);
    leg->packets_in++;
    leg->bytes_in += r->packet->len;
    if (index != leg->selected) {
        bool nominated = source->nomination > leg->nomination &&
                         source->check_started >= source->nominated_at; // rule (a)
        bool last = leg->nomination == 0 && leg->last_proved == index;  // rule (b)
        if (nominated || last)
            leg_select(r->path, r->side, index, r->now);
    }
    leg_heard(r->path, r->side, index, r->now);
    if (r->path->google)
        google_settle(r->path, r->side);
    path_schedule(r->path);
    return VERDICT_CONSUME;
}
