// SPDX-License-Identifier: ISC
// What the XMPP server answers when the component asks it: the STUN and TURN services that it tells
// users (XEP-0215), the time (XEP-0202); and whether its module for diverted calls is there.
#include "doctor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CLOCK_TOLERANCE 300 // seconds; credentials live longer, but so may be the error
#define TRY_PATIENCE    (3 * USEC_PER_SEC)

static const json_t *answers(struct doctor *doctor)
{
    const json_t *server = json_object_get(doctor->facts, "server");

    if (!doctor->facts) {
        doctor_find(doctor, DOCTOR_SKIPPED, "not without the daemon");
    } else if (!ctl_true(doctor->facts, "connected")) {
        doctor_find(doctor, DOCTOR_SKIPPED, "not without the connection to the XMPP server");
        server = NULL;
    }
    return server;
}

static void each_domain(struct doctor *doctor,
                        void (*judge)(struct doctor *doctor, const char *domain,
                                      const json_t *answer))
{
    const json_t *all = answers(doctor);
    const struct config_list *served = &doctor->config.xmpp.served_domains;

    for (size_t i = 0; all && i < served->count; i++) {
        const json_t *answer = json_object_get(all, served->item[i]);

        if (answer)
            judge(doctor, served->item[i], answer);
    }
}

// ---- services

static bool needs_credential(const char *type)
{
    return strcmp(type, "turn") == 0 || strcmp(type, "turns") == 0;
}

static void tell_bare(struct doctor *doctor, const char *domain, const json_t *service)
{
    const char *type = ctl_string(service, "type");

    doctor_find(doctor, DOCTOR_PROBLEM,
                "%s tells its users %s:%s port %s without username and password: browsers refuse "
                "all servers of the list then",
                domain, type, ctl_string(service, "host"), ctl_string(service, "port"));
    if (strcmp(type, "turns") == 0)
        doctor_change(doctor,
                      "Prosody: without turn_external_tls_port; instead external_services = { { "
                      "type = \"turns\"; transport = \"tcp\"; host = \"%s\"; port = %s; secret = "
                      "\"the text in turn-secret\"; ttl = 86400; } }\n"
                      "ejabberd: mod_stun_disco: secret: \"the text in turn-secret\", and at this "
                      "service no restricted: false",
                      ctl_string(service, "host"), ctl_string(service, "port"));
    else
        doctor_change(doctor, "Prosody: turn_external_secret = \"the text in turn-secret\"\n"
                              "ejabberd: mod_stun_disco: secret: \"the text in turn-secret\", "
                              "and at this service no restricted: false");
}

static bool is_ours(const struct doctor *doctor, const char *host)
{
    char text[ADDR_TEXT_MAX];

    for (unsigned i = 0; i < 2; i++) {
        const struct addr *addr = &doctor->config.relay.advertise[i].addr;

        if (addr->family != FAMILY_NONE && strcmp(addr_format_ip(addr, text), host) == 0)
            return true;
    }
    return doctor->config.turn.host && strcasecmp(doctor->config.turn.host, host) == 0;
}

static bool has_port(const struct config_port_list *list, unsigned port)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->item[i] == port)
            return true;
    }
    return false;
}

// The credential that the server gives its users, tried where they would.
static bool judge_credential(struct doctor *doctor, const char *domain, const json_t *service)
{
    const struct addr *bound = &doctor->config.relay.address[0].addr;
    struct turn_probe probe = {.username = ctl_string(service, "username"),
                               .password = ctl_string(service, "password"),
                               .patience = TRY_PATIENCE};
    struct turn_probe_result result;

    probe.server = bound->family != FAMILY_NONE ? *bound : doctor->config.relay.address[1].addr;
    probe.server.port = doctor->config.turn.ports.item[0];
    if (turn_probe_run(&probe, &result) || result.step != TURN_PROBE_ALLOCATE || result.code != 401)
        return true; // anything else is the echo's business
    doctor_find(doctor, DOCTOR_PROBLEM,
                "wrong TURN secret: the credential that %s gives its users is refused by this "
                "server (401)",
                domain);
    doctor_change(doctor,
                  "systemctl edit jingle-relayd: [Service] "
                  "LoadCredential=turn-secret:/etc/jingle-relayd/turn-secret, then systemctl "
                  "restart jingle-relayd; without systemd, in the group turn of %s: "
                  "secret_files = [ \"/etc/jingle-relayd/turn-secret\" ];\n"
                  "Prosody: turn_external_secret = \"the text in that file\" (and each secret in "
                  "external_services)\n"
                  "ejabberd: mod_stun_disco: secret: \"the text in that file\"",
                  doctor->path);
    return false;
}

