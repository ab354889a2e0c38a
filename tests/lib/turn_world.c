// SPDX-License-Identifier: ISC
// See turn_world.h.
#include "lib/turn_world.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct addr tw_at(const char *ip, uint16_t port)
{
    struct addr addr;
    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}

// ---- what the server sees of the world ----

static uint64_t next_random(uint64_t *state) // SplitMix64
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void io_random(void *ctx, void *buf, size_t len)
{
    struct tw *w = ctx;
    uint8_t *out = buf;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)next_random(&w->random);
}

static struct addr port_addr(unsigned index, enum family family)
{
    uint16_t number = (uint16_t)(49152 + index);
    return family == FAMILY_V4 ? tw_at("203.0.113.1", number) : tw_at("2001:db8::1", number);
}

static void take_port(struct tw *w, unsigned i, enum family family, void *owner,
                      struct turn_port *ret_port)
{
    w->port[i] = (struct tw_port){.addr = port_addr(i, family), .owner = owner, .open = true};
    w->ports_used++;
    *ret_port = (struct turn_port){.handle = &w->port[i], .relayed = w->port[i].addr};
}

static int io_open(void *ctx, enum family family, enum port_parity parity, void *owner,
                   struct turn_port ret_port[2])
{
    struct tw *w = ctx;
    if (++w->opens == w->fail_open)
        return -EACCES;
    if (family == FAMILY_V4 ? w->no_v4 : w->no_v6)
        return -EAFNOSUPPORT;
    unsigned step = parity == PORT_ANY ? 1 : 2;
    for (unsigned i = 0; i + (parity == PORT_PAIR) < w->ports_max; i += step) {
        if (w->port[i].open || (parity == PORT_PAIR && w->port[i + 1].open))
            continue;
        take_port(w, i, family, owner, &ret_port[0]);
        if (parity == PORT_PAIR)
            take_port(w, i + 1, family, NULL, &ret_port[1]);
        return 0;
    }
    return -EMFILE;
}

static void io_set_owner(void *ctx, void *handle, void *owner)
{
    (void)ctx;
    struct tw_port *port = handle;
    assert_true(port->open);
    assert_null(port->owner);
    port->owner = owner;
}

static void io_close(void *ctx, void *handle)
{
    struct tw *w = ctx;
    struct tw_port *port = handle;
    assert_true(port->open && !port->tcp);
    port->open = false;
    w->ports_used--;
}

static int io_send_client(void *ctx, const struct turn_client *client, const uint8_t *data,
                          size_t len)
{
    struct tw *w = ctx;
    if (++w->sends == w->fail_send)
        return -ENETUNREACH;
    struct tw_sent *sent = &w->sent[w->sents++ % TW_LOG];
    assert_true(len <= sizeof sent->data);
    sent->client = *client;
    sent->len = len;
    memcpy(sent->data, data, len);
    return 0;
}

static bool io_peer_allowed(void *ctx, const struct addr *peer)
{
    const struct tw *w = ctx;
    if (peer->family == FAMILY_V4 && peer->ip[0] == 10)
        return false;
    if (w->denied.family && addr_equal_ip(peer, &w->denied))
        return w->denied.port != 0 && w->denied.port != peer->port;
    return true;
}

static unsigned charge_row(struct tw *w, const char *identity)
{
    for (unsigned i = 0; i < TW_USERS; i++) {
        if (w->charges[i] > 0 && strcmp(w->charged[i], identity) == 0)
            return i;
    }
    for (unsigned i = 0; i < TW_USERS; i++) {
        if (w->charges[i] == 0) {
            snprintf(w->charged[i], sizeof w->charged[i], "%s", identity);
            return i;
        }
    }
    fail_msg("more users than the world knows");
    return 0;
}

