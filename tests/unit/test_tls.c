// SPDX-License-Identifier: ISC
// Certificates: each way in which they are no good is told in words, a reload takes what is good
// and leaves what is not, and sessions of before go on.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/platform/tls_session.h"
#include "base/log.h"
#include "lib_certificate.h"
#include "platform/tls.h"
#include "platform/udp.h"

#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct fixture {
    struct certificate_files files;
    struct tls *tls;
    char error[TLS_ERROR_MAX];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    certificate_make(&f->files, CERTIFICATE_GOOD, 1);
    assert_int_equal(tls_new(f->files.certificate, f->files.key, &f->tls, f->error), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tls_free(f->tls);
    certificate_remove(&f->files);
    free(f);
    return 0;
}

// A server and a client, face to face in memory.
struct pair {
    SSL *server, *client;
};

static SSL_CTX *client_context(enum tls_kind kind)
{
    SSL_CTX *ctx = SSL_CTX_new(kind == TLS_STREAM ? TLS_client_method() : DTLS_client_method());
    assert_non_null(ctx);
    return ctx;
}

static void pair_new(struct pair *pair, struct tls *tls, SSL_CTX *ctx)
{
    BIO *a, *b;
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    pair->server = tls_session(tls, TLS_STREAM);
    pair->client = SSL_new(ctx);
    assert_non_null(pair->server);
    SSL_set_bio(pair->server, a, a);
    SSL_set_bio(pair->client, b, b);
    SSL_set_connect_state(pair->client);
}

// Whether both sides came through.
static bool shake(struct pair *pair)
{
    for (int i = 0; i < 10; i++) {
        int c = SSL_do_handshake(pair->client), s = SSL_do_handshake(pair->server);
        if (c == 1 && s == 1)
            return true;
        int ce = SSL_get_error(pair->client, c), se = SSL_get_error(pair->server, s);
        if ((c != 1 && ce != SSL_ERROR_WANT_READ) || (s != 1 && se != SSL_ERROR_WANT_READ))
            break;
    }
    return false;
}

static void pair_free(struct pair *pair)
{
    SSL_free(pair->client);
    SSL_free(pair->server);
    ERR_clear_error();
}

static void assert_talk(struct pair *pair)
{
    char got[8] = "";
    assert_int_equal(SSL_write(pair->client, "there", 5), 5);
    assert_int_equal(SSL_read(pair->server, got, sizeof got), 5);
    assert_int_equal(SSL_write(pair->server, "back", 4), 4);
    assert_int_equal(SSL_read(pair->client, got, sizeof got), 4);
}

static int64_t serial_of(const struct pair *pair)
{
    X509 *x509 = SSL_get1_peer_certificate(pair->client);
    int64_t serial = 0;
    assert_non_null(x509);
    ASN1_INTEGER_get_int64(&serial, X509_get0_serialNumber(x509));
    X509_free(x509);
    return serial;
}

static int64_t serial_now(struct tls *tls)
{
    SSL_CTX *ctx = client_context(TLS_STREAM);
    struct pair pair;
    pair_new(&pair, tls, ctx);
    assert_true(shake(&pair));
    int64_t serial = serial_of(&pair);
    pair_free(&pair);
    SSL_CTX_free(ctx);
    return serial;
}

// ---- loading

