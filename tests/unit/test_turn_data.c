// SPDX-License-Identifier: ISC
// Data through the TURN server (RFC 8656 sections 11 to 12.7): from a client's login to packets
// both ways by channel and by indication, and everything that must not pass.
#include "lib/turn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static struct tw *world;
static struct tw_client alice;
static struct addr relayed, peer;
static uint64_t counted[COUNTER_COUNT]; // as is_dropped() saw it last

// Alice has an allocation, and a channel to the peer.
static int set_up(void **state)
{
    memset(counted, 0, sizeof counted);
    world = tw_new();
    tw_start(world);
    alice = tw_client(world, "198.51.100.2", 4000);
    peer = tw_at("192.0.2.150", 32853);
    assert_int_equal(tw_allocate(world, &alice), 0);
    relayed = tw_relayed(world, 0);
    return 0;
}

static int tear_down(void **state)
{
    tw_free(world);
    return 0;
}

// The same again over another transport.
static void over(enum turn_transport transport)
{
    alice.at.transport = transport;
    alice.nonce[0] = '\0';
    assert_int_equal(tw_allocate(world, &alice), 0);
    relayed = tw_relayed(world, 0);
}

// Neither answered nor relayed, and counted under this reason since the last time.
static void is_dropped(enum turn_action action, enum counter reason)
{
    assert_int_equal(action, TURN_CONSUME);
    assert_null(world->reply.data);
    if (tw_counter(world, reason) != counted[reason] + 1)
        fail_msg("not counted as %s{%s}", counter_rows[reason].name, counter_rows[reason].labels);
    counted[reason]++;
}

static void reaches_peer(enum turn_action action, const void *data, size_t len)
{
    assert_int_equal(action, TURN_TO_PEER);
    assert_int_equal(world->packet.len, len);
    assert_memory_equal(world->packet.data, data, len);
    assert_true(addr_equal(&world->forward.to, &peer));
    assert_true(addr_equal(&((struct tw_port *)world->forward.handle)->addr, &relayed));
}

static void reaches_client(enum turn_action action, const void *data, size_t len)
{
    assert_int_equal(action, TURN_TO_CLIENT);
    assert_int_equal(world->packet.len, len);
    assert_memory_equal(world->packet.data, data, len);
    assert_true(addr_equal(&world->forward.client.remote, &alice.at.remote));
    assert_true(world->forward.client.link == alice.at.link);
}

static void from_login_to_channel(void **state)
{
    struct tw_client c = tw_client(world, "198.51.100.3", 4000);
    struct addr mapped;
    tw_rest(&c, "north-north-north", TW_WALL + 60, "romeo@montague.lit");
    assert_int_equal(tw_allocate(world, &c), 0);
    assert_int_equal(stun_u32(&world->reply, STUN_LIFETIME), 600);
    assert_int_equal(stun_addr(&world->reply, STUN_XOR_MAPPED_ADDRESS, &mapped), 0);
    assert_true(addr_equal(&mapped, &c.at.remote));
    assert_int_equal(tw_charged(world, "romeo@montague.lit"), 1);

    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    reaches_peer(tw_channel(world, &alice, 0x4000, "hello", 5), "hello", 5);
    reaches_peer(tw_channel(world, &alice, 0x4000, "", 0), "", 0); // 12.6: still a datagram
    static const uint8_t frame[] = {0x40, 0x00, 0x00, 0x05, 'w', 'o', 'r', 'l', 'd'};
    reaches_client(tw_peer(world, &relayed, &peer, "world", 5), frame, sizeof frame);
    reaches_client(tw_peer(world, &relayed, &peer, "", 0), "\x40\x00\x00\x00", 4);
    assert_int_equal(tw_counter(world, COUNTER_TURN_TO_PEER_PACKETS), 2);
    assert_int_equal(tw_counter(world, COUNTER_TURN_TO_PEER_BYTES), 5);
    assert_int_equal(tw_counter(world, COUNTER_TURN_TO_CLIENT_BYTES), 5);
}

