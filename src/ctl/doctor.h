// SPDX-License-Identifier: ISC
// jingle-relayctl doctor: what is wrong with this relay, and the line to change.
//
// A check is one row of the table in doctor.c. It looks (at files, at the daemon's facts, at the
// network) and hands what it saw to a function that judges; those below named doctor_judge_* only
// judge, so that tests reach them without a machine that is broken.
#pragma once

#include "ctl.h"

#include "config.h"
#include "platform/turn_probe.h"

#include <sys/stat.h>
#include <sys/types.h>

// The XMPP server, as far as it is known; the lines for others are not told then.
enum doctor_server { DOCTOR_SERVER_UNKNOWN, DOCTOR_SERVER_PROSODY, DOCTOR_SERVER_EJABBERD };

enum doctor_level { DOCTOR_OK, DOCTOR_SKIPPED, DOCTOR_WARNING, DOCTOR_PROBLEM };

struct doctor_finding { // owned by its doctor
    const char *check;  // the row's name
    enum doctor_level level;
    char *text;   // what was found
    char *change; // the line to change, and where; NULL: nothing is
};

struct doctor {
    struct ctl *ctl;
    char *path;           // of the configuration
    struct config config; // all zero without one
    bool configured;      // it could be read, and has addresses
    json_t *facts;        // of the daemon; NULL: it does not run
    enum doctor_server server;
    const char *check; // the row that is being run
    struct doctor_finding *finding;
    size_t findings;
};

// A finding; later ones of the same row stand below it.
void doctor_find(struct doctor *doctor, enum doctor_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// What to change for the sake of the last finding; a line that begins with "Prosody: " or
// "ejabberd: " is for that server only.
void doctor_change(struct doctor *doctor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum doctor_level doctor_worst(const struct doctor *doctor);
void doctor_free(struct doctor *doctor); // what is in it

// How clients call this server: turn.host, or the advertised address; NULL: there is none.
const char *doctor_host(const struct doctor *doctor, char text[ADDR_TEXT_MAX]);

// ---- doctor_config.c: the file, what it names, addresses

void doctor_check_configuration(struct doctor *doctor);
void doctor_check_files(struct doctor *doctor);
void doctor_check_addresses(struct doctor *doctor);
struct doctor_user { // who the daemon is
    uid_t uid;
    gid_t gid;
    json_t *groups; // the others that it has; owned
    bool certain;   // it says so itself, so that it has none but these
};
// May this user read such a file?
bool doctor_may_read(const struct stat *st, const struct doctor_user *user);
// 'user': NULL if nobody knows. True: nothing was found.
bool doctor_judge_file(struct doctor *doctor, const char *key, const char *path,
                       const struct stat *st, const struct doctor_user *user, bool secret);
// 'here': the address is one of this machine's.
void doctor_judge_address(struct doctor *doctor, unsigned family, const struct addr *bound,
                          const struct addr *advertised, bool here);

// ---- doctor_link.c: the daemon, and the component's connection

void doctor_check_daemon(struct doctor *doctor);
// By the name that it gives itself, which whoever runs it may have made longer.
enum doctor_server doctor_server_named(const char *name);
// By the name that its process has ("beam.smp").
enum doctor_server doctor_server_process(const char *name);
void doctor_check_link(struct doctor *doctor);
// What the server said to the component's secret: "" (it was taken) or a stream error's name.
// 'error': -errno of the connection.
void doctor_judge_link(struct doctor *doctor, int error, const char *condition, bool daemon_runs);

// ---- doctor_server.c: what the XMPP server answers

void doctor_check_services(struct doctor *doctor);
void doctor_check_module(struct doctor *doctor);
void doctor_check_clock(struct doctor *doctor);
void doctor_judge_services(struct doctor *doctor, const char *domain, const json_t *answer);
void doctor_judge_module(struct doctor *doctor, const char *domain, const json_t *answer);
void doctor_judge_clock(struct doctor *doctor, const char *domain, const json_t *answer);

// ---- doctor_turn.c: a client's way through STUN and TURN

void doctor_check_echo(struct doctor *doctor);
// 'inside': of the same at the address that is bound; NULL: it is the same address.
void doctor_judge_echo(struct doctor *doctor, const struct turn_probe *probe,
                       const struct turn_probe_result *result,
                       const struct turn_probe_result *inside);

// ---- doctor_names.c: DNS and the certificate

void doctor_check_names(struct doctor *doctor);
void doctor_check_certificate(struct doctor *doctor);
#define DOCTOR_LOOKUP_MAX 8
struct doctor_lookup {
    struct addr addr[DOCTOR_LOOKUP_MAX];
    int count; // below zero, an EAI_ code: there is no answer
};
// 'dns': what DNS says; 'own': what this machine makes of the name (/etc/hosts comes first), looked
// at only if DNS has nothing.
void doctor_judge_lookup(struct doctor *doctor, const char *name, const struct doctor_lookup *dns,
                         const struct doctor_lookup *own);
void doctor_judge_name(struct doctor *doctor, const char *name, const struct addr *found,
                       unsigned count, const struct addr advertised[2]);
// A record of this service that clients look for leads to another host.
void doctor_judge_srv(struct doctor *doctor, const char *service, const char *target);

// ---- doctor_host.c: the machine

void doctor_check_buffers(struct doctor *doctor);
void doctor_check_descriptors(struct doctor *doctor);
void doctor_check_mtu(struct doctor *doctor);
void doctor_check_fastpath(struct doctor *doctor);
void doctor_check_ports(struct doctor *doctor);
void doctor_judge_buffer(struct doctor *doctor, const char *name, long value, long wanted);
void doctor_judge_descriptors(struct doctor *doctor, long long limit, long long needed);
void doctor_judge_mtu(struct doctor *doctor, unsigned family, int mtu);

// ---- doctor_firewall.c: the rules of this machine (nftables)

void doctor_check_firewall(struct doctor *doctor);
enum doctor_gate { DOCTOR_GATE_OPEN, DOCTOR_GATE_SHUT, DOCTOR_GATE_UNKNOWN };
// Would a stranger's first packet to this port come in? 'ruleset' is what "nft -j list ruleset"
// says, 'protocol' "udp" or "tcp".
enum doctor_gate doctor_gate(const json_t *ruleset, const char *protocol, unsigned port, bool ipv6);
