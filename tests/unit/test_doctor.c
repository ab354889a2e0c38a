// SPDX-License-Identifier: ISC
// What the doctor makes of what it sees: each judgement on facts that are given to it. The firewall
// has test_doctor_firewall.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "doctor.h"
#include "doctor_socket.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct doctor make(void)
{
    static char path[] = "/etc/c.conf", domain[] = "relay.example.org", host[] = "turn.example.org",
                server[] = "127.0.0.1", secret[] = "s";
    static uint16_t plain = 3478, tls = 5349;
    struct doctor doctor = {.path = path, .check = "row", .configured = true};

    doctor.config.xmpp.domain = domain;
    doctor.config.xmpp.server = server;
    doctor.config.xmpp.secret = secret;
    doctor.config.xmpp.port = 5347;
    doctor.config.turn.enabled = true;
    doctor.config.turn.host = host;
    doctor.config.turn.ports = (struct config_port_list){&plain, 1};
    doctor.config.turn.tls_ports = (struct config_port_list){&tls, 1};
    return doctor;
}

static void clear(struct doctor *doctor)
{
    doctor->path = NULL; // not its own
    doctor->config = (struct config){0};
    doctor_free(doctor);
}

// The worst finding is of this level, says that, and names the line to change.
static void expect(struct doctor *doctor, enum doctor_level level, const char *text,
                   const char *change)
{
    const struct doctor_finding *found = NULL;

    for (size_t i = 0; i < doctor->findings; i++) {
        if (doctor->finding[i].level == level && strstr(doctor->finding[i].text, text))
            found = &doctor->finding[i];
    }
    assert_int_equal(doctor_worst(doctor), level);
    if (!found)
        fail_msg("nobody says \"%s\"", text);
    else if (change)
        assert_non_null(strstr(found->change, change));
    else
        assert_null(found->change);
    clear(doctor);
}

static json_t *json(const char *text)
{
    json_t *parsed = json_loads(text, 0, NULL);

    assert_non_null(parsed);
    return parsed;
}

static struct addr ip(const char *text)
{
    struct addr addr;

    assert_int_equal(addr_parse_ip(text, 0, &addr), 0);
    return addr;
}

// ---- the XMPP server