// 11.2, 11.3.
static void by_indication(void **state)
{
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    for (size_t len = 0; len <= 5; len++) {
        reaches_peer(tw_indicate(world, &alice, &peer, "hello", len), "hello", len);
        assert_int_equal(tw_peer(world, &relayed, &peer, "world", len), TURN_TO_CLIENT);
        const struct stun_msg *m = &world->reply;
        struct addr from;
        assert_int_equal(m->class, STUN_INDICATION);
        assert_int_equal(m->method, STUN_DATA_INDICATION);
        assert_int_equal(stun_addr(m, STUN_XOR_PEER_ADDRESS, &from), 0);
        assert_true(addr_equal(&from, &peer));
        assert_int_equal(m->attr[STUN_DATA].len, len);
        assert_memory_equal(m->attr[STUN_DATA].data, "world", len);
        // Padding of zeros, not of what was in the buffer.
        for (size_t i = len; i % 4; i++)
            assert_int_equal(m->attr[STUN_DATA].data[i], 0);
        assert_int_equal(world->packet.len, m->len);
    }
}

static void ids_of_indications_differ(void **state)
{
    uint8_t seen[50][STUN_TXID_LEN];
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(tw_peer(world, &relayed, &peer, "x", 1), TURN_TO_CLIENT);
        memcpy(seen[i], world->reply.txid, STUN_TXID_LEN);
        for (unsigned k = 0; k < i; k++)
            assert_memory_not_equal(seen[i], seen[k], STUN_TXID_LEN);
    }
}

static void ipv6_both_ways(void **state)
{
    struct tw_client c = tw_client(world, "2001:db8:1::2", 4000);
    struct addr six = tw_at("2001:db8:2::9", 9), from;
    struct writer out = tw_begin(&c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_send(world, &c, &out), 0);
    struct addr own = tw_relayed(world, 0);
    assert_int_equal(own.family, FAMILY_V6);
    assert_int_equal(tw_permit(world, &c, "2001:db8:2::9"), 0);
    assert_int_equal(tw_indicate(world, &c, &six, "abc", 3), TURN_TO_PEER);
    assert_int_equal(tw_peer(world, &own, &six, "abc", 3), TURN_TO_CLIENT);
    assert_int_equal(stun_addr(&world->reply, STUN_XOR_PEER_ADDRESS, &from), 0);
    assert_true(addr_equal(&from, &six));
    assert_memory_equal(world->reply.attr[STUN_DATA].data, "abc", 3);
}

// 12.5: padded on streams, with zeros; not on datagrams.
static void channel_data_is_padded_on_streams(void **state)
{
    static const enum turn_transport transports[] = {TURN_UDP, TURN_DTLS, TURN_TCP, TURN_TLS};
    static const uint8_t padded[] = {0x40, 0x01, 0x00, 0x05, 'w', 'o', 'r', 'l', 'd', 0, 0, 0};
    for (unsigned i = 0; i < 4; i++) {
        if (transports[i] != TURN_UDP)
            over(transports[i]);
        assert_int_equal(tw_bind(world, &alice, 0x4001, &peer), 0);
        reaches_client(tw_peer(world, &relayed, &peer, "world", 5), padded, i < 2 ? 9 : 12);
        reaches_peer(tw_channel(world, &alice, 0x4001, "hello", 5), "hello", 5);
    }
}

// 12.6: "too short to contain the claimed length ... silently discarded".
static void channel_data_longer_than_its_datagram(void **state)
{
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    static const uint8_t frame[] = {0x40, 0x00, 0x00, 0x05, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};
    for (size_t len = 1; len < 9; len++)
        is_dropped(tw_raw(world, &alice, frame, len), COUNTER_TURN_DROP_MALFORMED);
    reaches_peer(tw_raw(world, &alice, frame, 9), "hello", 5);
    reaches_peer(tw_raw(world, &alice, frame, 12), "hello", 5); // "padding is not required but MAY"
}

