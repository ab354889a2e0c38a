// SPDX-License-Identifier: ISC
// The command line: what it takes, what it refuses and how, and the answers it gives by itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config.h"
#include "nearest.h"
#include "options.h"
#include "unit/lib_certificate.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARGS_MAX 6

static int parse(const char *const args[ARGS_MAX], struct options *ret_options, char error[256])
{
    char *argv[ARGS_MAX + 2] = {(char[]){"jingle-relayd"}};
    char copy[ARGS_MAX][64];
    int argc = 1;
    for (int i = 0; i < ARGS_MAX && args[i]; i++) {
        snprintf(copy[i], sizeof(copy[i]), "%s", args[i]);
        argv[argc++] = copy[i];
    }
    struct options options = {0};
    int r = options_parse(argc, argv, &options, error, 256);
    if (r == 0) {
        *ret_options = options;
        // A view into argv, which ends with this function.
        static char path[64];
        snprintf(path, sizeof(path), "%s", options.config_path);
        ret_options->config_path = path;
    }
    return r;
}

static void options_are_understood(void **state)
{
    static const struct {
        const char *args[ARGS_MAX];
        struct options expected;
    } right[] = {
        {{NULL}, {OPTIONS_RUN, CONFIG_DEFAULT_PATH, false, false}},
        {{"--config", "/x"}, {OPTIONS_RUN, "/x", false, false}},
        {{"--config=/x", "--drain"}, {OPTIONS_RUN, "/x", true, false}},
        {{"-c", "/x"}, {OPTIONS_RUN, "/x", false, false}},
        {{"-c/x", "--check-config"}, {OPTIONS_CHECK_CONFIG, "/x", false, false}},
        {{"--take-over"}, {OPTIONS_RUN, CONFIG_DEFAULT_PATH, false, true}},
        {{"--print-config"}, {OPTIONS_PRINT_CONFIG, CONFIG_DEFAULT_PATH, false, false}},
        {{"--version"}, {OPTIONS_VERSION, CONFIG_DEFAULT_PATH, false, false}},
        {{"-V"}, {OPTIONS_VERSION, CONFIG_DEFAULT_PATH, false, false}},
        {{"-h"}, {OPTIONS_HELP, CONFIG_DEFAULT_PATH, false, false}},
        {{"--help", "--help"}, {OPTIONS_HELP, CONFIG_DEFAULT_PATH, false, false}},
    };
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        struct options options = {0};
        char error[256] = "";
        assert_int_equal(parse(right[i].args, &options, error), 0);
        assert_string_equal(error, "");
        assert_int_equal(options.action, right[i].expected.action);
        assert_string_equal(options.config_path, right[i].expected.config_path);
        assert_int_equal(options.drain, right[i].expected.drain);
        assert_int_equal(options.take_over, right[i].expected.take_over);
    }
}

