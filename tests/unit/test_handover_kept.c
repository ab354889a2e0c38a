// SPDX-License-Identifier: ISC
// Sockets and a text that a manager keeps while no daemon runs: for as many attempts as it takes,
// and for one that succeeds.
#include "../../src/platform/handover_internal.h"
#include "unit/lib_bound.h"
#include "unit/lib_manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MANY = 700,
    MORE = 12 * HANDOVER_BATCH, // than fit into a small bundle
    KEPT = 2,                   // an image and a bundle
};

// ---- the system

static struct { // what goes wrong with it
    bool small; // socket pairs take few messages
    int messages_until_refused;
    const char *not_told;
} trouble;

int __real_socketpair(int family, int type, int protocol, int pair[2]);
int __wrap_socketpair(int family, int type, int protocol, int pair[2]);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_sd_notify(int unset, const char *text) __attribute__((weak)); // or no systemd
int __wrap_sd_notify(int unset, const char *text);

int __wrap_socketpair(int family, int type, int protocol, int pair[2])
{
    int least = 1, r = __real_socketpair(family, type, protocol, pair);
    if (r == 0 && trouble.small)
        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    return r;
}

// Once, as by a kernel that has too many descriptors of this user on their way.
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (trouble.messages_until_refused > 0 && --trouble.messages_until_refused == 0) {
        errno = ETOOMANYREFS;
        return -1;
    }
    return __real_sendmsg(fd, message, flags);
}

int __wrap_sd_notify(int unset, const char *text)
{
    if (trouble.not_told && strstr(text, trouble.not_told))
        return -ENOBUFS;
    return __real_sd_notify(unset, text);
}

struct expected {
    struct addr addr[2];
    uint64_t cookie[2];
    unsigned sockets;
};

static int everything_is_there(struct handover *got, void *arg)
{
    const struct expected *e = arg;
    size_t len;
    const char *text = got ? handover_state(got, &len) : NULL;
    if (!text || len != 5 || memcmp(text, "state", 5) != 0)
        return 200;
    if (handover_sockets(got) != e->sockets)
        return 201;
    for (int i = 0; i < 2; i++) {
        int fd = handover_take(got, HANDOVER_UDP, &e->addr[i]);
        uint64_t cookie;
        socklen_t cookie_len = sizeof cookie;
        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &cookie_len) < 0 ||
            cookie != e->cookie[i])
            return 202;
    }
    return getenv("LISTEN_FDS") ? 203 : 0;
}

static int fails(struct handover *got, void *arg)
{
    int r = everything_is_there(got, arg);
    if (!handover_is_kept(got))
        return 204;
    handover_free(got);
    return r;
}

static int succeeds(struct handover *got, void *arg)
{
    int r = everything_is_there(got, arg);
    handover_used(got);
    if (handover_is_kept(got))
        return 205;
    handover_used(got);
    handover_free(got);
    return r;
}

static int nothing_is_there(struct handover *got, void *arg)
{
    return got != NULL;
}

static struct handover *leave_some(int *fd, int count, struct expected *e)
{
    struct handover *left;
    assert_int_equal(handover_new(&left), 0);
    *e = (struct expected){.sockets = (unsigned)count};
    for (int i = 0; i < count; i++) {
        struct addr addr = {.port = i == 1 ? e->addr[0].port : 0};
        fd[i] = bound(SOCK_DGRAM, i < 2, &addr); // the first two are a group
        if (i < 2) {
            e->addr[i] = addr;
            e->cookie[i] = cookie_of(fd[i]);
        }
        assert_int_equal(handover_add(left, fd[i]), 0);
    }
    assert_int_equal(handover_set_state(left, "state", 5), 0);
    return left;
}

static struct handover *leave(int *fd, struct expected *e)
{
    return leave_some(fd, MANY, e);
}

static void all_left_with(struct manager *m, int count, struct expected *e)
{
    int fd[MORE];
    struct handover *left = leave_some(fd, count, e);
    manager_start(m, KEPT_MAX);
    assert_int_equal(handover_store(left), 0);
    handover_free(left);
    for (int i = 0; i < count; i++)
        close(fd[i]);
}

static void left_with(struct manager *m, struct expected *e)
{
    all_left_with(m, MANY, e);
}

static void a_manager_keeps_them(void **state)
{
    static struct manager m;
    struct expected e;
    left_with(&m, &e);
    assert_int_equal(kept_by(&m), KEPT);
    for (int i = 0; i < KEPT; i++)
        assert_int_equal(strlen(m.name[i]), 1);
    int removals = m.removals;
    assert_int_equal(successor(&m, succeeds, &e), 0);
    manager_stop(&m);
    assert_int_equal(m.removals, removals + 3); // the successor had it forgotten
    assert_int_equal(m.kept, 0);
}

