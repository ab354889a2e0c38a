// SPDX-License-Identifier: ISC
// The table of checks, how they are run, and how their findings are told; see doctor.h.
#include "doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct doctor_row {
    const char *name;
    void (*run)(struct doctor *doctor);
    bool configured; // it needs the configuration
} rows[] = {
    {"configuration", doctor_check_configuration, false},
    {"files", doctor_check_files, true},
    {"daemon", doctor_check_daemon, false},
    {"component", doctor_check_link, true},
    {"server module", doctor_check_module, true},
    {"services told", doctor_check_services, true},
    {"clock", doctor_check_clock, true},
    {"addresses", doctor_check_addresses, true},
    {"DNS", doctor_check_names, true},
    {"certificate", doctor_check_certificate, true},
    {"ports", doctor_check_ports, true},
    {"firewall", doctor_check_firewall, true},
    {"relayed echo", doctor_check_echo, true},
    {"descriptors", doctor_check_descriptors, true},
    {"kernel buffers", doctor_check_buffers, true},
    {"MTU", doctor_check_mtu, true},
    {"fast path", doctor_check_fastpath, true},
};

// ---- findings

static char *print(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

static char *print(const char *format, va_list args)
{
    char *text = NULL;

    return vasprintf(&text, format, args) < 0 ? NULL : text;
}

void doctor_find(struct doctor *doctor, enum doctor_level level, const char *format, ...)
{
    struct doctor_finding *all = reallocarray(doctor->finding, doctor->findings + 1, sizeof *all);
    va_list args;

    if (!all)
        return;
    doctor->finding = all;
    va_start(args, format);
    all[doctor->findings++] =
        (struct doctor_finding){doctor->check, level, print(format, args), NULL};
    va_end(args);
}

// Leaves out the lines for another server than the one that is here.
static void leave_out(enum doctor_server server, char *text)
{
    static const char *const starts[] = {
        [DOCTOR_SERVER_PROSODY] = "ejabberd: ", [DOCTOR_SERVER_EJABBERD] = "Prosody: "};
    char *out = text;

    if (server == DOCTOR_SERVER_UNKNOWN || !text)
        return;
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");

        len += line[len] == '\n';
        if (strncmp(line, starts[server], strlen(starts[server])) != 0) {
            memmove(out, line, len);
            out += len;
        }
        line += len;
    }
    if (out > text && out[-1] == '\n')
        out--;
    *out = '\0';
}

void doctor_change(struct doctor *doctor, const char *format, ...)
{
    struct doctor_finding *last;
    va_list args;

    if (doctor->findings == 0)
        return;
    last = &doctor->finding[doctor->findings - 1];
    free(last->change);
    va_start(args, format);
    last->change = print(format, args);
    va_end(args);
    leave_out(doctor->server, last->change);
    if (last->change && !*last->change) { // all of it was for the other one
        free(last->change);
        last->change = NULL;
    }
}

enum doctor_level doctor_worst(const struct doctor *doctor)
{
    enum doctor_level worst = DOCTOR_OK;

    for (size_t i = 0; i < doctor->findings; i++) {
        if (doctor->finding[i].level > worst)
            worst = doctor->finding[i].level;
    }
    return worst;
}

const char *doctor_host(const struct doctor *doctor, char text[ADDR_TEXT_MAX])
{
    if (doctor->config.turn.host)
        return doctor->config.turn.host;
    for (unsigned i = 0; i < 2; i++) {
        if (doctor->config.relay.advertise[i].addr.family != FAMILY_NONE)
            return addr_format_ip(&doctor->config.relay.advertise[i].addr, text);
    }
    return NULL;
}

void doctor_free(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->findings; i++) {
        free(doctor->finding[i].text);
        free(doctor->finding[i].change);
    }
    free(doctor->finding);
    free(doctor->path);
    config_free(&doctor->config);
    json_decref(doctor->facts);
}

// ---- telling

static const char *const words[] = {"ok", "skipped", "warning", "PROBLEM"};

static void tell(struct ctl *ctl, const struct doctor_finding *finding, bool first)
{
    static const enum ctl_colour colours[] = {CTL_GOOD, CTL_DIM, CTL_BOLD, CTL_BAD};

    fprintf(ctl->out, "%-15s ", first ? finding->check : "");
    ctl_paint(ctl, colours[finding->level], words[finding->level]);
    fprintf(ctl->out, "%*s", (int)(9 - strlen(words[finding->level])), "");
    ctl_text(ctl, finding->text ? finding->text : "out of memory");
    fputs("\n", ctl->out);
    for (const char *line = finding->change; line && *line;) {
        size_t len = strcspn(line, "\n");
        char *text = strndup(line, len);

        fprintf(ctl->out, "%25s%s ", "", line == finding->change ? "->" : "  ");
        ctl_text(ctl, text ? text : "out of memory");
        free(text);
        fputs("\n", ctl->out);
        line += len + (line[len] == '\n');
    }
}

static void tell_all(const struct doctor *doctor)
{
    unsigned count[DOCTOR_PROBLEM + 1] = {0};

    for (size_t i = 0; i < doctor->findings; i++) {
        const struct doctor_finding *finding = &doctor->finding[i];

        tell(doctor->ctl, finding, i == 0 || finding[-1].check != finding->check);
        count[finding->level]++;
    }
    fprintf(doctor->ctl->out, "\n%u problems, %u warnings\n", count[DOCTOR_PROBLEM],
            count[DOCTOR_WARNING]);
}

static void tell_json(const struct doctor *doctor)
{
    static const char *const levels[] = {"ok", "skipped", "warning", "problem"};
    json_t *list = json_array(), *json;

    for (size_t i = 0; i < doctor->findings; i++) {
        const struct doctor_finding *finding = &doctor->finding[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:s?, s:s?}", "check", finding->check,
                                              "level", levels[finding->level], "text",
                                              finding->text, "change", finding->change));
    }
    json = json_pack("{s:b, s:o}", "ok", doctor_worst(doctor) < DOCTOR_PROBLEM, "findings", list);
    ctl_json(doctor->ctl, json);
    json_decref(json);
}

// ---- running

enum ctl_exit ctl_doctor(struct ctl *ctl)
{
    struct doctor doctor = {.ctl = ctl};
    enum doctor_level worst;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        doctor.check = rows[i].name;
        if (rows[i].configured && !doctor.configured)
            doctor_find(&doctor, DOCTOR_SKIPPED, "not without the configuration");
        else
            rows[i].run(&doctor);
    }
    if (ctl->json)
        tell_json(&doctor);
    else
        tell_all(&doctor);
    worst = doctor_worst(&doctor);
    doctor_free(&doctor);
    return worst == DOCTOR_PROBLEM ? CTL_PROBLEM : CTL_OK;
}
