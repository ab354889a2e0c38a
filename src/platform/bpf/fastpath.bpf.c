// SPDX-License-Identifier: ISC
// The relay in the kernel: at the ingress of an interface it takes the packets of the flows in
// 'flows', writes new headers and sends them off. Whatever is not plain data of a known flow, and
// whatever it cannot forward exactly as user space would, goes on to the sockets.
//
// The order of things: find the flow; see that the packet is whole, of the right kind, and can
// leave as it must; ask the limit; then, under the flow's lock, see that it is still forwarded,
// count the packet and copy the way out; then write and send. Nothing is forwarded that was not
// counted, and nothing is written before it is certain.
#include "fastpath_map.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Linux 6.6, include/uapi/linux/bpf.h
enum { TCX_NEXT = -1, TCX_DROP = 2 };

#define TTL            64 // as of packets that sockets send
#define MORE_FRAGMENTS 0x2000
#define OFFSET         0x1fff

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1); // the loader's to say
    __type(key, struct fast_key);
    __type(value, struct fast_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 1); // the loader's to say
    __type(key, __u64);
    __type(value, struct fast_limit);
} limits SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_totals);
} totals SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, FASTPATH_PASSED_COUNT);
    __type(key, __u32); // enum fastpath_passed
    __type(value, __u64);
} passed SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_train);
} trains SEC(".maps");

// What was read of a packet; in network order what is so in fast_key.
struct packet {
    struct fast_key key;
    __u32 length;  // of IP header and all behind it
    __u32 payload; // of UDP
    __u16 l4;      // where UDP begins in the frame
    __u16 udp_len; // as UDP says
    __u16 check;
    __u8 tos;
    __u8 odd;    // fragment or options
    __u32 place; // in an array, for looking it up
    __u8 head[OFFLOAD_HEAD_LEN] __attribute__((aligned(8)));
};

#define always_inline static inline __attribute__((always_inline))

// ---- checksums (RFC 1071, RFC 1624): sums of words in network order ----

always_inline __u16 fold(__u64 sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return sum;
}

always_inline __u64 sum_address(const __u32 *ip, __u16 family)
{
    if (family == FAMILY_V4)
        return ip[0];
    return (__u64)ip[0] + ip[1] + ip[2] + ip[3];
}

// Of all words of an IPv4 header without options.
always_inline __u64 sum_ipv4(const struct iphdr *ip)
{
    const __u32 *word = (const void *)ip;

    return (__u64)word[0] + word[1] + word[2] + word[3] + word[4];
}

// ---- reading ----

// Keys of arrays stand in 'p' because a place on the stack that had a pointer in it before, as the
// compiler likes to choose it, may not be written by those without CAP_PERFMON.
always_inline int pass(struct packet *p, enum fastpath_passed why)
{
    __u64 *count;

    p->place = why;
    count = bpf_map_lookup_elem(&passed, &p->place);
    if (count)
        (*count)++;
    return TCX_NEXT;
}

// Header and first bytes of what is inside, of which there may be fewer.
always_inline bool read_udp(struct __sk_buff *skb, const struct udphdr *udp, void *end,
                            struct packet *p)
{
    __u32 have = skb->len - p->l4 - sizeof *udp;

    if ((void *)(udp + 1) > end)
        return false;
    p->key.from_port = udp->source;
    p->key.at_port = udp->dest;
    p->udp_len = bpf_ntohs(udp->len);
    p->check = udp->check;
    if (p->udp_len < sizeof *udp)
        return false;
    p->payload = p->udp_len - sizeof *udp;
    if ((void *)(udp + 1) + OFFLOAD_HEAD_LEN <= end) {
        __builtin_memcpy(p->head, udp + 1, OFFLOAD_HEAD_LEN);
        return true;
    }
    barrier_var(have);            // less than OFFLOAD_HEAD_LEN, as gather() was here;
    have &= OFFLOAD_HEAD_LEN - 1; // and the verifier shall see that it is
    if (have == 0)
        return true;
    return bpf_skb_load_bytes(skb, p->l4 + sizeof *udp, p->head, have) == 0;
}

