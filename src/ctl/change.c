// SPDX-License-Identifier: ISC
// jingle-relayctl kick, drain, reload and secrets: what changes something in the running daemon.
#include "ctl.h"

static enum ctl_exit ask(struct ctl *ctl, const char *verb, const char *key, json_t **ret_result)
{
    json_t *arguments =
        key && ctl->arguments > 0 ? json_pack("{s:s}", key, ctl->argument[0]) : NULL;
    enum ctl_exit r = ctl_ask(ctl, verb, arguments, ret_result);

    if (r == CTL_OK && ctl->json)
        ctl_json(ctl, *ret_result);
    return r;
}

enum ctl_exit ctl_kick(struct ctl *ctl)
{
    json_t *result = NULL;
    enum ctl_exit r = ask(ctl, "kick", "target", &result);

    if (r == CTL_OK && !ctl->json)
        fprintf(ctl->out, "Ended: %.0f calls, %.0f TURN allocations.\n",
                ctl_number(result, "calls"), ctl_number(result, "allocations"));
    json_decref(result);
    return r;
}

static void print_drain(struct ctl *ctl, const json_t *result)
{
    const json_t *estimate = json_object_get(result, "estimate");
    char half[CTL_VALUE_MAX], most[CTL_VALUE_MAX];

    if (!ctl_true(result, "draining")) {
        fputs("New calls are taken again.\n", ctl->out);
        return;
    }
    fprintf(ctl->out, "No new calls are taken. Running: %.0f calls, %.0f TURN allocations.\n",
            ctl_number(result, "calls"), ctl_number(result, "allocations"));
    if (json_is_object(estimate) && ctl_number(result, "calls") > 0)
        fprintf(ctl->out,
                "By what calls lasted before, they will be over in %s, nearly surely in %s.\n",
                ctl_duration(ctl_number(estimate, "likely_s"), half),
                ctl_duration(ctl_number(estimate, "nearly_sure_s"), most));
    else if (ctl_number(result, "calls") > 0)
        fputs("How long they will last cannot be told: too few calls have ended yet.\n", ctl->out);
    fputs(ctl_true(result, "ends") ? "The daemon ends after the last.\n"
                                   : "The daemon goes on running.\n",
          ctl->out);
}

enum ctl_exit ctl_drain(struct ctl *ctl)
{
    json_t *result = NULL;
    enum ctl_exit r = ask(ctl, "drain", "mode", &result);

    if (r == CTL_OK && !ctl->json)
        print_drain(ctl, result);
    json_decref(result);
    return r;
}

static void print_lines(struct ctl *ctl, const char *head, const json_t *list)
{
    if (json_array_size(list) == 0)
        return;
    fprintf(ctl->out, "%s\n", head);
    for (size_t i = 0; i < json_array_size(list); i++) {
        fputs("  ", ctl->out);
        ctl_text(ctl, json_string_value(json_array_get(list, i)));
        fputs("\n", ctl->out);
    }
}

enum ctl_exit ctl_reload(struct ctl *ctl)
{
    json_t *result = NULL;
    enum ctl_exit r = ask(ctl, "reload", NULL, &result);
    const json_t *applied = json_object_get(result, "applied");
    const json_t *restart = json_object_get(result, "restart");

    if (r == CTL_OK && !ctl->json) {
        if (json_array_size(applied) + json_array_size(restart) == 0)
            fputs("Nothing has changed.\n", ctl->out);
        print_lines(ctl, "In force now:", applied);
        print_lines(
            ctl, "Restart to apply (systemctl restart jingle-relayd; calls survive it):", restart);
        print_lines(ctl, "Warnings:", json_object_get(result, "warnings"));
    }
    json_decref(result);
    return r;
}

enum ctl_exit ctl_secrets(struct ctl *ctl)
{
    json_t *result = NULL;
    enum ctl_exit r = ask(ctl, "secrets", "action", &result);
    char text[CTL_VALUE_MAX];

    if (r == CTL_OK && !ctl->json) {
        fputs("Credentials are made with a new secret from now on.\n", ctl->out);
        fprintf(ctl->out,
                "Those made with the old one are good for another %s; clients that listen are sent "
                "new ones.\n",
                ctl_duration(ctl_number(result, "old_accepted_s"), text));
        print_lines(ctl, "To do:", json_object_get(result, "tell"));
    }
    json_decref(result);
    return r;
}
