// SPDX-License-Identifier: ISC
// Memory runs out at each allocation while all forwarding threads are asked something: either each
// of them answers, or none was asked. Whoever waits for them all would else wait for ever.
#include "fault/lib_alloc.h"
#include "lib/world.h"
#include "platform/mailbox.h"
#include "turn_listing.h"
#include "workers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

enum { WORKERS = 3, ATTEMPTS_MAX = 200, MARKER = 99 };

struct fixture {
    struct event_base *base;
    struct peers *peers;
    struct workers *workers;
    struct prefix loopback;
    unsigned answers[ATTEMPTS_MAX + 1]; // by token
};

static void on_done(void *ctx, uint64_t token, int result)
{
    struct fixture *f = ctx;
    assert_true(token <= ATTEMPTS_MAX);
    assert_int_equal(result, 0);
    f->answers[token]++;
}

static void on_event(void *ctx, const struct relay_event *event)
{
    struct fixture *f = ctx;
    if (event->kind != EVENT_SNAPSHOT_END)
        return;
    assert_true(event->token <= ATTEMPTS_MAX);
    f->answers[event->token]++;
}

static void on_listing(void *ctx, const struct turn_listing *listing)
{
    struct fixture *f = ctx;
    assert_true(listing->token <= ATTEMPTS_MAX);
    f->answers[listing->token]++;
}

static struct relay_config relay_config(struct fixture *f)
{
    return (struct relay_config){
        .bind = {at("127.0.0.1", 0)},
        .port_min = 31000,
        .port_max = 31999,
        .allow = {.item = &f->loopback, .count = 1},
        .limits = {.quarantine = USEC_PER_SEC, .learning_window = USEC_PER_SEC},
    };
}

static int start(struct fixture *f)
{
    const struct peers_config peers = {.bind = {at("127.0.0.1", 0)}};
    const struct workers_handler handler = {
        .ctx = f, .event = on_event, .turn = on_listing, .done = on_done};
    assert_int_equal(prefix_parse("127.0.0.0/8", &f->loopback), 0);
    const struct relay_config relay = relay_config(f);
    f->base = event_base_new();
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    const struct workers_config config = {.count = WORKERS, .relay = &relay, .peers = f->peers};
    return workers_new(f->base, &config, &handler, &f->workers);
}

static void stop(struct fixture *f)
{
    workers_free(f->workers);
    peers_free(f->peers);
    event_base_free(f->base);
}

static int ask_renew(struct fixture *f, uint64_t token)
{
    const struct relay_config relay = relay_config(f);
    const struct workers_renewal renewal = {.limits = relay.limits, .allow = relay.allow};
    return workers_renew(f->workers, &renewal, token);
}

static int ask_end_user(struct fixture *f, uint64_t token)
{
    return workers_end_user(f->workers, "alice@example.org", token);
}

static int ask_listing(struct fixture *f, uint64_t token)
{
    return workers_list_turn(f->workers, token);
}

static int ask_snapshot(struct fixture *f, uint64_t token)
{
    const struct order order = {.kind = ORDER_SNAPSHOT, .u.token = token};
    return workers_order(f->workers, &order);
}

// What they were asked before this they have answered then.
static void wait_for_all(struct fixture *f)
{
    f->answers[0] = 0;
    assert_int_equal(ask_snapshot(f, 0), 0);
    while (f->answers[0] < WORKERS)
        event_base_loop(f->base, EVLOOP_ONCE);
}

static void asked_at_each_allocation(int (*ask)(struct fixture *, uint64_t))
{
    struct fixture f = {0};
    bool failed = true;
    unsigned refusals = 0;
    assert_int_equal(start(&f), 0);
    for (uint64_t k = 1; k < ATTEMPTS_MAX && failed; k++) {
        alloc_fail_at((unsigned)k); // here, or in one of their threads
        int r = ask(&f, k);
        while (r == 0 && f.answers[k] < WORKERS)
            event_base_loop(f.base, EVLOOP_ONCE);
        failed = alloc_failed();
        alloc_fail_at(0);
        wait_for_all(&f);
        assert_true(r == 0 || (failed && r == -ENOMEM));
        assert_int_equal(f.answers[k], r == 0 ? WORKERS : 0);
        refusals += r < 0;
    }
    assert_false(failed);
    assert_true(refusals >= 2 * WORKERS);
    stop(&f);
}

static void all_or_none_answer(void **state)
{
    asked_at_each_allocation(ask_renew);
    asked_at_each_allocation(ask_end_user);
    asked_at_each_allocation(ask_listing);
    asked_at_each_allocation(ask_snapshot);
}

// ---- what cannot be lost

struct heard {
    int item[64];
    unsigned count;
};

static void hear(void *ctx, const void *item)
{
    struct heard *heard = ctx;
    heard->item[heard->count++] = *(const int *)item;
}

static void an_item_with_a_slot_arrives_without_memory(void **state)
{
    struct event_base *base = event_base_new();
    struct heard heard = {0};
    struct mailbox *mailbox;
    int marker = MARKER, posted = 0;
    assert_int_equal(mailbox_new(base, sizeof(int), hear, &heard, &mailbox), 0);
    struct mailbox_slot *slot = mailbox_slot_new(mailbox), *left = mailbox_slot_new(mailbox);
    alloc_fail_at(1);
    mailbox_post_sure(mailbox, slot, &marker);
    assert_true(alloc_failed());
    alloc_fail_at(0);
    assert_int_equal(mailbox_post(mailbox, &posted), 0);
    event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(heard.count, 2);
    assert_int_equal(heard.item[0] + heard.item[1], MARKER);
    // The other one waits in a mailbox that goes.
    while (posted < 32 && mailbox_post(mailbox, &posted) == 0)
        posted++;
    alloc_fail_at(1);
    mailbox_post_sure(mailbox, left, &marker);
    alloc_fail_at(0);
    mailbox_free(mailbox);
    mailbox_slot_free(NULL);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_with_a_slot_arrives_without_memory),
        cmocka_unit_test(all_or_none_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
