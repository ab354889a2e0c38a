// SPDX-License-Identifier: ISC
// The mask of names and addresses (base/mask.h), as the configuration has it.
#pragma once

#include "config.h"

// Takes the key that the configuration has read, or makes one. Before any thread is started, and
// any name is logged. Returns 0 or -errno, which is logged.
int privacy_start(const struct config *config);
