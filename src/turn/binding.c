// SPDX-License-Identifier: ISC
// Binding: what is my address? Answered to everybody (RFC 8489 section 12), also to clients of
// RFC 3489, which know neither magic cookie nor XOR-MAPPED-ADDRESS.
#include "internal.h"

#include <string.h>

#define OLD_REQUEST     0x0001 // RFC 3489 section 11.1
#define OLD_RESPONSE    0x0101
#define OLD_TXID_LEN    16
#define OLD_RESPONSE_TO 0x0002 // RESPONSE-ADDRESS: answer somebody else
#define OLD_CHANGE      0x0003 // CHANGE-REQUEST: answer from another address or port
#define OLD_ANSWER_LEN  (STUN_HEADER_LEN + 24)

int handle_binding(struct request *r)
{
    stun_put_addr(&r->reply, STUN_XOR_MAPPED_ADDRESS, &r->client->remote);
    return 0;
}

// May it be answered from here to there? A reflector is what RESPONSE-ADDRESS would make of us, and
// another address of ours does not exist.
static bool wants_plain_answer(struct reader *r)
{
    while (reader_left(r) > 0) {
        uint16_t type = read_u16(r);
        uint16_t len = read_u16(r);
        struct reader value = read_block(r, len);
        if (type == OLD_RESPONSE_TO || (type == OLD_CHANGE && read_u32(&value) != 0))
            return false;
    }
    return !r->failed;
}

bool old_binding(struct turn *turn, const struct turn_client *client,
                 const struct turn_packet *packet, bool known, usec_t now)
{
    uint8_t buf[OLD_ANSWER_LEN];
    struct reader r = reader_over(packet->data, packet->len);
    uint16_t type = read_u16(&r), len = read_u16(&r);
    const uint8_t *txid = read_bytes(&r, OLD_TXID_LEN);
    if (!turn->config->old_stun || !txid || type != OLD_REQUEST || len != reader_left(&r) ||
        memcmp(txid, (const uint8_t[]){0x21, 0x12, 0xa4, 0x42}, 4) == 0 || !wants_plain_answer(&r))
        return false;
    count(turn, COUNTER_TURN_BINDING_OLD);
    struct writer w = writer_over(buf, sizeof buf);
    write_u16(&w, OLD_RESPONSE);
    write_u16(&w, client->remote.family == FAMILY_V4 ? 12 : 24);
    write_bytes(&w, txid, OLD_TXID_LEN);
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
