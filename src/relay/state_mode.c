// SPDX-License-Identifier: ISC
// Snapshots: what only raw paths, channels and Google's transport know. The hashes of names are
// keyed, and good under the same key (state.c).
#include "state.h"

#include <string.h>

#define ROW(type, member, kind, max)                                                               \
    {                                                                                              \
#member, offsetof(struct type, member), kind, max                                          \
    }

// --- raw ---------------------------------------------------------------------------------------

static const struct state_field candidate_fields[] = {
    ROW(candidate, addr, STATE_ADDR, 0),    ROW(candidate, ssrc, STATE_U32, 0),
    ROW(candidate, sequence, STATE_U16, 0), ROW(candidate, family, STATE_U8, 1),
    ROW(candidate, packets, STATE_U8, 0),
};

static void raw_save(const struct raw *raw, json_t *object)
{
    state_put_addr(object, "peer", &raw->peer);
    state_put_u64(object, "window", raw->window_end);
    state_put_bool(object, "pinned", raw->pinned);
    state_put_bool(object, "locked", raw->locked);
    state_put_u64(object, "turn", raw->turn);
    for (unsigned i = 0; i < raw->candidates; i++)
        state_append(object, "candidates", state_of(FIELDS(candidate_fields), &raw->candidate[i]));
}

// What is left of a learning window; no more than a new one has.
static usec_t window(const struct revival *revival, struct state_reader *reader)
{
    const struct state_field field = {"window", 0, STATE_UNTIL,
                                      revival->relay->config.limits.learning_window};
    usec_t end;

    state_get_fields(reader, &field, 1, &revival->clock, &end);
    return end;
}

static bool raw_restore(const struct revival *revival, struct raw *raw, struct state_reader *reader)
{
    const json_t *list = state_array(reader, "candidates");

    if (!raw || json_array_size(list) > LEARN_SOURCES)
        return false;
    raw->peer = state_addr(reader, "peer");
    raw->window_end = window(revival, reader);
    raw->pinned = state_bool(reader, "pinned");
    raw->locked = state_bool(reader, "locked");
    raw->turn = (unsigned)state_u64(reader, "turn", LEARN_SOURCES - 1);
    for (; raw->candidates < json_array_size(list); raw->candidates++) {
        struct state_reader r = state_read(json_array_get(list, raw->candidates));
        state_get_fields(&r, FIELDS(candidate_fields), &revival->clock,
                         &raw->candidate[raw->candidates]);
        if (r.wrong)
            return false;
    }
    return true;
}

// --- channels ----------------------------------------------------------------------------------

static const struct state_field trial_fields[] = {
    ROW(trial, addr, STATE_ADDR, 0),     ROW(trial, names, STATE_U64, 0),
    ROW(trial, mirrored, STATE_U64, 0),  ROW(trial, last_check, STATE_LIVE, 0),
    ROW(trial, last_rtp, STATE_LIVE, 0), ROW(trial, ssrc, STATE_U32, 0),
    ROW(trial, sequence, STATE_U16, 0),  ROW(trial, run, STATE_U16, 0),
    ROW(trial, scored, STATE_U16, 0),    ROW(trial, checks, STATE_U8, 0),
    ROW(trial, family, STATE_U8, 1),     ROW(trial, entered, STATE_BOOL, 0),
    ROW(trial, stranger, STATE_BOOL, 0),
};

static const struct state_field channel_fields[] = {
    ROW(channel, paired, STATE_LIVE, 0),
    ROW(channel, contest, STATE_UNTIL, CONTEST_LENGTH),
    ROW(channel, latch, STATE_U32, LATCH_CHECKS),
};

static void channel_save_leg(const struct channel *c, enum side side, json_t *object)
{
    state_put_u64(object, "turn", c->turn[side]);
    state_put_u64(object, "pair", (uint64_t)(c->pair[side] + 1));
    state_put_bool(object, "answered", c->answered[side]);
    state_put_u64(object, "names", c->names[side]);
    for (unsigned i = 0; i < c->trials[side]; i++)
        state_append(object, "trials", state_of(FIELDS(trial_fields), &c->trial[side][i]));
}

static bool channel_restore_leg(const struct revival *revival, struct channel *c, enum side side,
                                struct state_reader *reader)
{
    const json_t *list = state_array(reader, "trials");

