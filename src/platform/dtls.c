// SPDX-License-Identifier: ISC
// DTLS sessions. A hello from a source without a session is shown to the greeter, a session made in
// advance that belongs to nobody: it answers with a cookie and forgets; when a hello brings the
// cookie back, the greeter becomes that client's session, and the next stranger gets another.
//
// A session dies in two steps, so that a handler never loses one under its hands: session_end()
// unlinks it, and it is told and freed before the next datagram or at the next tick.
#include "platform/dtls.h"

#include "base/cursor.h"

#include "base/map.h"
#include "base/timer.h"
#include "dtls_cookie.h"
#include "dtls_pipe.h"
#include "source.h"
#include "tls_session.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/time.h>

enum {
    MTU = 1200,          // of handshakes; fits every path (RFC 8200 section 5, with room to spare)
    MESSAGE_MAX = 16384, // RFC 6347 section 4.1.1: a record's
    RECORD_HEADER = 13,  // type, version, epoch, sequence number, length
    MESSAGES_PER_DATAGRAM = 16,
};

// Owned by its dtls.
struct dtls_session {
    TAILQ_ENTRY(dtls_session) entry; // in half_open, open or dead; the greeter is in none
    struct map_node node;
    struct dtls *dtls;
    struct source *source;
    SSL *ssl;
    struct dtls_pipe pipe; // has 'remote'
    struct addr local;
    bool open; // the handshake is over
    bool trusted, dead;
    bool known; // to the handler
    void *user; // the handler's
    struct timer timer;
    usec_t began, heard, resend; // 'resend': USEC_NEVER when nothing is to be sent again
};
TAILQ_HEAD(dtls_sessions, dtls_session);

struct dtls {
    struct dtls_config config;
    struct dtls_handler handler;
    struct counters *counters;
    BIO_METHOD *method;
    BIO_ADDR *unused; // that DTLSv1_listen() wants
    struct dtls_cookie_for cookie_for;
    struct dtls_session *greeter;
    unsigned generation;                        // of the greeter's certificate
    struct map sessions;                        // by both addresses
    struct dtls_sessions half_open, open, dead; // the first two oldest first
    unsigned half_opens;
    struct sources sources;
    struct timers timers;
    uint8_t buffer[DTLS_HEADROOM + MESSAGE_MAX + DTLS_TAILROOM];
};

// ---- finding

static uint64_t hash_of(const struct dtls *dtls, const struct addr *remote,
                        const struct addr *local)
{
    struct {
        uint8_t ip[16];
        uint16_t port;
    } key[2];
    memset(key, 0, sizeof key);
    memcpy(key[0].ip, remote->ip, sizeof key[0].ip);
    memcpy(key[1].ip, local->ip, sizeof key[1].ip);
    key[0].port = remote->port;
    key[1].port = local->port;
    return map_hash(&dtls->sessions, key, sizeof key);
}

static struct dtls_session *find(const struct dtls *dtls, const struct addr *remote,
                                 const struct addr *local)
{
    uint64_t hash = hash_of(dtls, remote, local);
    for (struct map_node *n = map_first(&dtls->sessions, hash); n; n = map_next(n)) {
        struct dtls_session *session = container_of(n, struct dtls_session, node);
        if (addr_equal(&session->pipe.remote, remote) && addr_equal(&session->local, local))
            return session;
    }
    return NULL;
}

bool dtls_knows(const struct dtls *dtls, const struct addr *remote, const struct addr *local)
{
    return find(dtls, remote, local) != NULL;
}

// ---- the end of a session

static void session_free(struct dtls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    free(session);
    ERR_clear_error();
}

