// SPDX-License-Identifier: ISC
// A TURN client on a real socket, UDP, TCP or DTLS, blocking, for tests of the running server:
// asks, answers the challenge, and takes data. Static user "romeo", password "montague", realm
// "test".
#pragma once

#include "codec/stun.h"

#include <openssl/ssl.h>
#include <stdbool.h>

struct client {
    int fd;
    bool stream;
    SSL *ssl; // of DTLS; NULL: without
    char nonce[128];
    size_t nonce_len;
    uint32_t serial;
    struct stun_msg reply;
    uint8_t in[2048], out[2048];
};

// Connected to the server; asserts success.
struct client client_open(const struct addr *server, bool stream);
struct client client_open_dtls(const struct addr *server);
void client_close(struct client *client);
// A request with these attributes ('put_more' may be NULL) and credentials. Returns 0, the error
// code, or -1 when there is no answer within two seconds.
int client_ask(struct client *client, uint16_t method,
               void (*put_more)(struct writer *w, void *arg), void *arg);
void client_send_channel(struct client *client, uint16_t channel, const void *data, size_t len);
// The next ChannelData within two seconds; its length, or -1. STUN in between is skipped.
int client_receive_channel(struct client *client, uint16_t channel, void *buf, size_t size);
