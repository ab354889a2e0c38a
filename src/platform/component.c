// SPDX-License-Identifier: ISC
// The life of the connection to the XMPP server: resolve its name, try its addresses in turn, be
// up, be lost, wait, begin again. libstrophe is behind component_link.h.
#include "platform/component.h"

#include "base/log_kind.h"
#include "base/mask.h"
#include "component_link.h"
#include "component_private.h"
#include "component_stanza.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 8

const struct component_tuning component_tuning_default = {
    .backoff_first = 1 * USEC_PER_SEC,
    .backoff_max = 60 * USEC_PER_SEC,
    .backoff_operator = 60 * USEC_PER_SEC,
    .resolve = 10 * USEC_PER_SEC,
    .handshake = 15 * USEC_PER_SEC,
    .keepalive = 60 * USEC_PER_SEC,
    .queue_bytes = 8 << 20,
};

enum phase { PHASE_WAIT, PHASE_RESOLVE, PHASE_CONNECT, PHASE_UP };

// evdns answers a cancelled request later; by then the component may be gone, this is not.
struct lookup {
    struct component *owner; // NULL: cancelled
    struct evdns_getaddrinfo_request *request;
};

struct component {
    struct evdns_base *dns;
    struct component_handler handler;
    struct component_tuning tuning;
    char *domain;
    char *secret;
    char *server;
    uint16_t port;

    struct component_link *link;
    struct event *timer; // the one deadline of the phase
    enum phase phase;
    enum component_state told; // to the handler
    struct lookup *lookup;
    char address[ADDRESSES_MAX][INET6_ADDRSTRLEN];
    unsigned addresses;
    unsigned next; // to be tried
    unsigned failures;
    usec_t up_since;
    usec_t last_sent;
    usec_t cut_logged;
    char last_failure[256]; // logged already, so not again
};

// Stream errors that come back with every attempt until somebody changes a configuration (RFC 6120
// section 4.9.3), and what to change.
static const struct operator_error {
    xmpp_error_type_t type;
    const char *name;
    const char *advice;
} operator_errors[] = {
    {XMPP_SE_CONFLICT, "conflict",
     "another connection has joined under this domain: stop the other daemon, or give one of them "
     "a domain of its own"},
    {XMPP_SE_HOST_UNKNOWN, "host-unknown",
     "the server has no external component of this domain: add it to the server's configuration, "
     "or correct the domain in ours"},
    {XMPP_SE_NOT_AUTHORIZED, "not-authorized",
     "the secret is wrong: it must be the same here and in the server's configuration"},
};

static void tell(struct component *c, enum component_state state)
{
    if (c->told == state)
        return;
    c->told = state;
    c->handler.state(c->handler.ctx, state);
}

static void arm(struct component *c, usec_t delay)
{
    struct timeval tv = {.tv_sec = (time_t)(delay / USEC_PER_SEC),
                         .tv_usec = (suseconds_t)(delay % USEC_PER_SEC)};
    event_add(c->timer, &tv);
}

// A quarter more or less, so that many daemons do not come back at once.
static usec_t jittered(usec_t delay)
{
    uint32_t random;
    evutil_secure_rng_get_bytes(&random, sizeof(random));
    return delay - delay / 4 + (usec_t)((double)delay / 2 * random / UINT32_MAX);
}

static void wait_after_failure(struct component *c, usec_t delay)
{
    c->phase = PHASE_WAIT;
    c->addresses = c->next = 0;
    arm(c, jittered(delay));
    tell(c, COMPONENT_DOWN);
}

static usec_t backoff(struct component *c)
{
    usec_t delay = c->tuning.backoff_first;
    for (unsigned i = 0; i < c->failures && delay < c->tuning.backoff_max; i++)
        delay *= 2;
    c->failures++;
    return delay < c->tuning.backoff_max ? delay : c->tuning.backoff_max;
}

