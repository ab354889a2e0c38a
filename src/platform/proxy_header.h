// SPDX-License-Identifier: ISC
// The header by which a proxy tells whose connection it passes on: PROXY protocol, versions 1 and 2
// (haproxy's doc/proxy-protocol.txt). Pure: bytes in, addresses out.
#pragma once

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

// Version 1 takes 107 at most; version 2 has room here for some TLVs.
#define PROXY_HEADER_MAX 1024

struct proxy_header {
    // FAMILY_NONE when the proxy speaks for itself (a health check) or does not know.
    struct addr remote, local;
};

// Returns 0 when data[0..len) is a whole header; -EAGAIN when it is the beginning of one, and
// *ret_want bytes more (1 or more) can be read without reading past its end; or -EBADMSG.
int proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *ret_header,
                       size_t *ret_want);