static void says_what_is_wrong(void **state)
{
    static const struct {
        enum certificate_flaw flaw;
        int error;
        bool in_key; // which file is named first
        const char *words;
    } row[] = {
        {CERTIFICATE_EXPIRED, -EKEYEXPIRED, false, "the certificate expired on 2"},
        {CERTIFICATE_FUTURE, -EKEYEXPIRED, false, "the certificate is not valid before 2"},
        {CERTIFICATE_OTHER_KEY, -EKEYREJECTED, true, "is not the key of the certificate in"},
        {CERTIFICATE_OTHER_KIND, -EKEYREJECTED, true, "is not the key of the certificate in"},
        {CERTIFICATE_PASSPHRASE, -EKEYREJECTED, true, "the key has a passphrase"},
        {CERTIFICATE_NO_CERTIFICATE, -EBADMSG, false, "no usable certificate in PEM form"},
        {CERTIFICATE_NO_KEY, -EBADMSG, true, "no usable private key in PEM form"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct tls *tls = NULL;
        const char *file = row[i].in_key ? f->files.key : f->files.certificate;
        certificate_make(&f->files, row[i].flaw, 2);
        assert_int_equal(tls_new(f->files.certificate, f->files.key, &tls, f->error), row[i].error);
        assert_null(tls);
        assert_memory_equal(f->error, file, strlen(file));
        assert_non_null(strstr(f->error, row[i].words));
        assert_int_equal(ERR_peek_error(), 0);
        // And at a reload, which leaves the one that was.
        f->error[0] = 0;
        assert_int_equal(tls_reload(f->tls, f->error), row[i].error);
        assert_non_null(strstr(f->error, row[i].words));
        assert_int_equal(serial_now(f->tls), 1);
    }
}

static void says_what_cannot_be_opened(void **state)
{
    struct fixture *f = *state;
    struct tls *tls = NULL;
    assert_int_equal(tls_new("/nowhere/cert.pem", f->files.key, &tls, f->error), -ENOENT);
    assert_string_equal(f->error, "/nowhere/cert.pem: No such file or directory");
    assert_int_equal(tls_new(f->files.certificate, f->files.directory, &tls, f->error), -EBADMSG);
    assert_non_null(strstr(f->error, ": is not a file"));
    assert_null(tls);
}

// As another user, in another process, as the daemon would be. Exits with 0 when all is well.
static void be_nobody(struct fixture *f)
{
    enum { NOBODY = 65534 };
    char expected[TLS_ERROR_MAX];
    struct tls *tls;
    if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
        _exit(1);
    if (tls_new(f->files.certificate, f->files.key, &tls, f->error) != -EACCES)
        _exit(2);
    snprintf(expected, sizeof expected,
             "%s: Permission denied: uid 65534 gid 65534 may not read it: mode 0640, owner 0:0",
             f->files.key);
    if (strcmp(f->error, expected) != 0)
        _exit(3);
    _exit(0);
}

static void says_who_may_read(void **state)
{
    struct fixture *f = *state;
    int status;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(f->files.directory, 0755), 0);
    assert_int_equal(chmod(f->files.certificate, 0644), 0);
    assert_int_equal(chmod(f->files.key, 0640), 0);
    pid_t child = fork();
    if (child == 0)
        be_nobody(f);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

// ---- reloading

static void other_files_are_taken_only_when_they_are_good(void **state)
{
    struct fixture *f = *state;
    struct certificate_files other = {0};
    certificate_make(&other, CERTIFICATE_GOOD, 9);
    // The key of one is not the other's.
    assert_int_equal(tls_set_files(f->tls, other.certificate, f->files.key, f->error),
                     -EKEYREJECTED);
    assert_int_equal(serial_now(f->tls), 1);
    assert_int_equal(tls_reload(f->tls, f->error), 0); // the old ones are known still
    assert_int_equal(tls_set_files(f->tls, other.certificate, other.key, f->error), 0);
    assert_int_equal(serial_now(f->tls), 9);
    certificate_make(&other, CERTIFICATE_GOOD, 10);
    assert_int_equal(tls_reload(f->tls, f->error), 0);
    assert_int_equal(serial_now(f->tls), 10);
    certificate_remove(&other);
}

static void a_reload_leaves_sessions_alone(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx = client_context(TLS_STREAM);
    struct pair before, between;
    pair_new(&before, f->tls, ctx);
    assert_true(shake(&before));
    pair_new(&between, f->tls, ctx); // its handshake is still to come
    unsigned generation = tls_generation(f->tls);

    certificate_make(&f->files, CERTIFICATE_GOOD, 2);
    assert_int_equal(serial_now(f->tls), 1);
    assert_int_equal(tls_reload(f->tls, f->error), 0);
    assert_int_equal(serial_now(f->tls), 2);
    assert_int_equal(tls_generation(f->tls), generation + 1);
    assert_true(shake(&between));
    assert_int_equal(serial_of(&between), 1);
    assert_talk(&before);
    assert_talk(&between);

    // Nor does the end of it all.
    tls_free(f->tls);
    f->tls = NULL;
    assert_talk(&before);
    pair_free(&before);
    pair_free(&between);
    SSL_CTX_free(ctx);
}

static void tells_when_it_expires(void **state)
{
    struct fixture *f = *state;
    int64_t left = tls_expires(f->tls) - (int64_t)time(NULL);
    assert_in_range(left, 30 * 24 * 3600 - 60, 30 * 24 * 3600);
}

struct log {
    unsigned lines[8]; // by level
    char last[1024];
};

static void on_log(void *ctx, enum log_level level, const char *message,
                   const struct log_field *field, size_t fields)
{
    struct log *log = ctx;
    log->lines[level]++;
    snprintf(log->last, sizeof log->last, "%s", message);
}

static void run_seconds(struct event_base *base, int seconds)
{
    const struct timeval limit = {.tv_sec = seconds, .tv_usec = 200000};
    event_base_loopexit(base, &limit);
    event_base_dispatch(base);
}

static void watches_the_files(void **state)
{
    struct fixture *f = *state;
    struct log log = {0};
    const struct log_sink sink = {&log, LOG_LEVEL_DEBUG, on_log, NULL};
    struct event_base *base = event_base_new();
    log_set_sink(&sink);
    assert_int_equal(tls_watch(f->tls, base, 1), 0);
    run_seconds(base, 1);
    assert_int_equal(log.lines[LOG_LEVEL_NOTICE] + log.lines[LOG_LEVEL_WARNING], 0);

    // Bad files are told of once, not every second.
    certificate_make(&f->files, CERTIFICATE_OTHER_KEY, 2);
    run_seconds(base, 2);
    assert_int_equal(log.lines[LOG_LEVEL_WARNING], 1);
    assert_non_null(strstr(log.last, "the old TLS certificate stays in use: "));
    assert_non_null(strstr(log.last, "is not the key of"));
    assert_int_equal(serial_now(f->tls), 1);

    certificate_make(&f->files, CERTIFICATE_GOOD, 3);
    run_seconds(base, 1);
    assert_int_equal(log.lines[LOG_LEVEL_NOTICE], 1);
    assert_non_null(strstr(log.last, " was reloaded, valid until 2"));
    assert_int_equal(serial_now(f->tls), 3);

    unlink(f->files.key);
    run_seconds(base, 1);
    assert_int_equal(log.lines[LOG_LEVEL_WARNING], 2);
    assert_non_null(strstr(log.last, "key.pem: No such file or directory"));
    assert_int_equal(serial_now(f->tls), 3);

    log_set_sink(NULL);
    tls_free(f->tls);
    f->tls = NULL;
    event_base_free(base);
}

// ---- handshakes

static void alpn_is_ours_or_none(void **state)
{
    static const struct {
        const char *offer;
        bool ok;
        const char *chosen;
    } row[] = {
        {NULL, true, ""},
        {"\x09stun.turn", true, "stun.turn"},
        {"\x02h2\x09stun.turn", true, "stun.turn"},
        {"\x12stun.nat-discovery\x09stun.turn", true, "stun.turn"},
        {"\x12stun.nat-discovery", true, "stun.nat-discovery"},
        {"\x02h2\x08http/1.1", false, ""},
        {"\x08stun.tur", false, ""},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        SSL_CTX *ctx = client_context(TLS_STREAM);
        struct pair pair;
        const unsigned char *chosen;
        unsigned len;
        if (row[i].offer)
            SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)row[i].offer,
                                    (unsigned)strlen(row[i].offer));
        pair_new(&pair, f->tls, ctx);
        assert_int_equal(shake(&pair), row[i].ok);
        if (row[i].ok) {
            SSL_get0_alpn_selected(pair.client, &chosen, &len);
            assert_int_equal(len, strlen(row[i].chosen));
            assert_memory_equal(chosen ? chosen : (const unsigned char *)"", row[i].chosen, len);
        }
        pair_free(&pair);
        SSL_CTX_free(ctx);
    }
}

