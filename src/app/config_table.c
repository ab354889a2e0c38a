// SPDX-License-Identifier: ISC
// The keys of the configuration file: one row each. A new key is a row here and its use; the sample
// file and the documents are checked against this table by tests/unit/test_config.c.
#include "config_table.h"

#include "config_kind.h"

#include <string.h>

static const struct config_word policies[] = {
    {"fallback", CONFIG_POLICY_FALLBACK},
    {"relay-only", CONFIG_POLICY_RELAY_ONLY},
    {NULL, 0},
};

static const struct config_word levels[] = {
    {"error", LOG_LEVEL_ERR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
    {"info", LOG_LEVEL_INFO}, {"debug", LOG_LEVEL_DEBUG},     {NULL, 0},
};

static const struct config_word targets[] = {
    {"auto", LOG_TARGET_AUTO},
    {"journal", LOG_TARGET_JOURNAL},
    {"stderr", LOG_TARGET_STDERR},
    {NULL, 0},
};

static const struct config_word bind_words[] = {
    {"auto", CONFIG_ADDR_AUTO},
    {"none", CONFIG_ADDR_NONE},
    {NULL, 0},
};

static const struct config_word advertise_words[] = {
    {"same", CONFIG_ADDR_AUTO},
    {NULL, 0},
};

#define KEY(g, n)        .group = #g, .name = #n, .offset = offsetof(struct config, g.n)
#define AT(g, n, member) .group = #g, .name = #n, .offset = offsetof(struct config, g.member)
#define MSEC(n)          ((n)*USEC_PER_MSEC)
#define SEC(n)           ((n)*USEC_PER_SEC)
#define HOUR(n)          SEC((n)*3600)

const struct config_row config_rows[] = {
    {KEY(xmpp, domain), .kind = &config_kind_domain, .required = true,
     .help = "The name under which the daemon joins the XMPP server as a component. Bob is called "
             "through it as bob\\40example.org@DOMAIN."},
    {KEY(xmpp, server), .kind = &config_kind_host, .fallback = "\"127.0.0.1\"",
     .help = "Where the XMPP server accepts components: a host name or an IP address."},
    {KEY(xmpp, port), .kind = &config_kind_uint, .min = 1, .max = 65535, .fallback = "5347",
     .help = "The server's port for components. The connection is not encrypted: keep it on this "
             "machine or on a private network."},
    {KEY(xmpp, secret_file), .kind = &config_kind_path,
     .absent = "component-secret in $CREDENTIALS_DIRECTORY",
     .help = "A file with the secret shared with the XMPP server. Without it, and without "
             "xmpp.secret, the credential component-secret that systemd loads is used."},
    {KEY(xmpp, secret), .kind = &config_kind_secret, .min = 1, .max = 1024, .absent = "not set",
     .help = "The secret itself. Discouraged: whoever reads the configuration knows it then. "
             "Excludes xmpp.secret_file."},
    {KEY(xmpp, served_domains), .kind = &config_kind_domain_list, .min = 1, .max = 1024,
     .required = true, .reload = true,
     .help = "Users of these domains may open calls; they may call anybody."},

    {AT(relay, address4, address[0]), .kind = &config_kind_addr4, .words = bind_words,
     .fallback = "\"auto\"",
     .help = "The IPv4 address of this machine on which relay ports are opened. \"auto\": the one "
             "from which the default route is used; \"none\": no IPv4."},
    {AT(relay, address6, address[1]), .kind = &config_kind_addr6, .words = bind_words,
     .fallback = "\"auto\"", .help = "The same for IPv6."},
    {AT(relay, advertise4, advertise[0]), .kind = &config_kind_addr4, .words = advertise_words,
     .fallback = "\"same\"",
     .help = "The IPv4 address that clients are told, where a 1:1 NAT stands before this machine. "
             "\"same\": relay.address4."},
    {AT(relay, advertise6, advertise[1]), .kind = &config_kind_addr6, .words = advertise_words,
     .fallback = "\"same\"", .help = "The same for IPv6."},
    {KEY(relay, ports), .kind = &config_kind_ports, .min = 1024, .max = 65535,
     .fallback = "\"50000-50999\"",
     .help = "The range of UDP ports for calls; the firewall must let it in. A call takes two "
             "ports per "
             "address family where all its media share one path, and two more for each further "
             "path."},
    {KEY(relay, policy), .kind = &config_kind_word, .words = policies, .fallback = "\"fallback\"",
     .reload = true,
     .help =
         "\"fallback\": the relay is one more candidate, with the lowest preference, and carries "
         "only what finds no other path. \"relay-only\": all media pass the relay and neither "
         "party learns the other's address."},
    {KEY(relay, workers), .kind = &config_kind_uint, .max = 256, .fallback = "0",
     .help = "Threads that forward packets. 0: one per core."},
    {KEY(relay, allow_peers), .kind = &config_kind_prefix_list, .max = 256, .fallback = "[ ]",
     .help = "Private and other special-purpose ranges that may be the destination of media all "
             "the same, for clients in the relay's own network."},
    {KEY(relay, quarantine), .kind = &config_kind_duration, .min = MSEC(1), .max = HOUR(1),
     .fallback = "\"10 s\"",
     .help = "A port that a call has given back is not used again for so long, so that late "
             "packets do not reach a stranger's call."},

    {KEY(limits, calls), .kind = &config_kind_uint, .max = 1000000, .fallback = "500",
     .reload = true, .help = "Most calls at a time. 0: no limit but the ports."},
    {KEY(limits, calls_per_user), .kind = &config_kind_uint, .max = 1000000, .fallback = "4",
     .reload = true,
     .help = "Most calls at a time that one user (bare JID) has opened. 0: no limit."},
    {KEY(limits, new_calls_per_minute), .kind = &config_kind_uint, .max = 1000000, .fallback = "10",
     .reload = true, .help = "Most calls that one user may open in a minute. 0: no limit."},
    {KEY(limits, bandwidth_per_call), .kind = &config_kind_bitrate, .max = UINT64_C(100000000000),
     .fallback = "\"none\"", .reload = true,
     .help = "Most that one call may send through the relay, both directions and all media "
             "together. What is more is dropped."},
    {KEY(limits, stanza_candidates), .kind = &config_kind_uint, .min = 1, .max = 1024,
     .fallback = "64", .reload = true,
     .help = "Most candidates in one stanza; a stanza with more is refused."},
    {KEY(limits, proposal_timeout), .kind = &config_kind_duration, .min = SEC(1), .max = HOUR(1),
     .fallback = "\"3 min\"", .reload = true,
     .help = "A call that was proposed (XEP-0353) but not begun is forgotten after so long."},
    {KEY(limits, ring_timeout), .kind = &config_kind_duration, .min = SEC(1), .max = HOUR(1),
     .fallback = "\"3 min\"", .reload = true,
     .help = "A call that nobody accepts is ended after so long."},
    {KEY(limits, answer_timeout), .kind = &config_kind_duration, .min = SEC(1), .max = SEC(300),
     .fallback = "\"15 s\"", .reload = true,
     .help = "A request that a client does not answer is answered in its stead after so long."},
    {KEY(limits, media_timeout), .kind = &config_kind_duration, .max = HOUR(24),
     .fallback = "\"1 min\"",
     .help = "A path that carried packets and then none for so long is closed."},
    {KEY(limits, call_duration), .kind = &config_kind_duration, .max = HOUR(720),
     .fallback = "\"none\"", .reload = true, .help = "The longest call."},
    {KEY(limits, learning_window), .kind = &config_kind_duration, .min = MSEC(100), .max = SEC(60),
     .fallback = "\"10 s\"",
     .help = "For transports without credentials (raw UDP): how long after the signalling the "
             "first sender of consistent RTP is taken for the client."},

    {KEY(stats, listen), .kind = &config_kind_listen, .fallback = "\"127.0.0.1:8791\"",
     .help = "Address and port of the read-only HTTP endpoint with figures, or \"off\". It asks "
             "nobody for a password: leave it on loopback."},

    {KEY(log, level), .kind = &config_kind_word, .words = levels, .fallback = "\"info\"",
     .reload = true, .help = "The least important records that are still written."},
    {KEY(log, target), .kind = &config_kind_word, .words = targets, .fallback = "\"auto\"",
     .help =
         "\"journal\", \"stderr\", or \"auto\": the journal when the daemon runs under systemd."},
};

const size_t config_row_count = sizeof(config_rows) / sizeof(config_rows[0]);

const struct config_row *config_row_find(const char *group, const char *name)
{
    for (size_t i = 0; i < config_row_count; i++)
        if (strcmp(config_rows[i].group, group) == 0 && strcmp(config_rows[i].name, name) == 0)
            return &config_rows[i];
    return NULL;
}

bool config_group_known(const char *group)
{
    for (size_t i = 0; i < config_row_count; i++)
        if (strcmp(config_rows[i].group, group) == 0)
            return true;
    return false;
}
