// SPDX-License-Identifier: ISC
// One request, from its arrival to its answer: every method is a row, handlers return a code, and
// what all methods have in common (authentication, unknown attributes, whose allocation it is,
// integrity, size) is done here once.
//
// Towards an unverified UDP source an answer that is longer than its request is an amplifier. What
// is left of it, measured by tests/unit/test_turn_flood.c in bytes of UDP payload (IPv4 source and
// the realm "example.org"; X: the least that clients send):
//
//     request                      bytes  answer                          bytes  factor
//     Binding                      20     success                         32     1.6
//     Binding with FINGERPRINT     28     success with FINGERPRINT        40     1.4
//     Binding, IPv6                20     success                         44     2.2
//     Binding of RFC 3489          20     success                         32     1.6
//       with CHANGE-REQUEST        28     success                         32     1.1
//     Allocate                     28     401, password algorithms        84     3.0
//     Allocate                     28     401, without (modern = false)   60     2.1
//     Allocate without attributes  20     401, without algorithms         72     3.6
//     Refresh, no allocation       20     437                             28     1.4
//     CreatePermission, the same   32     437                             28     0.9
//     ChannelBind, the same        40     437                             28     0.7
//     any with wrong credentials   > 100  401 or 438                      84     < 1
//
// RFC 8489 section 9.2.4 wants 401 for all of them but Binding; it is given where the request is as
// long as that (and to everybody on streams and DTLS). Clients have no use for those that are not
// answered so: their first request is an Allocate with REQUESTED-TRANSPORT (or with nothing at all:
// "prosodyctl check turn"), and all later ones have credentials. Those above 1 are also limited per
// prefix (limit.c).
#include "internal.h"

#include "base/log.h"
#include "base/mask.h"

#include <string.h>

static const struct method methods[] = {
    {.number = STUN_BINDING,
     .name = "Binding",
     .counter = COUNTER_TURN_BINDING,
     .sign = STUN_ATTR_COUNT,
     .handle = handle_binding},
    {.number = STUN_ALLOCATE,
     .name = "Allocate",
     .counter = COUNTER_TURN_ALLOCATE,
     .sign = STUN_REQUESTED_TRANSPORT,
     .handle = handle_allocate,
     .authenticated = true,
     .says_software = true},
    {.number = STUN_REFRESH,
     .name = "Refresh",
     .counter = COUNTER_TURN_REFRESH,
     .sign = STUN_ATTR_COUNT,
     .handle = handle_refresh,
     .authenticated = true,
     .needs_allocation = true,
     .says_software = true},
    {.number = STUN_CREATE_PERMISSION,
     .name = "CreatePermission",
     .counter = COUNTER_TURN_CREATE_PERMISSION,
     .sign = STUN_XOR_PEER_ADDRESS,
     .handle = handle_create_permission,
     .authenticated = true,
     .needs_allocation = true},
    {.number = STUN_CHANNEL_BIND,
     .name = "ChannelBind",
     .counter = COUNTER_TURN_CHANNEL_BIND,
     .sign = STUN_CHANNEL_NUMBER,
     .handle = handle_channel_bind,
     .authenticated = true,
     .needs_allocation = true},
    {.number = STUN_CONNECT,
     .name = "Connect",
     .counter = COUNTER_TURN_CONNECT,
     .sign = STUN_XOR_PEER_ADDRESS,
     .handle = handle_connect,
     .authenticated = true,
     .needs_allocation = true,
     .tcp = true},
    {.number = STUN_CONNECTION_BIND,
     .name = "ConnectionBind",
     .counter = COUNTER_TURN_CONNECTION_BIND,
     .sign = STUN_CONNECTION_ID,
     .handle = handle_connection_bind,
     .authenticated = true,
     .tcp = true},
};

static const struct method *method_of(const struct turn *turn, uint16_t number)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (methods[i].number == number && (!methods[i].tcp || turn->config->tcp_allocations))
            return &methods[i];
    }
    return NULL;
}

bool request_same_user(const struct request *r, const struct allocation *a)
{
    return a->username_len == r->username.len &&
           memcmp(a->username, r->username.data, r->username.len) == 0;
}

usec_t request_lifetime(const struct request *r)
{
    // RFC 8656 section 7.2: "the minimum of the client's proposed lifetime and the server's maximum
    // allowed lifetime. If this computed value is greater than the default lifetime, then the
    // server uses the computed lifetime ... Otherwise ... the default lifetime."
    const struct turn_config *config = r->turn->config;
    usec_t lifetime = stun_u32(r->msg, STUN_LIFETIME) * USEC_PER_SEC;
    if (lifetime > config->max_lifetime)
        lifetime = config->max_lifetime;
    return lifetime > config->default_lifetime ? lifetime : config->default_lifetime;
}

// ---- what comes before the handler ----

static bool shows_ticket(const struct request *r)
{
    return r->method->number == STUN_REFRESH && stun_has(r->msg, STUN_MOBILITY_TICKET);
}

static int check(struct request *r)
{
    int code = r->method->authenticated ? auth_request(r) : 0;
    if (code != 0)
        return code;
    if (r->msg->malformed)
        return 400;
    if (r->msg->unknown_count > 0)
        return 420;
    if (!r->method->authenticated)
        return 0;
    // RFC 8656 section 5; the handler knows more about a ticket that is not.
    if (r->method->needs_allocation && !r->allocation && !shows_ticket(r))
        return 437;
    // "All requests after the initial Allocate must use the same username as that used to create
    // the allocation".
    if (r->method->needs_allocation && r->allocation && !request_same_user(r, r->allocation))
        return 441;
    return 0;
}

