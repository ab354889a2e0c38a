// SPDX-License-Identifier: ISC
// From the configuration to what the workers run; see turn_server.h.
#include "turn_server.h"

#include "base/log.h"
#include "platform/probe.h"
#include "platform/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

// What is not for operators to choose.
#define NONCE_LIFETIME        (USEC_PER_SEC * 3600)
#define ALLOCATION_LIFETIME   (USEC_PER_SEC * 600)  // RFC 8656 section 7.2
#define ALLOCATION_MAX        (USEC_PER_SEC * 3600) // the same
#define PERMISSIONS_MAX       128                   // of one allocation
#define CHANNELS_MAX          128
#define CONNECTIONS_MAX       16                  // to peers, of one TCP allocation
#define TRUST_TIME            (USEC_PER_SEC * 10) // to the first authentic request
#define FRAME_TIME            (USEC_PER_SEC * 10)
#define IDLE_TIME             (USEC_PER_SEC * 3600) // no shorter than the longest allocation
#define QUEUE_TIME            (USEC_PER_MSEC * 500)
#define QUEUE_BYTES           (256 * 1024)
#define CERTIFICATE_SECONDS   5  // between two looks at the files
#define GENERATED_SECRET_SIZE 32 // bytes, before they are written as text

static unsigned share_of(unsigned total, unsigned workers)
{
    return total / workers + (total % workers != 0);
}

static void fill_random(void *buf, size_t len)
{
    if (getrandom(buf, len, 0) != (ssize_t)len) // never short up to 256 bytes
        abort();
}

// ---- credentials

static int generate_secret(struct turn_server *server)
{
    uint8_t random[GENERATED_SECRET_SIZE];

    server->generated_secret = calloc(1, 2 * sizeof random + 1);
    if (!server->generated_secret)
        return -ENOMEM;
    fill_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        sprintf(server->generated_secret + 2 * i, "%02x", random[i]);
    explicit_bzero(random, sizeof random);
    return 0;
}

