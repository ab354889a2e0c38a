// SPDX-License-Identifier: ISC
// From the command line to the running daemon.
#include "config.h"
#include "daemon.h"
#include "local_addr.h"
#include "options.h"

#include "base/log_kind.h"

#include <malloc.h>
#include <stdio.h>

// Memory for a moment, as a look at all calls takes, is to go back to the system: glibc would raise
// this limit each time until such blocks stay with the rest.
#define BIG_BLOCK (256 << 10)

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

#ifdef M_MMAP_THRESHOLD
    (void)mallopt(M_MMAP_THRESHOLD, BIG_BLOCK);
#endif
    if (options_parse(argc, argv, &options, error, sizeof error) < 0) {
        fprintf(stderr, "jingle-relayd: %s\n", error);
        return OPTIONS_EXIT_USAGE;
    }
    if (options.action != OPTIONS_RUN)
        return options_answer(&options, stdout, stderr);
    service_log_open(LOG_TARGET_AUTO, LOG_LEVEL_INFO);
    if (load(options.config_path, &config) < 0) {
        log_kind(LOG_CANNOT_START, "cannot start with this configuration");
        return 1;
    }
    const struct daemon_options how = {options.config_path, options.drain, options.take_over};
    status = daemon_run(&config, &how);
    config_free(&config);
    return status;
}
