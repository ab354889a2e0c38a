// SPDX-License-Identifier: ISC
// The command line of jingle-relayctl and its table of commands; see ctl.h.
#include "ctl.h"

#include "control.h"
#include "nearest.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOCKET_VARIABLE "JINGLE_RELAYD_SOCKET"

const struct ctl_command ctl_commands[] = {
    {"setup", "DOMAIN [--...]", "after installation: secret, configuration, XMPP server", 0,
     CTL_ARGUMENTS_MAX, ctl_setup},
    {"status", "", "how the relay is doing; ends with 1 if something is wrong", 0, 0, ctl_status},
    {"calls", "", "running calls, and the last that ended", 0, 0, ctl_calls},
    {"call", "ID", "the story of one call", 1, 1, ctl_call},
    {"allocations", "", "what TURN clients have", 0, 0, ctl_allocations},
    {"top", "[SECONDS]", "calls and load, live; q ends it", 0, 1, ctl_top},
    {"kick", "CALL|USER", "end a call, or all of a user (alice@example.org)", 1, 1, ctl_kick},
    {"drain", "[on|stay|off]", "take no new calls, and end after the last (on)", 0, 1, ctl_drain},
    {"reload", "", "read the configuration again, without touching a call", 0, 0, ctl_reload},
    {"secrets", "rotate", "a new secret for TURN credentials", 1, 1, ctl_secrets},
    {"doctor", "", "what is wrong, and the line to change; works without the daemon", 0, 0,
     ctl_doctor},
};

const size_t ctl_command_count = sizeof ctl_commands / sizeof ctl_commands[0];

// ---- usage

static enum ctl_exit usage(FILE *out)
{
    fputs("Usage: jingle-relayctl [OPTION]... COMMAND [ARGUMENT]...\n"
          "Asks the running jingle-relayd, and tells it what to do.\n\n",
          out);
    for (size_t i = 0; i < ctl_command_count; i++) {
        char name[40];

        snprintf(name, sizeof name, "%s %s", ctl_commands[i].name, ctl_commands[i].usage);
        fprintf(out, "  %-22s %s\n", name, ctl_commands[i].help);
    }
    fputs("  help                   print this text, and end\n"
          "\n  -j, --json             print what the daemon says as JSON\n"
          "  -s, --socket PATH      its control socket, instead of " CONTROL_DEFAULT_PATH "\n"
          "  -c, --config FILE      the daemon's configuration, for doctor\n"
          "  -V, --version          print the version, and end\n"
          "  -h, --help             print this text, and end\n\n"
          "Ends with 0 when all is well, 1 when a problem was found, 2 after a wrong command line, "
          "and\n3 when no daemon answers.\n",
          out);
    return CTL_OK;
}

static enum ctl_exit wrong(FILE *err, const char *what, const char *word)
{
    fprintf(err, "jingle-relayctl: %s%s; see --help\n", what, word);
    return CTL_USAGE;
}

static enum ctl_exit unknown_command(FILE *err, const char *word)
{
    const char *best = NULL;
    unsigned least = nearest_limit(word) + 1;

    for (size_t i = 0; i < ctl_command_count; i++) {
        unsigned distance = nearest_distance(word, ctl_commands[i].name);

        if (distance < least) {
            least = distance;
            best = ctl_commands[i].name;
        }
    }
    if (best)
        fprintf(err, "jingle-relayctl: there is no command \"%s\"; did you mean \"%s\"?\n", word,
                best);
    else
        wrong(err, "there is no command ", word);
    return CTL_USAGE;
}

// ---- the command line

static bool is_option(const char *word, const char *letter, const char *name)
{
    return strcmp(word, letter) == 0 || strcmp(word, name) == 0;
}

// "-s PATH", "--socket PATH" or "--socket=PATH"; argv ends with NULL.
static bool takes_path(const char *word, const char *letter, const char *name, char *const argv[],
                       int *i, const char **ret_path)
{
    size_t len = strlen(name);

    if (strncmp(word, name, len) == 0 && word[len] == '=') {
        *ret_path = word + len + 1;
        return true;
    }
    if (!is_option(word, letter, name) || !argv[*i + 1])
        return false;
    *ret_path = argv[++*i];
    return true;
}

static const struct ctl_command *find(const char *name)
{
    for (size_t i = 0; i < ctl_command_count; i++) {
        if (strcmp(ctl_commands[i].name, name) == 0)
            return &ctl_commands[i];
    }
    return NULL;
}

// Whether the options that this program does not know are the command's.
static bool has_own(const char *name)
{
    const struct ctl_command *command = name ? find(name) : NULL;

    return command && strstr(command->usage, "--");
}

// Options may stand before and behind the command. -1: go on; else the program ends with that.
static int parse(struct ctl *ctl, int argc, char *const argv[], const char **ret_command)
{
    bool options = true;

    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];

        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && is_option(word, "-h", "--help"))
            return (int)usage(ctl->out);
        else if (options && is_option(word, "-V", "--version"))
            return fputs("jingle-relayctl " RELAYD_VERSION "\n", ctl->out) < 0;
        else if (options && is_option(word, "-j", "--json"))
            ctl->json = true;
        else if (options && takes_path(word, "-s", "--socket", argv, &i, &ctl->socket))
            ctl->socket_given = true;
        else if (options && takes_path(word, "-c", "--config", argv, &i, &ctl->config))
            continue;
        else if (options &&
                 (is_option(word, "-s", "--socket") || is_option(word, "-c", "--config")))
            return (int)wrong(ctl->err, word, " needs a path");
        else if (options && word[0] == '-' && word[1] && !has_own(*ret_command))
            return (int)wrong(ctl->err, "unknown option ", word);
        else if (!*ret_command)
            *ret_command = word;
        else if (ctl->arguments < CTL_ARGUMENTS_MAX)
            ctl->argument[ctl->arguments++] = word;
        else
            return (int)wrong(ctl->err, "too many arguments", "");
    }
    return -1;
}

// https://no-color.org: the variable counts when it is not empty.
static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int ctl_main(int argc, char *const argv[], FILE *out, FILE *err)
{
    struct ctl ctl = {.out = out, .err = err, .connection = -1};
    const char *name = NULL, *own = getenv(SOCKET_VARIABLE);
    const struct ctl_command *command;
    int r;

    ctl.socket_given = own && *own;
    ctl.socket = ctl.socket_given ? own : CONTROL_DEFAULT_PATH;
    ctl.live = isatty(fileno(out)) == 1;
    ctl.colour = ctl.live && wants_colour();
    r = parse(&ctl, argc, argv, &name);
    if (r >= 0)
        return r;
    if (!name) {
        usage(err);
        return CTL_USAGE;
    }
    if (strcmp(name, "help") == 0)
        return (int)usage(out);
    command = find(name);
    if (!command)
        return (int)unknown_command(err, name);
    if (ctl.arguments < command->least || ctl.arguments > command->most) {
        fprintf(err, "Usage: jingle-relayctl %s%s%s\n", command->name, *command->usage ? " " : "",
                command->usage);
        return CTL_USAGE;
    }
    r = (int)command->run(&ctl);
    ctl_hang_up(&ctl);
    if (fflush(out) != 0 && r == CTL_OK)
        r = CTL_PROBLEM;
    return r;
}
