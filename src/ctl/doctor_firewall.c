// SPDX-License-Identifier: ISC
// The firewall of this machine: the rules of nftables (what iptables-nft writes included), read as
// JSON and gone through as the first packet of a stranger would. What a rule asks for that a
// stranger cannot be known to have, such as an address of his, does not match.
#include "doctor.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH_MAX 16
#define SAMPLES   64

extern char **environ;

struct packet {
    const json_t *list; // the ruleset's
    const char *protocol, *family;
    unsigned port;
};

enum outcome { GO_ON, RETURN, ACCEPT, DROP };
enum match { NO, YES, UNSURE };

// ---- does it match?

static bool is_word(const json_t *value, const char *word)
{
    return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}

static bool one_of(const json_t *set, const char *word)
{
    const json_t *list = json_is_object(set) ? json_object_get(set, "set") : set;

    if (!json_is_array(list))
        return is_word(list, word);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (is_word(json_array_get(list, i), word))
            return true;
    }
    return false;
}

static bool all_are(const json_t *set, const char *word)
{
    const json_t *list = json_is_object(set) ? json_object_get(set, "set") : set;

    if (!json_is_array(list))
        return is_word(list, word);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!is_word(json_array_get(list, i), word))
            return false;
    }
    return json_array_size(list) > 0;
}

static bool port_matches(const json_t *value, unsigned port)
{
    const json_t *range = json_object_get(value, "range"), *set = json_object_get(value, "set");
    const json_t *element = json_object_get(json_object_get(value, "elem"), "val");

    if (json_is_integer(value))
        return json_integer_value(value) == port;
    if (range)
        return json_integer_value(json_array_get(range, 0)) <= port &&
               json_integer_value(json_array_get(range, 1)) >= port;
    if (element)
        return port_matches(element, port);
    if (!json_is_array(value))
        return set && port_matches(set, port);
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (port_matches(json_array_get(value, i), port))
            return true;
    }
    return false;
}

// "@name": the elements of a set of the same table.
static const json_t *named_set(const struct packet *packet, const json_t *rule, const json_t *value)
{
    const char *name = json_string_value(value);

    for (size_t i = 0; name && name[0] == '@' && i < json_array_size(packet->list); i++) {
        const json_t *set = json_object_get(json_array_get(packet->list, i), "set");

        if (set && strcmp(ctl_string(set, "name"), name + 1) == 0 &&
            strcmp(ctl_string(set, "table"), ctl_string(rule, "table")) == 0)
            return json_object_get(set, "elem");
    }
    return value;
}

static enum match match_meta(const struct packet *packet, const char *key, const json_t *right)
{
    if (strcmp(key, "l4proto") == 0)
        return one_of(right, packet->protocol) ? YES : NO;
    if (strcmp(key, "nfproto") == 0)
        return one_of(right, packet->family) ? YES : NO;
    if (strcmp(key, "iifname") == 0 || strcmp(key, "iif") == 0)
        return all_are(right, "lo") ? NO : UNSURE;
    return UNSURE;
}

// Whether the packet has this header at all: a rule that looks into another one is not for it,
// whatever it compares, and how.
static bool has_header(const struct packet *packet, const char *protocol)
{
    static const char *const any[] = {"", "th", "ether", "vlan"};

    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        if (strcmp(protocol, any[i]) == 0)
            return true;
    }
    if (strcmp(protocol, "ip") == 0)
        return strcmp(packet->family, "ipv4") == 0;
    if (strcmp(protocol, "ip6") == 0)
        return strcmp(packet->family, "ipv6") == 0;
    return strcmp(protocol, packet->protocol) == 0;
}

// "tcp flags & (syn | ack)" looks into a header, too.
static const char *header_of(const json_t *left)
{
    const json_t *masked = json_array_get(json_object_get(left, "&"), 0);

    return ctl_string(json_object_get(masked ? masked : left, "payload"), "protocol");
}