static bool judge_service(struct doctor *doctor, const char *domain, const json_t *service,
                          bool *tried)
{
    const char *type = ctl_string(service, "type"), *host = ctl_string(service, "host");
    unsigned port = (unsigned)strtoul(ctl_string(service, "port"), NULL, 10);
    const struct config *c = &doctor->config;
    char text[ADDR_TEXT_MAX];
    const char *own = doctor_host(doctor, text);

    if (needs_credential(type) && !*ctl_string(service, "username")) {
        tell_bare(doctor, domain, service);
        return false;
    }
    if (!is_ours(doctor, host)) {
        doctor_find(doctor, DOCTOR_WARNING,
                    "%s tells its users %s:%s, which is not this server: %s", domain, type, host,
                    c->turn.host ? c->turn.host : "turn.host is not set");
        doctor_change(doctor,
                      "if it is meant to be this one: %s: turn.host = \"%s\"; or else\n"
                      "Prosody: turn_external_host = \"%s\"\n"
                      "ejabberd: mod_stun_disco: services: - {host: %s, ...}",
                      doctor->path, host, own, own);
        return false;
    }
    if (port && c->turn.enabled && !has_port(&c->turn.ports, port) &&
        !has_port(&c->turn.tls_ports, port)) {
        doctor_find(doctor, DOCTOR_PROBLEM, "%s tells its users %s:%s port %u, which is not open",
                    domain, type, host, port);
        doctor_change(doctor,
                      "%s: turn.ports or turn.tls_ports with %u; or the port in the XMPP "
                      "server's configuration",
                      doctor->path, port);
        return false;
    }
    if (!needs_credential(type) || *tried || !doctor->facts || !c->turn.enabled)
        return true;
    *tried = true;
    return judge_credential(doctor, domain, service);
}

// ejabberd answers so to everybody where the rule that it asks is missing.
static void judge_forbidden(struct doctor *doctor, const char *domain)
{
    const char *own = doctor->config.xmpp.domain;

    if (doctor->server == DOCTOR_SERVER_EJABBERD)
        doctor_find(doctor, DOCTOR_WARNING,
                    "%s forbids us to ask for its STUN and TURN servers: either only us, and what "
                    "it tells its users cannot be checked, or, without \"acl: local\", them too",
                    domain);
    else
        doctor_find(doctor, DOCTOR_WARNING,
                    "%s tells its users of STUN and TURN, but not this program: what it says "
                    "cannot be checked",
                    domain);
    doctor_change(doctor,
                  "Prosody: external_service_access = { \"%s\", \"%s\" } (users, and us)\n"
                  "ejabberd: acl: {local: {user_regexp: \"\"}, relay: {server: %s}}; access_rules: "
                  "{local: {allow: local}, services: [{allow: local}, {allow: relay}]}; modules: "
                  "mod_stun_disco: {access: services}",
                  domain, own, own);
}

// That it has ended nobody would tell: to us the server answers the same before and after.
static void judge_delegated(struct doctor *doctor, const char *domain)
{
    if (doctor->config.turn.enabled) {
        doctor_find(doctor, DOCTOR_OK,
                    "%s hands its users' question to us (XEP-0355): it said so since we joined",
                    domain);
        return;
    }
    doctor_find(doctor, DOCTOR_WARNING,
                "%s hands its users' question for STUN and TURN to us (XEP-0355), but TURN is off: "
                "they get an error",
                domain);
    doctor_change(doctor,
                  "%s: turn.enabled = true; or else\n"
                  "Prosody: remove \"urn:xmpp:extdisco:2\" from delegations\n"
                  "ejabberd: remove \"urn:xmpp:extdisco:2\" from mod_delegation",
                  doctor->path);
}

static void judge_error(struct doctor *doctor, const char *domain, const char *error)
{
    const char *own = doctor->config.xmpp.domain;

    if (strcmp(error, "forbidden") == 0) {
        judge_forbidden(doctor, domain);
        return;
    }
    doctor_find(doctor, doctor->config.turn.enabled ? DOCTOR_WARNING : DOCTOR_OK,
                "%s tells its users of no STUN or TURN server (%s)", domain, error);
    if (doctor->config.turn.enabled)
        doctor_change(
            doctor,
            "Prosody: VirtualHost \"%s\"  modules_enabled = { \"delegation\" }  "
            "delegations = { [\"urn:xmpp:extdisco:2\"] = { jid = \"%s\" } }; and below "
            "Component \"%s\"  modules_enabled = { \"delegation\" }\n"
            "ejabberd: acl: {relay: {server: %s}}; access_rules: {relay: {allow: relay}}; "
            "modules: {mod_delegation: {namespaces: {\"urn:xmpp:extdisco:2\": {access: "
            "relay}}}}, without mod_stun_disco",
            domain, own, own, own);
}

