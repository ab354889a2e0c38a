// SPDX-License-Identifier: ISC
// Binding messages as the clients of Google's transport exchange them (RFC 3489, and libjingle's
// habits): the magic cookie may be there or not, nothing is protected, and all that matters is
// USERNAME. So a message in the middle may be given another name, which is what the relay does.
#pragma once

#include "codec/stun.h"

struct stun_old {
    const uint8_t *data; // the datagram
    size_t len;          // header and attributes, as the header says
    enum stun_class class;
    const uint8_t *txid;       // the last STUN_TXID_LEN bytes of it; the cookie's place is before
    struct stun_view username; // data NULL: absent
};

// Returns 0, or -EBADMSG: no Binding message, a length beyond the datagram, or an attribute beyond
// its message. Only the last attribute may lack its padding (Asterisk).
int stun_old_decode(const void *data, size_t len, struct stun_old *ret_msg);

// Writes the same message with another USERNAME, if it has one, and without the checksums that this
// breaks. Returns its length, or -ENOSPC.
int stun_old_rename(const struct stun_old *msg, const void *username, size_t username_len,
                    void *buf, size_t size);

// A request with this USERNAME and nothing else. Returns its length, or -ENOSPC.
int stun_old_request(const uint8_t txid[STUN_TXID_LEN], const void *username, size_t username_len,
                     void *buf, size_t size);
