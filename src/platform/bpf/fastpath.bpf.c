// SPDX-License-Identifier: ISC
// The relay in the kernel: at the ingress of an interface it takes the packets of the flows in
// 'flows', writes new headers and sends them off. Whatever is not plain data of a known flow, and
// whatever it cannot forward exactly as user space would, goes on to the sockets.
//
// The order of things: find the flow; see that the packet is whole, of the right kind, and can
// leave as it must; ask the limit; then, under the flow's lock, see that it is still forwarded,
// count the packet and copy the way out; then write and send. Nothing is forwarded that was not
// counted, and nothing is written before it is certain.
#include "fastpath_write.h"

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

// ---- the flow ----

// ChannelData goes by its number, which clients of RFC 5766 choose up to 0x7fff; what only looks
// like it, as a peer may send it, by none.
always_inline struct fast_flow *find(struct packet *p)
{
    if (p->head[0] >= 64 && p->head[0] <= 127 && p->payload >= 4) {
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
