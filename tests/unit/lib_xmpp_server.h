// SPDX-License-Identifier: ISC
// A small XMPP server for components (XEP-0114), scripted by a test, on the test's own event loop.
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVER_SECRET "s3cret<&\"'>"

struct bufferevent;
struct evconnlistener;

struct server {
    struct event_base *base;
    struct evconnlistener *listener;
    uint16_t port;
    // The script. NULL: accept; a stream error's condition: refuse with it; "silence": say nothing.
    const char *refuse;
    bool early; // refuse at once, instead of the handshake's answer
    // What happened.
    struct bufferevent *client; // NULL when there is none
    char id[32];
    unsigned connections;
    unsigned good_handshakes;
    unsigned bad_handshakes;
    bool opened; // the stream
    bool up;     // the handshake was accepted
    bool closed; // the client sent the closing tag
    char *in;    // since the handshake, always terminated
    size_t in_len;
    size_t in_size;
};

// 'port' 0: any. On 127.0.0.1.
void server_start(struct server *s, struct event_base *base, uint16_t port);
void server_stop(struct server *s);
void server_send(struct server *s, const char *text);
void server_hang_up(struct server *s);
void server_read(struct server *s, bool on);
bool server_ends_with(const struct server *s, const char *text);
// How often a text occurs in what came in.
size_t server_count(const struct server *s, const char *text);