static enum match match_payload(const struct packet *packet, const json_t *payload,
                                const json_t *right)
{
    const char *protocol = ctl_string(payload, "protocol"), *field = ctl_string(payload, "field");

    if (strcmp(protocol, "ip") == 0 || strcmp(protocol, "ip6") == 0) {
        if (strcmp(field, "protocol") == 0 || strcmp(field, "nexthdr") == 0)
            return one_of(right, packet->protocol) ? YES : NO;
        return strcmp(field, "saddr") == 0 ? NO : UNSURE; // a stranger's address is any
    }
    if (strcmp(protocol, packet->protocol) != 0 && strcmp(protocol, "th") != 0)
        return UNSURE;
    if (strcmp(field, "dport") == 0)
        return port_matches(right, packet->port) ? YES : NO;
    return strcmp(field, "sport") == 0 ? NO : UNSURE;
}

// "udp dport >= 50000"
static enum match match_order(const struct packet *packet, const json_t *payload, const char *op,
                              const json_t *right)
{
    json_int_t port = packet->port, bound = json_integer_value(right);

    if (!json_is_integer(right) || strcmp(ctl_string(payload, "field"), "dport") != 0)
        return UNSURE;
    if (port == bound)
        return op[1] == '=' ? YES : NO;
    return (op[0] == '<') == (port < bound) ? YES : NO;
}

static enum match matches(const struct packet *packet, const json_t *rule, const json_t *match)
{
    const json_t *left = json_object_get(match, "left");
    const json_t *right = named_set(packet, rule, json_object_get(match, "right"));
    const json_t *payload = json_object_get(left, "payload");
    const char *op = ctl_string(match, "op");
    enum match found = UNSURE;

    if (!has_header(packet, header_of(left)))
        return NO;
    if (op[0] == '<' || op[0] == '>')
        return match_order(packet, payload, op, right);
    if (json_object_get(left, "meta"))
        found = match_meta(packet, ctl_string(json_object_get(left, "meta"), "key"), right);
    else if (payload)
        found = match_payload(packet, payload, right);
    else if (strcmp(ctl_string(json_object_get(left, "ct"), "key"), "state") == 0)
        found = one_of(right, "new") ? YES : NO;
    if (strcmp(op, "!=") == 0 && found != UNSURE)
        return found == YES ? NO : YES;
    return found;
}

// A map of verdicts. NO: none of them is for this packet.
static enum match match_map(const struct packet *packet, const json_t *map)
{
    const json_t *key = json_object_get(map, "key");
    const json_t *list = json_object_get(json_object_get(map, "data"), "set");

    if (!has_header(packet, header_of(key)))
        return NO;
    if (strcmp(ctl_string(json_object_get(key, "ct"), "key"), "state") != 0 || !list)
        return UNSURE;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *state = json_array_get(json_array_get(list, i), 0);

        if (!json_is_string(state) || is_word(state, "new"))
            return UNSURE;
    }
    return NO;
}

// What holds packets back by what came before them: the first one is below every limit.
static enum match match_limit(const json_t *statement)
{
    static const char *const names[] = {"limit", "quota", "ct count"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const json_t *limit = json_object_get(statement, names[i]);

        if (json_is_string(limit)) // its name: it stands elsewhere
            return UNSURE;
        if (json_is_true(json_object_get(limit, "inv")))
            return NO;
    }
    return YES;
}

// ---- a chain

static enum outcome walk(const struct packet *packet, const char *family, const char *table,
                         const char *chain, unsigned depth, bool *unsure);

static bool has(const json_t *statement, const char *name)
{
    return json_object_get(statement, name) != NULL; // it may be null
}

// What iptables-nft has in words of its own ("-j REJECT").
static bool is_target(const json_t *statement, const char *name)
{
    const json_t *xt = json_object_get(statement, "xt");

    return strcmp(ctl_string(xt, "type"), "target") == 0 &&
           strcmp(ctl_string(xt, "name"), name) == 0;
}

// A verdict statement; GO_ON: it is none.
static enum outcome verdict(const struct packet *packet, const json_t *rule,
                            const json_t *statement, unsigned depth, bool *unsure)
{
    const json_t *to = json_object_get(statement, "jump");
    enum outcome outcome;

    if (has(statement, "accept"))
        return ACCEPT;
    if (has(statement, "drop") || has(statement, "reject") || is_target(statement, "REJECT"))
        return DROP;
    if (has(statement, "return"))
        return RETURN;
    if (!to)
        to = json_object_get(statement, "goto");
    if (!to)
        return GO_ON;
    outcome = walk(packet, ctl_string(rule, "family"), ctl_string(rule, "table"),
                   ctl_string(to, "target"), depth + 1, unsure);
    if (outcome == RETURN || outcome == GO_ON)
        return json_object_get(statement, "goto") ? RETURN : GO_ON;
    return outcome;
}