// One that was made comes first, then the operator's, then those that were replaced.
static int take_secrets(struct turn_server *server, const struct config *config)
{
    const struct config_list *given = &config->turn.secrets;
    unsigned count = 0;

    if (given->count == 0 && !server->generated_secret && generate_secret(server) < 0)
        return -ENOMEM;
    server->secret = calloc(1 + given->count + TURN_OLD_SECRETS_MAX, sizeof *server->secret);
    if (!server->secret)
        return -ENOMEM;
    if (server->generated_secret)
        server->secret[count++].text = server->generated_secret;
    server->first_given = count;
    server->given = (unsigned)given->count;
    for (size_t i = 0; i < given->count; i++)
        server->secret[count++].text = given->item[i];
    for (size_t i = 0; i < TURN_OLD_SECRETS_MAX; i++) {
        if (server->old[i].text)
            server->secret[count++] =
                (struct turn_secret){server->old[i].text, server->old[i].until};
    }
    server->turn.secret = server->secret;
    server->turn.secrets = count;
    return 0;
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static int take_users(struct turn_server *server, const struct config *config)
{
    size_t count = config->turn.users.count / 2;

    server->user = calloc(count ? count : 1, sizeof *server->user);
    if (!server->user)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        server->user[i] =
            (struct turn_user){config->turn.users.item[2 * i], config->turn.users.item[2 * i + 1]};
    server->turn.user = server->user;
    server->turn.users = (unsigned)count;
    return 0;
}

const char *turn_server_secret(const struct turn_server *server)
{
    return server->secret[0].text;
}

// ---- listeners

static int add_listeners(struct turn_server *server, const struct config *config,
                         const struct config_port_list *ports)
{
    for (size_t i = 0; i < ports->count; i++) {
        for (unsigned f = 0; f < 2; f++) {
            struct addr addr = config->relay.address[f].addr;

            if (addr.family == FAMILY_NONE)
                continue;
            if (server->listeners == TURN_LISTENERS_MAX)
                return -ENOSPC;
            addr.port = ports->item[i];
            server->listener[server->listeners++] = addr;
        }
    }
    return 0;
}

static int load_certificate(struct turn_server *server, struct event_base *base,
                            const struct config *config)
{
    char error[TLS_ERROR_MAX];
    int r;

    if (!config->turn.certificate)
        return 0;
    r = tls_new(config->turn.certificate, config->turn.key, &server->tls, error);
    if (r < 0) {
        log_err("turn.certificate, turn.key: %s", error);
        return r;
    }
    return tls_watch(server->tls, base, CERTIFICATE_SECONDS);
}

// ---- limits

static struct turn_config turn_part(const struct config *c, unsigned workers)
{
    struct turn_config part = {
        .realm = c->turn.realm ? c->turn.realm : c->xmpp.domain,
        .software = "jingle-relayd",
        .nonce_lifetime = NONCE_LIFETIME,
        .expiry_grace = c->turn.expiry_grace,
        .default_lifetime = ALLOCATION_LIFETIME,
        .max_lifetime = ALLOCATION_MAX,
        .permissions_max = PERMISSIONS_MAX,
        .channels_max = CHANNELS_MAX,
        .connections_max = CONNECTIONS_MAX,
        .allocations_max = c->limits.allocations ? c->limits.allocations : UINT32_MAX,
        .bytes_per_second = (c->limits.bandwidth_per_call + 7) / 8,
        .answers_per_second = share_of(c->limits.stun_answers, workers),
        .answers_burst = share_of(2 * c->limits.stun_answers, workers),
        .workers = workers,
        .modern = true,
        .old_stun = c->turn.old_stun,
        .mobility = c->turn.mobility,
        .tcp_allocations = c->turn.tcp_allocations,
    };

    fill_random(part.nonce_key, sizeof part.nonce_key);
    return part;
}

static struct streams_config streams_part(const struct turn_server *server, const struct config *c,
                                          unsigned workers)
{
    unsigned connections = share_of(c->limits.connections, workers);

    return (struct streams_config){
        .tls = server->tls,
        .plain = true,
        .proxies = &server->proxies,
        .connections_max = connections,
        .per_source_max = c->limits.connections_per_address,
        .half_open_max = share_of(connections, 4),
        .trust_time = TRUST_TIME,
        .frame_time = FRAME_TIME,
        .idle_time = IDLE_TIME,
        .queue_time = QUEUE_TIME,
        .queue_bytes = QUEUE_BYTES,
    };
}

static struct dtls_config dtls_part(const struct turn_server *server, const struct config *c,
                                    unsigned workers)
{
    unsigned sessions = share_of(c->limits.connections, workers);
    struct dtls_config part = {
        .tls = server->tls,
        .sessions_max = sessions,
        .per_source_max = c->limits.connections_per_address,
        .half_open_max = share_of(sessions, 4),
        .trust_time = TRUST_TIME,
        .idle_time = IDLE_TIME,
    };

    fill_random(part.cookie_key, sizeof part.cookie_key);
    return part;
}

int turn_server_new(struct event_base *base, const struct config *config, struct peers *peers,
                    unsigned workers, struct turn_server **ret_server)
{
    struct turn_server *server = calloc(1, sizeof *server);
    int r;

    if (!server)
        return -ENOMEM;
    server->peers = peers;
    server->proxies = config->turn.proxies;
    server->turn = turn_part(config, workers);
    r = take_secrets(server, config);
    if (r == 0)
        r = take_users(server, config);
    if (r == 0)
        r = load_certificate(server, base, config);
    if (r == 0)
        r = quota_new(config->limits.allocations_per_user, config->limits.allocations,
                      &server->quota);
    if (r == 0)
        r = add_listeners(server, config, &config->turn.ports);
    if (r == 0 && server->tls)
        r = add_listeners(server, config, &config->turn.tls_ports);
    if (r < 0) {
        turn_server_free(server);
        return r;
    }
    server->streams = streams_part(server, config, workers);
    server->dtls = dtls_part(server, config, workers);
    *ret_server = server;
    return 0;
}

// ---- another configuration

static int copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

// The operator has given others since, be it the one that was made here, which is no longer needed.
static bool has_given_others(const struct turn_server *old, const struct config_list *given)
{
    bool same = given->count == old->given;

    for (size_t i = 0; same && i < given->count; i++)
        same = strcmp(old->secret[old->first_given + i].text, given->item[i]) == 0;
    return given->count > 0 && !same;
}

// With 'rotate', or another list of the operator's, the secret that was made before becomes the
// latest of the old ones.
static int inherit_secrets(struct turn_server *server, const struct turn_server *old,
                           const struct config *config, bool rotate, usec_t now)
{
    usec_t until = now + config->turn.credential_lifetime + config->turn.expiry_grace;
    bool others = has_given_others(old, &config->turn.secrets);
    unsigned count = 0;
    int r = 0;

    if ((rotate || others) && old->generated_secret) {
        r = copy_text(old->generated_secret, &server->old[count].text);
        server->old[count++].until = until;
    }
    for (unsigned i = 0; i < TURN_OLD_SECRETS_MAX && count < TURN_OLD_SECRETS_MAX && r == 0; i++) {
        if (!old->old[i].text || old->old[i].until <= now)
            continue;
        r = copy_text(old->old[i].text, &server->old[count].text);
        server->old[count++].until = old->old[i].until;
    }
    if (r < 0)
        return r;
    if (rotate)
        return generate_secret(server);
    return others ? 0 : copy_text(old->generated_secret, &server->generated_secret);
}

static bool listens(const struct turn_server *server, const struct addr *addr)
{
    for (unsigned i = 0; i < server->listeners; i++) {
        if (addr_equal(&server->listener[i], addr))
            return true;
    }
    return false;
}

static int add_new_listeners(struct turn_server *server, const struct config *config,
                             const struct config_port_list *ports, char error[256])
{
    for (size_t i = 0; i < ports->count; i++) {
        for (unsigned f = 0; f < 2; f++) {
            struct addr addr = config->relay.address[f].addr;
            char text[ADDR_TEXT_MAX];
            int r;

            addr.port = ports->item[i];
            if (addr.family == FAMILY_NONE || listens(server, &addr))
                continue;
            r = server->listeners == TURN_LISTENERS_MAX ? -ENOSPC : probe_udp(&addr);
            if (r == 0)
                r = probe_tcp(&addr);
            if (r < 0) {
                snprintf(error, 256, "turn.ports, turn.tls_ports: %s cannot be listened on: %s%s",
                         addr_format(&addr, text), strerror(-r),
                         r == -EADDRINUSE ? ": another program has it, or a call, if it is one of "
                                            "the relay.ports that are in force until a restart"
                                          : "");
                return r;
            }
            server->listener[server->listeners++] = addr;
        }
    }
    return 0;
}

int turn_server_renew(const struct turn_server *old, const struct config *config, bool rotate,
                      usec_t now, struct turn_server **ret_server, char error[256])
{
    struct turn_server *server = calloc(1, sizeof *server);
    unsigned workers = old->turn.workers;
    int r;

    snprintf(error, 256, "out of memory");
    if (!server)
        return -ENOMEM;
    server->peers = old->peers;
    server->quota = old->quota;
    server->tls = old->tls;
    server->proxies = config->turn.proxies;
    server->turn = turn_part(config, workers);
    memcpy(server->turn.nonce_key, old->turn.nonce_key, sizeof server->turn.nonce_key);
    memcpy(server->listener, old->listener, sizeof server->listener);
    server->listeners = old->listeners;
    r = inherit_secrets(server, old, config, rotate, now);
    if (r == 0)
        r = take_secrets(server, config);
    if (r == 0)
        r = take_users(server, config);
    if (r == 0)
        r = add_new_listeners(server, config, &config->turn.ports, error);
    if (r == 0 && server->tls)
        r = add_new_listeners(server, config, &config->turn.tls_ports, error);
    if (r < 0) {
        turn_server_free_replaced(server);
        return r;
    }
    server->streams = streams_part(server, config, workers);
    server->dtls = dtls_part(server, config, workers);
    *ret_server = server;
    return 0;
}

static bool is_wanted(const struct config_port_list *ports, uint16_t port)
{
    for (size_t i = 0; i < ports->count; i++) {
        if (ports->item[i] == port)
            return true;
    }
    return false;
}

unsigned turn_server_surplus(const struct turn_server *server, const struct config *config)
{
    unsigned surplus = 0;

    for (unsigned i = 0; i < server->listeners; i++)
        surplus += !is_wanted(&config->turn.ports, server->listener[i].port) &&
                   !(server->tls && is_wanted(&config->turn.tls_ports, server->listener[i].port));
    return surplus;
}

static int revive_secrets(struct turn_server *server, const struct config *config,
                          const char *generated,
                          const struct turn_kept_secret old[TURN_OLD_SECRETS_MAX], usec_t now)
{
    bool in_use = config->turn.secrets.count == 0;
    unsigned count = 0;
    int r = 0;

    if (generated && in_use) {
        wipe(server->generated_secret);
        r = copy_text(generated, &server->generated_secret);
    } else if (generated) {
        r = copy_text(generated, &server->old[0].text);
        server->old[count++].until =
            now + config->turn.credential_lifetime + config->turn.expiry_grace;
    }
    for (unsigned i = 0; i < TURN_OLD_SECRETS_MAX && count < TURN_OLD_SECRETS_MAX && r == 0; i++) {
        if (!old[i].text || old[i].until <= now)
            continue;
        r = copy_text(old[i].text, &server->old[count].text);
        server->old[count++].until = old[i].until;
    }
    return r;
}

int turn_server_revive(struct turn_server *server, const struct config *config,
                       const char *generated,
                       const struct turn_kept_secret old[TURN_OLD_SECRETS_MAX], usec_t now)
{
    int r = revive_secrets(server, config, generated, old, now);

    free(server->secret);
    server->secret = NULL;
    return r < 0 ? r : take_secrets(server, config);
}

void turn_server_free_replaced(struct turn_server *old)
{
    if (!old)
        return;
    old->quota = NULL;
    old->tls = NULL;
    turn_server_free(old);
}

void turn_server_free(struct turn_server *server)
{
    if (!server)
        return;
    quota_free(server->quota);
    tls_free(server->tls);
    free(server->secret);
    free(server->user);
    wipe(server->generated_secret);
    for (unsigned i = 0; i < TURN_OLD_SECRETS_MAX; i++)
        wipe(server->old[i].text);
    explicit_bzero(&server->turn.nonce_key, sizeof server->turn.nonce_key);
    free(server);
}
