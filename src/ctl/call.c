// SPDX-License-Identifier: ISC
// jingle-relayctl call ID: who called whom, what came of it in plain words, what happened in which
// order, what was offered, and what each leg carried.
#include "ctl.h"

#include <string.h>

static const char *const sides[] = {"initiator", "responder"};

static void print_head(struct ctl *ctl, const json_t *call)
{
    const char *health = ctl_string(call, "health"), *reason = ctl_string(call, "end_reason");
    char text[CTL_VALUE_MAX];

    ctl_paint(ctl, CTL_BOLD, ctl_string(json_object_get(call, "initiator"), "jid"));
    fputs(" called ", ctl->out);
    ctl_paint(ctl, CTL_BOLD, ctl_string(json_object_get(call, "responder"), "jid"));
    fputs("\n", ctl->out);
    ctl_paint(ctl,
              strcmp(health, "bad") == 0    ? CTL_BAD
              : strcmp(health, "good") == 0 ? CTL_GOOD
                                            : CTL_PLAIN,
              ctl_string(call, "verdict"));
    fputs("\n", ctl->out);
    if (*ctl_string(call, "advice"))
        ctl_text(ctl, ctl_string(call, "advice"));
    fputs(*ctl_string(call, "advice") ? "\n\n" : "\n", ctl->out);
    ctl_field(ctl, "call", "%s, sid %s", ctl_string(call, "id"), ctl_string(call, "sid"));
    ctl_field(ctl, "state", "%s%s%s", ctl_string(call, "state"), *reason ? ", " : "", reason);
    ctl_field(ctl, "door", "%s", ctl_string(call, "door"));
    ctl_field(ctl, "opened", "%s", ctl_string(call, "opened"));
    if (*ctl_string(call, "accepted"))
        ctl_field(ctl, "accepted", "%s", ctl_string(call, "accepted"));
    if (*ctl_string(call, "ended"))
        ctl_field(ctl, "ended", "%s", ctl_string(call, "ended"));
    if (json_is_number(json_object_get(call, "duration_ms")))
        ctl_field(ctl, "duration", "%s",
                  ctl_duration(ctl_number(call, "duration_ms") / 1000, text));
    if (json_is_number(json_object_get(call, "setup_ms")))
        ctl_field(ctl, "first media", "%.0f ms after the offer", ctl_number(call, "setup_ms"));
}

// ---- what happened

static void add_what(struct ctl_table *table, const json_t *step)
{
    const char *action = ctl_string(step, "action");
    double path = ctl_number(step, "path");
    char text[CTL_VALUE_MAX];

    snprintf(text, sizeof text, "%s", *action ? action : ctl_string(step, "what"));
    for (char *p = text; *p; p++) {
        if (*p == '_')
            *p = ' ';
    }
    if (path > 0)
        ctl_table_add(table, "%s, path %.0f", text, path);
    else
        ctl_table_add(table, "%s", text);
}

static void add_step(struct ctl_table *table, const json_t *step)
{
    const char *address = ctl_string(step, "address");
    double times = ctl_number(step, "times");

    ctl_table_add(table, "%.3f s", ctl_number(step, "at_ms") / 1000);
    ctl_table_add(table, "%s", ctl_string(step, "by"));
    add_what(table, step);
    if (times > 1)
        ctl_table_add(table, "%s%s%.0f times", address, *address ? ", " : "", times);
    else
        ctl_table_add(table, "%s", address);
}

static void print_steps(struct ctl *ctl, const json_t *call)
{
    const json_t *steps = json_object_get(call, "steps");
    struct ctl_table table = {.columns = 4, .head = {"AFTER", "BY", "WHAT", ""}, .right = {true}};

    if (json_array_size(steps) == 0)
        return;
    for (size_t i = 0; i < json_array_size(steps); i++)
        add_step(&table, json_array_get(steps, i));
    fputs("\n", ctl->out);
    ctl_table_print(ctl, &table);
    ctl_table_free(&table);
    if (ctl_number(call, "steps_left_out") > 0)
        fprintf(ctl->out, "and %.0f more\n", ctl_number(call, "steps_left_out"));
}

// ---- what was offered

static void add_candidates(struct ctl_table *table, const json_t *content)
{
    const json_t *offered = json_object_get(content, "candidates_offered");

    for (int side = 0; side < 2; side++) {
        const json_t *list = json_object_get(offered, sides[side]);

        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *candidate = json_array_get(list, i);

            ctl_table_add(table, "%s", ctl_string(content, "name"));
            ctl_table_add(table, "%s", sides[side]);
            ctl_table_add(table, "%s", ctl_string(candidate, "type"));
            ctl_table_add(table, "%s", ctl_string(candidate, "protocol"));
            ctl_table_add(table, "%s", ctl_string(candidate, "address"));
        }
    }
}

