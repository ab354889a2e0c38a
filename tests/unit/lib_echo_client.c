// SPDX-License-Identifier: ISC
// See lib_echo_client.h.
#include "lib_echo_client.h"

#include "codec/demux.h"

#include <openssl/ec.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct addr echo_addr(unsigned host, uint16_t port)
{
    const uint8_t ip[4] = {8, 8, 8, (uint8_t)host};

    return addr_v4(ip, port);
}

static void on_send(void *ctx, unsigned component, const struct addr *to, const uint8_t *data,
                    size_t len)
{
    struct echo_client *c = ctx;
    struct sent *sent = &c->sent[c->sents++ % 64];

    assert_true(len <= sizeof sent->data);
    *sent = (struct sent){.component = component, .to = *to, .len = len};
    memcpy(sent->data, data, len);
}

static void on_random(void *ctx, void *buf, size_t len)
{
    struct echo_client *c = ctx;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)((c->random = c->random * 6364136223846793005u + 1) >> 56);
}

struct media_terms echo_terms(enum media_protection protection)
{
    struct media_terms terms = {
        .ice = true,
        .components = 1,
        .protection = protection,
        .ours = {OURS, OURS_PWD},
        .theirs = {THEIRS, THEIR_PWD},
        .ssrc = {SSRC_BACK, SSRC_BACK + 1},
    };

    terms.kind[0] = 1;
    terms.kind[96] = 2;
    terms.dtls.active = true;
    return terms;
}

// ---- DTLS: what the other side of a handshake is, with a certificate of its own

static int accept_any(int ok, X509_STORE_CTX *store)
{
    return 1;
}

static void make_certificate(struct echo_client *c, struct media_terms *terms)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    unsigned len;

    assert_non_null(key);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    assert_int_equal(X509_set_pubkey(x, key), 1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(c->ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c->ctx, key), 1);
    if (terms->dtls.fingerprint_len == 0) {
        assert_int_equal(X509_digest(x, EVP_sha256(), terms->dtls.fingerprint, &len), 1);
        terms->dtls.fingerprint_len = len;
        snprintf(terms->dtls.hash, sizeof terms->dtls.hash, "sha-256");
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

static void open_dtls(struct echo_client *c, struct media_terms *terms)
{
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    c->ctx = SSL_CTX_new(DTLS_method());
    assert_non_null(c->ctx);
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_any);
    assert_int_equal(SSL_CTX_set_tlsext_use_srtp(c->ctx, "SRTP_AES128_CM_SHA1_80"), 0);
    make_certificate(c, terms);
    c->ssl = SSL_new(c->ctx);
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(c->ssl, in, out);
    SSL_set_options(c->ssl, SSL_OP_NO_QUERY_MTU);
    SSL_set_mtu(c->ssl, 1200);
    if (terms->dtls.active)
        SSL_set_accept_state(c->ssl);
    else
        SSL_set_connect_state(c->ssl);
}

void echo_keys(struct echo_client *c, const uint8_t mine[MEDIA_KEY_LEN],
               const uint8_t theirs[MEDIA_KEY_LEN], bool short_tag)
{
    const uint8_t *key[2] = {mine, theirs};
    srtp_t *context[2] = {&c->out, &c->in};

    for (int i = 0; i < 2; i++) {
        uint8_t copy[MEDIA_KEY_LEN];
        srtp_policy_t policy;

        memset(&policy, 0, sizeof policy);
        memcpy(copy, key[i], sizeof copy);
        if (short_tag)
            srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy.rtp);
        else
            srtp_crypto_policy_set_rtp_default(&policy.rtp);
        srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
        policy.ssrc.type = i == 0 ? ssrc_any_outbound : ssrc_any_inbound;
        policy.key = copy;
        policy.window_size = 128;
        policy.allow_repeat_tx = 1; // so that a replay can be made
        assert_int_equal(srtp_create(context[i], &policy), srtp_err_status_ok);
    }
}

static void take_keys(struct echo_client *c)
{
    uint8_t all[60], client[MEDIA_KEY_LEN], server[MEDIA_KEY_LEN];

    assert_int_equal(
        SSL_export_keying_material(c->ssl, all, sizeof all, "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0),
        1);
    memcpy(client, all, 16);
    memcpy(client + 16, all + 32, 14);
    memcpy(server, all + 16, 16);
    memcpy(server + 16, all + 46, 14);
    if (SSL_is_server(c->ssl))
        echo_keys(c, server, client, false);
    else
        echo_keys(c, client, server, false);
}

// ---- life

void echo_client_open(struct echo_client *c, struct media_terms *terms,
                      const struct endpoint_limits *limits)
{
    static const struct endpoint_limits usual = {30 * USEC_PER_SEC, 20 * USEC_PER_SEC, 0};
    const struct endpoint_io io = {c, on_send, on_random};

    *c = (struct echo_client){.now = USEC_PER_SEC, .addr = echo_addr(1, 1111), .random = 7};
    assert_int_equal(media_identity_new(&c->identity), 0);
    if (terms->protection == MEDIA_DTLS)
        open_dtls(c, terms);
    assert_int_equal(endpoint_new(terms, limits ? limits : &usual, &io, c->identity, &c->counters,
                                  c->now, &c->endpoint),
                     0);
}

void echo_client_close(struct echo_client *c)
{
    endpoint_free(c->endpoint);
    if (c->in)
        srtp_dealloc(c->in);
    if (c->out)
        srtp_dealloc(c->out);
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    media_identity_free(c->identity);
}

// ---- datagrams

void echo_recv(struct echo_client *c, const struct addr *from, const void *data, size_t len)
{
    uint8_t copy[2100];

    memcpy(copy, data, len);
    endpoint_recv(c->endpoint, 0, from, copy, len, c->now);
    endpoint_tick(c->endpoint, c->now);
}

void echo_answer_check(struct echo_client *c, const struct sent *check)
{
    struct stun_msg msg;
    uint8_t buf[128];
    struct writer w;
    int len;

    assert_int_equal(stun_decode(check->data, check->len, &msg), 0);
    if (msg.class != STUN_REQUEST || c->deaf)
        return;
    assert_true(stun_check_integrity(&msg, THEIR_PWD, strlen(THEIR_PWD)));
    w = stun_begin(buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, msg.txid);
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &check->to);
    len = stun_finish(&w, THEIR_PWD, strlen(THEIR_PWD), true);
    assert_true(len > 0);
    echo_recv(c, &check->to, buf, (size_t)len);
}

