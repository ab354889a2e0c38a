// SPDX-License-Identifier: ISC
// A client's way through STUN and TURN, on each transport and address family: to the address that
// clients are told, and, where that fails, to the one that is bound.
#include "doctor.h"

#define PATIENCE (3 * USEC_PER_SEC)

// The daemon's own credential; without a daemon nobody answers anyway.
static void set_credential(const struct doctor *doctor, struct turn_probe *probe)
{
    const json_t *turn = json_object_get(doctor->facts, "turn");
    const char *username = ctl_string(turn, "username");

    probe->username = *username ? username : NULL;
    probe->password = ctl_string(turn, "password");
}

static void judge_refusal(struct doctor *doctor, const char *where, const char *why,
                          const struct turn_probe_result *result)
{
    doctor_find(doctor, DOCTOR_PROBLEM, "%s: %s", where, why);
    if (result->step == TURN_PROBE_HANDSHAKE)
        doctor_change(doctor,
                      "%s: turn.certificate and turn.key: see the finding on the "
                      "certificate",
                      doctor->path);
    else if (result->code == 486 || result->code == 508)
        doctor_change(doctor, "%s: limits.allocations, limits.load, relay.ports: the relay is full",
                      doctor->path);
    else if (result->step == TURN_PROBE_ECHO || result->step == TURN_PROBE_CHANNEL)
        doctor_change(
            doctor,
            "the packets of this machine to itself on UDP %u-%u are dropped: nft add rule "
            "inet filter input udp dport %u-%u accept",
            (unsigned)doctor->config.relay.ports.min, (unsigned)doctor->config.relay.ports.max,
            (unsigned)doctor->config.relay.ports.min, (unsigned)doctor->config.relay.ports.max);
    else
        doctor_change(doctor, "journalctl -u jingle-relayd says what the daemon listens on");
}

static void judge_outside(struct doctor *doctor, const struct turn_probe *probe, const char *where,
                          const char *why)
{
    const char *protocol = probe->transport == TURN_PROBE_UDP ? "udp" : "tcp";

    doctor_find(doctor, DOCTOR_WARNING,
                "%s: %s; at the address that is bound it works. A NAT that does not lead back from "
                "inside (hairpin) looks the same: try from outside",
                where, why);
    doctor_change(doctor, "in the NAT: pass %s %u on to this machine, and udp %u-%u", protocol,
                  (unsigned)probe->server.port, (unsigned)doctor->config.relay.ports.min,
                  (unsigned)doctor->config.relay.ports.max);
}

// As a client with this machine's list of authorities sees it.
static void judge_distrust(struct doctor *doctor, const char *where, const char *why)
{
    doctor_find(doctor, DOCTOR_WARNING, "%s: clients that check the certificate refuse it: %s",
                where, why);
    doctor_change(doctor,
                  "%s: turn.certificate: the whole chain (fullchain.pem, not cert.pem), from an "
                  "authority that clients know",
                  doctor->path);
}

void doctor_judge_echo(struct doctor *doctor, const struct turn_probe *probe,
                       const struct turn_probe_result *result,
                       const struct turn_probe_result *inside)
{
    char address[ADDR_TEXT_MAX], where[ADDR_TEXT_MAX + 16], why[2 * TURN_PROBE_REASON_MAX];

    snprintf(where, sizeof where, "%s %s", turn_probe_transport_name(probe->transport),
             addr_format(&probe->server, address));
    turn_probe_explain(result, why, sizeof why);
    if (result->step == TURN_PROBE_DONE)
        doctor_find(doctor, DOCTOR_OK, "%s: a packet through a relayed port came back in %.1f ms",
                    where, (double)result->round_trip / 1000);
    if (result->distrust[0])
        judge_distrust(doctor, where, result->distrust);
    if (result->step == TURN_PROBE_DONE)
        return;
    if (inside && inside->step == TURN_PROBE_DONE)
        judge_outside(doctor, probe, where, why);
    else
        judge_refusal(doctor, where, why, result);
}

static void try_one(struct doctor *doctor, unsigned i, enum turn_probe_transport transport,
                    unsigned port)
{
    const struct config *c = &doctor->config;
    const struct addr *bound = &c->relay.address[i].addr;
    struct turn_probe probe = {.server = c->relay.advertise[i].addr,
                               .transport = transport,
                               .name = c->turn.host,
                               .patience = PATIENCE};
    struct turn_probe_result result, inside;
    bool again;

    if (bound->family == FAMILY_NONE)
        return;
    set_credential(doctor, &probe);
    probe.server.port = (uint16_t)port;
    again = !turn_probe_run(&probe, &result) && !addr_equal_ip(bound, &probe.server);
    if (again) {
        struct turn_probe within = probe;

        within.server = *bound;
        within.server.port = (uint16_t)port;
        (void)turn_probe_run(&within, &inside);
    }
    doctor_judge_echo(doctor, &probe, &result, again ? &inside : NULL);
}

void doctor_check_echo(struct doctor *doctor)
{
    const struct config *c = &doctor->config;

    if (!doctor->facts || !c->turn.enabled) {
        doctor_find(doctor, DOCTOR_SKIPPED,
                    doctor->facts ? "turn.enabled = false: there is nothing "
                                    "that answers by itself"
                                  : "not without the daemon");
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        try_one(doctor, i, TURN_PROBE_UDP, c->turn.ports.item[0]);
        try_one(doctor, i, TURN_PROBE_TCP, c->turn.ports.item[0]);
        if (c->turn.certificate)
            try_one(doctor, i, TURN_PROBE_TLS, c->turn.tls_ports.item[0]);
    }
}
