// SPDX-License-Identifier: ISC
// jingle-relayctl calls: the running ones first, then the last that ended.
#include "ctl.h"

static void add_row(struct ctl_table *table, const json_t *call)
{
    const char *ended = ctl_string(call, "ended");
    char text[CTL_VALUE_MAX];

    ctl_table_add(table, "%s", ctl_string(call, "id"));
    ctl_table_add(table, "%s", *ended ? ctl_clock(ended, text) : ctl_string(call, "state"));
    if (json_is_number(json_object_get(call, "duration_ms")))
        ctl_table_add(table, "%s", ctl_duration(ctl_number(call, "duration_ms") / 1000, text));
    else
        ctl_table_add(table, "-");
    ctl_table_add(table, "%s", ctl_string(json_object_get(call, "initiator"), "jid"));
    ctl_table_add(table, "%s", ctl_string(json_object_get(call, "responder"), "jid"));
    ctl_table_add(table, "%s", ctl_string(call, "verdict"));
}

static void print_list(struct ctl *ctl, const json_t *list, const char *state)
{
    struct ctl_table table = {.columns = 6,
                              .head = {"CALL", state, "TALK", "FROM", "TO", "VERDICT"},
                              .right = {[2] = true}};

    for (size_t i = 0; i < json_array_size(list); i++)
        add_row(&table, json_array_get(list, i));
    ctl_table_print(ctl, &table);
    ctl_table_free(&table);
}

enum ctl_exit ctl_calls(struct ctl *ctl)
{
    json_t *result = NULL;
    enum ctl_exit r = ctl_ask(ctl, "calls", NULL, &result);
    const json_t *running = json_object_get(result, "calls");
    const json_t *ended = json_object_get(result, "ended");

    if (r != CTL_OK)
        return r;
    if (ctl->json) {
        ctl_json(ctl, result);
    } else {
        if (json_array_size(running) > 0)
            print_list(ctl, running, "STATE");
        else
            fputs("No call is running.\n", ctl->out);
        if (json_array_size(ended) > 0) {
            fputs("\n", ctl->out);
            print_list(ctl, ended, "ENDED");
        }
    }
    json_decref(result);
    return r;
}
