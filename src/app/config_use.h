// SPDX-License-Identifier: ISC
// What the keys of the configuration mean to the parts of the daemon. Texts and lists are borrowed
// from the configuration. That every key of 'relay' and 'limits' arrives somewhere is a unit test.
#pragma once

#include "capacity.h"
#include "config.h"
#include "relay/relay.h"
#include "signal/signal.h"

// What clients are told, where it has to be put together; it stays where it is while it is used.
struct config_services {
    char address[2][ADDR_TEXT_MAX];
    struct signal_service item[8];
};

// But for the share of the ports, which differs by worker.
struct relay_config config_for_relay(const struct config *config);
// The UDP port that all ICE paths share; 0: each has its own.
uint16_t config_shared_port(const struct config *config);
// 'secret' is what credentials are made with when the configuration has none. The addresses are
// known by now.
struct signal_config config_for_signal(const struct config *config, const char *secret,
                                       struct config_services *services);
// drain.alternative in the place of this server; without one, nothing.
void config_point_elsewhere(const struct config *config, struct config_services *services,
                            struct signal_services *told);
struct capacity_limits config_for_capacity(const struct config *config, unsigned workers);
// How many descriptors may be open at a time.
unsigned config_descriptors(const struct config *config, unsigned workers);
