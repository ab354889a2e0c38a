// SPDX-License-Identifier: ISC
// Allocate and Refresh (RFC 8656 sections 5, 7.2 and 8.2): every check with its error code, what an
// answer holds, retransmissions, quotas and limits, and that a refused request leaves nothing.
#include "lib/turn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC
#define UDP    (17u << 24)
#define V4     (1u << 24)
#define V6     (2u << 24)

static struct tw *world;
static struct tw_client alice, bob;

static int set_up(void **state)
{
    world = tw_new();
    tw_start(world);
    alice = tw_client(world, "198.51.100.2", 4000);
    bob = tw_client(world, "198.51.100.3", 4000);
    return 0;
}

static int tear_down(void **state)
{
    tw_free(world);
    return 0;
}

// Attributes of a request, to be sent together.
struct with {
    enum stun_attr attr;
    uint64_t value; // EVEN-PORT: the byte; flags: ignored
};

static int send_with(struct tw_client *c, uint16_t method, const struct with *with, size_t n)
{
    struct writer out = tw_begin(c, method);
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)with[i].value;
        if (stun_attr_rows[with[i].attr].value == STUN_VALUE_NONE)
            stun_put_flag(&out, with[i].attr);
        else if (stun_attr_rows[with[i].attr].value == STUN_VALUE_U64)
            stun_put_u64(&out, with[i].attr, with[i].value);
        else if (with[i].attr == STUN_EVEN_PORT)
            stun_put_bytes(&out, with[i].attr, &byte, 1);
        else if (with[i].attr == STUN_MOBILITY_TICKET)
            stun_put_bytes(&out, with[i].attr, "ticket", with[i].value);
        else
            stun_put_u32(&out, with[i].attr, (uint32_t)with[i].value);
    }
    return tw_send(world, c, &out);
}

#define WITH(client, method, ...)                                                                  \
    send_with(client, method, (const struct with[]){__VA_ARGS__},                                  \
              sizeof((const struct with[]){__VA_ARGS__}) / sizeof(struct with))
#define ALLOCATE(client, ...)                                                                      \
    WITH(client, STUN_ALLOCATE, {STUN_REQUESTED_TRANSPORT, UDP}, __VA_ARGS__)

static void leaves_nothing(void)
{
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 0);
    assert_int_equal(tw_ports_open(world), 0);
    for (unsigned i = 0; i < TW_USERS; i++)
        assert_int_equal(world->charges[i], 0);
    assert_int_equal(world->opens, 0);
}

static void the_answer(void **state)
{
    struct addr mapped;
    world->config.software = "test";
    assert_int_equal(turn_set_config(world->turn, &world->config), 0);
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(stun_addr(&world->reply, STUN_XOR_MAPPED_ADDRESS, &mapped), 0);
    assert_true(addr_equal(&mapped, &alice.at.remote));
    struct addr relayed = tw_relayed(world, 0);
    assert_true(addr_equal(&relayed, &world->port[0].addr));
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 600);
    assert_memory_equal(world->reply.attr[STUN_SOFTWARE].data, "test", 4);
    assert_false(stun_has(&world->reply, STUN_RESERVATION_TOKEN));
    assert_false(stun_has(&world->reply, STUN_MOBILITY_TICKET));
    // RFC 8489 section 9.2.4: "SHOULD NOT be included".
    assert_false(stun_has(&world->reply, STUN_USERNAME));
    assert_false(stun_has(&world->reply, STUN_NONCE));
    assert_false(stun_has(&world->reply, STUN_REALM));
}

// The world is asked for the port before the answer, and for the families wanted only.
static void transport_is_checked(void **state)
{
    assert_int_equal(WITH(&alice, STUN_ALLOCATE, {STUN_LIFETIME, 600}), 400);
    assert_int_equal(WITH(&alice, STUN_ALLOCATE, {STUN_REQUESTED_TRANSPORT, 6u << 24}), 442);
    assert_int_equal(WITH(&alice, STUN_ALLOCATE, {STUN_REQUESTED_TRANSPORT, 17}), 442);
    // "MUST be ignored on reception": the reserved bytes.
    assert_int_equal(WITH(&alice, STUN_ALLOCATE, {STUN_REQUESTED_TRANSPORT, UDP | 0xffffff}), 0);
}

