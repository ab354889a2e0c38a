// SPDX-License-Identifier: ISC
// Jabber identifiers (RFC 7622) as views, and JID escaping (XEP-0106), by which a bare JID becomes
// the local part of another: bob@example.org is bob\40example.org@relay.example.org.
//
// No PRECIS profile is applied: the server has normalised what it routes. Domains compare without
// regard to ASCII case, the rest byte by byte.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JID_PART_MAX 1023
#define JID_MAX      3072 // a full JID and its NUL

struct jid { // views into the parsed text
    const char *local;
    size_t local_len; // 0: none
    const char *domain;
    size_t domain_len;
    const char *resource;
    size_t resource_len; // 0: a bare JID
    size_t bare_len;     // of the text up to the resource
};

// Returns 0 or -EINVAL (empty, no domain, an empty local part or resource, a part of more than
// JID_PART_MAX bytes, a character that RFC 7622 section 3.3.1 forbids in a local part, white space
// or another @ in the domain). NULL text is -EINVAL.
int jid_parse(const char *text, struct jid *ret_jid);
bool jid_equal(const char *a, const char *b);      // full JIDs
bool jid_equal_bare(const char *a, const char *b); // without the resources
bool jid_domain_is(const char *jid, const char *domain);

// XEP-0106 section 4. Write at most size bytes with the NUL; return the length or -ENOSPC.
// jid_escape() returns -EINVAL for a text that begins or ends with a space: it has no escaped form.
int jid_escape(const char *text, size_t len, char *buf, size_t size);
int jid_unescape(const char *text, size_t len, char *buf, size_t size);

// alice@example.org/phone and relay.example.org give
// alice\40example.org@relay.example.org/phone. Returns the length, -EINVAL (no JID with a local
// part, or too long when wrapped) or -ENOSPC.
int jid_wrap(const char *jid, const char *domain, char *buf, size_t size);
// The other way round: -EINVAL also when the local part does not unescape to a bare JID with a
// local part of its own.
int jid_unwrap(const char *jid, char *buf, size_t size);