static void session_end(struct dtls_session *session, enum counter cause)
{
    struct dtls *dtls = session->dtls;
    if (session->dead)
        return;
    counter_add(dtls->counters, cause, 1);
    ERR_clear_error();
    if (session->open) {
        counter_add(dtls->counters, COUNTER_CONN_DTLS, UINT64_MAX); // less one
        (void)SSL_shutdown(session->ssl);
    }
    TAILQ_REMOVE(session->trusted ? &dtls->open : &dtls->half_open, session, entry);
    dtls->half_opens -= !session->trusted;
    map_remove(&dtls->sessions, &session->node);
    sources_release(&dtls->sources, session->source);
    timer_cancel(&dtls->timers, &session->timer);
    session->dead = true;
    TAILQ_INSERT_TAIL(&dtls->dead, session, entry);
}

static void reap(struct dtls *dtls, usec_t now)
{
    struct dtls_session *session;
    while ((session = TAILQ_FIRST(&dtls->dead))) {
        TAILQ_REMOVE(&dtls->dead, session, entry);
        if (session->known)
            dtls->handler.gone(dtls->handler.ctx, session, now);
        session_free(session);
    }
}

// ---- deadlines: one timer for whichever comes first; when it fires it looks again

static usec_t deadline_of(const struct dtls_session *session)
{
    const struct dtls_config *config = &session->dtls->config;
    usec_t deadline =
        session->trusted ? session->heard + config->idle_time : session->began + config->trust_time;
    return session->resend < deadline ? session->resend : deadline;
}

static void arm(struct dtls_session *session)
{
    usec_t deadline = deadline_of(session);
    // Cannot fail: there is room for every session.
    if (!timer_armed(&session->timer) || deadline < session->timer.at)
        (void)timer_arm(&session->dtls->timers, &session->timer, deadline);
}

static void note_resend(struct dtls_session *session, usec_t now)
{
    struct timeval left;
    session->resend = USEC_NEVER;
    if (!session->dead && DTLSv1_get_timeout(session->ssl, &left))
        session->resend = now + (usec_t)left.tv_sec * USEC_PER_SEC + (usec_t)left.tv_usec;
}

static void on_deadline(struct timer *timer, void *ctx, usec_t now)
{
    (void)ctx;
    struct dtls_session *session = container_of(timer, struct dtls_session, timer);
    bool resend = session->resend <= now;
    session->resend = USEC_NEVER;
    if (deadline_of(session) <= now) {
        session_end(session,
                    session->trusted ? COUNTER_CONN_CLOSED_IDLE : COUNTER_CONN_CLOSED_UNPROVED);
        return;
    }
    ERR_clear_error();
    if (resend && DTLSv1_handle_timeout(session->ssl) < 0) {
        session_end(session, COUNTER_CONN_CLOSED_TLS);
        return;
    }
    note_resend(session, now);
    arm(session);
}

// ---- reading

static void deliver(struct dtls_session *session, size_t len, usec_t now)
{
    struct dtls *dtls = session->dtls;
    struct dtls_message message = {.data = dtls->buffer + DTLS_HEADROOM, .len = len};
    session->known = true;
    session->heard = now; // an authentic record, which a stranger cannot forge
    dtls->handler.message(dtls->handler.ctx, session, &message, now);
}

