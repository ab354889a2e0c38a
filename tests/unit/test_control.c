// SPDX-License-Identifier: ISC
// The control socket against plain sockets, and the verbs behind it against a daemon of canned
// answers. Daemon and client run in one thread; time can be skipped, so that no test waits for a
// deadline.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BIG = 4 << 20, TEXT_MAX = 2 * CONTROL_LINE_MAX };

struct fixture {
    char directory[32], path[64];
    struct event_base *base;
    struct counters counters;
    struct verbs *verbs;
    struct control *control;
    unsigned big;            // bytes of padding in a status
    struct verb_reply later; // of a kick that was not answered
    unsigned kicks, handed;
    unsigned long long call;
    char user[64], mode[16];
};

// libevent's clock is this one, because an executable's symbols come before libc's.
static time_t skipped_seconds;

int clock_gettime(clockid_t id, struct timespec *t)
{
    long error = syscall(SYS_clock_gettime, id, t);
    t->tv_sec += skipped_seconds;
    return (int)error;
}

// Clients are of this user, if any; the group of the socket has others, too.
static uid_t client_user = (uid_t)-1;

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    long error = syscall(SYS_getsockopt, fd, level, name, value, len);
    if (error == 0 && level == SOL_SOCKET && name == SO_PEERCRED && client_user != (uid_t)-1)
        ((struct ucred *)value)->uid = client_user;
    return (int)error;
}

// ---- the daemon

static json_t *on_status(void *ctx)
{
    const struct fixture *f = ctx;
    char *padding = calloc(1, f->big + 1);
    json_t *json;

    assert_non_null(padding);
    memset(padding, 'x', f->big);
    json = json_pack("{s:s, s:s}", "version", "7", "padding", padding);
    free(padding);
    return json;
}

static void on_kick(void *ctx, unsigned long long call, const char *user, struct verb_reply reply)
{
    struct fixture *f = ctx;

    f->kicks++;
    f->call = call;
    snprintf(f->user, sizeof f->user, "%s", user ? user : "");
    f->later = reply;
}

static void on_drain(void *ctx, const char *mode, struct verb_reply reply)
{
    struct fixture *f = ctx;

    snprintf(f->mode, sizeof f->mode, "%s", mode);
    verb_fail(reply, "not today");
}

static void on_hand_over(void *ctx, int connection)
{
    struct fixture *f = ctx;

    f->handed++;
    assert_int_equal(write(connection, "mine", 4), 4);
    close(connection);
}

static void open_control(struct fixture *f)
{
    assert_int_equal(control_new(f->base, f->path, f->verbs, &f->counters, &f->control), 0);
}

static int start(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct verbs_world world = {.ctx = f,
                                      .status = on_status,
                                      .kick = on_kick,
                                      .drain = on_drain,
                                      .hand_over = on_hand_over};

    assert_non_null(f);
    *state = f;
    strcpy(f->directory, "/tmp/test_control.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/run/control", f->directory);
    f->base = event_base_new();
    assert_int_equal(verbs_new(&world, &f->verbs), 0);
    open_control(f);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    char folder[64];

    verbs_free(f->verbs);
    control_free(f->control);
    event_base_free(f->base);
    unlink(f->path);
    snprintf(folder, sizeof folder, "%s/run", f->directory);
    rmdir(folder);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 20; i++)
        event_base_loop(f->base, EVLOOP_NONBLOCK);
}

// ---- the client

