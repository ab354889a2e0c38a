// SPDX-License-Identifier: ISC
// What happened to a call, in order; see obs/report.h. A call with a chatty client must not take
// more memory than another: the same in a row is one step, and beyond the limit only the end is
// noted.
#include "obs/report.h"

#include <assert.h>
#include <stdlib.h>

#define STEPS_GROW 2

static_assert(CALL_STEPS_MAX % STEPS_GROW == 0, "steps grow up to the limit");

static const char *const names[STEP_KINDS] = {
    [STEP_STANZA] = "stanza",      [STEP_ASKED] = "asked",     [STEP_ANSWERED] = "answered",
    [STEP_PORTS] = "ports_opened", [STEP_REFUSED] = "refused", [STEP_CHECK] = "check",
    [STEP_SELECTED] = "selected",  [STEP_MOVED] = "moved",     [STEP_MEDIA] = "media",
    [STEP_SILENT] = "silent",      [STEP_FAILED] = "failed",   [STEP_RETURNED] = "ports_returned",
    [STEP_ENDED] = "ended",
};

const char *call_step_name(enum call_step_kind kind)
{
    return kind < STEP_KINDS ? names[kind] : "unknown";
}

// Candidates trickle in from both sides: of the last few steps one may be the same.
static struct call_step *find_same(struct call_steps *steps, const struct call_step *step)
{
    for (unsigned i = steps->count; i > 0 && i + 4 > steps->count; i--) {
        struct call_step *known = &steps->item[i - 1];

        if (known->kind == step->kind && known->side == step->side &&
            known->action == step->action && known->path == step->path &&
            addr_equal(&known->addr, &step->addr))
            return known;
    }
    return NULL;
}

static bool make_room(struct call_steps *steps)
{
    unsigned size = steps->size + STEPS_GROW;
    struct call_step *grown;

    if (steps->count < steps->size)
        return true;
    grown = realloc(steps->item, size * sizeof *grown);
    if (!grown)
        return false;
    steps->item = grown;
    steps->size = size;
    return true;
}

void call_steps_add(struct call_steps *steps, const struct call_step *step)
{
    struct call_step *same = find_same(steps, step);
    unsigned limit = step->kind == STEP_ENDED ? CALL_STEPS_MAX : CALL_STEPS_MAX - 1;

    if (same) {
        if (same->times < UINT8_MAX)
            same->times++;
        return;
    }
    if (steps->count >= limit || !make_room(steps)) {
        steps->left_out++;
        return;
    }
    steps->item[steps->count] = *step;
    steps->item[steps->count++].times = 1;
}

void call_steps_free(struct call_steps *steps)
{
    free(steps->item);
    *steps = (struct call_steps){0};
}
