// SPDX-License-Identifier: ISC
// The scripted server; see lib_xmpp_server.h.
#include "lib_xmpp_server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void server_hang_up(struct server *s)
{
    if (s->client)
        bufferevent_free(s->client);
    s->client = NULL;
    s->opened = s->up = false;
}

void server_send(struct server *s, const char *text)
{
    if (s->client)
        bufferevent_write(s->client, text, strlen(text));
}

void server_read(struct server *s, bool on)
{
    if (on)
        bufferevent_enable(s->client, EV_READ);
    else
        bufferevent_disable(s->client, EV_READ);
}

static void refuse(struct server *s)
{
    char text[512];
    snprintf(text, sizeof(text),
             "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
             "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>so it is</text>"
             "</stream:error></stream:stream>",
             s->refuse);
    server_send(s, text);
}

// XEP-0114 section 3: the stream ID and the secret, through SHA-1, in lower-case hexadecimal.
static bool handshake_is_right(const struct server *s)
{
    char text[128];
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof(text), "%s%s", s->id, SERVER_SECRET);
    EVP_Digest(text, (size_t)n, hash, &len, EVP_sha1(), NULL);
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    char expected[160];
    snprintf(expected, sizeof(expected), ">%s</handshake>", hex);
    return strstr(s->in, expected);
}

static void consume(struct server *s, size_t n)
{
    memmove(s->in, s->in + n, s->in_len - n + 1);
    s->in_len -= n;
}

static void open_stream(struct server *s)
{
    char *start = strstr(s->in, "<stream:stream");
    char *end = start ? strchr(start, '>') : NULL;
    if (!end)
        return;
    s->opened = true;
    consume(s, (size_t)(end + 1 - s->in));
    snprintf(s->id, sizeof(s->id), "id&%u", s->connections); // not all characters are plain
    char text[256];
    snprintf(text, sizeof(text),
             "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
             "xmlns:stream='http://etherx.jabber.org/streams' from='relay.test' "
             "id='id&amp;%u'>",
             s->connections);
    server_send(s, text);
    if (s->refuse && s->early)
        refuse(s);
}

static void check_handshake(struct server *s)
{
    char *end = strstr(s->in, "</handshake>");
    if (!end)
        return;
    if (handshake_is_right(s))
        s->good_handshakes++;
    else
        s->bad_handshakes++;
    consume(s, (size_t)(end - s->in) + strlen("</handshake>"));
    if (s->refuse) {
        refuse(s);
        return;
    }
    s->up = true;
    server_send(s, "<handshake/>");
}

static void append(struct server *s, const void *data, size_t n)
{
    if (s->in_len + n + 1 > s->in_size) {
        s->in_size = 2 * (s->in_len + n + 1);
        s->in = realloc(s->in, s->in_size);
        if (!s->in)
            abort();
    }
    memcpy(s->in + s->in_len, data, n);
    s->in_len += n;
    s->in[s->in_len] = '\0';
}

bool server_ends_with(const struct server *s, const char *text)
{
    size_t n = strlen(text);
    return s->in_len >= n && memcmp(s->in + s->in_len - n, text, n) == 0;
}

static void on_read(struct bufferevent *bev, void *ctx)
{
    struct server *s = ctx;
    char buf[16384];
    size_t n;
    while ((n = bufferevent_read(bev, buf, sizeof(buf))) > 0)
        append(s, buf, n);
    if (s->refuse && strcmp(s->refuse, "silence") == 0)
        return;
    if (!s->opened)
        open_stream(s);
    else if (!s->up)
        check_handshake(s);
    if (s->up && server_ends_with(s, "</stream:stream>")) {
        s->closed = true;
        server_send(s, "</stream:stream>");
    }
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
    (void)bev;
    struct server *s = ctx;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        server_hang_up(s);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
                      int len, void *ctx)
{
    (void)listener, (void)from, (void)len;
    struct server *s = ctx;
    server_hang_up(s);
    s->connections++;
    s->in_len = 0;
    s->closed = false;
    append(s, "", 0);
    s->client = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(s->client, on_read, NULL, on_event, s);
    bufferevent_enable(s->client, EV_READ | EV_WRITE);
}

void server_start(struct server *s, struct event_base *base, uint16_t port)
{
    *s = (struct server){.base = base};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = evconnlistener_new_bind(
        base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 16,
        (struct sockaddr *)&sin, sizeof(sin));
    if (!s->listener)
        abort();
    socklen_t len = sizeof(sin);
    getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&sin, &len);
    s->port = ntohs(sin.sin_port);
}

void server_stop(struct server *s)
{
    server_hang_up(s);
    if (s->listener)
        evconnlistener_free(s->listener);
    s->listener = NULL;
    free(s->in);
    s->in = NULL;
}

size_t server_count(const struct server *s, const char *text)
{
    size_t n = 0;
    for (const char *p = s->in; p && (p = strstr(p, text)); p++)
        n++;
    return n;
}