    if (!c || json_array_size(list) > TRIAL_SOURCES)
        return false;
    c->turn[side] = (uint8_t)state_u64(reader, "turn", TRIAL_SOURCES - 1);
    c->pair[side] = (int8_t)((int)state_u64(reader, "pair", json_array_size(list)) - 1);
    c->answered[side] = state_bool(reader, "answered");
    c->names[side] = state_u64(reader, "names", UINT64_MAX);
    for (; c->trials[side] < json_array_size(list); c->trials[side]++) {
        struct state_reader r = state_read(json_array_get(list, c->trials[side]));
        state_get_fields(&r, FIELDS(trial_fields), &revival->clock,
                         &c->trial[side][c->trials[side]]);
        if (r.wrong)
            return false;
    }
    return true;
}

// --- Google ------------------------------------------------------------------------------------

static void google_save_leg(const struct google_leg *g, json_t *object)
{
    state_put_bytes(object, "own", g->own, g->own_len);
    state_put_bool(object, "locked", g->locked);
    state_put_bool(object, "settled", g->settled);
    state_put_u64(object, "settled_after", g->moves);
    state_put_u64(object, "window", g->window_end);
    state_put_u64(object, "turn", g->turn);
    for (unsigned i = 0; i < g->peers; i++) {
        json_t *peer = state_new();
        state_put_addr(peer, "addr", &g->peer[i]);
        state_append(object, "peers", peer);
    }
}

static bool google_restore_leg(const struct revival *revival, struct google_leg *g,
                               struct state_reader *reader)
{
    const json_t *list = state_array(reader, "peers");

    if (json_array_size(list) > GOOGLE_PEERS_MAX)
        return false;
    g->own_len = (uint8_t)state_bytes(reader, "own", g->own, sizeof(g->own));
    g->locked = state_bool(reader, "locked");
    g->settled = state_bool(reader, "settled");
    g->moves = (unsigned)state_u64(reader, "settled_after", UINT32_MAX);
    g->window_end = window(revival, reader);
    g->turn = (uint8_t)state_u64(reader, "turn", GOOGLE_PEERS_MAX - 1);
    for (; g->peers < json_array_size(list); g->peers++) {
        struct state_reader r = state_read(json_array_get(list, g->peers));
        g->peer[g->peers] = state_addr(&r, "addr");
        if (r.wrong)
            return false;
    }
    return true;
}

void mode_save_source(const struct path *path, enum side side, unsigned index, json_t *object)
{
    const struct google_source *s;

    if (!path->google)
        return;
    s = &path->google->leg[side].source[index];
    state_put_bool(object, "trusted", s->trusted);
    state_put_bytes(object, "name", s->name, s->name_len);
}

void mode_restore_source(struct path *path, enum side side, unsigned index,
                         struct state_reader *reader)
{
    struct google_source *s;

    if (!path->google)
        return;
    s = &path->google->leg[side].source[index];
    s->trusted = state_bool(reader, "trusted");
    s->name_len = (uint8_t)state_bytes(reader, "name", s->name, sizeof(s->name));
}

// --- all -----------------------------------------------------------------------------------------

void mode_save(const struct path *path, json_t *object)
{
    if (path->channel)
        state_put(object, "channel", state_of(FIELDS(channel_fields), path->channel));
}

bool mode_restore(const struct revival *revival, struct path *path, struct state_reader *reader)
{
    struct state_reader r;

    if (!path->channel)
        return true;
    r = state_read(state_object(reader, "channel"));
    state_get_fields(&r, FIELDS(channel_fields), &revival->clock, path->channel);
    return !r.wrong;
}

void mode_save_leg(const struct path *path, enum side side, json_t *object)
{
    json_t *mode = state_new();

    if (path->leg[side].raw)
        raw_save(path->leg[side].raw, mode);
    if (path->channel)
        channel_save_leg(path->channel, side, mode);
    if (path->google)
        google_save_leg(&path->google->leg[side], mode);
    state_put(object, "mode", mode);
}

bool mode_restore_leg(const struct revival *revival, struct path *path, enum side side,
                      struct state_reader *reader)
{
    struct state_reader r = state_read(state_object(reader, "mode"));
    bool right = false;

    switch (path->mode) {
    case PATH_ICE:
        return true;
    case PATH_RAW:
        right = raw_restore(revival, path->leg[side].raw, &r);
        break;
    case PATH_CHANNEL:
        right = channel_restore_leg(revival, path->channel, side, &r);
        break;
    case PATH_GOOGLE:
        right = google_restore_leg(revival, &path->google->leg[side], &r);
        break;
    }
    return right && !r.wrong;
}
