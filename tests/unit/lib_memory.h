// SPDX-License-Identifier: ISC
// How much memory is in use, for tests of what something costs.
#pragma once

#include <stddef.h>

size_t live_bytes(void); // allocated and not freed
