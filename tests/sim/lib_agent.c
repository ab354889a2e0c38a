// SPDX-License-Identifier: ISC
// See lib_agent.h. What it leaves out of RFC 8445 is what a relay cannot see: candidate priorities,
// frozen pairs, role conflicts.
#include "sim/lib_agent.h"

#include "codec/demux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACE          (100 * USEC_PER_MSEC)  // checks of a pair that is not valid yet
#define RETRY         (250 * USEC_PER_MSEC)  // of a valid pair whose last check was not answered
#define CONSENT       (2500 * USEC_PER_MSEC) // of the selected pair
#define BACKUP        (4 * USEC_PER_SEC)     // of other valid pairs
#define CONSENT_LOST  (4 * USEC_PER_SEC)
#define MEDIA_PAYLOAD 40

static uint64_t draw(struct agent *a)
{
    uint64_t z = (a->random += 0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

struct agent *agent_new(const struct agent_config *config)
{
    struct agent *a = calloc(1, sizeof(*a));

    if (!a)
        abort();
    a->config = *config;
    a->random = config->seed;
    a->selected = a->settled = -1;
    snprintf(a->ufrag[0], sizeof(a->ufrag[0]), "%s", config->ufrag ? config->ufrag : "");
    snprintf(a->pwd[0], sizeof(a->pwd[0]), "%s", config->pwd ? config->pwd : "");
    a->sequence = (uint16_t)draw(a);
    return a;
}

void agent_free(struct agent *a)
{
    free(a);
}

static void check_again(struct agent *a, usec_t now)
{
    for (unsigned i = 0; i < a->pairs; i++) {
        a->pair[i].valid = false;
        a->pair[i].ids = 0;
        a->pair[i].last_len = 0;
        a->pair[i].next = now;
    }
    a->settled = -1;
}

void agent_remote(struct agent *a, const char *ufrag, const char *pwd, usec_t now)
{
    snprintf(a->remote_ufrag, sizeof(a->remote_ufrag), "%s", ufrag);
    snprintf(a->remote_pwd, sizeof(a->remote_pwd), "%s", pwd);
    a->remote_known = true;
    check_again(a, now);
}

void agent_restart(struct agent *a, const char *ufrag, const char *pwd, usec_t now)
{
    memcpy(a->ufrag[1], a->ufrag[0], sizeof(a->ufrag[0]));
    memcpy(a->pwd[1], a->pwd[0], sizeof(a->pwd[0]));
    snprintf(a->ufrag[0], sizeof(a->ufrag[0]), "%s", ufrag);
    snprintf(a->pwd[0], sizeof(a->pwd[0]), "%s", pwd);
    check_again(a, now);
}

void agent_candidate(struct agent *a, unsigned iface, const struct addr *addr, usec_t now)
{
    if (a->pairs == AGENT_PAIRS)
        return;
    a->pair[a->pairs] = (struct agent_pair){.iface = iface, .remote = *addr, .next = now};
    if (a->config.raw && a->selected < 0)
        a->selected = (int)a->pairs;
    a->pairs++;
}

static struct agent_pair *pair_of(struct agent *a, unsigned iface, const struct addr *remote)
{
    for (unsigned i = 0; i < a->pairs; i++)
        if (a->pair[i].iface == iface && addr_equal(&a->pair[i].remote, remote))
            return &a->pair[i];
    return NULL;
}

// --- checks ------------------------------------------------------------------------------------

static void compose(struct agent *a, struct agent_pair *p, bool nominates)
{
    struct agent_id *id = &p->id[p->ids++ % AGENT_IDS];
    char username[130];
    int len = snprintf(username, sizeof(username), "%s:%s", a->remote_ufrag, a->ufrag[0]);

    for (unsigned i = 0; i < STUN_TXID_LEN; i++)
        id->txid[i] = (uint8_t)draw(a);
    id->nominates = nominates;
    struct writer w = stun_begin(p->last, sizeof(p->last), STUN_REQUEST, STUN_BINDING, id->txid);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)len);
    stun_put_u32(&w, STUN_PRIORITY, 1845501695);
    stun_put_u64(&w, a->config.controlling ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED,
                 a->config.seed);
    if (nominates)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    p->last_len = (size_t)stun_finish(&w, a->remote_pwd, strlen(a->remote_pwd), true);
    p->answered = false;
}

// The pair that a controlling agent wants: a valid one, of the preferred interface if there is one.
static int wanted(const struct agent *a)
{
    int best = -1;

    for (int i = 0; i < (int)a->pairs; i++)
        if (a->pair[i].valid && (best < 0 || a->pair[i].iface == a->preferred))
            best = i;
    return best;
}

static void check(struct agent *a, int index, usec_t now)
{
    struct agent_pair *p = &a->pair[index];
    bool nominates = a->config.controlling && wanted(a) == index && a->settled != index;

    p->sent = now;
    if (p->last_len == 0 || p->answered || nominates || draw(a) % 4 > 0)
        compose(a, p, nominates); // otherwise it is repeated as it was
    if (p->valid && now - p->last_answer > CONSENT_LOST) {
        p->valid = false;
        if (a->settled == index)
            a->settled = -1;
    }
    if (!p->valid || nominates)
        p->next = now + PACE;
    else if (index == a->selected)
        p->next = now + CONSENT;
    else
        p->next = now + BACKUP;
    if (p->next > now + RETRY && now - p->last_answer > RETRY + CONSENT)
        p->next = now + RETRY;
    a->config.send(a->config.ctx, a, p->iface, &p->remote, AGENT_CHECK, p->last, p->last_len);
}

