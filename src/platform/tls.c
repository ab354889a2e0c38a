// SPDX-License-Identifier: ISC
// Certificates. A struct tls holds one SSL_CTX per kind of transport; a reload makes both anew and
// puts them in place of the old, which live on in the sessions that were made from them.
#include "platform/tls.h"

#include "base/log_kind.h"
#include "dtls_cookie.h"
#include "tls_session.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// By which a file is known to be another.
struct file_id {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct certificate {
    SSL_CTX *ctx[TLS_KINDS];
    int64_t expires;
};

struct tls {
    char *certificate_file, *key_file;
    pthread_mutex_t lock; // guards what follows
    struct certificate current;
    unsigned generation;
    struct file_id seen[2]; // of the last attempt to load, good or bad
    struct event *watch;
};

struct load { // an attempt
    const char *certificate_file, *key_file;
    char *error;
};

// ---- what is wrong, in words

__attribute__((format(printf, 3, 4))) static int fail(const struct load *load, int r,
                                                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(load->error, TLS_ERROR_MAX, format, args);
    va_end(args);
    ERR_clear_error();
    return r;
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "unknown reason";
}

// Most often the file is readable, for root: so say who wants to read it, and who may.
static int fail_to_open(const struct load *load, const char *file, int error)
{
    struct stat st;
    const char *text = strerror(error);
    if (error != EACCES)
        return fail(load, -error, "%s: %s", file, text);
    if (stat(file, &st) < 0)
        return fail(load, -error, "%s: %s: a directory above it is closed to uid %u", file, text,
                    (unsigned)geteuid());
    return fail(load, -error, "%s: %s: uid %u gid %u may not read it: mode %04o, owner %u:%u", file,
                text, (unsigned)geteuid(), (unsigned)getegid(), (unsigned)st.st_mode & 07777,
                (unsigned)st.st_uid, (unsigned)st.st_gid);
}

static int check_readable(const struct load *load, const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail_to_open(load, file, errno);
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    close(fd);
    if (r == 0 && !S_ISREG(st.st_mode))
        return fail(load, -EBADMSG, "%s: is not a file", file);
    return r;
}

// ---- loading

static int on_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    bool *asked = arg;
    *asked = true;
    return -1;
}

static int load_key(const struct load *load, SSL_CTX *ctx)
{
    bool asked = false;
    SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &asked);
    int ok = SSL_CTX_use_PrivateKey_file(ctx, load->key_file, SSL_FILETYPE_PEM);
    unsigned long error = ERR_peek_last_error();
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (asked)
        return fail(load, -EKEYREJECTED, "%s: the key has a passphrase", load->key_file);
    // A key of another kind (EC for RSA) is taken, beside the certificate.
    if (ok ? !SSL_CTX_check_private_key(ctx) : ERR_GET_LIB(error) == ERR_LIB_X509)
        return fail(load, -EKEYREJECTED, "%s: is not the key of the certificate in %s",
                    load->key_file, load->certificate_file);
    if (!ok)
        return fail(load, -EBADMSG, "%s: no usable private key in PEM form: %s", load->key_file,
                    openssl_reason());
    return 0;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) ? timegm(&tm) : 0;
}

static void format_time(int64_t seconds, char text[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm))
        text[0] = 0;
}

static int check_validity(const struct load *load, SSL_CTX *ctx, int64_t *ret_expires)
{
    const X509 *x509 = SSL_CTX_get0_certificate(ctx);
    int64_t from = seconds_of(X509_get0_notBefore(x509)),
            until = seconds_of(X509_get0_notAfter(x509)), now = time(NULL);
    char text[32];
    if (now > until) {
        format_time(until, text);
        return fail(load, -EKEYEXPIRED, "%s: the certificate expired on %s", load->certificate_file,
                    text);
    }
    if (now < from) {
        format_time(from, text);
        return fail(load, -EKEYEXPIRED, "%s: the certificate is not valid before %s",
                    load->certificate_file, text);
    }
    *ret_expires = until;
    return 0;
}

