// SPDX-License-Identifier: ISC
// What strangers get: Binding, old and new, and answers to requests without credentials. For each
// kind of message the size of the answer over that of the request is asserted (the table in
// src/turn/request.c is this one), and that a flood leaves nothing behind and is answered no more
// than the limit per prefix allows.
#include "lib/turn_world.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static struct tw *world;
static struct tw_client stranger;

static int set_up(void **state)
{
    world = tw_new();
    tw_start(world);
    stranger = tw_client(world, "198.51.100.2", 4000);
    stranger.plain = true;
    return 0;
}

static int tear_down(void **state)
{
    tw_free(world);
    return 0;
}

static int bind(struct tw_client *c)
{
    struct writer out = tw_begin(c, STUN_BINDING);
    return tw_send(world, c, &out);
}

static size_t answered(void)
{
    return world->reply.data ? world->reply.len : 0;
}

// ---- Binding ----

static void binding(void **state)
{
    static const char *const ips[] = {"198.51.100.2", "2001:db8:1::2"};
    for (unsigned i = 0; i < 2; i++) {
        struct tw_client c = tw_client(world, ips[i], 4000);
        struct addr mapped;
        c.plain = true;
        assert_int_equal(bind(&c), 0);
        assert_int_equal(stun_addr(&world->reply, STUN_XOR_MAPPED_ADDRESS, &mapped), 0);
        assert_true(addr_equal(&mapped, &c.at.remote));
        assert_int_equal(world->reply.len, i == 0 ? 32 : 44); // and nothing else
        c.fingerprint = true;
        assert_int_equal(bind(&c), 0);
    }
    assert_int_equal(tw_counter(world, COUNTER_TURN_BINDING), 4);
}

// ICE agents ask with short-term credentials that we cannot know.
static void binding_with_credentials(void **state)
{
    struct writer out = tw_begin(&stranger, STUN_BINDING);
    stun_put_bytes(&out, STUN_USERNAME, "a:b", 3);
    int len = stun_finish(&out, "key", 3, false);
    tw_raw(world, &stranger, stranger.out, (size_t)len);
    assert_int_equal(world->reply.class, STUN_SUCCESS);
    assert_false(stun_has(&world->reply, STUN_MESSAGE_INTEGRITY));
}

static void binding_with_unknown_attributes(void **state)
{
    struct writer out = tw_begin(&stranger, STUN_BINDING);
    write_u32(&out, 0x00030004); // CHANGE-REQUEST
    write_u32(&out, 6);
    assert_int_equal(tw_send(world, &stranger, &out), 420);
    assert_int_equal(world->reply.attr[STUN_UNKNOWN_ATTRIBUTES].len, 2);
    out = tw_begin(&stranger, STUN_BINDING);
    write_u32(&out, 0x80700000);
    assert_int_equal(tw_send(world, &stranger, &out), 0);
    out = tw_begin(&stranger, STUN_BINDING);
    write_u32(&out, 0x00240000); // PRIORITY without its value
    assert_int_equal(tw_send(world, &stranger, &out), 400);
}

// clang-format off
static const uint8_t old_request[] = {
    0x00, 0x01, // Binding request
    0x00, 0x08, // length
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, // transaction id of 16 bytes, no cookie
    0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
    0x00, 0x03, 0x00, 0x04, // CHANGE-REQUEST
    0x00, 0x00, 0x00, 0x00, // neither address nor port
};
static const uint8_t old_answer[] = {
    0x01, 0x01, // Binding response
    0x00, 0x0c, // length
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
    0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
    0x00, 0x01, 0x00, 0x08, // MAPPED-ADDRESS
    0x00, 0x01, 0x0f, 0xa0, // IPv4, port 4000
    198, 51, 100, 2,
};
// clang-format on

static void binding_of_rfc_3489(void **state)
{
    uint8_t request[sizeof old_request];
    unsigned before = world->sents;
    tw_raw(world, &stranger, old_request, sizeof old_request);
    assert_int_equal(world->sents, before + 1);
    const struct tw_sent *sent = &world->sent[before % TW_LOG];
    assert_int_equal(sent->len, sizeof old_answer);
    assert_memory_equal(sent->data, old_answer, sizeof old_answer);
    assert_int_equal(tw_counter(world, COUNTER_TURN_BINDING_OLD), 1);
    struct tw_client six = tw_client(world, "2001:db8:1::2", 4000);
    tw_raw(world, &six, old_request, sizeof old_request);
    assert_int_equal(world->sent[(before + 1) % TW_LOG].len, 44);
    // Another address or port to answer from, somebody else to answer to, another message.
    static const struct {
        unsigned at;
        uint8_t value;
    } odd[] = {{27, 2}, {27, 4}, {21, 2}, {1, 2}, {0, 1}, {3, 4}, {3, 12}, {23, 5}};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        memcpy(request, old_request, sizeof request);
        request[odd[i].at] = odd[i].value;
        before = world->sents;
        tw_raw(world, &stranger, request, sizeof request);
        assert_int_equal(world->sents, before);
    }
    for (size_t len = 1; len < sizeof old_request; len++) {
        tw_raw(world, &stranger, old_request, len);
        assert_int_equal(world->sents, before);
    }
    world->config.old_stun = false;
    tw_raw(world, &stranger, old_request, sizeof old_request);
    assert_int_equal(world->sents, before);
}