// 12.6, and table 3 in section 12.
static void channels_that_are_not_bound(void **state)
{
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    is_dropped(tw_channel(world, &alice, 0x4001, "x", 1), COUNTER_TURN_DROP_NO_CHANNEL);
    is_dropped(tw_channel(world, &alice, 0x7fff, "x", 1), COUNTER_TURN_DROP_NO_CHANNEL);
    is_dropped(tw_channel(world, &alice, 0x8000, "x", 1), COUNTER_TURN_DROP_UNEXPECTED);
    is_dropped(tw_channel(world, &alice, 0xffff, "x", 1), COUNTER_TURN_DROP_UNEXPECTED);
    is_dropped(tw_channel(world, &alice, 0x1400, "x", 1), COUNTER_TURN_DROP_UNEXPECTED);
    is_dropped(tw_raw(world, &alice, "", 0), COUNTER_TURN_DROP_MALFORMED);
}

// Section 5: without an allocation data is silently ignored.
static void data_without_allocation(void **state)
{
    struct tw_client stranger = tw_client(world, "198.51.100.2", 4001);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    is_dropped(tw_channel(world, &stranger, 0x4000, "x", 1), COUNTER_TURN_DROP_NO_ALLOCATION);
    is_dropped(tw_indicate(world, &stranger, &peer, "x", 1), COUNTER_TURN_DROP_NO_ALLOCATION);
    // The same address at another transport or listener is another 5-tuple.
    stranger = alice;
    stranger.at.transport = TURN_TCP;
    is_dropped(tw_channel(world, &stranger, 0x4000, "x", 1), COUNTER_TURN_DROP_NO_ALLOCATION);
    stranger = alice;
    stranger.at.local.port++;
    is_dropped(tw_channel(world, &stranger, 0x4000, "x", 1), COUNTER_TURN_DROP_NO_ALLOCATION);
}

// 11.2: no permission, or a peer that is not allowed.
static void indications_that_may_not_pass(void **state)
{
    struct addr other = tw_at("192.0.2.151", 32853), no_port = tw_at("192.0.2.150", 0);
    is_dropped(tw_indicate(world, &alice, &peer, "x", 1), COUNTER_TURN_DROP_NO_PERMISSION);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    is_dropped(tw_indicate(world, &alice, &other, "x", 1), COUNTER_TURN_DROP_NO_PERMISSION);
    is_dropped(tw_indicate(world, &alice, &no_port, "x", 1), COUNTER_TURN_DROP_FORBIDDEN);
    // Our own listener on an address that may be a peer otherwise.
    world->denied = tw_at("192.0.2.150", 3478);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    is_dropped(tw_indicate(world, &alice, &world->denied, "x", 1), COUNTER_TURN_DROP_FORBIDDEN);
    reaches_peer(tw_indicate(world, &alice, &peer, "x", 1), "x", 1);
}

static void malformed_indications(void **state)
{
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    for (unsigned lacking = 0; lacking < 5; lacking++) {
        struct writer out = stun_begin(alice.out, sizeof alice.out, STUN_INDICATION,
                                       STUN_SEND_INDICATION, (const uint8_t[STUN_TXID_LEN]){3});
        if (lacking != 0)
            stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, &peer);
        if (lacking != 1)
            stun_put_bytes(&out, STUN_DATA, "x", 1);
        if (lacking == 2)
            write_u32(&out, 0x7fff0000); // unknown, must be understood
        if (lacking == 3) {
            write_u32(&out, 0x001a0004); // DONT-FRAGMENT with a value
            write_u32(&out, 0);
        }
        if (lacking == 4)
            out.start[25] = 3; // a family that does not exist
        int len = stun_finish(&out, NULL, 0, false);
        is_dropped(tw_raw(world, &alice, alice.out, (size_t)len), COUNTER_TURN_DROP_MALFORMED);
    }
}

static enum turn_action indicate_whole(struct tw_client *c, const struct addr *to)
{
    struct writer out = stun_begin(c->out, sizeof c->out, STUN_INDICATION, STUN_SEND_INDICATION,
                                   (const uint8_t[STUN_TXID_LEN]){3});
    stun_put_addr(&out, STUN_XOR_PEER_ADDRESS, to);
    stun_put_flag(&out, STUN_DONT_FRAGMENT);
    stun_put_bytes(&out, STUN_DATA, "x", 1);
    int len = stun_finish(&out, NULL, 0, false);
    return tw_raw(world, c, c->out, (size_t)len);
}