// RFC 7443 section 3: a client that names protocols must name one that is spoken here. To one that
// names none nothing is said.
static int on_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                   const unsigned char *offer, unsigned offer_len, void *arg)
{
    (void)ssl;
    (void)arg;
    static const unsigned char spoken[] = "\x09stun.turn\x12stun.nat-discovery";
    unsigned char *name;
    if (SSL_select_next_proto(&name, ret_len, spoken, sizeof spoken - 1, offer, offer_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

// Sessions resume by tickets, which the client keeps: nothing is stored here for one who is gone.
static bool configure(SSL_CTX *ctx, enum tls_kind kind)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_cookie_generate_cb(ctx, dtls_cookie_generate);
    SSL_CTX_set_cookie_verify_cb(ctx, dtls_cookie_verify);
    SSL_CTX_set_dh_auto(ctx, 1);
    // RFC 8489 section 6.2.3 has a suite of DHE that "MUST be implemented"; nobody prefers it.
    return SSL_CTX_set_min_proto_version(ctx,
                                         kind == TLS_STREAM ? TLS1_2_VERSION : DTLS1_2_VERSION) &&
           SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM");
}

static int load_kind(const struct load *load, enum tls_kind kind, struct certificate *certificate)
{
    SSL_CTX *ctx = SSL_CTX_new(kind == TLS_STREAM ? TLS_server_method() : DTLS_server_method());
    if (!ctx || !configure(ctx, kind)) {
        SSL_CTX_free(ctx);
        return fail(load, -ENOMEM, "TLS cannot be set up: %s", openssl_reason());
    }
    certificate->ctx[kind] = ctx;
    if (SSL_CTX_use_certificate_chain_file(ctx, load->certificate_file) != 1)
        return fail(load, -EBADMSG, "%s: no usable certificate in PEM form: %s",
                    load->certificate_file, openssl_reason());
    int r = load_key(load, ctx);
    return r < 0 ? r : check_validity(load, ctx, &certificate->expires);
}

static void certificate_clear(struct certificate *certificate)
{
    for (int kind = 0; kind < TLS_KINDS; kind++)
        SSL_CTX_free(certificate->ctx[kind]);
    *certificate = (struct certificate){0};
}

static int load_files(const struct load *load, struct certificate *ret_certificate)
{
    struct certificate certificate = {0};
    int r = check_readable(load, load->certificate_file);
    if (r == 0)
        r = check_readable(load, load->key_file);
    for (int kind = 0; kind < TLS_KINDS && r == 0; kind++)
        r = load_kind(load, (enum tls_kind)kind, &certificate);
    if (r < 0)
        certificate_clear(&certificate);
    else
        *ret_certificate = certificate;
    ERR_clear_error();
    return r;
}

static void identify(const struct tls *tls, struct file_id ret_id[2])
{
    const char *file[] = {tls->certificate_file, tls->key_file};
    memset(ret_id, 0, 2 * sizeof *ret_id); // padding too: it is compared as bytes
    for (int i = 0; i < 2; i++) {
        struct stat st;
        if (stat(file[i], &st) < 0)
            continue;
        ret_id[i].device = st.st_dev;
        ret_id[i].inode = st.st_ino;
        ret_id[i].size = st.st_size;
        ret_id[i].modified = st.st_mtim;
    }
}

// ---- public

int tls_reload(struct tls *tls, char error[TLS_ERROR_MAX])
{
    const struct load load = {tls->certificate_file, tls->key_file, error};
    struct certificate certificate;
    struct file_id id[2]; // taken before: a change while loading is a change to come
    identify(tls, id);
    int r = load_files(&load, &certificate);
    pthread_mutex_lock(&tls->lock);
    memcpy(tls->seen, id, sizeof id);
    if (r == 0) {
        struct certificate old = tls->current;
        tls->current = certificate;
        tls->generation++;
        certificate = old;
    }
    pthread_mutex_unlock(&tls->lock);
    if (r == 0)
        certificate_clear(&certificate);
    return r;
}

int tls_set_files(struct tls *tls, const char *certificate_file, const char *key_file,
                  char error[TLS_ERROR_MAX])
{
    const struct load load = {certificate_file, key_file, error};
    char *old[2] = {tls->certificate_file, tls->key_file};
    char *new[2] = {strdup(certificate_file), strdup(key_file)};
    if (!new[0] || !new[1]) {
        free(new[0]);
        free(new[1]);
        return fail(&load, -ENOMEM, "out of memory");
    }
    tls->certificate_file = new[0];
    tls->key_file = new[1];
    int r = tls_reload(tls, error);
    if (r < 0) {
        tls->certificate_file = old[0];
        tls->key_file = old[1];
    }
    for (int i = 0; i < 2; i++)
        free(r < 0 ? new[i] : old[i]);
    return r;
}

int tls_new(const char *certificate_file, const char *key_file, struct tls **ret_tls,
            char error[TLS_ERROR_MAX])
{
    const struct load load = {certificate_file, key_file, error};
    struct tls *tls = calloc(1, sizeof *tls);
    if (!tls)
        return fail(&load, -ENOMEM, "out of memory");
    pthread_mutex_init(&tls->lock, NULL);
    tls->certificate_file = strdup(certificate_file);
    tls->key_file = strdup(key_file);
    int r = tls->certificate_file && tls->key_file ? tls_reload(tls, error)
                                                   : fail(&load, -ENOMEM, "out of memory");
    if (r < 0)
        tls_free(tls);
    else
        *ret_tls = tls;
    return r;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    if (tls->watch)
        event_free(tls->watch);
    certificate_clear(&tls->current);
    pthread_mutex_destroy(&tls->lock);
    free(tls->certificate_file);
    free(tls->key_file);
    free(tls);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct tls *tls = arg;
    struct file_id id[2];
    char error[TLS_ERROR_MAX], until[32];
    identify(tls, id);
    pthread_mutex_lock(&tls->lock);
    bool same = memcmp(id, tls->seen, sizeof id) == 0;
    pthread_mutex_unlock(&tls->lock);
    if (same)
        return;
    if (tls_reload(tls, error) < 0) {
        log_kind(LOG_CERTIFICATE_BAD, "the old TLS certificate stays in use: %s", error);
        return;
    }
    format_time(tls_expires(tls), until);
    log_kind(LOG_CERTIFICATE, "TLS certificate %s was reloaded, valid until %s",
             tls->certificate_file, until);
}

int tls_watch(struct tls *tls, struct event_base *base, unsigned seconds)
{
    const struct timeval interval = {.tv_sec = (time_t)seconds};
    struct event *watch = event_new(base, -1, EV_PERSIST, on_watch, tls);
    if (!watch || event_add(watch, &interval) < 0) {
        if (watch)
            event_free(watch);
        return -ENOMEM;
    }
    if (tls->watch)
        event_free(tls->watch);
    tls->watch = watch;
    return 0;
}

int64_t tls_expires(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    int64_t expires = tls->current.expires;
    pthread_mutex_unlock(&tls->lock);
    return expires;
}

SSL *tls_session(struct tls *tls, enum tls_kind kind)
{
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->current.ctx[kind]);
    pthread_mutex_unlock(&tls->lock);
    if (ssl)
        SSL_set_accept_state(ssl);
    ERR_clear_error();
    return ssl;
}

unsigned tls_generation(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    unsigned generation = tls->generation;
    pthread_mutex_unlock(&tls->lock);
    return generation;
}
