// SPDX-License-Identifier: ISC
// How the kernel's program writes the headers of a packet that leaves.
#pragma once

#include "fastpath_read.h"

#define TTL 64 // as of packets that sockets send

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
