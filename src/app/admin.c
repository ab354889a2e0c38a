// SPDX-License-Identifier: ISC
// From verbs to the parts of the daemon; see admin.h.
#include "admin.h"

#include "base/log.h"
#include "platform/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct admin {
    struct admin_parts parts;
    struct verbs *verbs;
    struct control *control; // NULL: none
};

static json_t *status(void *ctx)
{
    const struct admin *admin = ctx;
    const struct admin_parts *p = &admin->parts;
    const struct admission_view view = admission_view(p->admission, usec_now());

    return json_pack(
        "{s:s, s:s, s:b, s:I, s:i, s:f, s:f}", "version", RELAYD_VERSION, "domain",
        p->config->xmpp.domain, "connected", counter_get(p->counters, COUNTER_COMPONENT_UP) != 0,
        "uptime_s", (json_int_t)((usec_now() - p->started) / USEC_PER_SEC), "calls",
        (int)signal_calls(p->signal), "load", view.load, "bits_per_second", 8 * view.bandwidth);
}

static void hand_over(void *ctx, int connection)
{
    const struct admin *admin = ctx;

    admin->parts.hand_over(admin->parts.ctx, connection);
}

// ---- life

static int open_socket(struct admin *admin)
{
    const char *path = admin->parts.config->control.socket;
    int r;

    if (strcmp(path, "none") == 0)
        return 0;
    r = control_new(admin->parts.base, path, admin->verbs, admin->parts.counters, &admin->control);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        log_warning("control.socket = %s: jingle-relayctl cannot reach this daemon: %s", path,
                    r == -EADDRINUSE ? "another daemon has it" : strerror(-r));
    return 0;
}

int admin_new(const struct admin_parts *parts, struct admin **ret_admin)
{
    struct admin *admin = calloc(1, sizeof *admin);
    const struct verbs_world world = {
        .inquiry = parts->inquiry,
        .ctx = admin,
        .status = status,
        .hand_over = parts->hand_over ? hand_over : NULL,
    };
    int r;

    if (!admin)
        return -ENOMEM;
    admin->parts = *parts;
    r = verbs_new(&world, &admin->verbs);
    if (r == 0)
        r = open_socket(admin);
    if (r < 0) {
        admin_free(admin);
        return r;
    }
    *ret_admin = admin;
    return 0;
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    verbs_free(admin->verbs);
    control_free(admin->control);
    free(admin);
}
