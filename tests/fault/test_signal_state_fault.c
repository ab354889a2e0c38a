// SPDX-License-Identifier: ISC
// A restart of the signalling, over and over, in which the k-th allocation fails, JSON's own
// included: while it saves, while it restores, while it is told what the relay has still. Either it
// says so and can be asked again, or nothing is lost.
#include "codec/jingle.h"
#include "fault/lib_alloc.h"
#include "lib/board.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONTENT(ufrag)                                                                             \
    "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' "       \
    "media='audio'/><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='" ufrag         \
    "' pwd='p'><candidate ip='192.0.2.1' port='5'/></transport></content>"

// The linker hands only the project's own calls to lib_alloc; so JSON's pass here.
static void *json_malloc_here(size_t size)
{
    return malloc(size);
}

static void json_free_here(void *memory)
{
    free(memory);
}

static struct signal_config with_turn(void)
{
    static const struct signal_service items[] = {{"turn", "udp", "relay.example.org", 3478}};
    struct signal_config config = board_config();

    config.services =
        (struct signal_services){items, 1, "a secret of at least 128 bits", 3600 * USEC_PER_SEC};
    return config;
}

// Its paths are not the board's.
static void drop(struct board *b)
{
    json_decref(signal_save(b->signal, b->now));
    board_drop(b);
}

// A call that restarts ICE while another content waits for its ports, a diverted one, a channel, a
// proposal, a client that follows the credentials.
static struct board *busy(void)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);

    b->restarts = false;
    board_put(b, "<presence from='" ALICE "' to='relay.example.org'/>");
    board_put(b, "<iq type='get' id='q' from='" ALICE "' to='relay.example.org'>"
                 "<services xmlns='urn:xmpp:extdisco:2'/></iq>");
    board_put(b, "<message from='" ALICE "' to='bob\\40example.org@relay.example.org'>"
                 "<propose xmlns='urn:xmpp:jingle-message:0' id='s1'/></message>");
    board_answer_all(b);
    board_offer(b);
    board_accept(b);
    divert(b, ALICE, BOB, "session-initiate", CONTENT("a"));
    board_put(b, "<iq type='get' from='" ALICE "' to='relay.example.org' id='c'><channel "
                 "xmlns='http://jabber.org/protocol/jinglenodes#channel'/></iq>");
    alice(b, "r", "transport-info", CONTENT("a2"));
    board_clear(b);
    b->late = true;
    bob(b, "add", "content-add",
        "<content creator='responder' name='v'><transport "
        "xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='v' pwd='p'/></content>");
    return b;
}

static void saving(void **state)
{
    struct board *b = busy();
    unsigned k = 0, calls = signal_calls(b->signal);
    bool failed;

    do {
        json_t *saved;

        alloc_fail_at(++k);
        saved = signal_save(b->signal, b->now);
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_true(saved || failed);
        if (saved) {
            struct signal_config config = with_turn();
            struct board *next = board_new(&config);
            unsigned lost = 1;

            assert_int_equal(signal_restore(next->signal, saved, b->now, &lost), 0);
            assert_int_equal(lost, 0);
            assert_int_equal(signal_calls(next->signal), calls);
            drop(next);
        }
        json_decref(saved);
    } while (failed);
    print_message("%u allocations\n", k);
    board_drop(b);
}

static void restoring(void **state)
{
    struct board *b = busy();
    char *text = board_save(b);
    unsigned k = 0, calls = signal_calls(b->signal);
    bool failed;

    do {
        struct signal_config config = with_turn();
        struct board *next = board_new(&config);
        json_t *saved = json_loads(text, 0, NULL);
        unsigned lost = 5;
        int r;

        alloc_fail_at(++k);
        r = signal_restore(next->signal, saved, b->now, &lost);
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_true(r == 0 || (r == -ENOMEM && failed));
        assert_int_equal(next->orders, 0); // the relay hears nothing of it
        assert_int_equal(next->sents, 0);
        if (r == 0) {
            assert_int_equal(lost, 0);
            assert_int_equal(signal_calls(next->signal), calls);
        }
        json_decref(saved);
        drop(next);
    } while (failed);
    print_message("%u allocations\n", k);
    free(text);
    board_drop(b);
}

static void keeping(void **state)
{
    struct kept_path kept[BOARD_PATHS];
    unsigned k = 0;
    size_t count;
    bool failed;

    do {
        struct board *b = busy();
        char *text = board_save(b);
        unsigned lost;

        board_replace(b);
        assert_int_equal(board_restore(b, text, &lost), 0);
        free(text);
        count = 0;
        for (unsigned i = 1; i < b->paths; i++)
            kept[count++] = (struct kept_path){b->path[i].open.call, b->path[i].open.path};
        alloc_fail_at(++k);
        signal_keep_paths(b->signal, kept, count, b->now); // the first is lost
        failed = alloc_failed();
        alloc_fail_at(0);
        assert_true(signal_calls(b->signal) > 0);
        signal_end_all(b->signal, "gone", b->now);
        board_drop(b);
    } while (failed);
    print_message("%u allocations\n", k);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving),
        cmocka_unit_test(restoring),
        cmocka_unit_test(keeping),
    };

    json_set_alloc_funcs(json_malloc_here, json_free_here);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
