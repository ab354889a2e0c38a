// SPDX-License-Identifier: ISC
// The patience of a component, for tests that have less of it.
#pragma once

#include "base/usec.h"
#include "platform/component.h"

struct component_tuning {
    usec_t backoff_first; // after the first failure; then it doubles
    usec_t backoff_max;
    usec_t backoff_operator; // when only the operator can mend it
    usec_t resolve;
    usec_t handshake; // from the start of connecting until the server's acceptance
    usec_t keepalive;
    size_t queue_bytes;
};

extern const struct component_tuning component_tuning_default;

// Right after component_new().
void component_set_tuning(struct component *component, const struct component_tuning *tuning);
