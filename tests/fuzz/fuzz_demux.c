// SPDX-License-Identifier: ISC
// Datagrams of a media port: the input is a sequence of (milliseconds since the one before / 4,
// length, bytes). Each is told apart and decoded, and the RTP among them make one stream's
// statistics, whose invariants must hold after every packet.
#include "base/cursor.h"
#include "codec/demux.h"
#include "codec/rtp.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void see(struct rtp_quality *q, const struct rtp_header *header, usec_t now)
{
    bool same = q->started && q->ssrc == header->ssrc;
    uint64_t before = same ? q->received + q->duplicates : 0;
    const struct rtp_arrival arrival = rtp_arrival(header);
    rtp_quality_see(q, &arrival, now);
    must(q->received + q->duplicates == before + 1);
    must(q->window & 1);
    must(q->reordered < q->received);
    must(rtp_quality_jitter(q) <= 5 * USEC_PER_SEC);
    must(q->clock_rate != 0 || q->jitter16 == 0);
    // No gap between two numbers counts more than 2999 packets as lost.
    must(rtp_quality_lost(q) <= q->received * 3000);
}

static void try_packet(struct rtp_quality *q, const uint8_t *data, size_t len, usec_t now)
{
    enum packet_kind kind = demux(data, len);
    must(packet_kind_name(kind)[0] != '\0');
    struct rtp_header header;
    uint32_t ssrc;
    int rtp = rtp_decode(data, len, &header);
    int rtcp = rtcp_sender(data, len, &ssrc);
    must(rtcp < 0 || kind == PACKET_RTCP);
    must(rtp < 0 || kind == PACKET_RTP || kind == PACKET_RTCP);
    must(kind != PACKET_RTP || rtp == 0 || (data[0] & 0x1f) != 0);
    if (rtp == 0) {
        must(header.header_len >= 12 && header.header_len <= len);
        see(q, &header, now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_over(data, size);
    struct rtp_quality q = {0};
    usec_t now = 1000000;
    while (reader_left(&r) > 2) {
        now += read_u8(&r) * 4 * USEC_PER_MSEC;
        size_t len = read_u8(&r);
        if (len > reader_left(&r))
            len = reader_left(&r);
        try_packet(&q, read_bytes(&r, len), len, now);
    }
    return 0;
}
