// SPDX-License-Identifier: ISC
// jingle-relayctl status: a few lines, and an exit status for monitoring.
#include "ctl.h"

#include <string.h>

bool ctl_connected(const json_t *status)
{
    return ctl_true(json_object_get(status, "component"), "connected");
}

// By state, over all doors.
static double calls_in(const json_t *status, const char *state)
{
    static const char *const doors[] = {"addressed", "channel", "diverted"};
    const json_t *calls = json_object_get(status, "calls");
    double sum = 0;

    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++)
        sum += ctl_number(json_object_get(calls, doors[i]), state);
    return sum;
}

// What the daemon's test of itself has found wrong. True: nothing.
static bool print_selftest(struct ctl *ctl, const json_t *selftest)
{
    const json_t *findings = json_object_get(selftest, "findings");

    if (!json_is_object(selftest))
        return true;
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *finding = json_array_get(findings, i);

        if (ctl_true(finding, "ok") || ctl->json)
            continue;
        ctl_paint(ctl, CTL_BAD, ctl_string(finding, "text"));
        fputs("\n", ctl->out);
    }
    return ctl_true(selftest, "ok");
}

static void print_room(struct ctl *ctl, const json_t *capacity)
{
    const json_t *room = json_object_get(capacity, "calls");
    const char *bound = ctl_string(room, "bound");
    bool bounded = *bound && strcmp(bound, "none") != 0;

    ctl_field(ctl, "load", "%.0f %%", 100 * ctl_number(capacity, "load"));
    if (bounded)
        ctl_field(ctl, "room for", "%.0f more calls, bound by the %s", ctl_number(room, "room"),
                  bound);
}

static void print(struct ctl *ctl, const json_t *status)
{
    const json_t *capacity = json_object_get(status, "capacity");
    const json_t *turn = json_object_get(status, "turn"), *ports = json_object_get(status, "ports");
    bool connected = ctl_connected(status);
    char text[CTL_VALUE_MAX];

    ctl_paint(ctl, CTL_BOLD, ctl_string(status, "domain"));
    fprintf(ctl->out, " (jingle-relayd %s), up for %s\n", ctl_string(status, "version"),
            ctl_duration(ctl_number(status, "uptime_ms") / 1000, text));
    ctl_paint(ctl, connected ? CTL_GOOD : CTL_BAD,
              connected ? "connected to the XMPP server" : "NOT CONNECTED to the XMPP server");
    fputs("\n", ctl->out);
    if (ctl_true(status, "draining")) {
        ctl_paint(ctl, CTL_BAD, "DRAINING: no new calls are taken");
        fputs("\n", ctl->out);
    }
    ctl_field(ctl, "calls", "%.0f active, %.0f ringing, %.0f being set up",
              calls_in(status, "active"), calls_in(status, "ringing"), calls_in(status, "setup"));
    ctl_field(ctl, "TURN", "%.0f allocations, %.0f connections", ctl_number(turn, "allocations"),
              ctl_number(turn, "connections"));
    ctl_field(ctl, "traffic", "%s", ctl_rate(ctl_number(capacity, "bits_per_second"), text));
    print_room(ctl, capacity);
    ctl_field(ctl, "ports", "%.0f used, %.0f free", ctl_number(ports, "used"),
              ctl_number(ports, "free"));
}

enum ctl_exit ctl_status(struct ctl *ctl)
{
    json_t *status = NULL;
    enum ctl_exit r = ctl_ask(ctl, "status", NULL, &status);

    if (r != CTL_OK)
        return r;
    if (ctl->json)
        ctl_json(ctl, status);
    else
        print(ctl, status);
    if (!print_selftest(ctl, json_object_get(status, "selftest")) || !ctl_connected(status))
        r = CTL_PROBLEM;
    json_decref(status);
    return r;
}
