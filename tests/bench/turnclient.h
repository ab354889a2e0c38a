// SPDX-License-Identifier: ISC
// A TURN client of the load generator, one step after the other as clients take them: Allocate
// without credentials, Allocate with the realm and nonce of the 401, CreatePermission for its peer,
// and ChannelBind where channels are wanted; at last Refresh with lifetime 0. Messages only: who
// owns the clients sends what they write and hands over what they receive.
#pragma once

#include "codec/stun.h"
#include "wire.h"

enum client_step {
    CLIENT_IDLE,
    CLIENT_CHALLENGE,
    CLIENT_ALLOCATE,
    CLIENT_PERMISSION,
    CLIENT_CHANNEL,
    CLIENT_READY,
    CLIENT_RELEASE,
    CLIENT_FAILED,
};

enum {
    CLIENT_NONCE_MAX = 128,
    CLIENT_RETRY_MS = 500,
    CLIENT_TRIES = 7,
    CLIENT_CHANNEL_HEADER = 4,
    CLIENT_DATA_AT = STUN_HEADER_LEN + 12 + 4, // in an indication: behind an IPv4 peer
};

struct account { // what all clients have in common; the realm, and so the key, is the server's
    char username[128], password[64], realm[128];
    uint8_t key[16]; // MD5, RFC 8489 section 18.5.1.1
};

struct client {
    enum client_step step;
    bool channels;
    unsigned tries;
    uint64_t due, began; // of this step; of all steps
    uint8_t txid[STUN_TXID_LEN];
    char nonce[CLIENT_NONCE_MAX];
    uint16_t nonce_len, channel;
    unsigned error; // of the server; 0: it did not answer
    struct addr peer;
    struct endpoint relayed;
};

void client_begin(struct client *client, const struct addr *peer, bool channels, uint64_t now);
void client_release(struct client *client, uint64_t now);
bool client_busy(const struct client *client);
// The message of its step, again if there was no answer to it for long. Returns its length, or 0:
// there is nothing to send, or it has given up.
size_t client_write(struct client *client, const struct account *account, uint8_t *buf, size_t size,
                    uint64_t now);
// An answer; the next step is due at once.
void client_take(struct client *client, struct account *account, const struct stun_msg *msg,
                 uint64_t now);

// Data to its peer stands at this offset of a datagram; these write what comes before it and return
// the length of the datagram.
size_t client_data_at(const struct client *client);
size_t client_wrap(const struct client *client, uint8_t *datagram, size_t data_len);
// Data from its peer within a datagram. Returns its length, or 0.
size_t client_unwrap(const struct client *client, const uint8_t *datagram, size_t len,
                     const uint8_t **ret_data);
