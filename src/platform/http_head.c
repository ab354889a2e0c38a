// SPDX-License-Identifier: ISC
// Request heads: a strict reader for the little that a read-only endpoint needs. Requests with a
// body are refused, so that where one ends is never in question.
#include "http_head.h"

#include "base/addr.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct text {
    const char *p;
    size_t len;
};

static bool text_is(struct text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.p, word, text.len) == 0;
}

// Field names, the schemes and hosts of URIs, and connection options are case-insensitive.
static bool text_is_nocase(struct text text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.p, word, text.len) == 0;
}

static struct text text_from(struct text text, size_t start)
{
    return (struct text){text.p + start, text.len - start};
}

// Where 'c' stands, or the length.
static size_t text_find(struct text text, char c)
{
    const char *at = text.len ? memchr(text.p, c, text.len) : NULL;
    return at ? (size_t)(at - text.p) : text.len;
}

static struct text text_trim(struct text text)
{
    while (text.len && (text.p[0] == ' ' || text.p[0] == '\t'))
        text = text_from(text, 1);
    while (text.len && (text.p[text.len - 1] == ' ' || text.p[text.len - 1] == '\t'))
        text.len--;
    return text;
}

// RFC 9110 section 5.6.2: token = 1*tchar
static bool text_is_token(struct text text)
{
    static const char tchar[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (size_t i = 0; i < text.len; i++)
        if (!memchr(tchar, text.p[i], sizeof tchar - 1))
            return false;
    return text.len > 0;
}

static bool text_is_digits(struct text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
    return true;
}

static bool has_control(struct text text, bool spaces_too)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == 0x7f || (c < 0x20 && c != '\t') || (spaces_too && (c == ' ' || c == '\t')))
            return true;
    }
    return false;
}

void http_head_clear(struct http_head *head)
{
    free(head->path);
    free(head->query);
    *head = (struct http_head){0};
}

void http_head_refuse(struct http_head *head, int status)
{
    head->status = status;
    head->close = true;
}

// A page elsewhere can make its own name resolve to this address and then read answers as its own
// origin (DNS rebinding); but it cannot choose an IP literal or localhost as that name.
static bool host_is_foreign(struct text host)
{
    char ip[ADDR_TEXT_MAX];
    struct addr addr;
    struct text port = {"", 0};
    bool bracket = host.len && host.p[0] == '[';
    if (bracket) {
        host = text_from(host, 1);
        size_t end = text_find(host, ']');
        if (end == host.len)
            return true;
        port = text_from(host, end + 1);
        host.len = end;
    } else {
        size_t colon = text_find(host, ':');
        port = text_from(host, colon);
        host.len = colon;
    }
    if (port.len && (port.p[0] != ':' || !text_is_digits(text_from(port, 1))))
        return true;
    if (!bracket && text_is_nocase(host, "localhost"))
        return false;
    if (host.len >= sizeof ip || memchr(host.p, '\0', host.len))
        return true;
    memcpy(ip, host.p, host.len);
    ip[host.len] = '\0';
    return addr_parse_ip(ip, 0, &addr) != 0;
}

static void note_host(struct http_head *head, struct text host)
{
    if (host.len && host_is_foreign(host))
        head->host_foreign = true;
}

// RFC 9112 section 3.2.2: a server must accept the absolute form, whose host counts besides
// Host's.
static int read_target(struct http_head *head, struct text target)
{
    static const char scheme[] = "http://";
    if (target.len > strlen(scheme) && strncasecmp(target.p, scheme, strlen(scheme)) == 0) {
        target = text_from(target, strlen(scheme));
        size_t slash = text_find(target, '/'), query = text_find(target, '?');
        size_t end = slash < query ? slash : query;
        note_host(head, (struct text){target.p, end});
        target = text_from(target, end);
        if (target.len == 0 || target.p[0] != '/')
            target = (struct text){"/", 1};
    }
    if (target.len == 0 || target.p[0] != '/')
        return 400;
    size_t len = text_find(target, '?');
    char *raw = strndup(target.p, len);
    if (len < target.len)
        head->query = strndup(target.p + len + 1, target.len - len - 1);
    head->path = raw ? evhttp_uridecode(raw, 0, &len) : NULL;
    free(raw);
    if (!head->path)
        return 500;
    return strlen(head->path) == len ? 0 : 400; // %00
}

