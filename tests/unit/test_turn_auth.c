// SPDX-License-Identifier: ISC
// Who may allocate: the long-term mechanism of RFC 8489 section 9.2.4 with TURN REST and static
// users, MD5 and SHA-256, nonces that are stale, forged or somebody else's, and credentials that
// expire or rotate while a call runs.
#include "lib/turn_world.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC
#define SECRET "north-north-north"

static struct tw *world;
static struct tw_client alice;

static int set_up(void **state)
{
    world = tw_new();
    tw_start(world);
    alice = tw_client(world, "198.51.100.2", 4000);
    return 0;
}

static int tear_down(void **state)
{
    tw_free(world);
    return 0;
}

static void reconfigure(void)
{
    assert_int_equal(turn_set_config(world->turn, &world->config), 0);
}

static void text_is(enum stun_attr attr, const char *text)
{
    const struct stun_view *view = &world->reply.attr[attr];
    assert_int_equal(view->len, strlen(text));
    assert_memory_equal(view->data, text, view->len);
}

// ---- challenges ----

static void the_challenge(void **state)
{
    alice.plain = true;
    assert_int_equal(tw_allocate(world, &alice), 401);
    const struct stun_view *nonce = &world->reply.attr[STUN_NONCE];
    text_is(STUN_REALM, "example.org");
    assert_int_equal(nonce->len, 24);
    // The cookie, and of 24 feature bits the first: password algorithms.
    assert_memory_equal(nonce->data, "obMatJos2gAAA", 13);
    static const uint8_t algorithms[] = {0, 2, 0, 0, 0, 1, 0, 0};
    assert_int_equal(world->reply.attr[STUN_PASSWORD_ALGORITHMS].len, sizeof algorithms);
    assert_memory_equal(world->reply.attr[STUN_PASSWORD_ALGORITHMS].data, algorithms,
                        sizeof algorithms);
    assert_false(stun_has(&world->reply, STUN_MESSAGE_INTEGRITY));
    assert_false(stun_has(&world->reply, STUN_INTEGRITY_SHA256));
    assert_false(stun_has(&world->reply, STUN_USERNAME));
    assert_false(stun_has(&world->reply, STUN_SOFTWARE));
    assert_int_equal(tw_counter(world, COUNTER_TURN_AUTH_NONE), 1);
    // The reason is for those who can afford it.
    assert_int_equal(world->reply.attr[STUN_ERROR_CODE].len, 4);
    alice.at.transport = TURN_TLS;
    assert_int_equal(tw_allocate(world, &alice), 401);
    assert_int_equal(world->reply.attr[STUN_ERROR_CODE].len, 4 + strlen("Unauthenticated"));
}

static void the_challenge_of_rfc_5389(void **state)
{
    world->config.modern = false;
    reconfigure();
    alice.plain = true;
    assert_int_equal(tw_allocate(world, &alice), 401);
    assert_int_equal(world->reply.attr[STUN_NONCE].len, 11);
    assert_false(stun_has(&world->reply, STUN_PASSWORD_ALGORITHMS));
    alice.plain = false;
    assert_int_equal(tw_allocate(world, &alice), 0);
}

// "The server MUST NOT choose the same NONCE for two requests unless they have the same source IP
// address and port."
static void nonces_differ_by_address(void **state)
{
    static const struct {
        const char *ip;
        uint16_t port;
    } from[] = {
        {"198.51.100.2", 4000},  {"198.51.100.2", 4001},  {"198.51.100.3", 4000},
        {"2001:db8:1::1", 4000}, {"2001:db8:1::2", 4000},
    };
    char seen[5][32];
    for (unsigned i = 0; i < 5; i++) {
        struct tw_client c = tw_client(world, from[i].ip, from[i].port);
        c.plain = true;
        assert_int_equal(tw_allocate(world, &c), 401);
        tw_learn(world, &c);
        memcpy(seen[i], c.nonce, 25);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
        assert_int_equal(tw_allocate(world, &c), 401);
        tw_learn(world, &c);
        assert_string_equal(seen[i], c.nonce);
    }
}

