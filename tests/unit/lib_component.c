// SPDX-License-Identifier: ISC
// The fixture of the component's tests; see lib_component.h.
#include "lib_component.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

const struct component_tuning quick = {
    .backoff_first = 20 * USEC_PER_MSEC,
    .backoff_max = 80 * USEC_PER_MSEC,
    .backoff_operator = 300 * USEC_PER_MSEC,
    .resolve = 200 * USEC_PER_MSEC,
    .handshake = 2 * USEC_PER_SEC,
    .keepalive = 60 * USEC_PER_SEC,
    .queue_bytes = 1 << 20,
};

static void on_log(void *ctx, enum log_level level, const char *message,
                   const struct log_field *field, size_t fields)
{
    struct fixture *f = ctx;
    buf_printf(&f->log, "%d %s\n", (int)level, message);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *ctx)
{
}

struct xml *message(const char *body)
{
    struct xml *x = xml_new("message", "jabber:client");
    assert_int_equal(xml_set(x, "from", "relay.test"), 0);
    assert_int_equal(xml_set(x, "to", "bob@example.org/r"), 0);
    assert_int_equal(xml_add_text(xml_add(x, "body", NULL), body, strlen(body)), 0);
    return x;
}

int send_body(struct fixture *f, const char *body)
{
    struct xml *x = message(body);
    int r = component_send(f->component, x);
    xml_free(x);
    return r;
}

static void on_stanza(void *ctx, const struct xml *stanza)
{
    struct fixture *f = ctx;
    const struct xml *body = xml_child(stanza, "body", NULL);
    f->stanzas++;
    buf_printf(&f->bodies, "%s,", body ? xml_text(body) : "-");
    xml_free(f->last);
    f->last = xml_clone(stanza);
    if (f->echo)
        f->echo_result |= component_send(f->component, stanza);
}

static void on_state(void *ctx, enum component_state state)
{
    struct fixture *f = ctx;
    static const char letter[] = {[COMPONENT_CONNECTING] = 'C', [COMPONENT_UP] = 'U', 'D'};
    buf_add(&f->states, &letter[state], 1);
}

struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    struct timeval tv = {.tv_usec = 2000};
    f->base = event_base_new();
    f->heartbeat = event_new(f->base, -1, EV_PERSIST, on_heartbeat, NULL);
    event_add(f->heartbeat, &tv);
    log_set_sink(&(struct log_sink){f, LOG_LEVEL_DEBUG, on_log, NULL});
    return f;
}

void fixture_free(struct fixture *f)
{
    component_free(f->component, 0);
    server_stop(&f->server);
    log_set_sink(NULL);
    event_free(f->heartbeat);
    event_base_free(f->base);
    buf_free(&f->log);
    buf_free(&f->states);
    buf_free(&f->bodies);
    xml_free(f->last);
    free(f);
}

struct component_handler handler_of(struct fixture *f)
{
    return (struct component_handler){.ctx = f, .stanza = on_stanza, .state = on_state};
}

void start_with(struct fixture *f, struct evdns_base *dns, const char *host, uint16_t port)
{
    struct component_config config = {"relay.test", SERVER_SECRET, host, port};
    struct component_handler handler = handler_of(f);
    assert_int_equal(component_new(f->base, dns, &config, &handler, &f->component), 0);
    component_set_tuning(f->component, &quick);
}

void start(struct fixture *f)
{
    server_start(&f->server, f->base, 0);
    start_with(f, NULL, "127.0.0.1", f->server.port);
}

void run_for(struct fixture *f, unsigned msec)
{
    usec_t end = component_link_now() + msec * USEC_PER_MSEC;
    while (component_link_now() < end)
        event_base_loop(f->base, EVLOOP_ONCE);
}

bool state_is(const struct fixture *f, char letter)
{
    return f->states.len > 0 && f->states.data[f->states.len - 1] == letter;
}

unsigned count_in(const struct buf *log, const char *text)
{
    unsigned n = 0;
    for (const char *p = log->data; p && (p = strstr(p, text)); p++)
        n++;
    return n;
}

uint16_t closed_port(void)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
    getsockname(fd, (struct sockaddr *)&sin, &len);
    close(fd);
    return ntohs(sin.sin_port);
}