static enum turn_refusal io_charge(void *ctx, const char *identity)
{
    struct tw *w = ctx;
    unsigned total = 0, row = charge_row(w, identity);
    for (unsigned i = 0; i < TW_USERS; i++)
        total += w->charges[i];
    if (total >= w->total)
        return TURN_REFUSED_TOTAL;
    if (w->charges[row] >= w->per_user)
        return TURN_REFUSED_USER;
    w->charges[row]++;
    return TURN_GRANTED;
}

static void io_release(void *ctx, const char *identity)
{
    struct tw *w = ctx;
    unsigned row = charge_row(w, identity);
    assert_true(w->charges[row] > 0);
    w->charges[row]--;
}

static void io_ended(void *ctx, const struct turn_view *view, const char *reason, usec_t now)
{
    struct tw *w = ctx;
    assert_true(view->opened <= now);
    w->ended = (struct turn_bytes){view->bytes_in, view->bytes_out};
    w->ends++;
}

struct turn_io tw_io(struct tw *w)
{
    return (struct turn_io){
        .ctx = w,
        .open = io_open,
        .set_owner = io_set_owner,
        .close = io_close,
        .send_client = io_send_client,
        .random = io_random,
        .peer_allowed = io_peer_allowed,
        .charge = io_charge,
        .release = io_release,
        .ended = io_ended,
        .tcp = tw_tcp_io(w),
    };
}

// ---- its life ----

struct tw *tw_new(void)
{
    struct tw *w = calloc(1, sizeof *w);
    if (!w)
        w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->secret[0].text = "north-north-north";
    w->user[0] = (struct turn_user){"static", "password"};
    w->config = (struct turn_config){
        .realm = "example.org",
        .secret = w->secret,
        .secrets = 1,
        .user = w->user,
        .users = 1,
        .nonce_lifetime = 3600 * USEC_PER_SEC,
        .expiry_grace = 1800 * USEC_PER_SEC,
        .default_lifetime = 600 * USEC_PER_SEC,
        .max_lifetime = 3600 * USEC_PER_SEC,
        .permissions_max = 16,
        .channels_max = 8,
        .connections_max = 4,
        .allocations_max = 1000,
        .modern = true,
        .old_stun = true,
        .mobility = true,
        .workers = 1,
    };
    memset(w->config.nonce_key, 0x5a, sizeof w->config.nonce_key);
    w->ports_max = TW_PORTS;
    w->per_user = w->total = 100;
    w->random = 1;
    w->now = 1000 * USEC_PER_SEC;
    return w;
}

int tw_try(struct tw *w)
{
    struct turn_io io = tw_io(w);
    int rc = turn_new(&w->config, &io, &w->counters, &w->turn);
    if (rc == 0)
        turn_set_clock(w->turn, (int64_t)(TW_WALL * USEC_PER_SEC) - 1000 * (int64_t)USEC_PER_SEC);
    return rc;
}

void tw_start(struct tw *w)
{
    assert_int_equal(tw_try(w), 0);
}

void tw_check(struct tw *w)
{
    const char *wrong = turn_check(w->turn);
    if (wrong)
        fail_msg("%s", wrong);
    assert_int_equal(w->kernel ? w->kernel->flows : 0, tw_counter(w, COUNTER_OFFLOADED_TURN));
}

void tw_tick(struct tw *w)
{
    turn_tick(w->turn, w->now);
    tw_check(w);
}

void tw_wait(struct tw *w, usec_t time)
{
    usec_t end = w->now + time;
    for (;;) {
        usec_t next = turn_tick(w->turn, w->now);
        assert_true(next > w->now);
        tw_check(w);
        if (next > end)
            break;
        w->now = next;
    }
    w->now = end;
    tw_tick(w);
}

void tw_free(struct tw *w)
{
    turn_free(w->turn);
    assert_int_equal(w->ports_used, 0);
    assert_int_equal(w->conns_used, 0);
    for (unsigned i = 0; i < TW_USERS; i++)
        assert_int_equal(w->charges[i], 0);
    assert_int_equal(tw_counter(w, COUNTER_TURN_ALLOCATIONS), 0);
    assert_true(!w->kernel || w->kernel->flows == 0);
    free(w->kernel);
    free(w);
}

