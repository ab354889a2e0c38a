// SPDX-License-Identifier: ISC
// The media endpoint: who may send, the three protections against a client with libraries of its
// own, what comes back, and every limit.
#include "lib_echo_client.h"

#include "codec/demux.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void open_plain(struct echo_client *c)
{
    struct media_terms terms = echo_terms(MEDIA_PLAIN);

    echo_client_open(c, &terms, NULL);
}

static void connect(struct echo_client *c)
{
    echo_check(c, &c->addr, OURS_PWD, true);
    assert_true(endpoint_figures(c->endpoint).connected);
}

// ---- who may send

static void a_check_is_answered_and_returned(void **state)
{
    struct echo_client c;
    struct stun_msg msg;

    open_plain(&c);
    echo_check(&c, &c.addr, OURS_PWD, true);
    assert_int_equal(c.sents, 2);
    assert_int_equal(stun_decode(c.sent[0].data, c.sent[0].len, &msg), 0);
    assert_int_equal(msg.class, STUN_SUCCESS);
    assert_true(stun_check_integrity(&msg, OURS_PWD, strlen(OURS_PWD)));
    assert_int_equal(stun_decode(c.sent[1].data, c.sent[1].len, &msg), 0);
    assert_int_equal(msg.class, STUN_REQUEST);
    assert_true(stun_has(&msg, STUN_ICE_CONTROLLED));
    assert_memory_equal(msg.attr[STUN_USERNAME].data, THEIRS ":" OURS, 15);
    assert_true(endpoint_figures(c.endpoint).connected);
    echo_client_close(&c);
}

static void strangers_get_nothing(void **state)
{
    struct echo_client c;
    struct addr stranger = echo_addr(66, 6666);
    uint8_t buf[300];

    open_plain(&c);
    echo_check(&c, &stranger, "some other password 1234", true);
    echo_recv(&c, &stranger, buf, echo_rtp(&c, buf, 0, 1, 1));
    assert_int_equal(c.sents, 0);
    connect(&c);
    unsigned before = c.sents;
    echo_recv(&c, &stranger, buf, echo_rtp(&c, buf, 0, 1, 1));
    echo_check(&c, &stranger, THEIR_PWD, true);
    assert_int_equal(c.sents, before);
    assert_int_equal(counter_get(&c.counters, COUNTER_ECHO_REFUSED), 4);
    echo_client_close(&c);
}

// A captured check comes from elsewhere: it is answered, but nothing else goes there.
static void who_does_not_answer_is_not_selected(void **state)
{
    struct echo_client c;
    struct addr victim = echo_addr(66, 6666);
    struct rtp_header header;

    open_plain(&c);
    connect(&c);
    c.deaf = true;
    echo_check(&c, &victim, OURS_PWD, true);
    echo_wait(&c, 10 * USEC_PER_SEC);
    unsigned to_victim = 0;
    for (unsigned i = 0; i < c.sents; i++)
        to_victim += addr_equal(&c.sent[i].to, &victim);
    assert_int_equal(to_victim, 1 + 3); // the answer, and some tries
    assert_int_not_equal(echo_say(&c, 0, 1, 1, &header), 0);
    assert_true(addr_equal(&c.sent[(c.sents - 1) % 64].to, &c.addr));
    echo_client_close(&c);
}

static void the_nominated_source_gets_the_media(void **state)
{
    struct echo_client c;
    struct addr first = echo_addr(2, 2222);
    struct rtp_header header;

    open_plain(&c);
    echo_check(&c, &first, OURS_PWD, false);
    connect(&c);
    assert_int_not_equal(echo_say(&c, 0, 1, 1, &header), 0);
    assert_true(addr_equal(&c.sent[(c.sents - 1) % 64].to, &c.addr));
    echo_client_close(&c);
}

// The client asks again long before the answer is there.
static void who_is_far_away_answers_late(void **state)
{
    struct echo_client c;

    open_plain(&c);
    c.deaf = true;
    echo_check(&c, &c.addr, OURS_PWD, true);
    const struct sent first = c.sent[1];
    for (unsigned i = 0; i < 6; i++) {
        echo_wait(&c, 200 * USEC_PER_MSEC);
        echo_check(&c, &c.addr, OURS_PWD, true);
    }
    assert_false(endpoint_figures(c.endpoint).connected);
    c.deaf = false;
    echo_answer_check(&c, &first);
    assert_true(endpoint_figures(c.endpoint).connected);
    echo_client_close(&c);
}

