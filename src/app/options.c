// SPDX-License-Identifier: ISC
// The command line: one row per option, from which getopt's table, --help and the suggestion for a
// misspelt option follow.
#include "options.h"

#include "config.h"
#include "local_addr.h"
#include "nearest.h"
#include "platform/tls.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

struct option_row {
    const char *name;
    int letter; // what getopt_long() returns; also the short option when it is printable
    const char *argument;
    const char *help;
};

enum { LETTER_CHECK = 256, LETTER_PRINT, LETTER_DRAIN, LETTER_TAKE_OVER };

static const struct option_row rows[] = {
    {"config", 'c', "FILE", "read this configuration instead of " CONFIG_DEFAULT_PATH},
    {"check-config", LETTER_CHECK, NULL, "say whether the configuration is right, and end"},
    {"print-config", LETTER_PRINT, NULL, "print the values in force, and end"},
    {"drain", LETTER_DRAIN, NULL, "on SIGTERM wait for running calls instead of ending them"},
    {"take-over", LETTER_TAKE_OVER, NULL,
     "go on with the calls of the daemon that runs now, which ends"},
    {"version", 'V', NULL, "print the version, and end"},
    {"help", 'h', NULL, "print this text, and end"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
// The plus sign keeps getopt from moving arguments, so that errors name the right one.
#define SHORT_OPTIONS "+:c:Vh"

// ---- parsing

static const char *nearest_option(const char *word)
{
    const char *best = NULL;
    unsigned best_distance = nearest_limit(word) + 1;
    for (size_t i = 0; i < ROWS; i++) {
        unsigned distance = nearest_distance(word, rows[i].name);
        if (distance < best_distance) {
            best = rows[i].name;
            best_distance = distance;
        }
    }
    return best;
}

static int refuse_unknown(const char *word, int letter, char *error, size_t size)
{
    bool is_long = word && strncmp(word, "--", 2) == 0;
    char name[64];
    if (!is_long) {
        snprintf(error, size, "unknown option -%c; see --help", letter);
        return -EINVAL;
    }
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *near = nearest_option(name);
    if (near && strcmp(near, name) == 0)
        snprintf(error, size, "--%s takes no argument", name);
    else if (near)
        snprintf(error, size, "unknown option --%s; did you mean --%s?", name, near);
    else
        snprintf(error, size, "unknown option --%s; see --help", name);
    return -EINVAL;
}

static int set_action(struct options *options, enum options_action action, char *error, size_t size)
{
    if (options->action != OPTIONS_RUN && options->action != action) {
        snprintf(error, size,
                 "expected only one of --check-config, --print-config, --version and "
                 "--help");
        return -EINVAL;
    }
    options->action = action;
    return 0;
}

static void fill_getopt(struct option option[ROWS + 1])
{
    memset(option, 0, (ROWS + 1) * sizeof(*option));
    for (size_t i = 0; i < ROWS; i++) {
        option[i].name = rows[i].name;
        option[i].has_arg = rows[i].argument ? required_argument : no_argument;
        option[i].val = rows[i].letter;
    }
}

static int take_option(struct options *options, int letter, const char *word, char *error,
                       size_t size)
{
    switch (letter) {
    case 'c':
        options->config_path = optarg;
        return 0;
    case LETTER_CHECK:
        return set_action(options, OPTIONS_CHECK_CONFIG, error, size);
    case LETTER_PRINT:
        return set_action(options, OPTIONS_PRINT_CONFIG, error, size);
    case LETTER_DRAIN:
        options->drain = true;
        return 0;
    case LETTER_TAKE_OVER:
        options->take_over = true;
        return 0;
    case 'V':
        return set_action(options, OPTIONS_VERSION, error, size);
    case 'h':
        return set_action(options, OPTIONS_HELP, error, size);
    case ':':
        snprintf(error, size, "%s needs an argument; see --help", word);
        return -EINVAL;
    default:
        return refuse_unknown(word, optopt, error, size);
    }
}

int options_parse(int argc, char *const argv[], struct options *ret_options, char *error,
                  size_t error_size)
{
    struct option option[ROWS + 1];
    struct options options = {.config_path = CONFIG_DEFAULT_PATH};
    fill_getopt(option);
    opterr = 0;
    optind = 0; // GNU: begin anew
    int r = 0;
    while (r == 0) {
        int at = optind > 0 ? optind : 1;
        int letter = getopt_long(argc, argv, SHORT_OPTIONS, option, NULL);
        if (letter < 0)
            break;
        r = take_option(&options, letter, at < argc ? argv[at] : NULL, error, error_size);
    }
    if (r == 0 && optind < argc) {
        snprintf(error, error_size, "unexpected argument \"%s\"; see --help", argv[optind]);
        r = -EINVAL;
    }
    if (r == 0)
        *ret_options = options;
    return r;
}

// ---- answers

static void print_help(FILE *out)
{
    fputs("Usage: jingle-relayd [OPTION]...\n"
          "Relays Jingle calls of an XMPP server when no direct path is found.\n\n",
          out);
    for (size_t i = 0; i < ROWS; i++) {
        char name[48];
        bool has_short = rows[i].letter <= UCHAR_MAX;
        snprintf(name, sizeof(name), "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                 rows[i].argument ? rows[i].argument : "");
        fprintf(out, "  %c%c%s %-16s %s\n", has_short ? '-' : ' ', has_short ? rows[i].letter : ' ',
                has_short ? "," : " ", name, rows[i].help);
    }
    fputs("\nThe configuration is described in jingle-relayd.conf(5).\n", out);
}

static void print_errors(const struct config_errors *errors, FILE *err)
{
    for (size_t i = 0; i < errors->count; i++)
        fprintf(err, "%s: %s\n", errors->item[i].warning ? "warning" : "error",
                errors->item[i].text);
}

static void print_addresses(const struct config *config, FILE *out)
{
    const char *separator = " on ";
    for (int i = 0; i < 2; i++) {
        const struct addr *address = &config->relay.address[i].addr;
        const struct addr *advertise = &config->relay.advertise[i].addr;
        char text[ADDR_TEXT_MAX];
        if (address->family == FAMILY_NONE)
            continue;
        fprintf(out, "%s%s", separator, addr_format_ip(address, text));
        if (!addr_equal_ip(address, advertise))
            fprintf(out, " (advertised as %s)", addr_format_ip(advertise, text));
        separator = " and ";
    }
}

static void print_ports(const char *what, const struct config_port_list *ports, FILE *out)
{
    fputs(what, out);
    for (size_t i = 0; i < ports->count; i++)
        fprintf(out, "%s %u", i == 0 ? "" : ",", (unsigned)ports->item[i]);
}

static void print_turn(const struct config *config, FILE *out)
{
    if (!config->turn.enabled)
        return;
    print_ports("; TURN on UDP and TCP ports", &config->turn.ports, out);
    if (config->turn.certificate)
        print_ports(", with TLS and DTLS there and on", &config->turn.tls_ports, out);
}

static void print_summary(const struct config *config, FILE *out)
{
    char text[ADDR_TEXT_MAX];
    fprintf(out, "OK: %s relays for", config->xmpp.domain);
    for (size_t i = 0; i < config->xmpp.served_domains.count; i++)
        fprintf(out, "%s %s", i == 0 ? "" : ",", config->xmpp.served_domains.item[i]);
    fprintf(out, "; component of %s port %u; UDP ports %u-%u", config->xmpp.server,
            config->xmpp.port, (unsigned)config->relay.ports.min,
            (unsigned)config->relay.ports.max);
    print_addresses(config, out);
    print_turn(config, out);
    if (config->stats.listen.family != FAMILY_NONE)
        fprintf(out, "; figures at http://%s/", addr_format(&config->stats.listen, text));
    fputs("\n", out);
}

static int print_values(const struct config *config, FILE *out)
{
    struct buf text = {0};
    config_print(config, &text);
    bool failed = text.failed || fputs(text.data, out) < 0;
    buf_free(&text);
    return failed ? -ENOMEM : 0;
}

// What the daemon would find out when it starts.
static int check_certificate(const struct config *config, struct config_errors *errors)
{
    char error[TLS_ERROR_MAX];
    struct tls *tls = NULL;
    if (!config->turn.enabled || !config->turn.certificate)
        return 0;
    int r = tls_new(config->turn.certificate, config->turn.key, &tls, error);
    if (r == 0)
        tls_free(tls);
    else if (r != -ENOMEM)
        config_errors_add(errors, false, "turn.certificate, turn.key: %s", error);
    return r;
}

static int answer_config(const struct options *options, FILE *out, FILE *err)
{
    struct config config = {0};
    struct config_errors errors = {0};
    bool check = options->action == OPTIONS_CHECK_CONFIG;
    int r = config_load(options->config_path, &config, &errors);
    if (r == 0 && check)
        r = config_resolve_addresses(&config, local_addr_find, &errors);
    if (r == 0 && check)
        r = check_certificate(&config, &errors);
    print_errors(&errors, err);
    if (r == -ENOMEM)
        fputs("error: out of memory\n", err);
    if (r == 0 && check)
        print_summary(&config, out);
    else if (r == 0)
        r = print_values(&config, out);
    config_free(&config);
    config_errors_free(&errors);
    return r < 0 ? 1 : 0;
}

int options_answer(const struct options *options, FILE *out, FILE *err)
{
    switch (options->action) {
    case OPTIONS_VERSION:
        fputs("jingle-relayd " RELAYD_VERSION "\n", out);
        return 0;
    case OPTIONS_HELP:
        print_help(out);
        return 0;
    default:
        return answer_config(options, out, err);
    }
}
