// SPDX-License-Identifier: ISC
// The read-only HTTP endpoint, on libevent. GET and HEAD only; anything else is 405. An answer may
// come later than its request, or go on for as long as somebody reads it.
#pragma once

#include "base/addr.h"
#include "platform/handover.h"

#include <event2/event.h>
#include <stddef.h>

struct http;
struct http_request; // owned by http until answered; the answer may be given at once or later

struct http_handler {
    void *ctx;
    // 'path' is decoded, without query. Every request must be answered once.
    void (*get)(void *ctx, const char *path, struct http_request *request);
};

// Returns 0 or -errno (what bind said).
int http_new(struct event_base *base, const struct addr *listen, const struct http_handler *handler,
             struct http **ret_http);
// The same at a socket that listens already; it is taken, also when this fails.
int http_new_on(struct event_base *base, int fd, const struct http_handler *handler,
                struct http **ret_http);
int http_leave(const struct http *http, struct handover *handover); // its listener; 0 or -errno
void http_free(struct http *http); // unanswered requests are closed
// 'body' is copied. A client that went away is no error.
void http_answer(struct http_request *request, int status, const char *content_type,
                 const char *body, size_t len);
// What stood after the '?', as it was sent; "" if nothing did. Valid inside handler.get() only.
const char *http_query(const struct http_request *request);

// An answer whose end is open: a body that lasts until its connection closes (RFC 9112 section
// 6.3), for events that are told as they happen.
struct http_stream; // owned by http; valid until gone() or http_stream_end()

struct http_stream_handler {
    void *ctx;
    // The client has gone, or has read too slowly for a minute; or http_free(). Never called from
    // inside the functions below.
    void (*gone)(void *ctx);
};

// Answers the request with status 200 and such a body. Returns 0, or -ECANCELED when nobody will
// read it (the client is gone, or asked by HEAD); the request is answered then, too.
int http_stream(struct http_request *request, const char *content_type,
                const struct http_stream_handler *handler, struct http_stream **ret_stream);
// Adds to the body. Returns 0, or -ENOBUFS or -ENOMEM and adds nothing: what was written before is
// not read yet.
int http_stream_write(struct http_stream *stream, const char *data, size_t len);
void http_stream_end(struct http_stream *stream); // what was written is sent; no gone()