// ---- the answer ----

// Returns its length, or -ENOSPC.
static int protect(struct request *r)
{
    const char *software = r->turn->config->software;
    if (software && r->authenticated && r->method->says_software)
        stun_put_bytes(&r->reply, STUN_SOFTWARE, software, strlen(software));
    // Who uses FINGERPRINT wants to find it in the answer.
    bool fingerprint = stun_has(r->msg, STUN_FINGERPRINT);
    if (r->authenticated && r->sha256)
        stun_put_sha256(&r->reply, r->key.bytes, r->key.len);
    bool sha1 = r->authenticated && !r->sha256;
    return stun_finish(&r->reply, sha1 ? r->key.bytes : NULL, r->key.len, fingerprint);
}

static bool may_answer(struct request *r, size_t len)
{
    // A client with an allocation has shown that it gets what is sent to its address.
    if (r->client->transport != TURN_UDP || r->authenticated || r->binding || len <= r->msg->len)
        return true;
    return limiter_take(r->turn, &r->client->remote, r->now);
}

static void log_error(const struct request *r, int code)
{
    struct mask client;
    const struct log_field fields[] = {
        {"TURN_CLIENT", mask_addr(&r->client->remote, &client)},
    };
    log_write(LOG_LEVEL_DEBUG, fields, 1, "TURN %s answered %d", r->method->name, code);
}

static void answer(struct request *r, int code)
{
    if (code != 0)
        error_write(r, code);
    int len = protect(r);
    if (len < 0)
        return;
    if (!may_answer(r, (size_t)len)) {
        count(r->turn, COUNTER_TURN_DROP_UNANSWERED);
        return;
    }
    count(r->turn, code ? error_counter(code) : COUNTER_TURN_SUCCESS);
    if (code != 0)
        log_error(r, code);
    if (r->join)
        peer_conn_join(r->turn, r->join, r->client, r->buf, (size_t)len);
    else
        send_to_client(r->turn, r->client, r->buf, (size_t)len);
}

// ---- answers that take time ----

void request_keep(const struct request *r, struct asked *ret_asked)
{
    *ret_asked = (struct asked){.method = r->msg->method,
                                .sha256 = r->sha256,
                                .fingerprint = stun_has(r->msg, STUN_FINGERPRINT),
                                .key = r->key};
    memcpy(ret_asked->txid, r->msg->txid, sizeof ret_asked->txid);
}

void request_answer_later(struct turn *turn, const struct turn_client *client,
                          const struct asked *asked, int code, uint32_t number, usec_t now)
{
    // The request, as far as an answer needs it.
    struct stun_msg msg = {.method = asked->method, .txid = asked->txid};
    struct request r;
    if (asked->fingerprint)
        msg.attr[STUN_FINGERPRINT].data = asked->txid;
    memset(&r, 0, offsetof(struct request, buf));
    r.turn = turn;
    r.client = client;
    r.method = method_of(turn, asked->method);
    r.msg = &msg;
    r.now = now;
    r.authenticated = true;
    r.sha256 = asked->sha256;
    r.key = asked->key;
    if (!r.method)
        return; // TCP allocations have been switched off meanwhile
    r.reply = stun_begin(r.buf, sizeof r.buf, STUN_SUCCESS, asked->method, asked->txid);
    if (code == 0)
        stun_put_u32(&r.reply, STUN_CONNECTION_ID, number);
    answer(&r, code);
}

// ---- one request ----

enum turn_action request_serve(struct turn *turn, const struct turn_client *client,
                               struct binding *binding, const struct stun_msg *msg,
                               struct turn_forward *ret_forward, usec_t now)
{
    const struct method *method = method_of(turn, msg->method);
    if (!method)
        return drop(turn, COUNTER_TURN_DROP_UNEXPECTED);
    count(turn, method->counter);
    struct request r;
    memset(&r, 0, offsetof(struct request, buf));
    r.turn = turn;
    r.client = client;
    r.forward = ret_forward;
    r.method = method;
    r.msg = msg;
    r.now = now;
    r.binding = binding;
    // RFC 8016 section 3.2.2: with a ticket "the server will not retrieve the 5-tuple from the
    // packet to identify an associated allocation".
    if (shows_ticket(&r))
        r.allocation = mobility_find(turn, &msg->attr[STUN_MOBILITY_TICKET], now);
    else if (binding)
        r.allocation = binding_allocation(binding);
    else if (method->number == STUN_CONNECTION_BIND)
        r.allocation = peer_conn_allocation(turn, stun_u32(msg, STUN_CONNECTION_ID));
    r.reply = stun_begin(r.buf, sizeof r.buf, STUN_SUCCESS, msg->method, msg->txid);
    ret_forward->pause = false;
    int code = check(&r);
    if (code == 0)
        code = method->handle(&r);
    if (code == HANDED_OVER)
        return TURN_TO_WORKER;
    if (code != NO_ANSWER)
        answer(&r, code);
    // RFC 8016 section 3.2.2 waits for data from the new address. Who asks for permissions or
    // channels there, and may only listen, has arrived too: coturn's client counts on it.
    bool keeps = msg->method == STUN_CREATE_PERMISSION || msg->method == STUN_CHANNEL_BIND;
    if (code == 0 && keeps && binding && binding->kind == BIND_ARRIVING)
        mobility_arrive(turn, binding_allocation(binding), now);
    return TURN_CONSUME;
}