// RFC 7675: for 30 s after it was heard of last.
static void a_selected_source_that_is_gone_gets_no_more(void **state)
{
    struct echo_client c;
    struct addr gone = echo_addr(2, 2222);
    struct rtp_header header;

    open_plain(&c);
    echo_check(&c, &gone, OURS_PWD, true);
    echo_check(&c, &c.addr, OURS_PWD, false);
    for (uint16_t second = 1; second <= 35; second++) {
        echo_wait(&c, USEC_PER_SEC);
        unsigned before = c.sents;
        assert_int_not_equal(echo_say(&c, 0, 1, second, &header), 0);
        if (second < 30)
            assert_true(addr_equal(&c.sent[before % 64].to, &gone));
        if (second > 30)
            assert_true(addr_equal(&c.sent[before % 64].to, &c.addr));
    }
    echo_client_close(&c);
}

static void a_second_controlled_side_is_told(void **state)
{
    struct echo_client c;
    const uint8_t txid[STUN_TXID_LEN] = {5};
    struct stun_msg msg;
    uint8_t buf[256];

    open_plain(&c);
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, OURS ":" THEIRS, strlen(OURS ":" THEIRS));
    stun_put_u64(&w, STUN_ICE_CONTROLLED, 9);
    echo_recv(&c, &c.addr, buf, (size_t)stun_finish(&w, OURS_PWD, strlen(OURS_PWD), true));
    assert_int_equal(c.sents, 1);
    assert_int_equal(stun_decode(c.sent[0].data, c.sent[0].len, &msg), 0);
    assert_int_equal(stun_error_code(&msg), 487);
    echo_client_close(&c);
}

static void more_sources_than_places(void **state)
{
    struct echo_client c;
    struct rtp_header header;

    open_plain(&c);
    connect(&c);
    for (unsigned i = 0; i < 40; i++) {
        struct addr other = echo_addr(100 + i, 9);
        echo_check(&c, &other, OURS_PWD, false);
    }
    assert_int_not_equal(echo_say(&c, 0, 1, 1, &header), 0); // the selected one has kept its place
    echo_client_close(&c);
}

// ---- raw UDP

static void open_raw(struct echo_client *c, struct addr peer)
{
    struct media_terms terms = echo_terms(MEDIA_PLAIN);

    terms.ice = false;
    terms.peer[0] = peer;
    echo_client_open(c, &terms, NULL);
}

static void consistent_rtp_is_learned_and_locked(void **state)
{
    struct echo_client c;
    struct rtp_header header;
    struct addr nat = echo_addr(3, 3333), client;

    addr_parse_ip("192.168.1.2", 4000, &client);
    open_raw(&c, client);
    c.addr = nat;
    assert_int_equal(echo_say(&c, 0, 1, 1, &header), 0);
    assert_int_equal(echo_say(&c, 0, 1, 2, &header), 0);
    assert_int_not_equal(echo_say(&c, 0, 1, 3, &header), 0);
    c.addr = echo_addr(66, 6666);
    for (uint16_t i = 10; i < 20; i++)
        assert_int_equal(echo_say(&c, 0, 1, i, &header), 0);
    c.addr = nat;
    assert_int_not_equal(echo_say(&c, 0, 1, 4, &header), 0);
    echo_client_close(&c);
}

static void only_the_signalled_public_host_is_learned(void **state)
{
    struct echo_client c;
    struct rtp_header header;

    open_raw(&c, echo_addr(3, 3333));
    c.addr = echo_addr(66, 6666);
    for (uint16_t i = 1; i < 10; i++)
        assert_int_equal(echo_say(&c, 0, 1, i, &header), 0);
    c.addr = echo_addr(3, 4444); // another port: a NAT
    assert_int_equal(echo_say(&c, 0, 1, 11, &header), 0);
    assert_int_equal(echo_say(&c, 0, 1, 12, &header), 0);
    assert_int_not_equal(echo_say(&c, 0, 1, 13, &header), 0);
    echo_client_close(&c);
}

static struct media_terms keyed_terms(void)
{
    struct media_terms terms = echo_terms(MEDIA_SDES);

