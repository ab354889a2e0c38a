// SPDX-License-Identifier: ISC
// How many TURN allocations an identity has, over all workers. Any thread may ask.
#pragma once

#include "turn/turn.h"

struct quota;

// 0: no limit. Returns 0 or -ENOMEM.
int quota_new(unsigned per_identity, unsigned total, struct quota **ret_quota);
// Before any thread charges. Whoever charges asks whether the machine has room for one more.
void quota_ask(struct quota *quota, bool (*room)(void *ctx), void *ctx);
void quota_free(struct quota *quota);
// Other limits from now on; who has more keeps it.
void quota_set(struct quota *quota, unsigned per_identity, unsigned total);
// Without memory for another identity it is refused as if the total were met.
enum turn_refusal quota_charge(struct quota *quota, const char *identity);
void quota_release(struct quota *quota, const char *identity); // what was charged
