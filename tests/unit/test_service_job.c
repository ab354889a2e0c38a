// SPDX-License-Identifier: ISC
// Stop or restart? A bus of the test's own stands in for systemd's: one thread that answers the
// questions.
#include "platform/service.h"

#include "../../src/platform/service_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void nobody_keeps_descriptors(void **state)
{
    unsetenv("NOTIFY_SOCKET");
    setenv("FDSTORE", "100", 1);
    assert_false(service_restarting());
    setenv("NOTIFY_SOCKET", "/nowhere", 1);
    unsetenv("FDSTORE");
    assert_false(service_restarting());
    setenv("FDSTORE", "0", 1);
    assert_false(service_restarting());
    setenv("FDSTORE", "x", 1);
    assert_false(service_restarting());
}

static void a_manager_that_cannot_be_asked(void **state)
{
    setenv("NOTIFY_SOCKET", "/nowhere", 1);
    setenv("FDSTORE", "100", 1);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus", 1);
    assert_true(service_restarting());
}

#ifdef HAVE_SYSTEMD
#include <systemd/sd-bus.h>

#define UNIT_PATH "/org/freedesktop/systemd1/unit/jingle_2drelayd_2eservice"
#define JOB_PATH  "/org/freedesktop/systemd1/job/4711"

struct systemd { // for one client
    int listener;
    struct sockaddr_un address;
    const char *job; // its type; NULL: none
    pthread_t thread;
};

static int reply_to_get(sd_bus_message *m, const struct systemd *systemd)
{
    const char *interface, *property, *path = sd_bus_message_get_path(m);
    sd_bus_message *reply = NULL;
    assert_true(sd_bus_message_read(m, "ss", &interface, &property) >= 0);
    assert_true(sd_bus_message_new_method_return(m, &reply) >= 0);
    if (strcmp(property, "Job") == 0) {
        assert_string_equal(interface, "org.freedesktop.systemd1.Unit");
        assert_string_equal(path, UNIT_PATH);
        sd_bus_message_append(reply, "v", "(uo)", systemd->job ? 4711u : 0u,
                              systemd->job ? JOB_PATH : "/");
    } else {
        assert_string_equal(interface, "org.freedesktop.systemd1.Job");
        assert_string_equal(property, "JobType");
        assert_string_equal(path, JOB_PATH);
        sd_bus_message_append(reply, "v", "s", systemd->job);
    }
    int r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return r < 0 ? r : 1;
}

// The process is in no unit of a systemd here, or in another's.
static int reply_with_unit(sd_bus_message *m)
{
    uint32_t pid;
    assert_true(sd_bus_message_read(m, "u", &pid) >= 0);
    assert_int_equal(pid, 0); // whoever asks
    return sd_bus_reply_method_return(m, "o", UNIT_PATH);
}

static int on_message(sd_bus_message *m, void *arg, sd_bus_error *error)
{
    if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus", "Hello"))
        return sd_bus_reply_method_return(m, "s", ":1.1");
    if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get"))
        return reply_to_get(m, arg);
    if (sd_bus_message_is_method_call(m, "org.freedesktop.systemd1.Manager", "GetUnitByPID"))
        return reply_with_unit(m);
    return 0;
}

static void *systemd_main(void *arg)
{
    struct systemd *systemd = arg;
    sd_bus *bus = NULL;
    sd_id128_t id = {.bytes = {1}};
    int fd = accept(systemd->listener, NULL, NULL);
    assert_true(fd >= 0 && sd_bus_new(&bus) >= 0);
    assert_true(sd_bus_set_fd(bus, fd, fd) >= 0 && sd_bus_set_server(bus, 1, id) >= 0);
    assert_true(sd_bus_add_filter(bus, NULL, on_message, systemd) >= 0);
    assert_true(sd_bus_start(bus) >= 0);
    for (int r = 1; r >= 0;) {
        r = sd_bus_process(bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus, UINT64_MAX);
    }
    sd_bus_flush_close_unref(bus);
    return NULL;
}

static int asked(const char *job)
{
    struct systemd systemd = {.job = job, .address = {.sun_family = AF_UNIX}};
    char *path = systemd.address.sun_path, text[sizeof systemd.address.sun_path + 16];
    snprintf(path, sizeof systemd.address.sun_path, "/tmp/test-service-job-%d", getpid());
    snprintf(text, sizeof text, "unix:path=%s", path);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", text, 1);
    unlink(path);
    systemd.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(
        bind(systemd.listener, (struct sockaddr *)&systemd.address, sizeof systemd.address), 0);
    assert_int_equal(listen(systemd.listener, 1), 0);
    assert_int_equal(pthread_create(&systemd.thread, NULL, systemd_main, &systemd), 0);
    int r = service_ask_restarting();
    pthread_join(systemd.thread, NULL);
    close(systemd.listener);
    unlink(path);
    return r;
}

static void systemd_is_asked(void **state)
{
    assert_int_equal(asked("restart"), 1);
    assert_int_equal(asked("try-restart"), 1);
    assert_int_equal(asked("stop"), 0);
    assert_int_equal(asked(NULL), 0); // kill(1)
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus", 1);
    assert_true(service_ask_restarting() < 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_keeps_descriptors),
        cmocka_unit_test(a_manager_that_cannot_be_asked),
#ifdef HAVE_SYSTEMD
        cmocka_unit_test(systemd_is_asked),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