static void dont_fragment(void **state)
{
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    reaches_peer(tw_indicate(world, &alice, &peer, "x", 1), "x", 1);
    assert_false(world->packet.dont_fragment);
    reaches_peer(indicate_whole(&alice, &peer), "x", 1);
    assert_true(world->packet.dont_fragment);
    reaches_peer(tw_channel(world, &alice, 0x4000, "x", 1), "x", 1);
    assert_false(world->packet.dont_fragment);
}

// Sections 13.1 to 13.3: "the DONT-FRAGMENT attribute MUST be ignored by the server" where one side
// is IPv6; section 15: but on a stream it is relied upon.
static void dont_fragment_with_ipv6(void **state)
{
    for (unsigned i = 0; i < 6; i++) {
        bool client_v6 = i % 2, stream = i >= 3, peer_v6 = i < 2 || i == 4;
        struct tw_client c =
            tw_client(world, client_v6 ? "2001:db8:1::2" : "198.51.100.9", (uint16_t)(i + 1));
        struct addr to = tw_at(peer_v6 ? "2001:db8:2::9" : "192.0.2.9", 9);
        if (stream)
            c.at.transport = TURN_TCP;
        struct writer out = tw_begin(&c, STUN_ALLOCATE);
        stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
        stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, peer_v6 ? 2u << 24 : 1u << 24);
        assert_int_equal(tw_send(world, &c, &out), 0);
        assert_int_equal(tw_bind(world, &c, 0x4000, &to), 0);
        assert_int_equal(indicate_whole(&c, &to), TURN_TO_PEER);
        bool v4 = !client_v6 && !peer_v6;
        assert_int_equal(world->packet.dont_fragment, v4 || stream);
    }
}

// Section 9: "only addresses are compared and port numbers are not considered".
static void permissions_are_for_addresses(void **state)
{
    struct addr other_port = tw_at("192.0.2.150", 1), other = tw_at("192.0.2.151", 32853);
    is_dropped(tw_peer(world, &relayed, &peer, "x", 1), COUNTER_TURN_DROP_NO_PERMISSION);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    reaches_client(tw_peer(world, &relayed, &peer, "x", 1), "\x40\x00\x00\x01x", 5);
    assert_int_equal(tw_peer(world, &relayed, &other_port, "x", 1), TURN_TO_CLIENT);
    assert_int_equal(world->reply.method, STUN_DATA_INDICATION); // the channel is for one port
    is_dropped(tw_peer(world, &relayed, &other, "x", 1), COUNTER_TURN_DROP_NO_PERMISSION);
}

// "a Send indication never causes the server to refresh the permission", and neither does
// ChannelData, nor anything from the peer.
static void data_refreshes_nothing(void **state)
{
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    for (unsigned i = 0; i < 299; i++) {
        tw_wait(world, SECOND);
        reaches_peer(tw_indicate(world, &alice, &peer, "x", 1), "x", 1);
        reaches_peer(tw_channel(world, &alice, 0x4000, "x", 1), "x", 1);
        assert_int_equal(tw_peer(world, &relayed, &peer, "x", 1), TURN_TO_CLIENT);
    }
    tw_wait(world, SECOND);
    is_dropped(tw_peer(world, &relayed, &peer, "x", 1), COUNTER_TURN_DROP_NO_PERMISSION);
    is_dropped(tw_indicate(world, &alice, &peer, "x", 1), COUNTER_TURN_DROP_NO_PERMISSION);
    assert_int_equal(tw_refresh(world, &alice, 3600), 0);
    reaches_peer(tw_channel(world, &alice, 0x4000, "x", 1), "x", 1);
    tw_wait(world, 300 * SECOND);
    is_dropped(tw_channel(world, &alice, 0x4000, "x", 1), COUNTER_TURN_DROP_NO_CHANNEL);
}

