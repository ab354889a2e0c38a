// SPDX-License-Identifier: ISC
// Data between clients and peers (RFC 8656 sections 11 and 12.4 to 12.7): the payload stays where
// it was received, headers are taken off or put on in front of it.
#include "internal.h"

#include <string.h>

#define CHANNEL_HEADER_LEN 4
#define DATAGRAM_MAX       65507 // of UDP over IPv4

enum turn_action drop(struct turn *turn, enum counter reason)
{
    count(turn, reason);
    return TURN_CONSUME;
}

void send_to_client(struct turn *turn, const struct turn_client *client, const uint8_t *data,
                    size_t len)
{
    if (turn->io.send_client(turn->io.ctx, client, data, len) < 0)
        count(turn, COUNTER_TURN_DROP_SEND_ERROR);
}

// ---- from the client ----

static bool is_stream(const struct turn_client *client)
{
    return client->transport == TURN_TCP || client->transport == TURN_TLS;
}

// Whoever sends data from an address announced by ticket has arrived there (RFC 8016).
static struct allocation *sender(struct turn *turn, struct binding *binding, usec_t now)
{
    struct allocation *a = binding ? binding_allocation(binding) : NULL;
    if (a && binding->kind == BIND_ARRIVING)
        mobility_arrive(turn, a, now);
    return a;
}

static enum turn_action to_peer(struct turn *turn, struct allocation *a, const struct addr *peer,
                                struct turn_packet *packet, struct turn_forward *ret_forward,
                                usec_t now)
{
    const struct relayed *port = &a->port[family_index(peer)];
    if (!relayed_live(port) || a->tcp)
        return drop(turn, COUNTER_TURN_DROP_NO_PERMISSION);
    if (!bucket_take(&a->bucket, packet->len, now) &&
        !turn_offload_yield(turn, a, packet->len, now))
        return drop(turn, COUNTER_TURN_DROP_BANDWIDTH);
    a->packets_out++;
    a->bytes_out += packet->len;
    count(turn, COUNTER_TURN_TO_PEER_PACKETS);
    counter_add(turn->counters, COUNTER_TURN_TO_PEER_BYTES, packet->len);
    ret_forward->handle = port->handle;
    ret_forward->to = *peer;
    return TURN_TO_PEER;
}

enum turn_action data_from_channel(struct turn *turn, struct binding *binding,
                                   struct turn_packet *packet, struct turn_forward *ret_forward,
                                   usec_t now)
{
    struct reader r = reader_over(packet->data, packet->len);
    uint16_t number = read_u16(&r), len = read_u16(&r);
    // Section 12.6: "if the UDP datagram is too short to contain the claimed length ... silently
    // discarded".
    if (r.failed || len > reader_left(&r))
        return drop(turn, COUNTER_TURN_DROP_MALFORMED);
    struct allocation *a = sender(turn, binding, now);
    if (!a)
        return drop(turn, COUNTER_TURN_DROP_NO_ALLOCATION);
    const struct channel *channel = channel_by_number(a, number, now);
    if (!channel)
        return drop(turn, COUNTER_TURN_DROP_NO_CHANNEL);
    packet->data += CHANNEL_HEADER_LEN;
    packet->len = len;
    packet->dont_fragment = false;
    enum turn_action action = to_peer(turn, a, &channel->peer, packet, ret_forward, now);
    if (action == TURN_TO_PEER)
        turn_offload_consider(turn, a, channel, TO_PEER, now);
    return action;
}

// Sections 13.1 to 13.3: where one side is IPv6 "the DONT-FRAGMENT attribute MUST be ignored", but
// for data that came on a stream (section 15).
static bool wants_whole(const struct allocation *a, const struct stun_msg *msg,
                        const struct addr *peer)
{
    const struct turn_client *client = &a->at.client;
    bool v4 = client->remote.family == FAMILY_V4 && peer->family == FAMILY_V4;
    return stun_has(msg, STUN_DONT_FRAGMENT) && (v4 || is_stream(client));
}

enum turn_action data_from_indication(struct turn *turn, struct binding *binding,
                                      const struct stun_msg *msg, struct turn_packet *packet,
                                      struct turn_forward *ret_forward, usec_t now)
{
    struct addr peer;
    const struct stun_view *data = &msg->attr[STUN_DATA];
    struct allocation *a = sender(turn, binding, now);
    if (!a)
        return drop(turn, COUNTER_TURN_DROP_NO_ALLOCATION);
    if (msg->malformed || msg->unknown_count > 0 || !data->data ||
        stun_addr(msg, STUN_XOR_PEER_ADDRESS, &peer) < 0)
        return drop(turn, COUNTER_TURN_DROP_MALFORMED);
    if (!permission_find(a, &peer, now))
        return drop(turn, COUNTER_TURN_DROP_NO_PERMISSION);
    // A permission is for an IP address; ports of this host are not all alike.
    if (peer.port == 0 || !turn->io.peer_allowed(turn->io.ctx, &peer))
        return drop(turn, COUNTER_TURN_DROP_FORBIDDEN);
    packet->data += data->data - packet->data;
    packet->len = data->len;
    packet->dont_fragment = wants_whole(a, msg, &peer);
    return to_peer(turn, a, &peer, packet, ret_forward, now);
}

// ---- to the client ----