static void media(struct agent *a, usec_t now)
{
    uint8_t buf[12 + MEDIA_PAYLOAD];
    struct writer w = writer_over(buf, sizeof(buf));
    const struct agent_pair *p = &a->pair[a->selected];

    write_u8(&w, 0x80);
    write_u8(&w, 111);
    write_u16(&w, a->sequence++);
    write_u32(&w, (uint32_t)(now / 1000 * 48));
    write_u32(&w, a->config.ssrc);
    write_zeros(&w, MEDIA_PAYLOAD);
    a->media_sent++;
    a->config.send(a->config.ctx, a, p->iface, &p->remote, AGENT_MEDIA, buf, sizeof(buf));
}

usec_t agent_tick(struct agent *a, usec_t now)
{
    usec_t next = USEC_NEVER;

    if (a->remote_known && !a->config.raw) {
        int want = a->config.controlling ? wanted(a) : -1;
        if (want >= 0 && want != a->settled && a->pair[want].next > now + PACE)
            a->pair[want].next = now;
        for (unsigned i = 0; i < a->pairs; i++) {
            if (a->pair[i].next <= now)
                check(a, (int)i, now);
            if (a->pair[i].next < next)
                next = a->pair[i].next;
        }
    }
    if (a->config.media_interval > 0 && a->selected >= 0) {
        if (a->next_media <= now) {
            media(a, now);
            a->next_media = now + a->config.media_interval;
        }
        if (a->next_media < next)
            next = a->next_media;
    }
    return next;
}

// --- input -------------------------------------------------------------------------------------

static bool for_me(const struct agent *a, const struct stun_msg *msg, const char **ret_pwd)
{
    const struct stun_view *name = &msg->attr[STUN_USERNAME];

    for (unsigned i = 0; i < 2; i++) {
        size_t len = strlen(a->ufrag[i]);
        if (len > 0 && name->data && name->len > len && memcmp(name->data, a->ufrag[i], len) == 0 &&
            name->data[len] == ':' && stun_check_integrity(msg, a->pwd[i], strlen(a->pwd[i]))) {
            *ret_pwd = a->pwd[i];
            return true;
        }
    }
    return false;
}

static void request(struct agent *a, unsigned iface, const struct addr *from,
                    const struct stun_msg *msg, usec_t now)
{
    struct agent_pair *p = pair_of(a, iface, from);
    uint8_t buf[200];
    const char *pwd;

    if (!for_me(a, msg, &pwd)) {
        a->refused++;
        return;
    }
    a->checks_received++;
    struct writer w = stun_begin(buf, sizeof(buf), STUN_SUCCESS, STUN_BINDING, msg->txid);
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, from);
    size_t len = (size_t)stun_finish(&w, pwd, strlen(pwd), true);
    a->config.send(a->config.ctx, a, iface, from, AGENT_ANSWER, buf, len);
    if (!p)
        return;
    if (!p->valid && now - p->sent >= PACE / 2)
        p->next = now; // triggered, but paced
    if (stun_has(msg, STUN_USE_CANDIDATE) && !a->config.controlling)
        a->selected = (int)(p - a->pair);
}

static void answer(struct agent *a, unsigned iface, const struct addr *from,
                   const struct stun_msg *msg, usec_t now)
{
    struct agent_pair *p = pair_of(a, iface, from);

    if (!p || !stun_check_integrity(msg, a->remote_pwd, strlen(a->remote_pwd)))
        return;
    for (unsigned i = 0; i < AGENT_IDS && i < p->ids; i++) {
        if (memcmp(p->id[i].txid, msg->txid, STUN_TXID_LEN) != 0)
            continue;
        p->valid = p->answered = true;
        p->last_answer = now;
        if (p->id[i].nominates)
            a->selected = a->settled = (int)(p - a->pair);
        // Until something is nominated, media may use any valid pair (RFC 8445 section 12.1).
        if (a->selected < 0 || !a->pair[a->selected].valid)
            a->selected = (int)(p - a->pair);
        usec_t pause = (int)(p - a->pair) == a->selected ? CONSENT : BACKUP;
        p->next = now + pause;
        return;
    }
}

void agent_input(struct agent *a, unsigned iface, const struct addr *from, const uint8_t *data,
                 size_t len, usec_t now)
{
    enum packet_kind kind = demux(data, len);
    struct stun_msg msg;

    if (kind == PACKET_RTP) {
        a->media_received++;
        a->last_media = now;
    }
    if (kind != PACKET_STUN || a->config.raw || stun_decode(data, len, &msg) < 0)
        return;
    if (msg.class == STUN_REQUEST)
        request(a, iface, from, &msg, now);
    else if (msg.class == STUN_SUCCESS)
        answer(a, iface, from, &msg, now);
}
