// SPDX-License-Identifier: ISC
// jingle-relayctl allocations: one line for each TURN allocation.
#include "ctl.h"

static void add_row(struct ctl_table *table, const json_t *allocation)
{
    const json_t *relayed = json_object_get(allocation, "relayed");
    const char *address = json_string_value(json_array_get(relayed, 0));
    char text[CTL_VALUE_MAX];

    ctl_table_add(table, "%s", ctl_string(allocation, "identity"));
    ctl_table_add(table, "%s", ctl_string(allocation, "transport"));
    ctl_table_add(table, "%s%s", ctl_string(allocation, "client"),
                  ctl_true(allocation, "away") ? " (away)" : "");
    ctl_table_add(table, "%s%s", address ? address : "-",
                  json_array_size(relayed) > 1 ? " ..." : "");
    ctl_table_add(table, "%.0f", ctl_number(allocation, "permissions"));
    ctl_table_add(table, "%.0f", ctl_number(allocation, "channels"));
    ctl_table_add(table, "%s",
                  ctl_bytes(ctl_number(json_object_get(allocation, "from_peers"), "bytes"), text));
    ctl_table_add(table, "%s",
                  ctl_bytes(ctl_number(json_object_get(allocation, "to_peers"), "bytes"), text));
    ctl_table_add(table, "%s", ctl_duration(ctl_number(allocation, "expires_s"), text));
}

enum ctl_exit ctl_allocations(struct ctl *ctl)
{
    json_t *result = NULL;
    enum ctl_exit r = ctl_ask(ctl, "allocations", NULL, &result);
    const json_t *list = json_object_get(result, "allocations");
    struct ctl_table table = {
        .columns = 9,
        .head = {"USER", "OVER", "CLIENT", "RELAYED", "PEERS", "CHANNELS", "IN", "OUT", "EXPIRES"},
        .right = {[4] = true, [5] = true, [6] = true, [7] = true, [8] = true}};

    if (r != CTL_OK)
        return r;
    for (size_t i = 0; i < json_array_size(list); i++)
        add_row(&table, json_array_get(list, i));
    if (ctl->json)
        ctl_json(ctl, result);
    else if (table.cells == 0)
        fputs("There are no TURN allocations.\n", ctl->out);
    else
        ctl_table_print(ctl, &table);
    ctl_table_free(&table);
    json_decref(result);
    return r;
}