// Each that says so before it ends takes nothing away, however many they are.
static void starts_that_fail_take_nothing_away(void **state)
{
    static struct manager m;
    struct expected e;
    left_with(&m, &e);
    int removals = m.removals;
    for (int i = 0; i < 5; i++)
        assert_int_equal(successor(&m, fails, &e), 0);
    assert_int_equal(kept_by(&m), KEPT);
    assert_int_equal(m.removals, removals);
    assert_int_equal(successor(&m, succeeds, &e), 0);
    manager_stop(&m);
    assert_int_equal(m.kept, 0);
}

// It may be what they crash of: the second is the last, whatever has failed in between.
static void starts_that_crash_end_it(void **state)
{
    static struct manager m;
    struct expected e;
    left_with(&m, &e);
    assert_int_equal(successor(&m, everything_is_there, &e), 0);
    assert_int_equal(successor(&m, fails, &e), 0);
    assert_int_equal(successor(&m, fails, &e), 0);
    assert_int_equal(successor(&m, everything_is_there, &e), 0);
    assert_int_equal(kept_by(&m), KEPT);
    assert_int_equal(successor(&m, nothing_is_there, NULL), ELOOP);
    manager_stop(&m);
    assert_int_equal(m.kept, 0);
}

static void is_not_used_twice_by_a_manager_that_forgets_nothing(void **state)
{
    static struct manager m;
    struct expected e;
    left_with(&m, &e);
    m.deaf = true;
    assert_int_equal(successor(&m, succeeds, &e), 0);
    assert_int_equal(kept_by(&m), KEPT);
    assert_int_equal(successor(&m, nothing_is_there, NULL), ESTALE);
    assert_int_equal(kept_by(&m), KEPT);
    // What is left later goes before it.
    int fd[MANY];
    struct handover *left = leave(fd, &e);
    assert_int_equal(handover_store(left), 0);
    handover_free(left);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
    assert_int_equal(successor(&m, succeeds, &e), 0);
    manager_stop(&m);
    manager_forget(&m);
}

static int without_sockets(struct handover *got, void *arg)
{
    size_t len;
    if (handover_sockets(got) != 0 || !handover_state(got, &len))
        return 206;
    handover_used(got);
    handover_free(got);
    return 0;
}

// The sockets that found no room are missing.
static void a_manager_with_too_little_room(void **state)
{
    static struct manager m;
    struct expected e;
    int fd[MANY];
    struct handover *left = leave(fd, &e);
    manager_start(&m, 1);
    assert_int_equal(handover_store(left), 0);
    pthread_mutex_lock(&m.lock);
    assert_int_equal(m.kept, 1);
    pthread_mutex_unlock(&m.lock);
    assert_int_equal(successor(&m, without_sockets, NULL), 0);
    manager_stop(&m);
    handover_free(left);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
}

static void more_than_one_bundle_takes(void **state)
{
    static struct manager m;
    struct expected e;
    trouble.small = true;
    all_left_with(&m, MORE, &e);
    trouble.small = false;
    assert_true(kept_by(&m) > KEPT);
    assert_int_equal(successor(&m, succeeds, &e), 0);
    manager_stop(&m);
    assert_int_equal(m.kept, 0);
}

// The manager takes what is on its way to it, and the bundle is made anew.
static void too_many_on_their_way(void **state)
{
    static struct manager m;
    struct expected e;
    trouble.messages_until_refused = 2;
    left_with(&m, &e);
    assert_int_equal(trouble.messages_until_refused, 0);
    assert_int_equal(kept_by(&m), KEPT);
    assert_int_equal(m.barriers, 2); // and the one at the end
    assert_int_equal(successor(&m, succeeds, &e), 0);
    manager_stop(&m);
}

// Some of the last message would still go: a part is not taken for all.
static void too_few_descriptors_for_the_successor(void **state)
{
    static struct manager m;
    struct expected e;
    left_with(&m, &e);
    m.descriptors = MANY - 50;
    assert_int_equal(successor(&m, everything_is_there, &e), EMFILE);
    manager_stop(&m);
    assert_int_equal(m.kept, 0);
}

static void each_is_forgotten_by_itself(void **state)
{
    static struct manager m;
    struct expected e;
    left_with(&m, &e);
    int removals = m.removals;
    trouble.not_told = "FDNAME=i";
    assert_int_equal(successor(&m, succeeds, &e), 0);
    trouble.not_told = NULL;
    manager_stop(&m);
    assert_int_equal(m.removals, removals + 2);
    assert_int_equal(m.kept, 1);
    assert_string_equal(m.name[0], "i");
    manager_forget(&m);
}

