// SPDX-License-Identifier: ISC
// A relay in the middle of its work, for what saves and restores it: a call that talks and roams,
// one that has just begun, a raw one that learns, a channel, one of Google's, and ports that rest.
#pragma once

#include "lib/world.h"

#define SCENE_PATHS  6
#define SCENE_TALKS  10 // paths
#define SCENE_BEGINS 11

struct scene {
    struct addr alice, bob, mallory;
    struct addr pa, pb; // of the call that talks
    uint8_t check[256]; // of Alice's: captured
    size_t check_len;
};

// With ports of its own for each path, or a shared one.
void scene_play(struct world *w, struct scene *scene);
// Asserts that both are heard, and that the captured check is good for nothing.
void scene_goes_on(struct world *w, const struct scene *scene);
