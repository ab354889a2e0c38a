// SPDX-License-Identifier: ISC
// jingle-relayctl: asks the running daemon by its control socket (src/app/control.h) and prints
// what it says, for people or, with --json, as it came.
//
// A command is one row of the table in ctl.c and one file. It asks by ctl_ask(), prints to 'out',
// and returns how the program ends.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum ctl_exit {
    CTL_OK = 0,
    CTL_PROBLEM = 1, // found one, or the daemon refused
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3, // no daemon answers
};

#define CTL_ARGUMENTS_MAX 12

struct ctl {
    const char *socket;
    bool socket_given;  // by whoever runs it
    const char *config; // the daemon's, for those that read it; NULL: not given
    bool json;          // print what the daemon says and nothing else
    bool colour;        // 'out' is a terminal that wants it
    bool live;          // 'out' is a terminal
    FILE *out, *err;
    const char *argument[CTL_ARGUMENTS_MAX]; // of the command
    int arguments;
    int connection; // to the daemon; -1: not yet
};

struct ctl_command {
    const char *name;
    const char *usage; // its arguments; with "--" in it, it has options of its own among them
    const char *help;
    int least, most; // arguments
    enum ctl_exit (*run)(struct ctl *ctl);
};

extern const struct ctl_command ctl_commands[];
extern const size_t ctl_command_count;

// All of the program. Messages go to 'err'.
int ctl_main(int argc, char *const argv[], FILE *out, FILE *err);

// ---- client.c

// Asks for a verb; 'arguments' is taken over, NULL: none. With CTL_OK '*ret_result' is the
// caller's; else what is wrong has been said.
enum ctl_exit ctl_ask(struct ctl *ctl, const char *verb, json_t *arguments, json_t **ret_result);
void ctl_hang_up(struct ctl *ctl);

// ---- print.c

enum ctl_colour { CTL_PLAIN, CTL_GOOD, CTL_BAD, CTL_DIM, CTL_BOLD };

void ctl_json(struct ctl *ctl, const json_t *json);
// Text of strangers: what could steer a terminal is replaced.
void ctl_text(struct ctl *ctl, const char *text);
void ctl_complain(struct ctl *ctl, const char *text); // the same to 'err'; it may have lines
void ctl_paint(struct ctl *ctl, enum ctl_colour colour, const char *text);
// "label:   value", aligned.
void ctl_field(struct ctl *ctl, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Lines of cells. The cells are copied; too many columns or lack of memory leave cells out.
#define CTL_COLUMNS_MAX 10
struct ctl_table {
    unsigned columns;
    const char *head[CTL_COLUMNS_MAX];
    bool right[CTL_COLUMNS_MAX]; // numbers
    char **cell;                 // owned, row by row
    size_t cells, size;
};
void ctl_table_add(struct ctl_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void ctl_table_print(struct ctl *ctl, const struct ctl_table *table);
void ctl_table_free(struct ctl_table *table);

// ---- values.c: pieces of what the daemon says

const char *ctl_string(const json_t *object, const char *key); // "" if there is none
double ctl_number(const json_t *object, const char *key);      // 0 if there is none
bool ctl_true(const json_t *object, const char *key);
// Below: into 'text', which is returned.
#define CTL_VALUE_MAX 64
const char *ctl_duration(double seconds, char text[CTL_VALUE_MAX]); // "1 h 02 min", "12 s"
const char *ctl_rate(double bits_per_second, char text[CTL_VALUE_MAX]);
const char *ctl_bytes(double bytes, char text[CTL_VALUE_MAX]);
const char *ctl_clock(const char *rfc3339, char text[CTL_VALUE_MAX]); // "07:41:18"

// ---- one file each

bool ctl_connected(const json_t *status); // what the verb says

enum ctl_exit ctl_status(struct ctl *ctl);
enum ctl_exit ctl_calls(struct ctl *ctl);
enum ctl_exit ctl_call(struct ctl *ctl);
enum ctl_exit ctl_allocations(struct ctl *ctl);
enum ctl_exit ctl_top(struct ctl *ctl);
enum ctl_exit ctl_kick(struct ctl *ctl);
enum ctl_exit ctl_drain(struct ctl *ctl);
enum ctl_exit ctl_reload(struct ctl *ctl);
enum ctl_exit ctl_secrets(struct ctl *ctl);
enum ctl_exit ctl_doctor(struct ctl *ctl); // doctor.h
enum ctl_exit ctl_setup(struct ctl *ctl);  // setup.h
