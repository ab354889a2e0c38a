// SPDX-License-Identifier: ISC
// A channel (XEP-0278) in a snapshot.
#include "state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const port_keys[SIDE_COUNT][2] = {{"port0_v4", "port0_v6"},
                                                     {"port1_v4", "port1_v6"}};

// ---- saving

static void path_save(const struct channel *channel, int i, json_t *object)
{
    json_t *path = state_new();

    state_put_u64(path, "id", channel->path[i]);
    state_put_bool(path, "open", channel->open[i]);
    state_put_bool(path, "ready", channel->ready[i]);
    state_put_bool(path, "silent", channel->silent[i]);
    state_append(object, "paths", path);
}

void channel_save(const struct channel *channel, json_t *signal)
{
    json_t *object = state_new();

    call_save(&channel->call, object);
    state_put_text(object, "name", channel->id);
    state_put_text(object, "requester", channel->requester);
    state_put_xml(object, "request", channel->request);
    state_put_u64(object, "answered", channel->answered);
    for (int side = 0; side < SIDE_COUNT; side++) {
        const struct addr *port = &channel->port[side];

        state_put_addr(object, port_keys[side][port->family == FAMILY_V6], port);
    }
    path_save(channel, 0, object);
    path_save(channel, 1, object);
    state_append(signal, "channels", object);
}

// ---- restoring

static bool path_restore(struct channel *channel, int i, const json_t *object)
{
    struct state_reader reader = state_read(object);

    channel->path[i] = state_u64(&reader, "id", UINT64_MAX >> 1);
    channel->open[i] = state_bool(&reader, "open");
    channel->ready[i] = state_bool(&reader, "ready");
    channel->silent[i] = state_bool(&reader, "silent");
    if (channel->signal->last_id < channel->path[i])
        channel->signal->last_id = channel->path[i];
    return !reader.wrong && channel->path[i] > 0;
}

static int read_channel(struct channel *channel, struct state_reader *reader)
{
    struct state_texts texts = {reader, 0};
    const char *name = state_text(reader, "name", sizeof channel->id - 1);
    const json_t *paths = state_array(reader, "paths");
    int r = state_xml(reader, "request", &channel->request);

    snprintf(channel->id, sizeof channel->id, "%s", name ? name : "");
    channel->requester = state_jid(&texts, "requester");
    channel->answered = state_u64(reader, "answered", USEC_NEVER);
    for (int side = 0; side < SIDE_COUNT; side++) {
        for (int i = 0; i < 2 && channel->port[side].family == FAMILY_NONE; i++)
            channel->port[side] = state_addr(reader, port_keys[side][i]);
    }
    if (r == 0)
        r = texts.error;
    if (r < 0)
        return r;
    if (!path_restore(channel, 0, json_array_get(paths, 0)) ||
        !path_restore(channel, 1, json_array_get(paths, 1)))
        return -EBADMSG;
    // Either it waits for its answer, or it has it.
    return reader->wrong || !*channel->id ||
                   (channel->request && !state_is_request(channel->request)) ||
                   (channel->request != NULL) != (channel->call.state == CALL_SETUP)
               ? -EBADMSG
               : 0;
}

int channel_restore(const struct restore *restore, const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct signal *signal = restore->signal;
    struct channel *channel = calloc(1, sizeof *channel);
    int r;

    if (!channel)
        return -ENOMEM;
    channel->signal = signal;
    r = call_restore(&signal->calls, &channel->call, &reader, restore->pause);
    if (r == 0 && (channel->call.door != DOOR_CHANNEL || channel_by_id(signal, channel->call.id) ||
                   session_by_id(signal, channel->call.id)))
        r = -EBADMSG;
    if (r == 0)
        r = read_channel(channel, &reader);
    if (r == 0)
        r = channel_list(channel);
    if (r < 0) {
        channel->open[0] = channel->open[1] = false; // the relay is told nothing
        call_ended(&signal->calls, &channel->call);
        channel->call.state = CALL_NONE;
        channel_free(channel);
    }
    return r;
}