// Google's dialect of ICE has user names there, which nobody pads.
static void binding_of_google_talk(void **state)
{
    uint8_t request[] = {
        0x00, 0x01, 0x00, 0x0b,                                                 // Binding request
        0,    1,    2,    3,    4,   5,   6,   7, 8, 9, 10, 11, 12, 13, 14, 15, // transaction id
        0x00, 0x06, 0x00, 0x07,                                                 // USERNAME
        'r',  'o',  'm',  'j',  'u', 'l', 'i',
    };
    unsigned before = world->sents;
    tw_raw(world, &stranger, request, sizeof request);
    assert_int_equal(world->sents, before + 1);
    assert_int_equal(world->sent[before % TW_LOG].len, 32); // 31 bytes ask for it
    // A relay of that time is nothing that we are.
    request[1] = 3;
    tw_raw(world, &stranger, request, sizeof request);
    assert_int_equal(world->sents, before + 1);
}

// RFC 8489 section 11: "DTLS MUST NOT be used with classic STUN ... all requests MUST generate a
// 500 (Server Error) error response, and indications MUST be ignored".
static void nothing_old_over_dtls(void **state)
{
    // clang-format off
    static const uint8_t refusal[] = {
        0x01, 0x11, // Binding error response
        0x00, 0x08, // length
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
        0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
        0x00, 0x09, 0x00, 0x04, // ERROR-CODE
        0x00, 0x00, 0x05, 0x00, // 500
    };
    // clang-format on
    uint8_t indication[sizeof old_request];
    stranger.at.transport = TURN_DTLS;
    unsigned before = world->sents;
    tw_raw(world, &stranger, old_request, sizeof old_request);
    assert_int_equal(world->sents, before + 1);
    const struct tw_sent *sent = &world->sent[before % TW_LOG];
    assert_int_equal(sent->len, sizeof refusal);
    assert_memory_equal(sent->data, refusal, sizeof refusal);
    assert_int_equal(tw_counter(world, COUNTER_TURN_500), 1);
    memcpy(indication, old_request, sizeof indication);
    indication[1] = 0x11;
    tw_raw(world, &stranger, indication, sizeof indication);
    assert_int_equal(world->sents, before + 1);
}

static void what_is_not_answered(void **state)
{
    static const struct {
        enum stun_class class;
        uint16_t method;
    } messages[] = {
        {STUN_SUCCESS, STUN_BINDING},
        {STUN_ERROR, STUN_BINDING},
        {STUN_INDICATION, STUN_BINDING},
        {STUN_INDICATION, STUN_ALLOCATE},
        {STUN_REQUEST, 0x002},
        {STUN_REQUEST, 0x00a},
        {STUN_REQUEST, 0xfff},
        {STUN_REQUEST, STUN_SEND_INDICATION},
        {STUN_SUCCESS, STUN_ALLOCATE},
        {STUN_INDICATION, STUN_DATA_INDICATION},
        {STUN_REQUEST, STUN_DATA_INDICATION},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        struct writer out = stun_begin(stranger.out, sizeof stranger.out, messages[i].class,
                                       messages[i].method, (const uint8_t[STUN_TXID_LEN]){9});
        int len = stun_finish(&out, NULL, 0, false);
        assert_int_equal(tw_raw(world, &stranger, stranger.out, (size_t)len), TURN_CONSUME);
        assert_null(world->reply.data);
    }
}

// ---- sizes ----

static struct writer begin(uint16_t method, bool sign)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    struct writer out = tw_begin(&stranger, method);
    if (method == STUN_ALLOCATE && sign)
        stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    if (method == STUN_CHANNEL_BIND && sign)
        stun_put_u32(&out, STUN_CHANNEL_NUMBER, 0x40000000);
    if ((method == STUN_CREATE_PERMISSION || method == STUN_CHANNEL_BIND) && sign)
        stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    return out;
}