static void bandwidth_is_shared_by_both_directions(void **state)
{
    struct tw_client c = tw_client(world, "198.51.100.9", 4000);
    world->config.bytes_per_second = 1000;
    assert_int_equal(turn_set_config(world->turn, &world->config), 0);
    assert_int_equal(tw_allocate(world, &c), 0);
    struct addr own = tw_relayed(world, 0);
    uint8_t data[600] = {0};
    assert_int_equal(tw_bind(world, &c, 0x4000, &peer), 0);
    assert_int_equal(tw_channel(world, &c, 0x4000, data, 600), TURN_TO_PEER);
    is_dropped(tw_peer(world, &own, &peer, data, 600), COUNTER_TURN_DROP_BANDWIDTH);
    assert_int_equal(tw_peer(world, &own, &peer, data, 400), TURN_TO_CLIENT);
    is_dropped(tw_channel(world, &c, 0x4000, data, 1), COUNTER_TURN_DROP_BANDWIDTH);
    tw_wait(world, SECOND);
    assert_int_equal(tw_channel(world, &c, 0x4000, data, 600), TURN_TO_PEER);
}

static void what_is_too_long(void **state)
{
    static const uint8_t data[65507];
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    is_dropped(tw_peer(world, &relayed, &peer, data, 65507), COUNTER_TURN_DROP_TOO_LONG);
    assert_int_equal(tw_peer(world, &relayed, &peer, data, 65400), TURN_TO_CLIENT);
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    is_dropped(tw_peer(world, &relayed, &peer, data, 65504), COUNTER_TURN_DROP_TOO_LONG);
    assert_int_equal(tw_peer(world, &relayed, &peer, data, 65503), TURN_TO_CLIENT);
    over(TURN_TCP);
    assert_int_equal(tw_permit(world, &alice, "192.0.2.150"), 0);
    assert_int_equal(tw_peer(world, &relayed, &peer, data, 65507), TURN_TO_CLIENT);
    assert_int_equal(world->reply.attr[STUN_DATA].len, 65507);
    // An IPv6 peer's address takes twelve bytes more of the message.
    struct tw_client six = tw_client(world, "2001:db8::7", 7);
    struct addr peer6 = tw_at("2001:db8:9::9", 9);
    six.at.transport = TURN_TCP;
    struct writer out = tw_begin(&six, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_send(world, &six, &out), 0);
    struct addr own6 = tw_relayed(world, 0);
    assert_int_equal(tw_permit(world, &six, "2001:db8:9::9"), 0);
    assert_int_equal(tw_peer(world, &own6, &peer6, data, 65504), TURN_TO_CLIENT);
    assert_int_equal(world->reply.attr[STUN_DATA].len, 65504);
    for (size_t len = 65505; len <= 65507; len++)
        is_dropped(tw_peer(world, &own6, &peer6, data, len), COUNTER_TURN_DROP_TOO_LONG);
}

// 11.5.
static void icmp(void **state)
{
    static const struct {
        uint8_t type, code;
        bool told;
        uint32_t info;
    } cases[] = {
        {3, 3, true, 0},  {3, 4, true, 1280}, {11, 0, true, 0},
        {4, 0, false, 0}, {5, 0, false, 0},   {12, 0, false, 0},
    };
    struct addr other = tw_at("192.0.2.151", 1);
    struct tw_port *port = NULL;
    for (unsigned i = 0; i < TW_PORTS; i++) {
        if (world->port[i].open)
            port = &world->port[i];
    }
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned before = world->sents;
        struct addr from;
        struct stun_msg m;
        turn_peer_icmp(world->turn, port->owner, &other, cases[i].type, cases[i].code, 1280,
                       world->now);
        assert_int_equal(world->sents, before); // no permission
        turn_peer_icmp(world->turn, port->owner, &peer, cases[i].type, cases[i].code, 1280,
                       world->now);
        assert_int_equal(world->sents, before + cases[i].told);
        if (!cases[i].told)
            continue;
        const struct tw_sent *sent = &world->sent[before % TW_LOG];
        assert_int_equal(stun_decode(sent->data, sent->len, &m), 0);
        assert_int_equal(m.method, STUN_DATA_INDICATION);
        assert_int_equal(stun_addr(&m, STUN_XOR_PEER_ADDRESS, &from), 0);
        assert_true(addr_equal(&from, &peer));
        assert_false(stun_has(&m, STUN_DATA));
        assert_int_equal(stun_u32(&m, STUN_ICMP), cases[i].type << 8 | cases[i].code);
        assert_int_equal((uint32_t)stun_u64(&m, STUN_ICMP), cases[i].info);
    }
    turn_peer_icmp(world->turn, NULL, &peer, 3, 3, 0, world->now);
}