uint64_t tw_counter(const struct tw *w, enum counter id)
{
    return counter_get(&w->counters, id);
}

unsigned tw_ports_open(const struct tw *w)
{
    return w->ports_used;
}

unsigned tw_charged(const struct tw *w, const char *identity)
{
    for (unsigned i = 0; i < TW_USERS; i++) {
        if (w->charges[i] > 0 && strcmp(w->charged[i], identity) == 0)
            return w->charges[i];
    }
    return 0;
}

// ---- datagrams ----

// Of exactly its size and room, so that a sanitizer sees the first byte outside.
static uint8_t *exact_copy(const void *data, size_t len)
{
    size_t size = TURN_HEADROOM + len + TURN_TAILROOM;
    uint8_t *exact = malloc(size);
    if (!exact) // a fault test fails one allocation, not two
        exact = malloc(size);
    assert_non_null(exact);
    memset(exact, 0xaa, size);
    if (len > 0)
        memcpy(exact + TURN_HEADROOM, data, len);
    return exact;
}

static struct tw_port *port_at(struct tw *w, const struct addr *addr)
{
    for (unsigned i = 0; i < TW_PORTS; i++) {
        if (w->port[i].open && addr_equal(&w->port[i].addr, addr))
            return &w->port[i];
    }
    return NULL;
}

static int route(void *ctx, const struct turn_client *client, void *handle, const struct addr *peer,
                 struct turn_route *ret_route)
{
    const struct tw *w = ctx;
    *ret_route = (struct turn_route){client->local, ((struct tw_port *)handle)->addr, *peer};
    return w->no_route ? -EHOSTUNREACH : 0;
}

void tw_offload(struct tw *w)
{
    w->kernel = malloc(sizeof *w->kernel);
    assert_non_null(w->kernel);
    kernel_init(w->kernel, &w->now);
    const struct turn_offload offload = {kernel_io(w->kernel), w, route};
    turn_set_offload(w->turn, &offload);
}

// What it forwards is as if the server had; what it drops, too.
static enum kernel_verdict ask_kernel(struct tw *w, struct kernel_packet *p)
{
    if (!w->kernel || p->len > sizeof p->buf)
        return KERNEL_PASSES;
    enum kernel_verdict verdict = kernel_recv(w->kernel, p);
    w->action = TURN_CONSUME;
    w->reply = (struct stun_msg){0};
    if (verdict == KERNEL_FORWARDS) {
        memcpy(w->buf, p->data, p->len);
        w->packet = (struct turn_packet){.data = w->buf, .len = p->len};
    }
    return verdict;
}

static bool client_to_kernel(struct tw *w, const struct tw_client *c, const void *data, size_t len)
{
    struct kernel_packet p = {.data = data, .len = len, .from = c->at.remote, .to = c->at.local};
    enum kernel_verdict verdict = ask_kernel(w, &p);
    if (verdict != KERNEL_FORWARDS)
        return verdict == KERNEL_DROPS;
    struct tw_port *port = port_at(w, &p.from);
    assert_non_null(port);
    w->action = TURN_TO_PEER;
    w->forward = (struct turn_forward){.handle = port, .to = p.to};
    return true;
}

static bool peer_to_kernel(struct tw *w, const struct addr *relayed, const struct addr *from,
                           const void *data, size_t len)
{
    struct kernel_packet p = {.data = data, .len = len, .from = *from, .to = *relayed};
    enum kernel_verdict verdict = ask_kernel(w, &p);
    if (verdict != KERNEL_FORWARDS)
        return verdict == KERNEL_DROPS;
    w->action = TURN_TO_CLIENT;
    w->forward =
        (struct turn_forward){.client = {.transport = TURN_UDP, .remote = p.to, .local = p.from}};
    return true;
}