// "but is missing either the USERNAME or USERHASH, REALM, or NONCE attribute ... 400".
static void incomplete_credentials(void **state)
{
    for (unsigned lacking = 0; lacking < 3; lacking++) {
        struct writer out = tw_begin(&alice, STUN_ALLOCATE);
        stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
        if (lacking != 0)
            stun_put_bytes(&out, STUN_USERNAME, "static", 6);
        if (lacking != 1)
            stun_put_bytes(&out, STUN_REALM, "example.org", 11);
        if (lacking != 2)
            stun_put_bytes(&out, STUN_NONCE, "nonce", 5);
        int len = stun_finish(&out, "key", 3, false);
        tw_raw(world, &alice, alice.out, (size_t)len);
        assert_int_equal(stun_error_code(&world->reply), 400);
        assert_false(stun_has(&world->reply, STUN_NONCE));
        assert_false(stun_has(&world->reply, STUN_REALM));
        assert_false(stun_has(&world->reply, STUN_MESSAGE_INTEGRITY));
    }
    assert_int_equal(tw_counter(world, COUNTER_TURN_AUTH_INCOMPLETE), 3);
}

// ---- users ----

static void wrong_names_and_passwords(void **state)
{
    static const struct {
        const char *user, *password;
        enum counter reason;
    } cases[] = {
        {"static", "Password", COUNTER_TURN_AUTH_INTEGRITY},
        {"static", "", COUNTER_TURN_AUTH_INTEGRITY},
        {"stati", "password", COUNTER_TURN_AUTH_USER},
        {"static2", "password", COUNTER_TURN_AUTH_USER},
        {"", "password", COUNTER_TURN_AUTH_USER},
        {"x1700000060:romeo", "password", COUNTER_TURN_AUTH_USER},
        {"1700000060romeo", "password", COUNTER_TURN_AUTH_USER},
        {"17000000600000000:romeo", "password", COUNTER_TURN_AUTH_USER},
        {"1700000060:romeo", "password", COUNTER_TURN_AUTH_INTEGRITY},
        {":romeo", "password", COUNTER_TURN_AUTH_USER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t before = tw_counter(world, cases[i].reason);
        alice.user = cases[i].user;
        alice.password = cases[i].password;
        assert_int_equal(tw_allocate(world, &alice), 401);
        assert_int_equal(tw_counter(world, cases[i].reason), before + 1);
        text_is(STUN_REALM, "example.org");
        assert_true(stun_has(&world->reply, STUN_NONCE));
        assert_true(stun_has(&world->reply, STUN_PASSWORD_ALGORITHMS));
    }
    assert_int_equal(tw_ports_open(world), 0);
}

static void a_name_with_a_nul(void **state)
{
    // Signed as a service that does not look at its users' names would sign it.
    static const char name[] = "1700000060:ro\0meo";
    const int name_len = sizeof name - 1;
    char text[128];
    uint8_t mac[20], password[32], key[16];
    unsigned len = sizeof mac;
    HMAC(EVP_sha1(), SECRET, (int)strlen(SECRET), (const uint8_t *)name, sizeof name - 1, mac,
         &len);
    EVP_EncodeBlock(password, mac, sizeof mac);
    memcpy(text, name, sizeof name - 1);
    int more = snprintf(text + name_len, sizeof text - sizeof name, ":example.org:%s", password);
    EVP_Digest(text, (size_t)(name_len + more), key, &len, EVP_md5(), NULL);

    assert_int_equal(tw_allocate(world, &alice), 0); // for a nonce
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    struct writer out = tw_begin(&alice, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_bytes(&out, STUN_USERNAME, name, sizeof name - 1);
    stun_put_bytes(&out, STUN_REALM, "example.org", 11);
    stun_put_bytes(&out, STUN_NONCE, alice.nonce, strlen(alice.nonce));
    int size = stun_finish(&out, key, sizeof key, false);
    tw_raw(world, &alice, alice.out, (size_t)size);
    assert_int_equal(stun_error_code(&world->reply), 401);
    assert_int_equal(tw_counter(world, COUNTER_TURN_AUTH_USER), 1);
}

static void a_name_as_long_as_may_be(void **state)
{
    static char identity[600];
    memset(identity, 'r', 585);
    tw_rest(&alice, SECRET, TW_WALL + 60, identity);
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
}

// The values of specs that were recomputed: "north" and 1700000000:romeo give this password.
static void rest_vectors(void **state)
{
    world->secret[0].text = "north";
    reconfigure();
    turn_set_clock(world->turn, 1699999999 * (int64_t)SECOND - (int64_t)world->now);
    alice.user = "1700000000:romeo";
    alice.password = "4KwdPuiw7rP0eTOUtzAaK6ZMiSs=";
    assert_int_equal(tw_allocate(world, &alice), 0);
    struct tw_client bare = tw_client(world, "198.51.100.3", 1);
    bare.user = "1700000000";
    bare.password = "CWyHi3zCeWqXBir9thl4m+iZPRY=";
    assert_int_equal(tw_allocate(world, &bare), 0);
    assert_int_equal(tw_charged(world, "198.51.100.3"), 1);
    struct tw_client v6 = tw_client(world, "2001:db8:1:2:3:4:5:6", 1);
    v6.user = bare.user;
    v6.password = bare.password;
    assert_int_equal(tw_allocate(world, &v6), 0);
    assert_int_equal(tw_charged(world, "2001:db8:1:2::/64"), 1);
}

static void an_expired_credential(void **state)
{
    tw_rest(&alice, SECRET, TW_WALL, "romeo");
    assert_int_equal(tw_allocate(world, &alice), 401);
    assert_int_equal(tw_counter(world, COUNTER_TURN_AUTH_EXPIRED), 1);
    tw_rest(&alice, SECRET, TW_WALL + 1, "romeo");
    assert_int_equal(tw_allocate(world, &alice), 0);
}

// "a grace so that a call in progress refreshes past expiry".
static void the_grace_of_a_running_call(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    tw_rest(&alice, SECRET, TW_WALL + 60, "romeo");
    assert_int_equal(tw_allocate(world, &alice), 0);
    tw_wait(world, 300 * SECOND);
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    // Only for that call: not for another, and not for another name.
    struct tw_client other = tw_client(world, "198.51.100.3", 1);
    other.user = alice.user;
    other.password = alice.password;
    assert_int_equal(tw_allocate(world, &other), 401);
    struct tw_client thief = alice;
    tw_rest(&thief, SECRET, TW_WALL + 61, "romeo");
    assert_int_equal(tw_refresh(world, &thief, 600), 401);
    tw_wait(world, 1559 * SECOND); // 1,800 s of grace have 1 s left
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    tw_wait(world, SECOND);
    assert_int_equal(tw_refresh(world, &alice, 3600), 401);
    // It ends as it would have without the request.
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 1);
    tw_wait(world, 3600 * SECOND);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 0);
}