// RFC 9112 section 3: request-line = method SP request-target SP HTTP-version
static int read_request_line(struct http_head *head, struct text line)
{
    size_t space = text_find(line, ' ');
    struct text method = {line.p, space};
    if (space == line.len || !text_is_token(method))
        return 400;
    line = text_from(line, space + 1);
    space = text_find(line, ' ');
    struct text target = {line.p, space};
    if (space == line.len || target.len == 0 || has_control(target, true))
        return 400;
    struct text version = text_from(line, space + 1);
    if (version.len != strlen("HTTP/1.1") || memcmp(version.p, "HTTP/", 5) != 0)
        return 400;
    if (version.p[5] != '1' || version.p[6] != '.')
        return 505;
    head->http10 = version.p[7] == '0';
    head->head_only = text_is(method, "HEAD");
    head->method_known = head->head_only || text_is(method, "GET");
    return head->method_known ? read_target(head, target) : 0;
}

static void read_connection(struct http_head *head, struct text value)
{
    while (value.len) {
        size_t comma = text_find(value, ',');
        struct text option = text_trim((struct text){value.p, comma});
        if (text_is_nocase(option, "close"))
            head->close = true;
        if (text_is_nocase(option, "keep-alive"))
            head->keep_alive = true;
        value = text_from(value, comma < value.len ? comma + 1 : comma);
    }
}

// RFC 9112 section 5: no whitespace between name and colon; a folded line (which begins with
// whitespace) is refused.
static int read_field(struct http_head *head, struct text line)
{
    size_t colon = text_find(line, ':');
    struct text name = {line.p, colon};
    if (colon == line.len || !text_is_token(name))
        return 400;
    struct text value = text_trim(text_from(line, colon + 1));
    if (has_control(value, false))
        return 400;
    if (text_is_nocase(name, "host")) {
        // RFC 9112 section 3.2: more than one Host is answered with 400.
        if (head->host_seen)
            return 400;
        head->host_seen = true;
        note_host(head, value);
    } else if (text_is_nocase(name, "sec-fetch-site")) {
        head->site_foreign = !text_is(value, "same-origin") && !text_is(value, "none");
    } else if (text_is_nocase(name, "sec-fetch-mode")) {
        head->navigates = text_is(value, "navigate");
    } else if (text_is_nocase(name, "connection")) {
        read_connection(head, value);
    } else if (text_is_nocase(name, "transfer-encoding")) {
        head->body = true;
    } else if (text_is_nocase(name, "content-length")) {
        head->body = head->body || !text_is(value, "0");
    }
    return 0;
}

static void finish(struct http_head *head)
{
    // RFC 9112 section 9.3: 1.0 persists only by consent.
    if (head->body || (head->http10 && !head->keep_alive))
        head->close = true;
    if (!head->method_known)
        head->status = 405;
    else if (head->body)
        head->status = 413;
    else if (head->host_foreign)
        head->status = 421;
    // A page elsewhere cannot read answers, but it could use up the places of who watches; so could
    // one at another port of this machine, which browsers call "same-site". A link may lead here.
    else if (head->site_foreign && !head->navigates)
        head->status = 403;
}

bool http_head_line(struct http_head *head, const char *line, size_t len)
{
    struct text text = {line, len};
    int status = 0;
    head->bytes += len + 2;
    if (head->bytes > HTTP_HEAD_MAX) {
        status = 431;
    } else if (len == 0) {
        // RFC 9112 section 2.2: empty lines before the request line are ignored.
        if (!head->started)
            return false;
        finish(head);
        return true;
    } else if (!head->started) {
        head->started = true;
        status = read_request_line(head, text);
    } else {
        status = read_field(head, text);
    }
    if (status)
        http_head_refuse(head, status);
    return status != 0;
}