// An attempt failed. The same failure again and again is logged once.
static void attempt_failed(struct component *c, const char *where, const char *why)
{
    char text[sizeof(c->last_failure)];
    snprintf(text, sizeof(text), "%s: %s", where, why);
    bool again = strcmp(text, c->last_failure) == 0;
    memcpy(c->last_failure, text, sizeof(text));
    log_kind_write_at(
        LOG_NOT_JOINED, again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, NULL, 0,
        "cannot join the XMPP server at %s: %s (\"jingle-relayctl doctor\" says what to "
        "change)",
        where, why);
}

static void give_up_round(struct component *c)
{
    wait_after_failure(c, backoff(c));
}

static void tell_addresses(const struct component *c)
{
    struct addr addr;

    for (unsigned i = 0; i < c->addresses && c->handler.address; i++) {
        if (addr_parse_ip(c->address[i], 0, &addr) == 0)
            c->handler.address(c->handler.ctx, &addr);
    }
}

// Tries the addresses in turn until one can be connected to; what becomes of it on_down() hears.
static void try_addresses(struct component *c)
{
    tell_addresses(c);
    while (c->next < c->addresses) {
        const char *ip = c->address[c->next++];
        int r = component_link_connect(c->link, ip, c->port, c->tuning.handshake);
        if (r == 0) {
            c->phase = PHASE_CONNECT;
            return;
        }
        attempt_failed(c, ip, strerror(-r));
    }
    give_up_round(c);
}

static void add_address(struct component *c, const struct sockaddr *sa)
{
    const void *ip = NULL;
    if (sa->sa_family == AF_INET)
        ip = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    else if (sa->sa_family == AF_INET6)
        ip = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    if (ip && c->addresses < ADDRESSES_MAX &&
        inet_ntop(sa->sa_family, ip, c->address[c->addresses], INET6_ADDRSTRLEN))
        c->addresses++;
}

static void resolved(struct component *c, int error, const struct evutil_addrinfo *list)
{
    for (const struct evutil_addrinfo *a = list; a; a = a->ai_next)
        add_address(c, a->ai_addr);
    if (c->addresses == 0) {
        attempt_failed(c, c->server, error ? evutil_gai_strerror(error) : "no address");
        give_up_round(c);
        return;
    }
    try_addresses(c);
}

static void on_resolved(int error, struct evutil_addrinfo *list, void *ctx)
{
    struct lookup *lookup = ctx;
    struct component *c = lookup->owner;
    free(lookup);
    if (c) {
        c->lookup = NULL;
        resolved(c, error, list);
    }
    if (list)
        evutil_freeaddrinfo(list);
}

static void cancel_lookup(struct component *c)
{
    if (!c->lookup)
        return;
    c->lookup->owner = NULL;
    evdns_getaddrinfo_cancel(c->lookup->request);
    c->lookup = NULL;
}

static void resolve(struct component *c)
{
    static const struct evutil_addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (!lookup) {
        attempt_failed(c, c->server, strerror(ENOMEM));
        give_up_round(c);
        return;
    }
    lookup->owner = c;
    c->lookup = lookup;
    c->phase = PHASE_RESOLVE;
    arm(c, c->tuning.resolve); // without any name server evdns would wait for one for ever
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(c->dns, c->server, NULL, &hints, on_resolved, lookup);
    if (c->lookup) // otherwise it was answered at once, as from /etc/hosts
        c->lookup->request = request;
}

static bool is_literal(const char *text)
{
    unsigned char ip[16];
    return inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
}

static void begin_round(struct component *c)
{
    tell(c, COMPONENT_CONNECTING);
    c->addresses = c->next = 0;
    if (!is_literal(c->server)) {
        resolve(c);
        return;
    }
    snprintf(c->address[0], sizeof(c->address[0]), "%s", c->server);
    c->addresses = 1;
    try_addresses(c);
}

