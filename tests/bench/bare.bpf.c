// SPDX-License-Identifier: ISC
// The floor of what eBPF can forward: finds the flow, writes addresses and ports, corrects the
// checksums by the difference, sends it off. IPv4 without options; it looks at nothing, counts
// nothing, locks nothing. Three ways out: "redirect" has the Ethernet addresses from the loader,
// "neigh" asks the kernel for them, "early" is the first by XDP, before there is any sk_buff.
#include "bare.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define always_inline static inline __attribute__((always_inline))

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, struct bare_key);
    __type(value, struct bare_way);
} ways SEC(".maps");

enum { NEXT = -1, DROP = 2 }; // TCX_NEXT, TCX_DROP

// RFC 1624, equation 3.
always_inline __u16 amend(__u16 check, __u64 old, __u64 new)
{
    __u64 sum = (__u16)~check + new + (0xffffffff - (old & 0xffffffff)) + (old >> 32) * 0xffff;

    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return ~sum;
}

// The way of a packet whose headers are written anew, or NULL.
always_inline const struct bare_way *rewrite(void *data, void *end)
{
    struct iphdr *ip = data + ETH_HLEN;
    struct udphdr *udp = (void *)(ip + 1);

    if ((void *)(udp + 1) > end || ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
        return 0;
    struct bare_key key = {ip->saddr, ip->daddr, udp->source, udp->dest};
    const struct bare_way *way = bpf_map_lookup_elem(&ways, &key);
    if (!way)
        return 0;
    __u64 old = (__u64)key.from + key.at, new = (__u64)way->leave + way->to;
    ip->check = amend(ip->check, old, new);
    udp->check =
        amend(udp->check, old + key.from_port + key.at_port, new + way->leave_port + way->to_port);
    ip->saddr = way->leave;
    ip->daddr = way->to;
    udp->source = way->leave_port;
    udp->dest = way->to_port;
    return way;
}

SEC("tc")
int redirect(struct __sk_buff *skb)
{
    void *data = (void *)(long)skb->data;
    const struct bare_way *way = rewrite(data, (void *)(long)skb->data_end);

    if (!way)
        return NEXT;
    __builtin_memcpy(data, way->ethernet, sizeof way->ethernet);
    return bpf_redirect(way->ifindex, 0);
}

SEC("tc")
int neigh(struct __sk_buff *skb)
{
    const struct bare_way *way = rewrite((void *)(long)skb->data, (void *)(long)skb->data_end);
    struct bpf_redir_neigh hop = {.nh_family = 2}; // AF_INET

    if (!way)
        return NEXT;
    hop.ipv4_nh = way->to;
    return bpf_redirect_neigh(way->ifindex, &hop, sizeof hop, 0);
}

// What it costs to get here.
SEC("tc")
int drop(struct __sk_buff *skb)
{
    return bpf_ntohs(skb->protocol) == ETH_P_IP ? DROP : NEXT;
}

SEC("xdp")
int early(struct xdp_md *context)
{
    void *data = (void *)(long)context->data;
    const struct bare_way *way = rewrite(data, (void *)(long)context->data_end);

    if (!way)
        return XDP_PASS;
    __builtin_memcpy(data, way->ethernet, sizeof way->ethernet);
    return bpf_redirect(way->ifindex, 0);
}

const char program_license[] SEC("license") = "ISC";
