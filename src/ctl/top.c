// SPDX-License-Identifier: ISC
// jingle-relayctl top: status and calls, again and again. On a terminal the keys sort and end it;
// elsewhere it prints once, or with SECONDS as often as they pass, until it is stopped.
#include "ctl.h"

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define SECONDS_DEFAULT 2
#define SECONDS_MAX     30 // the daemon closes connections that ask for nothing
#define ROWS_DEFAULT    24

enum order { BY_AGE, BY_PACKETS, BY_LOSS };

struct line {
    const json_t *call;
    double packets, lost;
};

static double sum(const json_t *call, const char *from)
{
    char key[2][64];

    snprintf(key[0], sizeof key[0], "%sinitiator", from);
    snprintf(key[1], sizeof key[1], "%sresponder", from);
    return ctl_number(call, key[0]) + ctl_number(call, key[1]);
}

static double share_lost(const struct line *line)
{
    return line->packets + line->lost > 0 ? line->lost / (line->packets + line->lost) : 0;
}

static int descending(double a, double b)
{
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_age(const void *a, const void *b)
{
    const struct line *la = a, *lb = b;

    return strcmp(ctl_string(la->call, "opened"), ctl_string(lb->call, "opened"));
}

static int by_packets(const void *a, const void *b)
{
    const struct line *la = a, *lb = b;

    return descending(la->packets, lb->packets);
}

static int by_loss(const void *a, const void *b)
{
    const struct line *la = a, *lb = b;

    return descending(share_lost(la), share_lost(lb));
}

// ---- one picture

static void print_status(struct ctl *ctl, const json_t *status)
{
    const json_t *capacity = json_object_get(status, "capacity");
    bool connected = ctl_connected(status);
    char text[CTL_VALUE_MAX];

    ctl_paint(ctl, CTL_BOLD, ctl_string(status, "domain"));
    fputs(" - ", ctl->out);
    ctl_paint(ctl, connected ? CTL_GOOD : CTL_BAD, connected ? "connected" : "NOT CONNECTED");
    fprintf(ctl->out, " - load %.0f %% - %s%s\n", 100 * ctl_number(capacity, "load"),
            ctl_rate(ctl_number(capacity, "bits_per_second"), text),
            ctl_true(status, "draining") ? " - DRAINING" : "");
}

static void add_row(struct ctl_table *table, const struct line *line)
{
    char text[CTL_VALUE_MAX];

    ctl_table_add(table, "%s", ctl_string(line->call, "id"));
    ctl_table_add(table, "%s", ctl_string(line->call, "state"));
    ctl_table_add(table, "%s", ctl_duration(ctl_number(line->call, "duration_ms") / 1000, text));
    ctl_table_add(table, "%.0f", line->packets);
    ctl_table_add(table, "%.1f %%", 100 * share_lost(line));
    ctl_table_add(table, "%s", ctl_string(json_object_get(line->call, "initiator"), "jid"));
    ctl_table_add(table, "%s", ctl_string(json_object_get(line->call, "responder"), "jid"));
}

static void print_calls(struct ctl *ctl, const json_t *calls, enum order order, size_t most)
{
    static int (*const compare[])(const void *a, const void *b) = {by_age, by_packets, by_loss};
    size_t count = json_array_size(calls);
    struct line *line = calloc(count + 1, sizeof *line);
    struct ctl_table table = {.columns = 7,
                              .head = {"CALL", "STATE", "TALK", "PACKETS", "LOST", "FROM", "TO"},
                              .right = {[2] = true, [3] = true, [4] = true}};

    for (size_t i = 0; line && i < count; i++) {
        line[i].call = json_array_get(calls, i);
        line[i].packets = sum(line[i].call, "media_packets_from_");
        line[i].lost = sum(line[i].call, "lost_before_relay_from_");
    }
    if (line)
        qsort(line, count, sizeof *line, compare[order]);
    for (size_t i = 0; line && i < count && i < most; i++)
        add_row(&table, &line[i]);
    ctl_table_print(ctl, &table);
    if (count > most)
        fprintf(ctl->out, "and %zu more\n", count - most);
    ctl_table_free(&table);
    free(line);
}

static size_t rows_of_terminal(const struct ctl *ctl)
{
    struct winsize size;

    if (!ctl->live)
        return SIZE_MAX;
    if (ioctl(fileno(ctl->out), TIOCGWINSZ, &size) < 0 || size.ws_row < 8)
        return ROWS_DEFAULT - 5;
    return (size_t)size.ws_row - 5;
}

static enum ctl_exit picture(struct ctl *ctl, enum order order)
{
    static const char *const names[] = {"age", "packets", "loss"};
    json_t *status = NULL, *calls = NULL;
    enum ctl_exit r = ctl_ask(ctl, "status", NULL, &status);

    if (r == CTL_OK)
        r = ctl_ask(ctl, "calls", NULL, &calls);
    if (r == CTL_OK && ctl->json) {
        json_t *both =
            json_pack("{s:O, s:O}", "status", status, "calls", json_object_get(calls, "calls"));

        ctl_json(ctl, both);
        json_decref(both);
    } else if (r == CTL_OK) {
        if (ctl->live)
            fputs("\033[H\033[J", ctl->out);
        print_status(ctl, status);
        print_calls(ctl, json_object_get(calls, "calls"), order, rows_of_terminal(ctl));
        if (ctl->live)
            fprintf(ctl->out, "\nby %s; a: age, p: packets, l: loss, q: quit\n", names[order]);
    }
    fflush(ctl->out);
    json_decref(status);
    json_decref(calls);
    return r;
}

// ---- keys

static bool take_key(char key, enum order *order)
{
    if (key == 'a')
        *order = BY_AGE;
    else if (key == 'p')
        *order = BY_PACKETS;
    else if (key == 'l')
        *order = BY_LOSS;
    return key != 'q' && key != 'Q' && key != 3; // 3: ^C
}

// False: quit.
static bool wait_for_key(unsigned seconds, bool keys, enum order *order)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;

    if (poll(&in, keys ? 1 : 0, (int)seconds * 1000) <= 0)
        return true;
    if (read(STDIN_FILENO, &key, 1) != 1)
        return false;
    return take_key(key, order);
}

static enum ctl_exit loop(struct ctl *ctl, unsigned seconds, bool keys)
{
    enum order order = BY_AGE;
    enum ctl_exit r;

    do
        r = picture(ctl, order);
    while (r == CTL_OK && seconds > 0 && !ferror(ctl->out) && wait_for_key(seconds, keys, &order));
    return r;
}

enum ctl_exit ctl_top(struct ctl *ctl)
{
    struct termios before, raw;
    bool keys = ctl->live && !ctl->json && tcgetattr(STDIN_FILENO, &before) == 0;
    unsigned long seconds = ctl->live && !ctl->json ? SECONDS_DEFAULT : 0;
    enum ctl_exit r;
    char *end;

    if (ctl->arguments > 0) {
        seconds = strtoul(ctl->argument[0], &end, 10);
        if (*end || end == ctl->argument[0] || seconds < 1 || seconds > SECONDS_MAX) {
            fprintf(ctl->err, "jingle-relayctl: top: expected 1 to %d seconds\n", SECONDS_MAX);
            return CTL_USAGE;
        }
    }
    if (keys) {
        raw = before;
        // ISIG: ended by ^C as a signal, it would leave a terminal that shows no typing.
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    r = loop(ctl, (unsigned)seconds, keys);
    if (keys)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return r;
}