// "If the REQUESTED-TRANSPORT attribute ... is malformed, the server rejects ... with a 400".
static void malformed_attributes(void **state)
{
    static const uint16_t types[] = {0x0019, 0x000d, 0x0018, 0x0022, 0x0017, 0x001a, 0x8000};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct writer out = tw_begin(&alice, STUN_ALLOCATE);
        if (types[i] != 0x0019)
            stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, UDP);
        write_u16(&out, types[i]);
        write_u16(&out, 3);
        write_u32(&out, 0x11000000);
        assert_int_equal(tw_send(world, &alice, &out), 400);
    }
    leaves_nothing();
}

static void unknown_attributes(void **state)
{
    struct writer out = tw_begin(&alice, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, UDP);
    write_u32(&out, 0x7ffe0000);
    write_u32(&out, 0x00030000); // CHANGE-REQUEST, which RFC 5780 knows and we do not
    assert_int_equal(tw_send(world, &alice, &out), 420);
    static const uint8_t types[] = {0x7f, 0xfe, 0x00, 0x03};
    assert_int_equal(world->reply.attr[STUN_UNKNOWN_ATTRIBUTES].len, sizeof types);
    assert_memory_equal(world->reply.attr[STUN_UNKNOWN_ATTRIBUTES].data, types, sizeof types);
    leaves_nothing();
    out = tw_begin(&alice, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, UDP);
    write_u32(&out, 0x80700000); // may be ignored
    assert_int_equal(tw_send(world, &alice, &out), 0);
}

// Attacks have used it: what follows the integrity counts for nothing (RFC 8489 section 14.5).
static void attributes_after_the_integrity(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_refresh(world, &alice, 1200), 0);
    size_t len = alice.out_len;
    struct writer out = writer_over(alice.out, sizeof alice.out);
    out.p += len;
    stun_put_u32(&out, STUN_LIFETIME, 0);
    write_u32(&out, 0x7ffe0000);
    alice.out_len = (size_t)stun_finish(&out, NULL, 0, false);
    assert_int_equal(tw_again(world, &alice), 0);
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 1200);

    // The only LIFETIME behind the integrity, as an attacker on the path would append it.
    out = tw_begin(&alice, STUN_REFRESH);
    assert_int_equal(tw_send(world, &alice, &out), 0);
    out = writer_over(alice.out, sizeof alice.out);
    out.p += alice.out_len;
    stun_put_u32(&out, STUN_LIFETIME, 0);
    alice.out_len = (size_t)stun_finish(&out, NULL, 0, false);
    assert_int_equal(tw_again(world, &alice), 0);
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 600);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 1);
}

static void lifetimes(void **state)
{
    static const struct {
        uint32_t asked, granted;
    } cases[] = {
        {0, 600}, {1, 600}, {600, 600}, {601, 601}, {3600, 3600}, {3601, 3600}, {UINT32_MAX, 3600},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ALLOCATE(&alice, {STUN_LIFETIME, cases[i].asked}), 0);
        assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), cases[i].granted);
        if (cases[i].asked > 0) {
            assert_int_equal(tw_refresh(world, &alice, cases[i].asked), 0);
            assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), cases[i].granted);
        }
        tw_wait(world, cases[i].granted * SECOND - 1);
        assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 1);
        tw_wait(world, 1);
        assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 0);
        assert_int_equal(tw_ports_open(world), 0);
        assert_int_equal(tw_counter(world, COUNTER_TURN_ENDED_EXPIRED), i + 1);
        alice.nonce[0] = '\0';
    }
}

static void refresh_to_nothing(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 0);
    assert_int_equal(tw_ports_open(world), 0);
    assert_int_equal(tw_charged(world, "static"), 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ENDED_CLIENT), 1);
    // A retransmission is answered as section 8.2 expects.
    assert_int_equal(tw_again(world, &alice), 437);
    // The 5-tuple is free at once.
    assert_int_equal(tw_allocate(world, &alice), 0);
}

// Section 5: "the message MUST ... be rejected with a 437 Allocation Mismatch error".
static void requests_without_allocation(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    assert_int_equal(tw_refresh(world, &alice, 600), 437);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 437);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 437);
    assert_int_equal(tw_refresh(world, &alice, 0), 437);
    // Without credentials too, on an address that has none.
    bob.plain = true;
    assert_int_equal(tw_refresh(world, &bob, 600), 437);
    assert_int_equal(tw_counter(world, COUNTER_TURN_437), 5);
}

static void the_5_tuple_is_taken(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_allocate(world, &alice), 437);
    struct tw_client other = alice;
    other.at.transport = TURN_TCP;
    other.nonce[0] = '\0';
    assert_int_equal(tw_allocate(world, &other), 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 2);
}