// Of a packet with options no more is wanted than whose it is.
always_inline bool read_behind_options(struct __sk_buff *skb, __u32 at, struct packet *p)
{
    __u16 ports[2];

    p->odd = true;
    if (bpf_skb_load_bytes(skb, at, ports, sizeof ports) < 0)
        return false;
    p->key.from_port = ports[0];
    p->key.at_port = ports[1];
    return true;
}

always_inline bool read_ipv4(struct __sk_buff *skb, void *data, void *end, struct packet *p)
{
    struct iphdr *ip = data + ETH_HLEN;

    if ((void *)(ip + 1) > end || ip->version != 4 || ip->protocol != IPPROTO_UDP)
        return false;
    // Not the first of its fragments: it has no ports.
    if (ip->frag_off & bpf_htons(OFFSET))
        return false;
    p->key.family = FAMILY_V4;
    p->key.from[0] = ip->saddr;
    p->key.at[0] = ip->daddr;
    if (ip->ihl != 5)
        return read_behind_options(skb, ETH_HLEN + ip->ihl * 4, p);
    if (fold(sum_ipv4(ip)) != 0xffff)
        return false;
    p->odd = ip->frag_off & bpf_htons(MORE_FRAGMENTS) ? 1 : 0;
    p->tos = ip->tos;
    p->length = bpf_ntohs(ip->tot_len);
    p->l4 = ETH_HLEN + sizeof *ip;
    return read_udp(skb, (void *)(ip + 1), end, p);
}

