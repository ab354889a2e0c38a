// SPDX-License-Identifier: ISC
// The keys of 'turn' together: ports that collide, halves of a pair, files that cannot be read, and
// keys that nobody will look at because TURN is off.
#include "config_load.h"

#include "turn/credential.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEM_MAX   (1024 * 1024)
#define REALM_MAX 127 // RFC 8489 section 14.9: fewer than 128 characters

static const struct config_row *turn_row(const char *name)
{
    return config_row_find("turn", name);
}

static void check_unused(struct config_load *load)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        if (strcmp(row->group, "turn") == 0 && row != turn_row("enabled") &&
            config_given(load, row)) {
            config_blame(load, true, row,
                         "TURN is off, so that no key of this group has an effect: expected "
                         "turn.enabled = true as well");
            return;
        }
    }
}

// ---- ports

// Is there TLS? Else turn.tls_ports are not open.
static bool has_tls(const struct config *config)
{
    return config->turn.certificate && config->turn.key;
}

static void check_range(struct config_load *load, const char *name,
                        const struct config_port_list *list)
{
    const struct config_ports *range = &load->config.relay.ports;
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i] >= range->min && list->item[i] <= range->max)
            config_blame(load, false, turn_row(name),
                         "port %u lies in relay.ports (%u-%u): expected a port outside",
                         (unsigned)list->item[i], (unsigned)range->min, (unsigned)range->max);
}

static void check_ports(struct config_load *load)
{
    const struct config *config = &load->config;
    check_range(load, "ports", &config->turn.ports);
    if (!has_tls(config))
        return;
    check_range(load, "tls_ports", &config->turn.tls_ports);
    for (size_t i = 0; i < config->turn.tls_ports.count; i++) {
        unsigned port = config->turn.tls_ports.item[i];
        if (config_port_listed(&config->turn.ports, port))
            config_blame(load, false, turn_row("tls_ports"),
                         "port %u stands in turn.ports as well: expected another (on all of them "
                         "TURN is served with and without TLS)",
                         port);
    }
}

// ---- files

static int check_pem(struct config_load *load, const char *name, const char *path, bool secret)
{
    char *data = NULL;
    size_t len = 0;
    int r = config_read_named(load, turn_row(name), path, PEM_MAX, secret, &data, &len);
    config_wipe(data, len);
    return r;
}

static int check_tls(struct config_load *load)
{
    const struct config *config = &load->config;
    const char *certificate = config->turn.certificate;
    const char *key = config->turn.key;
    if (certificate && !config_given(load, turn_row("key")))
        config_blame(load, false, turn_row("certificate"),
                     "turn.key is missing: expected both or none");
    if (key && !config_given(load, turn_row("certificate")))
        config_blame(load, false, turn_row("key"),
                     "turn.certificate is missing: expected both or none");
    int r = certificate ? check_pem(load, "certificate", certificate, false) : 0;
    return r == 0 && key ? check_pem(load, "key", key, true) : r;
}

// systemd's credential turn-secret, if it is there, stands in for an empty list.
static int add_credential(struct config *config)
{
    struct config_list *files = &config->turn.secret_files;
    char *path = NULL;
    int r = config_credential_path("turn-secret", &path);
    if (!path || access(path, F_OK) < 0) {
        free(path);
        return r;
    }
    char **item = calloc(1, sizeof(*item));
    if (!item) {
        free(path);
        return -ENOMEM;
    }
    item[0] = path;
    free(files->item);
    *files = (struct config_list){item, 1};
    config->turn.secrets_by_systemd = true;
    return 0;
}

static int read_secrets(struct config_load *load)
{
    struct config_list *files = &load->config.turn.secret_files;
    struct config_list *secrets = &load->config.turn.secrets;
    int r = files->count == 0 ? add_credential(&load->config) : 0;
    if (r < 0 || files->count == 0)
        return r;
    secrets->item = calloc(files->count, sizeof(char *));
    if (!secrets->item)
        return -ENOMEM;
    for (size_t i = 0; i < files->count && r == 0; i++) {
        char *secret = NULL;
        r = config_read_secret(load, turn_row("secret_files"), files->item[i], &secret);
        if (secret && strlen(secret) < TURN_SECRET_MIN)
            config_blame(load, false, turn_row("secret_files"),
                         "the secret in %s is short: expected %d bytes or more, such as "
                         "\"openssl rand -hex 32\" prints",
                         files->item[i], TURN_SECRET_MIN);
        if (secret)
            secrets->item[secrets->count++] = secret;
    }
    return r;
}

// ---- all

static void check_realm(struct config_load *load)
{
    const struct config *config = &load->config;
    if (!config->turn.realm && config->xmpp.domain && strlen(config->xmpp.domain) > REALM_MAX)
        config_blame(load, false, turn_row("realm"),
                     "xmpp.domain has more than %d bytes: expected this key", REALM_MAX);
}

int config_check_turn(struct config_load *load)
{
    if (!load->config.turn.enabled) {
        check_unused(load);
        return 0;
    }
    check_ports(load);
    check_realm(load);
    int r = check_tls(load);
    if (r == 0)
        r = read_secrets(load);
    return r == 0 ? config_check_users(load) : r;
}

// ---- addresses in the end

static bool is_wildcard(const struct addr *addr)
{
    static const uint8_t zero[16];
    return memcmp(addr->ip, zero, sizeof(zero)) == 0;
}

static int check_stats(const struct config *config, const struct addr *local,
                       struct config_errors *errors)
{
    const struct addr *listen = &config->stats.listen;
    char text[ADDR_TEXT_MAX];
    bool tls = has_tls(config) && config_port_listed(&config->turn.tls_ports, listen->port);
    if (listen->family == FAMILY_NONE || local->family == FAMILY_NONE ||
        !(tls || config_port_listed(&config->turn.ports, listen->port)) ||
        !(is_wildcard(listen) || addr_equal_ip(listen, local)))
        return 0;
    config_errors_add(errors, false,
                      "stats.listen = \"%s\": turn.%s has this port on the same address: expected "
                      "another",
                      addr_format(listen, text), tls ? "tls_ports" : "ports");
    return -EINVAL;
}

static void check_told(const struct config *config, enum family family,
                       struct config_errors *errors)
{
    struct addr literal;
    char text[ADDR_TEXT_MAX];
    const char *host = config->turn.host;
    const struct addr *addr = &config->relay.advertise[family == FAMILY_V4 ? 0 : 1].addr;
    if (host && (addr_parse_ip(host, 0, &literal) < 0 || literal.family != family))
        return;
    if (host)
        addr = &literal;
    if (addr->family != FAMILY_NONE && addr_is_special(addr))
        config_errors_add(errors, true,
                          "turn.host: clients are told that the TURN server is %s, which cannot be "
                          "reached from the Internet: expected its public name or address",
                          addr_format_ip(addr, text));
}

int config_check_turn_addresses(const struct config *config, struct config_errors *errors)
{
    int r = 0;
    if (!config->turn.enabled)
        return 0;
    for (int i = 0; i < 2 && r == 0; i++)
        r = check_stats(config, &config->relay.address[i].addr, errors);
    check_told(config, FAMILY_V4, errors);
    check_told(config, FAMILY_V6, errors);
    if (!config->turn.host && has_tls(config))
        config_errors_add(errors, true,
                          "turn.host: clients are told an address, but verify the certificate's "
                          "name: expected the name in the certificate");
    return r;
}