    memset(terms.sdes.ours, 1, MEDIA_KEY_LEN);
    memset(terms.sdes.theirs, 2, MEDIA_KEY_LEN);
    return terms;
}

static void forge(struct echo_client *c, uint32_t ssrc, uint16_t sequence)
{
    struct rtp_header header;
    srtp_t out = c->out;

    c->out = NULL;
    assert_int_equal(echo_say(c, 0, ssrc, sequence, &header), 0);
    c->out = out;
}

static void with_keys_only_authentic_rtp_is_learned(void **state)
{
    struct media_terms terms = keyed_terms();
    struct addr nat = echo_addr(3, 3333), stranger = echo_addr(66, 6666);
    struct rtp_header header;
    struct echo_client c;

    terms.ice = false;
    addr_parse_ip("192.168.1.2", 4000, &terms.peer[0]);
    echo_client_open(&c, &terms, NULL);
    echo_keys(&c, terms.sdes.theirs, terms.sdes.ours, false);
    c.addr = stranger;
    for (uint16_t i = 1; i <= 10; i++)
        forge(&c, 1, i);
    c.addr = nat;
    assert_int_equal(echo_say(&c, 0, 1, 1, &header), 0);
    assert_int_equal(echo_say(&c, 0, 1, 2, &header), 0);
    assert_int_not_equal(echo_say(&c, 0, 1, 3, &header), 0);
    c.addr = stranger;
    for (uint16_t i = 4; i <= 10; i++)
        forge(&c, 1, i);
    c.addr = nat;
    forge(&c, 1, 4); // one that is damaged on the way is none that unlearns him
    assert_int_not_equal(echo_say(&c, 0, 1, 5, &header), 0);
    echo_client_close(&c);
}

// ---- protections

static void dtls_call(bool active)
{
    struct media_terms terms = echo_terms(MEDIA_DTLS);
    struct rtp_header header;
    struct echo_client c;

    terms.dtls.active = active;
    echo_client_open(&c, &terms, NULL);
    echo_check(&c, &c.addr, OURS_PWD, true);
    if (!active) {
        assert_int_equal(SSL_do_handshake(c.ssl), -1);
        uint8_t hello[2000];
        int len = BIO_read(SSL_get_wbio(c.ssl), hello, sizeof hello);
        echo_recv(&c, &c.addr, hello, (size_t)len);
    }
    echo_pump(&c);
    assert_true(SSL_is_init_finished(c.ssl));
    assert_true(endpoint_figures(c.endpoint).keyed);
    for (uint16_t i = 1; i < 20; i++) {
        assert_int_equal(echo_say(&c, 0, 0xa11ce, i, &header), 27);
        assert_int_equal(header.ssrc, SSRC_BACK);
        assert_int_equal(header.sequence, i);
    }
    assert_int_equal(endpoint_state(c.endpoint), ENDPOINT_RETURNING);
    assert_int_equal(counter_get(&c.counters, COUNTER_ECHO_PACKETS), 19);
    echo_client_close(&c);
}

static void dtls_as_client(void **state)
{
    dtls_call(true);
}

static void dtls_as_server(void **state)
{
    dtls_call(false);
}

static void another_certificate_ends_it(void **state)
{
    struct media_terms terms = echo_terms(MEDIA_DTLS);
    struct echo_client c;

    memset(terms.dtls.fingerprint, 0x55, 32);
    terms.dtls.fingerprint_len = 32;
    strcpy(terms.dtls.hash, "sha-256");
    echo_client_open(&c, &terms, NULL);
    echo_check(&c, &c.addr, OURS_PWD, true);
    echo_pump(&c);
    assert_int_equal(endpoint_state(c.endpoint), ENDPOINT_INSECURE);
    assert_false(endpoint_figures(c.endpoint).keyed);
    echo_client_close(&c);
}

static void no_handshake_before_the_proof(void **state)
{
    struct media_terms terms = echo_terms(MEDIA_DTLS);
    struct echo_client c;
    uint8_t hello[2000];

    terms.dtls.active = false;
    echo_client_open(&c, &terms, NULL);
    SSL_do_handshake(c.ssl);
    int len = BIO_read(SSL_get_wbio(c.ssl), hello, sizeof hello);
    echo_recv(&c, &c.addr, hello, (size_t)len);
    assert_int_equal(c.sents, 0);
    echo_client_close(&c);
}

