// SPDX-License-Identifier: ISC
// jingle-relayctl status: a few lines, and an exit status for monitoring.
#include "ctl.h"

static enum ctl_exit print(struct ctl *ctl, const json_t *status)
{
    char text[CTL_VALUE_MAX];
    bool connected = ctl_true(status, "connected"), draining = ctl_true(status, "draining");

    ctl_paint(ctl, CTL_BOLD, ctl_string(status, "domain"));
    fprintf(ctl->out, " (jingle-relayd %s), up for %s\n", ctl_string(status, "version"),
            ctl_duration(ctl_number(status, "uptime_s"), text));
    ctl_paint(ctl, connected ? CTL_GOOD : CTL_BAD,
              connected ? "connected to the XMPP server" : "NOT CONNECTED to the XMPP server");
    fputs("\n", ctl->out);
    if (draining) {
        ctl_paint(ctl, CTL_BAD, "DRAINING: no new calls are taken");
        fputs("\n", ctl->out);
    }
    ctl_field(ctl, "calls", "%.0f", ctl_number(status, "calls"));
    ctl_field(ctl, "allocations", "%.0f", ctl_number(status, "allocations"));
    ctl_field(ctl, "load", "%.0f %%", 100 * ctl_number(status, "load"));
    ctl_field(ctl, "traffic", "%s", ctl_rate(ctl_number(status, "bits_per_second"), text));
    return connected ? CTL_OK : CTL_PROBLEM;
}

enum ctl_exit ctl_status(struct ctl *ctl)
{
    json_t *status = NULL;
    enum ctl_exit r = ctl_ask(ctl, "status", NULL, &status);

    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_json(ctl, status);
        r = ctl_true(status, "connected") ? CTL_OK : CTL_PROBLEM;
    } else {
        r = print(ctl, status);
    }
    json_decref(status);
    return r;
}