static void old_and_weak_are_refused(void **state)
{
    static const struct {
        int version;
        const char *ciphers;
        bool ok;
    } row[] = {
        {TLS1_VERSION, "ALL:@SECLEVEL=0", false},
        {TLS1_1_VERSION, "ALL:@SECLEVEL=0", false},
        {TLS1_2_VERSION, "ALL", true},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
        {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
        {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", false},
        {TLS1_2_VERSION, "eNULL:@SECLEVEL=0", false},
        {TLS1_3_VERSION, "ALL", true},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        SSL_CTX *ctx = client_context(TLS_STREAM);
        struct pair pair;
        SSL_CTX_set_min_proto_version(ctx, row[i].version);
        SSL_CTX_set_max_proto_version(ctx, row[i].version);
        assert_int_equal(SSL_CTX_set_cipher_list(ctx, row[i].ciphers), 1);
        pair_new(&pair, f->tls, ctx);
        assert_int_equal(shake(&pair), row[i].ok);
        pair_free(&pair);
        SSL_CTX_free(ctx);
    }
}

static void nothing_is_renegotiated(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx = client_context(TLS_STREAM);
    struct pair pair;
    char byte;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    pair_new(&pair, f->tls, ctx);
    assert_true(shake(&pair));
    assert_talk(&pair);
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    (void)SSL_do_handshake(pair.client);
    (void)SSL_read(pair.server, &byte, 1);
    assert_int_equal(SSL_do_handshake(pair.client), -1);
    assert_int_equal(SSL_num_renegotiations(pair.server), 0);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    pair_free(&pair);
    SSL_CTX_free(ctx);
}

static void a_ticket_resumes(void **state)
{
    struct fixture *f = *state;
    SSL_CTX *ctx = client_context(TLS_STREAM);
    SSL_SESSION *session = NULL;
    struct pair pair;
    for (int round = 0; round < 2; round++) {
        pair_new(&pair, f->tls, ctx);
        if (session)
            SSL_set_session(pair.client, session);
        assert_true(shake(&pair));
        assert_talk(&pair); // the ticket comes with it
        assert_int_equal(SSL_session_reused(pair.server), round);
        SSL_SESSION_free(session);
        session = SSL_get1_session(pair.client);
        SSL_shutdown(pair.client);
        pair_free(&pair);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
}

// ---- threads

static atomic_bool stop;

static void *make_sessions(void *arg)
{
    while (!atomic_load(&stop)) {
        SSL *ssl = tls_session(arg, TLS_DATAGRAM);
        if (!ssl)
            return arg;
        SSL_free(ssl);
    }
    return NULL;
}

static void reloads_under_the_hands_of_others(void **state)
{
    struct fixture *f = *state;
    enum { THREADS = 3, RELOADS = 20 };
    pthread_t thread[THREADS];
    atomic_store(&stop, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, make_sessions, f->tls), 0);
    for (int i = 0; i < RELOADS; i++)
        assert_int_equal(tls_reload(f->tls, f->error), 0);
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(says_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_cannot_be_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(says_who_may_read, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_are_taken_only_when_they_are_good, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reload_leaves_sessions_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_when_it_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(watches_the_files, setup, teardown),
        cmocka_unit_test_setup_teardown(alpn_is_ours_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(old_and_weak_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_renegotiated, setup, teardown),
        cmocka_unit_test_setup_teardown(a_ticket_resumes, setup, teardown),
        cmocka_unit_test_setup_teardown(reloads_under_the_hands_of_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
