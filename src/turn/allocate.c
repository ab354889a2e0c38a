// SPDX-License-Identifier: ISC
// Allocate (RFC 8656 section 7.2): the checks in the order written there, then the ports. Nothing
// is charged or bound that a refused request would leave behind.
#include "internal.h"

#include <errno.h>
#include <string.h>

#define PROTOCOL_TCP   6
#define PROTOCOL_UDP   17
#define FAMILY_WIRE_V4 1 // RFC 8489 section 14.1
#define FAMILY_WIRE_V6 2

struct wanted {
    bool tcp;
    bool family[FAMILIES];
    enum port_parity parity;
    bool reserved; // a port that was reserved, by 'token'
    uint64_t token;
    bool mobile;
};

// ---- what the request says ----

static unsigned first_byte(const struct request *r, enum stun_attr attr)
{
    return stun_u32(r->msg, attr) >> 24;
}

static int read_families(const struct request *r, struct wanted *want)
{
    bool one = stun_has(r->msg, STUN_REQUESTED_ADDRESS_FAMILY);
    bool both = stun_has(r->msg, STUN_ADDITIONAL_ADDRESS_FAMILY);
    // Checks 6 and 9.
    if (one && both)
        return 400;
    if (both && (first_byte(r, STUN_ADDITIONAL_ADDRESS_FAMILY) != FAMILY_WIRE_V6 ||
                 want->parity == PORT_PAIR))
        return 400;
    unsigned family = one ? first_byte(r, STUN_REQUESTED_ADDRESS_FAMILY) : FAMILY_WIRE_V4;
    if (family != FAMILY_WIRE_V4 && family != FAMILY_WIRE_V6)
        return 440;
    want->family[0] = family == FAMILY_WIRE_V4;
    want->family[1] = family == FAMILY_WIRE_V6 || both;
    return 0;
}

static int read_token(const struct request *r, struct wanted *want)
{
    if (!stun_has(r->msg, STUN_RESERVATION_TOKEN))
        return 0;
    // Check 5.
    if (stun_has(r->msg, STUN_EVEN_PORT) || stun_has(r->msg, STUN_REQUESTED_ADDRESS_FAMILY) ||
        stun_has(r->msg, STUN_ADDITIONAL_ADDRESS_FAMILY))
        return 400;
    want->reserved = true;
    want->token = stun_u64(r->msg, STUN_RESERVATION_TOKEN);
    return 0;
}

static int read_ticket(const struct request *r, struct wanted *want)
{
    const struct stun_view *ticket = &r->msg->attr[STUN_MOBILITY_TICKET];
    if (!ticket->data)
        return 0;
    // RFC 8016 section 3.1.2.
    if (ticket->len > 0)
        return 400;
    want->mobile = true;
    // A control connection cannot become UDP.
    return r->turn->config->mobility && !want->tcp ? 0 : 405;
}

static int read_transport(const struct request *r, struct wanted *want)
{
    // Check 3.
    if (!stun_has(r->msg, STUN_REQUESTED_TRANSPORT))
        return 400;
    unsigned protocol = first_byte(r, STUN_REQUESTED_TRANSPORT);
    if (protocol == PROTOCOL_UDP)
        return 0;
    if (protocol != PROTOCOL_TCP || !r->turn->config->tcp_allocations)
        return 442;
    // RFC 6062 section 5.1, points 2 and 3.
    if ((r->client->transport != TURN_TCP && r->client->transport != TURN_TLS) ||
        stun_has(r->msg, STUN_DONT_FRAGMENT) || stun_has(r->msg, STUN_EVEN_PORT) ||
        stun_has(r->msg, STUN_RESERVATION_TOKEN))
        return 400;
    want->tcp = true;
    return 0;
}

static int read_request(const struct request *r, struct wanted *want)
{
    int code = read_transport(r, want);
    if (code != 0)
        return code;
    const struct stun_view *even = &r->msg->attr[STUN_EVEN_PORT];
    if (even->data)
        want->parity = even->data[0] & 0x80 ? PORT_PAIR : PORT_EVEN;
    code = read_token(r, want);
    if (code == 0)
        code = read_families(r, want);
    return code ? code : read_ticket(r, want);
}

// ---- making it ----

static int charge(struct turn *turn, const struct allocation *a)
{
    switch (turn->io.charge(turn->io.ctx, allocation_identity(a))) {
    case TURN_GRANTED:
        turn->charges++;
        return 0;
    case TURN_REFUSED_USER:
        return 486;
    default:
        return 508;
    }
}

static void refund(struct turn *turn, const struct allocation *a)
{
    turn->io.release(turn->io.ctx, allocation_identity(a));
    turn->charges--;
}

static int code_of(int rc)
{
    return rc == -EAFNOSUPPORT ? 440 : 508;
}

// One port, and with PORT_PAIR the reserved one beside it.
static int open_port(struct request *r, struct allocation *a, unsigned family,
                     enum port_parity parity, struct reservation *reservation)
{
    struct turn *turn = r->turn;
    struct turn_port port[2] = {{0}};
    enum family name = family ? FAMILY_V6 : FAMILY_V4;
    int rc = a->tcp ? turn->io.tcp.listen(turn->io.tcp.ctx, name, a, port)
                    : turn->io.open(turn->io.ctx, name, parity, a, port);
    if (rc < 0)
        return code_of(rc);
    allocation_add_port(a, &port[0], r->now + request_lifetime(r));
    if (reservation) {
        reservation->port = port[1];
        a->token = reservation->token;
    }
    return 0;
}

