// SPDX-License-Identifier: ISC
// The sink of the load generator: at a callers' end of a veth it takes the packets that the
// generator marked, plain or in ChannelData, counts them, notes how old they are, and drops them
// before the kernel does anything else with them. All others pass.
#include "sink.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define HEADERS (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct udphdr))
#define WANTED  (SINK_RTP_HEADER + sizeof(struct sink_mark))

struct sink_figures figures; // the generator reads and writes it where it lies

static __always_inline __u32 log2_of(__u64 v)
{
    __u32 shift, result;

    result = (v > 0xffffffff) << 5;
    v >>= result;
    shift = (v > 0xffff) << 4;
    v >>= shift;
    result |= shift;
    shift = (v > 0xff) << 3;
    v >>= shift;
    result |= shift;
    shift = (v > 0xf) << 2;
    v >>= shift;
    result |= shift;
    shift = (v > 0x3) << 1;
    v >>= shift;
    result |= shift;
    return result | (v >> 1);
}

static __always_inline __u32 step_of(__u64 ns)
{
    __u32 octave;

    if (ns < 32)
        return ns;
    octave = log2_of(ns) - 4;
    if (octave > 31)
        return SINK_STEPS - 1;
    return octave * 32 + ((ns >> (octave - 1)) & 31);
}

static __always_inline void count(const struct sink_mark *mark)
{
    __u64 now = bpf_ktime_get_ns();
    __u64 age = now > mark->sent_at ? now - mark->sent_at : 0;
    __u32 cpu = bpf_get_smp_processor_id() & (SINK_CPUS - 1);
    __u32 flow = mark->flow;

    if (mark->run != figures.run)
        return;
    figures.cpu[cpu].received++;
    figures.cpu[cpu].step[step_of(age) & (SINK_STEPS - 1)]++;
    if (flow < SINK_FLOWS_MAX)
        figures.seen[flow] = mark->run;
}

static __always_inline int take(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
    struct ethhdr *eth = data;
    struct iphdr *ip = data + sizeof *eth;
    __u8 *payload = data + HEADERS;
    struct sink_mark *mark;

    if ((void *)(payload + WANTED) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
        ip->protocol != 17 || ip->ihl != 5)
        return TC_ACT_OK;
    if (payload[0] >> 6 == 1) // ChannelData
        payload += 4;
    if ((void *)(payload + WANTED) > end)
        return TC_ACT_OK;
    mark = (void *)(payload + SINK_RTP_HEADER);
    if (mark->magic != SINK_MAGIC)
        return TC_ACT_OK;
    count(mark);
    return TC_ACT_SHOT;
}

SEC("tc")
int sink(struct __sk_buff *skb)
{
    // The head of the frame, if it is not in one piece.
    if (skb->data_end - skb->data < HEADERS + 4 + WANTED &&
        bpf_skb_pull_data(skb, skb->len < HEADERS + 4 + WANTED ? skb->len : HEADERS + 4 + WANTED) <
            0)
        return TC_ACT_OK;
    return take(skb);
}

char sink_license[] SEC("license") = "GPL";
