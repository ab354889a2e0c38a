// SPDX-License-Identifier: ISC
// The media endpoint. The first byte says how it was agreed to protect media and whether there is
// ICE; then come steps, each a byte for what happens, one for where it comes from, and one for the
// length of what is in it: raw bytes, authentic checks, answers to the endpoint's own, media under
// the right key, time. Nothing may go to an address that has neither sent an authentic check nor
// been learned from consistent RTP.
#include "base/cursor.h"
#include "codec/demux.h"
#include "codec/stun.h"
#include "media/endpoint.h"

#include <srtp2/srtp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SOURCES 16
#define OURS    "endpoint"
#define THEIRS  "client"
#define PWD     "a password of both sides"

struct fuzz {
    struct endpoint *endpoint;
    struct counters counters;
    usec_t now;
    uint64_t random;
    bool ice, proved[SOURCES];
    unsigned rtp[SOURCES]; // packets from there
    uint8_t last[2100];    // that the endpoint has sent
    size_t last_len;
    srtp_t srtp;
};

static struct media_identity *identity;

static struct addr source(unsigned n)
{
    return addr_v4((const uint8_t[]){8, 8, 8, (uint8_t)n}, 1000);
}

static void on_send(void *ctx, unsigned component, const struct addr *to, const uint8_t *data,
                    size_t len)
{
    struct fuzz *f = ctx;
    unsigned n = to->ip[3];

    (void)component;
    if (n >= SOURCES || len > sizeof f->last || (f->ice ? !f->proved[n] : f->rtp[n] < 3))
        abort();
    memcpy(f->last, data, len);
    f->last_len = len;
}

static void on_random(void *ctx, void *buf, size_t len)
{
    struct fuzz *f = ctx;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)((f->random = f->random * 6364136223846793005u + 1) >> 56);
}

static void give(struct fuzz *f, unsigned from, const uint8_t *data, size_t len)
{
    struct addr addr = source(from);
    uint8_t copy[2100];

    if (demux(data, len) == PACKET_RTP)
        f->rtp[from]++;
    memcpy(copy, data, len);
    endpoint_recv(f->endpoint, from & 1, &addr, copy, len, f->now);
}

static void check(struct fuzz *f, unsigned from, unsigned flags)
{
    const uint8_t txid[STUN_TXID_LEN] = {(uint8_t)flags};
    uint8_t buf[256];
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);

    stun_put_bytes(&w, STUN_USERNAME, OURS ":" THEIRS, strlen(OURS ":" THEIRS));
    if (flags & 1)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    if (flags & 2)
        stun_put_u64(&w, STUN_ICE_CONTROLLED, 1);
    f->proved[from] = true;
    give(f, from, buf, (size_t)stun_finish(&w, PWD, strlen(PWD), true));
}

static void answer(struct fuzz *f, unsigned from)
{
    struct stun_msg msg;
    uint8_t buf[128];

    if (stun_decode(f->last, f->last_len, &msg) < 0)
        return;
    struct writer w = stun_begin(buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, msg.txid);
    give(f, from, buf, (size_t)stun_finish(&w, PWD, strlen(PWD), true));
}

static void media(struct fuzz *f, unsigned from, const uint8_t *data, size_t len)
{
    uint8_t buf[300] = {0x80};
    int length = (int)len + 12;

    memcpy(buf + 1, data, len);
    if (f->srtp && srtp_protect(f->srtp, buf, &length) != srtp_err_status_ok)
        return;
    give(f, from, buf, (size_t)length);
}

static void step(struct fuzz *f, struct reader *r)
{
    unsigned what = read_u8(r), from = read_u8(r) % SOURCES;
    size_t len = read_u8(r);
    const uint8_t *data = read_bytes(r, len);

    if (!data)
        return;
    switch (what % 6) {
    case 0:
        give(f, from, data, len);
        break;
    case 1:
        check(f, from, (unsigned)len);
        break;
    case 2:
        answer(f, from);
        break;
    case 3:
        media(f, from, data, len);
        break;
    case 4:
        f->now += len * 50 * USEC_PER_MSEC;
        break;
    default:
        give(f, from, f->last, f->last_len);
    }
    (void)endpoint_tick(f->endpoint, f->now);
}

static void open_srtp(struct fuzz *f, const struct media_terms *terms)
{
    srtp_policy_t policy;
    uint8_t key[MEDIA_KEY_LEN];

    memset(&policy, 0, sizeof policy);
    memcpy(key, terms->sdes.theirs, sizeof key);
    srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    policy.ssrc.type = ssrc_any_outbound;
    policy.key = key;
    policy.allow_repeat_tx = 1;
    if (srtp_create(&f->srtp, &policy) != srtp_err_status_ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct endpoint_limits limits = {30 * USEC_PER_SEC, 20 * USEC_PER_SEC, 100000};
    struct reader r = reader_over(data, size);
    unsigned how = read_u8(&r);
    struct fuzz f = {.now = 1, .ice = how & 1};
    struct media_terms terms = {
        .ice = how & 1,
        .components = 2,
        .protection = (how >> 1) % 3,
        .ours = {OURS, PWD},
        .theirs = {THEIRS, PWD},
        .dtls = {.active = (how & 8) != 0, .hash = "sha-256", .fingerprint_len = 32},
        .ssrc = {1, 2},
    };
    const struct endpoint_io io = {&f, on_send, on_random};

    terms.kind[0] = 1;
    terms.kind[96] = 2;
    if (!identity && media_identity_new(&identity) < 0)
        abort();
    if (endpoint_new(&terms, &limits, &io, identity, &f.counters, f.now, &f.endpoint) < 0)
        return 0;
    if (terms.protection == MEDIA_SDES)
        open_srtp(&f, &terms);
    while (reader_left(&r) > 0)
        step(&f, &r);
    endpoint_free(f.endpoint);
    if (f.srtp)
        srtp_dealloc(f.srtp);
    return 0;
}