static void wrong_options_are_named(void **state)
{
    static const struct {
        const char *args[ARGS_MAX];
        const char *error;
    } wrong[] = {
        {{"--chek-config"}, "unknown option --chek-config; did you mean --check-config?"},
        {{"--drain", "--foreground"}, "unknown option --foreground; see --help"},
        {{"-x"}, "unknown option -x; see --help"},
        {{"--drain", "-xV"}, "unknown option -x; see --help"},
        {{"--config"}, "--config needs an argument; see --help"},
        {{"--drain", "-c"}, "-c needs an argument; see --help"},
        {{"--drain=yes"}, "--drain takes no argument"},
        {{"/etc/x.conf", "--bad"}, "unexpected argument \"/etc/x.conf\"; see --help"},
        {{"--check-config", "--version"},
         "expected only one of --check-config, --print-config, --version and --help"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct options options = {.config_path = "untouched"};
        char error[256] = "";
        assert_int_equal(parse(wrong[i].args, &options, error), -EINVAL);
        assert_string_equal(error, wrong[i].error);
        assert_string_equal(options.config_path, "untouched");
    }
}

// ---- answers

struct answer {
    int status;
    char *out;
    char *err;
};

static struct answer answer(enum options_action action, const char *path)
{
    const struct options options = {.action = action, .config_path = path};
    struct answer a;
    size_t out_len;
    size_t err_len;
    FILE *out = open_memstream(&a.out, &out_len);
    FILE *err = open_memstream(&a.err, &err_len);
    a.status = options_answer(&options, out, err);
    fclose(out);
    fclose(err);
    return a;
}

static void answer_free(struct answer *a)
{
    free(a->out);
    free(a->err);
}

static void version_and_help_are_printed(void **state)
{
    struct answer a = answer(OPTIONS_VERSION, "");
    assert_int_equal(a.status, 0);
    assert_string_equal(a.out, "jingle-relayd " RELAYD_VERSION "\n");
    assert_string_equal(a.err, "");
    answer_free(&a);
    a = answer(OPTIONS_HELP, "");
    assert_int_equal(a.status, 0);
    assert_non_null(strstr(a.out, "\n  -c, --config FILE    read"));
    assert_non_null(strstr(a.out, "\n      --drain          on SIGTERM"));
    answer_free(&a);
}

static void write_config(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    fputs(text, f);
    fclose(f);
}

static void configurations_are_checked_and_printed(void **state)
{
    char path[] = "/tmp/test_options.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_config(path, "xmpp = { domain = \"relay.example.org\"; secret = \"hunter2\";\n"
                       " served_domains = [ \"example.org\", \"example.net\" ]; };\n"
                       "relay = { address4 = \"10.0.0.1\"; advertise4 = \"9.9.9.9\"; "
                       "address6 = \"none\"; };\n");
    struct answer a = answer(OPTIONS_CHECK_CONFIG, path);
    assert_int_equal(a.status, 0);
    assert_string_equal(a.out, "OK: relay.example.org relays for example.org, example.net; "
                               "component of 127.0.0.1 port 5347; UDP ports 50000-50999 on "
                               "10.0.0.1 (advertised as 9.9.9.9); figures at "
                               "http://127.0.0.1:8791/\n");
    assert_non_null(strstr(a.err, "warning: /tmp/test_options."));
    assert_non_null(strstr(a.err, ":1: xmpp.secret = \"***\": the secret is short"));
    answer_free(&a);
    a = answer(OPTIONS_PRINT_CONFIG, path);
    assert_int_equal(a.status, 0);
    assert_non_null(strstr(a.out, "    advertise4 = \"9.9.9.9\";\n"));
    assert_null(strstr(a.out, "hunter2"));
    answer_free(&a);

    write_config(path, "xmpp = { prot = 1;\n secret_file = \"/\"; };\n");
    a = answer(OPTIONS_CHECK_CONFIG, path);
    assert_int_equal(a.status, 1);
    assert_string_equal(a.out, "");
    assert_non_null(strstr(a.err, ":1: xmpp.prot: unknown key; did you mean xmpp.port?\n"));
    assert_non_null(strstr(a.err, ":2: xmpp.secret_file = \"/\": cannot be read: Is a directory"));
    assert_non_null(strstr(a.err, "xmpp.domain: this key is required"));
    answer_free(&a);
    unlink(path);
}

// Whether a certificate and its key are any good is found out before the daemon starts.
static void certificates_are_checked(void **state)
{
    static const struct {
        enum certificate_flaw flaw;
        const char *error; // NULL: none
    } cases[] = {
        {CERTIFICATE_GOOD, NULL},
        {CERTIFICATE_OTHER_KEY, "error: turn.certificate, turn.key: /tmp/"},
        {CERTIFICATE_NO_CERTIFICATE, "error: turn.certificate, turn.key: /tmp/"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct certificate_files files = {0};
        char path[128];
        char text[1024];
        certificate_make(&files, cases[i].flaw, 1);
        assert_int_equal(chmod(files.key, 0600), 0);
        snprintf(path, sizeof(path), "%s/conf", files.directory);
        snprintf(text, sizeof(text),
                 "xmpp = { domain = \"relay.example.org\"; secret = \"0123456789abcdef\";\n"
                 " served_domains = [ \"example.org\" ]; };\n"
                 "relay = { address4 = \"9.9.9.9\"; address6 = \"none\"; };\n"
                 "stats = { listen = \"off\"; };\n"
                 "turn = { enabled = true; host = \"turn.example.org\"; ports = [ 3478, 80 ];\n"
                 " certificate = \"%s\"; key = \"%s\"; };\n",
                 files.certificate, files.key);
        write_config(path, text);
        struct answer a = answer(OPTIONS_CHECK_CONFIG, path);
        if (cases[i].error) {
            assert_int_equal(a.status, 1);
            assert_string_equal(a.out, "");
            assert_non_null(strstr(a.err, cases[i].error));
        } else {
            assert_string_equal(a.err, "");
            assert_string_equal(a.out, "OK: relay.example.org relays for example.org; component of "
                                       "127.0.0.1 port 5347; UDP ports 50000-50999 on 9.9.9.9; "
                                       "TURN on UDP and TCP ports 3478, 80, with TLS and DTLS "
                                       "there and on 5349\n");
            assert_int_equal(a.status, 0);
        }
        answer_free(&a);
        unlink(path);
        certificate_remove(&files);
    }
}

static void distances_count_edits(void **state)
{
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("calls", "calls"), 0);
    assert_int_equal(nearest_distance("calls", "call"), 1);
    assert_int_equal(nearest_distance("clals", "calls"), 1); // neighbours swapped
    assert_int_equal(nearest_distance("", "ports"), 5);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("ports", "strop"), nearest_distance("strop", "ports"));
    char longest[65];
    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_int_equal(nearest_distance(longest, "a"), UINT_MAX);
    assert_int_equal(nearest_distance(longest + 1, ""), 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_understood),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(version_and_help_are_printed),
        cmocka_unit_test(configurations_are_checked_and_printed),
        cmocka_unit_test(certificates_are_checked),
        cmocka_unit_test(distances_count_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