static void without_grace(void **state)
{
    world->config.expiry_grace = 0;
    tw_rest(&alice, SECRET, TW_WALL + 60, "romeo");
    assert_int_equal(tw_allocate(world, &alice), 0);
    tw_wait(world, 59 * SECOND);
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    tw_wait(world, SECOND);
    assert_int_equal(tw_refresh(world, &alice, 600), 401);
    world->config.expiry_grace = UINT64_MAX; // for ever
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
}

// A replaced secret is good for a while, without anybody taking it away.
static void an_old_secret_ends(void **state)
{
    world->secret[0].text = "south-south-south";
    world->secret[1] = (struct turn_secret){SECRET, world->now + 60 * SECOND};
    world->config.secrets = 2;
    reconfigure();
    struct tw_client before = tw_client(world, "198.51.100.3", 1);
    struct tw_client after = tw_client(world, "198.51.100.3", 2);
    tw_rest(&before, SECRET, TW_WALL + 3600, "juliet");
    tw_rest(&after, SECRET, TW_WALL + 3600, "juliet");
    assert_int_equal(tw_allocate(world, &before), 0);
    tw_wait(world, 60 * SECOND);
    assert_int_equal(tw_allocate(world, &after), 401);
    tw_rest(&after, "south-south-south", TW_WALL + 3600, "juliet");
    assert_int_equal(tw_allocate(world, &after), 0);
    assert_int_equal(tw_refresh(world, &before, 600), 0); // an allocation keeps its key
}

