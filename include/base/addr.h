// SPDX-License-Identifier: ISC
// Transport addresses and prefixes, IPv4 and IPv6, without sockets.
//
// A struct addr is a plain value: copy it, compare it with addr_equal(). An IPv4-mapped IPv6
// address is never stored as such: every constructor here turns it into IPv4, so that one host
// has one spelling (RFC 4291 section 2.5.5.2).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum family { FAMILY_NONE = 0, FAMILY_V4 = 4, FAMILY_V6 = 6 };

struct addr {
    uint8_t ip[16]; // network order; IPv4 uses the first four bytes, the rest is zero
    uint16_t port;  // host order
    uint8_t family; // enum family
};

struct prefix {
    struct addr net; // port unused
    uint8_t bits;
};

struct prefix_list {
    struct prefix *item; // owned; NULL when count is 0
    size_t count;
};

#define ADDR_TEXT_MAX 56 // "[" IPv6 "]:65535" and NUL

struct addr addr_v4(const uint8_t ip[4], uint16_t port);
struct addr addr_v6(const uint8_t ip[16], uint16_t port);

// Parses an IP literal (no brackets, no port, no names, no zone). Returns 0 or -EINVAL;
// *ret_addr is written only on success, with the given port.
int addr_parse_ip(const char *text, uint16_t port, struct addr *ret_addr);

// "198.51.100.1:5000" or "[2001:db8::1]:5000". Returns buf, which is always terminated.
const char *addr_format(const struct addr *addr, char buf[ADDR_TEXT_MAX]);
// The IP alone, without brackets.
const char *addr_format_ip(const struct addr *addr, char buf[ADDR_TEXT_MAX]);

bool addr_equal(const struct addr *a, const struct addr *b);    // IP and port
bool addr_equal_ip(const struct addr *a, const struct addr *b); // IP only

// "192.0.2.0/24", "2001:db8::/32"; a bare IP is a /32 or /128. Host bits must be zero.
// Returns 0 or -EINVAL.
int prefix_parse(const char *text, struct prefix *ret_prefix);
bool prefix_match(const struct prefix *prefix, const struct addr *addr);
bool prefix_list_match(const struct prefix_list *list, const struct addr *addr);
// Returns 0 or -ENOMEM.
int prefix_list_add(struct prefix_list *list, const struct prefix *prefix);
void prefix_list_clear(struct prefix_list *list);

// The IPv4 host to which a v4-mapped, v4-compatible, NAT64 (RFC 6052) or 6to4 (RFC 3056) address
// leads; every other address is returned as it is.
struct addr addr_unwrap(const struct addr *addr);

// The IANA special-purpose registries (RFC 6890 and its updates), multicast included: true when
// the address, after NAT64, 6to4, Teredo, v4-compatible and v4-mapped forms are unwrapped, is not
// a globally reachable unicast address.
bool addr_is_special(const struct addr *addr);
