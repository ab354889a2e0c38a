// SPDX-License-Identifier: ISC
// The way of a stranger's packet through rules of nftables, as the doctor goes it: let in, kept
// out, or not to be known.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "doctor.h"

#include <stdio.h>

static json_t *json(const char *text)
{
    json_t *parsed = json_loads(text, 0, NULL);

    assert_non_null(parsed);
    return parsed;
}

#define CHAIN(policy)                                                                              \
    "{\"chain\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"in\",\"hook\":\"input\","          \
    "\"policy\":\"" policy "\"}}"
#define RULE(chain, expr)                                                                          \
    ",{\"rule\":{\"family\":\"inet\",\"table\":\"f\",\"chain\":\"" chain "\",\"expr\":[" expr "]}" \
    "}"
#define MATCH(left, op, right)                                                                     \
    "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}},"
#define META(key)          "{\"meta\":{\"key\":\"" key "\"}}"
#define DPORT(what)        "{\"payload\":{\"protocol\":\"" what "\",\"field\":\"dport\"}}"
#define SADDR(what)        "{\"payload\":{\"protocol\":\"" what "\",\"field\":\"saddr\"}}"
#define CT                 "{\"ct\":{\"key\":\"state\"}}"
#define VMAP(key, element) "{\"vmap\":{\"key\":" key ",\"data\":{\"set\":[" element "]}}}"
#define XT(type, name)     "{\"xt\":{\"type\":\"" type "\",\"name\":\"" name "\"}}"
#define LIMIT(name, inv)   "{\"" name "\":{\"inv\":" inv "}},"
#define ACCEPT             "{\"accept\":null}"
#define DROP               "{\"drop\":null}"

