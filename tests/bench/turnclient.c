// SPDX-License-Identifier: ISC
// One TURN client's steps and data; see turnclient.h.
#include "turnclient.h"

#include "media.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define UDP           (17u << 24) // RFC 8656 section 18.7
#define CHANNEL_FIRST 0x4000

static void next_step(struct client *client, enum client_step step, uint64_t now)
{
    client->step = step;
    client->tries = 0;
    client->due = now;
    if (getrandom(client->txid, sizeof client->txid, 0) != sizeof client->txid)
        abort();
}

bool client_busy(const struct client *client)
{
    return client->step != CLIENT_IDLE && client->step != CLIENT_READY &&
           client->step != CLIENT_FAILED;
}

void client_begin(struct client *client, const struct addr *peer, bool channels, uint64_t now)
{
    *client = (struct client){
        .peer = *peer, .channels = channels, .channel = CHANNEL_FIRST, .began = now};
    next_step(client, CLIENT_CHALLENGE, now);
}

void client_release(struct client *client, uint64_t now)
{
    client->began = now;
    next_step(client, CLIENT_RELEASE, now);
}

// ---- requests

static uint16_t method_of(enum client_step step)
{
    switch (step) {
    case CLIENT_PERMISSION:
        return STUN_CREATE_PERMISSION;
    case CLIENT_CHANNEL:
        return STUN_CHANNEL_BIND;
    case CLIENT_RELEASE:
        return STUN_REFRESH;
    default:
        return STUN_ALLOCATE;
    }
}

static void put_arguments(struct writer *w, const struct client *client)
{
    if (client->step == CLIENT_RELEASE)
        stun_put_u32(w, STUN_LIFETIME, 0);
    else if (client->step == CLIENT_CHALLENGE || client->step == CLIENT_ALLOCATE)
        stun_put_u32(w, STUN_REQUESTED_TRANSPORT, UDP);
    else
        stun_put_addr(w, STUN_XOR_PEER_ADDRESS, &client->peer);
    if (client->step == CLIENT_CHANNEL)
        stun_put_u32(w, STUN_CHANNEL_NUMBER, (uint32_t)client->channel << 16);
}

size_t client_write(struct client *client, const struct account *account, uint8_t *buf, size_t size,
                    uint64_t now)
{
    bool signs = client->step != CLIENT_CHALLENGE;
    struct writer w;
    int len;

    if (!client_busy(client) || now < client->due)
        return 0;
    if (client->tries++ == CLIENT_TRIES) {
        client->step = CLIENT_FAILED;
        return 0;
    }
    client->due = now + CLIENT_RETRY_MS * NS_PER_MS;
    w = stun_begin(buf, size, STUN_REQUEST, method_of(client->step), client->txid);
    put_arguments(&w, client);
    if (signs) {
        stun_put_bytes(&w, STUN_USERNAME, account->username, strlen(account->username));
        stun_put_bytes(&w, STUN_REALM, account->realm, strlen(account->realm));
        stun_put_bytes(&w, STUN_NONCE, client->nonce, client->nonce_len);
    }
    len = stun_finish(&w, signs ? account->key : NULL, signs ? sizeof account->key : 0, false);
    return len > 0 ? (size_t)len : 0;
}

// ---- answers

static void learn_realm(struct account *account, const struct stun_view *realm)
{
    char text[sizeof account->username + sizeof account->realm + sizeof account->password + 2];
    int len;

    if (realm->len >= sizeof account->realm ||
        (strlen(account->realm) == realm->len &&
         memcmp(account->realm, realm->data, realm->len) == 0))
        return;
    memcpy(account->realm, realm->data, realm->len);
    account->realm[realm->len] = '\0';
    len = snprintf(text, sizeof text, "%s:%s:%s", account->username, account->realm,
                   account->password);
    if (EVP_Digest(text, (size_t)len, account->key, NULL, EVP_md5(), NULL) != 1)
        abort();
}