// Section 12.5: on a stream "padded to a multiple of four bytes"; with zeros, not with what was
// there before.
static void put_channel_header(struct turn_packet *packet, uint16_t number, bool pad)
{
    struct writer w = writer_over(packet->data - CHANNEL_HEADER_LEN,
                                  packet->len + CHANNEL_HEADER_LEN + TURN_TAILROOM);
    write_u16(&w, number);
    write_u16(&w, (uint16_t)packet->len);
    w.p += packet->len;
    write_zeros(&w, pad ? -packet->len & 3 : 0);
    packet->data = w.start;
    packet->len = writer_used(&w);
}

// Transaction ids of indications are answered by nobody; they only should not be alike.
static struct writer begin_data(struct turn *turn, void *buf, size_t size)
{
    uint8_t txid[STUN_TXID_LEN];
    struct writer w = writer_over(txid, sizeof txid);
    turn->data_serial++;
    write_u64(&w, map_hash(&turn->clients, &turn->data_serial, sizeof turn->data_serial));
    write_u32(&w, (uint32_t)turn->data_serial);
    return stun_begin(buf, size, STUN_INDICATION, STUN_DATA_INDICATION, txid);
}

// XOR-PEER-ADDRESS, and the header of DATA.
static size_t data_attributes_len(const struct addr *from)
{
    return (from->family == FAMILY_V4 ? 12u : 24u) + 4u;
}

static void put_data_header(struct turn *turn, struct turn_packet *packet, const struct addr *from)
{
    size_t head = STUN_HEADER_LEN + data_attributes_len(from);
    struct writer w = begin_data(turn, packet->data - head, head + packet->len + TURN_TAILROOM);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, from);
    write_u16(&w, stun_attr_rows[STUN_DATA].type);
    write_u16(&w, (uint16_t)packet->len);
    w.p += packet->len;
    write_zeros(&w, -packet->len & 3);
    packet->data = w.start;
    packet->len = (size_t)stun_finish(&w, NULL, 0, false);
}

// Both framings say their length in 16 bits, a STUN message without its own header.
static bool fits(const struct turn_client *client, const struct channel *channel,
                 const struct addr *from, size_t len)
{
    size_t padded = (len + 3) & ~(size_t)3;
    if ((channel ? len : data_attributes_len(from) + padded) > UINT16_MAX)
        return false;
    return is_stream(client) ||
           len + (channel ? CHANNEL_HEADER_LEN : TURN_HEADROOM + TURN_TAILROOM) <= DATAGRAM_MAX;
}

static const struct relayed *port_of(const struct allocation *a, const void *handle)
{
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (relayed_live(&a->port[i]) && a->port[i].handle == handle)
            return &a->port[i];
    }
    return NULL;
}

enum turn_action turn_peer_recv(struct turn *turn, void *owner, void *handle,
                                const struct addr *from, struct turn_packet *packet,
                                struct turn_forward *ret_forward, usec_t now)
{
    struct allocation *a = owner;
    size_t len = packet->len;
    if (!a || a->dead || !port_of(a, handle))
        return drop(turn, COUNTER_TURN_DROP_NO_ALLOCATION);
    if (!permission_find(a, from, now))
        return drop(turn, COUNTER_TURN_DROP_NO_PERMISSION);
    if (!a->at.linked)
        return drop(turn, COUNTER_TURN_DROP_AWAY);
    const struct channel *channel = channel_by_peer(a, from, now);
    if (!fits(&a->at.client, channel, from, len))
        return drop(turn, COUNTER_TURN_DROP_TOO_LONG);
    if (!bucket_take(&a->bucket, len, now) && !turn_offload_yield(turn, a, len, now))
        return drop(turn, COUNTER_TURN_DROP_BANDWIDTH);
    if (channel)
        put_channel_header(packet, channel->number, is_stream(&a->at.client));
    else
        put_data_header(turn, packet, from);
    a->packets_in++;
    a->bytes_in += len;
    count(turn, COUNTER_TURN_TO_CLIENT_PACKETS);
    counter_add(turn->counters, COUNTER_TURN_TO_CLIENT_BYTES, len);
    ret_forward->client = a->at.client;
    if (channel)
        turn_offload_consider(turn, a, channel, TO_CLIENT, now);
    return TURN_TO_CLIENT;
}

// Section 11.5: the types that say something about a peer, and whether they carry an MTU.
static bool icmp_counts(enum family family, uint8_t type, uint8_t code, bool *ret_mtu)
{
    *ret_mtu = family == FAMILY_V4 ? type == 3 && code == 4 : type == 2;
    return family == FAMILY_V4 ? type == 3 || type == 11 : type >= 1 && type <= 3;
}

void turn_peer_icmp(struct turn *turn, void *owner, const struct addr *peer, uint8_t type,
                    uint8_t code, uint32_t info, usec_t now)
{
    bool mtu;
    uint8_t buf[STUN_HEADER_LEN + 24 + 12];
    struct allocation *a = owner;
    if (!a || a->dead || !a->at.linked || !icmp_counts(peer->family, type, code, &mtu) ||
        !permission_find(a, peer, now))
        return;
    struct writer w = begin_data(turn, buf, sizeof buf);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, peer);
    stun_put_u64(&w, STUN_ICMP, (uint64_t)type << 40 | (uint64_t)code << 32 | (mtu ? info : 0));
    int len = stun_finish(&w, NULL, 0, false);
    if (len > 0)
        send_to_client(turn, &a->at.client, buf, (size_t)len);
}
