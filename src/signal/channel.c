// SPDX-License-Identifier: ISC
// The life of channels (XEP-0278): a client asks for ports, is told two pairs of them, and that is
// all there ever is of signalling. So a channel counts as a call of its requester that rings until
// the first packet has passed, and ends when nothing passes any more.
#include "internal.h"

#include "base/log_kind.h"
#include "base/mask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct channel *channel_by_id(const struct signal *signal, uint64_t call)
{
    uint64_t hash = map_hash(&signal->channels, &call, sizeof call);

    for (struct map_node *n = map_first(&signal->channels, hash); n; n = map_next(n)) {
        struct channel *channel = container_of(n, struct channel, node);

        if (channel->call.id == call)
            return channel;
    }
    return NULL;
}

// ---- end

static int give_order(const struct channel *channel, struct order *order)
{
    const struct signal *signal = channel->signal;

    order->call = channel->call.id;
    return signal->io.order(signal->io.ctx, order);
}

static bool close_paths(struct channel *channel)
{
    for (int i = 0; i < 2; i++) {
        struct order close = {.kind = ORDER_CLOSE, .path = channel->path[i]};

        if (channel->open[i] && give_order(channel, &close) == 0)
            channel->open[i] = false;
    }
    return !channel->open[0] && !channel->open[1];
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    (void)close_paths(channel);
    if (channel->call.state != CALL_NONE) {
        call_ended(&channel->signal->calls, &channel->call);
        map_remove(&channel->signal->channels, &channel->node);
    }
    xml_free(channel->request);
    call_steps_free(&channel->steps);
    free(channel->requester);
    free(channel);
}

// Its ports are given back and its last figures have come: nothing is left but to tell.
void channel_finish(struct channel *channel, usec_t now)
{
    const struct signal_io *io = &channel->signal->io;
    struct content_report content;
    struct call_report report;

    channel_report(channel, &content, &report);
    io->ended(io->ctx, &report, now);
    channel_free(channel);
}

void channel_end(struct channel *channel, const char *reason, usec_t now)
{
    struct order last = {.kind = ORDER_SNAPSHOT, .u.token = channel->call.id};

    if (channel->call.state == CALL_ENDED)
        return;
    call_ended(&channel->signal->calls, &channel->call);
    channel->ended = now;
    channel->end_reason = reason;
    note_step(&channel->steps, STEP_ENDED, SIDE_COUNT, now);
    if (channel->request)
        nodes_failed(channel, reason);
    channel->figures = give_order(channel, &last) == 0;
    if (!close_paths(channel) || !channel->figures)
        channel->signal->stranded = true; // signal_tick() looks after it
}

bool channels_close_rest(struct signal *signal, usec_t now)
{
    bool all = true;

    for (struct map_node *node = map_each(&signal->channels, NULL), *next; node; node = next) {
        struct channel *channel = container_of(node, struct channel, node);

        next = map_each(&signal->channels, node);
        if (channel->call.state != CALL_ENDED)
            continue;
        if (!close_paths(channel))
            all = false;
        else if (!channel->figures)
            channel_finish(channel, now);
    }
    signal->stranded = !all;
    return all;
}

// ---- beginning

static struct order open_order(const struct channel *channel, unsigned component)
{
    const struct signal_config *config = &channel->signal->config;
    struct order open = {.kind = ORDER_OPEN, .path = channel->path[component - 1]};

    open.u.open.mode = PATH_CHANNEL;
    open.u.open.rtp_path = component == 2 ? channel->path[0] : 0;
    open.u.open.bytes_per_second = config->bytes_per_second;
    // There is one host in the answer. Nearly all who ask have IPv4.
    for (int side = 0; side < SIDE_COUNT; side++) {
        open.u.open.family_v4[side] = config->family_v4;
        open.u.open.family_v6[side] = !config->family_v4;
    }
    return open;
}

static int open_paths(struct channel *channel)
{
    for (unsigned component = 1; component <= 2; component++) {
        struct order open = open_order(channel, component);

        if (give_order(channel, &open) < 0)
            return -ENOMEM;
        channel->open[component - 1] = true;
    }
    return 0;
}

static struct channel *channel_new(struct signal *signal, const struct xml *request)
{
    struct channel *channel = calloc(1, sizeof *channel);
    uint64_t id;

    if (!channel)
        return NULL;
    channel->signal = signal;
    channel->requester = strdup(xml_attr(request, "from"));
    channel->request = xml_clone(request);
    if (!channel->requester || !channel->request) {
        channel_free(channel);
        return NULL;
    }
    // XEP-0278 section 6.1: random, and an Nmtoken.
    signal->io.random(signal->io.ctx, &id, sizeof id);
    snprintf(channel->id, sizeof channel->id, "c%016" PRIx64, id);
    for (int i = 0; i < 2; i++)
        channel->path[i] = ++signal->last_id;
    return channel;
}

int channel_list(struct channel *channel)
{
    struct map *channels = &channel->signal->channels;
    uint64_t id = channel->call.id;

    return map_insert(channels, &channel->node, map_hash(channels, &id, sizeof id));
}

static enum call_refusal admit(struct channel *channel, usec_t now)
{
    struct signal *signal = channel->signal;
    struct call_opening opening = {.id = call_id_new(signal), .door = DOOR_CHANNEL};
    enum call_refusal refusal;
    char user[JID_MAX];
    struct jid jid;