static void answers_and_their_requests(void **state)
{
    static const struct {
        uint16_t method;
        bool sign, fingerprint, old;
        size_t request, answer;
    } rows[] = {
        {STUN_BINDING, true, false, false, 20, 32},
        {STUN_BINDING, true, true, false, 28, 40},
        {STUN_ALLOCATE, true, false, false, 28, 84},
        {STUN_ALLOCATE, true, false, true, 28, 60},
        {STUN_ALLOCATE, false, false, false, 20, 72},
        {STUN_REFRESH, true, false, false, 20, 28},
        {STUN_CREATE_PERMISSION, true, false, false, 32, 28},
        {STUN_CREATE_PERMISSION, false, false, false, 20, 28},
        {STUN_CHANNEL_BIND, true, false, false, 40, 28},
        {STUN_CHANNEL_BIND, false, false, false, 20, 28},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world->config.modern = !rows[i].old;
        stranger.fingerprint = rows[i].fingerprint;
        struct writer out = begin(rows[i].method, rows[i].sign);
        tw_send(world, &stranger, &out);
        assert_int_equal(stranger.out_len, rows[i].request);
        assert_int_equal(answered(), rows[i].answer);
    }
}

// RFC 8489 section 9.2.4 wants 401 for every request without credentials, and that is what those
// get for which it is no amplifier.
static void long_requests_get_their_challenge(void **state)
{
    static const struct {
        uint16_t method;
        bool sign;
        uint8_t padding; // so that request and challenge are alike
        int short_of_it;
    } rows[] = {
        {STUN_ALLOCATE, false, 60, -1},          {STUN_REFRESH, true, 60, 437},
        {STUN_CREATE_PERMISSION, true, 48, 437}, {STUN_CREATE_PERMISSION, false, 60, 437},
        {STUN_CHANNEL_BIND, true, 40, 437},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned less = 0; less <= 4; less += 4) {
            struct writer out = begin(rows[i].method, rows[i].sign);
            write_u32(&out, 0x80700000 | (rows[i].padding - less)); // nobody must understand it
            write_zeros(&out, rows[i].padding - less);
            assert_int_equal(tw_send(world, &stranger, &out), less ? rows[i].short_of_it : 401);
            assert_int_equal(stranger.out_len, 84 - less);
            assert_true(answered() <= stranger.out_len);
        }
    }
}

static void wrong_credentials_amplify_nothing(void **state)
{
    struct tw_client c = tw_client(world, "198.51.100.3", 1);
    c.password = "wrong";
    assert_int_equal(tw_allocate(world, &c), 401);
    assert_true(answered() < c.out_len);
    c.password = "password";
    c.at.remote.port++;
    assert_int_equal(tw_allocate(world, &c), 438);
    assert_true(answered() < c.out_len);
}

// Streams and DTLS have shown that they are where they say: they get what they ask for.
static void verified_sources_get_answers(void **state)
{
    for (int transport = TURN_TCP; transport <= TURN_DTLS; transport++) {
        stranger.at.transport = (enum turn_transport)transport;
        struct writer out = begin(STUN_ALLOCATE, false);
        assert_int_equal(tw_send(world, &stranger, &out), 401);
        out = begin(STUN_REFRESH, false);
        assert_int_equal(tw_send(world, &stranger, &out), 401);
        out = begin(STUN_CHANNEL_BIND, false);
        assert_int_equal(tw_send(world, &stranger, &out), 401);
    }
}

// ---- limits ----

static void limit(unsigned per_second, unsigned burst)
{
    world->config.answers_per_second = per_second;
    world->config.answers_burst = burst;
}

static unsigned flood(struct tw_client *c, unsigned n, bool allocate)
{
    unsigned before = world->sents;
    for (unsigned i = 0; i < n; i++) {
        struct writer out = allocate ? begin(STUN_ALLOCATE, true) : tw_begin(c, STUN_BINDING);
        if (allocate)
            tw_raw(world, c, stranger.out, (size_t)stun_finish(&out, NULL, 0, false));
        else
            tw_send(world, c, &out);
    }
    return world->sents - before;
}

// "all of 2,000 requests in one victim's name are answered": not here.
static void a_victim_gets_few_answers(void **state)
{
    limit(10, 50);
    assert_int_equal(flood(&stranger, 2000, true), 50);
    assert_int_equal(tw_counter(world, COUNTER_TURN_DROP_UNANSWERED), 1950);
    tw_wait(world, SECOND);
    assert_int_equal(flood(&stranger, 2000, false), 10);
    // Its whole /24 shares the bucket; the next one has its own.
    stranger.at.remote = tw_at("198.51.100.77", 1);
    assert_int_equal(flood(&stranger, 100, true), 0);
    stranger.at.remote = tw_at("198.51.101.2", 1);
    assert_int_equal(flood(&stranger, 100, true), 50);
    tw_wait(world, 3600 * SECOND);
    assert_int_equal(flood(&stranger, 100, true), 50);
}

