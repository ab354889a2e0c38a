// SPDX-License-Identifier: ISC
// What the stats endpoint says in a few lines of text. Signalling, workers and admission are stood
// in for here; the question comes over HTTP.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stats.h"
#include "unit/lib_bound.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ATTEMPTS = 100, TURNS_MAX = 1000 };

struct fixture {
    struct event_base *base;
    struct counters counters;
    struct stats *stats;
    struct addr addr;
};

// ---- the rest of the daemon

unsigned workers_count(const struct workers *workers)
{
    return 0;
}

const struct counters *workers_counters(const struct workers *workers, unsigned worker)
{
    return NULL;
}

int workers_order(struct workers *workers, const struct order *order)
{
    return 0;
}

int workers_list_turn(struct workers *workers, uint64_t token)
{
    return 0;
}

unsigned signal_calls(const struct signal *signal)
{
    return 0;
}

void signal_each_call(const struct signal *signal,
                      void (*each)(void *ctx, const struct call_report *report), void *ctx)
{
}

const struct histogram *signal_setup_times(const struct signal *signal)
{
    return NULL;
}

const struct histogram *signal_divert_times(const struct signal *signal)
{
    return NULL;
}

struct admission_view admission_view(struct admission *admission, usec_t now)
{
    const struct capacity_room room = {.least = 12, .bound = CAPACITY_PORTS};

    return (struct admission_view){.room = {room, room}, .load = 0.25, .bandwidth = 1e6};
}

void fast_count(const struct fastpath *fastpath, struct counters *counters)
{
}

// ---- the test's side

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct stats_sources sources = {.counters = &f->counters};

    f->base = event_base_new();
    for (int i = 0; i < ATTEMPTS && !f->stats; i++) { // others take ports, too
        f->addr.port = 0;
        close(bound(SOCK_STREAM, false, &f->addr));
        (void)stats_new(f->base, &f->addr, &sources, &f->stats);
    }
    assert_non_null(f->stats);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    stats_free(f->stats);
    event_base_free(f->base);
    free(f);
    return 0;
}

// Asks, and gives the whole answer.
static void get(struct fixture *f, const char *request, char *text, size_t size)
{
    const struct sockaddr_in sa = {.sin_family = AF_INET,
                                   .sin_port = htons(f->addr.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t len = 0;
    ssize_t n = -1;

    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (int i = 0; i < TURNS_MAX && n != 0; i++) {
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        n = recv(fd, text + len, size - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    text[len] = '\0';
}

static void calls_of_all_doors_are_in_the_summary(void **state)
{
    struct fixture *f = *state;
    char text[4096];

    for (enum counter id = COUNTER_CALLS_SETUP; id <= COUNTER_DIVERTED_ACTIVE; id++)
        counter_set(&f->counters, id, 1 + id - COUNTER_CALLS_SETUP);
    get(f, "GET /summary HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", text,
        sizeof text);
    assert_non_null(strstr(text, "calls: 12 being set up, 15 ringing, 18 active\n"));
    assert_non_null(strstr(text, "room for 12 more calls, bound by the "));
    assert_non_null(strstr(text, "; load 25 %, 8.0 Mbit/s\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_of_all_doors_are_in_the_summary, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
