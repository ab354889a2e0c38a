// SPDX-License-Identifier: ISC
// One daemon after another, without daemons: what stands at the control socket is played here, and
// leaves whatever it likes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "succession.h"

#include "codec/state.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct daemon_before {
    char path[64];
    int listener, patience_ms, result;
    const char *text; // that it leaves; NULL: none
    pthread_t thread;
};

static void *leave(void *arg)
{
    struct daemon_before *before = arg;
    struct handover *handover;
    char request[64];
    int fd = accept(before->listener, NULL, NULL);

    assert_true(fd >= 0 && recv(fd, request, sizeof request, 0) > 0);
    assert_int_equal(handover_new(&handover), 0);
    if (before->text)
        assert_int_equal(handover_set_state(handover, before->text, strlen(before->text)), 0);
    before->result = handover_send(handover, fd, before->patience_ms);
    handover_free(handover);
    close(fd);
    return NULL;
}

static void start(struct daemon_before *before)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(before->path, sizeof before->path, "/tmp/test-succession-%d", getpid());
    strcpy(address.sun_path, before->path);
    unlink(before->path);
    before->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(before->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(before->listener, 1), 0);
    assert_int_equal(pthread_create(&before->thread, NULL, leave, before), 0);
}

static void finish(struct daemon_before *before)
{
    pthread_join(before->thread, NULL);
    close(before->listener);
    unlink(before->path);
}

// A snapshot of so many workers, on which so many calls live.
static char *snapshot(unsigned workers, unsigned calls)
{
    struct restart_parts parts = {
        .workers = json_array(),
        .signal = state_new(),
        .calls = calls,
        .stopped = usec_now(),
    };
    size_t len;

    for (unsigned i = 0; i < workers; i++)
        json_array_append_new(parts.workers, state_new());
    return restart_write(&parts, &len);
}

static void what_cannot_be_used_is_not_taken(void **state)
{
    static const char *const texts[] = {NULL, "?", "{\"v\":99}"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct daemon_before before = {.text = texts[i], .patience_ms = 20000};
        struct succession succession;
        struct config config = {0};
        start(&before);
        config.control.socket = before.path;
        assert_int_equal(succession_open(&config, true, &succession), -EPROTO);
        finish(&before);
        assert_int_equal(before.result, -ECONNRESET); // and goes on
    }
}

static void who_starts_too_slowly_does_not_run(void **state)
{
    char *text = snapshot(1, 0);
    struct daemon_before before = {.text = text, .patience_ms = 200};
    struct succession succession;
    struct config config = {0};
    struct counters counters = {0};

    start(&before);
    config.control.socket = before.path;
    assert_int_equal(succession_open(&config, true, &succession), 0);
    finish(&before); // it has waited for long enough
    assert_int_equal(before.result, -ETIMEDOUT);
    assert_int_equal(succession_done(&succession, NULL, &counters), -ECANCELED);
    succession_free(&succession);
    free(text);
}

// With what lives on the workers, or without: the rest of the snapshot is for both.
static void another_number_of_workers(void **state)
{
    for (unsigned calls = 0; calls < 2; calls++) {
        char *text = snapshot(3, calls);
        struct daemon_before before = {.text = text, .patience_ms = 20000};
        struct succession succession;
        struct config config = {0};
        start(&before);
        config.control.socket = before.path;
        assert_int_equal(succession_open(&config, true, &succession), 0);
        assert_int_equal(succession_workers(&succession, 2), calls ? 3 : 2);
        assert_int_equal(succession.revival.states != NULL, calls > 0);
        assert_non_null(succession.restart.root); // nonces and secrets
        succession_free(&succession);
        finish(&before);
        free(text);
    }
}

static void nobody_runs(void **state)
{
    struct succession succession;
    char path[] = "/tmp/test-succession-nobody";
    struct config config = {.control.socket = path};

    assert_int_equal(succession_open(&config, true, &succession), 0);
    assert_null(succession.handover);
    succession_free(&succession);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_used_is_not_taken),
        cmocka_unit_test(who_starts_too_slowly_does_not_run),
        cmocka_unit_test(another_number_of_workers),
        cmocka_unit_test(nobody_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