static void icmp_of_ipv6(void **state)
{
    struct tw_client c = tw_client(world, "2001:db8:1::2", 4000);
    struct addr six = tw_at("2001:db8:2::9", 0);
    struct writer out = tw_begin(&c, STUN_ALLOCATE);
    stun_put_u32(&out, STUN_REQUESTED_TRANSPORT, 17u << 24);
    stun_put_u32(&out, STUN_REQUESTED_ADDRESS_FAMILY, 2u << 24);
    assert_int_equal(tw_send(world, &c, &out), 0);
    void *owner = world->port[1].owner;
    assert_int_equal(tw_permit(world, &c, "2001:db8:2::9"), 0);
    for (uint8_t type = 0; type < 6; type++) {
        unsigned before = world->sents;
        struct stun_msg m;
        turn_peer_icmp(world->turn, owner, &six, type, 0, 1280, world->now);
        assert_int_equal(world->sents, before + (type >= 1 && type <= 3));
        if (type != 2)
            continue;
        const struct tw_sent *sent = &world->sent[before % TW_LOG];
        assert_int_equal(stun_decode(sent->data, sent->len, &m), 0);
        assert_true(stun_u64(&m, STUN_ICMP) == ((uint64_t)0x0200 << 32 | 1280));
    }
}

// A failing send costs its message: the allocation answers and relays as before.
static void send_errors_end_nothing(void **state)
{
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    for (unsigned i = 0; i < 20; i++) {
        world->fail_send = world->sends + 1;
        assert_int_equal(tw_refresh(world, &alice, 600), -1);
    }
    assert_int_equal(tw_counter(world, COUNTER_TURN_DROP_SEND_ERROR), 20);
    world->fail_send = 0;
    assert_int_equal(tw_refresh(world, &alice, 600), 0);
    reaches_peer(tw_channel(world, &alice, 0x4000, "x", 1), "x", 1);
}

// A burst may still hold what has ended: nothing is closed before the next tick.
static void data_for_an_allocation_that_ended(void **state)
{
    uint8_t data[TURN_HEADROOM + 8] = {0};
    struct turn_packet packet = {.data = data + TURN_HEADROOM, .len = 1};
    struct turn_forward forward;
    struct tw_port *port = &world->port[0];
    void *owner = port->owner;
    assert_int_equal(tw_bind(world, &alice, 0x4000, &peer), 0);
    turn_client_gone(world->turn, &alice.at, world->now);
    assert_true(port->open);
    assert_int_equal(turn_peer_recv(world->turn, owner, port, &peer, &packet, &forward, world->now),
                     TURN_CONSUME);
    turn_peer_icmp(world->turn, owner, &peer, 3, 3, 0, world->now);
    turn_tick(world->turn, world->now);
    assert_false(port->open);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(from_login_to_channel),
        CASE(by_indication),
        CASE(ids_of_indications_differ),
        CASE(ipv6_both_ways),
        CASE(channel_data_is_padded_on_streams),
        CASE(channel_data_longer_than_its_datagram),
        CASE(channels_that_are_not_bound),
        CASE(data_without_allocation),
        CASE(indications_that_may_not_pass),
        CASE(malformed_indications),
        CASE(dont_fragment),
        CASE(dont_fragment_with_ipv6),
        CASE(permissions_are_for_addresses),
        CASE(data_refreshes_nothing),
        CASE(bandwidth_is_shared_by_both_directions),
        CASE(what_is_too_long),
        CASE(icmp),
        CASE(send_errors_end_nothing),
    };
    const struct CMUnitTest once[] = {
        // these know allocations by their addresses in memory
        CASE(icmp_of_ipv6),
        CASE(data_for_an_allocation_that_ended),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    failed += cmocka_run_group_tests_name("once", once, NULL, NULL);
    tw_restart_always(true);
    return failed + cmocka_run_group_tests_name("restarted", tests, NULL, NULL);
}
