// SPDX-License-Identifier: ISC
// What the keys of the configuration mean to the parts of the daemon. Texts and lists are borrowed
// from the configuration. That every key of 'relay' and 'limits' arrives somewhere is a unit test.
#pragma once

#include "config.h"
#include "relay/relay.h"
#include "signal/signal.h"

// But for the share of the ports, which differs by worker.
struct relay_config config_for_relay(const struct config *config);
struct signal_config config_for_signal(const struct config *config);
