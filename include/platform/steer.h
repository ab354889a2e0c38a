// SPDX-License-Identifier: ISC
// Which of the sockets on one UDP address (SO_REUSEPORT) gets a datagram, where ICE paths share the
// address with STUN and TURN: by hash of the source what is TURN's (its methods but Binding, and
// ChannelData), all the rest the socket that was bound first. A classic BPF program in the kernel
// decides; it needs no privilege.
#pragma once

#include "base/addr.h"

// After all sockets were opened on 'local', before anything is expected there. Returns 0 or -errno.
int steer_to_first(const struct addr *local);
