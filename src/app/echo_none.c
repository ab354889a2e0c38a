// SPDX-License-Identifier: ISC
// A daemon without test partner; see echo_worker.h.
#include "echo_worker.h"

#include <errno.h>

int echo_identity_new(struct media_identity **ret_identity)
{
    *ret_identity = NULL;
    return -EOPNOTSUPP;
}

void echo_identity_free(struct media_identity *identity)
{
    (void)identity;
}

const char *echo_identity_fingerprint(const struct media_identity *identity)
{
    (void)identity;
    return "";
}

int echo_worker_new(const struct echo_worker_config *config, struct echo_worker **ret_worker)
{
    (void)config;
    *ret_worker = NULL;
    return 0;
}

void echo_worker_free(struct echo_worker *worker)
{
    (void)worker;
}

void echo_worker_open(struct echo_worker *worker, uint64_t id, const struct media_terms *terms,
                      usec_t now)
{
    (void)worker;
    (void)id;
    (void)terms;
    (void)now;
}

void echo_worker_close(struct echo_worker *worker, uint64_t id, usec_t now)
{
    (void)worker;
    (void)id;
    (void)now;
}

usec_t echo_worker_tick(struct echo_worker *worker, usec_t now)
{
    (void)worker;
    (void)now;
    return USEC_NEVER;
}