static void print_candidates(struct ctl *ctl, const json_t *call)
{
    const json_t *contents = json_object_get(call, "contents");
    struct ctl_table table = {.columns = 5,
                              .head = {"CONTENT", "OFFERED BY", "TYPE", "PROTOCOL", "CANDIDATE"}};

    for (size_t i = 0; i < json_array_size(contents); i++)
        add_candidates(&table, json_array_get(contents, i));
    if (table.cells > 0) {
        fputs("\n", ctl->out);
        ctl_table_print(ctl, &table);
    }
    ctl_table_free(&table);
}

// ---- what was carried

static const char *selected_source(const json_t *leg)
{
    const json_t *sources = json_object_get(leg, "sources");

    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *source = json_array_get(sources, i);

        if (ctl_true(source, "selected"))
            return ctl_string(source, "address");
    }
    return "-";
}

// Of all streams together; the jitter is the greatest.
static void add_quality(struct ctl_table *table, const json_t *leg)
{
    const json_t *streams = json_object_get(leg, "streams");
    double received = 0, lost = 0, jitter = 0;

    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *stream = json_array_get(streams, i);

        received += ctl_number(stream, "received");
        lost += ctl_number(stream, "lost");
        if (ctl_number(stream, "jitter_ms") > jitter)
            jitter = ctl_number(stream, "jitter_ms");
    }
    if (received + lost > 0) {
        ctl_table_add(table, "%.1f %%", 100 * lost / (received + lost));
        ctl_table_add(table, "%.1f ms", jitter);
    } else {
        ctl_table_add(table, "-");
        ctl_table_add(table, "-");
    }
}

static void add_leg(struct ctl_table *table, const json_t *path, const char *side)
{
    const json_t *leg = json_object_get(path, side);
    char text[CTL_VALUE_MAX];

    ctl_table_add(table, "%.0f %s", ctl_number(path, "path"), ctl_string(path, "mode"));
    ctl_table_add(table, "%s", side);
    ctl_table_add(table, "%s", selected_source(leg));
    ctl_table_add(table, "%.0f", ctl_number(leg, "packets_in"));
    ctl_table_add(table, "%s", ctl_bytes(ctl_number(leg, "bytes_in"), text));
    add_quality(table, leg);
    if (json_is_number(json_object_get(leg, "rtt_ms")))
        ctl_table_add(table, "%.1f ms", ctl_number(leg, "rtt_ms"));
    else
        ctl_table_add(table, "-");
    ctl_table_add(table, "%.0f", ctl_number(leg, "checks"));
    ctl_table_add(table, "%s", ctl_true(leg, "in_kernel") ? "kernel" : "daemon");
}

static void print_legs(struct ctl *ctl, const json_t *call)
{
    const json_t *paths = json_object_get(call, "paths");
    struct ctl_table table = {
        .columns = 10,
        .head = {"PATH", "LEG", "CLIENT AT", "PACKETS", "BYTES", "LOST", "JITTER", "RTT", "CHECKS",
                 "BY"},
        .right = {[3] = true, [4] = true, [5] = true, [6] = true, [7] = true, [8] = true}};

    for (size_t i = 0; i < json_array_size(paths); i++) {
        for (int side = 0; side < 2; side++)
            add_leg(&table, json_array_get(paths, i), sides[side]);
    }
    if (table.cells > 0) {
        fputs("\n", ctl->out);
        ctl_table_print(ctl, &table);
    }
    ctl_table_free(&table);
    fputs("\n", ctl->out);
    for (int side = 0; side < 2; side++) {
        const char *key = side == 0 ? "mos_from_initiator" : "mos_from_responder";

        if (json_is_number(json_object_get(call, key)))
            ctl_field(ctl, "MOS", "%.2f from the %s", ctl_number(call, key), sides[side]);
    }
}

enum ctl_exit ctl_call(struct ctl *ctl)
{
    json_t *call = NULL;
    enum ctl_exit r = ctl_ask(ctl, "call", json_pack("{s:s}", "id", ctl->argument[0]), &call);

    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_json(ctl, call);
    } else {
        print_head(ctl, call);
        print_steps(ctl, call);
        print_candidates(ctl, call);
        print_legs(ctl, call);
    }
    json_decref(call);
    return r;
}
