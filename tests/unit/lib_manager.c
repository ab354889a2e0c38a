// SPDX-License-Identifier: ISC
// See lib_manager.h.
#include "unit/lib_manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
    else if (strncmp(text, "BARRIER=1", 9) == 0) {
        m->barriers++;
        close(fds[0]);
    }
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

void manager_start(struct manager *m, int room)
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

void manager_has(struct manager *m, int fd, const char *name)
{
    pthread_mutex_lock(&m->lock);
    m->fd[m->kept] = fd;
    strcpy(m->name[m->kept++], name);
    pthread_mutex_unlock(&m->lock);
}

void manager_stop(struct manager *m)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(sendto(fd, "end", 3, 0, (struct sockaddr *)&m->address, sizeof m->address), 3);
    pthread_join(m->thread, NULL);
    close(fd);
    close(m->socket);
    unlink(m->address.sun_path);
    unsetenv("NOTIFY_SOCKET");
}

void manager_forget(struct manager *m)
{
    for (int i = 0; i < m->kept; i++)
        close(m->fd[i]);
    m->kept = 0;
}

int kept_by(struct manager *m)
{
    pthread_mutex_lock(&m->lock);
    int kept = m->kept;
    pthread_mutex_unlock(&m->lock);
    return kept;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

int successor(struct manager *m, int (*check)(struct handover *, void *), void *arg)
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
        struct rlimit limit = {m->descriptors, m->descriptors};
        unsigned before = open_descriptors();
        if (m->descriptors > 0 && setrlimit(RLIMIT_NOFILE, &limit) < 0)
            _exit(208);
        struct handover *got = NULL;
        int r = handover_restore(&got);
        if (r < 0 && open_descriptors() > before)
            _exit(209);
        _exit(r < 0 ? -r : check(got, arg)); // without a word, if it is not check()'s
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
