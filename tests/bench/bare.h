// SPDX-License-Identifier: ISC
// What the bare forwarder in the kernel and its loader agree upon; all in network order but
// ifindex.
#pragma once

#include <linux/types.h>

struct bare_key {
    __u32 from, at;
    __u16 from_port, at_port;
};

struct bare_way {
    __u32 leave, to;
    __u16 leave_port, to_port;
    __u32 ifindex;
    __u8 ethernet[12]; // destination and source
};
