// SPDX-License-Identifier: ISC
// What no single key of the configuration can tell: keys that are missing or contradict each other,
// and the addresses in the end.
#include "config_load.h"

#include "codec/jid.h"

#include <errno.h>
#include <string.h>

static void check_required(struct config_load *load)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        struct buf expected = {0};
        if (!row->required || config_given(load, row))
            continue;
        row->kind->expect(row, &expected);
        config_blame(load, false, row, "this key is required: expected %s",
                     expected.data ? expected.data : "a value");
        buf_free(&expected);
    }
}

// ---- keys that contradict each other

static void check_domains(struct config_load *load)
{
    const struct config_list *served = &load->config.xmpp.served_domains;
    const char *domain = load->config.xmpp.domain;
    for (size_t i = 0; domain && i < served->count; i++)
        if (strcasecmp(served->item[i], domain) == 0)
            config_blame(load, false, config_row_find("xmpp", "served_domains"),
                         "\"%s\" is the relay's own domain (xmpp.domain): expected the domains of "
                         "its users",
                         domain);
}

// Whoever is not served is refused.
static void check_admins(struct config_load *load)
{
    const struct config_list *admins = &load->config.xmpp.admins;
    const struct config_list *domains = &load->config.xmpp.served_domains;
    for (size_t i = 0; i < admins->count; i++) {
        size_t k = 0;
        while (k < domains->count && !jid_domain_is(admins->item[i], domains->item[k]))
            k++;
        if (k == domains->count)
            config_blame(load, true, config_row_find("xmpp", "admins"),
                         "\"%s\" is not of a served domain (xmpp.served_domains), and may give no "
                         "commands",
                         admins->item[i]);
    }
}

static void check_addresses(struct config_load *load)
{
    static const char *const address[2] = {"address4", "address6"};
    static const char *const advertise[2] = {"advertise4", "advertise6"};
    const struct config *config = &load->config;
    bool none[2];
    for (int i = 0; i < 2; i++) {
        none[i] = config->relay.address[i].mode == CONFIG_ADDR_NONE;
        if (none[i] && config->relay.advertise[i].mode == CONFIG_ADDR_SET)
            config_blame(load, false, config_row_find("relay", advertise[i]),
                         "an address is advertised but relay.%s is \"none\": expected an address "
                         "or \"auto\" there",
                         address[i]);
    }
    if (none[0] && none[1])
        config_blame(load, false, config_row_find("relay", "address4"),
                     "relay.address6 is \"none\" as well: expected an address in one family%s",
                     config->relay.policy == CONFIG_POLICY_RELAY_ONLY
                         ? " (relay.policy is \"relay-only\")"
                         : "");
}

static void check_ports(struct config_load *load)
{
    const struct config *config = &load->config;
    const struct config_row *ports = config_row_find("relay", "ports");
    unsigned count = (unsigned)config->relay.ports.max - config->relay.ports.min + 1;
    unsigned workers = config->relay.workers;
    if (workers > 1 && count < workers * CONFIG_PORTS_PER_WORKER)
        config_blame(load, false,
                     config_given(load, ports) ? ports : config_row_find("relay", "workers"),
                     "%u workers share %u ports: expected at least %d for each", workers, count,
                     CONFIG_PORTS_PER_WORKER);
    const struct config_row *shared = config_row_find("relay", "shared_port");
    if (config->relay.ice_ports == CONFIG_ICE_SHARED &&
        config->relay.shared_port >= config->relay.ports.min &&
        config->relay.shared_port <= config->relay.ports.max)
        config_blame(load, false, shared,
                     "port %u lies in relay.ports (%u-%u): expected a port outside",
                     config->relay.shared_port, config->relay.ports.min, config->relay.ports.max);
}

static void check_listen(struct config_load *load)
{
    static const struct addr loopback6 = {.ip = {[15] = 1}, .family = FAMILY_V6};
    const struct addr *listen = &load->config.stats.listen;
    bool loopback =
        listen->family == FAMILY_V4 ? listen->ip[0] == 127 : addr_equal_ip(listen, &loopback6);
    if (listen->family != FAMILY_NONE && !loopback)
        config_blame(load, true, config_row_find("stats", "listen"),
                     "whoever reaches this address can see who calls whom: expected loopback");
}

int config_check(struct config_load *load)
{
    check_required(load);
    check_domains(load);
    check_admins(load);
    check_addresses(load);
    check_ports(load);
    check_listen(load);
    int r = config_check_secret(load);
    if (r == 0)
        r = config_check_key(load);
    return r < 0 ? r : config_check_turn(load);
}

// ---- addresses in the end

static void check_reachable(const struct config *config, int i, struct config_errors *errors)
{
    char text[ADDR_TEXT_MAX];
    const struct addr *addr = &config->relay.advertise[i].addr;
    if (addr->family != FAMILY_NONE && addr_is_special(addr))
        config_errors_add(errors, true,
                          "relay.advertise%d: clients are told %s, which cannot be reached from "
                          "the Internet: expected the public address if callers are elsewhere",
                          i == 0 ? 4 : 6, addr_format_ip(addr, text));
}

int config_resolve_addresses(struct config *config,
                             int (*find)(enum family family, struct addr *ret_addr),
                             struct config_errors *errors)
{
    static const enum family family[2] = {FAMILY_V4, FAMILY_V6};
    bool any = false;
    int r = 0;
    for (int i = 0; i < 2; i++) {
        struct config_addr *address = &config->relay.address[i];
        struct config_addr *advertise = &config->relay.advertise[i];
        if (address->mode == CONFIG_ADDR_AUTO && find(family[i], &address->addr) < 0)
            address->addr = (struct addr){0};
        address->addr.port = 0;
        bool found = address->addr.family != FAMILY_NONE;
        any = any || found;
        if (advertise->mode != CONFIG_ADDR_SET)
            advertise->addr = address->addr;
        if (!found && advertise->mode == CONFIG_ADDR_SET) {
            config_errors_add(errors, false,
                              "relay.address%d = \"auto\": no address was found, but one is "
                              "advertised: expected the address of this machine",
                              i == 0 ? 4 : 6);
            r = -EINVAL;
        }
        check_reachable(config, i, errors);
    }
    if (config_check_turn_addresses(config, errors) < 0)
        r = -EINVAL;
    if (!any && r == 0) {
        config_errors_add(errors, false,
                          "relay.address4, relay.address6: this machine has no route "
                          "to the world: expected its address in one of them");
        r = -EINVAL;
    }
    return r;
}

unsigned config_workers(const struct config *config, unsigned cores)
{
    unsigned count = (unsigned)config->relay.ports.max - config->relay.ports.min + 1;
    unsigned most = count / CONFIG_PORTS_PER_WORKER;
    unsigned workers = config->relay.workers ? config->relay.workers : cores;
    if (workers > most)
        workers = most;
    return workers ? workers : 1;
}