// "treat the request as idempotent".
static void retransmissions(void **state)
{
    assert_int_equal(ALLOCATE(&alice, {STUN_EVEN_PORT, 0x80}, {STUN_MOBILITY_TICKET, 0}), 0);
    struct addr relayed = tw_relayed(world, 0), again;
    uint64_t token = stun_u64(&world->reply, STUN_RESERVATION_TOKEN);
    uint8_t ticket[64];
    uint16_t ticket_len = world->reply.attr[STUN_MOBILITY_TICKET].len;
    assert_true(token != 0 && ticket_len > 0 && ticket_len <= sizeof ticket);
    memcpy(ticket, world->reply.attr[STUN_MOBILITY_TICKET].data, ticket_len);
    for (unsigned i = 0; i < 3; i++) {
        tw_wait(world, SECOND);
        assert_int_equal(tw_again(world, &alice), 0);
        again = tw_relayed(world, 0);
        assert_true(addr_equal(&relayed, &again));
        assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 600 - i - 1);
        assert_true(stun_u64(&world->reply, STUN_RESERVATION_TOKEN) == token);
        assert_memory_equal(world->reply.attr[STUN_MOBILITY_TICKET].data, ticket, ticket_len);
    }
    assert_int_equal(tw_ports_open(world), 2);
    assert_int_equal(tw_charged(world, "static"), 2);
    // Somebody else's request with the same id is not a retransmission.
    struct tw_client thief = alice;
    tw_rest(&thief, "north-north-north", TW_WALL + 60, "thief");
    thief.serial--;
    assert_int_equal(tw_allocate(world, &thief), 437);
}

static void families(void **state)
{
    struct addr addr;
    assert_int_equal(ALLOCATE(&alice, {STUN_REQUESTED_ADDRESS_FAMILY, V4}), 0);
    addr = tw_relayed(world, 0);
    assert_int_equal(addr.family, FAMILY_V4);
    assert_int_equal(ALLOCATE(&bob, {STUN_REQUESTED_ADDRESS_FAMILY, V6}), 0);
    addr = tw_relayed(world, 0);
    assert_int_equal(addr.family, FAMILY_V6);
    // An IPv6 client that says nothing gets IPv4: "MUST allocate an IPv4 relayed transport
    // address".
    struct tw_client six = tw_client(world, "2001:db8:1::1", 1);
    assert_int_equal(tw_allocate(world, &six), 0);
    addr = tw_relayed(world, 0);
    assert_int_equal(addr.family, FAMILY_V4);
}

static void families_that_are_not_there(void **state)
{
    static const uint32_t odd[] = {0, 3u << 24, 255u << 24};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ALLOCATE(&alice, {STUN_REQUESTED_ADDRESS_FAMILY, odd[i]}), 440);
    leaves_nothing();
    world->no_v6 = true;
    assert_int_equal(ALLOCATE(&alice, {STUN_REQUESTED_ADDRESS_FAMILY, V6}), 440);
    world->no_v4 = true;
    assert_int_equal(tw_allocate(world, &alice), 440);
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6}), 508);
    world->opens = 0;
    leaves_nothing();
}

static void attributes_that_exclude_each_other(void **state)
{
    const struct with token = {STUN_RESERVATION_TOKEN, 1}, even = {STUN_EVEN_PORT, 0};
    const struct with one = {STUN_REQUESTED_ADDRESS_FAMILY, V4};
    const struct with both = {STUN_ADDITIONAL_ADDRESS_FAMILY, V6};
    assert_int_equal(ALLOCATE(&alice, token, even), 400);
    assert_int_equal(ALLOCATE(&alice, token, one), 400);
    assert_int_equal(ALLOCATE(&alice, token, both), 400);
    assert_int_equal(ALLOCATE(&alice, one, both), 400);
    assert_int_equal(ALLOCATE(&alice, {STUN_EVEN_PORT, 0x80}, both), 400);
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V4}), 400);
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, 3u << 24}), 400);
    assert_int_equal(ALLOCATE(&alice, {STUN_MOBILITY_TICKET, 6}), 400);
    assert_int_equal(ALLOCATE(&alice, token), 508); // it does not exist
    leaves_nothing();
}

static void dont_fragment_is_supported(void **state)
{
    assert_int_equal(ALLOCATE(&alice, {STUN_DONT_FRAGMENT, 0}), 0);
}