static void prefixes_of_ipv6_are_56_bits(void **state)
{
    limit(1, 5);
    stranger = tw_client(world, "2001:db8:1:200::1", 1);
    stranger.plain = true;
    assert_int_equal(flood(&stranger, 10, false), 5);
    stranger.at.remote = tw_at("2001:db8:1:2ff::2", 1);
    assert_int_equal(flood(&stranger, 10, false), 0);
    stranger.at.remote = tw_at("2001:db8:1:300::1", 1);
    assert_int_equal(flood(&stranger, 10, false), 5);
}

// The limit is for those who may be a victim: not for users, streams, or answers that are short.
static void whom_the_limit_spares(void **state)
{
    limit(1, 2);
    struct tw_client user = tw_client(world, "198.51.100.2", 1);
    assert_int_equal(tw_allocate(world, &user), 0); // takes one, for its challenge
    assert_int_equal(flood(&stranger, 10, true), 1);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(tw_refresh(world, &user, 600), 0);
    user.plain = true;
    assert_int_equal(flood(&user, 20, false), 20); // it has an allocation there
    stranger.at.transport = TURN_TCP;
    assert_int_equal(flood(&stranger, 20, true), 20);
    stranger.at.transport = TURN_UDP;
    for (unsigned i = 0; i < 20; i++) {
        struct writer out = begin(STUN_CHANNEL_BIND, true);
        assert_int_equal(tw_send(world, &stranger, &out), 437);
    }
    tw_raw(world, &stranger, old_request, STUN_HEADER_LEN);
    unsigned before = world->sents;
    uint8_t bare[STUN_HEADER_LEN];
    memcpy(bare, old_request, sizeof bare);
    bare[3] = 0;
    tw_raw(world, &stranger, bare, sizeof bare);
    assert_int_equal(world->sents, before); // an old Binding is limited too
}

// Many prefixes at once push nobody's bucket out before their own is empty, and refuse nobody
// honest: each gets its burst.
static void many_prefixes(void **state)
{
    char ip[ADDR_TEXT_MAX];
    unsigned served = 0;
    limit(1, 3);
    stranger.plain = true;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 1000; i++) {
            snprintf(ip, sizeof ip, "20.%u.%u.1", i / 250, i % 250);
            stranger.at.remote = tw_at(ip, 1);
            served += flood(&stranger, 1, false);
        }
    }
    // Of 4,096 slots some sets are full; all others have counted well.
    assert_true(served >= 3000 && served <= 3100);
}

// ---- memory ----

// AddressSanitizer has an allocator of its own.
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t in_use(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    return mallinfo2().uordblks;
}

// 10,000 sources, and nothing is kept of any: asserted in allocated bytes.
static void ten_thousand_sources_leave_nothing(void **state)
{
    char ip[ADDR_TEXT_MAX];
    limit(10, 50);
    stranger.plain = true;
    flood(&stranger, 10, true);
    flood(&stranger, 10, false);
    size_t before = in_use();
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(ip, sizeof ip, "20.%u.%u.%u", i % 50, i / 250, i % 250);
        stranger.at.remote = tw_at(ip, (uint16_t)(1024 + i));
        assert_int_equal(flood(&stranger, 1, true), 1);
        flood(&stranger, 1, false);
    }
    size_t after = in_use();
    if (after > before + 1000) // what the C library and OpenSSL keep for themselves
        fail_msg("grown by %zu bytes", after - before);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 0);
    assert_int_equal(world->opens, 0);
}

static struct tw_client crowd[500];

// What one allocation costs with a permission and a channel.
static void memory_of_an_allocation(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    world->per_user = world->total = 500;
    size_t before = in_use();
    for (uint16_t i = 0; i < 500; i++) {
        crowd[i] = tw_client(world, "198.51.100.2", (uint16_t)(i + 1));
        tw_rest(&crowd[i], "north-north-north", TW_WALL + 60, "romeo@montague.lit");
        assert_int_equal(tw_allocate(world, &crowd[i]), 0);
        assert_int_equal(tw_bind(world, &crowd[i], 0x4000, &peer), 0);
    }
    size_t each = (in_use() - before) / 500;
    printf("an allocation takes %zu bytes\n", each);
    assert_true(each < 1024);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(binding),
        CASE(binding_with_credentials),
        CASE(binding_with_unknown_attributes),
        CASE(binding_of_rfc_3489),
        CASE(binding_of_google_talk),
        CASE(nothing_old_over_dtls),
        CASE(what_is_not_answered),
        CASE(answers_and_their_requests),
        CASE(long_requests_get_their_challenge),
        CASE(wrong_credentials_amplify_nothing),
        CASE(verified_sources_get_answers),
        CASE(a_victim_gets_few_answers),
        CASE(prefixes_of_ipv6_are_56_bits),
        CASE(whom_the_limit_spares),
        CASE(many_prefixes),
        CASE(ten_thousand_sources_leave_nothing),
        CASE(memory_of_an_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