// ejabberd says so to whom mod_stun_disco's access leaves out, and without that module, too.
static void judge_empty(struct doctor *doctor, const char *domain)
{
    const char *own = doctor->config.xmpp.domain;

    doctor_find(doctor, DOCTOR_WARNING,
                "%s tells us an empty list of STUN and TURN servers: either its users get one, "
                "which cannot be checked, or they get none",
                domain);
    doctor_change(doctor,
                  "ejabberd: with mod_stun_disco, access for us: acl: {local: {user_regexp: \"\"}, "
                  "relay: {server: %s}}; "
                  "access_rules: {services: [{allow: local}, {allow: relay}]}; modules: "
                  "mod_stun_disco: {access: services}\n"
                  "ejabberd: without it: the same acl; access_rules: {relay: {allow: relay}}; "
                  "modules: {mod_delegation: {namespaces: {\"urn:xmpp:extdisco:2\": {access: "
                  "relay}}}}",
                  own);
}

void doctor_judge_services(struct doctor *doctor, const char *domain, const json_t *answer)
{
    const json_t *services = json_object_get(answer, "services");
    const char *error = ctl_string(answer, "services_error");
    bool ok = true, tried = false;

    if (json_array_size(services) == 0 && ctl_true(answer, "delegated")) {
        judge_delegated(doctor, domain);
        return;
    }
    if (!services) {
        judge_error(doctor, domain, *error ? error : "no answer");
        return;
    }
    if (json_array_size(services) == 0 && doctor->server == DOCTOR_SERVER_EJABBERD &&
        doctor->config.turn.enabled) {
        judge_empty(doctor, domain);
        return;
    }
    if (json_array_size(services) == 0) {
        judge_error(doctor, domain, "an empty list");
        return;
    }
    for (size_t i = 0; i < json_array_size(services); i++)
        ok = judge_service(doctor, domain, json_array_get(services, i), &tried) && ok;
    if (ok)
        doctor_find(doctor, DOCTOR_OK, "%s tells its users %zu services, all of this server",
                    domain, json_array_size(services));
}

void doctor_check_services(struct doctor *doctor)
{
    each_domain(doctor, doctor_judge_services);
}

// ---- the module

void doctor_judge_module(struct doctor *doctor, const char *domain, const json_t *answer)
{
    if (ctl_true(answer, "module")) {
        doctor_find(doctor, DOCTOR_OK, "%s hands its users' calls over (mod_jingle_relay)", domain);
        return;
    }
    doctor_find(doctor, DOCTOR_WARNING,
                "%s has no mod_jingle_relay for %s: only who calls through %s is relayed", domain,
                doctor->config.xmpp.domain, doctor->config.xmpp.domain);
    doctor_change(doctor,
                  "Prosody: VirtualHost \"%s\"  modules_enabled = { \"jingle_relay\" }  "
                  "jingle_relay_component = \"%s\"\n"
                  "ejabberd: ejabberdctl module_install mod_jingle_relay; modules: "
                  "{mod_jingle_relay: {component: %s}}; ejabberdctl reload_config",
                  domain, doctor->config.xmpp.domain, doctor->config.xmpp.domain);
}

void doctor_check_module(struct doctor *doctor)
{
    each_domain(doctor, doctor_judge_module);
}

// ---- the clock

void doctor_judge_clock(struct doctor *doctor, const char *domain, const json_t *answer)
{
    double time = ctl_number(answer, "time"), off;
    char text[CTL_VALUE_MAX];

    if (!json_object_get(answer, "time")) {
        doctor_find(doctor, DOCTOR_SKIPPED, "%s does not tell the time (XEP-0202)", domain);
        return;
    }
    off = time - (ctl_number(answer, "asked") + ctl_number(answer, "answered")) / 2;
    if (fabs(off) <= CLOCK_TOLERANCE) {
        doctor_find(doctor, DOCTOR_OK, "as that of %s", domain);
        return;
    }
    doctor_find(doctor, DOCTOR_PROBLEM,
                "the clocks of %s and of this machine are %s apart: credentials that the server "
                "makes are expired here, or good for too long",
                domain, ctl_duration(fabs(off), text));
    doctor_change(doctor, "timedatectl set-ntp true (on the machine whose clock is wrong: see "
                          "timedatectl)");
}

void doctor_check_clock(struct doctor *doctor)
{
    each_domain(doctor, doctor_judge_clock);
}