static void take_error(struct client *client, struct account *account, const struct stun_msg *msg,
                       uint64_t now)
{
    const struct stun_view *nonce = &msg->attr[STUN_NONCE], *realm = &msg->attr[STUN_REALM];

    client->error = stun_error_code(msg);
    if (nonce->data && realm->data && nonce->len <= sizeof client->nonce &&
        (client->error == 438 || (client->error == 401 && client->step == CLIENT_CHALLENGE))) {
        memcpy(client->nonce, nonce->data, nonce->len);
        client->nonce_len = nonce->len;
        learn_realm(account, realm);
        next_step(client, client->step == CLIENT_CHALLENGE ? CLIENT_ALLOCATE : client->step, now);
    } else {
        client->step = CLIENT_FAILED;
    }
}

static void take_success(struct client *client, const struct stun_msg *msg, uint64_t now)
{
    struct addr relayed;

    switch (client->step) {
    case CLIENT_ALLOCATE:
        if (stun_addr(msg, STUN_XOR_RELAYED_ADDRESS, &relayed) < 0) {
            client->step = CLIENT_FAILED;
            return;
        }
        memcpy(client->relayed.ip, relayed.ip, sizeof client->relayed.ip);
        client->relayed.port = relayed.port;
        next_step(client, CLIENT_PERMISSION, now);
        break;
    case CLIENT_PERMISSION:
        next_step(client, client->channels ? CLIENT_CHANNEL : CLIENT_READY, now);
        break;
    case CLIENT_CHANNEL:
        client->step = CLIENT_READY;
        break;
    default:
        client->step = CLIENT_IDLE;
    }
}

void client_take(struct client *client, struct account *account, const struct stun_msg *msg,
                 uint64_t now)
{
    if (!client_busy(client) || memcmp(msg->txid, client->txid, sizeof client->txid) != 0)
        return;
    if (msg->class == STUN_ERROR)
        take_error(client, account, msg, now);
    else if (msg->class == STUN_SUCCESS)
        take_success(client, msg, now);
}

// ---- data

size_t client_data_at(const struct client *client)
{
    return client->channels ? CLIENT_CHANNEL_HEADER : CLIENT_DATA_AT;
}

size_t client_wrap(const struct client *client, uint8_t *datagram, size_t data_len)
{
    static const uint8_t txid[STUN_TXID_LEN]; // nobody answers an indication
    struct writer w;

    if (client->channels) {
        w = writer_over(datagram, CLIENT_CHANNEL_HEADER);
        write_u16(&w, client->channel);
        write_u16(&w, (uint16_t)data_len);
        return CLIENT_CHANNEL_HEADER + data_len; // no padding over UDP: RFC 8656 section 12.5
    }
    w = stun_begin(datagram, CLIENT_DATA_AT, STUN_INDICATION, STUN_SEND_INDICATION, txid);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &client->peer);
    // The data stands there already, a multiple of four bytes.
    write_u16(&w, stun_attr_rows[STUN_DATA].type);
    write_u16(&w, (uint16_t)data_len);
    w = writer_over(datagram + 2, 2);
    write_u16(&w, (uint16_t)(CLIENT_DATA_AT - STUN_HEADER_LEN + data_len));
    return CLIENT_DATA_AT + data_len;
}

size_t client_unwrap(const struct client *client, const uint8_t *datagram, size_t len,
                     const uint8_t **ret_data)
{
    struct stun_msg msg;
    size_t data_len;

    if (client->channels && len >= CLIENT_CHANNEL_HEADER && datagram[0] >> 6 == 1) {
        data_len = (size_t)datagram[2] << 8 | datagram[3];
        *ret_data = datagram + CLIENT_CHANNEL_HEADER;
        return data_len <= len - CLIENT_CHANNEL_HEADER ? data_len : 0;
    }
    if (stun_decode(datagram, len, &msg) < 0 || msg.method != STUN_DATA_INDICATION ||
        !stun_has(&msg, STUN_DATA))
        return 0;
    *ret_data = msg.attr[STUN_DATA].data;
    return msg.attr[STUN_DATA].len;
}
