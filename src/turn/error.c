// SPDX-License-Identifier: ISC
// Error responses: one row per code that this server answers, and the attributes that some of them
// must have. Towards those who have not proved their address the reason is left out, because every
// byte counts there.
#include "internal.h"

#include <string.h>

struct error_row {
    int code;
    const char *reason; // RFC 8489 section 14.8, RFC 8656 section 19, RFC 8016, RFC 6062
    enum counter counter;
};

static const struct error_row rows[] = {
    {400, "Bad Request", COUNTER_TURN_400},
    {401, "Unauthenticated", COUNTER_TURN_401},
    {403, "Forbidden", COUNTER_TURN_403},
    {405, "Mobility Forbidden", COUNTER_TURN_405},
    {420, "Unknown Attribute", COUNTER_TURN_420},
    {437, "Allocation Mismatch", COUNTER_TURN_437},
    {438, "Stale Nonce", COUNTER_TURN_438},
    {440, "Address Family not Supported", COUNTER_TURN_440},
    {441, "Wrong Credentials", COUNTER_TURN_441},
    {442, "Unsupported Transport Protocol", COUNTER_TURN_442},
    {443, "Peer Address Family Mismatch", COUNTER_TURN_443},
    {446, "Connection Already Exists", COUNTER_TURN_446},
    {447, "Connection Timeout or Failure", COUNTER_TURN_447},
    {486, "Allocation Quota Reached", COUNTER_TURN_486},
    {508, "Insufficient Capacity", COUNTER_TURN_508},
};

static const struct error_row *row_of(int code)
{
    const struct error_row *row = rows;
    while (row->code != code)
        row++;
    return row;
}

// RFC 8489 section 9.2.4: what a client needs to authenticate. Nothing that knows of algorithms
// asks with a bare header, which is where their list would amplify most.
static void write_challenge(struct request *r)
{
    char nonce[NONCE_MAX];
    const struct turn_config *config = r->turn->config;
    size_t len = nonce_write(r->turn, r->client, r->now, nonce);
    stun_put_bytes(&r->reply, STUN_REALM, config->realm, strlen(config->realm));
    stun_put_bytes(&r->reply, STUN_NONCE, nonce, len);
    if (config->modern && r->msg->len > STUN_HEADER_LEN)
        stun_put_bytes(&r->reply, STUN_PASSWORD_ALGORITHMS, auth_algorithms,
                       sizeof auth_algorithms);
}

// RFC 8489 section 14.9.
static void write_unknown(struct request *r)
{
    uint8_t types[sizeof r->msg->unknown];
    struct writer w = writer_over(types, sizeof types);
    for (unsigned i = 0; i < r->msg->unknown_count; i++)
        write_u16(&w, r->msg->unknown[i]);
    stun_put_bytes(&r->reply, STUN_UNKNOWN_ATTRIBUTES, types, writer_used(&w));
}

enum counter error_counter(int code)
{
    return row_of(code)->counter;
}

void error_write(struct request *r, int code)
{
    bool terse = r->client->transport == TURN_UDP && !r->authenticated;
    r->reply = stun_begin(r->buf, sizeof r->buf, STUN_ERROR, r->msg->method, r->msg->txid);
    stun_put_error(&r->reply, (unsigned)code, terse ? "" : row_of(code)->reason);
    if (code == 401 || code == 438)
        write_challenge(r);
    if (code == 420)
        write_unknown(r);
}
