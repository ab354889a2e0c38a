// SPDX-License-Identifier: ISC
// Admission by what the machine has, with real workers that have nothing to do: the limits that can
// be met without load, what is logged and shown, and threads that ask at the same time.
#include "admission.h"
#include "lib/world.h"
#include "platform/load.h"
#include "platform/udp.h"

#include <dirent.h>
#include <event2/thread.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

enum { WORKERS = 2, THREADS = 4, PORT_MIN = 31000, PORT_MAX = 31099 };

struct fixture {
    struct event_base *base;
    struct peers *peers;
    struct workers *workers;
    struct counters counters;
    struct admission *admission;
    unsigned lines;
    char line[256];
};

static void on_log(void *ctx, enum log_level level, const char *message,
                   const struct log_field *field, size_t fields)
{
    struct fixture *f = ctx;

    f->lines++;
    snprintf(f->line, sizeof f->line, "%s", message);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct relay_config relay = {
        .bind = {at("127.0.0.1", 0)}, .port_min = PORT_MIN, .port_max = PORT_MAX};
    const struct peers_config peers = {.bind = {at("127.0.0.1", 0)}};
    const struct workers_handler handler = {.ctx = f};
    const struct log_sink sink = {f, LOG_LEVEL_INFO, on_log, NULL};

    assert_int_equal(evthread_use_pthreads(), 0);
    f->base = event_base_new();
    assert_int_equal(peers_new(&peers, &f->peers), 0);
    const struct workers_config workers = {.count = WORKERS, .relay = &relay, .peers = f->peers};
    assert_int_equal(workers_new(f->base, &workers, &handler, &f->workers), 0);
    log_set_sink(&sink);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    const struct log_sink none = {0};

    workers_free(f->workers);
    admission_free(f->admission);
    log_set_sink(&none);
    peers_free(f->peers);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void begin(struct fixture *f, struct capacity_limits limits)
{
    limits.workers = WORKERS;
    limits.ports_per_call = 2;
    assert_int_equal(admission_new(f->base, &limits, &f->admission), 0);
    assert_int_equal(admission_ask(f->admission, CAPACITY_CALL, usec_now()), CAPACITY_RESOURCES);
    admission_watch(f->admission, f->workers, &f->counters, usec_now());
}

static enum capacity_resource ask(struct fixture *f)
{
    return admission_ask(f->admission, CAPACITY_CALL, usec_now());
}

static void refusing_and_admitting_are_said_once(void **state)
{
    struct fixture *f = *state;

    begin(f, (struct capacity_limits){.number = {40, 0}});
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(ask(f), CAPACITY_RESOURCES);
        counter_add(&f->counters, COUNTER_CALLS_ACTIVE, 1);
    }
    assert_int_equal(f->lines, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(f), CAPACITY_NUMBER);
    assert_int_equal(f->lines, 1);
    assert_non_null(strstr(f->line, "limits.calls is reached; 40 running"));
    // One ends, and another one begins.
    counter_set(&f->counters, COUNTER_CALLS_ACTIVE, 39);
    assert_int_equal(ask(f), CAPACITY_RESOURCES);
    assert_int_equal(f->lines, 1);
    counter_set(&f->counters, COUNTER_CALLS_ACTIVE, 30);
    assert_int_equal(ask(f), CAPACITY_RESOURCES);
    assert_int_equal(f->lines, 2);
    assert_non_null(strstr(f->line, "there is room for 10; 30 running"));
}

static void ports_run_out(void **state)
{
    struct fixture *f = *state;
    struct admission_view view;

    begin(f, (struct capacity_limits){.load = 0});
    view = admission_view(f->admission, usec_now());
    assert_int_equal(view.room[CAPACITY_CALL].bound, CAPACITY_PORTS);
    assert_int_equal(view.room[CAPACITY_CALL].least, (PORT_MAX - PORT_MIN + 1) / 2);
    assert_int_equal(counter_get(&f->counters, COUNTER_ROOM_CALLS), 50);
    assert_int_equal(counter_get(&f->counters, COUNTER_ROOM_CALLS_PORTS), 50);
    assert_int_equal(counter_get(&f->counters, COUNTER_ROOM_TURN_PORTS), 100);
}

