// SPDX-License-Identifier: ISC
// What a daemon leaves for its successor: its sockets, and one text (the snapshot of its state).
// Either systemd keeps both while none of the two runs (the fd store, FDSTORE=1 of sd_notify(3)),
// or the successor is given them over a unix socket (SCM_RIGHTS).
//
// Sockets are not named: a successor that opens a port asks for the one that is bound so already.
// What nobody has asked for is closed by handover_free(). Packets that arrive in between wait in
// the sockets.
#pragma once

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct handover;

enum handover_socket { HANDOVER_UDP, HANDOVER_TCP_LISTENER };

// Empty. Returns 0 or -ENOMEM.
int handover_new(struct handover **ret_handover);
void handover_free(struct handover *handover); // closes what was not taken; NULL is fine

// Leaves. The socket (UDP, or a TCP listener) stays the caller's, and open until it has been stored
// or sent. Returns 0, -ENOMEM, -EINVAL (another kind of socket) or -errno.
int handover_add(struct handover *handover, int fd);
int handover_set_state(struct handover *handover, const char *text, size_t len);

// Takes the socket of this kind that is bound to 'local': a descriptor that is the caller's from
// now on, non-blocking and close-on-exec; -ENOENT: there is none. Several that share one address
// (SO_REUSEPORT) come in the order in which they were added. 'handover' may be NULL, and has
// nothing to take where it was not restored or received.
int handover_take(struct handover *handover, enum handover_socket kind, const struct addr *local);
bool handover_has(const struct handover *handover, enum handover_socket kind,
                  const struct addr *local);                                  // something to take
const char *handover_state(const struct handover *handover, size_t *ret_len); // NULL: none
unsigned handover_sockets(const struct handover *handover);                   // not taken yet

// To systemd, when the daemon is about to end. Returns 0, -EOPNOTSUPP (no fd store), or -errno;
// then systemd was asked to forget what it has.
int handover_store(const struct handover *handover);
// What systemd has kept, if anything. It goes on to keep it for the next attempt, in case this one
// fails, until handover_used(). Returns 0 (with NULL: nothing), or -errno: what was kept is of no
// use, and forgotten; -ESTALE: somebody has used it already; -ELOOP: those who tried to have ended
// without a word (handover_free()), so it may be what they ended of.
int handover_restore(struct handover **ret_handover);
bool handover_is_kept(const struct handover *handover); // for the next attempt; NULL: no
// Nobody is to have it again: systemd forgets it. NULL, and what it does not keep, are fine.
void handover_used(struct handover *handover);

// Over a connected unix stream socket, blocking, for at most 'timeout_ms' in all. Returns 0 or
// -errno (-EPROTO: this is no hand-over; -ECONNRESET: the other side has given up). handover_send()
// waits until the successor, with everything it received in use, says so by handover_confirm(): one
// that fails before takes nothing away.
int handover_send(const struct handover *handover, int connection, int timeout_ms);
int handover_receive(int connection, int timeout_ms, struct handover **ret_handover);
// Returns 0, -ECANCELED (too late: the sender has given up, and goes on by itself) or -errno (it is
// no more).
int handover_confirm(int connection);
