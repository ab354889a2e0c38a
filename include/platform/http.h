// SPDX-License-Identifier: ISC
// The read-only HTTP endpoint, on libevent. GET and HEAD only; anything else is 405. An answer may
// come later than its request.
#pragma once

#include "base/addr.h"

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
void http_free(struct http *http); // unanswered requests are closed
// 'body' is copied. A client that went away is no error.
void http_answer(struct http_request *request, int status, const char *content_type,
                 const char *body, size_t len);