static void descriptors_run_out(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, low;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 80; // the test has more than 16 open
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    begin(f, (struct capacity_limits){.load = 0});
    assert_int_equal(ask(f), CAPACITY_DESCRIPTORS);
    assert_non_null(strstr(f->line, "LimitNOFILE"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static rlim_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    rlim_t count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

// Ports that are kept over a restart are there before it is looked what is open without a call.
static void what_is_kept_counts_once(void **state)
{
    enum { PATHS = 10, PORTS = 2 * PATHS };
    struct fixture *f = *state;
    struct order order = {.kind = ORDER_OPEN, .call = 1};
    struct rlimit before, low;
    uint64_t open = 0;

    order.u.open.family_v4[0] = order.u.open.family_v4[1] = true;
    for (order.path = 1; order.path <= PATHS; order.path++)
        assert_int_equal(workers_order(f->workers, &order), 0);
    while (open < PORTS) {
        open = 0;
        for (unsigned i = 0; i < WORKERS; i++)
            open += counter_get(workers_counters(f->workers, i), COUNTER_PORTS_USED);
        usleep(1000);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 64 + open_descriptors() + PORTS - 1; // counted twice nothing would be left
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    begin(f, (struct capacity_limits){.load = 0});
    assert_int_equal(ask(f), CAPACITY_RESOURCES);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void idle_threads_have_no_load(void **state)
{
    struct fixture *f = *state;
    unsigned tries = 0;
    double load;

    begin(f, (struct capacity_limits){.load = 1.0});
    counter_set(&f->counters, COUNTER_CALLS_ACTIVE, 1);
    // Asks for long enough to measure, and is busy all the time; the workers sleep. What others do
    // to their cores is load, too: so one quiet second is enough.
    do {
        usec_t start = usec_now();

        while (usec_now() < start + USEC_PER_SEC)
            (void)ask(f);
        load = admission_view(f->admission, usec_now()).load;
    } while (load >= 0.9 && ++tries < 20);
    assert_true(load < 0.9);
}

static void a_busy_thread_is_seen(void **state)
{
    struct load_thread before, after;
    usec_t start = usec_now(), end;

    if (load_thread(load_own_thread(), &before) < 0)
        skip(); // a kernel without CONFIG_SCHED_INFO
    while ((end = usec_now()) < start + USEC_PER_SEC / 5)
        ;
    assert_int_equal(load_thread(load_own_thread(), &after), 0);
    // It ran, or waited for a core; the kernel counts by the tick.
    assert_true(after.awake - before.awake > (end - start) / 2);
    assert_true(after.core >= 0);
    assert_true(load_thread(1 << 30, &after) < 0);
}

static void cores_are_seen(void **state)
{
    struct load_core core[4], later[4];
    int count = load_cores(core, 4);
    unsigned online = 0;

    if (count < 0)
        skip(); // hidden
    assert_in_range(count, 1, 4);
    assert_true(load_cores(later, 4) > 0);
    for (int i = 0; i < count; i++) {
        online += core[i].online;
        assert_true(core[i].counts || !core[i].online ||
                    access("/proc/net/softnet_stat", R_OK) < 0);
        assert_true(later[i].tasks >= core[i].tasks);
    }
    assert_true(online > 0);
    assert_true(load_cores(core, 1) <= 1);
}

#define about(share, expected)                                                                     \
    assert_true((share) > (expected)-0.001 && (share) < (expected) + 0.001)

static struct load_share in_a_second(struct load_core after)
{
    const struct load_core before = {.online = true, .idle = 5000, .tasks = 7000};

    after.online = true;
    after.idle += before.idle;
    after.tasks += before.tasks;
    return load_share(&before, &after, USEC_PER_SEC);
}

static void interrupts_between_the_ticks_are_seen(void **state)
{
    const struct load_core known = {.online = true}, unknown = {.idle = 0};

    // The kernel forwards; no tick has met it.
    about(in_a_second((struct load_core){.idle = 300000}).interrupts, 0.7);
    about(in_a_second((struct load_core){.idle = 300000, .interrupts = 240000}).interrupts, 0.7);
    // A program has the rest, and a program alone is no interrupt.
    about(in_a_second((struct load_core){.idle = 300000, .tasks = 500000}).interrupts, 0.2);
    about(in_a_second((struct load_core){.tasks = 1000000}).interrupts, 0);
    about(in_a_second((struct load_core){.tasks = 1000000}).busy, 1);
    // Ticks say more than there is room for; a clock that was late, too.
    about(in_a_second((struct load_core){.idle = 900000, .interrupts = 300000}).interrupts, 0.1);
    about(in_a_second((struct load_core){.idle = 1010000}).busy, 0);
    // A core that went, or came.
    about(load_share(&known, &unknown, USEC_PER_SEC).busy, 0);
    about(load_share(&unknown, &known, USEC_PER_SEC).interrupts, 0);
    about(load_share(&known, &known, 0).busy, 0);
}

// A host takes time away: that is no load, but less time to do it in.
static void stolen_time_is_nobodys_load(void **state)
{
    about(in_a_second((struct load_core){.idle = 500000, .stolen = 500000}).busy, 0);
    about(in_a_second((struct load_core){.idle = 300000, .stolen = 500000}).busy, 0.4);
    about(in_a_second((struct load_core){.idle = 300000, .stolen = 500000}).interrupts, 0.4);
    about(in_a_second((struct load_core){.stolen = 1010000}).busy, 1);
}

// Programs that run between two ticks look like interrupts, but no packets came.
static void interrupts_are_no_more_than_packets_cost(void **state)
{
    struct load_core before = {.online = true, .counts = true, .packets = UINT32_MAX - 99};
    struct load_core after = {.online = true, .idle = 300000, .counts = true};

    after.packets = before.packets;
    about(load_share(&before, &after, USEC_PER_SEC).interrupts, 0);
    about(load_share(&before, &after, USEC_PER_SEC).busy, 0.7);
    after.packets += 100; // goes round
    about(load_share(&before, &after, USEC_PER_SEC).interrupts, 0.005);
    after.packets = 99900;
    about(load_share(&before, &after, USEC_PER_SEC).interrupts, 0.7);
    after.counts = false;
    after.packets = 0;
    about(load_share(&before, &after, USEC_PER_SEC).interrupts, 0.7);
}

// The second column of every line, in hexadecimal.
static uint64_t missed_by_proc(void)
{
    FILE *file = fopen("/proc/net/softnet_stat", "re");
    unsigned long missed;
    uint64_t sum = 0;
    char line[512];

    while (file && fgets(line, sizeof line, file)) {
        assert_int_equal(sscanf(line, "%*x %lx", &missed), 1);
        sum += missed;
    }
    if (file)
        fclose(file);
    return sum;
}

static void what_the_kernel_missed_is_read(void **state)
{
    uint64_t before = missed_by_proc(), missed = load_missed(), after = missed_by_proc();

    assert_in_range(missed, before, after);
    if (after == 0)
        skip(); // a kernel that has missed nothing, or does not tell
}

static void *ask_often(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < 500; i++)
        (void)admission_ask(f->admission, CAPACITY_ALLOCATION, usec_now());
    return NULL;
}

static void threads_ask(void **state)
{
    struct fixture *f = *state;
    pthread_t thread[THREADS];

    begin(f, (struct capacity_limits){.load = 0.8, .bandwidth = 1e9});
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask_often, f), 0);
    for (int i = 0; i < 100; i++) {
        (void)ask(f);
        (void)admission_view(f->admission, usec_now());
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static void by_kernel(void *bytes, struct admission_totals *ret_totals)
{
    *ret_totals = (struct admission_totals){.packets = *(const uint64_t *)bytes / 100,
                                            .bytes = *(const uint64_t *)bytes};
}

// The workers see nothing of what the kernel forwards.
static void the_kernels_bandwidth_counts(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes = 1000000;
    usec_t now = usec_now();

    assert_int_equal(admission_new(f->base,
                                   &(struct capacity_limits){.bandwidth = 1e6, .workers = WORKERS},
                                   &f->admission),
                     0);
    admission_count(f->admission, by_kernel, &bytes);
    admission_watch(f->admission, f->workers, &f->counters, now);
    counter_set(&f->counters, COUNTER_CALLS_ACTIVE, 1);
    for (unsigned second = 1; second <= 10; second++) {
        enum capacity_resource bound = second == 1 ? CAPACITY_RESOURCES : CAPACITY_BANDWIDTH;
        assert_int_equal(admission_ask(f->admission, CAPACITY_CALL, now), bound);
        now += 2 * USEC_PER_SEC;
        bytes += 8000000;
    }
    assert_true(admission_view(f->admission, now).bandwidth > 3e6);

    // Figures that cannot be read for once are no traffic, and no less than none.
    bytes = 0;
    now += 30 * USEC_PER_SEC;
    assert_true(admission_view(f->admission, now).bandwidth < 3e6);
}

// Each thread has its own idea of the time; one of them is busy with a burst that began long ago.
static void a_time_that_is_late_spoils_no_measurement(void **state)
{
    struct fixture *f = *state;
    const struct timespec while_it_measures = {.tv_nsec = 300 * 1000 * 1000};
    uint64_t bytes = 0;
    usec_t now = usec_now(), late = now > USEC_PER_SEC ? now - USEC_PER_SEC : 1;
    struct admission_view view;

    assert_int_equal(admission_new(f->base,
                                   &(struct capacity_limits){.bandwidth = 1e6, .workers = WORKERS},
                                   &f->admission),
                     0);
    admission_count(f->admission, by_kernel, &bytes);
    admission_watch(f->admission, f->workers, &f->counters, late);
    bytes = 1000000;
    nanosleep(&while_it_measures, NULL);
    view = admission_view(f->admission, usec_now());
    // Smoothed over two seconds, a million bytes in so long at most; not in a second more.
    double took = (double)(usec_now() - now) / USEC_PER_SEC;
    assert_true(view.bandwidth > 0.99e6 / (2 + took));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refusing_and_admitting_are_said_once),
        TEST(ports_run_out),
        TEST(descriptors_run_out),
        TEST(what_is_kept_counts_once),
        TEST(idle_threads_have_no_load),
        TEST(threads_ask),
        TEST(the_kernels_bandwidth_counts),
        TEST(a_time_that_is_late_spoils_no_measurement),
        cmocka_unit_test(a_busy_thread_is_seen),
        cmocka_unit_test(cores_are_seen),
        cmocka_unit_test(interrupts_between_the_ticks_are_seen),
        cmocka_unit_test(stolen_time_is_nobodys_load),
        cmocka_unit_test(interrupts_are_no_more_than_packets_cost),
        cmocka_unit_test(what_the_kernel_missed_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
