// SPDX-License-Identifier: ISC
// Whom TURN clients may reach: nobody in a special range, nothing of the relay's own machine but
// the ports that calls and allocations have open.
#include "peers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct addr at(const char *ip, uint16_t port)
{
    struct addr addr;

    assert_int_equal(addr_parse_ip(ip, port, &addr), 0);
    return addr;
}

static struct peers *make(const char *bind, const char *advertise, struct prefix_list allow)
{
    const struct peers_config config = {
        .bind = {at(bind, 0), at("2a00::10", 0)},
        .advertise = {at(advertise, 0), at("2a00::10", 0)},
        .allow = allow,
    };
    struct peers *peers;

    assert_int_equal(peers_new(&config, &peers), 0);
    return peers;
}

static bool ask(const struct peers *peers, const char *ip, uint16_t port)
{
    struct addr peer = at(ip, port);

    return peers_allowed(peers, &peer);
}

static void the_world_is_allowed_and_special_ranges_are_not(void **state)
{
    static const char *const refused[] = {
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "100::1",
        "5f00::1",
        "::ffff:10.1.2.3",
        "64:ff9b::7f00:1",
    };
    struct peers *peers = make("11.0.0.1", "11.0.0.1", (struct prefix_list){0});

    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (ask(peers, refused[i], 4000) || ask(peers, refused[i], 0))
            fail_msg("%s is allowed", refused[i]);
    }
    assert_true(ask(peers, "8.8.8.8", 4000));
    assert_true(ask(peers, "8.8.8.8", 0));
    assert_true(ask(peers, "2a00::1", 4000));
    assert_true(ask(peers, "64:ff9b::808:808", 4000));
    peers_free(peers);
}

static void the_operator_may_allow_a_range(void **state)
{
    struct prefix prefix;
    struct prefix_list allow = {0};
    struct peers *peers;

    (void)state;
    assert_int_equal(prefix_parse("192.168.1.0/24", &prefix), 0);
    assert_int_equal(prefix_list_add(&allow, &prefix), 0);
    peers = make("192.168.1.2", "11.0.0.1", allow);
    assert_true(ask(peers, "192.168.1.77", 4000));
    assert_true(ask(peers, "::ffff:192.168.1.77", 4000)); // the same host
    assert_false(ask(peers, "192.168.2.1", 4000));
    assert_false(ask(peers, "64:ff9b::c0a8:14d", 4000)); // by a translator it is another matter
    assert_false(ask(peers, "192.168.1.2", 22));         // the relay itself
    peers_free(peers);
    prefix_list_clear(&allow);
}

static void own_ports_are_allowed_while_they_are_open(void **state)
{
    struct peers *peers = make("192.168.1.2", "11.0.0.1", (struct prefix_list){0});
    struct addr port = at("192.168.1.2", 50001), v6 = at("2a00::10", 50001), to, sender;

    (void)state;
    assert_true(ask(peers, "11.0.0.1", 0)); // a permission
    assert_false(ask(peers, "11.0.0.1", 50001));
    peers_port_opened(peers, PEERS_UDP, &port);
    assert_true(ask(peers, "11.0.0.1", 50001));
    assert_false(ask(peers, "11.0.0.1", 50000));
    assert_false(ask(peers, "11.0.0.1", 3478));
    assert_false(ask(peers, "2a00::10", 50001)); // not in that family
    assert_false(ask(peers, "64:ff9b::b00:1", 50001));
    peers_port_opened(peers, PEERS_UDP, &v6);
    assert_true(ask(peers, "2a00::10", 50001));

    to = at("11.0.0.1", 50001);
    assert_true(peers_route(peers, PEERS_UDP, &to));
    assert_true(addr_equal(&to, &port));
    sender = peers_sender(peers, &port);
    to = at("11.0.0.1", 50001);
    assert_true(addr_equal(&sender, &to));

    // Something else on this machine may have the same port of the other protocol.
    to = at("11.0.0.1", 50001);
    assert_false(peers_route(peers, PEERS_TCP, &to));
    peers_port_closed(peers, PEERS_UDP, &port);
    peers_port_opened(peers, PEERS_TCP, &port);
    assert_true(ask(peers, "11.0.0.1", 50001));
    assert_false(peers_route(peers, PEERS_UDP, &to));
    assert_true(peers_route(peers, PEERS_TCP, &to));
    peers_port_closed(peers, PEERS_TCP, &port);
    assert_false(ask(peers, "11.0.0.1", 50001));
    to = at("11.0.0.1", 50001);
    assert_false(peers_route(peers, PEERS_UDP, &to));
    to = at("8.8.8.8", 53);
    assert_true(peers_route(peers, PEERS_UDP, &to));
    assert_int_equal(to.port, 53);
    peers_free(peers);
}

