// SPDX-License-Identifier: ISC
// People's names and addresses, as they may be shown: in log records, JSON, records of calls. While
// masking is on each becomes a short text that is always the same under the same key, and tells
// nothing to who has not the key but what is needed to read a log: the domain of a JID, the family
// and the kind of an address, ports.
//
//     alice@example.org/phone    becomes  u-5d2c9a17e0@example.org/r-90b1c3d5ff
//     192.168.1.20:5000          becomes  ip4-private-1f0e7a2b3c:5000
//
// Everything that shows one to people goes through here, and through nothing else. The process has
// one mask, as it has one log.
#pragma once

#include "base/addr.h"

#include <stdbool.h>
#include <stdint.h>

#define MASK_MAX 1152

struct mask { // room for one text
    char text[MASK_MAX];
};

void mask_set_key(const uint8_t key[16]); // before any thread is started
void mask_set(bool on);                   // at any time
bool mask_is_on(void);

// Each returns what it was given, or its masked form in 'mask'. NULL is returned as it is.
const char *mask_jid(const char *jid, struct mask *mask); // bare or full, or a domain
// A username of TURN: a JID, a name or an address, which may stand behind an expiry and ":".
const char *mask_user(const char *user, struct mask *mask);
// An address and port, or a host name, as a client has written it.
const char *mask_host(const char *host, struct mask *mask);
const char *mask_addr(const struct addr *addr, struct mask *mask); // with its port; as text
