// SPDX-License-Identifier: ISC
// The head of an HTTP/1 request (RFC 9112), line by line, without sockets: what is asked for, or
// the status that refuses it. Private to the platform layer.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX 8192 // bytes of request line and fields

// Zeroed memory is a head of which nothing was read.
struct http_head {
    int status;  // 0: served; else what to refuse it with
    char *path;  // decoded, without query; owned; NULL when refused
    char *query; // as it was sent, behind the '?'; owned; NULL: none
    bool head_only;
    bool close; // the connection ends with the answer
    size_t bytes;
    bool started, host_seen, host_foreign, site_foreign, navigates, http10, method_known, body,
        keep_alive;
};

void http_head_clear(struct http_head *head);
// Takes the next line, without its end. Returns true when the head is complete, or past hope.
bool http_head_line(struct http_head *head, const char *line, size_t len);
// Refuses the request, whatever was read of it; the connection cannot go on.
void http_head_refuse(struct http_head *head, int status);
