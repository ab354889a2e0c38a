// SPDX-License-Identifier: ISC
// From keys to the settings of the parts; see config_use.h.
#include "config_use.h"

#define SETUP_TIMEOUT   (10 * USEC_PER_SEC) // a worker answers within milliseconds
#define OWN_DESCRIPTORS 256                 // of the daemon and its libraries, with room to spare
#define PER_WORKER      4
#define IDLE_FACTOR     5 // a call that was never carried keeps its ports so many media timeouts

// The relay reports silence after the first half of limits.media_timeout; the call waits for the
// second.
static usec_t silence(const struct config *c)
{
    return c->limits.media_timeout / 2;
}

struct relay_config config_for_relay(const struct config *c)
{
    return (struct relay_config){
        .bind = {c->relay.address[0].addr, c->relay.address[1].addr},
        .advertise = {c->relay.advertise[0].addr, c->relay.advertise[1].addr},
        .port_min = c->relay.ports.min,
        .port_max = c->relay.ports.max,
        .allow = c->relay.allow_peers,
        .limits = {.quarantine = c->relay.quarantine,
                   .silence = silence(c),
                   .learning_window = c->limits.learning_window},
    };
}

uint16_t config_shared_port(const struct config *c)
{
    return c->relay.ice_ports == CONFIG_ICE_SHARED ? (uint16_t)c->relay.shared_port : 0;
}

// ---- what clients are told

// One host's entries, in the order of their cost for a call. No others: clients take TLS only over
// TCP, and need STUN for nothing but UDP.
static size_t put_services(const struct config *c, const char *host, struct signal_service *item)
{
    const uint16_t port = c->turn.ports.item[0];
    size_t count = 0;
    item[count++] = (struct signal_service){"stun", "udp", host, port};
    item[count++] = (struct signal_service){"turn", "udp", host, port};
    item[count++] = (struct signal_service){"turn", "tcp", host, port};
    if (c->turn.certificate)
        item[count++] = (struct signal_service){"turns", "tcp", host, c->turn.tls_ports.item[0]};
    return count;
}

static struct signal_services services_of(const struct config *c, const char *secret,
                                          struct config_services *s)
{
    size_t count = 0;
    if (!c->turn.enabled)
        return (struct signal_services){0};
    if (c->turn.host)
        count = put_services(c, c->turn.host, s->item);
    for (int i = 0; i < 2 && !c->turn.host; i++) {
        const struct addr *addr = &c->relay.advertise[i].addr;
        if (addr->family != FAMILY_NONE)
            count += put_services(c, addr_format_ip(addr, s->address[i]), s->item + count);
    }
    return (struct signal_services){
        .item = s->item,
        .count = count,
        .secret = c->turn.secrets.count > 0 ? c->turn.secrets.item[0] : secret,
        .lifetime = c->turn.credential_lifetime,
    };
}

void config_point_elsewhere(const struct config *c, struct config_services *s,
                            struct signal_services *told)
{
    told->item = s->item;
    told->count = c->turn.enabled && c->drain.alternative
                      ? put_services(c, c->drain.alternative, s->item)
                      : 0;
}

struct signal_config config_for_signal(const struct config *c, const char *secret,
                                       struct config_services *services)
{
    return (struct signal_config){
        .domain = c->xmpp.domain,
        .served = (const char *const *)c->xmpp.served_domains.item,
        .served_count = c->xmpp.served_domains.count,
        .policy = c->relay.policy == CONFIG_POLICY_RELAY_ONLY ? POLICY_RELAY_ONLY : POLICY_FALLBACK,
        .family_v4 = c->relay.address[0].addr.family != FAMILY_NONE,
        .family_v6 = c->relay.address[1].addr.family != FAMILY_NONE,
        .candidates_max = c->limits.stanza_candidates,
        .bytes_per_second = (c->limits.bandwidth_per_call + 7) / 8, // 0 would be no limit
        .answer_timeout = c->limits.answer_timeout,
        .proposal_timeout = c->limits.proposal_timeout,
        .calls = {.calls = c->limits.calls,
                  .calls_per_user = c->limits.calls_per_user,
                  .new_calls_per_minute = c->limits.new_calls_per_minute,
                  .setup_timeout = SETUP_TIMEOUT,
                  .ring_timeout = c->limits.ring_timeout,
                  .media_timeout = c->limits.media_timeout - silence(c),
                  .idle_timeout = c->limits.media_timeout * IDLE_FACTOR,
                  .duration = c->limits.call_duration},
        .path_silence = silence(c),
        .services = services_of(c, secret, services),
        .admins = (const char *const *)c->xmpp.admins.item,
        .admin_count = c->xmpp.admins.count,
        .contact = (const char *const *)c->xmpp.contact.item,
        .contact_count = c->xmpp.contact.count,
    };
}

struct capacity_limits config_for_capacity(const struct config *c, unsigned workers)
{
    unsigned families = 0;

    for (int i = 0; i < 2; i++)
        families += c->relay.address[i].addr.family != FAMILY_NONE;
    return (struct capacity_limits){
        .number = {c->limits.calls, c->limits.allocations},
        .load = c->limits.load / 100.0,
        .bandwidth = (double)c->limits.bandwidth / 8,
        .workers = workers,
        .ports_per_call = 2 * families, // one for each side
    };
}

// Every relay port is one in each family, and so is every listener on each worker, and every
// connection of a TURN client; with TCP allocations that of its peer too.
unsigned config_descriptors(const struct config *c, unsigned workers)
{
    unsigned ports = 2u * ((unsigned)c->relay.ports.max - c->relay.ports.min + 1);
    unsigned listeners = 2 * 2 * (unsigned)(c->turn.ports.count + c->turn.tls_ports.count);
    unsigned connections = (c->turn.tcp_allocations ? 2 : 1) * c->limits.connections;

    if (!c->turn.enabled)
        return OWN_DESCRIPTORS + workers * PER_WORKER + ports;
    return OWN_DESCRIPTORS + workers * (PER_WORKER + listeners) + ports + connections;
}
