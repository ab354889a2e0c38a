// SPDX-License-Identifier: ISC
// See platform/turn_probe.h. The way a client goes: RFC 8489 (Binding), RFC 8656 (Allocate,
// ChannelBind, ChannelData), with long-term credentials (RFC 8489 section 9.2).
#include "platform/turn_probe.h"

#include "codec/stun.h"
#include "turn_probe_io.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define CHANNEL         0x4000u
#define PROTOCOL_UDP    (17u << 24) // REQUESTED-TRANSPORT, RFC 8656 section 18.7
#define ECHO_LEN        32
#define KEY_LEN         16
#define TEXT_MAX        256
#define CODE_UNAUTHOR   401
#define CODE_OLD_NONCE  438
#define TRIES           3
#define ALLOCATE_ROUNDS 3

struct client {
    const struct turn_probe *probe;
    struct turn_probe_result *result;
    struct turn_probe_io io;
    uint8_t txid[STUN_TXID_LEN];
    char realm[TEXT_MAX], nonce[TEXT_MAX];
    uint8_t key[KEY_LEN];
    uint8_t out[TURN_PROBE_PACKET_MAX], in[TURN_PROBE_PACKET_MAX];
};

static usec_t clock_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

// ---- one request

static struct writer begin(struct client *c, uint16_t method)
{
    if (getrandom(c->txid, sizeof c->txid, 0) != (ssize_t)sizeof c->txid)
        memset(c->txid, 0x5a, sizeof c->txid);
    return stun_begin(c->out, sizeof c->out, STUN_REQUEST, method, c->txid);
}

static void put_credential(struct client *c, struct writer *w)
{
    stun_put_bytes(w, STUN_USERNAME, c->probe->username, strlen(c->probe->username));
    stun_put_bytes(w, STUN_REALM, c->realm, strlen(c->realm));
    stun_put_bytes(w, STUN_NONCE, c->nonce, strlen(c->nonce));
}

// Waits for the answer to what was asked last. Returns 0 or -errno.
static int take_answer(struct client *c, usec_t until, struct stun_msg *ret_msg)
{
    for (;;) {
        int len = turn_probe_receive(&c->io, c->in, sizeof c->in, until, clock_now);

        if (len < 0)
            return len;
        if (stun_parse(c->in, (size_t)len, ret_msg) == 0 &&
            memcmp(ret_msg->txid, c->txid, STUN_TXID_LEN) == 0 &&
            (ret_msg->class == STUN_SUCCESS || ret_msg->class == STUN_ERROR))
            return 0;
    }
}

// Datagrams get lost: the request is sent again. Returns 0 or -errno.
static int ask(struct client *c, int len, struct stun_msg *ret_msg)
{
    unsigned tries = c->probe->transport == TURN_PROBE_UDP ? TRIES : 1;
    int r = len < 0 ? len : -ETIMEDOUT;

    for (unsigned i = 0; len > 0 && i < tries && r == -ETIMEDOUT; i++) {
        r = turn_probe_send(&c->io, c->out, (size_t)len);
        if (r == 0)
            r = take_answer(c, clock_now() + c->probe->patience / tries, ret_msg);
    }
    return r;
}

static void copy_text(char *to, size_t size, const struct stun_msg *msg, enum stun_attr attr)
{
    const struct stun_view *view = &msg->attr[attr];
    size_t len = view->data && view->len < size ? view->len : 0;

    if (len > 0)
        memcpy(to, view->data, len);
    to[len] = '\0';
}

static int refused(struct client *c, const struct stun_msg *msg)
{
    const struct stun_view *view = &msg->attr[STUN_ERROR_CODE];

    c->result->code = stun_error_code(msg);
    if (view->data && view->len > 4)
        snprintf(c->result->reason, sizeof c->result->reason, "%.*s", (int)view->len - 4,
                 (const char *)view->data + 4);
    return -EACCES;
}

// ---- the steps: each returns 0 or -errno

static int step_binding(struct client *c)
{
    struct writer w = begin(c, STUN_BINDING);
    struct stun_msg msg = {0};
    int r = ask(c, stun_finish(&w, NULL, 0, true), &msg);

    if (r == 0 && msg.class == STUN_ERROR)
        r = refused(c, &msg);
    if (r == 0)
        r = stun_addr(&msg, STUN_XOR_MAPPED_ADDRESS, &c->result->mapped) < 0 ? -EPROTO : 0;
    return r;
}