enum turn_action tw_raw(struct tw *w, const struct tw_client *c, const void *data, size_t len)
{
    tw_restart_maybe(w);
    if (client_to_kernel(w, c, data, len))
        return w->action;
    uint8_t *exact = exact_copy(data, len);
    unsigned before = w->sents;
    w->packet = (struct turn_packet){.data = exact + TURN_HEADROOM, .len = len};
    w->reply = (struct stun_msg){0};
    w->action = turn_client_recv(w->turn, &c->at, &w->packet, &w->forward, w->now);
    if (w->action == TURN_TO_PEER) {
        memcpy(w->buf, w->packet.data, w->packet.len);
        w->packet.data = w->buf;
    }
    free(exact);
    if (w->sents > before) {
        const struct tw_sent *sent = &w->sent[(w->sents - 1) % TW_LOG];
        (void)stun_parse(sent->data, sent->len, &w->reply);
    }
    tw_tick(w);
    return w->action;
}

enum turn_action tw_peer(struct tw *w, const struct addr *relayed, const struct addr *from,
                         const void *data, size_t len)
{
    tw_restart_maybe(w);
    struct tw_port *port = port_at(w, relayed);
    if (!port)
        return w->action = TURN_CONSUME;
    if (peer_to_kernel(w, relayed, from, data, len))
        return w->action;
    uint8_t *exact = exact_copy(data, len);
    w->packet = (struct turn_packet){.data = exact + TURN_HEADROOM, .len = len};
    w->reply = (struct stun_msg){0};
    w->action = turn_peer_recv(w->turn, port->owner, port, from, &w->packet, &w->forward, w->now);
    if (w->action == TURN_TO_CLIENT) {
        assert_true(w->packet.data >= exact);
        memcpy(w->buf, w->packet.data, w->packet.len);
        w->packet.data = w->buf;
        (void)stun_parse(w->buf, w->packet.len, &w->reply);
    }
    free(exact);
    tw_tick(w);
    return w->action;
}

// ---- clients ----

struct tw_client tw_client(struct tw *w, const char *ip, uint16_t port)
{
    struct tw_client c = {
        .at = {.link = w, .transport = TURN_UDP, .remote = tw_at(ip, port)},
        .user = "static",
        .password = "password",
    };
    bool v6 = c.at.remote.family == FAMILY_V6;
    c.at.local = v6 ? tw_at("2001:db8::1", 3478) : tw_at("203.0.113.1", 3478);
    return c;
}

void tw_rest(struct tw_client *c, const char *secret, int64_t expiry, const char *identity)
{
    static char text[8][2][600];
    static unsigned next;
    char(*row)[600] = text[next++ % 8];
    uint8_t mac[20];
    unsigned len = sizeof mac;
    snprintf(row[0], sizeof row[0], "%lld%s%s", (long long)expiry, identity ? ":" : "",
             identity ? identity : "");
    HMAC(EVP_sha1(), secret, (int)strlen(secret), (const uint8_t *)row[0], strlen(row[0]), mac,
         &len);
    EVP_EncodeBlock((uint8_t *)row[1], mac, sizeof mac);
    c->user = row[0];
    c->password = row[1];
}

static size_t client_key(const struct tw_client *c, uint8_t key[32])
{
    char text[2048];
    unsigned len = 0;
    int n = snprintf(text, sizeof text, "%s:%s:%s", c->user, c->realm, c->password);
    assert_int_equal(
        EVP_Digest(text, (size_t)n, key, &len, c->sha256 ? EVP_sha256() : EVP_md5(), NULL), 1);
    return len;
}

struct writer tw_begin(struct tw_client *c, uint16_t method)
{
    uint8_t txid[STUN_TXID_LEN] = {0x7e};
    c->serial++;
    c->out_len = 0;
    memcpy(txid + 4, &c->serial, sizeof c->serial);
    memcpy(txid + 8, &c->at.remote.port, sizeof c->at.remote.port);
    return stun_begin(c->out, sizeof c->out, STUN_REQUEST, method, txid);
}