static void rotation_of_secrets(void **state)
{
    struct tw_client old = tw_client(world, "198.51.100.3", 1);
    tw_rest(&alice, "south-south-south", TW_WALL + 60, "romeo");
    tw_rest(&old, SECRET, TW_WALL + 60, "juliet");
    assert_int_equal(tw_allocate(world, &alice), 401);
    world->secret[1].text = SECRET;
    world->secret[0].text = "south-south-south";
    world->config.secrets = 2;
    reconfigure();
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_allocate(world, &old), 0);
    // The old one is gone: not for the call that it began.
    world->config.secrets = 1;
    reconfigure();
    assert_int_equal(tw_refresh(world, &old, 600), 0);
    assert_int_equal(tw_permit(world, &old, "192.0.2.1"), 0);
    struct tw_client late = tw_client(world, "198.51.100.4", 1);
    late.user = old.user;
    late.password = old.password;
    assert_int_equal(tw_allocate(world, &late), 401);
    world->config.secrets = world->config.users = 0;
    reconfigure();
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    assert_int_equal(tw_allocate(world, &late), 401);
}

// ---- nonces ----

static void a_stale_nonce(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    for (unsigned i = 0; i < 12; i++) {
        tw_wait(world, 300 * SECOND - (i == 11 ? 10 * SECOND : 0));
        assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    }
    tw_wait(world, 20 * SECOND);
    assert_int_equal(tw_refresh(world, &alice, 3600), 438);
    text_is(STUN_REALM, "example.org");
    assert_true(stun_has(&world->reply, STUN_PASSWORD_ALGORITHMS));
    assert_false(stun_has(&world->reply, STUN_USERNAME));
    char old[128];
    memcpy(old, alice.nonce, sizeof old);
    tw_learn(world, &alice);
    assert_string_not_equal(old, alice.nonce);
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_AUTH_NONCE), 1);
}

// RFC 8489 section 9.2.4 has the integrity checked before the nonce.
static void a_wrong_password_comes_before_a_stale_nonce(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    tw_wait(world, 500 * SECOND);
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    tw_wait(world, 3500 * SECOND);
    struct tw_client wrong = alice;
    wrong.password = "wrong";
    assert_int_equal(tw_refresh(world, &wrong, 3600), 401);
    assert_int_equal(tw_refresh(world, &alice, 3600), 438);
}

static void a_nonce_of_another_address(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    static const struct {
        const char *ip;
        uint16_t port;
        enum turn_transport transport;
    } others[] = {
        {"198.51.100.2", 4001, TURN_UDP},
        {"198.51.100.3", 4000, TURN_UDP},
        {"198.51.100.2", 4000, TURN_TCP},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct tw_client c = tw_client(world, others[i].ip, others[i].port);
        c.at.transport = others[i].transport;
        memcpy(c.nonce, alice.nonce, sizeof c.nonce);
        memcpy(c.realm, alice.realm, sizeof c.realm);
        assert_int_equal(tw_allocate(world, &c), 438);
        tw_learn(world, &c);
        assert_int_equal(tw_allocate(world, &c), 0);
    }
}

// Clients of RFC 6062 know the nonce of another connection.
static void a_nonce_of_another_stream(void **state)
{
    static const struct {
        const char *ip;
        enum turn_transport transport;
        int code;
    } others[] = {
        {"198.51.100.2", TURN_TCP, 0},    {"198.51.100.3", TURN_TCP, 438},
        {"198.51.100.2", TURN_TLS, 438},  {"198.51.100.2", TURN_UDP, 438},
        {"198.51.100.2", TURN_DTLS, 438},
    };
    alice.at.transport = TURN_TCP;
    assert_int_equal(tw_allocate(world, &alice), 0);
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct tw_client c = tw_client(world, others[i].ip, (uint16_t)(5000 + i));
        c.at.transport = others[i].transport;
        memcpy(c.nonce, alice.nonce, sizeof c.nonce);
        memcpy(c.realm, alice.realm, sizeof c.realm);
        assert_int_equal(tw_allocate(world, &c), others[i].code);
    }
    // Nor is it chosen for any of them.
    struct tw_client other = tw_client(world, "198.51.100.2", 6000);
    other.at.transport = TURN_TCP;
    other.plain = true;
    assert_int_equal(tw_allocate(world, &other), 401);
    tw_learn(world, &other);
    assert_string_not_equal(other.nonce, alice.nonce);
}

