// SPDX-License-Identifier: ISC
// See turn_probe_io.h.
#include "turn_probe_io.h"

#include "sockaddr.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNEL_HEADER 4
#define STUN_HEADER    20

// ---- opening

static void set_patience(int fd, int option, usec_t patience)
{
    const struct timeval tv = {.tv_sec = (time_t)(patience / USEC_PER_SEC),
                               .tv_usec = (suseconds_t)(patience % USEC_PER_SEC)};

    (void)setsockopt(fd, SOL_SOCKET, option, &tv, sizeof tv);
}

int turn_probe_open(struct turn_probe_io *io, const struct turn_probe *probe)
{
    union sockaddr_any local, server;
    socklen_t local_len = sockaddr_from_addr(&probe->local, &local);
    socklen_t len = sockaddr_from_addr(&probe->server, &server);

    io->stream = probe->transport != TURN_PROBE_UDP;
    io->fd = socket(server.sa.sa_family, (io->stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
    if (io->fd < 0)
        return -errno;
    set_patience(io->fd, SO_SNDTIMEO, probe->patience); // connect() too, see socket(7)
    set_patience(io->fd, SO_RCVTIMEO, probe->patience);
    if (local_len > 0 && bind(io->fd, &local.sa, local_len) < 0)
        return -errno;
    if (connect(io->fd, &server.sa, len) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    return 0;
}

void turn_probe_close(struct turn_probe_io *io)
{
    SSL_free(io->ssl);
    SSL_CTX_free(io->context);
    if (io->fd >= 0)
        close(io->fd);
    *io = (struct turn_probe_io){.fd = -1};
}

// ---- TLS

static bool set_name(SSL *ssl, const char *name)
{
    struct addr addr;
    char host[256]; // OpenSSL's macro takes no constant

    if (!name)
        return true;
    if (addr_parse_ip(name, 0, &addr) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    snprintf(host, sizeof host, "%s", name);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

int turn_probe_secure(struct turn_probe_io *io, const char *name, char *distrust, char *reason)
{
    long verdict;

    io->context = SSL_CTX_new(TLS_client_method());
    if (io->context)
        SSL_CTX_set_verify(io->context, SSL_VERIFY_NONE, NULL); // the verdict is told
    if (!io->context || SSL_CTX_set_default_verify_paths(io->context) != 1)
        return -ENOMEM;
    io->ssl = SSL_new(io->context);
    if (!io->ssl || !set_name(io->ssl, name) || SSL_set_fd(io->ssl, io->fd) != 1)
        return -ENOMEM;
    if (SSL_connect(io->ssl) != 1) {
        unsigned long error = ERR_get_error();
        const char *text = error ? ERR_reason_error_string(error) : NULL;

        snprintf(reason, TURN_PROBE_REASON_MAX, "%s", text ? text : "the connection was closed");
        return -EPROTO;
    }
    verdict = SSL_get_verify_result(io->ssl);
    if (verdict != X509_V_OK)
        snprintf(distrust, TURN_PROBE_REASON_MAX, "%s", X509_verify_cert_error_string(verdict));
    return 0;
}

// ---- packets

static ssize_t put(struct turn_probe_io *io, const char *data, size_t len)
{
    int n;

    if (!io->ssl)
        return send(io->fd, data, len, MSG_NOSIGNAL);
    n = SSL_write(io->ssl, data, (int)len);
    if (n <= 0)
        errno = EPIPE;
    return n > 0 ? n : -1;
}

// 0: the end.
static ssize_t get(struct turn_probe_io *io, char *buf, size_t size)
{
    int n;

    if (!io->ssl)
        return recv(io->fd, buf, size, 0);
    n = SSL_read(io->ssl, buf, (int)size);
    if (n <= 0)
        errno = SSL_get_error(io->ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
    return n > 0 ? n : -1;
}

int turn_probe_send(struct turn_probe_io *io, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = put(io, (const char *)data + done, len - done);

        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        done += (size_t)n;
    }
    return 0;
}

static int get_all(struct turn_probe_io *io, char *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = get(io, buf + done, len - done);

        if (n <= 0)
            return n == 0 ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;
        done += (size_t)n;
    }
    return 0;
}

// ChannelData in a stream is padded to a multiple of four, STUN is one anyway.
static int get_framed(struct turn_probe_io *io, uint8_t *buf, size_t size)
{
    size_t len, padded;
    int r = get_all(io, (char *)buf, CHANNEL_HEADER);

    if (r < 0)
        return r;
    len = (size_t)buf[2] << 8 | buf[3];
    len += buf[0] < 0x40 ? STUN_HEADER : CHANNEL_HEADER;
    padded = (len + 3) & ~(size_t)3;
    if (padded > size)
        return -EPROTO;
    r = get_all(io, (char *)buf + CHANNEL_HEADER, padded - CHANNEL_HEADER);
    return r < 0 ? r : (int)len;
}

int turn_probe_receive(struct turn_probe_io *io, void *buf, size_t size, usec_t until,
                       usec_t (*now)(void))
{
    usec_t time = now();
    ssize_t n;

    if (time >= until)
        return -ETIMEDOUT;
    set_patience(io->fd, SO_RCVTIMEO, until - time);
    if (io->stream)
        return get_framed(io, buf, size);
    n = get(io, buf, size);
    if (n < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return (int)n;
}
