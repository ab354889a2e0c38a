// SPDX-License-Identifier: ISC
// CreatePermission and ChannelBind (RFC 8656 sections 9, 10 and 12): what peers are taken, how long
// they stay, which channels may be bound to whom, and the limits.
#include "lib/turn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static struct tw *world;
static struct tw_client alice;
static struct addr relayed;

static int set_up(void **state)
{
    world = tw_new();
    tw_start(world);
    alice = tw_client(world, "198.51.100.2", 4000);
    assert_int_equal(tw_allocate(world, &alice), 0);
    relayed = tw_relayed(world, 0);
    return 0;
}

static int tear_down(void **state)
{
    tw_free(world);
    return 0;
}

static bool permitted(const char *ip)
{
    struct addr from = tw_at(ip, 9);
    return tw_peer(world, &relayed, &from, "x", 1) == TURN_TO_CLIENT;
}

static int permit_all(const char *const *ip, unsigned n)
{
    struct writer out = tw_begin(&alice, STUN_CREATE_PERMISSION);
    for (unsigned i = 0; i < n; i++) {
        struct addr peer = tw_at(ip[i], (uint16_t)i);
        stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    }
    return tw_send(world, &alice, &out);
}

static void several_at_once(void **state)
{
    static const char *const ips[] = {"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"};
    assert_int_equal(permit_all(ips, 4), 0);
    assert_true(permitted("192.0.2.1") && permitted("192.0.2.2") && permitted("192.0.2.3"));
    assert_false(permitted("192.0.2.4"));
}

// Section 10.2: at least one, and none that is invalid.
static void invalid_requests(void **state)
{
    assert_int_equal(permit_all(NULL, 0), 400);
    for (unsigned second = 0; second < 2; second++) {
        struct addr peer = tw_at("192.0.2.1", 1);
        struct writer out = tw_begin(&alice, STUN_CREATE_PERMISSION);
        if (second)
            stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
        stun_put_bytes(&out, STUN_XOR_PEER_ADDRESS, "\0\7\1\1\1\1\1\1", 8); // family 7
        assert_int_equal(tw_send(world, &alice, &out), 400);
    }
    // A length outside its bounds, behind a good one.
    struct addr peer = tw_at("192.0.2.1", 1);
    struct writer out = tw_begin(&alice, STUN_CREATE_PERMISSION);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    write_u32(&out, 0x00120004);
    write_u32(&out, 0);
    assert_int_equal(tw_send(world, &alice, &out), 400);
    assert_false(permitted("192.0.2.1")); // all or nothing
}

static void other_families(void **state)
{
    static const char *const mixed[] = {"192.0.2.1", "2001:db8:2::1"};
    struct addr six = tw_at("2001:db8:2::1", 1);
    assert_int_equal(tw_permit(world, &alice, "2001:db8:2::1"), 443);
    assert_int_equal(permit_all(mixed, 2), 443);
    assert_false(permitted("192.0.2.1"));
    assert_int_equal(tw_bind(world, &alice, 0x4000, &six), 443);
}

// Addresses of IPv4 in IPv6 clothes are what they are: here a v4-mapped one.
static void mapped_addresses_are_ipv4(void **state)
{
    static const uint8_t mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    struct addr peer = {.family = FAMILY_V6, .port = 1}; // as no constructor would leave it
    memcpy(peer.ip, mapped, sizeof mapped);
    struct writer out = tw_begin(&alice, STUN_CREATE_PERMISSION);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    assert_int_equal(tw_send(world, &alice, &out), 403); // not 443: it was 10.0.0.1
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 403);
}

// Section 21.4: "a TURN server MUST NOT accept Teredo or 6to4 addresses in these requests".
static void tunnels(void **state)
{
    static const char *const tunnel[] = {"2002:c000:201::1", "2001:0:c000:201::1"};
    struct writer out;
    for (unsigned i = 0; i < 2; i++) {
        struct tw_client inside = tw_client(world, tunnel[i], 1), six;
        struct addr peer = tw_at(tunnel[i], 1);
        assert_int_equal(tw_allocate(world, &inside), 403);
        six = tw_client(world, "2001:db8:1::9", (uint16_t)(i + 1));
        out = tw_begin(&six, STUN_ALLOCATE);
        stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
        stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
        assert_int_equal(tw_send(world, &six, &out), 0);
        assert_int_equal(tw_permit(world, &six, tunnel[i]), 403);
        assert_int_equal(tw_bind(world, &six, 0x4000, &peer), 403);
        assert_int_equal(tw_permit(world, &six, "2001:1::1"), 0);
    }
}