// EVEN-PORT with R = 1: what can fail without the world comes first.
static int open_pair(struct request *r, struct allocation *a, unsigned family)
{
    struct turn *turn = r->turn;
    struct reservation *reservation = reservation_new(allocation_identity(a));
    if (!reservation)
        return 508;
    int code = charge(turn, a);
    if (code == 0 && reservation_arm(turn, reservation, r->now) < 0) {
        refund(turn, a);
        code = 508;
    }
    if (code != 0) {
        reservation_free(turn, reservation, false);
        return code;
    }
    code = open_port(r, a, family, PORT_PAIR, reservation);
    if (code != 0)
        reservation_free(turn, reservation, true);
    return code;
}

static int open_families(struct request *r, struct allocation *a, const struct wanted *want)
{
    int code[FAMILIES] = {0};
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (want->family[i])
            code[i] = want->parity == PORT_PAIR ? open_pair(r, a, i)
                                                : open_port(r, a, i, want->parity, NULL);
    }
    if (!want->family[0] || !want->family[1])
        return code[0] ? code[0] : code[1];
    // Check 9: "If the server can partially meet the request ... it includes ADDRESS-ERROR-CODE".
    if (code[0] && code[1])
        return 508;
    a->partial = (uint16_t)(code[0] ? code[0] : code[1]);
    return 0;
}

// With the one that is being made.
static bool too_many(const struct turn *turn)
{
    return turn->allocations > turn->config->allocations_max;
}

// The charge of the reservation becomes that of the allocation if both are one user's.
static int take_reserved(struct request *r, struct allocation *a, uint64_t token)
{
    struct turn *turn = r->turn;
    struct reservation *reservation = reservation_find(turn, token);
    if (!reservation || too_many(turn))
        return 508;
    bool same = strcmp(reservation->identity, allocation_identity(a)) == 0;
    int code = same ? 0 : charge(turn, a);
    if (code != 0)
        return code;
    turn->io.set_owner(turn->io.ctx, reservation->port.handle, a);
    allocation_add_port(a, &reservation->port, r->now + request_lifetime(r));
    reservation_free(turn, reservation, !same);
    return 0;
}

static int open_charged(struct request *r, struct allocation *a, const struct wanted *want)
{
    int code = charge(r->turn, a);
    if (code != 0)
        return code;
    // Only now: whoever has had his share is told so (486), not that the server is full.
    code = too_many(r->turn) ? 508 : open_families(r, a, want);
    if (code != 0)
        refund(r->turn, a);
    return code;
}

static int create(struct request *r, const struct wanted *want, struct allocation **ret_a)
{
    struct turn *turn = r->turn;
    struct allocation *a = allocation_new(turn, r->client, r->username, r->identity, r->now);
    if (!a)
        return 508;
    a->tcp = want->tcp;
    int code = want->mobile && mobility_new(turn, a) < 0 ? 508 : 0;
    if (code == 0)
        code = want->reserved ? take_reserved(r, a, want->token) : open_charged(r, a, want);
    if (code != 0) {
        allocation_free(turn, a);
        return code;
    }
    memcpy(a->txid, r->msg->txid, sizeof a->txid);
    a->key = r->key;
    (void)allocation_arm(turn, a); // it has been armed before, for never
    *ret_a = a;
    return 0;
}

// ---- the answer ----

// RFC 8656 section 18.12.
static void write_partial(struct request *r, const struct allocation *a)
{
    uint8_t value[4] = {a->port[0].open ? FAMILY_WIRE_V6 : FAMILY_WIRE_V4, 0,
                        (uint8_t)(a->partial / 100), (uint8_t)(a->partial % 100)};
    stun_put_bytes(&r->reply, STUN_ADDRESS_ERROR_CODE, value, sizeof value);
}

static int write_answer(struct request *r, const struct allocation *a)
{
    usec_t left = allocation_expires(a) - r->now;
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (relayed_live(&a->port[i]))
            stun_put_addr(&r->reply, STUN_XOR_RELAYED_ADDRESS, &a->port[i].addr);
    }
    stun_put_u32(&r->reply, STUN_LIFETIME, (uint32_t)((left + USEC_PER_SEC - 1) / USEC_PER_SEC));
    stun_put_addr(&r->reply, STUN_XOR_MAPPED_ADDRESS, &r->client->remote);
    if (a->token)
        stun_put_u64(&r->reply, STUN_RESERVATION_TOKEN, a->token);
    if (a->mobility)
        stun_put_bytes(&r->reply, STUN_MOBILITY_TICKET, mobility_ticket(a), TICKET_LEN);
    if (a->partial)
        write_partial(r, a);
    return 0;
}

int handle_allocate(struct request *r)
{
    struct wanted want = {0};
    struct allocation *a = r->allocation;
    if (r->binding) {
        // A retransmission gets its answer again (section 7.2, the note at its end); check 2 is for
        // all others.
        bool again =
            a && memcmp(a->txid, r->msg->txid, sizeof a->txid) == 0 && request_same_user(r, a);
        return again ? write_answer(r, a) : 437;
    }
    if (addr_is_tunnel(&r->client->remote))
        return 403;
    int code = read_request(r, &want);
    if (code != 0)
        return code;
    unsigned worker = token_worker(want.token);
    if (want.reserved && worker != r->turn->config->worker && worker < r->turn->config->workers)
        return guest_hand_over(r, worker);
    code = create(r, &want, &a);
    return code ? code : write_answer(r, a);
}