static void put_allocate(const struct client *c, struct writer *w)
{
    stun_put_u32(w, STUN_REQUESTED_TRANSPORT, PROTOCOL_UDP);
    if (c->probe->server.family == FAMILY_V6)
        stun_put_u32(w, STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
}

// The key is MD5 of "user:realm:password" (RFC 8489 section 9.2.2).
static int make_key(struct client *c)
{
    char text[3 * TEXT_MAX + 512];
    unsigned len = KEY_LEN;
    int n =
        snprintf(text, sizeof text, "%s:%s:%s", c->probe->username, c->realm, c->probe->password);

    if (n < 0 || (size_t)n >= sizeof text)
        return -EINVAL;
    return EVP_Digest(text, (size_t)n, c->key, &len, EVP_md5(), NULL) == 1 ? 0 : -ENOMEM;
}

static int learn(struct client *c, const struct stun_msg *msg)
{
    copy_text(c->realm, sizeof c->realm, msg, STUN_REALM);
    copy_text(c->nonce, sizeof c->nonce, msg, STUN_NONCE);
    return c->nonce[0] && c->realm[0] ? make_key(c) : -EPROTO;
}

static int step_challenge(struct client *c)
{
    struct writer w = begin(c, STUN_ALLOCATE);
    struct stun_msg msg = {0};
    int r;

    put_allocate(c, &w);
    r = ask(c, stun_finish(&w, NULL, 0, true), &msg);
    if (r == 0 && stun_error_code(&msg) != CODE_UNAUTHOR)
        r = msg.class == STUN_ERROR ? refused(c, &msg) : -EPROTO;
    return r == 0 ? learn(c, &msg) : r;
}

static int step_allocate(struct client *c)
{
    struct stun_msg msg = {0};
    int r = -EPROTO;

    for (unsigned i = 0; i < ALLOCATE_ROUNDS; i++) {
        struct writer w = begin(c, STUN_ALLOCATE);

        put_allocate(c, &w);
        put_credential(c, &w);
        r = ask(c, stun_finish(&w, c->key, KEY_LEN, true), &msg);
        if (r < 0 || stun_error_code(&msg) != CODE_OLD_NONCE)
            break;
        r = learn(c, &msg);
        if (r < 0)
            return r;
    }
    if (r == 0 && msg.class == STUN_ERROR)
        r = refused(c, &msg);
    else if (r == 0 && stun_addr(&msg, STUN_XOR_RELAYED_ADDRESS, &c->result->relayed) < 0)
        r = -EPROTO;
    return r;
}

static int step_channel(struct client *c)
{
    struct writer w = begin(c, STUN_CHANNEL_BIND);
    struct stun_msg msg = {0};
    int r;

    stun_put_u32(&w, STUN_CHANNEL_NUMBER, CHANNEL << 16);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &c->result->relayed);
    put_credential(c, &w);
    r = ask(c, stun_finish(&w, c->key, KEY_LEN, true), &msg);
    return r == 0 && msg.class == STUN_ERROR ? refused(c, &msg) : r;
}

// ChannelData to the own relayed address comes back by the same channel.
static int step_echo(struct client *c)
{
    uint8_t packet[4 + ECHO_LEN] = {CHANNEL >> 8, CHANNEL & 0xff, 0, ECHO_LEN};
    int r = -ETIMEDOUT;

    if (getrandom(packet + 4, ECHO_LEN, 0) != ECHO_LEN)
        return -EIO;
    for (unsigned i = 0; i < TRIES && r == -ETIMEDOUT; i++) {
        usec_t start = clock_now(), until = start + c->probe->patience / TRIES;

        r = turn_probe_send(&c->io, packet, sizeof packet);
        while (r == 0) {
            int len = turn_probe_receive(&c->io, c->in, sizeof c->in, until, clock_now);

            if (len >= (int)sizeof packet && memcmp(c->in, packet, sizeof packet) == 0) {
                c->result->round_trip = clock_now() - start;
                return 0;
            }
            r = len < 0 ? len : 0;
        }
    }
    return r;
}

// What was taken is given back; whether that is heard does not matter.
static void give_back(struct client *c)
{
    struct writer w = begin(c, STUN_REFRESH);
    int len;

    stun_put_u32(&w, STUN_LIFETIME, 0);
    put_credential(c, &w);
    len = stun_finish(&w, c->key, KEY_LEN, true);
    if (len > 0)
        (void)turn_probe_send(&c->io, c->out, (size_t)len);
}

static int step_connect(struct client *c)
{
    return turn_probe_open(&c->io, c->probe);
}

static int step_handshake(struct client *c)
{
    struct turn_probe_result *result = c->result;

    if (c->probe->transport != TURN_PROBE_TLS)
        return 0;
    return turn_probe_secure(&c->io, c->probe->name, result->distrust, result->reason);
}

bool turn_probe_run(const struct turn_probe *probe, struct turn_probe_result *ret_result)
{
    static int (*const steps[TURN_PROBE_DONE])(struct client *) = {
        step_connect,  step_handshake, step_binding, step_challenge,
        step_allocate, step_channel,   step_echo,
    };
    enum turn_probe_step last = probe->username ? TURN_PROBE_DONE : TURN_PROBE_CHALLENGE;
    struct client c = {.probe = probe, .result = ret_result, .io = {.fd = -1}};
    int r = 0;

    *ret_result = (struct turn_probe_result){0};
    for (unsigned step = 0; step < (unsigned)last; step++) {
        ret_result->step = (enum turn_probe_step)step;
        r = steps[step](&c);
        if (r < 0)
            break;
        ret_result->step = TURN_PROBE_DONE;
    }
    ret_result->error = r;
    if (ret_result->relayed.family != FAMILY_NONE)
        give_back(&c);
    turn_probe_close(&c.io);
    return r == 0;
}

// ---- in words

const char *turn_probe_transport_name(enum turn_probe_transport transport)
{
    static const char *const names[] = {"UDP", "TCP", "TLS"};

    return names[transport];
}

const char *turn_probe_explain(const struct turn_probe_result *result, char *text, size_t size)
{
    static const char *const failed[] = {
        [TURN_PROBE_CONNECT] = "cannot be connected to",
        [TURN_PROBE_HANDSHAKE] = "TLS cannot be agreed on",
        [TURN_PROBE_BINDING] = "STUN is not answered",
        [TURN_PROBE_CHALLENGE] = "TURN is not answered",
        [TURN_PROBE_ALLOCATE] = "no allocation is given",
        [TURN_PROBE_CHANNEL] = "the allocation cannot be used",
        [TURN_PROBE_ECHO] = "a packet through the relayed address does not come back",
        [TURN_PROBE_DONE] = "works",
    };

    if (result->code)
        snprintf(text, size, "%s: refused with %u %s", failed[result->step], result->code,
                 result->reason);
    else if (result->reason[0])
        snprintf(text, size, "%s: %s", failed[result->step], result->reason);
    else if (result->error)
        snprintf(text, size, "%s: %s", failed[result->step], strerror(-result->error));
    else
        snprintf(text, size, "%s", failed[result->step]);
    return text;
}