    if (jid_parse(channel->requester, &jid) < 0)
        return CALL_REFUSED_MEMORY;
    snprintf(user, sizeof user, "%.*s", (int)jid.bare_len, channel->requester);
    opening.user = user;
    refusal = calls_open(&signal->calls, &channel->call, &opening, now);
    if (refusal != CALL_ADMITTED)
        return refusal;
    if (channel_list(channel) < 0) {
        call_ended(&signal->calls, &channel->call);
        channel->call.state = CALL_NONE;
        calls_count_refusal(&signal->calls, CALL_REFUSED_MEMORY);
        return CALL_REFUSED_MEMORY;
    }
    note_step(&channel->steps, STEP_ASKED, SIDE_INITIATOR, now);
    return CALL_ADMITTED;
}

static void fail(struct channel *channel, int error, usec_t now)
{
    bool memory = error == -ENOMEM;
    enum call_refusal refusal = memory ? CALL_REFUSED_MEMORY : CALL_REFUSED_PORTS;
    const char *text =
        memory || error == -EMFILE ? call_refusal_text(refusal) : "a relay port cannot be opened";

    struct mask mask;

    calls_count_refusal(&channel->signal->calls, refusal);
    log_kind(LOG_CALL_REFUSED, "channel of %s refused: %s (%s)",
             mask_jid(channel->requester, &mask), text, strerror(-error));
    channel_end(channel, text, now);
    channel->end_reason = "refused";
}

void channel_open(struct signal *signal, const struct xml *request, usec_t now)
{
    struct channel *channel = channel_new(signal, request);
    enum call_refusal refusal;

    if (!channel) {
        calls_count_refusal(&signal->calls, CALL_REFUSED_MEMORY);
        reply_error(signal, request, &condition_constraint);
        return;
    }
    refusal = admit(channel, now);
    if (refusal != CALL_ADMITTED) {
        log_refusal("channel", channel->requester, refusal);
        nodes_failed(channel, call_refusal_text(refusal));
        channel_free(channel);
    } else if (open_paths(channel) < 0) {
        fail(channel, -ENOMEM, now);
    }
}

// ---- what the relay reports

static void opened(struct channel *channel, int component, const struct relay_event *event,
                   usec_t now)
{
    int family = channel->signal->config.family_v4 ? 0 : 1;

    channel->ready[component] = true;
    for (int side = 0; side < SIDE_COUNT && component == 0; side++)
        channel->port[side] = event->u.opened[side][family];
    if (!channel->request || !channel->ready[0] || !channel->ready[1])
        return;
    nodes_opened(channel);
    xml_free(channel->request);
    channel->request = NULL;
    channel->answered = now;
    note_step(&channel->steps, STEP_ANSWERED, SIDE_COUNT, now);
    call_ringing(&channel->signal->calls, &channel->call, now);
}

static void failed(struct channel *channel, int component, int error, usec_t now)
{
    channel->open[component] = false;
    if (channel->request)
        fail(channel, error, now);
    else if (!channel->open[0] && !channel->open[1])
        channel_end(channel, "failed", now);
}

void channel_path_lost(struct channel *channel, int component, usec_t now)
{
    failed(channel, component, -EIO, now);
}

static void carried(struct channel *channel, int component, usec_t now)
{
    struct calls *calls = &channel->signal->calls;

    channel->silent[component] = false;
    if (channel->call.state == CALL_RINGING)
        call_accepted(calls, &channel->call, now);
    call_media_seen(calls, &channel->call, now);
}

static void path_event(struct channel *channel, int component, const struct relay_event *event,
                       usec_t now)
{
    note_event(&channel->steps, event, now);
    switch (event->kind) {
    case EVENT_OPENED:
        opened(channel, component, event, now);
        break;
    case EVENT_FAILED:
        failed(channel, component, event->error, now);
        break;
    case EVENT_MEDIA:
        carried(channel, component, now);
        break;
    case EVENT_SILENT:
        channel->silent[component] = true;
        if (channel->silent[0] && channel->silent[1])
            call_silent(&channel->signal->calls, &channel->call, now);
        break;
    default:
        break;
    }
}

static void figures_event(struct channel *channel, const struct relay_event *event, usec_t now)
{
    if (!channel->figures)
        return;
    if (event->kind == EVENT_SNAPSHOT) {
        if (channel->views < 2)
            channel->view[channel->views++] = *event->u.view;
        return;
    }
    channel->figures = false;
    if (close_paths(channel))
        channel_finish(channel, now);
    else
        channel->signal->stranded = true;
}

void channel_event(struct channel *channel, const struct relay_event *event, usec_t now)
{
    if (event->kind == EVENT_SNAPSHOT || event->kind == EVENT_SNAPSHOT_END) {
        figures_event(channel, event, now);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (channel->path[i] != event->path)
            continue;
        if (channel->call.state != CALL_ENDED)
            path_event(channel, i, event, now);
        else if (event->kind == EVENT_FAILED)
            channel->open[i] = false;
        return;
    }
}

void channel_expired(struct channel *channel, enum call_timeout timeout, usec_t now)
{
    channel_end(channel, timeout == CALL_TIMEOUT_DURATION ? "expired" : "timeout", now);
}

// ---- for people

void channel_report(const struct channel *channel, struct content_report *content,
                    struct call_report *ret_report)
{
    *content = (struct content_report){.name = channel->id,
                                       .media = "",
                                       .transport = NS_JINGLENODES_CHANNEL,
                                       .accepted = channel->answered > 0,
                                       .path = {channel->path[0], channel->path[1]}};
    *ret_report = (struct call_report){
        .id = channel->call.id,
        .sid = channel->id,
        .door = call_door_name(channel->call.door),
        .state = channel->call.state,
        .jid = {channel->requester, "unknown"},
        .proxy = {channel->requester, "unknown"},
        .end_reason = channel->end_reason,
        .opened = channel->call.opened,
        .accepted = channel->answered,
        .first_media = channel->call.first_media,
        .ended = channel->ended,
        .content = content,
        .contents = 1,
        .view = channel->view,
        .views = channel->views,
        .steps = &channel->steps,
    };
}