static void dual(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1), six = tw_at("2001:db8:2::1", 1);
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6}, {STUN_EVEN_PORT, 0}),
                     0);
    struct addr first = tw_relayed(world, 0), second = tw_relayed(world, 1);
    assert_int_equal(first.family, FAMILY_V4);
    assert_int_equal(second.family, FAMILY_V6);
    assert_int_equal(first.port % 2, 0);
    assert_int_equal(second.port % 2, 0);
    assert_false(stun_has(&world->reply, STUN_ADDRESS_ERROR_CODE));
    assert_int_equal(tw_charged(world, "static"), 1);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4001, &six), 0);
    assert_int_equal(tw_channel(world, &alice, 0x4001, "x", 1), TURN_TO_PEER);
    assert_true(addr_equal(&((struct tw_port *)world->forward.handle)->addr, &second));

    // Section 8.1: deleting one "MUST NOT affect any permissions or channels associated with
    // allocations for the other address family".
    const struct with four = {STUN_REQUESTED_ADDRESS_FAMILY, V4};
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_LIFETIME, 0}, four), 0);
    assert_int_equal(tw_ports_open(world), 1);
    assert_int_equal(tw_charged(world, "static"), 1);
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_CONSUME);
    assert_int_equal(tw_channel(world, &alice, 0x4001, "x", 1), TURN_TO_PEER);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 443);
    assert_int_equal(WITH(&alice, STUN_REFRESH, four), 443);
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_REQUESTED_ADDRESS_FAMILY, V6}), 0);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(tw_ports_open(world), 0);
}

// What goes with one family makes room for the other.
static void dual_at_its_limits(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1), six = tw_at("2001:db8:2::1", 1);
    world->config.permissions_max = world->config.channels_max = 1;
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6}), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4001, &six), 508);
    const struct with four = {STUN_REQUESTED_ADDRESS_FAMILY, V4};
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_LIFETIME, 0}, four), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4001, &six), 0);
}

static void dual_with_two_expiries(void **state)
{
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6}), 0);
    const struct with six = {STUN_REQUESTED_ADDRESS_FAMILY, V6};
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_LIFETIME, 1200}, six), 0);
    tw_wait(world, 600 * SECOND);
    assert_int_equal(tw_ports_open(world), 1);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ALLOCATIONS), 1);
    tw_wait(world, 600 * SECOND);
    assert_int_equal(tw_ports_open(world), 0);
    // Both at once.
    alice.nonce[0] = '\0';
    assert_int_equal(ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6}), 0);
    tw_wait(world, 600 * SECOND);
    assert_int_equal(tw_ports_open(world), 0);
}

static void dual_in_part(void **state)
{
    static const uint8_t no_six[] = {2, 0, 4, 40}, no_four[] = {1, 0, 5, 8};
    world->no_v6 = true;
    for (unsigned again = 0; again < 2; again++) {
        int code = again ? tw_again(world, &alice)
                         : ALLOCATE(&alice, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6});
        assert_int_equal(code, 0);
        assert_int_equal(world->reply.attr[STUN_ADDRESS_ERROR_CODE].len, 4);
        assert_memory_equal(world->reply.attr[STUN_ADDRESS_ERROR_CODE].data, no_six, 4);
        assert_int_equal(tw_ports_open(world), 1);
    }
    world->no_v6 = false;
    world->fail_open = world->opens + 1;
    assert_int_equal(ALLOCATE(&bob, {STUN_ADDITIONAL_ADDRESS_FAMILY, V6}), 0);
    assert_memory_equal(world->reply.attr[STUN_ADDRESS_ERROR_CODE].data, no_four, 4);
    struct addr relayed = tw_relayed(world, 0);
    assert_int_equal(relayed.family, FAMILY_V6);
}

// Section 8.2: "the server MUST reply with a 443".
static void refresh_of_another_family(void **state)
{
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_REQUESTED_ADDRESS_FAMILY, V6}), 443);
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_REQUESTED_ADDRESS_FAMILY, 0}), 443);
    assert_int_equal(WITH(&alice, STUN_REFRESH, {STUN_REQUESTED_ADDRESS_FAMILY, V4}), 0);
}