// What it is that OpenSSL stopped for: nothing, or the end. Records that are not authentic it drops
// by itself.
static void stopped(struct dtls_session *session, int result)
{
    switch (SSL_get_error(session->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        break;
    case SSL_ERROR_ZERO_RETURN:
        session_end(session, COUNTER_CONN_CLOSED_PEER);
        break;
    default:
        session_end(session, COUNTER_CONN_CLOSED_TLS);
        break;
    }
}

static void shake_hands(struct dtls_session *session, usec_t now)
{
    int n = SSL_do_handshake(session->ssl);
    if (n == 1) {
        session->open = true;
        counter_add(session->dtls->counters, COUNTER_CONN_DTLS, 1);
    } else {
        stopped(session, n);
    }
    note_resend(session, now);
    if (!session->dead)
        arm(session);
}

static void read_messages(struct dtls_session *session, usec_t now)
{
    struct dtls *dtls = session->dtls;
    for (int i = 0; i < MESSAGES_PER_DATAGRAM && !session->dead; i++) {
        ERR_clear_error();
        int n = SSL_read(session->ssl, dtls->buffer + DTLS_HEADROOM, MESSAGE_MAX);
        if (n <= 0) {
            stopped(session, n);
            return;
        }
        deliver(session, (size_t)n, now);
    }
}

// What encrypting adds to a record at least: an explicit nonce of 8 bytes and a tag of 16 with
// AES-GCM (RFC 5288 section 3), the tag alone with ChaCha20 (RFC 7905 section 2).
static size_t shortest_record(const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    int nid = cipher ? SSL_CIPHER_get_cipher_nid(cipher) : NID_undef;

    return nid == NID_aes_128_gcm || nid == NID_aes_256_gcm ? 24 : 16;
}

// Whether each encrypted record may be authentic by its length (RFC 6347 section 4.1). OpenSSL
// 3.0.20 ends a session over one that is too short, which everybody can send.
static bool lengths_are_possible(const struct dtls_session *session, const uint8_t *data,
                                 size_t len)
{
    struct reader r = reader_over(data, len);
    while (reader_left(&r) > 0) {
        read_bytes(&r, 3); // type, version
        uint16_t epoch = read_u16(&r);
        read_bytes(&r, 6); // sequence number
        uint16_t record = read_u16(&r);
        read_bytes(&r, record);
        if (r.failed)
            break; // cut off, which OpenSSL ignores
        if (epoch > 0 && record < shortest_record(session->ssl))
            return false;
    }
    return true;
}

static void feed(struct dtls_session *session, const uint8_t *data, size_t len, usec_t now)
{
    if (!lengths_are_possible(session, data, len))
        return;
    session->pipe.in = data;
    session->pipe.in_len = len;
    ERR_clear_error();
    if (!session->open)
        shake_hands(session, now);
    if (session->open && !session->dead)
        read_messages(session, now);
    session->pipe.in = NULL;
}

// ---- greeting strangers

// A ClientHello in the clear; sessions are closed to everybody else's.
static bool is_hello(const uint8_t *data, size_t len)
{
    enum { HANDSHAKE = 22, CLIENT_HELLO = 1, MESSAGE_HEADER = 12 };
    return len > RECORD_HEADER + MESSAGE_HEADER && data[0] == HANDSHAKE && data[1] == 0xfe &&
           data[3] == 0 && data[4] == 0 && data[RECORD_HEADER] == CLIENT_HELLO;
}

// An alert or data in the clear. During a handshake anybody who can forge an address can send one,
// and OpenSSL would believe the alert; the client's own is a loss that a deadline makes good.
static bool is_forgeable(const uint8_t *data, size_t len)
{
    enum { ALERT = 21, DATA = 23 };
    return len >= RECORD_HEADER && (data[0] == ALERT || data[0] == DATA) && data[3] == 0 &&
           data[4] == 0;
}

static struct dtls_session *session_new(struct dtls *dtls)
{
    struct dtls_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->dtls = dtls;
    session->timer.fire = on_deadline;
    session->resend = USEC_NEVER;
    session->pipe.send = dtls->handler.send;
    session->pipe.ctx = dtls->handler.ctx;
    session->ssl = tls_session(dtls->config.tls, TLS_DATAGRAM);
    BIO *bio = session->ssl ? dtls_pipe_bio(dtls->method, &session->pipe) : NULL;
    if (!bio) {
        session_free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_app_data(session->ssl, &dtls->cookie_for);
    SSL_set_options(session->ssl, SSL_OP_NO_QUERY_MTU | SSL_OP_COOKIE_EXCHANGE);
    (void)SSL_set_mtu(session->ssl, MTU);
    return session;
}

static struct dtls_session *greeter(struct dtls *dtls)
{
    unsigned generation = tls_generation(dtls->config.tls);
    if (!dtls->greeter || dtls->generation != generation) {
        session_free(dtls->greeter);
        dtls->greeter = session_new(dtls);
        dtls->generation = generation;
    }
    return dtls->greeter;
}

// Returns whether the hello brought the cookie. What goes to an address that has not proved itself
// is never longer than what came from it.
static bool greet(struct dtls *dtls, struct dtls_session *session, const uint8_t *data, size_t len)
{
    session->pipe.in = data;
    session->pipe.in_len = session->pipe.out_max = len;
    ERR_clear_error();
    int n = DTLSv1_listen(session->ssl, dtls->unused);
    session->pipe.in = NULL;
    session->pipe.out_max = SIZE_MAX;
    ERR_clear_error();
    return n == 1;
}

// Returns 0 or the reason, which is a counter.
static int admit(struct dtls *dtls, struct dtls_session *session, usec_t now)
{
    uint64_t hash = hash_of(dtls, &session->pipe.remote, &session->local);
    struct dtls_session *before = find(dtls, &session->pipe.remote, &session->local);
    // RFC 6347 section 4.2.8: a client that lost its session and proved to be there starts anew.
    if (before)
        session_end(before, COUNTER_CONN_CLOSED_PEER);
    if (dtls->sessions.count >= dtls->config.sessions_max)
        return COUNTER_CONN_CLOSED_LIMIT;
    if (sources_charge(&dtls->sources, &session->pipe.remote, &session->source) < 0)
        return COUNTER_CONN_CLOSED_SOURCE;
    if (map_insert(&dtls->sessions, &session->node, hash) < 0) {
        sources_release(&dtls->sources, session->source);
        return COUNTER_CONN_CLOSED_MEMORY;
    }
    TAILQ_INSERT_TAIL(&dtls->half_open, session, entry);
    dtls->half_opens++;
    session->began = session->heard = now;
    return 0;
}

static void limit_strangers(struct dtls *dtls)
{
    if (dtls->half_opens > dtls->config.half_open_max)
        session_end(TAILQ_FIRST(&dtls->half_open), COUNTER_CONN_CLOSED_HALF_OPEN);
}

static void meet(struct dtls *dtls, void *link, const uint8_t *data, size_t len, usec_t now)
{
    struct dtls_session *session = greeter(dtls);
    if (!session)
        return;
    session->pipe.link = link;
    session->pipe.remote = dtls->cookie_for.remote;
    session->local = dtls->cookie_for.local;
    if (!greet(dtls, session, data, len))
        return;
    dtls->greeter = NULL;
    int refusal = admit(dtls, session, now);
    if (refusal) {
        counter_add(dtls->counters, (enum counter)refusal, 1);
        session_free(session);
        return;
    }
    counter_add(dtls->counters, COUNTER_CONN_OPENED, 1);
    limit_strangers(dtls);
    // The greeter has read the hello; now it is answered.
    if (!session->dead)
        shake_hands(session, now);
}

// ---- public

int dtls_new(const struct dtls_config *config, const struct dtls_handler *handler,
             struct counters *counters, struct dtls **ret_dtls)
{
    uint8_t key[16];
    struct dtls *dtls = calloc(1, sizeof *dtls);
    if (!dtls)
        return -ENOMEM;
    dtls->config = *config;
    dtls->handler = *handler;
    dtls->counters = counters;
    memcpy(dtls->cookie_for.key, config->cookie_key, sizeof dtls->cookie_for.key);
    TAILQ_INIT(&dtls->half_open);
    TAILQ_INIT(&dtls->open);
    TAILQ_INIT(&dtls->dead);
    if (getrandom(key, sizeof key, 0) != sizeof key)
        abort(); // so few bytes are never interrupted or short (getrandom(2))
    map_init(&dtls->sessions, key);
    sources_init(&dtls->sources, config->per_source_max);
    dtls->method = dtls_pipe_method();
    dtls->unused = BIO_ADDR_new();
    if (!dtls->method || !dtls->unused || timers_reserve(&dtls->timers, config->sessions_max) < 0) {
        dtls_free(dtls);
        return -ENOMEM;
    }
    *ret_dtls = dtls;
    return 0;
}

int dtls_set_limits(struct dtls *dtls, const struct dtls_config *config)
{
    if (timers_reserve(&dtls->timers, config->sessions_max) < 0)
        return -ENOMEM;
    dtls->config.sessions_max = config->sessions_max;
    dtls->config.per_source_max = config->per_source_max;
    dtls->config.half_open_max = config->half_open_max;
    dtls->sources.max = config->per_source_max;
    return 0;
}

void dtls_free(struct dtls *dtls)
{
    if (!dtls)
        return;
    while (!TAILQ_EMPTY(&dtls->half_open))
        session_end(TAILQ_FIRST(&dtls->half_open), COUNTER_CONN_CLOSED_SELF);
    while (!TAILQ_EMPTY(&dtls->open))
        session_end(TAILQ_FIRST(&dtls->open), COUNTER_CONN_CLOSED_SELF);
    reap(dtls, dtls->cookie_for.now);
    session_free(dtls->greeter);
    timers_free(&dtls->timers);
    sources_free(&dtls->sources);
    map_free(&dtls->sessions);
    BIO_ADDR_free(dtls->unused);
    BIO_meth_free(dtls->method);
    free(dtls);
}

void dtls_recv(struct dtls *dtls, void *link, const struct addr *remote, const struct addr *local,
               const uint8_t *data, size_t len, usec_t now)
{
    reap(dtls, now);
    if (len == 0)
        return; // OpenSSL would take it for the end
    struct dtls_session *session = find(dtls, remote, local);
    bool hello = is_hello(data, len);
    dtls->cookie_for.remote = *remote;
    dtls->cookie_for.local = *local;
    dtls->cookie_for.now = now;
    if (session && !(session->open && hello) && !is_forgeable(data, len))
        feed(session, data, len, now);
    else if (hello)
        meet(dtls, link, data, len, now);
}

usec_t dtls_tick(struct dtls *dtls, usec_t now)
{
    timers_run(&dtls->timers, dtls, now);
    reap(dtls, now);
    return timers_next(&dtls->timers);
}

const struct addr *dtls_remote(const struct dtls_session *session)
{
    return &session->pipe.remote;
}

const struct addr *dtls_local(const struct dtls_session *session)
{
    return &session->local;
}

void dtls_set_user(struct dtls_session *session, void *user)
{
    session->user = user;
}

void *dtls_user(const struct dtls_session *session)
{
    return session->user;
}

void dtls_trusted(struct dtls_session *session)
{
    struct dtls *dtls = session->dtls;
    if (session->dead || session->trusted)
        return;
    TAILQ_REMOVE(&dtls->half_open, session, entry);
    session->trusted = true;
    dtls->half_opens--;
    TAILQ_INSERT_TAIL(&dtls->open, session, entry);
    arm(session);
}

void dtls_stranger(struct dtls_session *session, usec_t now)
{
    struct dtls *dtls = session->dtls;
    if (session->dead || !session->trusted)
        return;
    TAILQ_REMOVE(&dtls->open, session, entry);
    session->trusted = false;
    session->began = now;
    dtls->half_opens++;
    TAILQ_INSERT_TAIL(&dtls->half_open, session, entry);
    arm(session);
    limit_strangers(dtls);
}

int dtls_send(struct dtls_session *session, const uint8_t *data, size_t len)
{
    if (session->dead || !session->open)
        return -EPIPE;
    if (len == 0 || len > MESSAGE_MAX)
        return -EMSGSIZE;
    ERR_clear_error();
    int n = SSL_write(session->ssl, data, (int)len);
    if (n > 0)
        return 0;
    stopped(session, n);
    return -EPIPE;
}

void dtls_close(struct dtls_session *session)
{
    session_end(session, COUNTER_CONN_CLOSED_SELF);
}