// A memory BIO does not keep datagrams apart: records go one by one.
static void send_records(struct echo_client *c)
{
    uint8_t flight[8192];
    int len = BIO_read(SSL_get_wbio(c->ssl), flight, sizeof flight);

    for (int at = 0; at + 13 <= len;) {
        int record = 13 + (flight[at + 11] << 8 | flight[at + 12]);
        echo_recv(c, &c->addr, flight + at, (size_t)record);
        at += record;
    }
}

static void dtls(struct echo_client *c)
{
    if (!SSL_is_init_finished(c->ssl) && SSL_do_handshake(c->ssl) == 1)
        take_keys(c);
    send_records(c);
}

void echo_pump(struct echo_client *c)
{
    for (unsigned seen = c->sents > 8 ? c->sents - 8 : 0; seen < c->sents; seen++) {
        const struct sent sent = c->sent[seen % 64];

        if (demux(sent.data, sent.len) == PACKET_STUN)
            echo_answer_check(c, &sent);
        if (c->ssl && demux(sent.data, sent.len) == PACKET_DTLS) {
            BIO_write(SSL_get_rbio(c->ssl), sent.data, (int)sent.len);
            dtls(c);
        }
    }
}

void echo_check(struct echo_client *c, const struct addr *from, const char *pwd, bool nominate)
{
    static uint8_t serial;
    const uint8_t txid[STUN_TXID_LEN] = {++serial, 1};
    uint8_t buf[256];
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    unsigned before = c->sents;
    int len;

    stun_put_bytes(&w, STUN_USERNAME, OURS ":" THEIRS, strlen(OURS ":" THEIRS));
    stun_put_u32(&w, STUN_PRIORITY, 1);
    stun_put_u64(&w, STUN_ICE_CONTROLLING, 9);
    if (nominate)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    len = stun_finish(&w, pwd, strlen(pwd), true);
    assert_true(len > 0);
    echo_recv(c, from, buf, (size_t)len);
    while (before < c->sents) {
        const struct sent sent = c->sent[before++ % 64];
        if (demux(sent.data, sent.len) == PACKET_STUN)
            echo_answer_check(c, &sent);
    }
}

void echo_wait(struct echo_client *c, usec_t time)
{
    usec_t until = c->now + time;

    while (c->now < until) {
        usec_t next = endpoint_tick(c->endpoint, c->now);
        c->now = next > c->now && next < until ? next : next <= c->now ? c->now + 1000 : until;
    }
    endpoint_tick(c->endpoint, c->now);
}

// ---- media

size_t echo_rtp(struct echo_client *c, uint8_t *buf, uint8_t type, uint32_t ssrc, uint16_t sequence)
{
    struct writer w = writer_over(buf, 256);
    int len;

    write_u8(&w, 0x80);
    write_u8(&w, type);
    write_u16(&w, sequence);
    write_u32(&w, sequence * 160u);
    write_u32(&w, ssrc);
    write_bytes(&w, "what Alice says", 15);
    len = (int)writer_used(&w);
    if (c->out)
        assert_int_equal(srtp_protect(c->out, buf, &len), srtp_err_status_ok);
    return (size_t)len;
}

size_t echo_say(struct echo_client *c, uint8_t type, uint32_t ssrc, uint16_t sequence,
                struct rtp_header *ret_header)
{
    uint8_t buf[300];
    unsigned before = c->sents;
    struct sent *back;
    int len;

    echo_recv(c, &c->addr, buf, echo_rtp(c, buf, type, ssrc, sequence));
    if (c->sents == before ||
        demux(c->sent[before % 64].data, c->sent[before % 64].len) != PACKET_RTP)
        return 0;
    back = &c->sent[before % 64];
    len = (int)back->len;
    if (c->in)
        assert_int_equal(srtp_unprotect(c->in, back->data, &len), srtp_err_status_ok);
    assert_int_equal(rtp_decode(back->data, (size_t)len, ret_header), 0);
    assert_memory_equal(back->data + 12, "what Alice says", 15);
    return (size_t)len;
}