static void links(void **state)
{
    static const struct {
        int error;
        const char *condition;
        bool runs;
        enum doctor_level level;
        const char *text, *change;
    } rows[] = {
        {-ECONNREFUSED, "", false, DOCTOR_PROBLEM, "refused", "component_ports = { 5347 }"},
        {-ENOENT, "", false, DOCTOR_PROBLEM, "no such host name", "component_ports"},
        {-ETIMEDOUT, "", true, DOCTOR_PROBLEM, "timed out", "ejabberd_service"},
        {0, "not-authorized", true, DOCTOR_PROBLEM, "wrong secret", "component_secret = "},
        {0, "host-unknown", true, DOCTOR_PROBLEM, "no component relay.example.org", "Component"},
        {0, "conflict", true, DOCTOR_PROBLEM, "already", "xmpp.domain"},
        {0, "refused", true, DOCTOR_PROBLEM, "refused", "log"},
        {0, "", true, DOCTOR_WARNING, "tries again", NULL},
        {0, "", false, DOCTOR_OK, "takes relay.example.org", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor doctor = make();

        doctor_judge_link(&doctor, rows[i].error, rows[i].condition, rows[i].runs);
        expect(&doctor, rows[i].level, rows[i].text, rows[i].change);
    }
}

static void services(void **state)
{
    static const struct {
        const char *answer;
        enum doctor_level level;
        const char *text, *change;
    } rows[] = {
        {"{\"services\":[{\"type\":\"turns\",\"host\":\"turn.example.org\",\"port\":\"5349\"}]}",
         DOCTOR_PROBLEM, "turns:turn.example.org port 5349 without username", "external_services"},
        {"{\"services\":[{\"type\":\"turn\",\"host\":\"turn.example.org\",\"port\":\"3478\"}]}",
         DOCTOR_PROBLEM, "without username", "turn_external_secret"},
        {"{\"services\":[{\"type\":\"stun\",\"host\":\"stun.example.net\",\"port\":\"3478\"}]}",
         DOCTOR_WARNING, "not this server", "turn.host"},
        {"{\"services\":[{\"type\":\"stun\",\"host\":\"turn.example.org\",\"port\":\"3479\"}]}",
         DOCTOR_PROBLEM, "3479, which is not open", "turn.ports"},
        {"{\"services\":[{\"type\":\"stun\",\"host\":\"TURN.example.org\",\"port\":\"3478\"},"
         "{\"type\":\"turns\",\"host\":\"turn.example.org\",\"port\":\"5349\",\"username\":\"u\"}]"
         "}",
         DOCTOR_OK, "2 services", NULL},
        {"{\"services_error\":\"forbidden\"}", DOCTOR_WARNING, "cannot be checked",
         "external_service_access = { \"example.org\", \"relay.example.org\" }"},
        {"{\"services_error\":\"service-unavailable\"}", DOCTOR_WARNING, "no STUN or TURN",
         "urn:xmpp:extdisco:2"},
        {"{\"services\":[]}", DOCTOR_WARNING, "empty list", "delegation"},
        {"{\"services\":[],\"delegated\":true}", DOCTOR_OK, "hands its users' question", NULL},
        {"{\"services_error\":\"service-unavailable\",\"delegated\":true}", DOCTOR_OK, "XEP-0355",
         NULL},
        {"{}", DOCTOR_WARNING, "no answer", "delegation"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor doctor = make();
        json_t *answer = json(rows[i].answer);

        doctor_judge_services(&doctor, "example.org", answer);
        expect(&doctor, rows[i].level, rows[i].text, rows[i].change);
        json_decref(answer);
    }
}

// Nobody answers them while TURN is off; and whom ejabberd forbids to ask has a line of its own.
static void answers_of_this_server(void **state)
{
    struct doctor doctor = make();
    json_t *delegated = json("{\"services\":[],\"delegated\":true}");
    json_t *empty = json("{\"services\":[]}");
    json_t *forbidden = json("{\"services_error\":\"forbidden\"}");

    (void)state;
    doctor.config.turn.enabled = false;
    doctor_judge_services(&doctor, "example.org", delegated);
    expect(&doctor, DOCTOR_WARNING, "TURN is off", "turn.enabled = true");
    doctor = make();
    doctor.server = DOCTOR_SERVER_EJABBERD;
    doctor_judge_services(&doctor, "example.org", forbidden);
    expect(&doctor, DOCTOR_WARNING, "them too",
           "acl: {local: {user_regexp: \"\"}, relay: "
           "{server: relay.example.org}}");
    doctor = make();
    doctor.server = DOCTOR_SERVER_EJABBERD;
    doctor_judge_services(&doctor, "example.org", empty);
    expect(&doctor, DOCTOR_WARNING, "empty list", "acl: {local: {user_regexp: \"\"}, relay: ");
    json_decref(empty);
    json_decref(delegated);
    json_decref(forbidden);
}

// What is to be changed stands there for the server that is here, however long it is.
static void only_the_own_servers_lines(void **state)
{
    static const struct {
        const char *name;
        enum doctor_server server;
    } rows[] = {{"Our Prosody", DOCTOR_SERVER_PROSODY}, {"ejabberd", DOCTOR_SERVER_EJABBERD},
                {"Openfire", DOCTOR_SERVER_UNKNOWN},    {"Moonbeam", DOCTOR_SERVER_UNKNOWN},
                {"Luanda", DOCTOR_SERVER_UNKNOWN},      {"", DOCTOR_SERVER_UNKNOWN},
                {NULL, DOCTOR_SERVER_UNKNOWN}},
      processes[] = {{"prosody", DOCTOR_SERVER_PROSODY},
                     {"lua5.4", DOCTOR_SERVER_PROSODY},
                     {"beam.smp", DOCTOR_SERVER_EJABBERD},
                     {"sunbeam", DOCTOR_SERVER_UNKNOWN},
                     {"evaluate", DOCTOR_SERVER_UNKNOWN}};
    static const char *const changes[] = {"first\nProsody: a\nejabberd: b\nlast",
                                          "first\nProsody: a\nlast", "first\nejabberd: b\nlast"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(doctor_server_named(rows[i].name), rows[i].server);
    for (size_t i = 0; i < sizeof processes / sizeof processes[0]; i++)
        assert_int_equal(doctor_server_process(processes[i].name), processes[i].server);
    for (unsigned server = 0; server < 3; server++) {
        struct doctor doctor = make();

        doctor.server = (enum doctor_server)server;
        doctor_find(&doctor, DOCTOR_PROBLEM, "text");
        doctor_change(&doctor, "first\nProsody: a\nejabberd: b\nlast");
        assert_string_equal(doctor.finding[0].change, changes[server]);
        doctor_change(&doctor, "ejabberd: b\nProsody: a");
        assert_null(server ? strchr(doctor.finding[0].change, '\n') : NULL);
        doctor_change(&doctor, server == DOCTOR_SERVER_EJABBERD ? "Prosody: a" : "ejabberd: b");
        assert_true((doctor.finding[0].change != NULL) == (server == DOCTOR_SERVER_UNKNOWN));
        clear(&doctor);
    }
}

static void modules_and_clocks(void **state)
{
    static const struct {
        void (*judge)(struct doctor *doctor, const char *domain, const json_t *answer);
        const char *answer;
        enum doctor_level level;
        const char *text, *change;
    } rows[] = {
        {doctor_judge_module, "{\"module\":true}", DOCTOR_OK, "mod_jingle_relay", NULL},
        {doctor_judge_module, "{\"module\":false}", DOCTOR_WARNING, "no mod_jingle_relay",
         "jingle_relay_component = \"relay.example.org\""},
        {doctor_judge_clock, "{\"time\":1000,\"asked\":999,\"answered\":1001}", DOCTOR_OK,
         "as that of", NULL},
        {doctor_judge_clock, "{\"time\":1000,\"asked\":700,\"answered\":702}", DOCTOR_OK,
         "as that of", NULL},
        {doctor_judge_clock, "{\"time\":4600,\"asked\":999,\"answered\":1001}", DOCTOR_PROBLEM,
         "1 h 00 min", "timedatectl"},
        {doctor_judge_clock, "{\"time\":400,\"asked\":999,\"answered\":1001}", DOCTOR_PROBLEM,
         "10 min", "timedatectl"},
        {doctor_judge_clock, "{}", DOCTOR_SKIPPED, "does not tell", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor doctor = make();
        json_t *answer = json(rows[i].answer);

        rows[i].judge(&doctor, "example.org", answer);
        expect(&doctor, rows[i].level, rows[i].text, rows[i].change);
        json_decref(answer);
    }
}

// ---- addresses and names

static void addresses(void **state)
{
    static const struct {
        const char *bound, *advertised;
        bool here;
        enum doctor_level level;
        const char *text, *change;
    } rows[] = {
        {"203.0.113.5", "203.0.113.5", true, DOCTOR_OK, "203.0.113.5", NULL},
        {"10.0.0.5", "203.0.113.5", true, DOCTOR_OK, "behind a NAT", NULL},
        {"10.0.0.5", "10.0.0.5", true, DOCTOR_PROBLEM, "private", "relay.advertise4"},
        {"100.64.0.9", "100.64.0.9", true, DOCTOR_PROBLEM, "private", "relay.advertise4"},
        {"203.0.113.5", "203.0.113.5", false, DOCTOR_PROBLEM, "no address of this machine",
         "relay.address4 = \"auto\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor doctor = make();
        const struct addr bound = ip(rows[i].bound), advertised = ip(rows[i].advertised);

        doctor_judge_address(&doctor, 4, &bound, &advertised, rows[i].here);
        expect(&doctor, rows[i].level, rows[i].text, rows[i].change);
    }
}

static void names(void **state)
{
    const struct addr both[2] = {ip("203.0.113.5"), ip("2001:db8::5")};
    const struct addr v4[2] = {ip("203.0.113.5"), {.family = FAMILY_NONE}};
    const struct addr elsewhere = ip("203.0.113.9");
    struct doctor doctor = make();

    (void)state;
    doctor_judge_name(&doctor, "turn.example.org", both, 2, both);
    expect(&doctor, DOCTOR_OK, "leads here", NULL);
    doctor = make();
    doctor_judge_name(&doctor, "turn.example.org", &elsewhere, 1, v4);
    expect(&doctor, DOCTOR_PROBLEM, "leads to 203.0.113.9", "turn.example.org. A 203.0.113.5");
    doctor = make();
    doctor_judge_name(&doctor, "turn.example.org", both, 2, v4);
    expect(&doctor, DOCTOR_PROBLEM, "leads to 2001:db8::5", "no AAAA record");
    doctor = make();
    doctor_judge_name(&doctor, "turn.example.org", both, 1, both);
    expect(&doctor, DOCTOR_WARNING, "no AAAA record", "AAAA 2001:db8::5");
    doctor = make();
    doctor_judge_srv(&doctor, "_turn._udp.example.org", "Turn.example.org"); // is no finding
    doctor_judge_srv(&doctor, "_stun._udp.example.org", "stun.example.net");
    expect(&doctor, DOCTOR_WARNING, "stun.example.net, which is not turn.host",
           "_stun._udp.example.org. SRV 0 0 3478 turn.example.org.");
}

// Fills it from "address address"; "": DNS, or the machine, knows none; NULL: no answer.
static struct doctor_lookup lookup(const char *addresses)
{
    struct doctor_lookup found = {.count = addresses ? 0 : EAI_AGAIN};
    char text[128] = "", *rest = text;

    if (addresses)
        snprintf(text, sizeof text, "%s", addresses);
    for (const char *word; (word = strtok_r(rest, " ", &rest));)
        found.addr[found.count++] = ip(word);
    return found;
}

// What /etc/hosts says is not what DNS says; and nobody is told to advertise what cannot be called.
static void hosts_files(void **state)
{
    static const struct {
        const char *dns, *own;
        bool ipv6;
        enum doctor_level level;
        const char *text, *change, *not_told;
    } rows[] = {
        {NULL, "127.0.1.1", false, DOCTOR_SKIPPED, "asked from elsewhere", NULL, ""},
        {"127.0.1.1", "", false, DOCTOR_SKIPPED, "is 127.0.1.1 on this machine", NULL, ""},
        {"127.0.1.1 ::1", "", true, DOCTOR_SKIPPED, "asked from elsewhere", NULL, ""},
        {"127.0.1.1 2001:db8::5", "", true, DOCTOR_OK, "leads here", NULL, ""},
        {"127.0.1.1 203.0.113.5", "", true, DOCTOR_WARNING, "no AAAA record", "AAAA", "127.0.1.1"},
        {"203.0.113.5", "127.0.1.1", false, DOCTOR_OK, "leads here", NULL, ""},
        {NULL, "203.0.113.5", false, DOCTOR_SKIPPED, "DNS does not answer", NULL, ""},
        {"", "127.0.1.1", false, DOCTOR_PROBLEM, "not in the DNS", "an A (AAAA) record",
         "advertise"},
        {NULL, NULL, false, DOCTOR_PROBLEM, "cannot be resolved", "an A (AAAA) record", ""},
        {"10.7.0.9", "", false, DOCTOR_PROBLEM, "leads to 10.7.0.9", "A 203.0.113.5", "advertise"},
        {"9.1.2.3", "", false, DOCTOR_PROBLEM, "leads to 9.1.2.3", "relay.advertise4 = \"9.1.2.3\"",
         ""},
        {"10.7.0.2", "", false, DOCTOR_WARNING, "behind its NAT", "A 203.0.113.5", "advertise"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor doctor = make();
        const struct doctor_lookup dns = lookup(rows[i].dns), own = lookup(rows[i].own);

        doctor.config.relay.address[0].addr = ip("10.7.0.2");
        doctor.config.relay.advertise[0].addr = ip("203.0.113.5");
        if (rows[i].ipv6)
            doctor.config.relay.address[1].addr = doctor.config.relay.advertise[1].addr =
                ip("2001:db8::5");
        doctor_judge_lookup(&doctor, "turn.example.org", &dns, &own);
        for (size_t f = 0; f < doctor.findings && *rows[i].not_told; f++)
            assert_null(strstr(doctor.finding[f].change, rows[i].not_told));
        expect(&doctor, rows[i].level, rows[i].text, rows[i].change);
    }
}

// ---- the machine

static void files(void **state)
{
    static const struct {
        uid_t owner;
        gid_t group;
        mode_t mode;
        uid_t uid;
        gid_t gid;
        bool may;
    } rows[] = {
        {5, 6, 0600, 0, 0, true},                               // root
        {5, 6, 0400, 5, 9, true},    {5, 6, 0040, 5, 6, false}, // the owner is not the group
        {5, 6, 0640, 7, 6, true},    {5, 6, 0640, 7, 8, false},
        {5, 6, 0644, 7, 8, true},    {5, 6, 0604, 7, 6, false}, // nor is the group the others
        {5, 110, 0640, 7, 8, true},                             // a supplementary group
        {5, 110, 0604, 7, 8, false}, {5, 112, 0640, 7, 8, false},
    };
    json_t *groups = json("[4, 110]");

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct stat st = {
            .st_uid = rows[i].owner, .st_gid = rows[i].group, .st_mode = rows[i].mode};
        const struct doctor_user user = {rows[i].uid, rows[i].gid, groups, true};

        if (doctor_may_read(&st, &user) != rows[i].may)
            fail_msg("row %zu", i);
    }
    json_decref(groups);
}

// A key that others share keeps its group: the daemon joins it. Whether it has, only it can say.
static void shared_files(void **state)
{
    static const gid_t nameless = 4000000001; // in no /etc/group
    static const struct {
        const char *groups;
        gid_t group;
        mode_t mode;
        bool certain;
        enum doctor_level level;
        const char *text, *change;
    } rows[] = {
        {"[]", nameless, 0640, true, DOCTOR_PROBLEM, "cannot be read", "Groups=4000000001, then"},
        {"[]", nameless, 0640, false, DOCTOR_WARNING,
         "only if its unit has SupplementaryGroups=", "[Service] SupplementaryGroups=4000000001"},
        {"[]", nameless, 0600, false, DOCTOR_PROBLEM, "cannot be read", "chgrp 8 /k && chmod 0640"},
        {"[]", 0, 0640, false, DOCTOR_PROBLEM, "cannot be read", "chgrp 8 /k"}, // nobody joins root
        {"[4000000001]", nameless, 0644, true, DOCTOR_WARNING, "every user", "chmod 0640 /k"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct doctor doctor = make();
        const struct stat st = {.st_gid = rows[i].group, .st_mode = rows[i].mode};
        struct doctor_user user = {7, 8, json(rows[i].groups), rows[i].certain};

        assert_false(doctor_judge_file(&doctor, "turn.key", "/k", &st, &user, true));
        expect(&doctor, rows[i].level, rows[i].text, rows[i].change);
        assert_true(doctor_judge_file(&doctor, "turn.key", "/k",
                                      &(struct stat){.st_uid = 7, .st_mode = 0600}, &user, true));
        json_decref(user.groups);
    }
}

static void files_of_the_configuration(void **state)
{
    char path[] = "/tmp/test_doctor.XXXXXX";
    struct doctor doctor = make();
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0644), 0);
    close(fd);
    doctor.config.privacy.key_file = path;
    doctor_check_files(&doctor);
    unlink(path);
    expect(&doctor, DOCTOR_WARNING, "privacy.key_file: every user of this machine", "chmod 0640");
}

static void limits(void **state)
{
    struct doctor doctor = make();

    (void)state;
    doctor_judge_descriptors(&doctor, 1024, 1024);
    expect(&doctor, DOCTOR_OK, "1024 are allowed", NULL);
    doctor = make();
    doctor_judge_descriptors(&doctor, 1024, 2680);
    expect(&doctor, DOCTOR_PROBLEM, "may open 1024", "LimitNOFILE=2680");
    doctor = make();
    doctor_judge_buffer(&doctor, "net.core.rmem_max", 212992, 1048576);
    expect(&doctor, DOCTOR_WARNING, "212992", "sysctl -w net.core.rmem_max=1048576");
    doctor = make();
    doctor_judge_buffer(&doctor, "net.core.rmem_max", 1048576, 1048576);
    expect(&doctor, DOCTOR_OK, "1048576", NULL);
    doctor = make();
    doctor_judge_buffer(&doctor, "net.core.rmem_max", -1, 1);
    expect(&doctor, DOCTOR_SKIPPED, "not shown", NULL);
    doctor = make();
    doctor_judge_mtu(&doctor, 6, 1279);
    expect(&doctor, DOCTOR_WARNING, "IPv6: the route's MTU is 1279", "mtu 1500");
    doctor = make();
    doctor_judge_mtu(&doctor, 4, 1280);
    expect(&doctor, DOCTOR_OK, "1280", NULL);
}

static void sockets(void **state)
{
    static const char udp[] = "  12: 057100CB:0D96 00000000:0000 07 00000000:00000000 00:00000000 "
                              "00000000     0        0 4711 2 0000000000000000 0";
    static const char any[] = "  13: 00000000:0D96 00000000:0000 0A 00000000:00000000 00:00000000 "
                              "00000000     0        0 4712 1 0000000000000000 100 0 0 10 0";
    struct addr addr = ip("203.0.113.5"), other = ip("203.0.113.6");

    (void)state;
    addr.port = other.port = 3478;
    assert_int_equal(doctor_socket_inode(udp, &addr, false), 4711);
    assert_int_equal(doctor_socket_inode(udp, &other, false), 0);
    assert_int_equal(doctor_socket_inode(udp, &addr, true), 0); // no listener
    assert_int_equal(doctor_socket_inode(any, &other, true), 4712);
    addr.port = 3479;
    assert_int_equal(doctor_socket_inode(any, &addr, true), 0);
    assert_int_equal(doctor_socket_inode("  sl  local_address rem_address", &addr, false), 0);
}

static void echoes(void **state)
{
    const struct turn_probe probe = {.server = ip("203.0.113.5"), .transport = TURN_PROBE_TCP};
    const struct turn_probe_result well = {.step = TURN_PROBE_DONE, .round_trip = 1500};
    const struct turn_probe_result silent = {.step = TURN_PROBE_BINDING, .error = -ETIMEDOUT};
    const struct turn_probe_result lost = {.step = TURN_PROBE_ECHO, .error = -ETIMEDOUT};
    struct doctor doctor = make();

    (void)state;
    doctor_judge_echo(&doctor, &probe, &well, NULL);
    expect(&doctor, DOCTOR_OK, "came back in 1.5 ms", NULL);
    doctor = make();
    doctor_judge_echo(&doctor, &probe, &silent, &well);
    expect(&doctor, DOCTOR_WARNING, "hairpin", "pass tcp");
    doctor = make();
    doctor_judge_echo(&doctor, &probe, &silent, &silent);
    expect(&doctor, DOCTOR_PROBLEM, "STUN is not answered", "journalctl");
    doctor = make();
    doctor_judge_echo(&doctor, &probe, &lost, NULL);
    expect(&doctor, DOCTOR_PROBLEM, "does not come back", "nft add rule");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links),
        cmocka_unit_test(services),
        cmocka_unit_test(modules_and_clocks),
        cmocka_unit_test(names),
        cmocka_unit_test(hosts_files),
        cmocka_unit_test(addresses),
        cmocka_unit_test(files),
        cmocka_unit_test(shared_files),
        cmocka_unit_test(files_of_the_configuration),
        cmocka_unit_test(limits),
        cmocka_unit_test(sockets),
        cmocka_unit_test(echoes),
        cmocka_unit_test(only_the_own_servers_lines),
        cmocka_unit_test(answers_of_this_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