// RFC 6120 section 4.6: white space between stanzas keeps middleboxes from forgetting us, and
// makes the kernel notice a server that is gone. Not while something is waiting to be written.
static void keep_alive(struct component *c)
{
    usec_t now = component_link_now();
    usec_t due = c->last_sent + c->tuning.keepalive;
    if (now >= due) {
        if (component_link_queued(c->link) == 0)
            component_link_send(c->link, NULL, c->tuning.queue_bytes);
        c->last_sent = now;
        due = now + c->tuning.keepalive;
    }
    arm(c, due - now);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    struct component *c = ctx;
    switch (c->phase) {
    case PHASE_WAIT:
        if (c->next < c->addresses)
            try_addresses(c);
        else
            begin_round(c);
        break;
    case PHASE_RESOLVE:
        cancel_lookup(c);
        attempt_failed(c, c->server, "no answer from the name servers");
        give_up_round(c);
        break;
    case PHASE_CONNECT: // the link watches its own time
        break;
    case PHASE_UP:
        keep_alive(c);
        break;
    }
}

static void on_up(void *ctx)
{
    struct component *c = ctx;
    c->phase = PHASE_UP;
    c->last_failure[0] = '\0';
    c->up_since = c->last_sent = component_link_now();
    log_kind(LOG_JOINED, "joined the XMPP server %s port %u as %s", c->server, c->port, c->domain);
    arm(c, c->tuning.keepalive);
    tell(c, COMPONENT_UP);
}

static const struct operator_error *find_operator_error(const xmpp_stream_error_t *error)
{
    for (size_t i = 0; error && i < sizeof(operator_errors) / sizeof(operator_errors[0]); i++)
        if (operator_errors[i].type == error->type)
            return &operator_errors[i];
    return NULL;
}

// The defined condition: the first child but <text/> (RFC 6120 section 4.9.2).
static const char *condition_name(const xmpp_stream_error_t *e)
{
    xmpp_stanza_t *s = e->stanza ? xmpp_stanza_get_children(e->stanza) : NULL;
    for (; s; s = xmpp_stanza_get_next(s)) {
        const char *name = xmpp_stanza_get_name(s);
        if (name && strcmp(name, "text") != 0)
            return name;
    }
    return "without a condition";
}

static void describe_end(const struct component_end *end, char *text, size_t size)
{
    const xmpp_stream_error_t *e = end->stream_error;
    if (e)
        snprintf(text, size, "stream error %s%s%s", condition_name(e), e->text ? ": " : "",
                 e->text ? e->text : "");
    else if (end->error == EMSGSIZE)
        snprintf(text, size, "it sent so many elements and names that it had to be cut off");
    else if (end->error == 0)
        snprintf(text, size, "the server closed the stream");
    else if (end->error == ECONNRESET) // libstrophe's word for an ordinary end, too
        snprintf(text, size, "the server closed the connection");
    else
        snprintf(text, size, "%s", strerror(end->error));
}

static void refused_for_operator(struct component *c, const struct operator_error *known,
                                 const char *why)
{
    char text[sizeof(c->last_failure)];
    snprintf(text, sizeof(text), "operator: %s", known->name);
    bool again = strcmp(text, c->last_failure) == 0;
    memcpy(c->last_failure, text, sizeof(text));
    log_kind_write_at(LOG_NOT_JOINED, again ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERR, NULL, 0,
                      "the XMPP server %s refuses %s (%s): %s; trying again about every %u s",
                      c->server, c->domain, why, known->advice,
                      (unsigned)(c->tuning.backoff_operator / USEC_PER_SEC));
    wait_after_failure(c, c->tuning.backoff_operator);
}

static void on_down(void *ctx, const struct component_end *end)
{
    struct component *c = ctx;
    char why[200];
    describe_end(end, why, sizeof(why));

    bool was_up = c->phase == PHASE_UP;
    if (was_up) {
        log_kind(LOG_SERVER_LOST, "lost the XMPP server %s: %s", c->server, why);
        // One that throws us out again and again does not clear the count. What we have ended
        // ourselves (crush_bombs()) its users have brought about: they are not to keep us away.
        if (component_link_now() - c->up_since >= 10 * c->tuning.backoff_first ||
            end->error == EMSGSIZE)
            c->failures = 0;
    }
    const struct operator_error *known = find_operator_error(end->stream_error);
    if (known) {
        refused_for_operator(c, known, why);
        return;
    }
    if (!was_up)
        attempt_failed(c, c->address[c->next - 1], why);
    if (!was_up && c->next < c->addresses) {
        c->phase = PHASE_WAIT; // for the loop only: we are inside libstrophe
        arm(c, 0);
        return;
    }
    give_up_round(c);
}