// ---- other releases, other people

// The image alone is kept, as there was no room for more.
static struct handover *image_left_with(struct manager *m, int *fd, struct expected *e)
{
    struct handover *left = leave(fd, e);
    manager_start(m, 1);
    assert_int_equal(handover_store(left), 0);
    assert_int_equal(kept_by(m), 1);
    return left;
}

// A release before bundles stored each by itself.
static void sockets_by_themselves(void **state)
{
    for (int loose = MANY / 2; loose <= MANY; loose += MANY / 2) {
        static struct manager m;
        struct expected e;
        int fd[MANY];
        struct handover *left = image_left_with(&m, fd, &e);
        size_t first = MANY / 2;
        if (loose < MANY)
            manager_has(&m, handover_bundle(left, &first), "b");
        handover_free(left);
        for (int i = 0; i < MANY; i++) {
            if (i < loose)
                manager_has(&m, fd[i], "s");
            else
                close(fd[i]);
        }
        assert_int_equal(successor(&m, succeeds, &e), 0);
        manager_stop(&m);
        assert_int_equal(m.kept, 0);
    }
}

static int foreign_bundle(int kind, int fd)
{
    struct addr addr = {0};
    int pair[2];
    if (kind == 0)
        return bound(SOCK_DGRAM, false, &addr);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(handover_put(pair[1], "", 1, &fd, 1), 0);
    assert_int_equal(handover_put(pair[1], "", 1, NULL, 0), 0); // without descriptors
    close(pair[1]);
    return pair[0];
}

// With an image or without: it is of no use, and that is said.
static void bundles_that_are_none(void **state)
{
    for (int i = 0; i < 4; i++) {
        static struct manager m;
        struct expected e;
        int fd[MANY];
        struct handover *left = image_left_with(&m, fd, &e);
        if (i >= 2)
            manager_forget(&m);
        manager_has(&m, foreign_bundle(i % 2, fd[0]), "b");
        assert_int_equal(successor(&m, nothing_is_there, NULL), EPROTO);
        manager_stop(&m);
        assert_int_equal(m.kept, 0);
        handover_free(left);
        for (int j = 0; j < MANY; j++)
            close(fd[j]);
    }
}

// Somebody else has taken the image, or it was removed: then the sockets are of no use.
static void sockets_without_image(void **state)
{
    static struct manager m;
    struct addr addr = {0};
    manager_start(&m, KEPT_MAX);
    manager_has(&m, bound(SOCK_DGRAM, false, &addr), "s");
    assert_int_equal(successor(&m, nothing_is_there, NULL), EPROTO);
    manager_stop(&m);
    assert_int_equal(m.kept, 0);
}

static void foreign_descriptors_are_left_alone(void **state)
{
    static struct manager m;
    struct addr addr = {0};
    manager_start(&m, KEPT_MAX);
    manager_has(&m, bound(SOCK_DGRAM, false, &addr), "activation");
    assert_int_equal(successor(&m, nothing_is_there, NULL), 0);
    manager_stop(&m);
    assert_int_equal(m.kept, 1);
    assert_int_equal(m.removals, 0);
    manager_forget(&m);
}

static void without_a_manager_nothing_is_stored(void **state)
{
    struct handover *left, *got = NULL;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(handover_new(&left), 0);
    assert_int_equal(handover_store(left), -EOPNOTSUPP);
    setenv("NOTIFY_SOCKET", "/nowhere/at-all", 1);
    assert_true(handover_store(left) < 0);
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(handover_restore(&got), 0);
    assert_null(got);
    handover_free(left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_keeps_them),
        cmocka_unit_test(starts_that_fail_take_nothing_away),
        cmocka_unit_test(starts_that_crash_end_it),
        cmocka_unit_test(is_not_used_twice_by_a_manager_that_forgets_nothing),
        cmocka_unit_test(a_manager_with_too_little_room),
        cmocka_unit_test(more_than_one_bundle_takes),
        cmocka_unit_test(too_many_on_their_way),
        cmocka_unit_test(too_few_descriptors_for_the_successor),
        cmocka_unit_test(each_is_forgotten_by_itself),
        cmocka_unit_test(sockets_by_themselves),
        cmocka_unit_test(bundles_that_are_none),
        cmocka_unit_test(sockets_without_image),
        cmocka_unit_test(foreign_descriptors_are_left_alone),
        cmocka_unit_test(without_a_manager_nothing_is_stored),
    };
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