static int dial(struct fixture *f)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    memcpy(sa.sun_path, f->path, strlen(f->path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    turn(f);
    return fd;
}

static void say(struct fixture *f, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(f);
}

// What has come by now.
static const char *heard(struct fixture *f, int fd)
{
    static char text[TEXT_MAX];
    size_t len = 0;
    ssize_t n;

    turn(f);
    while ((n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

static bool is_closed(struct fixture *f, int fd)
{
    char byte;

    turn(f);
    return recv(fd, &byte, 1, MSG_PEEK) == 0;
}

static void expect_error(struct fixture *f, int fd, const char *line, const char *part)
{
    say(f, fd, line);
    const char *text = heard(f, fd);
    if (!strstr(text, "\"ok\":false") || !strstr(text, part))
        fail_msg("%s was answered: %s", line, text);
}

// ---- requests and answers

static void a_verb_is_answered(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    say(f, fd, "{\"verb\": \"status\"}\n");
    assert_string_equal(heard(f, fd),
                        "{\"ok\":true,\"result\":{\"version\":\"7\",\"padding\":\"\"}}\n");
    say(f, fd, "{\"verb\": \"sta"); // in pieces
    assert_string_equal(heard(f, fd), "");
    say(f, fd, "tus\", \"args\": {}}\n");
    assert_non_null(strstr(heard(f, fd), "\"ok\":true"));
    assert_int_equal(counter_get(&f->counters, COUNTER_CONTROL_REQUESTS), 2);
    assert_int_equal(counter_get(&f->counters, COUNTER_CONTROL_REFUSED), 0);
    close(fd);
}

static void answers_come_in_order(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    say(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"00ff\"}}\n{\"verb\":\"status\"}\n");
    assert_string_equal(heard(f, fd), ""); // the kick is not done yet
    assert_int_equal(f->call, 0xff);
    verb_answer(f->later, json_pack("{s:i}", "calls", 1));
    const char *text = heard(f, fd);
    assert_ptr_equal(strstr(text, "{\"ok\":true,\"result\":{\"calls\":1}}\n"), text);
    assert_non_null(strstr(text, "\"version\":\"7\""));
    close(fd);
}

static void what_is_wrong_is_told(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    expect_error(f, fd, "status\n", "expected one JSON object");
    expect_error(f, fd, "[]\n", "expected one JSON object");
    expect_error(f, fd, "\n", "expected one JSON object");
    expect_error(f, fd, "{\"verb\":1}\n", "the name of a verb");
    expect_error(f, fd, "{\"verb\":\"status\",\"verb\":\"kick\"}\n", "expected one JSON object");
    expect_error(f, fd, "{\"verb\":\"frobnicate\"}\n", "no such verb");
    expect_error(f, fd, "{\"verb\":\"status\",\"args\":[]}\n", "as an object");
    expect_error(f, fd, "{\"verb\":\"status\",\"args\":{\"x\":\"y\"}}\n", "no argument");
    expect_error(f, fd, "{\"verb\":\"call\"}\n", "needs the argument");
    expect_error(f, fd, "{\"verb\":\"call\",\"args\":{\"id\":1}}\n", "expected a text");
    expect_error(f, fd, "{\"verb\":\"call\",\"args\":{\"id\":\"xyz\"}}\n", "is no id of a call");
    expect_error(f, fd, "{\"verb\":\"drain\",\"args\":{\"mode\":\"maybe\"}}\n", "expected");
    expect_error(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"bob\"}}\n", "neither");
    expect_error(f, fd, "{\"verb\":\"drain\"}\n", "not today"); // the daemon's own
    expect_error(f, fd, "{\"verb\":\"reload\"}\n", "cannot do that");
    assert_int_equal(f->kicks, 0);
    assert_string_equal(f->mode, "on"); // if it is left out
    assert_int_equal(counter_get(&f->counters, COUNTER_CONTROL_REFUSED), 15);
    say(f, fd, "{\"verb\":\"status\"}\n"); // and the connection is as good as before
    assert_non_null(strstr(heard(f, fd), "\"ok\":true"));
    close(fd);
}

// Of what is quoted a part is cut off, which may end inside a character.
static void what_is_quoted_is_cut_anywhere(void **state)
{
    struct fixture *f = *state;
    char line[512] = "{\"verb\":\"call\",\"args\":{\"id\":\"x";
    int fd = dial(f);

    for (int i = 0; i < 40; i++)
        strcat(line, "\xc3\xa9");
    strcat(line, "\"}}\n");
    expect_error(f, fd, line, "is no id of a call");
    expect_error(f, fd, "{\"verb\":\"call\",\"args\":{\"id\":\"\xc3\xa9\"}}\n", "\xc3\xa9");
    close(fd);
}

static void users_and_calls_are_told_apart(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    say(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"alice@example.org\"}}\n");
    assert_string_equal(f->user, "alice@example.org");
    assert_int_equal(f->call, 0);
    verb_fail(f->later, "no");
    say(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"0123456789abcdef\"}}\n");
    assert_string_equal(f->user, "");
    assert_true(f->call == 0x0123456789abcdefULL);
    verb_fail(f->later, "no");
    expect_error(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"0123456789abcdef0\"}}\n",
                 "neither");
    close(fd);
}

static void who_leaves_is_not_answered(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    say(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"1\"}}\n");
    close(fd);
    turn(f);
    verb_answer(f->later, json_object());
    fd = dial(f);
    say(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"1\"}}\n");
    close(fd); // and the daemon ends before it has an answer: stop() frees it
}

static void a_connection_can_be_taken(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    say(f, fd, "{\"verb\":\"hand-over\"}\n");
    assert_int_equal(f->handed, 1);
    assert_string_equal(heard(f, fd), "mine"); // and nothing before it
    assert_true(is_closed(f, fd));
    close(fd);
}

static void keys_are_not_for_the_group(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    client_user = geteuid() + 1;
    expect_error(f, fd, "{\"verb\":\"hand-over\"}\n", "root");
    client_user = (uid_t)-1;
    assert_int_equal(f->handed, 0);
    close(fd);
}

// ---- limits

static void long_lines_end_the_connection(void **state)
{
    struct fixture *f = *state;
    char line[CONTROL_LINE_MAX + 1];
    int fd = dial(f);

    memset(line, ' ', sizeof line);
    memcpy(line, "{\"verb\":\"status\"}", 17);
    line[CONTROL_LINE_MAX - 1] = '\n'; // with its end as long as it may be
    line[CONTROL_LINE_MAX] = '\0';
    say(f, fd, line);
    assert_non_null(strstr(heard(f, fd), "\"ok\":true"));
    memset(line, 'x', CONTROL_LINE_MAX);
    say(f, fd, line); // one more than may come before the end
    assert_non_null(strstr(heard(f, fd), "too long"));
    assert_true(is_closed(f, fd));
    close(fd);
}

static void there_are_so_many_connections(void **state)
{
    struct fixture *f = *state;
    int fd[CONTROL_CONNECTIONS_MAX + 1];

    for (int i = 0; i <= CONTROL_CONNECTIONS_MAX; i++)
        fd[i] = dial(f);
    assert_non_null(strstr(heard(f, fd[CONTROL_CONNECTIONS_MAX]), "too many connections"));
    assert_true(is_closed(f, fd[CONTROL_CONNECTIONS_MAX]));
    say(f, fd[CONTROL_CONNECTIONS_MAX - 1], "{\"verb\":\"status\"}\n");
    assert_non_null(strstr(heard(f, fd[CONTROL_CONNECTIONS_MAX - 1]), "\"ok\":true"));
    close(fd[CONTROL_CONNECTIONS_MAX]);
    close(fd[0]);
    turn(f);
    fd[0] = dial(f); // there is room again
    say(f, fd[0], "{\"verb\":\"status\"}\n");
    assert_non_null(strstr(heard(f, fd[0]), "\"ok\":true"));
    for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
        close(fd[i]);
}

static void silence_ends_a_connection(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    skipped_seconds += CONTROL_IDLE_SECONDS - 5;
    say(f, fd, "{\"verb\":\"status\"}\n"); // the wait begins anew
    assert_non_null(strstr(heard(f, fd), "\"ok\":true"));
    skipped_seconds += CONTROL_IDLE_SECONDS - 5;
    assert_false(is_closed(f, fd));
    skipped_seconds += 10;
    assert_true(is_closed(f, fd));
    close(fd);
}

// A verb takes as long as it takes.
static void waiting_for_a_verb_is_no_silence(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);

    say(f, fd, "{\"verb\":\"kick\",\"args\":{\"target\":\"1\"}}\n");
    skipped_seconds += 10 * CONTROL_IDLE_SECONDS;
    assert_false(is_closed(f, fd));
    verb_answer(f->later, json_object());
    assert_non_null(strstr(heard(f, fd), "\"ok\":true"));
    close(fd);
}

static void who_does_not_read_is_closed(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    char part[65536];
    size_t got = 0;
    ssize_t n;

    f->big = BIG;
    say(f, fd, "{\"verb\":\"status\"}\n");
    skipped_seconds += CONTROL_WRITE_SECONDS + 1;
    turn(f);
    while ((n = recv(fd, part, sizeof part, 0)) > 0)
        got += (size_t)n;
    assert_true(got < BIG); // what the kernel had taken
    assert_true(is_closed(f, fd));
    close(fd);
}

// ---- the socket

static void only_owner_and_group_may_open_it(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
}

static void a_socket_in_use_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct control *second;

    assert_int_equal(control_new(f->base, f->path, f->verbs, &f->counters, &second), -EADDRINUSE);
    int fd = dial(f);
    say(f, fd, "{\"verb\":\"status\"}\n");
    assert_non_null(strstr(heard(f, fd), "\"ok\":true"));
    close(fd);
}

static void a_stale_socket_is_replaced(void **state)
{
    struct fixture *f = *state;
    char other[80];

    // As a daemon leaves it that was killed: another name for it survives.
    snprintf(other, sizeof other, "%s/other", f->directory);
    assert_int_equal(link(f->path, other), 0);
    control_free(f->control);
    assert_int_equal(access(f->path, F_OK), -1); // one that ends takes its socket along
    assert_int_equal(rename(other, f->path), 0);
    open_control(f);
    int fd = dial(f);
    close(fd);
}

static void a_file_is_not_removed(void **state)
{
    struct fixture *f = *state;
    char path[80];
    struct control *second;

    snprintf(path, sizeof path, "%s/file", f->directory);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(control_new(f->base, path, f->verbs, &f->counters, &second), -EEXIST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(control_new(f->base, "/nowhere/at/all", f->verbs, &f->counters, &second),
                     -ENOENT);
    char long_path[256];
    memset(long_path, 'x', sizeof long_path);
    long_path[0] = '/';
    long_path[255] = '\0';
    assert_int_equal(control_new(f->base, long_path, f->verbs, &f->counters, &second),
                     -ENAMETOOLONG);
}

static void the_successors_socket_stays(void **state)
{
    struct fixture *f = *state;
    struct control *second;

    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(control_new(f->base, f->path, f->verbs, &f->counters, &second), 0);
    control_free(f->control);
    f->control = second;
    close(dial(f));
}

static void every_row_can_be_asked_for(void **state)
{
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verb_rows[i];

        assert_ptr_equal(verb_find(verb->name), verb); // no other of that name
        assert_true(verb->help && verb->help[0]);
        assert_true((verb->run != NULL) != verb->takes_connection);
        for (size_t a = 0; a < VERB_ARGUMENTS_MAX && verb->argument[a].name; a++)
            assert_true(verb->argument[a].help && verb->argument[a].help[0]);
    }
    assert_null(verb_find("frobnicate"));
    assert_null(verb_find(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); // as the daemon does
    const struct CMUnitTest tests[] = {
        TEST(a_verb_is_answered),
        TEST(answers_come_in_order),
        TEST(what_is_wrong_is_told),
        TEST(what_is_quoted_is_cut_anywhere),
        TEST(users_and_calls_are_told_apart),
        TEST(who_leaves_is_not_answered),
        TEST(a_connection_can_be_taken),
        TEST(keys_are_not_for_the_group),
        TEST(long_lines_end_the_connection),
        TEST(there_are_so_many_connections),
        TEST(silence_ends_a_connection),
        TEST(waiting_for_a_verb_is_no_silence),
        TEST(who_does_not_read_is_closed),
        TEST(only_owner_and_group_may_open_it),
        TEST(a_socket_in_use_is_left_alone),
        TEST(a_stale_socket_is_replaced),
        TEST(a_file_is_not_removed),
        TEST(the_successors_socket_stays),
        cmocka_unit_test(every_row_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
