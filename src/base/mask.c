// SPDX-License-Identifier: ISC
// See base/mask.h. Forms are SipHash under the key, cut to 40 bits: there is no way back without
// the key, though all of IPv4 can be tried by who has it.
#include "base/mask.h"

#include "base/map.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM_BITS 40

// The process has one mask; the key is set before any thread is started.
static struct map mask_key;
static atomic_bool mask_on;

void mask_set_key(const uint8_t key[16])
{
    map_init(&mask_key, key);
}

void mask_set(bool on)
{
    atomic_store_explicit(&mask_on, on, memory_order_relaxed);
}

bool mask_is_on(void)
{
    return atomic_load_explicit(&mask_on, memory_order_relaxed);
}

// Of this kind, so that a name and a resource of the same letters differ.
static uint64_t form(const char *kind, const void *data, size_t len)
{
    return map_hash2(&mask_key, kind, strlen(kind), data, len) >> (64 - FORM_BITS);
}

// ---- addresses

static bool in(const char *prefix, const struct addr *addr)
{
    struct prefix range;

    return prefix_parse(prefix, &range) == 0 && prefix_match(&range, addr);
}

static const char *kind_of(const struct addr *addr)
{
    static const struct {
        const char *prefix, *kind;
    } kinds[] = {
        {"10.0.0.0/8", "private"},    {"172.16.0.0/12", "private"}, {"192.168.0.0/16", "private"},
        {"fc00::/7", "private"},      {"127.0.0.0/8", "loopback"},  {"::1/128", "loopback"},
        {"169.254.0.0/16", "link"},   {"fe80::/10", "link"},        {"100.64.0.0/10", "shared"},
        {"224.0.0.0/4", "multicast"}, {"ff00::/8", "multicast"},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (in(kinds[i].prefix, addr))
            return kinds[i].kind;
    }
    return addr_is_special(addr) ? "special" : "global";
}

static int put_ip(const struct addr *addr, struct mask *mask)
{
    bool v4 = addr->family == FAMILY_V4;

    return snprintf(mask->text, sizeof mask->text, "ip%c-%s-%010" PRIx64, v4 ? '4' : '6',
                    kind_of(addr), form(v4 ? "ip4" : "ip6", addr->ip, v4 ? 4 : 16));
}

const char *mask_addr(const struct addr *addr, struct mask *mask)
{
    char clear[ADDR_TEXT_MAX];
    int len;

    if (!mask_is_on() || addr->family == FAMILY_NONE) {
        snprintf(mask->text, sizeof mask->text, "%s", addr_format(addr, clear));
        return mask->text;
    }
    len = put_ip(addr, mask);
    snprintf(mask->text + len, sizeof mask->text - (size_t)len, ":%u", (unsigned)addr->port);
    return mask->text;
}

// "192.0.2.1:5000", "[2001:db8::1]:5000", an IP alone, or with the length of a prefix.
static bool parse(const char *text, struct addr *ret_addr, const char **ret_rest)
{
    char ip[ADDR_TEXT_MAX];
    bool bracket = *text == '[';
    const char *start = text + bracket;
    size_t len = bracket ? strcspn(start, "]") : strcspn(start, "/");

    if (!bracket && strchr(start, ':') == strrchr(start, ':')) // no IPv6
        len = strcspn(start, ":/");
    if (len >= sizeof ip)
        return false;
    memcpy(ip, start, len);
    ip[len] = '\0';
    *ret_rest = start + len + (bracket && start[len] == ']');
    return addr_parse_ip(ip, 0, ret_addr) == 0;
}

static bool put_address(const char *text, struct mask *mask)
{
    struct addr addr;
    const char *rest;

    if (!parse(text, &addr, &rest))
        return false;
    int len = put_ip(&addr, mask);
    snprintf(mask->text + len, sizeof mask->text - (size_t)len, "%s", rest);
    return true;
}

const char *mask_host(const char *host, struct mask *mask)
{
    const char *colon;

    if (!host || !mask_is_on() || put_address(host, mask))
        return host && mask_is_on() ? mask->text : host;
    colon = strrchr(host, ':');
    snprintf(mask->text, sizeof mask->text, "host-%010" PRIx64 "%s",
             form("host", host, colon ? (size_t)(colon - host) : strlen(host)), colon ? colon : "");
    return mask->text;
}

// ---- names

// Behind what stands there already.
static void put_jid(const char *jid, struct mask *mask, size_t used)
{
    const char *slash = strchr(jid, '/');
    size_t bare = slash ? (size_t)(slash - jid) : strlen(jid);
    const char *at = memchr(jid, '@', bare);
    char *to = mask->text + used;
    size_t size = sizeof mask->text - used;
    int len;

    if (at)
        len = snprintf(to, size, "u-%010" PRIx64 "%.*s", form("user", jid, bare),
                       (int)(bare - (size_t)(at - jid)), at);
    else
        len = snprintf(to, size, "%.*s", (int)bare, jid);
    if (slash && len >= 0 && (size_t)len < size)
        snprintf(to + len, size - (size_t)len, "/r-%010" PRIx64,
                 form("resource", jid, strlen(jid)));
}

const char *mask_jid(const char *jid, struct mask *mask)
{
    if (!jid || !mask_is_on())
        return jid;
    put_jid(jid, mask, 0);
    return mask->text;
}

const char *mask_user(const char *user, struct mask *mask)
{
    size_t digits = user ? strspn(user, "0123456789") : 0;
    size_t used = user && digits > 0 && user[digits] == ':' ? digits + 1 : 0;

    if (!user || !mask_is_on() || (digits > 0 && !user[digits])) // a bare expiry
        return user;
    if (put_address(user, mask)) // IPv6 may begin like an expiry
        return mask->text;
    if (used >= sizeof mask->text / 2)
        used = 0;
    memcpy(mask->text, user, used);
    if (strchr(user + used, '@'))
        put_jid(user + used, mask, used);
    else
        snprintf(mask->text + used, sizeof mask->text - used, "u-%010" PRIx64,
                 form("user", user + used, strlen(user + used)));
    return mask->text;
}
