// SPDX-License-Identifier: ISC
// How the kernel's program reads a packet: what is in its headers, and where it may be broken.
#pragma once

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

#define MORE_FRAGMENTS 0x2000
#define OFFSET         0x1fff

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
    __u64 place; // in an array, for looking it up
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

// What the sum of UDP's pseudo header is, with which the field begins when the rest of the checksum
// is left to the interface (CHECKSUM_PARTIAL). One complete checksum in 65,536 looks the same.
always_inline bool looks_partial(const struct packet *p)
{
    __u64 sum = sum_address(p->key.from, p->key.family) + sum_address(p->key.at, p->key.family) +
                bpf_htons(IPPROTO_UDP) + bpf_htons(p->udp_len);

    return p->check && p->check == fold(sum);
}

always_inline __u32 ip_header_len(__u16 family)
{
    return family == FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

always_inline int growth(const struct packet *p, __u16 channel_out)
{
    return (channel_out ? 4 : 0) - (p->key.channel ? 4 : 0);
}

// ---- reading ----

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