static void put_credentials(struct tw_client *c, struct writer *out)
{
    static const uint8_t sha256[4] = {0, 2, 0, 0};
    if (c->userhash) {
        uint8_t hash[32];
        char text[1024];
        unsigned len = 0;
        int n = snprintf(text, sizeof text, "%s:%s", c->user, c->realm);
        EVP_Digest(text, (size_t)n, hash, &len, EVP_sha256(), NULL);
        stun_put_bytes(out, STUN_USERHASH, hash, sizeof hash);
    } else {
        stun_put_bytes(out, STUN_USERNAME, c->user, strlen(c->user));
    }
    stun_put_bytes(out, STUN_REALM, c->realm, strlen(c->realm));
    stun_put_bytes(out, STUN_NONCE, c->nonce, strlen(c->nonce));
    if (c->sha256) {
        stun_put_bytes(out, STUN_PASSWORD_ALGORITHMS, c->algorithms, c->algorithms_len);
        stun_put_bytes(out, STUN_PASSWORD_ALGORITHM, sha256, sizeof sha256);
    }
}

static void copy_text(char *to, size_t size, const struct stun_view *view)
{
    assert_true(view->len < size);
    memcpy(to, view->data, view->len);
    to[view->len] = '\0';
}

void tw_learn(struct tw *w, struct tw_client *c)
{
    const struct stun_msg *m = &w->reply;
    assert_true(stun_has(m, STUN_REALM) && stun_has(m, STUN_NONCE));
    copy_text(c->realm, sizeof c->realm, &m->attr[STUN_REALM]);
    copy_text(c->nonce, sizeof c->nonce, &m->attr[STUN_NONCE]);
    c->algorithms_len = m->attr[STUN_PASSWORD_ALGORITHMS].len;
    if (c->algorithms_len)
        memcpy(c->algorithms, m->attr[STUN_PASSWORD_ALGORITHMS].data, c->algorithms_len);
}

// RFC 8489 section 9.2.5: what a client asserts of an answer.
static void check_answer(struct tw *w, struct tw_client *c)
{
    uint8_t key[32];
    size_t len = client_key(c, key);
    unsigned code = stun_error_code(&w->reply);
    const struct tw_sent *sent = &w->sent[(w->sents - 1) % TW_LOG];
    assert_memory_equal(w->reply.txid, c->out + 8, STUN_TXID_LEN);
    assert_true(sent->client.link == c->at.link);
    assert_true(addr_equal(&sent->client.remote, &c->at.remote));
    assert_int_equal(stun_has(&w->reply, STUN_FINGERPRINT), c->fingerprint);
    if (c->plain || c->unprotected || code == 401 || code == 438)
        return;
    if (c->sha256)
        assert_true(stun_check_sha256(&w->reply, key, len));
    else
        assert_true(stun_check_integrity(&w->reply, key, len));
}

static int outcome(struct tw *w, struct tw_client *c)
{
    if (w->action == TURN_TO_WORKER)
        return -2;
    assert_int_equal(w->action, TURN_CONSUME);
    if (!w->reply.data)
        return -1;
    check_answer(w, c);
    if (w->reply.class == STUN_SUCCESS)
        return 0;
    assert_int_equal(w->reply.class, STUN_ERROR);
    return (int)stun_error_code(&w->reply);
}

int tw_outcome(struct tw *w, struct tw_client *c)
{
    w->action = TURN_CONSUME;
    return outcome(w, c);
}

int tw_again(struct tw *w, struct tw_client *c)
{
    tw_raw(w, c, c->out, c->out_len);
    return outcome(w, c);
}