always_inline bool read_ipv6(struct __sk_buff *skb, void *data, void *end, struct packet *p)
{
    struct ipv6hdr *ip = data + ETH_HLEN;
    __u32 first;

    if ((void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
        return false;
    __builtin_memcpy(&first, ip, sizeof first);
    p->key.family = FAMILY_V6;
    __builtin_memcpy(p->key.from, &ip->saddr, sizeof p->key.from);
    __builtin_memcpy(p->key.at, &ip->daddr, sizeof p->key.at);
    p->tos = bpf_ntohl(first) >> 20;
    p->length = bpf_ntohs(ip->payload_len) + sizeof *ip;
    p->l4 = ETH_HLEN + sizeof *ip;
    // RFC 8200 section 8.1: "IPv6 receivers must discard UDP packets containing a zero checksum".
    return read_udp(skb, (void *)(ip + 1), end, p) && p->check;
}

// What is broken, and the kernel would drop, need not be told apart from what is not ours.
// Headers may lie in the pages of a packet; they are brought where they can be read. Places in the
// packet are constants, as the verifier wants CAP_PERFMON for any others.
always_inline bool read_packet(struct __sk_buff *skb, struct packet *p)
{
    __u32 most = ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr) + OFFLOAD_HEAD_LEN;
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

    if (data + most > end) {
        if (bpf_skb_pull_data(skb, skb->len < most ? skb->len : most) < 0)
            return false;
        data = (void *)(long)skb->data;
        end = (void *)(long)skb->data_end;
    }
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return read_ipv6(skb, data, end, p);
    return read_ipv4(skb, data, end, p);
}

// ---- the flow ----

// ChannelData goes by its number; what only looks like it, as a peer may send it, by none.
always_inline struct fast_flow *find(struct packet *p)
{
    if (p->head[0] >= 64 && p->head[0] <= 79 && p->payload >= 4) {
        p->key.channel = bpf_htons(p->head[0] << 8 | p->head[1]);
        struct fast_flow *flow = bpf_map_lookup_elem(&flows, &p->key);
        if (flow)
            return flow;
        p->key.channel = 0;
    }
    return bpf_map_lookup_elem(&flows, &p->key);
}

// The stream that a packet of RTP belongs to; a new one, or else the one that was heard of least
// recently, as the core does it.
always_inline struct rtp_quality *stream_of(struct fast_flow *flow, __u32 ssrc)
{
    struct rtp_quality *first = flow->quality;
    __u32 count = flow->qualities, place = 0;
    __u64 oldest = -1;
    bool found = false;

#pragma unroll
    for (__u32 i = 0; i < OFFLOAD_SSRC_MAX; i++) {
        const struct rtp_quality *q = &flow->quality[i];
        if (found || i >= count || (q->ssrc != ssrc && q->last_arrival >= oldest))
            continue;
        found = q->ssrc == ssrc;
        oldest = q->last_arrival;
        place = i;
    }
    if (!found && count < OFFLOAD_SSRC_MAX) {
        place = count;
        flow->qualities = count + 1;
    }
    // From whoever lacks CAP_PERFMON the verifier wants an index of which it knows nothing, as of
    // what is read back, added to something that is not the lock.
    barrier_var(first);
    flow->latest = place;
    place = *(volatile __u8 *)&flow->latest & (OFFLOAD_SSRC_MAX - 1);
    if (!found)
        first[place].started = false;
    return &first[place];
}

always_inline void see_rtp(struct fast_flow *flow, const __u8 *head, __u64 now)
{
    struct rtp_arrival arrival = {
        .ssrc = bpf_ntohl(*(const __u32 *)(head + 8)),
        .timestamp = bpf_ntohl(*(const __u32 *)(head + 4)),
        .sequence = bpf_ntohs(*(const __u16 *)(head + 2)),
    };

    flow->figures.media++;
    rtp_quality_see(stream_of(flow, arrival.ssrc), &arrival, now);
}

// ---- what must go up ----

// What the sum of UDP's pseudo header is, with which the field begins when the rest of the checksum
// is left to the interface (CHECKSUM_PARTIAL). One complete checksum in 65,536 looks the same.
always_inline bool looks_partial(const struct packet *p)
{
    __u64 sum = sum_address(p->key.from, p->key.family) + sum_address(p->key.at, p->key.family) +
                bpf_htons(IPPROTO_UDP) + bpf_htons(p->udp_len);

    return p->check && p->check == fold(sum);
}

struct train_look {
    struct __sk_buff *skb;
    struct fast_train *train;
    __u32 at, left; // in the frame, of the payload
    bool passes;
};

static long look_at_segment(__u32 i, struct train_look *look)
{
    __u32 size = look->skb->gso_size, len = look->left < size ? look->left : size;

    if (i >= FAST_SEGMENTS_MAX ||
        bpf_skb_load_bytes(look->skb, look->at, look->train->head[i], OFFLOAD_HEAD_LEN) < 0 ||
        !offload_passes(true, 0, look->train->head[i], len)) {
        look->passes = false;
        return 1;
    }
    look->at += len;
    look->left -= len;
    return 0;
}

// Of a train of media all that a single packet must be; what is seen of them stays in 'train'. One
// whose last packet is very short is left to the core.
always_inline bool train_passes(struct __sk_buff *skb, const struct packet *p, __u32 packets,
                                struct fast_train *train)
{
    struct train_look look = {.skb = skb,
                              .train = train,
                              .at = p->l4 + sizeof(struct udphdr),
                              .left = p->payload,
                              .passes = true};

    return bpf_loop(packets, look_at_segment, &look, 0) == packets && look.passes;
}

struct shape { // what of a way decides whether a packet can take it
    __u32 ifindex, mtu;
    __u16 family, channel;
    bool media;
};

always_inline __u32 ip_header_len(__u16 family)
{
    return family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

always_inline int growth(const struct packet *p, __u16 channel_out)
{
    return (channel_out ? 4 : 0) - (p->key.channel ? 4 : 0);
}

// Returns a reason of enum fastpath_passed, or FASTPATH_PASSED_COUNT when there is none.
always_inline enum fastpath_passed refuse(struct __sk_buff *skb, const struct packet *p,
                                          const struct shape *way)
{
    int delta = growth(p, way->channel);
    bool moves = delta || way->family != p->key.family;
    __u32 part = skb->gso_size && skb->gso_size < p->payload ? skb->gso_size : p->payload;

    if (p->odd)
        return FASTPATH_FRAGMENT;
    if (p->length != ip_header_len(p->key.family) + p->udp_len || skb->len < ETH_HLEN + p->length)
        return FASTPATH_LENGTH;
    if (!offload_passes(way->media, bpf_ntohs(p->key.channel), p->head, part))
        return p->key.channel ? FASTPATH_LENGTH : FASTPATH_KIND;
    if (!way->ifindex)
        return FASTPATH_ROUTE;
    if (ip_header_len(way->family) + sizeof(struct udphdr) + part + delta > way->mtu)
        return FASTPATH_MTU;
    if (skb->gso_size && (moves || !looks_partial(p)))
        return FASTPATH_TRAIN;
    // The place of the checksum would stay behind when the header moves; and what has none over
    // IPv4 needs one over IPv6.
    if (moves && (looks_partial(p) || (!p->check && way->family == FAMILY_V6)))
        return FASTPATH_CHECKSUM;
    return FASTPATH_PASSED_COUNT;
}

// ---- limits and counting ----

// As base/bucket.c does it; 'now' in microseconds.
always_inline bool within_limit(__u64 group, __u32 bytes, __u64 now)
{
    struct fast_limit *limit = bpf_map_lookup_elem(&limits, &group);
    __u64 wanted = (__u64)bytes * 1000000;
    bool within;

    if (!limit)
        return true;
    bpf_spin_lock(&limit->lock);
    if (now > limit->last) {
        __u64 elapsed = now - limit->last;
        __u64 tokens = limit->tokens + elapsed * limit->rate;
        limit->tokens =
            elapsed >= limit->fills_in || tokens > limit->capacity ? limit->capacity : tokens;
        limit->last = now;
    }
    within = wanted <= limit->tokens;
    if (within)
        limit->tokens -= wanted;
    bpf_spin_unlock(&limit->lock);
    return within;
}

struct load { // what is counted at once
    __u32 packets, bytes;
    __u64 now; // usec
    bool limited;
    bool train; // of media, whose packets are yet to be told apart
};

enum commitment { GONE, LIMITED, COUNTED };

// From here on the packet is forwarded, or lost as any packet may be.
always_inline enum commitment commit(struct fast_flow *flow, const struct packet *p,
                                     const struct shape *shape, const struct load *load,
                                     struct fast_way *ret_way, __u16 *ret_id)
{
    enum commitment done = GONE;

    bpf_spin_lock(&flow->lock);
    if (flow->rule.flags & FAST_OFF || flow->rule.way.family != shape->family ||
        flow->rule.way.channel != shape->channel)
        goto out;
    done = LIMITED;
    if (load->limited) {
        flow->figures.limited += load->packets;
        goto out;
    }
    done = COUNTED;
    *ret_way = flow->rule.way;
    *ret_id = flow->rule.way.label + flow->figures.packets;
    flow->figures.packets += load->packets;
    flow->figures.bytes += load->bytes;
    flow->figures.last = load->now;
    if (load->train)
        flow->counting++;
    else if (shape->media && !offload_is_rtcp(p->head))
        see_rtp(flow, p->head, load->now);
out:
    bpf_spin_unlock(&flow->lock);
    return done;
}

always_inline void count_total(struct packet *p, __u32 packets, __u32 bytes, __u32 limited)
{
    struct fast_totals *sum;

    p->place = 0;
    sum = bpf_map_lookup_elem(&totals, &p->place);
    if (!sum)
        return;
    sum->packets += packets;
    sum->bytes += bytes;
    sum->limited += limited;
}

struct train_count {
    struct fast_flow *flow;
    const struct fast_train *train;
    __u64 now;
};

static long count_segment(__u32 i, struct train_count *count)
{
    if (i >= FAST_SEGMENTS_MAX)
        return 1;
    if (offload_is_rtcp(count->train->head[i]))
        return 0;
    bpf_spin_lock(&count->flow->lock);
    see_rtp(count->flow, count->train->head[i], count->now);
    bpf_spin_unlock(&count->flow->lock);
    return 0;
}

always_inline void count_train(struct fast_flow *flow, const struct fast_train *train,
                               const struct load *load)
{
    struct train_count count = {.flow = flow, .train = train, .now = load->now};

    bpf_loop(load->packets, count_segment, &count, 0);
    bpf_spin_lock(&flow->lock);
    flow->counting--;
    bpf_spin_unlock(&flow->lock);
}

// ---- writing ----

always_inline __u16 new_checksum(const struct packet *p, const struct fast_way *way, __u16 udp_len)
{
    __u64 old = sum_address(p->key.from, p->key.family) + sum_address(p->key.at, p->key.family) +
                p->key.from_port + p->key.at_port + 2 * bpf_htons(p->udp_len);
    __u64 new = sum_address(way->leave, way->family) + sum_address(way->to, way->family) +
                way->leave_port + way->to_port + 2 * bpf_htons(udp_len);
    __u16 check;

    if (!p->check)
        return 0;
    if (p->key.channel)
        old += *(const __u32 *)p->head;
    if (way->channel)
        new += way->channel + bpf_htons(udp_len - sizeof(struct udphdr) - 4);
    check = ~fold((__u16)~p->check + (__u64)(__u16)~fold(old) + new);
    return check ? check : 0xffff;
}

always_inline void write_ipv4(void *at, const struct packet *p, const struct fast_way *way,
                              __u16 udp_len, __u16 id)
{
    struct iphdr *ip = at;

    ip->version = 4;
    ip->ihl = 5;
    ip->tos = p->tos;
    ip->tot_len = bpf_htons(udp_len + sizeof *ip);
    ip->id = bpf_htons(id);
    ip->frag_off = 0;
    ip->ttl = TTL;
    ip->protocol = IPPROTO_UDP;
    ip->check = 0;
    ip->saddr = way->leave[0];
    ip->daddr = way->to[0];
    ip->check = ~fold(sum_ipv4(ip));
}

always_inline void write_ipv6(void *at, const struct packet *p, const struct fast_way *way,
                              __u16 udp_len)
{
    struct ipv6hdr *ip = at;
    __u32 first = bpf_htonl(6u << 28 | (__u32)p->tos << 20 | (way->label & 0xfffff));

    __builtin_memcpy(ip, &first, sizeof first);
    ip->payload_len = bpf_htons(udp_len);
    ip->nexthdr = IPPROTO_UDP;
    ip->hop_limit = TTL;
    __builtin_memcpy(&ip->saddr, way->leave, sizeof way->leave);
    __builtin_memcpy(&ip->daddr, way->to, sizeof way->to);
}

// Only the addresses and ports differ, and the checksum is not there yet, or may not be: the kernel
// knows which.
always_inline void amend_checksum(struct __sk_buff *skb, const struct packet *p,
                                  const struct fast_way *way)
{
    __u32 at = p->l4 + __builtin_offsetof(struct udphdr, check);
    __u64 old = sum_address(p->key.from, p->key.family) + sum_address(p->key.at, p->key.family);
    __u64 new = sum_address(way->leave, way->family) + sum_address(way->to, way->family);
    __u64 old_ports = p->key.from_port + p->key.at_port;
    __u64 new_ports = way->leave_port + way->to_port;

    bpf_l4_csum_replace(skb, at, 0, fold(new + (__u16)~fold(old)),
                        BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
    bpf_l4_csum_replace(skb, at, 0, fold(new_ports + (__u16)~fold(old_ports)),
                        BPF_F_MARK_MANGLED_0);
}

always_inline bool resize(struct __sk_buff *skb, const struct packet *p, const struct fast_way *way,
                          int delta)
{
    // Short frames are padded, and the padding is not theirs to keep.
    if (skb->len > ETH_HLEN + p->length && bpf_skb_change_tail(skb, ETH_HLEN + p->length, 0) < 0)
        return false;
    if (way->family != p->key.family &&
        bpf_skb_change_proto(
            skb, way->family == FAMILY_V4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6), 0) < 0)
        return false;
    return !delta || bpf_skb_adjust_room(skb, delta, BPF_ADJ_ROOM_NET, 0) == 0;
}

always_inline bool write_udp(void *at, void *end, const struct packet *p,
                             const struct fast_way *way, __u16 udp_len, bool amend)
{
    struct udphdr *udp = at;
    __u16 *channel = (void *)(udp + 1);

    if ((void *)(udp + 1) > end)
        return false;
    udp->source = way->leave_port;
    udp->dest = way->to_port;
    udp->len = bpf_htons(udp_len);
    udp->check = amend ? p->check : new_checksum(p, way, udp_len);
    if (!way->channel)
        return true;
    if ((void *)(channel + 2) > end)
        return false;
    channel[0] = way->channel;
    channel[1] = bpf_htons(udp_len - sizeof *udp - 4);
    return true;
}

always_inline int send(struct __sk_buff *skb, const struct packet *p, struct fast_way *way,
                       __u16 id)
{
    int delta = growth(p, way->channel);
    __u16 udp_len = p->udp_len + delta;
    bool amend = !delta && way->family == p->key.family && looks_partial(p);
    void *data, *end;

    if (!resize(skb, p, way, delta))
        return TCX_DROP;
    data = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    if (way->family == FAMILY_V4) {
        if (data + ETH_HLEN + sizeof(struct iphdr) > end ||
            !write_udp(data + ETH_HLEN + sizeof(struct iphdr), end, p, way, udp_len, amend))
            return TCX_DROP;
        write_ipv4(data + ETH_HLEN, p, way, udp_len, id);
    } else {
        if (data + ETH_HLEN + sizeof(struct ipv6hdr) > end ||
            !write_udp(data + ETH_HLEN + sizeof(struct ipv6hdr), end, p, way, udp_len, amend))
            return TCX_DROP;
        write_ipv6(data + ETH_HLEN, p, way, udp_len);
    }
    if (amend)
        amend_checksum(skb, p, way);
    return bpf_redirect_neigh(way->ifindex, &way->hop, sizeof way->hop, 0);
}

// ---- the programs ----

always_inline int forward_flow(struct __sk_buff *skb, struct packet *p, struct fast_flow *flow)
{
    struct shape shape = {.ifindex = flow->rule.way.ifindex,
                          .mtu = flow->rule.way.mtu,
                          .family = flow->rule.way.family,
                          .channel = flow->rule.way.channel,
                          .media = flow->rule.flags & FAST_MEDIA};
    struct load load = {.packets = 1, .bytes = p->payload - (p->key.channel ? 4 : 0)};
    enum fastpath_passed why = refuse(skb, p, &shape);
    struct fast_train *train = NULL;
    struct fast_way way;
    __u64 now = bpf_ktime_get_ns();
    __u16 id;

    if (flow->rule.flags & FAST_OFF)
        return TCX_NEXT;
    if (why < FASTPATH_PASSED_COUNT)
        return pass(p, why);
    if (flow->rule.until <= now)
        return pass(p, FASTPATH_EXPIRED);
    if (skb->gso_size) {
        load.packets = (p->payload + skb->gso_size - 1) / skb->gso_size;
        load.train = shape.media;
        if (load.train) {
            p->place = 0;
            train = bpf_map_lookup_elem(&trains, &p->place);
            if (!train || !train_passes(skb, p, load.packets, train))
                return pass(p, FASTPATH_TRAIN);
        }
    }
    load.now = now / 1000;
    load.limited = flow->rule.group && !within_limit(flow->rule.group, load.bytes, load.now);
    switch (commit(flow, p, &shape, &load, &way, &id)) {
    case GONE:
        return TCX_NEXT;
    case LIMITED:
        count_total(p, 0, 0, load.packets);
        return TCX_DROP;
    case COUNTED:
        break;
    }
    if (train)
        count_train(flow, train, &load);
    count_total(p, load.packets, load.bytes, 0);
    return send(skb, p, &way, id);
}

SEC("tc")
int forward(struct __sk_buff *skb)
{
    struct packet p = {};
    struct fast_flow *flow;

    // A packet of a VLAN comes again, at the interface of that VLAN.
    if (skb->pkt_type != PACKET_HOST || skb->vlan_present ||
        (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)))
        return TCX_NEXT;
    if (!read_packet(skb, &p))
        return TCX_NEXT;
    flow = find(&p);
    if (!flow)
        return TCX_NEXT;
    return forward_flow(skb, &p, flow);
}

// Runs for the loader only (BPF_PROG_RUN). Returns 1 if there is such a flow.
SEC("tc")
int order(struct __sk_buff *skb)
{
    struct fast_order *o = (void *)(long)skb->data;
    struct fast_key key;
    struct fast_flow *flow;

    if ((void *)(o + 1) > (void *)(long)skb->data_end)
        return 0;
    key = o->key;
    flow = bpf_map_lookup_elem(&flows, &key);
    if (!flow)
        return 0;
    bpf_spin_lock(&flow->lock);
    flow->rule = o->rule;
    bpf_spin_unlock(&flow->lock);
    return 1;
}

const char program_license[] SEC("license") = "ISC";
