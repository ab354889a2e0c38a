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

static const struct config_word ice_ports[] = {
    {"shared", CONFIG_ICE_SHARED},
    {"dedicated", CONFIG_ICE_DEDICATED},
    {NULL, 0},
};

static const struct config_word fastpaths[] = {
    {"auto", CONFIG_FASTPATH_AUTO},
    {"off", CONFIG_FASTPATH_OFF},
    {"on", CONFIG_FASTPATH_ON},
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
     .absent = "component-secret beside this file",
     .help = "A file with the secret shared with the XMPP server. Without it, and without "
             "xmpp.secret, the credential component-secret that systemd loads is used, or else "
             "the file component-secret in the directory of this configuration."},
    {KEY(xmpp, secret), .kind = &config_kind_secret, .min = 1, .max = 1024, .absent = "not set",
     .help = "The secret itself. Discouraged: whoever reads the configuration knows it then. "
             "Excludes xmpp.secret_file."},
    {KEY(xmpp, served_domains), .kind = &config_kind_domain_list, .min = 1, .max = 1024,
     .required = true, .reload = true,
     .help = "Users of these domains may open calls; they may call anybody."},
    {KEY(xmpp, admins), .kind = &config_kind_user_list, .max = 64, .fallback = "[ ]",
     .reload = true,
     .help = "Users, of served domains, who may give the daemon commands out of their clients "
             "(XEP-0050): what jingle-relayctl can do, but for secrets."},
    {KEY(xmpp, contact), .kind = &config_kind_uri_list, .max = 16, .fallback = "[ ]",
     .reload = true,
     .help = "Where the operator is reached; told to everybody who asks (XEP-0157)."},

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
     .help = "The range of UDP ports for calls without ICE, for TURN's allocations, and with "
             "relay.ice_ports = \"dedicated\" for all calls; the firewall must let it in. A call "
             "takes two ports per address family where all its media share one path, and two more "
             "for each further path."},
    {KEY(relay, ice_ports), .kind = &config_kind_word, .words = ice_ports,
     .fallback = "\"dedicated\"",
     .help = "\"shared\": the media of all calls over ICE, which is nearly all, pass one UDP port, "
             "relay.shared_port, and one thread. \"dedicated\": ports out of relay.ports for each "
             "call, which are spread over all threads. Calls without ICE, Google's dialects and "
             "TURN's allocations have ports of their own in any case."},
    {KEY(relay, shared_port), .kind = &config_kind_uint, .min = 1, .max = 65535, .fallback = "3478",
     .help =
         "The UDP port with relay.ice_ports = \"shared\". It may be one of turn.ports; STUN and "
         "TURN "
         "are served there as well then. If another program has it, calls get ports of their own."},
    {KEY(relay, fastpath), .kind = &config_kind_word, .words = fastpaths, .fallback = "\"auto\"",
     .help =
         "Let the kernel forward established flows (eBPF, Linux 6.6, CAP_BPF and CAP_NET_ADMIN). "
         "\"auto\": where it can; \"on\": the same, with a warning where it cannot; \"off\": "
         "never. Without it the daemon forwards everything itself."},
    {KEY(relay, policy), .kind = &config_kind_word, .words = policies, .fallback = "\"fallback\"",
     .reload = true,
     .help =
         "\"fallback\": the relay is one more candidate, with the lowest preference, and carries "
         "only what finds no other path. \"relay-only\": all media pass the relay and neither "
         "party learns the other's address."},
    {KEY(relay, workers), .kind = &config_kind_uint, .max = 256, .fallback = "0",
     .help = "Threads that forward packets. 0: one per core."},
    {KEY(relay, allow_peers), .kind = &config_kind_prefix_list, .max = 256, .fallback = "[ ]",
     .reload = true,
     .help = "Private and other special-purpose ranges that may be the destination of media all "
             "the same, for clients in the relay's own network."},
    {KEY(relay, quarantine), .kind = &config_kind_duration, .min = MSEC(1), .max = HOUR(1),
     .fallback = "\"10 s\"", .reload = true,
     .help = "A port that a call has given back is not used again for so long, so that late "
             "packets do not reach a stranger's call."},

    {KEY(limits, calls), .kind = &config_kind_uint, .max = 1000000, .fallback = "500",
     .reload = true, .help = "Most calls at a time. 0: no limit but the ports."},
    {KEY(limits, calls_per_user), .kind = &config_kind_uint, .max = 1000000, .fallback = "4",
     .reload = true,
     .help = "Most calls at a time that one user (bare JID) has opened. 0: no limit."},
    {KEY(limits, new_calls_per_minute), .kind = &config_kind_uint, .max = 1000000, .fallback = "10",
     .reload = true, .help = "Most calls that one user may open in a minute. 0: no limit."},
    {KEY(limits, load), .kind = &config_kind_uint, .max = 100, .fallback = "80", .reload = true,
     .help =
         "How busy the busiest worker may be, or a core with what the kernel forwards, in percent "
         "of its time. Beyond it new calls and TURN allocations are refused, so that those that "
         "run keep their quality. 0: no limit."},
    {KEY(limits, bandwidth), .kind = &config_kind_bitrate, .max = UINT64_C(10000000000000),
     .fallback = "\"none\"", .reload = true,
     .help =
         "How much the relay may send in all before new calls and TURN allocations are refused; "
         "those that run are not held to it. What counts is payload: headers of IP and UDP, a "
         "sixth more for telephony, come on top."},
    {KEY(limits, bandwidth_per_call), .kind = &config_kind_bitrate, .max = UINT64_C(100000000000),
     .fallback = "\"none\"", .reload = true,
     .help = "Most that one call, or one TURN allocation, may send through the relay, both "
             "directions and all media together. What is more is dropped; TCP connections to "
             "peers wait, and may send so much on each worker."},
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
     .fallback = "\"1 min\"", .reload = true,
     .help = "A path that carried packets and then none for so long is closed."},
    {KEY(limits, call_duration), .kind = &config_kind_duration, .max = HOUR(720),
     .fallback = "\"none\"", .reload = true, .help = "The longest call."},
    {KEY(limits, learning_window), .kind = &config_kind_duration, .min = MSEC(100), .max = SEC(60),
     .fallback = "\"10 s\"", .reload = true,
     .help = "For transports without credentials: how long after the signalling the first sender "
             "of consistent RTP (raw UDP), or of checks under the right names (Google's), is taken "
             "for the client."},
    {KEY(limits, allocations), .kind = &config_kind_uint, .max = 1000000, .fallback = "5000",
     .reload = true, .help = "Most TURN allocations at a time. 0: no limit but the ports."},
    {KEY(limits, allocations_per_user), .kind = &config_kind_uint, .max = 1000000, .fallback = "40",
     .reload = true,
     .help = "Most TURN allocations at a time of one user (bare JID). A client makes one per media "
             "stream, component, transport and address family that it tries: 6 to 12 for a call "
             "whose media are bundled, 24 for audio and video that are not. 0: no limit."},
    {KEY(limits, connections), .kind = &config_kind_uint, .min = 1, .max = 1000000,
     .fallback = "2000", .reload = true,
     .help = "Most connections of TURN clients over TCP and TLS at a time, and as many over DTLS, "
             "in equal parts for each worker."},
    {KEY(limits, connections_per_address), .kind = &config_kind_uint, .min = 1, .max = 1000000,
     .fallback = "50", .reload = true,
     .help = "Most of them from one IPv4 address or one IPv6 /64, behind which there may be many "
             "users. Each worker counts by itself."},
    {KEY(limits, stun_answers), .kind = &config_kind_uint, .max = 1000000, .fallback = "100",
     .reload = true,
     .help = "Answers in a second that are longer than their request, over UDP, to all strangers "
             "in one IPv4 /24 or IPv6 /56; whoever forges their addresses gets no more sent to "
             "them. 0: no limit."},

    {KEY(turn, enabled), .kind = &config_kind_bool, .fallback = "false",
     .help = "Serve STUN and TURN (RFC 8489, 8656) on the addresses of relay.address4 and "
             "relay.address6. Every other key of this group may be left as it is."},
    {KEY(turn, host), .kind = &config_kind_host, .absent = "the advertised addresses",
     .reload = true,
     .help = "The host name (or address) of this server that clients are told. The certificate "
             "must be for this name."},
    {KEY(turn, ports), .kind = &config_kind_port_list, .min = 1, .max = 8, .fallback = "[ 3478 ]",
     .reload = true,
     .help = "Ports on which TURN is served over UDP and TCP, and over TLS and DTLS as well when "
             "there is a certificate. Clients are told the first."},
    {KEY(turn, tls_ports), .kind = &config_kind_port_list, .min = 1, .max = 8,
     .fallback = "[ 5349 ]", .reload = true,
     .help = "The same, open only when there is a certificate. The first is what clients are told "
             "for TLS."},
    {KEY(turn, certificate), .kind = &config_kind_path, .absent = "neither TLS nor DTLS",
     .reload = true,
     .help = "A PEM file: the server's certificate, then those that lead to its root. It is read "
             "again whenever it is replaced."},
    {KEY(turn, key), .kind = &config_kind_path, .absent = "neither TLS nor DTLS", .reload = true,
     .help = "A PEM file: the certificate's private key, without a passphrase."},
    {KEY(turn, secret_files), .kind = &config_kind_path_list, .max = 8, .fallback = "[ ]",
     .reload = true,
     .help = "Files with the secrets (TURN REST) shared with whoever gives out credentials: the "
             "XMPP server's own module. Each is one line of at least 16 bytes. Credentials that "
             "the daemon itself gives out are made with the first; all are accepted, so that a "
             "new one can be put in front. Empty: the credential turn-secret that systemd loads, "
             "or else a secret made at start, known to nobody but the daemon."},
    {KEY(turn, users_file), .kind = &config_kind_path, .absent = "no such users", .reload = true,
     .help = "A file with a line NAME:PASSWORD for each user whose client has a settings page "
             "only. Lines that begin with # are comments."},
    {KEY(turn, realm), .kind = &config_kind_realm, .min = 1, .max = 127, .absent = "xmpp.domain",
     .reload = true, .help = "The realm of the credentials."},
    {KEY(turn, credential_lifetime), .kind = &config_kind_duration, .min = SEC(600),
     .max = HOUR(720), .fallback = "\"12 h\"", .reload = true,
     .help = "How long a credential is good that the daemon gives out."},
    {KEY(turn, expiry_grace), .kind = &config_kind_duration, .max = HOUR(168),
     .fallback = "\"12 h\"", .reload = true,
     .help = "An allocation may be refreshed with its credential so long after that expired: a "
             "call that begins in the last minute of a credential gets as much time as one that "
             "begins in the first. It makes no new allocation."},
    {KEY(turn, proxies), .kind = &config_kind_prefix_list, .max = 256, .fallback = "[ ]",
     .reload = true,
     .help = "Load balancers in front of the TCP ports. From these addresses a PROXY header "
             "(version 1 or 2) is required, from all others it is refused."},
    {KEY(turn, mobility), .kind = &config_kind_bool, .fallback = "true", .reload = true,
     .help = "A client may take its allocation along to another network (RFC 8016)."},
    {KEY(turn, tcp_allocations), .kind = &config_kind_bool, .fallback = "false", .reload = true,
     .help = "Relay TCP connections to peers (RFC 6062) as well. Calls do not need it."},
    {KEY(turn, old_stun), .kind = &config_kind_bool, .fallback = "true", .reload = true,
     .help = "Answer Binding requests without magic cookie (RFC 3489), as clients of the Google "
             "dialect (libjingle, Gabble, FreeSWITCH) send them. An answer is no longer than one "
             "of today's STUN, and falls under limits.stun_answers as well."},

    {KEY(stats, listen), .kind = &config_kind_listen, .fallback = "\"127.0.0.1:8791\"",
     .help = "Address and port of the read-only HTTP endpoint with figures, or \"off\". It asks "
             "nobody for a password: leave it on loopback."},
    {KEY(stats, selftest), .kind = &config_kind_duration, .max = HOUR(720),
     .fallback = "\"10 min\"", .reload = true,
     .help =
         "How often the daemon tests itself: a packet through a relayed port and back, what the "
         "XMPP server tells its users, the certificate. Not more often than every 10 minutes, "
         "and not while it is busy; \"none\": never. What is found is in the log, on the live "
         "page and in the metrics."},

    {KEY(control, socket), .kind = &config_kind_socket,
     .fallback = "\"/run/jingle-relayd/control\"",
     .help =
         "The unix socket of jingle-relayctl(8), for its owner and his group. \"none\": there is "
         "none. A daemon that cannot open it says so and runs without."},

    {KEY(drain, alternative), .kind = &config_kind_host, .absent = "clients are told nothing",
     .reload = true,
     .help = "While the relay is drained clients are told this STUN and TURN server (XEP-0215) "
             "instead: a host with the same ports and the same secret (turn.secret_files)."},

    {KEY(echo, enabled), .kind = &config_kind_bool, .fallback = "true",
     .help =
         "Users of the served domains may call echo@DOMAIN, which returns what it hears: a test "
         "of their network from any client."},
    {KEY(echo, calls), .kind = &config_kind_uint, .min = 1, .max = 1000, .fallback = "10",
     .help = "Most calls to it at the same time."},
    {KEY(echo, duration), .kind = &config_kind_duration, .min = SEC(1), .max = HOUR(1),
     .fallback = "\"2 min\"", .help = "How long such a call may last."},

    {KEY(log, level), .kind = &config_kind_word, .words = levels, .fallback = "\"info\"",
     .reload = true, .help = "The least important records that are still written."},
    {KEY(log, target), .kind = &config_kind_word, .words = targets, .fallback = "\"auto\"",
     .help =
         "\"journal\", \"stderr\", or \"auto\": the journal when the daemon runs under systemd."},
    {KEY(log, records), .kind = &config_kind_file, .fallback = "\"none\"", .reload = true,
     .help = "A file to which a line of JSON is added for each call and each TURN allocation that "
             "is over. It is opened again whenever the configuration is. \"none\": there is none."},

    {KEY(privacy, mask), .kind = &config_kind_bool, .fallback = "false", .reload = true,
     .help =
         "Show no user's name and address in logs, records, figures and answers: each becomes a "
         "short text, always the same for the same. Domains, and what kind of address it is, "
         "stay."},
    {KEY(privacy, key_file), .kind = &config_kind_path, .absent = "another key at every start",
     .help = "A file with the key of these texts, at least 16 bytes, so that those of several days "
             "fit together. Whoever has it can find out who is meant."},
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
