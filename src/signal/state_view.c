// SPDX-License-Identifier: ISC
// The relay's figures of paths that are no more: what a call's report will need when it ends.
#include "state.h"

#include "codec/state_field.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(key, type, member, kind)                                                             \
    {                                                                                              \
        key, offsetof(struct type, member), kind, 0                                                \
    }
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static const struct state_field path_fields[] = {
    FIELD("call", path_view, call, STATE_U64),
    FIELD("path", path_view, path, STATE_U64),
    {"mode", offsetof(struct path_view, mode), STATE_U32, PATH_GOOGLE},
    FIELD("opened", path_view, opened, STATE_U64),
};

static const struct state_field leg_fields[] = {
    FIELD("port4", leg_view, port[0], STATE_ADDR),
    FIELD("port6", leg_view, port[1], STATE_ADDR),
    FIELD("packets_in", leg_view, packets_in, STATE_U64),
    FIELD("bytes_in", leg_view, bytes_in, STATE_U64),
    FIELD("packets_out", leg_view, packets_out, STATE_U64),
    FIELD("bytes_out", leg_view, bytes_out, STATE_U64),
    FIELD("media_in", leg_view, media_in, STATE_U64),
    FIELD("refused", leg_view, refused, STATE_U64),
    FIELD("checks_in", leg_view, checks_in, STATE_U64),
    FIELD("first_check", leg_view, first_check, STATE_U64),
    FIELD("last_check", leg_view, last_check, STATE_U64),
    FIELD("first_media", leg_view, first_media, STATE_U64),
    FIELD("last_media", leg_view, last_media, STATE_U64),
    FIELD("rtt", leg_view, rtt, STATE_U64),
    FIELD("moves", leg_view, moves, STATE_U32),
};

static const struct state_field source_fields[] = {
    FIELD("addr", source_view, addr, STATE_ADDR),
    {"port_family", offsetof(struct source_view, port_family), STATE_U32, FAMILY_V6},
    FIELD("selected", source_view, selected, STATE_BOOL),
    FIELD("verified", source_view, verified, STATE_BOOL),
    FIELD("last_seen", source_view, last_seen, STATE_U64),
};

static const struct state_field quality_fields[] = {
    FIELD("ssrc", quality_view, ssrc, STATE_U32),
    FIELD("received", quality_view, received, STATE_U64),
    FIELD("lost", quality_view, lost, STATE_U64),
    FIELD("reordered", quality_view, reordered, STATE_U64),
    FIELD("duplicates", quality_view, duplicates, STATE_U64),
    FIELD("jitter", quality_view, jitter, STATE_U64),
    FIELD("longest_gap", quality_view, longest_gap, STATE_U64),
};

static void leg_save(const struct leg_view *leg, json_t *view)
{
    json_t *object = state_new();

    state_put_fields(object, leg_fields, COUNT(leg_fields), leg);
    for (unsigned i = 0; i < leg->sources; i++) {
        json_t *source = state_new();

        state_put_fields(source, source_fields, COUNT(source_fields), &leg->source[i]);
        state_append(object, "sources", source);
    }
    for (unsigned i = 0; i < leg->qualities; i++) {
        json_t *quality = state_new();

        state_put_fields(quality, quality_fields, COUNT(quality_fields), &leg->quality[i]);
        state_append(object, "streams", quality);
    }
    state_append(view, "legs", object);
}

void views_save(const struct path_view *view, unsigned views, json_t *object)
{
    for (unsigned i = 0; i < views; i++) {
        json_t *path = state_new();

        state_put_fields(path, path_fields, COUNT(path_fields), &view[i]);
        for (int side = 0; side < SIDE_COUNT; side++)
            leg_save(&view[i].leg[side], path);
        state_append(object, "views", path);
    }
}

// ---- and back

// Times here are told as they were.
static const struct state_clock no_pause = {.now = USEC_NEVER};

static bool leg_restore(const json_t *object, struct leg_view *leg)
{
    struct state_reader reader = state_read(object);
    const json_t *item;
    bool right = true;
    size_t i;

    state_get_fields(&reader, leg_fields, COUNT(leg_fields), &no_pause, leg);
    json_array_foreach(state_array(&reader, "sources"), i, item)
    {
        struct state_reader source = state_read(item);

        if (i < PATH_SOURCES_MAX)
            state_get_fields(&source, source_fields, COUNT(source_fields), &no_pause,
                             &leg->source[leg->sources++]);
        right = right && !source.wrong;
    }
    json_array_foreach(state_array(&reader, "streams"), i, item)
    {
        struct state_reader quality = state_read(item);

        if (i < PATH_SSRC_MAX)
            state_get_fields(&quality, quality_fields, COUNT(quality_fields), &no_pause,
                             &leg->quality[leg->qualities++]);
        right = right && !quality.wrong;
    }
    return right && !reader.wrong;
}

static bool view_restore(const json_t *object, struct path_view *view)
{
    struct state_reader reader = state_read(object);
    const json_t *legs = state_array(&reader, "legs");
    bool right = true;

    memset(view, 0, sizeof *view);
    state_get_fields(&reader, path_fields, COUNT(path_fields), &no_pause, view);
    for (size_t side = 0; side < SIDE_COUNT; side++)
        right = leg_restore(json_array_get(legs, side), &view->leg[side]) && right;
    return right && !reader.wrong;
}

int views_restore(struct state_reader *reader, unsigned max, struct path_view **ret_view,
                  unsigned *ret_views)
{
    const json_t *list = state_array(reader, "views");
    size_t count = json_array_size(list) < max ? json_array_size(list) : max;
    struct path_view *view = count > 0 ? calloc(count, sizeof *view) : NULL;
    unsigned views = 0;

    if (count > 0 && !view)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        views += view_restore(json_array_get(list, i), &view[views]);
    *ret_view = view;
    *ret_views = views;
    return 0;
}