static void no_port_is_left(void **state)
{
    world->ports_max = 1;
    assert_int_equal(tw_allocate(world, &alice), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(tw_allocate(world, &bob), 508);
    assert_int_equal(tw_charged(world, "static"), 1);
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(tw_allocate(world, &bob), 0);
}

static void quota_of_a_user(void **state)
{
    struct tw_client c[4];
    world->per_user = 3;
    for (uint16_t i = 0; i < 4; i++) {
        // The identity counts, not the username: each has an expiry of its own.
        c[i] = tw_client(world, "198.51.100.2", i);
        tw_rest(&c[i], "north-north-north", TW_WALL + 60 + i, "romeo@montague.lit");
        assert_int_equal(tw_allocate(world, &c[i]), i < 3 ? 0 : 486);
    }
    assert_int_equal(tw_allocate(world, &alice), 0);
    // A refused request is not charged: one goes, one comes, at once.
    assert_int_equal(tw_refresh(world, &c[0], 0), 0);
    assert_int_equal(tw_allocate(world, &c[3]), 0);
    assert_int_equal(tw_allocate(world, &c[0]), 486);
}

// An administrator ends what a user has: in a JID letters of either case are one, in the names of
// turn.users_file they are not.
static void ended_for_a_user(void **state)
{
    struct tw_client c = tw_client(world, "198.51.100.2", 1);

    tw_rest(&c, "north-north-north", TW_WALL + 60, "romeo@montague.lit");
    assert_int_equal(tw_allocate(world, &c), 0);
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(turn_end_user(world->turn, "Static", world->now), 0);
    assert_int_equal(turn_end_user(world->turn, "Romeo@Montague.lit", world->now), 1);
    assert_int_equal(tw_charged(world, "static"), 1);
    assert_int_equal(turn_end_user(world->turn, "static", world->now), 1);
    assert_int_equal(tw_charged(world, "static"), 0);
}

static void quota_of_names_without_identity(void **state)
{
    struct tw_client c = tw_client(world, "198.51.100.7", 1);
    struct tw_client six = tw_client(world, "2001:db8:7::1", 1);
    tw_rest(&c, "north-north-north", TW_WALL + 60, NULL);
    tw_rest(&six, "north-north-north", TW_WALL + 60, "");
    assert_int_equal(tw_allocate(world, &c), 0);
    assert_int_equal(tw_charged(world, "198.51.100.7"), 1);
    assert_int_equal(tw_allocate(world, &six), 0);
    assert_int_equal(tw_charged(world, "2001:db8:7::/64"), 1);
    // What follows the first colon is the identity, colons and all.
    struct tw_client colons = tw_client(world, "198.51.100.8", 1);
    tw_rest(&colons, "north-north-north", TW_WALL + 60, "a:b@c/d:e");
    assert_int_equal(tw_allocate(world, &colons), 0);
    assert_int_equal(tw_charged(world, "a:b@c/d:e"), 1);
}

static void quota_of_all(void **state)
{
    world->total = 1;
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_allocate(world, &bob), 508);
}

static void limit_of_a_worker(void **state)
{
    world->config.allocations_max = 1;
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_allocate(world, &bob), 508);
    assert_int_equal(tw_charged(world, "static"), 1);
    // Who has had his share is told that.
    world->per_user = 1;
    assert_int_equal(tw_allocate(world, &bob), 486);
    // A reserved port does not help.
    world->per_user = 9;
    world->config.allocations_max = 2;
    assert_int_equal(ALLOCATE(&bob, {STUN_EVEN_PORT, 0x80}), 0);
    const struct with token = {STUN_RESERVATION_TOKEN,
                               stun_u64(&world->reply, STUN_RESERVATION_TOKEN)};
    struct tw_client third = tw_client(world, "198.51.100.3", 4001);
    assert_int_equal(ALLOCATE(&third, token), 508);
    world->config.allocations_max = 3;
    assert_int_equal(ALLOCATE(&third, token), 0);
}

// Section 5: "the request MUST be rejected with a 441 (Wrong Credentials) error".
static void another_user_on_the_5_tuple(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    assert_int_equal(tw_allocate(world, &alice), 0);
    struct tw_client thief = alice;
    tw_rest(&thief, "north-north-north", TW_WALL + 60, "thief");
    thief.serial += 100;
    assert_int_equal(tw_refresh(world, &thief, 0), 441);
    assert_int_equal(tw_permit(world, &thief, "192.0.2.1"), 441);
    assert_int_equal(tw_bind(world, &thief, 0x4000, &peer), 441);
    assert_int_equal(tw_allocate(world, &thief), 437);
    // The same identity with another expiry is another username.
    tw_rest(&thief, "north-north-north", TW_WALL + 61, "thief");
    assert_int_equal(tw_refresh(world, &thief, 600), 441);
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
}

