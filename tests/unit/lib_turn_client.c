// SPDX-License-Identifier: ISC
// See lib_turn_client.h.
#include "lib_turn_client.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define USER     "romeo"
#define REALM    "test"
#define PASSWORD "montague"

struct client client_open(const struct addr *server, bool stream)
{
    struct client client = {.stream = stream};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(server->port)};
    const struct timeval patience = {.tv_sec = 2};

    memcpy(&sa.sin_addr, server->ip, 4);
    client.fd = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    assert_true(client.fd >= 0);
    assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(client.fd, (struct sockaddr *)(void *)&sa, sizeof sa), 0);
    return client;
}

struct client client_open_dtls(const struct addr *server)
{
    struct client client = client_open(server, false);
    SSL_CTX *ctx = SSL_CTX_new(DTLS_client_method());
    BIO *bio = BIO_new_dgram(client.fd, BIO_NOCLOSE);
    BIO_ADDR *addr = BIO_ADDR_new();

    assert_true(ctx && bio && addr);
    assert_int_equal(BIO_ADDR_rawmake(addr, AF_INET, server->ip, 4, htons(server->port)), 1);
    (void)BIO_ctrl_set_connected(bio, addr);
    client.ssl = SSL_new(ctx);
    SSL_set_bio(client.ssl, bio, bio);
    assert_int_equal(SSL_connect(client.ssl), 1);
    BIO_ADDR_free(addr);
    SSL_CTX_free(ctx);
    return client;
}

// Without a word of goodbye.
void client_close(struct client *client)
{
    SSL_free(client->ssl);
    client->ssl = NULL;
    close(client->fd);
    client->fd = -1;
}

static void put(struct client *client, size_t len)
{
    ssize_t n = client->ssl ? SSL_write(client->ssl, client->out, (int)len)
                            : send(client->fd, client->out, len, 0);

    assert_int_equal(n, len);
}

static bool read_exactly(int fd, uint8_t *buf, size_t len)
{
    return len == 0 || recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len;
}

// One STUN message or ChannelData without padding; its length, or -1.
static int read_message(struct client *client)
{
    size_t len;
    uint8_t padding[3];

    if (client->ssl)
        return SSL_read(client->ssl, client->in, sizeof client->in);
    if (!client->stream)
        return (int)recv(client->fd, client->in, sizeof client->in, 0);
    if (!read_exactly(client->fd, client->in, 4))
        return -1;
    len = 4 + (size_t)(client->in[2] << 8 | client->in[3]);
    if (client->in[0] < 0x40)
        len += STUN_HEADER_LEN - 4;
    assert_true(len <= sizeof client->in);
    if (!read_exactly(client->fd, client->in + 4, len - 4) ||
        !read_exactly(client->fd, padding, -len & 3))
        return -1;
    return (int)len;
}

static void write_credentials(struct client *client, struct writer *w)
{
    stun_put_bytes(w, STUN_USERNAME, USER, strlen(USER));
    stun_put_bytes(w, STUN_REALM, REALM, strlen(REALM));
    stun_put_bytes(w, STUN_NONCE, client->nonce, client->nonce_len);
}

static int ask_once(struct client *client, uint16_t method,
                    void (*put_more)(struct writer *, void *), void *arg)
{
    static const char text[] = USER ":" REALM ":" PASSWORD;
    uint8_t key[16], txid[STUN_TXID_LEN] = {0};
    struct writer w;
    int len;

    client->serial++;
    memcpy(txid, &client->serial, sizeof client->serial);
    assert_int_equal(EVP_Digest(text, sizeof text - 1, key, NULL, EVP_md5(), NULL), 1);
    w = stun_begin(client->out, sizeof client->out, STUN_REQUEST, method, txid);
    if (put_more)
        put_more(&w, arg);
    if (client->nonce_len > 0)
        write_credentials(client, &w);
    len = stun_finish(&w, client->nonce_len > 0 ? key : NULL, sizeof key, false);
    assert_true(len > 0);
    put(client, (size_t)len);
    while ((len = read_message(client)) >= 0) {
        if (stun_decode(client->in, (size_t)len, &client->reply) == 0 &&
            memcmp(client->reply.txid, txid, sizeof txid) == 0)
            return client->reply.class == STUN_SUCCESS ? 0 : (int)stun_error_code(&client->reply);
    }
    return -1;
}

int client_ask(struct client *client, uint16_t method, void (*put_more)(struct writer *, void *),
               void *arg)
{
    int code = ask_once(client, method, put_more, arg);
    const struct stun_view *nonce = &client->reply.attr[STUN_NONCE];

    if (code != 401 && code != 438)
        return code;
    assert_true(nonce->len < sizeof client->nonce);
    memcpy(client->nonce, nonce->data, nonce->len);
    client->nonce_len = nonce->len;
    return ask_once(client, method, put_more, arg);
}

void client_send_channel(struct client *client, uint16_t channel, const void *data, size_t len)
{
    size_t padded = client->stream ? (len + 3) & ~(size_t)3 : len;

    assert_true(padded + 4 <= sizeof client->out);
    memset(client->out, 0, padded + 4);
    client->out[0] = (uint8_t)(channel >> 8);
    client->out[1] = (uint8_t)channel;
    client->out[2] = (uint8_t)(len >> 8);
    client->out[3] = (uint8_t)len;
    memcpy(client->out + 4, data, len);
    put(client, padded + 4);
}

int client_receive_channel(struct client *client, uint16_t channel, void *buf, size_t size)
{
    int len;

    while ((len = read_message(client)) >= 4) {
        size_t data = (size_t)(client->in[2] << 8 | client->in[3]);

        if ((client->in[0] << 8 | client->in[1]) != channel)
            continue;
        assert_true(data <= size);
        memcpy(buf, client->in + 4, data);
        return (int)data;
    }
    return -1;
}
