// SPDX-License-Identifier: ISC
// What the service manager and the log get to see: the notify socket, the journal's socket and
// stderr are the test's own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/service.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    int manager; // the service manager's end of NOTIFY_SOCKET
};

static int bind_datagram_socket(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_storage sa;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    memcpy(&sa, &un, sizeof un);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)(void *)&sa, sizeof un) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char path[96];
    snprintf(f->dir, sizeof f->dir, "/tmp/test_service.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(path, sizeof path, "%s/notify", f->dir);
    f->manager = bind_datagram_socket(path);
    assert_true(f->manager >= 0);
    setenv("NOTIFY_SOCKET", path, 1);
    unsetenv("JOURNAL_STREAM");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[96];
    snprintf(path, sizeof path, "%s/notify", f->dir);
    unlink(path);
    rmdir(f->dir);
    close(f->manager);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    log_set_sink(NULL);
    free(f);
    return 0;
}

// What the manager got, or "" when nothing came.
static const char *notified(struct fixture *f, char text[512])
{
    ssize_t n = recv(f->manager, text, 511, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

#ifdef HAVE_SYSTEMD
#define WITH_SYSTEMD(text) (text)
#else
#define WITH_SYSTEMD(text) ""
#endif

static void tells_the_service_manager(void **state)
{
    struct fixture *f = *state;
    char text[512];
    service_ready("12 calls");
    assert_string_equal(notified(f, text), WITH_SYSTEMD("READY=1\nSTATUS=12 calls"));
    service_ready(NULL);
    assert_string_equal(notified(f, text), WITH_SYSTEMD("READY=1\n"));
    service_status("joined\nSTOPPING=1\x01");
    assert_string_equal(notified(f, text), WITH_SYSTEMD("STATUS=joined STOPPING=1 "));
    service_stopping();
    assert_string_equal(notified(f, text), WITH_SYSTEMD("STOPPING=1"));
    service_reloading();
    notified(f, text);
    assert_int_equal(strncmp(text, WITH_SYSTEMD("RELOADING=1\nMONOTONIC_USEC="),
                             strlen(WITH_SYSTEMD("RELOADING=1\nMONOTONIC_USEC="))),
                     0);
}

static void tells_nobody_when_nobody_listens(void **state)
{
    struct fixture *f = *state;
    char text[512];
    unsetenv("NOTIFY_SOCKET");
    service_ready("x");
    service_status("x");
    service_reloading();
    service_stopping();
    assert_string_equal(notified(f, text), "");
}

#ifdef HAVE_SYSTEMD
static uint64_t msec_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
#endif

static void feeds_the_watchdog_at_half_its_interval(void **state)
{
    struct fixture *f = *state;
    char text[512];
    struct event_base *base = event_base_new();
    assert_null(service_watchdog(base)); // nobody asked
    setenv("WATCHDOG_USEC", "200000", 1);
    setenv("WATCHDOG_PID", "1", 1); // asked another process
    assert_null(service_watchdog(base));
    snprintf(text, sizeof text, "%d", (int)getpid());
    setenv("WATCHDOG_PID", text, 1);
    struct event *event = service_watchdog(base);
#ifdef HAVE_SYSTEMD
    assert_non_null(event);
    assert_string_equal(notified(f, text), "WATCHDOG=1");
    // Three more take 300 ms, not less; a busy machine may take longer.
    uint64_t start = msec_now();
    for (unsigned fed = 1; fed <= 3; fed++) {
        event_base_loop(base, EVLOOP_ONCE);
        assert_string_equal(notified(f, text), "WATCHDOG=1");
        assert_true(msec_now() - start >= fed * 100 - 20);
    }
    assert_true(msec_now() - start < 3000);
    service_alive();
    assert_string_equal(notified(f, text), "WATCHDOG=1");
    event_free(event);
#else
    service_alive();
    assert_null(event);
#endif
    assert_string_equal(notified(f, text), "");
    event_base_free(base);
}

// Writes a record with stderr in a file, and returns what stands there.
static char *record_on_stderr(enum log_target target, enum log_level max, enum log_level level,
                              const struct log_field *field, size_t fields, const char *message)
{
    static char line[4096];
    FILE *file = tmpfile();
    assert_non_null(file);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    service_log_open(target, max);
    log_write(level, field, fields, "%s", message);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    line[fread(line, 1, sizeof line - 1, file)] = '\0';
    fclose(file);
    return line;
}

// What follows the time, which is checked for its shape and for being now.
static const char *after_time(const char *line)
{
    struct tm tm = {0};
    const char *rest = strptime(line, "%Y-%m-%dT%H:%M:%S", &tm);
    int msec = -1, used = 0;
    assert_non_null(rest);
    assert_int_equal(sscanf(rest, ".%3dZ %n", &msec, &used), 1);
    assert_int_equal(used, strlen(".000Z "));
    struct timespec now; // and not time(), which may lag behind
    clock_gettime(CLOCK_REALTIME, &now);
    time_t age = now.tv_sec - timegm(&tm);
    assert_true(age >= 0 && age < 10);
    return rest + used;
}

static void writes_one_line_per_record(void **state)
{
    const struct log_field field[] = {{"CALL_ID", "7f01"}, {"LEG", NULL}, {"VERDICT", "carried"}};
    static const struct {
        enum log_level level;
        const char *line;
    } row[] = {
        {LOG_LEVEL_ERR, "error call ended CALL_ID=7f01 VERDICT=carried\n"},
        {LOG_LEVEL_WARNING, "warning call ended CALL_ID=7f01 VERDICT=carried\n"},
        {LOG_LEVEL_NOTICE, "notice call ended CALL_ID=7f01 VERDICT=carried\n"},
        {LOG_LEVEL_INFO, "info call ended CALL_ID=7f01 VERDICT=carried\n"},
        {LOG_LEVEL_DEBUG, "debug call ended CALL_ID=7f01 VERDICT=carried\n"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *line = record_on_stderr(LOG_TARGET_STDERR, LOG_LEVEL_DEBUG, row[i].level, field,
                                            3, "call ended");
        assert_string_equal(after_time(line), row[i].line);
    }
}

static void escapes_what_could_fake_a_line(void **state)
{
    static const struct {
        const char *value, *written;
    } row[] = {
        {"plain", "plain"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"x\"", "\"say \\\"x\\\"\""},
        {"back\\slash", "back\\\\slash"},
        {"x\n2026-01-01 error fake", "\"x\\n2026-01-01 error fake\""},
        {"\r\t\x1b[2J\x7f", "\\x0d\\x09\\x1b[2J\\x7f"},
        {"caf\xc3\xa9 \xe2\x82\xac", "\"caf\xc3\xa9 \xe2\x82\xac\""}, // UTF-8 stays
        {"\xf0\x9f\x93\x9e", "\xf0\x9f\x93\x9e"},                     // U+1F4DE
        {"\xc2\x9b"
         "2J",
         "\\xc2\\x9b2J"},                             // C1: CSI
        {"\xc0\x8a", "\\xc0\\x8a"},                   // newline, overlong
        {"\xe0\x80\x8a", "\\xe0\\x80\\x8a"},          // the same in three
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},          // a surrogate
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, // past U+10FFFF
        {"cut \xe2\x82", "\"cut \\xe2\\x82\""},
        {"\xff\x80", "\\xff\\x80"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct log_field field = {"V", row[i].value};
        char want[256];
        snprintf(want, sizeof want, "info m V=%s\n", row[i].written);
        const char *line =
            record_on_stderr(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_LEVEL_INFO, &field, 1, "m");
        assert_string_equal(after_time(line), want);
    }
    // In a message, which log_write() cleans already, backslashes still tell bytes from text.
    const char *line = record_on_stderr(LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_LEVEL_INFO, NULL, 0,
                                        "a\\n \"b\" \xff\nerror fake");
    assert_string_equal(after_time(line), "info a\\\\n \"b\" \\xff?error fake\n");
}

static void filters_by_level(void **state)
{
    for (int max = LOG_LEVEL_ERR; max <= LOG_LEVEL_DEBUG; max++)
        for (int level = LOG_LEVEL_ERR; level <= LOG_LEVEL_DEBUG; level++) {
            const char *line = record_on_stderr(LOG_TARGET_AUTO, (enum log_level)max,
                                                (enum log_level)level, NULL, 0, "m");
            assert_int_equal(*line != '\0', level <= max);
        }
}

// JOURNAL_STREAM that names another stream than stderr is one inherited from elsewhere.
static void does_not_trust_an_inherited_journal_stream(void **state)
{
    setenv("JOURNAL_STREAM", "1:2", 1);
    const char *line =
        record_on_stderr(LOG_TARGET_AUTO, LOG_LEVEL_INFO, LOG_LEVEL_INFO, NULL, 0, "here");
    assert_string_equal(after_time(line), "info here\n");
    setenv("JOURNAL_STREAM", "nonsense", 1);
    line = record_on_stderr(LOG_TARGET_AUTO, LOG_LEVEL_INFO, LOG_LEVEL_INFO, NULL, 0, "here");
    assert_string_equal(after_time(line), "info here\n");
    unsetenv("JOURNAL_STREAM");
}

#ifdef HAVE_SYSTEMD

enum { CHILD_OK = 0, CHILD_WRONG = 1, CHILD_NO_NAMESPACE = 77 };

static bool contains(const char *data, size_t len, const char *part, size_t part_len)
{
    return memmem(data, len, part, part_len) != NULL;
}

static bool journal_got_the_record(int journal)
{
    char data[4096];
    const struct log_field field[] = {
        {"CALL_ID", "7f01"},
        {"MESSAGE_ID", "8d45620c1a4348dbb17410da57c60c66"},
        {"LEG", NULL},
        {"JID", "a\nPRIORITY=0"},
    };
    log_write(LOG_LEVEL_WARNING, field, 4, "call %s", "ended");
    ssize_t n = recv(journal, data, sizeof data, MSG_DONTWAIT);
    if (n <= 0)
        return false;
    // The native journal protocol: NAME=value lines; a value with a newline is framed by name,
    // newline, its length in 64 bits (little-endian), the value and a newline.
    static const char framed[] = "JID\n"
                                 "\x0c\x00\x00\x00\x00\x00\x00\x00"
                                 "a\nPRIORITY=0\n";
    size_t len = (size_t)n;
    return contains(data, len, "MESSAGE=call ended\n", 19) &&
           contains(data, len, "PRIORITY=4\n", 11) &&
           contains(data, len, "SYSLOG_IDENTIFIER=jingle-relayd\n", 32) &&
           contains(data, len, "CALL_ID=7f01\n", 13) &&
           contains(data, len, "MESSAGE_ID=8d45620c1a4348dbb17410da57c60c66\n", 44) &&
           contains(data, len, framed, sizeof framed - 1) && !contains(data, len, "LEG", 3);
}

// In a mount namespace of its own, where the journal's socket is the test's.
static int journal_child(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/run", "tmpfs", 0, NULL) < 0)
        return CHILD_NO_NAMESPACE;
    // Without a journal, stderr even when the journal was asked for.
    const char *line =
        record_on_stderr(LOG_TARGET_JOURNAL, LOG_LEVEL_INFO, LOG_LEVEL_INFO, NULL, 0, "here");
    if (!strstr(line, " info here\n"))
        return CHILD_WRONG;
    mkdir("/run/systemd", 0755);
    mkdir("/run/systemd/journal", 0755);
    int journal = bind_datagram_socket("/run/systemd/journal/socket");
    if (journal < 0)
        return CHILD_WRONG;
    service_log_open(LOG_TARGET_JOURNAL, LOG_LEVEL_INFO);
    if (!journal_got_the_record(journal))
        return CHILD_WRONG;
    struct stat st;
    char stream[64];
    fstat(STDERR_FILENO, &st);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    service_log_open(LOG_TARGET_AUTO, LOG_LEVEL_INFO);
    return journal_got_the_record(journal) ? CHILD_OK : CHILD_WRONG;
}

static void writes_fields_to_the_journal(void **state)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(journal_child());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_NO_NAMESPACE)
        skip(); // not root
    assert_int_equal(WEXITSTATUS(status), CHILD_OK);
}

#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_the_service_manager),
        TEST(tells_nobody_when_nobody_listens),
        TEST(feeds_the_watchdog_at_half_its_interval),
        TEST(writes_one_line_per_record),
        TEST(escapes_what_could_fake_a_line),
        TEST(filters_by_level),
        TEST(does_not_trust_an_inherited_journal_stream),
#ifdef HAVE_SYSTEMD
        TEST(writes_fields_to_the_journal),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