static void a_lost_connection(void **state)
{
    alice.at.transport = TURN_TCP;
    assert_false(turn_client_known(world->turn, &alice.at));
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_true(turn_client_known(world->turn, &alice.at));
    assert_int_equal(turn_client_gone(world->turn, &alice.at, world->now), 0);
    tw_tick(world);
    assert_int_equal(tw_ports_open(world), 0);
    assert_int_equal(tw_counter(world, COUNTER_TURN_ENDED_GONE), 1);
    assert_int_equal(turn_client_gone(world->turn, &alice.at, world->now), 0);
}

static void note_view(void *ctx, const struct turn_view *view)
{
    unsigned *seen = ctx;
    assert_string_equal(view->username, "static");
    assert_string_equal(view->identity, "static");
    assert_int_equal(view->relayed[0].family, FAMILY_V4);
    assert_int_equal(view->relayed[1].family, FAMILY_NONE);
    assert_int_equal(view->permissions, 2);
    assert_int_equal(view->channels, 1);
    assert_true(view->expires == world->now + 600 * SECOND);
    (*seen)++;
}

static void what_others_may_know(void **state)
{
    unsigned seen = 0;
    struct addr peer = tw_at("192.0.2.1", 1);
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.2"), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    turn_list(world->turn, note_view, &seen, world->now);
    assert_int_equal(seen, 1);
}

static void configurations_that_are_refused(void **state)
{
    struct turn_config good = world->config;
    static const char long_text[129] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    for (unsigned i = 0; i < 9; i++) {
        struct turn_config bad = good;
        if (i == 0)
            bad.realm = NULL;
        if (i == 1)
            bad.realm = "";
        if (i == 2)
            bad.realm = long_text;
        if (i == 3)
            bad.software = long_text;
        if (i == 4)
            bad.nonce_lifetime = 0;
        if (i == 5)
            bad.nonce_lifetime = 37 * 3600 * SECOND;
        if (i == 6)
            bad.default_lifetime = 0;
        if (i == 7)
            bad.max_lifetime = bad.default_lifetime - 1;
        if (i == 8)
            bad.worker = bad.workers;
        assert_int_equal(turn_set_config(world->turn, &bad), -22);
        struct turn *other = NULL;
        struct turn_io io = tw_io(world);
        assert_int_equal(turn_new(&bad, &io, &world->counters, &other), -22);
        assert_null(other);
    }
    turn_free(NULL);
}

// Under load that nobody could mean well: 300 allocations come and go.
static void many(void **state)
{
    static struct tw_client c[300];
    world->per_user = world->total = 300;
    for (unsigned round = 0; round < 2; round++) {
        for (uint16_t i = 0; i < 300; i++) {
            if (round == 0)
                c[i] = tw_client(world, "198.51.100.2", (uint16_t)(10000 + i));
            assert_int_equal(tw_allocate(world, &c[i]), 0);
        }
        assert_int_equal(tw_ports_open(world), 300);
        for (uint16_t i = 0; i < 300; i += 2)
            assert_int_equal(tw_refresh(world, &c[i], 0), 0);
        tw_wait(world, 600 * SECOND);
        assert_int_equal(tw_ports_open(world), 0);
    }
    for (uint16_t i = 0; i < 100; i++)
        assert_int_equal(tw_allocate(world, &c[i]), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_answer),
        CASE(transport_is_checked),
        CASE(malformed_attributes),
        CASE(unknown_attributes),
        CASE(attributes_after_the_integrity),
        CASE(lifetimes),
        CASE(refresh_to_nothing),
        CASE(requests_without_allocation),
        CASE(the_5_tuple_is_taken),
        CASE(retransmissions),
        CASE(families),
        CASE(families_that_are_not_there),
        CASE(attributes_that_exclude_each_other),
        CASE(dont_fragment_is_supported),
        CASE(dual),
        CASE(dual_at_its_limits),
        CASE(dual_with_two_expiries),
        CASE(dual_in_part),
        CASE(refresh_of_another_family),
        CASE(no_port_is_left),
        CASE(quota_of_a_user),
        CASE(ended_for_a_user),
        CASE(quota_of_names_without_identity),
        CASE(quota_of_all),
        CASE(limit_of_a_worker),
        CASE(another_user_on_the_5_tuple),
        CASE(a_lost_connection),
        CASE(what_others_may_know),
        CASE(configurations_that_are_refused),
    };
    const struct CMUnitTest once[] = {
        // restarts before each of so many take long
        CASE(many),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    failed += cmocka_run_group_tests_name("once", once, NULL, NULL);
    tw_restart_always(true);
    return failed + cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