// A NAT that brings a packet of ours back may have given it the address that clients are told.
static void own_ports_are_known_by_both_names(void **state)
{
    struct peers *peers = make("192.168.1.2", "11.0.0.1", (struct prefix_list){0});
    struct addr bound = at("192.168.1.2", 50001), told = at("11.0.0.1", 50001);
    struct addr other = at("11.0.0.2", 50001);

    (void)state;
    assert_false(peers_is_port(peers, PEERS_UDP, &bound));
    assert_false(peers_is_port(peers, PEERS_UDP, &told));
    peers_port_opened(peers, PEERS_UDP, &bound);
    assert_true(peers_is_port(peers, PEERS_UDP, &bound));
    assert_true(peers_is_port(peers, PEERS_UDP, &told));
    assert_false(peers_is_port(peers, PEERS_TCP, &told));
    assert_false(peers_is_port(peers, PEERS_UDP, &other));
    peers_free(peers);
}

static void denied_hosts_stay_denied(void **state)
{
    struct prefix prefix;
    struct prefix_list allow = {0};
    struct addr server = at("10.0.0.5", 5347), loopback = at("127.0.0.1", 0);
    struct peers *peers;

    (void)state;
    assert_int_equal(prefix_parse("0.0.0.0/0", &prefix), 0);
    assert_int_equal(prefix_list_add(&allow, &prefix), 0);
    peers = make("11.0.0.1", "11.0.0.1", allow);
    assert_true(ask(peers, "10.0.0.5", 5222));
    assert_true(peers_route(peers, PEERS_UDP, &server));
    assert_int_equal(peers_deny(peers, &server), 0);
    assert_false(ask(peers, "10.0.0.5", 5222));
    assert_false(peers_route(peers, PEERS_UDP, &server)); // by a channel that was bound before
    assert_true(ask(peers, "10.0.0.6", 5222));
    assert_true(ask(peers, "127.0.0.1", 80));
    assert_int_equal(peers_deny_this_host(peers), 0);
    assert_false(peers_allowed(peers, &loopback));
    assert_false(ask(peers, "::ffff:127.0.0.1", 80));
    peers_free(peers);
    prefix_list_clear(&allow);
}

static void the_list_of_denied_hosts_has_an_end(void **state)
{
    struct peers *peers = make("11.0.0.1", "11.0.0.1", (struct prefix_list){0});
    char text[32];

    (void)state;
    for (int i = 0; i < 4096; i++) {
        snprintf(text, sizeof text, "12.0.%d.%d", i / 256, i % 256);
        struct addr host = at(text, 0);
        assert_int_equal(peers_deny(peers, &host), 0);
        assert_int_equal(peers_deny(peers, &host), 0); // once is enough
    }
    struct addr more = at("12.0.16.0", 0);
    assert_int_equal(peers_deny(peers, &more), -ENOSPC);
    assert_false(ask(peers, "12.0.15.255", 1));
    peers_free(peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_world_is_allowed_and_special_ranges_are_not),
        cmocka_unit_test(the_operator_may_allow_a_range),
        cmocka_unit_test(own_ports_are_allowed_while_they_are_open),
        cmocka_unit_test(own_ports_are_known_by_both_names),
        cmocka_unit_test(denied_hosts_stay_denied),
        cmocka_unit_test(the_list_of_denied_hosts_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
