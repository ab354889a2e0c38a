// SPDX-License-Identifier: ISC
// What no single key of the configuration can tell: keys that are missing or contradict each other,
// the secret in its file, and the addresses in the end.
#include "config_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX   1024
#define SECRET_SHORT 16 // below, it can be guessed by whoever reaches the server's component port

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

// ---- the secret

static void blame_unreadable(struct config_load *load, const struct config_row *row,
                             const char *path, int error)
{
    struct stat st;
    const char *why = error == -EINVAL ? "not a regular file" : strerror(-error);
    if (stat(path, &st) == 0)
        config_blame(load, false, row,
                     "cannot be read: %s (%s belongs to uid %u, gid %u, mode %04o; this process "
                     "runs as uid %u, gid %u)",
                     why, path, (unsigned)st.st_uid, (unsigned)st.st_gid,
                     (unsigned)(st.st_mode & 07777), (unsigned)geteuid(), (unsigned)getegid());
    else
        config_blame(load, false, row,
                     "cannot be read: %s: %s (this process runs as uid %u, gid %u)", path, why,
                     (unsigned)geteuid(), (unsigned)getegid());
}

static void check_secret_mode(struct config_load *load, const struct config_row *row,
                              const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO))
        config_blame(load, true, row,
                     "%s is open to every user of this machine (mode %04o): "
                     "expected 0640 or less",
                     path, (unsigned)(st.st_mode & 07777));
}

// One line, with or without its end.
static int take_secret(struct config_load *load, const struct config_row *row, char *data,
                       size_t len)
{
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        data[--len] = '\0';
    if (len == 0) {
        config_blame(load, false, row, "the file is empty: expected the secret");
    } else if (strcspn(data, "\r\n") != len) { // a NUL byte ends the string early, too
        config_blame(load, false, row, "expected one line of text in the file");
    } else {
        load->config.xmpp.secret = strdup(data);
        if (!load->config.xmpp.secret)
            return -ENOMEM;
    }
    return 0;
}

static int read_secret(struct config_load *load, const struct config_row *row, const char *path)
{
    char *data = NULL;
    size_t len = 0;
    int r = config_read_whole(path, SECRET_MAX, &data, &len);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        blame_unreadable(load, row, path, r);
        return 0;
    }
    check_secret_mode(load, row, path);
    r = take_secret(load, row, data, len);
    explicit_bzero(data, len);
    free(data);
    return r;
}

// systemd's LoadCredential=component-secret:... puts it there.
static int read_credential(struct config_load *load, const struct config_row *row)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (!directory || directory[0] == '\0') {
        config_blame(load, false, row,
                     "expected this key, the file with the secret of the XMPP "
                     "server's component (or a systemd credential "
                     "component-secret)");
        return 0;
    }
    if (asprintf(&load->config.xmpp.secret_file, "%s/component-secret", directory) < 0) {
        load->config.xmpp.secret_file = NULL;
        return -ENOMEM;
    }
    return read_secret(load, row, load->config.xmpp.secret_file);
}

static int check_secret(struct config_load *load)
{
    const struct config_row *inline_row = config_row_find("xmpp", "secret");
    const struct config_row *file_row = config_row_find("xmpp", "secret_file");
    struct config *config = &load->config;
    bool in_file = config_given(load, file_row);
    bool in_place = config_given(load, inline_row);
    int r = 0;
    if (in_file && in_place) {
        config_blame(load, false, inline_row, "expected either this key or xmpp.secret_file");
        return 0;
    }
    if (in_file)
        r = config->xmpp.secret_file ? read_secret(load, file_row, config->xmpp.secret_file) : 0;
    else if (!in_place)
        r = read_credential(load, file_row);
    if (config->xmpp.secret && strlen(config->xmpp.secret) < SECRET_SHORT)
        config_blame(load, true, in_place ? inline_row : file_row,
                     "the secret is short: expected %d bytes or more", SECRET_SHORT);
    return r;
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
    check_addresses(load);
    check_ports(load);
    check_listen(load);
    return check_secret(load);
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
