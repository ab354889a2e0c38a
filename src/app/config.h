// SPDX-License-Identifier: ISC
// The configuration: one file in libconfig's syntax, read strictly. Every key is one row of the
// table in config_table.c; unknown keys, values out of bounds and keys that contradict each other
// are errors that say where they stand, what was expected and which known key is nearest. All
// errors of a file are collected, not only the first.
#pragma once

#include "base/addr.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/usec.h"
#include "platform/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_DEFAULT_PATH "/etc/jingle-relayd/jingle-relayd.conf"

struct config_list { // of texts; owned
    char **item;
    size_t count;
};

enum config_addr_mode {
    CONFIG_ADDR_NONE, // the family is not used
    CONFIG_ADDR_AUTO, // found by config_resolve_addresses()
    CONFIG_ADDR_SET,  // as the file says
};

struct config_addr {
    enum config_addr_mode mode;
    struct addr addr; // family NONE until it is known; port 0
};

struct config_port_list { // owned
    uint16_t *item;
    size_t count;
};

struct config_users { // name and password in turns; owned
    char **item;
    size_t count; // of items: twice the users
};

enum config_fastpath { CONFIG_FASTPATH_AUTO, CONFIG_FASTPATH_OFF, CONFIG_FASTPATH_ON };

enum config_ice_ports { CONFIG_ICE_DEDICATED, CONFIG_ICE_SHARED };

struct config_ports { // inclusive
    uint16_t min;
    uint16_t max;
};

enum config_policy {
    CONFIG_POLICY_FALLBACK,   // our candidate is added, with the lowest preference
    CONFIG_POLICY_RELAY_ONLY, // the peers' own candidates are removed
};

// A plain value that owns its texts and lists. Numbers for which 0 means "no limit" say so in the
// table.
struct config {
    struct {
        char *domain;
        char *server;
        unsigned port;
        char *secret;      // what the component authenticates with, wherever it was read from
        char *secret_file; // NULL when the secret stands in the configuration itself
        struct config_list served_domains;
        struct config_list admins; // bare JIDs
        struct config_list contact;
    } xmpp;
    struct {
        struct config_addr address[2];   // [0] IPv4, [1] IPv6: what ports are bound to
        struct config_addr advertise[2]; // what clients are told
        struct config_ports ports;
        enum config_ice_ports ice_ports;
        unsigned shared_port; // of ICE paths, with CONFIG_ICE_SHARED
        enum config_fastpath fastpath;
        enum config_policy policy;
        unsigned workers; // 0: as many as there are cores; see config_workers()
        struct prefix_list allow_peers;
        usec_t quarantine;
    } relay;
    struct {
        unsigned calls;
        unsigned calls_per_user;
        unsigned new_calls_per_minute;
        unsigned load;               // percent of a worker's time; 0: no limit
        uint64_t bandwidth;          // bit/s that are sent in all; 0: no limit
        uint64_t bandwidth_per_call; // bit/s in both directions together; 0: no limit
        unsigned stanza_candidates;
        usec_t proposal_timeout;
        usec_t ring_timeout;
        usec_t answer_timeout;
        usec_t media_timeout; // 0: never
        usec_t call_duration; // 0: no limit
        usec_t learning_window;
        unsigned allocations;          // over all workers; 0: no limit
        unsigned allocations_per_user; // 0: no limit
        unsigned connections;          // of TURN clients over TCP, TLS and DTLS, over all workers
        unsigned connections_per_address;
        unsigned stun_answers; // a second, to one prefix of strangers; 0: no limit
    } limits;
    struct {
        bool enabled;
        char *host;                        // that clients are told; NULL: the advertised addresses
        char *realm;                       // NULL: xmpp.domain
        struct config_port_list ports;     // UDP and TCP
        struct config_port_list tls_ports; // the same, and what is advertised for TLS and DTLS
        char *certificate, *key;           // PEM files; NULL: neither TLS nor DTLS
        struct config_list secret_files;
        bool secrets_by_systemd;    // the file was not named: it is systemd's credential
        struct config_list secrets; // what they hold, in their order
        char *users_file;
        struct config_users users;  // what it holds
        usec_t credential_lifetime; // of those that the component gives out
        usec_t expiry_grace;
        struct prefix_list proxies; // that send a PROXY header
        bool mobility;
        bool tcp_allocations;
        bool old_stun;
    } turn;
    struct {
        struct addr listen; // family NONE: off
        usec_t selftest;    // 0: none
    } stats;
    struct {
        char *socket; // a path, or "none"
    } control;
    struct {
        char *alternative; // a host; NULL: none
    } drain;
    struct {
        bool enabled;
        unsigned calls; // at once
        usec_t duration;
    } echo;
    struct {
        enum log_level level;
        enum log_target target;
        char *records; // a path, or "none"
    } log;
    struct {
        bool mask;
        char *key_file; // NULL: another key at every start
        char *key;      // what it holds, without line ends at the end; text or bytes; owned
        size_t key_len;
    } privacy;
};

struct config_error {
    char *text; // one line: "FILE:LINE: group.key = value: what was expected"
    bool warning;
};

// Zeroed memory is an empty list.
struct config_errors {
    struct config_error *item; // owned, in the order found
    size_t count;
    size_t warnings; // of count
    bool failed;     // memory ran out at some entry
};

void config_errors_add(struct config_errors *errors, bool warning, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void config_errors_log(const struct config_errors *errors); // each by its severity
void config_errors_free(struct config_errors *errors);

// Reads the file, what it includes and the secret. Returns 0 (there may be warnings), -EINVAL with
// at least one error in 'errors', or -ENOMEM. '*ret_config' is written only on success and is the
// caller's to config_free().
int config_load(const char *path, struct config *ret_config, struct config_errors *errors);
// The same from memory; 'name' stands for the file in errors. @include is refused.
int config_load_text(const char *name, const char *text, size_t len, struct config *ret_config,
                     struct config_errors *errors);
void config_free(struct config *config); // zeroed memory is fine

// Fills in what is 'auto' or 'same', so that afterwards address[] and advertise[] hold addresses or
// family NONE. 'find' gives the address from which this machine reaches the world in a family (see
// local_addr.h) or -errno. Warns about an advertised address that is not globally reachable.
// Returns 0, or -EINVAL with an error when no address is left or one is advertised without another
// behind it.
int config_resolve_addresses(struct config *config,
                             int (*find)(enum family family, struct addr *ret_addr),
                             struct config_errors *errors);

// How many workers to start on a machine with so many cores: no worker gets fewer than 16 ports.
unsigned config_workers(const struct config *config, unsigned cores);

// The values in force, in the file's own syntax; the secret is shown as "***".
void config_print(const struct config *config, struct buf *out);