static void sdes_call(enum media_suite suite)
{
    struct media_terms terms = keyed_terms();
    struct rtp_header header;
    struct echo_client c;

    terms.sdes.suite = suite;
    echo_client_open(&c, &terms, NULL);
    echo_keys(&c, terms.sdes.theirs, terms.sdes.ours, suite == MEDIA_AES_CM_32);
    connect(&c);
    assert_int_equal(echo_say(&c, 0, 7, 65535, &header), 27);
    assert_int_equal(echo_say(&c, 0, 7, 0, &header), 27);
    // The same packet again is a replay; one that nobody has signed is none of ours.
    assert_int_equal(echo_say(&c, 0, 7, 0, &header), 0);
    srtp_dealloc(c.out);
    c.out = NULL;
    assert_int_equal(echo_say(&c, 0, 7, 1, &header), 0);
    assert_int_equal(counter_get(&c.counters, COUNTER_ECHO_REFUSED), 2);
    echo_client_close(&c);
}

static void sdes_with_either_suite(void **state)
{
    sdes_call(MEDIA_AES_CM_80);
    sdes_call(MEDIA_AES_CM_32);
}

// The key of RFC 4568 section 6.1's example, and what is not supported.
static void keys_are_read_and_written(void **state)
{
    static const char text[] = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
    static const char *const wrong[] = {NULL,
                                        "",
                                        "inline:",
                                        "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSo",
                                        "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4",
                                        "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJS==",
                                        "uri:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX"};
    uint8_t key[MEDIA_KEY_LEN];
    char back[MEDIA_KEY_TEXT];

    assert_int_equal(media_key_parse(text, key), 0);
    assert_memory_equal(key, "wDfvg&T+)xG7@fb5jU,RaA}\\|p0%*#", 30);
    media_key_print(key, back);
    assert_string_equal(back, text);
    assert_int_equal(media_key_parse("inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20", key),
                     0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(media_key_parse(wrong[i], key), -EINVAL);
    assert_int_equal(media_suite("AES_CM_128_HMAC_SHA1_32"), MEDIA_AES_CM_32);
    assert_int_equal(media_suite("AEAD_AES_128_GCM"), MEDIA_SUITES);
    assert_int_equal(media_suite(NULL), MEDIA_SUITES);
}

static void fingerprints_are_read(void **state)
{
    uint8_t bytes[MEDIA_FINGERPRINT_MAX];
    char text[3 * 70];

    assert_int_equal(media_fingerprint_parse("\n 0a:FF:01 ", bytes), 3);
    assert_memory_equal(bytes, "\x0a\xff\x01", 3);
    assert_int_equal(media_fingerprint_parse("", bytes), -EINVAL);
    assert_int_equal(media_fingerprint_parse("0a:F", bytes), -EINVAL);
    assert_int_equal(media_fingerprint_parse("0a:zz", bytes), -EINVAL);
    for (size_t i = 0; i < 65; i++)
        memcpy(text + 3 * i, "aa:", 4);
    assert_int_equal(media_fingerprint_parse(text, bytes), -EINVAL);
}

// ---- what comes back

static void another_ssrc_goes_on_as_the_same_stream(void **state)
{
    struct rtp_header header;
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    echo_say(&c, 0, 1, 100, &header);
    echo_say(&c, 0, 1, 101, &header);
    assert_int_equal(header.sequence, 101);
    assert_int_not_equal(echo_say(&c, 0, 2, 9000, &header), 0);
    assert_int_equal(header.sequence, 102);
    assert_int_equal(header.ssrc, SSRC_BACK);
    assert_int_equal(echo_say(&c, 0, 1, 103, &header), 0); // overtaken
    echo_say(&c, 0, 2, 9001, &header);
    assert_int_equal(header.sequence, 103);
    echo_client_close(&c);
}

static void what_was_not_agreed_on_does_not_come_back(void **state)
{
    struct rtp_header header;
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    assert_int_equal(echo_say(&c, 8, 1, 1, &header), 0);
    assert_int_not_equal(echo_say(&c, 96, 2, 1, &header), 0);
    assert_int_equal(header.ssrc, SSRC_BACK + 1);
    echo_client_close(&c);
}

static const struct sent *last_rtcp(const struct echo_client *c)
{
    for (unsigned i = c->sents; i > 0 && i + 64 > c->sents; i--)
        if (demux(c->sent[(i - 1) % 64].data, c->sent[(i - 1) % 64].len) == PACKET_RTCP)
            return &c->sent[(i - 1) % 64];
    return NULL;
}

static void reports_tell_of_loss(void **state)
{
    struct rtp_header header;
    const struct sent *report;
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    for (uint16_t i = 1; i <= 20; i++)
        if (i != 7)
            echo_say(&c, 0, 0x01020304, i, &header);
    assert_null(last_rtcp(&c));
    echo_wait(&c, 2 * USEC_PER_SEC);
    report = last_rtcp(&c);
    assert_non_null(report);
    assert_memory_equal(report->data, "\x81\xc9\x00\x07\xec\x40\xec\x40\x01\x02\x03\x04", 12);
    assert_memory_equal(report->data + 13, "\x00\x00\x01\x00\x00\x00\x14", 7); // lost 1, highest 20
    assert_int_equal(report->data[12], 255 / 20);
    assert_memory_equal(report->data + 32, "\x81\xca\x00\x03", 4);
    assert_int_equal(report->len, 48);
    echo_client_close(&c);
}

static void a_wanted_key_frame_is_asked_for(void **state)
{
    static const uint8_t pli[] = {0x81, 206, 0, 2, 0, 0, 0, 9, 0xec, 0x40, 0xec, 0x41};
    struct rtp_header header;
    const struct sent *report;
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    echo_say(&c, 96, 0x0a0b0c0d, 1, &header);
    echo_recv(&c, &c.addr, pli, sizeof pli);
    report = last_rtcp(&c);
    assert_non_null(report);
    assert_memory_equal(report->data + report->len - 12,
                        "\x81\xce\x00\x02\xec\x40\xec\x41\x0a\x0b\x0c\x0d", 12);
    echo_client_close(&c);
}

// Whoever asks all the time is answered twice a second, and has not asked in vain.
static void wanted_key_frames_are_bounded(void **state)
{
    static const uint8_t pli[] = {0x81, 206, 0, 2, 0, 0, 0, 9, 0xec, 0x40, 0xec, 0x41};
    struct rtp_header header;
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    echo_say(&c, 96, 0x0a0b0c0d, 1, &header);
    unsigned before = c.sents;
    for (unsigned i = 0; i < 100; i++) {
        echo_recv(&c, &c.addr, pli, sizeof pli);
        c.now += USEC_PER_SEC / 100;
    }
    assert_int_equal(c.sents, before + 2);
    echo_wait(&c, USEC_PER_SEC / 2);
    assert_int_equal(c.sents, before + 3);
    assert_int_equal(last_rtcp(&c)->len, 48 + 12);
    echo_client_close(&c);
}

// ---- limits

static void no_media_ends_it(void **state)
{
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    echo_wait(&c, 29 * USEC_PER_SEC);
    assert_int_equal(endpoint_state(c.endpoint), ENDPOINT_WAITING);
    echo_wait(&c, 2 * USEC_PER_SEC);
    assert_int_equal(endpoint_state(c.endpoint), ENDPOINT_NO_MEDIA);
    echo_client_close(&c);
}

static void silence_ends_it(void **state)
{
    struct rtp_header header;
    struct echo_client c;

    open_plain(&c);
    connect(&c);
    echo_say(&c, 0, 1, 1, &header);
    echo_wait(&c, 19 * USEC_PER_SEC);
    assert_int_equal(endpoint_state(c.endpoint), ENDPOINT_RETURNING);
    echo_wait(&c, 2 * USEC_PER_SEC);
    assert_int_equal(endpoint_state(c.endpoint), ENDPOINT_SILENT);
    assert_int_equal(echo_say(&c, 0, 1, 2, &header), 0);
    echo_client_close(&c);
}

static void bandwidth_is_bounded(void **state)
{
    const struct endpoint_limits limits = {USEC_PER_SEC, USEC_PER_SEC, 270};
    struct media_terms terms = echo_terms(MEDIA_PLAIN);
    struct rtp_header header;
    struct echo_client c;
    unsigned back = 0;

    echo_client_open(&c, &terms, &limits);
    connect(&c);
    for (uint16_t i = 1; i <= 20; i++)
        back += echo_say(&c, 0, 1, i, &header) > 0;
    assert_int_equal(back, 10);
    assert_int_equal(counter_get(&c.counters, COUNTER_ECHO_LIMITED), 10);
    echo_client_close(&c);
}

static void checks_are_bounded(void **state)
{
    struct echo_client c;

    open_plain(&c);
    c.deaf = true;
    for (unsigned i = 0; i < 300; i++)
        echo_check(&c, &c.addr, OURS_PWD, false);
    assert_int_equal(c.sents, 100 + 1); // answers, and one of its own
    assert_int_equal(counter_get(&c.counters, COUNTER_ECHO_LIMITED), 200);
    echo_wait(&c, USEC_PER_SEC);
    for (unsigned i = 0; i < 60; i++)
        echo_check(&c, &c.addr, OURS_PWD, false);
    assert_int_equal(counter_get(&c.counters, COUNTER_ECHO_LIMITED), 210);
    c.deaf = false;
    echo_wait(&c, USEC_PER_SEC);
    connect(&c);
    echo_client_close(&c);
}

// Else a stranger behind a learned address would keep the client's own senders out.
static void forged_senders_take_no_place(void **state)
{
    struct media_terms terms = keyed_terms();
    struct rtp_header header;
    struct echo_client c;

    echo_client_open(&c, &terms, NULL);
    echo_keys(&c, terms.sdes.theirs, terms.sdes.ours, false);
    connect(&c);
    for (uint32_t i = 1; i <= 20; i++)
        forge(&c, i, 1);
    assert_int_not_equal(echo_say(&c, 0, 100, 1, &header), 0);
    echo_client_close(&c);
}

static void senders_are_bounded(void **state)
{
    struct rtp_header header;
    struct echo_client c;
    unsigned back = 0;

    open_plain(&c);
    connect(&c);
    for (uint32_t i = 1; i <= 20; i++)
        back += echo_say(&c, 0, i, 1, &header) > 0;
    assert_int_equal(back, 8);
    echo_client_close(&c);
}

static void senseless_terms_are_refused(void **state)
{
    struct media_terms terms = echo_terms(MEDIA_PLAIN);
    const struct endpoint_limits limits = {1, 1, 1};
    const struct endpoint_io io = {0};
    struct counters counters = {0};
    struct endpoint *endpoint;

    terms.components = 3;
    assert_int_equal(endpoint_new(&terms, &limits, &io, NULL, &counters, 1, &endpoint), -EINVAL);
    terms.components = 1;
    terms.theirs.pwd[0] = '\0';
    assert_int_equal(endpoint_new(&terms, &limits, &io, NULL, &counters, 1, &endpoint), -EINVAL);
    endpoint_free(NULL);
    media_identity_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_is_answered_and_returned),
        cmocka_unit_test(strangers_get_nothing),
        cmocka_unit_test(who_does_not_answer_is_not_selected),
        cmocka_unit_test(the_nominated_source_gets_the_media),
        cmocka_unit_test(who_is_far_away_answers_late),
        cmocka_unit_test(a_selected_source_that_is_gone_gets_no_more),
        cmocka_unit_test(a_second_controlled_side_is_told),
        cmocka_unit_test(more_sources_than_places),
        cmocka_unit_test(consistent_rtp_is_learned_and_locked),
        cmocka_unit_test(only_the_signalled_public_host_is_learned),
        cmocka_unit_test(with_keys_only_authentic_rtp_is_learned),
        cmocka_unit_test(dtls_as_client),
        cmocka_unit_test(dtls_as_server),
        cmocka_unit_test(another_certificate_ends_it),
        cmocka_unit_test(no_handshake_before_the_proof),
        cmocka_unit_test(sdes_with_either_suite),
        cmocka_unit_test(keys_are_read_and_written),
        cmocka_unit_test(fingerprints_are_read),
        cmocka_unit_test(another_ssrc_goes_on_as_the_same_stream),
        cmocka_unit_test(what_was_not_agreed_on_does_not_come_back),
        cmocka_unit_test(reports_tell_of_loss),
        cmocka_unit_test(a_wanted_key_frame_is_asked_for),
        cmocka_unit_test(wanted_key_frames_are_bounded),
        cmocka_unit_test(no_media_ends_it),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(bandwidth_is_bounded),
        cmocka_unit_test(checks_are_bounded),
        cmocka_unit_test(forged_senders_take_no_place),
        cmocka_unit_test(senders_are_bounded),
        cmocka_unit_test(senseless_terms_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