// Every character counts, and so does every length.
static void a_forged_nonce(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    char good[128];
    memcpy(good, alice.nonce, sizeof good);
    for (size_t i = 0; good[i]; i++) {
        static const char other[] = "AB+/=\"\x7f";
        for (const char *p = other; *p; p++) {
            memcpy(alice.nonce, good, sizeof good);
            if (alice.nonce[i] == *p)
                continue;
            alice.nonce[i] = *p;
            assert_int_equal(tw_refresh(world, &alice, 600), 438);
        }
    }
    for (size_t len = 1; len < 24; len++) {
        memcpy(alice.nonce, good, sizeof good);
        alice.nonce[len] = '\0';
        assert_int_equal(tw_refresh(world, &alice, 600), 438);
    }
    memcpy(alice.nonce, good, sizeof good);
    memcpy(alice.nonce + 24, "A", 2);
    assert_int_equal(tw_refresh(world, &alice, 600), 438);
    memcpy(alice.nonce, good, sizeof good);
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
}

// The 16 bits of expiry in a nonce come round again after 73 hours; the nonce does not.
static void an_old_nonce_does_not_come_back(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        world->now += 65536 * 4 * SECOND;
        assert_int_equal(tw_allocate(world, &alice), 438);
    }
}

static void nonces_of_another_key(void **state)
{
    struct tw *other = tw_new();
    memset(other->config.nonce_key, 1, sizeof other->config.nonce_key);
    tw_start(other);
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_allocate(other, &alice), 438);
    tw_free(other);
    // Workers share it.
    other = tw_new();
    tw_start(other);
    assert_int_equal(tw_allocate(other, &alice), 0);
    tw_free(other);
}

// ---- algorithms ----

static void sha256(void **state)
{
    alice.sha256 = true;
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_false(stun_has(&world->reply, STUN_MESSAGE_INTEGRITY));
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    assert_int_equal(tw_permit(world, &alice, "10.0.0.1"), 403); // errors too
    struct tw_client rest = tw_client(world, "198.51.100.3", 1);
    tw_rest(&rest, SECRET, TW_WALL + 60, "romeo");
    rest.sha256 = true;
    assert_int_equal(tw_allocate(world, &rest), 0);
    rest.password = "wrong";
    assert_int_equal(tw_refresh(world, &rest, 600), 401);
    // A client that began with one may go on with the other.
    alice.sha256 = false;
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
}

// The lines between client and server, one by one, as somebody on the path could rewrite them.
static void bidding_down(void **state)
{
    static const uint8_t swapped[] = {0, 1, 0, 0, 0, 2, 0, 0}, md5[] = {0, 1, 0, 0};
    static const uint8_t longer[] = {0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0};
    alice.sha256 = true;
    assert_int_equal(tw_allocate(world, &alice), 0);
    static const struct {
        const uint8_t *list;
        unsigned len;
    } cases[] = {{swapped, 8}, {md5, 4}, {longer, 12}};
    for (unsigned i = 0; i < 3; i++) {
        struct tw_client c = alice;
        memcpy(c.algorithms, cases[i].list, cases[i].len);
        c.algorithms_len = cases[i].len;
        c.unprotected = true;
        assert_int_equal(tw_refresh(world, &c, 600), 400);
        assert_false(stun_has(&world->reply, STUN_MESSAGE_INTEGRITY));
    }
    assert_int_equal(tw_counter(world, COUNTER_TURN_AUTH_ALGORITHM), 3);
    // The feature bit removed from the nonce.
    memcpy(alice.nonce, "obMatJos2AAAA", 13);
    alice.sha256 = false;
    assert_int_equal(tw_refresh(world, &alice, 600), 438);
}

static void put_algorithms(struct writer *out, bool list, bool one, uint8_t algorithm)
{
    static const uint8_t both[] = {0, 2, 0, 0, 0, 1, 0, 0};
    const uint8_t chosen[] = {0, algorithm, 0, 0};
    if (list)
        stun_put_bytes(out, STUN_PASSWORD_ALGORITHMS, both, sizeof both);
    if (one)
        stun_put_bytes(out, STUN_PASSWORD_ALGORITHM, chosen, sizeof chosen);
}

