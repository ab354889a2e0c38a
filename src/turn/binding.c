// SPDX-License-Identifier: ISC
// Binding: what is my address? Answered to everybody (RFC 8489 section 12), also to clients of
// RFC 3489, which know neither magic cookie nor XOR-MAPPED-ADDRESS.
#include "internal.h"

#include <string.h>

#define OLD_REQUEST     0x0001 // RFC 3489 section 11.1
#define OLD_CLASS_BITS  0x0110
#define OLD_RESPONSE    0x0100
#define OLD_TXID_LEN    16
#define OLD_RESPONSE_TO 0x0002 // RESPONSE-ADDRESS: answer somebody else
#define OLD_CHANGE      0x0003 // CHANGE-REQUEST: answer from another address or port
#define OLD_ANSWER_MAX  (STUN_HEADER_LEN + 24)

int handle_binding(struct request *r)
{
    stun_put_addr(&r->reply, STUN_XOR_MAPPED_ADDRESS, &r->client->remote);
    return 0;
}

struct old_request {
    uint16_t type;
    const uint8_t *txid;
    struct reader attrs;
};

// Is it a request without magic cookie?
static bool read_old(const struct turn_packet *packet, struct old_request *ret_request)
{
    struct reader r = reader_over(packet->data, packet->len);
    uint16_t type = read_u16(&r), len = read_u16(&r);
    const uint8_t *txid = read_bytes(&r, OLD_TXID_LEN);
    if (!txid || (type & OLD_CLASS_BITS) || len != reader_left(&r) ||
        memcmp(txid, (const uint8_t[]){0x21, 0x12, 0xa4, 0x42}, 4) == 0)
        return false;
    *ret_request = (struct old_request){.type = type, .txid = txid, .attrs = r};
    return true;
}

// May it be answered from here to there? A reflector is what RESPONSE-ADDRESS would make of us, and
// another address of ours does not exist.
static bool wants_plain_answer(struct reader r)
{
    while (reader_left(&r) > 0) {
        uint16_t type = read_u16(&r);
        uint16_t len = read_u16(&r);
        struct reader value = read_block(&r, len);
        if (type == OLD_RESPONSE_TO || (type == OLD_CHANGE && read_u32(&value) != 0))
            return false;
    }
    return !r.failed;
}

static struct writer begin_old(const struct old_request *request, uint16_t class, uint16_t len,
                               uint8_t buf[OLD_ANSWER_MAX])
{
    struct writer w = writer_over(buf, OLD_ANSWER_MAX);
    write_u16(&w, request->type | class);
    write_u16(&w, len);
    write_bytes(&w, request->txid, OLD_TXID_LEN);
    return w;
}

static void refuse_old(struct turn *turn, const struct turn_client *client,
                       const struct old_request *request)
{
    uint8_t buf[OLD_ANSWER_MAX];
    struct writer w = begin_old(request, OLD_CLASS_BITS, 8, buf);
    stun_put_error(&w, 500, "");
    count(turn, COUNTER_TURN_500);
    send_to_client(turn, client, buf, writer_used(&w));
}

bool old_binding(struct turn *turn, const struct turn_client *client,
                 const struct turn_packet *packet, bool known, usec_t now)
{
    uint8_t buf[OLD_ANSWER_MAX];
    struct old_request request;
    if (!read_old(packet, &request))
        return false;
    // RFC 8489 section 11: without the cookie over DTLS "all requests MUST generate a 500 (Server
    // Error) error response".
    if (client->transport == TURN_DTLS) {
        refuse_old(turn, client, &request);
        return true;
    }
    if (!turn->config->old_stun || request.type != OLD_REQUEST ||
        !wants_plain_answer(request.attrs))
        return false;
    count(turn, COUNTER_TURN_BINDING_OLD);
    uint16_t len = client->remote.family == FAMILY_V4 ? 12 : 24;
    struct writer w = begin_old(&request, OLD_RESPONSE, len, buf);
    stun_put_addr(&w, STUN_MAPPED_ADDRESS, &client->remote);
    size_t used = writer_used(&w);
    if (client->transport == TURN_UDP && !known && used > packet->len &&
        !limiter_take(turn, &client->remote, now)) {
        count(turn, COUNTER_TURN_DROP_UNANSWERED);
        return true;
    }
    count(turn, COUNTER_TURN_SUCCESS);
    send_to_client(turn, client, buf, used);
    return true;
}
