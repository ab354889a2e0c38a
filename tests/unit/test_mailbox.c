// SPDX-License-Identifier: ISC
// The mailbox between threads: nothing lost, nothing doubled, in order per poster, one wake-up per
// batch; and a mailbox that goes takes its items with it. Run under ASan and TSan too.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POSTERS = 8, ITEMS = 20000 };

// A size that no power of two divides, so that a wrong stride shows.
struct item {
    uint32_t poster, number;
    char text[29];
};

struct reader {
    struct event_base *base;
    struct mailbox *mailbox;
    uint32_t next[POSTERS];
    uint32_t taken, wanted;
    uint32_t repost; // items that 'take' itself posts
};

static struct item make_item(uint32_t poster, uint32_t number)
{
    struct item item = {.poster = poster, .number = number};
    memset(item.text, (int)('a' + number % 26), sizeof item.text);
    return item;
}

static void on_item(void *ctx, const void *data)
{
    struct reader *reader = ctx;
    const struct item *item = data;
    struct item want = make_item(item->poster, item->number);
    assert_true(item->poster < POSTERS);
    assert_int_equal(item->number, reader->next[item->poster]++);
    assert_memory_equal(item->text, want.text, sizeof want.text);
    if (reader->repost > 0) {
        reader->repost--;
        want = make_item(item->poster, item->number + 1);
        assert_int_equal(mailbox_post(reader->mailbox, &want), 0);
    }
    if (++reader->taken == reader->wanted)
        event_base_loopbreak(reader->base);
}

static void open_reader(struct reader *reader, uint32_t wanted)
{
    *reader = (struct reader){.base = event_base_new(), .wanted = wanted};
    assert_int_equal(
        mailbox_new(reader->base, sizeof(struct item), on_item, reader, &reader->mailbox), 0);
}

static void close_reader(struct reader *reader)
{
    mailbox_free(reader->mailbox);
    event_base_free(reader->base);
}

// For a few seconds at most, so that a lost item fails and does not hang.
static void run(struct reader *reader)
{
    struct timeval limit = {.tv_sec = 20};
    event_base_loopexit(reader->base, &limit);
    event_base_dispatch(reader->base);
    assert_int_equal(reader->taken, reader->wanted);
}

struct poster {
    pthread_t thread;
    struct mailbox *mailbox;
    uint32_t id;
    bool failed;
};

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct item item = make_item(poster->id, i);
        if (mailbox_post(poster->mailbox, &item) != 0)
            poster->failed = true;
        if (i % 1000 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return NULL;
}

static void start_posters(struct poster poster[POSTERS], struct mailbox *mailbox)
{
    for (uint32_t i = 0; i < POSTERS; i++) {
        poster[i] = (struct poster){.mailbox = mailbox, .id = i};
        assert_int_equal(pthread_create(&poster[i].thread, NULL, post_all, &poster[i]), 0);
    }
}

static void join_posters(struct poster poster[POSTERS])
{
    for (uint32_t i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(poster[i].thread, NULL), 0);
        assert_false(poster[i].failed);
    }
}

static void many_posters_keep_their_order(void **state)
{
    struct reader reader;
    struct poster poster[POSTERS];
    open_reader(&reader, POSTERS * ITEMS);
    start_posters(poster, reader.mailbox);
    run(&reader);
    join_posters(poster);
    for (int i = 0; i < POSTERS; i++)
        assert_int_equal(reader.next[i], ITEMS);
    close_reader(&reader);
}

static void a_batch_costs_one_wake_up(void **state)
{
    struct reader reader;
    open_reader(&reader, 100);
    for (uint32_t i = 0; i < 100; i++) {
        struct item item = make_item(0, i);
        assert_int_equal(mailbox_post(reader.mailbox, &item), 0);
    }
    event_base_loop(reader.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(reader.taken, 100);
    // No ring is left over.
    assert_int_equal(event_base_loop(reader.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    assert_int_equal(event_base_get_num_events(reader.base, EVENT_BASE_COUNT_ACTIVE), 0);
    assert_int_equal(reader.taken, 100);
    close_reader(&reader);
}

// What 'take' posts to its own mailbox comes in a later batch, and is not lost.
static void take_may_post(void **state)
{
    struct reader reader;
    open_reader(&reader, 1001);
    reader.repost = 1000;
    struct item item = make_item(3, 0);
    assert_int_equal(mailbox_post(reader.mailbox, &item), 0);
    event_base_loop(reader.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(reader.taken, 1);
    run(&reader);
    close_reader(&reader);
}

static void goes_with_items_inside(void **state)
{
    struct reader reader;
    struct poster poster[POSTERS];
    open_reader(&reader, 0);
    start_posters(poster, reader.mailbox);
    join_posters(poster);
    close_reader(&reader);
    assert_int_equal(reader.taken, 0);
    mailbox_free(NULL);
}

// A flood between quiet times: the large array is given back, and the mailbox goes on.
static void goes_on_after_a_flood(void **state)
{
    struct reader reader;
    open_reader(&reader, 3 * ITEMS + 1);
    for (uint32_t i = 0; i <= 3 * ITEMS; i++) {
        struct item item = make_item(1, i);
        assert_int_equal(mailbox_post(reader.mailbox, &item), 0);
        if (i == 0 || i % ITEMS == 0)
            event_base_loop(reader.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    assert_int_equal(reader.taken, reader.wanted);
    close_reader(&reader);
}

// A reader that does not come costs a bounded number of the items that may be lost.
static void may_be_full(void **state)
{
    struct reader reader;
    open_reader(&reader, 6);
    for (uint32_t i = 0; i < 6; i++) {
        struct item item = make_item(1, i);
        assert_int_equal(mailbox_post_unless_full(reader.mailbox, &item, 4), i < 4 ? 0 : -ENOBUFS);
        if (i >= 4)
            assert_int_equal(mailbox_post(reader.mailbox, &item), 0);
    }
    event_base_loop(reader.base, EVLOOP_ONCE);
    assert_int_equal(reader.taken, 6);
    struct item item = make_item(1, 6);
    assert_int_equal(mailbox_post_unless_full(reader.mailbox, &item, 4), 0);
    close_reader(&reader);
}

static void refuses_items_of_no_size(void **state)
{
    struct event_base *base = event_base_new();
    struct mailbox *mailbox = NULL;
    assert_int_equal(mailbox_new(base, 0, on_item, NULL, &mailbox), -EINVAL);
    assert_null(mailbox);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_posters_keep_their_order),
        cmocka_unit_test(a_batch_costs_one_wake_up),
        cmocka_unit_test(take_may_post),
        cmocka_unit_test(goes_with_items_inside),
        cmocka_unit_test(goes_on_after_a_flood),
        cmocka_unit_test(may_be_full),
        cmocka_unit_test(refuses_items_of_no_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
