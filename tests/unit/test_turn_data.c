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

static void from_login_to_channel(void **state)
{
    struct tw *w = tw_new();
    tw_start(w);
    struct tw_client c = tw_client(w, "198.51.100.2", 4000);
    tw_rest(&c, "north-north-north", TW_WALL + 60, "romeo@montague.lit");
    struct addr peer = tw_at("192.0.2.150", 32853);

    assert_int_equal(tw_allocate(w, &c), 0);
    struct addr relayed = tw_relayed(w, 0), mapped;
    assert_int_equal(stun_u32(&w->reply, STUN_LIFETIME), 600);
    assert_int_equal(stun_addr(&w->reply, STUN_XOR_MAPPED_ADDRESS, &mapped), 0);
    assert_true(addr_equal(&mapped, &c.at.remote));
    assert_int_equal(tw_charged(w, "romeo@montague.lit"), 1);

    assert_int_equal(tw_bind(w, &c, 0x4000, &peer), 0);
    assert_int_equal(tw_channel(w, &c, 0x4000, "hello", 5), TURN_TO_PEER);
    assert_int_equal(w->packet.len, 5);
    assert_memory_equal(w->packet.data, "hello", 5);
    assert_true(addr_equal(&w->forward.to, &peer));
    assert_true(addr_equal(&((struct tw_port *)w->forward.handle)->addr, &relayed));

    static const uint8_t frame[] = {0x40, 0x00, 0x00, 0x05, 'w', 'o', 'r', 'l', 'd'};
    assert_int_equal(tw_peer(w, &relayed, &peer, "world", 5), TURN_TO_CLIENT);
    assert_int_equal(w->packet.len, sizeof frame);
    assert_memory_equal(w->packet.data, frame, sizeof frame);
    assert_true(addr_equal(&w->forward.client.remote, &c.at.remote));
    tw_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_login_to_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
