// SPDX-License-Identifier: ISC
// The relay in the kernel: at the ingress of an interface it takes the packets of the flows in
// 'flows', writes new headers and sends them off. Whatever is not plain data of a known flow, and
// whatever it cannot forward exactly as user space would, goes on to the sockets.
//
// The order of things: find the flow; see that the packet is whole, of the right kind, and can
// leave as it must; then, while nobody else may change the flow, see that it is still forwarded,
// ask the limit, count the packet and copy the way out; then write and send. Nothing is forwarded
// that was not counted, nothing is taken from a limit for what goes up to be charged there, and
// nothing is written before it is certain.
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

// A key of an array: twice in a whole word, in whatever order its bytes are. A part of a word may
// not be written by those without CAP_PERFMON where on the stack there was a pointer before, and
// the compiler likes to choose such places.
always_inline const void *key_at(__u64 *place, __u32 index)
{
    *place = (__u64)index << 32 | index;
    return place;
}

always_inline int pass(struct packet *p, enum fastpath_passed why)
{
    __u64 *count = bpf_map_lookup_elem(&passed, key_at(&p->place, why));

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

// Another processor is done with a flow in some hundred nanoseconds, with a train in a microsecond.
// One that was stopped meanwhile is not waited for: the packet is the core's then.
#define LOCK_TRIES 512

always_inline bool try_lock(struct fast_flow *flow)
{
    __u64 turn = *(volatile __u64 *)&flow->turn;

    return !(turn & 1) && __sync_val_compare_and_swap(&flow->turn, turn, turn + 1) == turn;
}

struct wait {
    struct fast_flow *flow;
    __u64 over; // a whole word, see key_at()
};

static long wait_once(__u32 i, struct wait *wait)
{
    (void)i;
    wait->over = try_lock(wait->flow);
    return wait->over;
}

// Whether the flow is the caller's to change until unlock(). Softirqs do not interrupt each other,
// so no processor waits for itself.
always_inline bool lock(struct fast_flow *flow)
{
    struct wait wait = {.flow = flow};

    if (try_lock(flow))
        return true;
    bpf_loop(LOCK_TRIES, wait_once, &wait, 0);
    return wait.over;
}

// An exchange, as a mere addition would be in no order with what was written before.
always_inline void unlock(struct fast_flow *flow)
{
    __sync_lock_test_and_set(&flow->turn, flow->turn + 1);
}

// The place of a new stream; or of the one that was heard of least recently, as the core does it.
always_inline __u32 place_of(struct fast_flow *flow, __u32 ssrc, bool *ret_found)
{
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
    *ret_found = found;
    return place;
}

// The stream that a packet of RTP belongs to: mostly the one of the packet before.
always_inline struct rtp_quality *stream_of(struct fast_flow *flow, __u32 ssrc)
{
    struct rtp_quality *first = flow->quality;
    __u32 place = flow->latest & (OFFLOAD_SSRC_MAX - 1);
    bool found;

    // From whoever lacks CAP_PERFMON the verifier wants an index of which it knows nothing, as of
    // what is read back, added to something that is not the flow's beginning.
    barrier_var(first);
    if (flow->qualities > 0 && first[place].ssrc == ssrc)
        return &first[place];
    flow->latest = place_of(flow, ssrc, &found);
    place = *(volatile __u32 *)&flow->latest & (OFFLOAD_SSRC_MAX - 1);
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
    __u64 now;                      // usec
    const struct fast_train *train; // of media; NULL: one packet, or of no media
};

struct train_count {
    struct fast_flow *flow;
    const struct load *load;
};

static long count_segment(__u32 i, struct train_count *count)
{
    const struct fast_train *train = count->load->train;
    const __u8 *head;

    if (i >= FAST_SEGMENTS_MAX || !train)
        return 1;
    barrier_var(i); // the verifier shall see that it is
    head = train->head[i & (FAST_SEGMENTS_MAX - 1)];
    if (!offload_is_rtcp(head))
        see_rtp(count->flow, head, count->load->now);
    return 0;
}

always_inline void count(struct fast_flow *flow, const struct packet *p, const struct shape *shape,
                         const struct load *load)
{
    struct train_count each = {.flow = flow, .load = load};

    flow->figures.packets += load->packets;
    flow->figures.bytes += load->bytes;
    flow->figures.last = load->now;
    if (load->train)
        bpf_loop(load->packets, count_segment, &each, 0);
    else if (shape->media && !offload_is_rtcp(p->head))
        see_rtp(flow, p->head, load->now);
}

enum commitment { GONE, BUSY, LIMITED, COUNTED };

// From here on the packet is forwarded, or lost as any packet may be.
always_inline enum commitment commit(struct fast_flow *flow, const struct packet *p,
                                     const struct shape *shape, const struct load *load,
                                     struct fast_way *ret_way, __u16 *ret_id)
{
    enum commitment done = GONE;

    if (!lock(flow))
        return BUSY;
    if (flow->rule.flags & FAST_OFF || flow->rule.way.family != shape->family ||
        flow->rule.way.channel != shape->channel)
        goto out;
    done = LIMITED;
    if (flow->rule.group && !within_limit(flow->rule.group, load->bytes, load->now)) {
        flow->figures.limited += load->packets;
        goto out;
    }
    done = COUNTED;
    *ret_way = flow->rule.way;
    *ret_id = flow->rule.way.label + flow->figures.packets;
    count(flow, p, shape, load);
out:
    unlock(flow);
    return done;
}

always_inline void count_total(struct packet *p, const struct shape *shape, const struct load *load,
                               bool limited)
{
    struct fast_totals *sum = bpf_map_lookup_elem(&totals, key_at(&p->place, 0));

    if (!sum)
        return;
    if (limited) {
        sum->limited += load->packets;
        return;
    }
    sum->packets += load->packets;
    sum->packets_of_turn += shape->media ? 0 : load->packets;
    sum->bytes += load->bytes;
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
        if (shape.media) {
            struct fast_train *train = bpf_map_lookup_elem(&trains, key_at(&p->place, 0));
            if (!train || !train_passes(skb, p, load.packets, train))
                return pass(p, FASTPATH_TRAIN);
            load.train = train;
        }
    }
    load.now = now / 1000;
    switch (commit(flow, p, &shape, &load, &way, &id)) {
    case GONE:
        return TCX_NEXT;
    case BUSY:
        return pass(p, FASTPATH_BUSY);
    case LIMITED:
        count_total(p, &shape, &load, true);
        return TCX_DROP;
    case COUNTED:
        break;
    }
    count_total(p, &shape, &load, false);
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

// Runs for the loader only (BPF_PROG_RUN). Returns one of FAST_ORDER_*.
SEC("tc")
int order(struct __sk_buff *skb)
{
    struct fast_order *o = (void *)(long)skb->data;
    struct fast_key key;
    struct fast_flow *flow;

    if ((void *)(o + 1) > (void *)(long)skb->data_end)
        return FAST_ORDER_NONE;
    key = o->key;
    flow = bpf_map_lookup_elem(&flows, &key);
    if (!flow)
        return FAST_ORDER_NONE;
    if (!lock(flow))
        return FAST_ORDER_BUSY;
    flow->rule = o->rule;
    if (o->anew) {
        flow->qualities = o->qualities;
        flow->latest = 0;
        flow->figures = (struct fast_figures){};
        __builtin_memcpy(flow->quality, o->quality, sizeof flow->quality);
    }
    unlock(flow);
    return FAST_ORDER_DONE;
}

const char program_license[] SEC("license") = "ISC";