static void gates(void **state)
{
    static const struct {
        const char *rules;
        enum doctor_gate gate; // for UDP port 50000 over IPv4
    } rows[] = {
        {CHAIN("accept"), DOCTOR_GATE_OPEN},
        {CHAIN("drop"), DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", MATCH(META("iifname"), "==", "\"lo\"") ACCEPT), DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", MATCH(CT, "==", "[\"established\",\"related\"]") ACCEPT),
         DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), "==", "50000") ACCEPT), DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", MATCH(DPORT("tcp"), "==", "50000") ACCEPT), DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), "==", "{\"range\":[49000,50999]}") ACCEPT),
         DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE(
             "in", MATCH(DPORT("th"), "==", "{\"set\":[53,{\"range\":[50000,50999]}]}") ACCEPT),
         DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), "!=", "50000") ACCEPT), DOCTOR_GATE_SHUT},
        {CHAIN("accept") RULE("in", MATCH(DPORT("udp"), "==", "50000") DROP), DOCTOR_GATE_SHUT},
        {CHAIN("accept") RULE("in", MATCH(META("l4proto"), "==", "\"tcp\"") DROP),
         DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", "{\"jump\":{\"target\":\"more\"}}")
             RULE("more", MATCH(DPORT("udp"), "==", "50000") ACCEPT),
         DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", "{\"jump\":{\"target\":\"more\"}}")
             RULE("more", "{\"return\":null}") RULE("in", ACCEPT),
         DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", "{\"jump\":{\"target\":\"in\"}}"), DOCTOR_GATE_SHUT}, // a loop
        {CHAIN("drop") RULE("in", MATCH(META("iifname"), "==", "\"eth0\"") ACCEPT),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), "==", "\"@relay\"")
                                      ACCEPT) ",{\"set\":{\"table\":\"f\",\"name\":\"relay\","
                                              "\"elem\":[{\"range\":[50000,50999]}]}}",
         DOCTOR_GATE_OPEN},
        // Maps of verdicts: what they have for a stranger is not looked up.
        {CHAIN("drop") RULE("in", VMAP(DPORT("udp"), "[50000,{\"accept\":null}]")),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("accept") RULE("in", VMAP(META("iifname"), "[\"eth0\",{\"drop\":null}]")),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("drop") RULE("in", VMAP(DPORT("tcp"), "[50000,{\"accept\":null}]")),
         DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", VMAP(CT, "[\"established\",{\"accept\":null}],"
                                           "[\"invalid\",{\"drop\":null}]")),
         DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", VMAP(CT, "[\"established\",{\"accept\":null}],"
                                           "[\"invalid\",{\"drop\":null}]"))
             RULE("in", MATCH(DPORT("udp"), "==", "50000") ACCEPT),
         DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", VMAP(CT, "[\"established\",{\"accept\":null}],"
                                           "[\"new\",{\"jump\":{\"target\":\"more\"}}]"))
             RULE("more", ACCEPT),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("drop") RULE("in", "{\"vmap\":{\"key\":" CT ",\"data\":\"@states\"}}"),
         DOCTOR_GATE_UNKNOWN},
        // Interfaces: lo is nobody's way in; what else is in the set may be.
        {CHAIN("drop")
             RULE("in", MATCH(META("iifname"), "==", "{\"set\":[\"lo\",\"eth0\"]}") ACCEPT),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("drop") RULE("in", MATCH(META("iifname"), "==", "{\"set\":[\"lo\"]}") ACCEPT),
         DOCTOR_GATE_SHUT},
        {CHAIN("accept")
             RULE("in", MATCH(META("iifname"), "!=", "{\"set\":[\"lo\",\"eth0\"]}") DROP),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("accept") RULE("in", MATCH(META("iifname"), "!=", "\"lo\"") DROP), DOCTOR_GATE_SHUT},
        // What asks for another protocol or family is not for this packet, whatever it asks.
        {CHAIN("accept") RULE("in", MATCH(DPORT("tcp"), "!=", "22") DROP), DOCTOR_GATE_OPEN},
        {CHAIN("accept") RULE("in", MATCH(DPORT("udp"), "!=", "22") DROP), DOCTOR_GATE_SHUT},
        {CHAIN("accept") RULE("in", MATCH(SADDR("ip6"), "!=", "\"2001:db8::1\"") DROP),
         DOCTOR_GATE_OPEN},
        {CHAIN("accept") RULE("in", MATCH(SADDR("ip"), "!=", "\"192.0.2.1\"") DROP),
         DOCTOR_GATE_SHUT},
        {CHAIN("accept") RULE("in", MATCH(SADDR("ether"), "!=", "\"02:00:00:00:00:01\"") DROP),
         DOCTOR_GATE_UNKNOWN},
        {CHAIN("accept") RULE("in", MATCH("{\"&\":[{\"payload\":{\"protocol\":\"tcp\","
                                          "\"field\":\"flags\"}},\"syn\"]}",
                                          "!=", "\"syn\"") DROP),
         DOCTOR_GATE_OPEN},
        // Comparisons, and limits, which a first packet does not exceed.
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), ">=", "50000") ACCEPT), DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), ">", "49151") ACCEPT), DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", MATCH(DPORT("udp"), "<", "50000") ACCEPT), DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", MATCH(DPORT("tcp"), ">", "49151") ACCEPT), DOCTOR_GATE_SHUT},
        {CHAIN("accept") RULE("in", LIMIT("limit", "true") DROP), DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", LIMIT("limit", "false") ACCEPT), DOCTOR_GATE_OPEN},
        {CHAIN("accept") RULE("in", LIMIT("ct count", "true") DROP), DOCTOR_GATE_OPEN},
        {CHAIN("drop") RULE("in", "{\"queue\":{\"num\":0}}"), DOCTOR_GATE_UNKNOWN},
        // What iptables-nft writes in words of its own.
        {CHAIN("accept") RULE("in", XT("target", "LOG")) RULE("in", XT("target", "REJECT")),
         DOCTOR_GATE_SHUT},
        {CHAIN("drop") RULE("in", XT("match", "multiport") "," ACCEPT), DOCTOR_GATE_UNKNOWN},
        {CHAIN("drop") RULE("in", XT("target", "NFQUEUE")), DOCTOR_GATE_UNKNOWN},
        {"{\"chain\":{\"family\":\"ip6\",\"table\":\"f\",\"name\":\"in\",\"hook\":\"input\","
         "\"policy\":\"drop\"}}",
         DOCTOR_GATE_OPEN},
    };

    json_t *ruleset;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[2048];

        snprintf(text, sizeof text, "{\"nftables\":[%s]}", rows[i].rules);
        ruleset = json(text);
        if (doctor_gate(ruleset, "udp", 50000, false) != rows[i].gate)
            fail_msg("row %zu: %s", i, text);
        json_decref(ruleset);
    }
    ruleset = json("{\"nftables\":[" CHAIN("accept")
                       RULE("in", MATCH(SADDR("ip"), "!=", "\"192.0.2.1\"") DROP) "]}");
    assert_int_equal(doctor_gate(ruleset, "udp", 50000, true), DOCTOR_GATE_OPEN); // over IPv6
    json_decref(ruleset);
    assert_int_equal(doctor_gate(NULL, "udp", 1, true), DOCTOR_GATE_OPEN); // no rules at all
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
