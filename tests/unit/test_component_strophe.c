// SPDX-License-Identifier: ISC
// What libstrophe needs from us: descriptors that its select() can take, and the state that it
// forgets to allocate for components. A newer one may need it no more: then a test here says so.
#include "lib_component.h"

#include "../../src/platform/lowfd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = fixture_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static unsigned low_sockets(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < FD_SETSIZE; fd++) {
        int type;
        socklen_t len = sizeof(type);
        struct sockaddr_storage ss;
        socklen_t ss_len = sizeof(ss);
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
            getsockname(fd, (struct sockaddr *)&ss, &ss_len) == 0 && ss.ss_family == AF_INET) {
            n++;
            assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        }
    }
    return n;
}

static unsigned fill_low_numbers(int opened[2048])
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2048) {
        limit.rlim_cur = 2048;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    unsigned count = 0;
    do {
        opened[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(opened[count] >= 0);
    } while (opened[count++] < 1100);
    return count;
}

// Between the library's close() and the refilling another thread may take the number.
static void low_descriptors_survive_thieves(void **state)
{
    struct lowfd low;
    assert_int_equal(lowfd_init(&low), 0);
    int opened[2048];
    unsigned count = fill_low_numbers(opened);
    int thief[LOWFD_RESERVE];
    for (unsigned i = 0; i < LOWFD_RESERVE; i++) {
        int fd = lowfd_move(&low, dup(opened[0]));
        assert_true(fd >= 0 && fd < FD_SETSIZE);
        close(fd);
        thief[i] = dup(opened[0]);
        assert_int_equal(thief[i], fd);
        lowfd_refill(&low);
    }
    int high = dup(opened[0]);
    assert_true(high >= FD_SETSIZE);
    assert_int_equal(lowfd_move(&low, high), -EMFILE);
    close(thief[0]);
    lowfd_refill(&low);
    int fd = lowfd_move(&low, high);
    assert_int_equal(fd, thief[0]);
    assert_int_equal(fcntl(high, F_GETFD), -1); // it was moved, not copied
    close(fd);
    for (unsigned i = 1; i < LOWFD_RESERVE; i++)
        close(thief[i]);
    lowfd_free(&low);
    for (unsigned i = 0; i < count; i++)
        close(opened[i]);
}

// libstrophe calls select(): a number of 1,024 or more overruns its fd_set.
static void the_socket_is_below_1024_whatever_is_open(void **state)
{
    struct fixture *f = *state;
    uint16_t port = closed_port();
    start_with(f, NULL, "127.0.0.1", port);
    unsigned before = low_sockets(); // the test program may have been started with some
    int opened[2048];
    unsigned count = fill_low_numbers(opened);

    server_start(&f->server, f->base, port);
    for (unsigned i = 1; i <= 10; i++) {
        RUN_UNTIL(f, f->server.connections == i && state_is(f, 'U'));
        assert_int_equal(low_sockets(), before + 1);
        server_hang_up(&f->server);
        RUN_UNTIL(f, state_is(f, 'D'));
        assert_int_equal(low_sockets(), before);
    }
    // Without any there is no component, and an honest error.
    struct component *second = NULL;
    struct component_config config = {"relay.test", "x", "127.0.0.1", 1};
    struct component_handler handler = handler_of(f);
    assert_int_equal(component_new(f->base, NULL, &config, &handler, &second), -EMFILE);
    for (unsigned i = 0; i < count; i++)
        close(opened[i]);
}

// libstrophe alone, as its documentation tells, in a process that may die.
static void bare_child(uint16_t port, bool prepared) __attribute__((noreturn));

static int child_on_stanza(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *ctx)
{
    _exit(0);
}

static void child_on_event(xmpp_conn_t *conn, xmpp_conn_event_t event, int error,
                           xmpp_stream_error_t *stream_error, void *ctx)
{
    if (event != XMPP_CONN_CONNECT)
        _exit(2);
    xmpp_handler_add(conn, child_on_stanza, NULL, "message", NULL, NULL);
}

static void bare_child(uint16_t port, bool prepared)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(SIGSEGV, SIG_DFL); // the sanitizers would make an exit status of it
    signal(SIGBUS, SIG_DFL);
    alarm(10);
    xmpp_initialize();
    xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
    xmpp_conn_t *conn = xmpp_conn_new(ctx);
    xmpp_conn_set_jid(conn, "relay.test");
    xmpp_conn_set_pass(conn, SERVER_SECRET);
    if (prepared && component_link_prepare(conn) < 0)
        _exit(3);
    xmpp_conn_set_sockopt_callback(conn, NULL);
    if (xmpp_connect_component(conn, "127.0.0.1", port, child_on_event, NULL) != XMPP_EOK)
        _exit(4);
    for (;;)
        xmpp_run_once(ctx, 10);
}

static int fate_of_child(struct fixture *f, bool prepared)
{
    server_start(&f->server, f->base, 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        bare_child(f->server.port, prepared);
    assert_true(pid > 0);
    int status = 0;
    bool greeted = false;
    pid_t done;
    while ((done = waitpid(pid, &status, WNOHANG)) == 0) { // the child's alarm bounds it
        event_base_loop(f->base, EVLOOP_ONCE);
        if (f->server.up && !greeted) {
            greeted = true;
            server_send(&f->server, "<message from='a@b' to='relay.test'><body>x</body></message>");
        }
    }
    assert_int_equal(done, pid);
    assert_int_equal(f->server.good_handshakes, 1); // it came as far as that
    server_stop(&f->server);
    return status;
}

static void libstrophe_still_needs_to_be_prepared(void **state)
{
    struct fixture *f = *state;
    int status = fate_of_child(f, true);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("component_link_prepare() does not help with this libstrophe: status %x", status);
    status = fate_of_child(f, false);
    if (!WIFSIGNALED(status) || WTERMSIG(status) == SIGALRM)
        fail_msg("this libstrophe serves components without component_link_prepare(), which can "
                 "go: status %x",
                 status);
}

// component_link.c keeps libstrophe from writing what it receives as text; everybody else, and its
// own handshake, has to be served.
static void stanzas_can_still_be_written_as_text(void **state)
{
    xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
    xmpp_stanza_t *stanza = xmpp_iq_new(ctx, "get", "1");
    char *text;
    size_t len;
    assert_int_equal(xmpp_stanza_to_text(stanza, &text, &len), XMPP_EOK);
    assert_non_null(strstr(text, "<iq "));
    xmpp_free(ctx, text);
    xmpp_stanza_release(stanza);
    xmpp_ctx_free(ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(libstrophe_still_needs_to_be_prepared),
        TEST(low_descriptors_survive_thieves),
        TEST(the_socket_is_below_1024_whatever_is_open),
        cmocka_unit_test(stanzas_can_still_be_written_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