// Asks for a nonce with an Allocate request.
static bool get_nonce(struct tw *w, struct tw_client *c)
{
    uint8_t buf[64];
    struct writer out =
        stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_ALLOCATE, (const uint8_t[STUN_TXID_LEN]){1});
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    int len = stun_finish(&out, NULL, 0, false);
    tw_raw(w, c, buf, (size_t)len);
    if (!w->reply.data && w->may_fail)
        return false;
    assert_non_null(w->reply.data);
    assert_int_equal(stun_error_code(&w->reply), 401);
    tw_learn(w, c);
    return true;
}

int tw_send(struct tw *w, struct tw_client *c, struct writer *out)
{
    uint8_t key[32];
    int len;
    if (c->plain) {
        len = stun_finish(out, NULL, 0, c->fingerprint);
    } else {
        if (!c->nonce[0] && !get_nonce(w, c))
            return -1;
        put_credentials(c, out);
        size_t key_len = client_key(c, key);
        if (c->sha256)
            stun_put_sha256(out, key, key_len);
        len = stun_finish(out, c->sha256 ? NULL : key, key_len, c->fingerprint);
    }
    assert_true(len > 0);
    c->out_len = (size_t)len;
    return tw_again(w, c);
}

int tw_allocate(struct tw *w, struct tw_client *c)
{
    struct writer out = tw_begin(c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    return tw_send(w, c, &out);
}

int tw_refresh(struct tw *w, struct tw_client *c, uint32_t lifetime)
{
    struct writer out = tw_begin(c, STUN_REFRESH);
    stun_put_u32(&out, STUN_LIFETIME, lifetime);
    return tw_send(w, c, &out);
}

int tw_permit(struct tw *w, struct tw_client *c, const char *ip)
{
    struct addr peer = tw_at(ip, 7);
    struct writer out = tw_begin(c, STUN_CREATE_PERMISSION);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    return tw_send(w, c, &out);
}

int tw_bind(struct tw *w, struct tw_client *c, uint16_t number, const struct addr *peer)
{
    struct writer out = tw_begin(c, STUN_CHANNEL_BIND);
    stun_put_u32(&out, STUN_CHANNEL_NUMBER, (uint32_t)number << 16);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, peer);
    return tw_send(w, c, &out);
}

enum turn_action tw_channel(struct tw *w, const struct tw_client *c, uint16_t number,
                            const void *data, size_t len)
{
    static uint8_t frame[TW_DATAGRAM];
    struct writer out = writer_over(frame, sizeof frame);
    write_u16(&out, number);
    write_u16(&out, (uint16_t)len);
    write_bytes(&out, data, len);
    if (c->at.transport == TURN_TCP || c->at.transport == TURN_TLS)
        write_zeros(&out, -len & 3);
    return tw_raw(w, c, frame, writer_used(&out));
}

enum turn_action tw_indicate(struct tw *w, struct tw_client *c, const struct addr *peer,
                             const void *data, size_t len)
{
    static uint8_t frame[TW_DATAGRAM];
    struct writer out = stun_begin(frame, sizeof frame, STUN_INDICATION, STUN_SEND_INDICATION,
                                   (const uint8_t[STUN_TXID_LEN]){2});
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, peer);
    stun_put_bytes(&out, STUN_DATA, data, len);
    int n = stun_finish(&out, NULL, 0, c->fingerprint);
    assert_true(n > 0);
    return tw_raw(w, c, frame, (size_t)n);
}

struct addr tw_relayed(const struct tw *w, unsigned n)
{
    struct addr addr = {0};
    struct stun_view view = stun_next(&w->reply, STUN_XOR_RELAYED_ADDRESS, NULL);
    for (; n > 0; n--)
        view = stun_next(&w->reply, STUN_XOR_RELAYED_ADDRESS, view.data);
    assert_non_null(view.data);
    assert_int_equal(stun_view_addr(&w->reply, STUN_XOR_RELAYED_ADDRESS, &view, &addr), 0);
    return addr;
}
