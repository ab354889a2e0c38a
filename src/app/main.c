// SPDX-License-Identifier: ISC
// From the command line to the running daemon.
#include "config.h"
#include "daemon.h"
#include "local_addr.h"
#include "options.h"

#include <stdio.h>

static int load(const char *path, struct config *config)
{
    struct config_errors errors = {0};
    int r = config_load(path, config, &errors);

    if (r == 0) {
        service_log_open(config->log.target, config->log.level);
        r = config_resolve_addresses(config, local_addr_find, &errors);
        if (r < 0)
            config_free(config);
    }
    config_errors_log(&errors);
    config_errors_free(&errors);
    return r;
}

int main(int argc, char *argv[])
{
    struct options options;
    struct config config;
    char error[256];
    int status;

    if (options_parse(argc, argv, &options, error, sizeof error) < 0) {
        fprintf(stderr, "jingle-relayd: %s\n", error);
        return OPTIONS_EXIT_USAGE;
    }
    if (options.action != OPTIONS_RUN)
        return options_answer(&options, stdout, stderr);
    service_log_open(LOG_TARGET_AUTO, LOG_LEVEL_INFO);
    if (load(options.config_path, &config) < 0)
        return 1;
    const struct daemon_options how = {options.config_path, options.drain, options.take_over};
    status = daemon_run(&config, &how);
    config_free(&config);
    return status;
}