// Whether the rule goes on behind this statement, which is no verdict.
static enum match passes(const struct packet *packet, const json_t *rule, const json_t *statement)
{
    const json_t *match = json_object_get(statement, "match");

    if (match)
        return matches(packet, rule, match);
    if (has(statement, "vmap"))
        return match_map(packet, json_object_get(statement, "vmap"));
    if (strcmp(ctl_string(json_object_get(statement, "xt"), "type"), "target") == 0)
        return YES; // "-j LOG"
    if (has(statement, "xt") || has(statement, "meter") ||
        has(json_object_get(statement, "set"), "stmt"))
        return UNSURE;
    return match_limit(statement);
}

static enum outcome apply(const struct packet *packet, const json_t *rule, unsigned depth,
                          bool *unsure)
{
    const json_t *expr = json_object_get(rule, "expr");
    bool doubt = false;

    for (size_t i = 0; i < json_array_size(expr); i++) {
        const json_t *statement = json_array_get(expr, i);
        enum match found = passes(packet, rule, statement);
        enum outcome outcome;

        if (found == NO)
            return GO_ON;
        doubt = doubt || found == UNSURE;
        // A map of verdicts, or a queue, may have one for this packet.
        *unsure = *unsure || has(statement, "vmap") || has(statement, "queue") ||
                  is_target(statement, "NFQUEUE");
        outcome = verdict(packet, rule, statement, depth, unsure);
        if (outcome == GO_ON)
            continue;
        if (!doubt)
            return outcome;
        *unsure = true; // it may be for this packet, or not
        return GO_ON;
    }
    return GO_ON;
}

static bool stands_in(const json_t *rule, const char *family, const char *table, const char *chain)
{
    return rule && strcmp(ctl_string(rule, "family"), family) == 0 &&
           strcmp(ctl_string(rule, "table"), table) == 0 &&
           strcmp(ctl_string(rule, "chain"), chain) == 0;
}

static enum outcome walk(const struct packet *packet, const char *family, const char *table,
                         const char *chain, unsigned depth, bool *unsure)
{
    for (size_t i = 0; depth < DEPTH_MAX && i < json_array_size(packet->list); i++) {
        const json_t *rule = json_object_get(json_array_get(packet->list, i), "rule");
        enum outcome outcome;

        if (!stands_in(rule, family, table, chain))
            continue;
        outcome = apply(packet, rule, depth, unsure);
        if (outcome != GO_ON)
            return outcome;
    }
    return GO_ON;
}

static bool concerns(const struct packet *packet, const json_t *chain)
{
    const char *family = ctl_string(chain, "family");

    if (!chain || strcmp(ctl_string(chain, "hook"), "input") != 0)
        return false;
    return strcmp(family, "inet") == 0 ||
           strcmp(family, strcmp(packet->family, "ipv6") == 0 ? "ip6" : "ip") == 0;
}

enum doctor_gate doctor_gate(const json_t *ruleset, const char *protocol, unsigned port, bool ipv6)
{
    const struct packet packet = {json_object_get(ruleset, "nftables"), protocol,
                                  ipv6 ? "ipv6" : "ipv4", port};
    enum doctor_gate gate = DOCTOR_GATE_OPEN;

    // Every base chain of the hook has to let it in.
    for (size_t i = 0; i < json_array_size(packet.list); i++) {
        const json_t *chain = json_object_get(json_array_get(packet.list, i), "chain");
        bool unsure = false;
        enum outcome outcome;

        if (!concerns(&packet, chain))
            continue;
        outcome = walk(&packet, ctl_string(chain, "family"), ctl_string(chain, "table"),
                       ctl_string(chain, "name"), 0, &unsure);
        if (outcome != ACCEPT && outcome != DROP)
            outcome = strcmp(ctl_string(chain, "policy"), "drop") == 0 ? DROP : ACCEPT;
        if (outcome == DROP && !unsure)
            return DOCTOR_GATE_SHUT;
        if (outcome == DROP || unsure)
            gate = DOCTOR_GATE_UNKNOWN;
    }
    return gate;
}

// ---- asking nft

