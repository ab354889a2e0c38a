// SPDX-License-Identifier: ISC
// Channels and what belongs to them (XEP-0278), over and over, in which the k-th allocation, order
// or stanza of the signalling fails. Whatever fails: no crash, no leak, no port that stays, and an
// answer that is right or says resource-constraint, or none.
#include "codec/jingle.h"
#include "fault/lib_alloc.h"
#include "lib/board.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NODES "http://jabber.org/protocol/jinglenodes"

static unsigned until; // allocations of the signalling until one fails; 0: none does
static bool failed;

static void enter(void)
{
    alloc_fail_at(until);
}

static void leave(void)
{
    unsigned count = alloc_count();

    failed |= until > 0 && alloc_failed();
    until = until > count ? until - count : 0;
    alloc_fail_at(0);
}

static void ask(struct board *b, const char *payload)
{
    board_put(b, "<iq type='get' from='" ALICE "' to='relay.example.org' id='q'>%s</iq>", payload);
    while (board_peek(b)) {
        const struct xml *error = xml_child(board_take(b), "error", NULL);

        assert_true(!error || xml_child(error, "resource-constraint", NS_STANZAS));
    }
}

static void life(struct board *b)
{
    ask(b, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    ask(b, "<services xmlns='" NODES "'/>");
    ask(b, "<turn xmlns='" NODES "#turncredentials'/>");
    ask(b, "<channel xmlns='" NODES "#channel' protocol='udp'/>");
    ask(b, "<channel xmlns='" NODES "#channel' protocol='udp'/>");
    for (unsigned i = 0; i < b->paths; i++)
        if (!b->path[i].closed)
            board_event(b, i, EVENT_MEDIA);
    enter();
    signal_end_all(b->signal, "gone", b->now);
    leave();
    board_settle(b);
    board_wait(b, 600 * USEC_PER_SEC);
}

static struct board *new_board(void)
{
    static const struct signal_service turn = {"turn", "udp", "turn.example.org", 3478};
    struct signal_config config = board_config();

    config.services =
        (struct signal_services){&turn, 1, "a secret of 128 bits or more", 3600 * USEC_PER_SEC};
    return board_new(&config);
}

static void every_allocation_fails_once(void **state)
{
    unsigned k = 0;

    do {
        struct board *b = new_board();

        until = ++k;
        failed = false;
        b->enter = enter;
        b->leave = leave;
        life(b);
        until = 0;
        board_free(b);
    } while (failed);
    assert_in_range(k, 60, 2000);
}

// What is lost on the way to the relay is sent again, if it gives something back.
static void every_order_fails_once(void **state)
{
    unsigned k = 0, orders;

    do {
        struct board *b = new_board();

        b->fail_order = ++k;
        life(b);
        orders = b->orders;
        board_free(b);
    } while (orders >= k);
    assert_int_equal(k - 1, 2 * (2 + 1 + 2)); // two channels: open, figures, close
}

static void every_stanza_fails_once(void **state)
{
    unsigned k = 0, sends;

    do {
        struct board *b = new_board();

        b->fail_send = ++k;
        life(b);
        sends = b->sends;
        board_free(b);
    } while (sends >= k);
    assert_int_equal(k - 1, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(every_order_fails_once),
        cmocka_unit_test(every_stanza_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