// Anybody can send such stanzas, so not every one is worth a line.
static void log_cut(struct component *c, const char *from)
{
    usec_t now = component_link_now();
    struct mask mask;
    if (c->cut_logged > 0 && now - c->cut_logged < 60 * USEC_PER_SEC)
        return;
    c->cut_logged = now;
    log_kind(LOG_STANZA_LOST, "a stanza from %s is too large; its content is ignored",
             from ? mask_jid(from, &mask) : "nobody");
}

static void on_stanza(void *ctx, xmpp_stanza_t *stanza)
{
    struct component *c = ctx;
    const char *name = xmpp_stanza_get_name(stanza);
    if (strcmp(name, "iq") != 0 && strcmp(name, "message") != 0 && strcmp(name, "presence") != 0)
        return; // the handshake's answer, stream errors
    struct xml *x;
    bool cut;
    int r = component_stanza_convert(stanza, &x, &cut);
    if (r < 0) {
        log_kind(LOG_STANZA_LOST, "a stanza was lost: %s", strerror(-r));
        return;
    }
    if (cut)
        log_cut(c, xml_attr(x, "from"));
    c->handler.stanza(c->handler.ctx, x);
    xml_free(x);
}

static int copy_config(struct component *c, const struct component_config *config)
{
    c->domain = strdup(config->domain);
    c->secret = strdup(config->secret);
    c->server = strdup(config->server);
    c->port = config->port;
    return c->domain && c->secret && c->server ? 0 : -ENOMEM;
}

int component_new(struct event_base *base, struct evdns_base *dns,
                  const struct component_config *config, const struct component_handler *handler,
                  struct component **ret_component)
{
    if (config->port == 0 || (!dns && !is_literal(config->server)))
        return -EINVAL;
    struct component *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->dns = dns;
    c->handler = *handler;
    c->tuning = component_tuning_default;
    c->told = COMPONENT_CONNECTING;
    const struct component_link_handler own = {c, on_up, on_stanza, on_down};
    int r = copy_config(c, config);
    if (r == 0)
        r = component_link_new(base, c->domain, c->secret, &own, &c->link);
    if (r == 0) {
        c->timer = event_new(base, -1, 0, on_timer, c);
        r = c->timer ? 0 : -ENOMEM;
    }
    if (r < 0) {
        component_free(c, 0);
        return r;
    }
    arm(c, 0); // from the loop, so that no handler is called before we return
    *ret_component = c;
    return 0;
}

void component_set_tuning(struct component *c, const struct component_tuning *tuning)
{
    c->tuning = *tuning;
}

void component_free(struct component *c, uint64_t flush_usec)
{
    if (!c)
        return;
    cancel_lookup(c);
    if (c->link)
        component_link_finish(c->link, flush_usec);
    component_link_free(c->link);
    if (c->timer)
        event_free(c->timer);
    if (c->secret)
        explicit_bzero(c->secret, strlen(c->secret));
    free(c->domain);
    free(c->secret);
    free(c->server);
    free(c);
}

int component_send(struct component *c, const struct xml *stanza)
{
    const char *from = stanza->name ? xml_attr(stanza, "from") : NULL;
    const char *to = stanza->name ? xml_attr(stanza, "to") : NULL;
    // XEP-0114 section 3: "All stanzas sent to the server MUST possess a 'from' attribute and a
    // 'to' attribute". ejabberd closes the stream of one that has no 'from'.
    if (!from || !*from || !to || !*to)
        return -EINVAL;
    int r = component_link_send(c->link, stanza, c->tuning.queue_bytes);
    if (r == 0)
        c->last_sent = component_link_now();
    return r;
}