static json_t *read_ruleset(int fd)
{
    FILE *file = fdopen(fd, "r");
    json_t *json = file ? json_loadf(file, 0, NULL) : NULL;

    if (file)
        fclose(file);
    else
        close(fd);
    return json;
}

// NULL: there is no nft, or this user may not ask.
static json_t *list_ruleset(void)
{
    static const char *const words[] = {"nft", "-j", "list", "ruleset", NULL};
    union { // what posix_spawn() does not change
        const char *const *constant;
        char *const *argv;
    } arguments = {words};
    posix_spawn_file_actions_t actions;
    json_t *ruleset = NULL;
    int ends[2], status = 0;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&pid, "nft", &actions, NULL, arguments.argv, environ) != 0)
        pid = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    ruleset = read_ruleset(ends[0]);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
        return ruleset;
    json_decref(ruleset);
    return NULL;
}

// ---- the relay's ports

static void shut(struct doctor *doctor, const char *protocol, unsigned first, unsigned last)
{
    char ports[24];

    if (first == last)
        snprintf(ports, sizeof ports, "%u", first);
    else
        snprintf(ports, sizeof ports, "%u-%u", first, last);
    doctor_find(doctor, DOCTOR_PROBLEM, "this machine's firewall lets nobody in at %s %s", protocol,
                ports);
    doctor_change(doctor,
                  "nft add rule inet filter input %s dport %s accept (and the same line in the "
                  "input chain of /etc/nftables.conf)\n"
                  "ufw: ufw allow %s/%s; firewalld: firewall-cmd --permanent --add-port=%s/%s",
                  protocol, ports, ports, protocol, ports, protocol);
}

// True: a stranger gets in at every port that was looked at.
static bool check_range(struct doctor *doctor, const json_t *ruleset, const char *protocol,
                        unsigned first, unsigned last)
{
    unsigned samples = first == last ? 0 : SAMPLES;
    bool unsure = false;

    for (unsigned i = 0; i < 2; i++) {
        if (doctor->config.relay.address[i].addr.family == FAMILY_NONE)
            continue;
        for (unsigned n = 0; n <= samples; n++) {
            unsigned port = first + (unsigned)((uint64_t)(last - first) * n / SAMPLES);
            enum doctor_gate gate = doctor_gate(ruleset, protocol, port, i == 1);

            unsure = unsure || gate == DOCTOR_GATE_UNKNOWN;
            if (gate == DOCTOR_GATE_SHUT) {
                shut(doctor, protocol, first, last);
                return false;
            }
        }
    }
    if (unsure)
        doctor_find(
            doctor, DOCTOR_WARNING,
            "whether this machine's firewall lets strangers in at %s %u-%u depends on rules "
            "that only its author understands (nft list ruleset)",
            protocol, first, last);
    return !unsure;
}

static bool check_list(struct doctor *doctor, const json_t *ruleset,
                       const struct config_port_list *list)
{
    bool ok = true;

    for (size_t i = 0; i < list->count; i++) {
        ok = check_range(doctor, ruleset, "udp", list->item[i], list->item[i]) && ok;
        ok = check_range(doctor, ruleset, "tcp", list->item[i], list->item[i]) && ok;
    }
    return ok;
}

void doctor_check_firewall(struct doctor *doctor)
{
    const struct config *c = &doctor->config;
    json_t *ruleset = list_ruleset();
    bool ok;

    if (!ruleset) {
        doctor_find(doctor, DOCTOR_SKIPPED, "%s",
                    geteuid() == 0 ? "there is no nft (apt install nftables)" : "not without root");
        return;
    }
    ok = check_range(doctor, ruleset, "udp", c->relay.ports.min, c->relay.ports.max);
    if (c->relay.ice_ports == CONFIG_ICE_SHARED)
        ok = check_range(doctor, ruleset, "udp", c->relay.shared_port, c->relay.shared_port) && ok;
    if (c->turn.enabled)
        ok = check_list(doctor, ruleset, &c->turn.ports) && ok;
    if (c->turn.enabled && c->turn.certificate)
        ok = check_list(doctor, ruleset, &c->turn.tls_ports) && ok;
    if (ok)
        doctor_find(doctor, DOCTOR_OK,
                    "this machine lets strangers in at the relay's ports; other "
                    "firewalls before it are not seen from here");
    json_decref(ruleset);
}
