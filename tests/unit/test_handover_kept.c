// SPDX-License-Identifier: ISC
// Sockets and a text that a manager keeps while no daemon runs: for as many attempts as it takes,
// and for one that succeeds.
#include "platform/handover.h"
#include "unit/lib_bound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 700, KEPT = 2, KEPT_MAX = 1500 }; // an image and a bundle

// ---- the manager

struct manager { // of one service, with room for so many descriptors
    int socket;
    struct sockaddr_un address;
    int room;
    int fd[KEPT_MAX];
    char name[KEPT_MAX][32];
    int kept;
    bool deaf; // it removes nothing
    int removals;
    pthread_mutex_t lock; // of what is kept
    pthread_t thread;
};

static void manager_store(struct manager *m, const char *text, const int *fds, size_t count)
{
    const char *name = strstr(text, "FDNAME=");
    assert_non_null(strstr(text, "FDPOLL=0"));
    assert_non_null(name);
    for (size_t i = 0; i < count; i++) {
        if (m->kept == m->room) { // as systemd does it
            close(fds[i]);
            continue;
        }
        m->fd[m->kept] = fds[i];
        snprintf(m->name[m->kept++], sizeof *m->name, "%.*s", (int)strcspn(name + 7, "\n"),
                 name + 7);
    }
}

static void manager_remove(struct manager *m, const char *text)
{
    const char *name = strstr(text, "FDNAME=") + 7;
    int kept = 0;
    m->removals++;
    if (m->deaf)
        return;
    for (int i = 0; i < m->kept; i++) {
        if (strcmp(m->name[i], name) == 0) {
            close(m->fd[i]);
            continue;
        }
        m->fd[kept] = m->fd[i];
        memmove(m->name[kept++], m->name[i], sizeof *m->name);
    }
    m->kept = kept;
}

static bool manager_take(struct manager *m)
{
    char text[512] = "";
    char control[CMSG_SPACE(256 * sizeof(int))];
    int fds[256];
    size_t count = 0;
    struct iovec iov = {.iov_base = text, .iov_len = sizeof text - 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(m->socket, &message, MSG_CMSG_CLOEXEC);
    assert_true(n >= 0);
    text[n] = '\0';
    pthread_mutex_lock(&m->lock);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_type == SCM_RIGHTS) {
            count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(c), count * sizeof(int));
        }
    if (strncmp(text, "FDSTORE=1", 9) == 0)
        manager_store(m, text, fds, count);
    else if (strncmp(text, "FDSTOREREMOVE=1", 15) == 0)
        manager_remove(m, text);
    else if (strncmp(text, "BARRIER=1", 9) == 0)
        close(fds[0]);
    pthread_mutex_unlock(&m->lock);
    return strcmp(text, "end") != 0;
}

static void *manager_main(void *arg)
{
    struct manager *m = arg;
    while (manager_take(m))
        ;
    return NULL;
}

static void manager_start(struct manager *m, int room)
{
    socklen_t len = sizeof m->address;
    *m = (struct manager){
        .room = room, .address = {.sun_family = AF_UNIX}, .lock = PTHREAD_MUTEX_INITIALIZER};
    m->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(m->address.sun_path, sizeof m->address.sun_path, "/tmp/test-handover-%d", getpid());
    unlink(m->address.sun_path);
    assert_int_equal(bind(m->socket, (struct sockaddr *)&m->address, len), 0);
    setenv("NOTIFY_SOCKET", m->address.sun_path, 1);
    assert_int_equal(pthread_create(&m->thread, NULL, manager_main, m), 0);
}

static void manager_has(struct manager *m, int fd, const char *name)
{
    pthread_mutex_lock(&m->lock);
    m->fd[m->kept] = fd;
    strcpy(m->name[m->kept++], name);
    pthread_mutex_unlock(&m->lock);
}

static void manager_stop(struct manager *m)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(sendto(fd, "end", 3, 0, (struct sockaddr *)&m->address, sizeof m->address), 3);
    pthread_join(m->thread, NULL);
    close(fd);
    close(m->socket);
    unlink(m->address.sun_path);
    unsetenv("NOTIFY_SOCKET");
}

static void manager_forget(struct manager *m)
{
    for (int i = 0; i < m->kept; i++)
        close(m->fd[i]);
    m->kept = 0;
}

// In a process of its own, with what the manager keeps from descriptor 3 on, the last first, as
// systemd does it. 'check' says with which status it ends.
static int successor(struct manager *m, int (*check)(struct handover *, void *), void *arg)
{
    pthread_mutex_lock(&m->lock);
    pid_t pid = fork();
    if (pid != 0)
        pthread_mutex_unlock(&m->lock);
    if (pid == 0) {
        char names[KEPT_MAX * 32] = "", number[16];
        int high[KEPT_MAX];
        for (int i = 0; i < m->kept; i++)
            high[i] = fcntl(m->fd[m->kept - 1 - i], F_DUPFD, 3 + KEPT_MAX);
        for (int i = 0; i < m->kept; i++) {
            dup2(high[i], 3 + i);
            strcat(strcat(names, i ? ":" : ""), m->name[m->kept - 1 - i]);
        }
        snprintf(number, sizeof number, "%d", getpid());
        setenv("LISTEN_PID", number, 1);
        snprintf(number, sizeof number, "%d", m->kept);
        setenv("LISTEN_FDS", number, 1);
        setenv("LISTEN_FDNAMES", names, 1);
        struct handover *got = NULL;
        int r = handover_restore(&got);
        _exit(r < 0 ? -r : check(got, arg)); // without a word, if it is not check()'s
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
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

static struct handover *leave(int *fd, struct expected *e)
{
    struct handover *left;
    assert_int_equal(handover_new(&left), 0);
    *e = (struct expected){.sockets = MANY};
    for (int i = 0; i < MANY; i++) {
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

static void left_with(struct manager *m, struct expected *e)
{
    int fd[MANY];
    struct handover *left = leave(fd, e);
    manager_start(m, KEPT_MAX);
    assert_int_equal(handover_store(left), 0);
    handover_free(left);
    for (int i = 0; i < MANY; i++)
        close(fd[i]);
}

static int kept_by(struct manager *m)
{
    pthread_mutex_lock(&m->lock);
    int kept = m->kept;
    pthread_mutex_unlock(&m->lock);
    return kept;
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
        cmocka_unit_test(sockets_without_image),
        cmocka_unit_test(foreign_descriptors_are_left_alone),
        cmocka_unit_test(without_a_manager_nothing_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