static void forbidden_peers(void **state)
{
    static const char *const mixed[] = {"192.0.2.1", "10.0.0.1"};
    struct addr ten = tw_at("10.0.0.1", 1), listener = tw_at("192.0.2.9", 3478);
    struct addr beside = tw_at("192.0.2.9", 3479);
    assert_int_equal(tw_permit(world, &alice, "10.0.0.1"), 403);
    assert_int_equal(permit_all(mixed, 2), 403);
    assert_false(permitted("192.0.2.1"));
    assert_int_equal(tw_bind(world, &alice, 0x4000, &ten), 403);
    world->denied = listener;
    assert_int_equal(tw_bind(world, &alice, 0x4000, &listener), 403);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &beside), 0);
    world->denied.port = 0;
    assert_int_equal(tw_permit(world, &alice, "192.0.2.9"), 403);
}

// "The Permission Lifetime MUST be 300 seconds".
static void permissions_expire_and_are_refreshed(void **state)
{
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.2"), 0);
    tw_wait(world, 299 * SECOND);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.2"), 0);
    tw_wait(world, SECOND - 1);
    assert_true(permitted("192.0.2.1"));
    tw_wait(world, 1);
    assert_false(permitted("192.0.2.1"));
    assert_true(permitted("192.0.2.2"));
    assert_int_equal(tw_refresh(world, &alice, 600), 0); // does not refresh permissions
    tw_wait(world, 299 * SECOND);
    assert_false(permitted("192.0.2.2"));
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_true(permitted("192.0.2.1"));
}

static void permissions_of_allocations_are_their_own(void **state)
{
    struct tw_client bob = tw_client(world, "198.51.100.3", 1);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.1"), 0);
    assert_int_equal(tw_allocate(world, &bob), 0);
    struct addr own = tw_relayed(world, 0), peer = tw_at("192.0.2.1", 1);
    assert_int_equal(tw_peer(world, &own, &peer, "x", 1), TURN_CONSUME);
    // "If an allocation expires, all its permissions expire with it."
    assert_int_equal(tw_refresh(world, &alice, 0), 0);
    assert_int_equal(tw_allocate(world, &alice), 0);
    assert_false(permitted("192.0.2.1"));
}

static void limit_of_permissions(void **state)
{
    char ip[20][16];
    const char *list[33]; // twice the limit, and one
    struct addr peer = tw_at("192.0.2.200", 1);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(ip[i], sizeof ip[i], "192.0.2.%u", i);
        list[i] = ip[i];
    }
    assert_int_equal(permit_all(list, 20), 508);
    assert_false(permitted("192.0.2.0"));
    assert_int_equal(permit_all(list, 16), 0);
    assert_int_equal(permit_all(list, 16), 0); // again: these are not new
    assert_int_equal(permit_all(list, 17), 508);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 508);
    peer = tw_at("192.0.2.1", 1);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    tw_wait(world, 300 * SECOND);
    assert_int_equal(permit_all(list + 4, 16), 0); // those that have run out make room
    assert_true(permitted("192.0.2.19"));
    // The same address many times is one.
    for (unsigned i = 0; i < 20; i++)
        list[i] = "192.0.2.19";
    assert_int_equal(permit_all(list, 20), 0);
    for (unsigned i = 20; i < 33; i++)
        list[i] = "192.0.2.19";
    assert_int_equal(permit_all(list, 32), 0);
    assert_int_equal(permit_all(list, 33), 508);
}

// Section 12.2: from 0x4000; to 0x7FFF, because clients of RFC 5766 section 11 use them all.
static void channel_numbers(void **state)
{
    static const uint16_t bad[] = {0, 1, 0x3fff, 0x8000, 0xffff};
    struct addr peer = tw_at("192.0.2.1", 1), last = tw_at("192.0.2.1", 2);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(tw_bind(world, &alice, bad[i], &peer), 400);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    assert_int_equal(tw_bind(world, &alice, 0x7fff, &last), 0);
    assert_int_equal(tw_channel(world, &alice, 0x7fff, "x", 1), TURN_TO_PEER);
}