// "unless (1) PASSWORD-ALGORITHM and PASSWORD-ALGORITHMS are both present ... (3) matches one of
// the entries".
static void algorithms_in_part(void **state)
{
    static const struct {
        bool list, one;
        uint8_t algorithm;
        int code;
    } cases[] = {
        {true, false, 0, 400}, {false, true, 2, 400}, {false, true, 1, 400},
        {true, true, 3, 400},  {true, true, 0, 400},  {true, true, 1, 0},
    };
    assert_int_equal(tw_allocate(world, &alice), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tw_client c = alice;
        struct writer out = tw_begin(&c, STUN_REFRESH);
        put_algorithms(&out, cases[i].list, cases[i].one, cases[i].algorithm);
        c.unprotected = true; // by MESSAGE-INTEGRITY
        assert_int_equal(tw_send(world, &c, &out), cases[i].code);
        assert_false(stun_has(&world->reply, STUN_MESSAGE_INTEGRITY));
        assert_int_equal(stun_has(&world->reply, STUN_INTEGRITY_SHA256), cases[i].code == 0);
        if (cases[i].code != 0)
            continue;
        // MD5 chosen from the list: MESSAGE-INTEGRITY in, MESSAGE-INTEGRITY-SHA256 out.
        static const uint8_t key[16] = {
            // MD5 of "static:example.org:password"
            0x72, 0x81, 0x1b, 0xc9, 0xac, 0x4e, 0xe7, 0xa6, //
            0x20, 0xfe, 0x81, 0x0c, 0x33, 0x9d, 0x3c, 0xe6, //
        };
        assert_true(stun_check_sha256(&world->reply, key, sizeof key));
    }
}

// A truncated HMAC would be easier to guess.
static void a_short_sha256(void **state)
{
    alice.sha256 = true;
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    alice.out[alice.out_len - 33] = 16;
    alice.out[3] = (uint8_t)(alice.out[3] - 16);
    alice.out_len -= 16;
    assert_int_equal(tw_again(world, &alice), 401);
}

static void userhash(void **state)
{
    // TURN REST names cannot be found by their hash, so anonymity is offered only without secrets.
    world->config.secrets = 0;
    reconfigure();
    alice.userhash = alice.sha256 = true;
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_memory_equal(alice.nonce, "obMatJos2wAAA", 13);
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    alice.user = "somebody";
    assert_int_equal(tw_refresh(world, &alice, 600), 401);
    assert_int_equal(tw_charged(world, "static"), 1);
    // A static user is found although it was not offered.
    world->config.secrets = 1;
    reconfigure();
    struct tw_client c = tw_client(world, "198.51.100.3", 1);
    c.userhash = true;
    assert_int_equal(tw_allocate(world, &c), 0);
    tw_rest(&c, SECRET, TW_WALL + 60, "romeo");
    c.at.remote.port++;
    c.nonce[0] = '\0';
    assert_int_equal(tw_allocate(world, &c), 401);
}

static void fingerprint_is_returned(void **state)
{
    // The helper asserts that each answer has it, or has it not.
    alice.fingerprint = true;
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_permit(world, &alice, "10.0.0.1"), 403);
    alice.sha256 = true;
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    alice.plain = true;
    assert_int_equal(tw_refresh(world, &alice, 600), 401);
    alice.fingerprint = false;
    assert_int_equal(tw_refresh(world, &alice, 600), 401);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_challenge),
        CASE(the_challenge_of_rfc_5389),
        CASE(nonces_differ_by_address),
        CASE(incomplete_credentials),
        CASE(wrong_names_and_passwords),
        CASE(a_name_with_a_nul),
        CASE(a_name_as_long_as_may_be),
        CASE(rest_vectors),
        CASE(an_expired_credential),
        CASE(the_grace_of_a_running_call),
        CASE(without_grace),
        CASE(an_old_secret_ends),
        CASE(rotation_of_secrets),
        CASE(a_stale_nonce),
        CASE(a_wrong_password_comes_before_a_stale_nonce),
        CASE(a_nonce_of_another_address),
        CASE(a_nonce_of_another_stream),
        CASE(a_forged_nonce),
        CASE(an_old_nonce_does_not_come_back),
        CASE(nonces_of_another_key),
        CASE(sha256),
        CASE(bidding_down),
        CASE(algorithms_in_part),
        CASE(a_short_sha256),
        CASE(userhash),
        CASE(fingerprint_is_returned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