static void channel_requests_in_part(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1), no_port = tw_at("192.0.2.1", 0);
    struct writer out = tw_begin(&alice, STUN_CHANNEL_BIND);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    assert_int_equal(tw_send(world, &alice, &out), 400);
    out = tw_begin(&alice, STUN_CHANNEL_BIND);
    stun_put_u32(&out, STUN_CHANNEL_NUMBER, 0x40000000);
    assert_int_equal(tw_send(world, &alice, &out), 400);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &no_port), 400);
    assert_false(permitted("192.0.2.1"));
    // "MUST be ignored": the reserved half of CHANNEL-NUMBER.
    out = tw_begin(&alice, STUN_CHANNEL_BIND);
    stun_put_u32(&out, STUN_CHANNEL_NUMBER, 0x4000ffff);
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
    assert_int_equal(tw_send(world, &alice, &out), 0);
}

// "the same channel cannot be bound to two different transport addresses, nor can the same
// transport address be bound to two different channels".
static void rebinding(void **state)
{
    struct addr one = tw_at("192.0.2.1", 1), two = tw_at("192.0.2.1", 2);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &one), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &one), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &two), 400);
    assert_int_equal(tw_bind(world, &alice, 0x4001, &one), 400);
    assert_int_equal(tw_bind(world, &alice, 0x4001, &two), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &two), 400);
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_TO_PEER);
    assert_int_equal(world->forward.to.port, 1);
    // Another allocation's channels are another matter.
    struct tw_client bob = tw_client(world, "198.51.100.3", 1);
    assert_int_equal(tw_allocate(world, &bob), 0);
    assert_int_equal(tw_bind(world, &bob, 0x4000, &two), 0);
}

static void channels_expire_and_are_refreshed(void **state)
{
    struct addr one = tw_at("192.0.2.1", 1), two = tw_at("192.0.2.1", 2);
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &one), 0);
    tw_wait(world, 599 * SECOND);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &one), 0);
    assert_true(permitted("192.0.2.1")); // it refreshes the permission too
    tw_wait(world, 599 * SECOND);
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_TO_PEER);
    tw_wait(world, SECOND);
    assert_int_equal(tw_channel(world, &alice, 0x4000, "x", 1), TURN_CONSUME);
    // "Once unbound, the channel number can be bound to a different transport address".
    assert_int_equal(tw_bind(world, &alice, 0x4000, &two), 0);
    assert_int_equal(tw_bind(world, &alice, 0x4001, &one), 0);
}

static void limit_of_channels(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    for (uint16_t i = 0; i < 10; i++) {
        peer.port = (uint16_t)(i + 1);
        assert_int_equal(tw_bind(world, &alice, (uint16_t)(0x4000 + i), &peer), i < 8 ? 0 : 508);
    }
    peer.port = 1;
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    tw_wait(world, 600 * SECOND);
    peer.port = 99;
    assert_int_equal(tw_bind(world, &alice, 0x4abc, &peer), 0);
}

// As many channels as there can be, each found by number and by peer.
static void all_channels(void **state)
{
    struct addr peer = tw_at("192.0.2.1", 1);
    world->config.channels_max = 65535;
    for (unsigned i = 0; i <= 0xfff; i += i < 4000 ? 37 : 1) {
        peer.port = (uint16_t)(i + 1);
        assert_int_equal(tw_bind(world, &alice, (uint16_t)(0x4000 + i), &peer), 0);
    }
    for (unsigned i = 0; i <= 0xfff; i += i < 4000 ? 37 : 1) {
        peer.port = (uint16_t)(i + 1);
        assert_int_equal(tw_channel(world, &alice, (uint16_t)(0x4000 + i), "x", 1), TURN_TO_PEER);
        assert_int_equal(world->forward.to.port, i + 1);
        assert_int_equal(tw_peer(world, &relayed, &peer, "x", 1), TURN_TO_CLIENT);
        assert_int_equal(world->packet.data[0] << 8 | world->packet.data[1], 0x4000 + i);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(several_at_once),
        CASE(invalid_requests),
        CASE(other_families),
        CASE(mapped_addresses_are_ipv4),
        CASE(tunnels),
        CASE(forbidden_peers),
        CASE(permissions_expire_and_are_refreshed),
        CASE(permissions_of_allocations_are_their_own),
        CASE(limit_of_permissions),
        CASE(channel_numbers),
        CASE(channel_requests_in_part),
        CASE(rebinding),
        CASE(channels_expire_and_are_refreshed),
        CASE(limit_of_channels),
        CASE(all_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
