// SPDX-License-Identifier: ISC
// The signalling as a whole: construction, dispatch of stanzas and events, time.
#include "adhoc.h"
#include "services.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void list_free(const char *const *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++)
        free((void *)(uintptr_t)list[i]);
    free((void *)(uintptr_t)list);
}

// On failure what there is of it can be freed.
static int list_copy(const char *const **to, const char *const *from, size_t count)
{
    const char **list = calloc(count + 1, sizeof *list);

    *to = list;
    for (size_t i = 0; list && i < count; i++) {
        list[i] = strdup(from[i]);
        if (!list[i])
            return -ENOMEM;
    }
    return list ? 0 : -ENOMEM;
}

static void config_free(struct signal_config *config)
{
    list_free(config->served, config->served_count);
    list_free(config->admins, config->admin_count);
    list_free(config->contact, config->contact_count);
    free((void *)(uintptr_t)config->domain);
    services_free(&config->services);
}

static int config_copy(struct signal_config *to, const struct signal_config *from)
{
    *to = *from;
    to->services = (struct signal_services){0};
    to->served = to->admins = to->contact = NULL;
    to->domain = strdup(from->domain);
    if (!to->domain || list_copy(&to->served, from->served, from->served_count) < 0 ||
        list_copy(&to->admins, from->admins, from->admin_count) < 0 ||
        list_copy(&to->contact, from->contact, from->contact_count) < 0)
        return -ENOMEM;
    return services_copy(&to->services, &from->services);
}

// The registry of calls knows no more of a call than its door.
static void call_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now)
{
    if (call->door == DOOR_CHANNEL)
        channel_expired(container_of(call, struct channel, call), timeout, now);
    else
        session_expired(ctx, call, timeout, now);
}

static enum call_refusal call_room(void *ctx, usec_t now)
{
    const struct signal *signal = ctx;

    return signal->io.room(signal->io.ctx, now);
}

int signal_new(const struct signal_config *config, const struct signal_io *io,
               struct counters *counters, usec_t now, struct signal **ret_signal)
{
    struct signal *signal = calloc(1, sizeof *signal);
    uint8_t key[16];

    if (!signal)
        return -ENOMEM;
    if (config_copy(&signal->config, config) < 0) {
        config_free(&signal->config);
        free(signal);
        return -ENOMEM;
    }
    signal->io = *io;
    signal->counters = counters;
    signal->started = now;
    io->random(io->ctx, key, sizeof key);
    map_init(&signal->sessions, key);
    map_init(&signal->proposals, key);
    map_init(&signal->pending, key);
    map_init(&signal->paths, key);
    map_init(&signal->relations, key);
    map_init(&signal->ids, key);
    map_init(&signal->channels, key);
    map_init(&signal->listeners, key);
    map_init(&signal->dialects, key);
    TAILQ_INIT(&signal->dialect_list);
    STAILQ_INIT(&signal->unclosed);
    calls_init(&signal->calls, &config->calls, counters, key);
    signal->calls.ctx = signal;
    signal->calls.expired = call_expired;
    signal->calls.room = io->room ? call_room : NULL;
    *ret_signal = signal;
    return 0;
}

static void free_unclosed(struct signal *signal)
{
    struct media_path *path;

    (void)transport_close_rest(signal);
    while ((path = STAILQ_FIRST(&signal->unclosed))) {
        STAILQ_REMOVE_HEAD(&signal->unclosed, link);
        free(path);
    }
}

static int order_nothing(void *ctx, const struct order *order)
{
    (void)ctx;
    (void)order;
    return 0;
}

void signal_free(struct signal *signal)
{
    struct map_node *node;

    if (!signal)
        return;
    if (signal->saved)
        signal->io.order = order_nothing;
    echo_free(signal);
    pending_free_all(signal);
    push_free_all(signal);
    dialects_free_all(signal);
    adhoc_free_all(signal);
    while ((node = map_each(&signal->ids, NULL)))
        session_free(container_of(node, struct session, id_node));
    while ((node = map_each(&signal->channels, NULL)))
        channel_free(container_of(node, struct channel, node));
    while ((node = map_each(&signal->proposals, NULL)))
        proposal_free(signal, container_of(node, struct proposal, node));
    free_unclosed(signal);
    calls_free(&signal->calls);
    timers_free(&signal->timers);
    map_free(&signal->sessions);
    map_free(&signal->proposals);
    map_free(&signal->pending);
    map_free(&signal->paths);
    map_free(&signal->relations);
    map_free(&signal->ids);
    map_free(&signal->channels);
    map_free(&signal->listeners);
    map_free(&signal->dialects);
    config_free(&signal->config);
    free(signal);
}

void signal_set_clock(struct signal *signal, int64_t wall_minus_now_usec)
{
    signal->wall_minus_now = wall_minus_now_usec;
}

static void dispatch_iq(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *type = xml_attr(iq, "type");

    counter_add(signal->counters, COUNTER_STANZAS_IQ, 1);
    if (!type)
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
    else if (strcmp(type, "result") == 0 || strcmp(type, "error") == 0)
        iq_answer(signal, iq, now);
    else if (strcmp(type, "get") == 0 || strcmp(type, "set") == 0)
        iq_request(signal, iq, now);
    else
        reply_error_text(signal, iq, &condition_bad_request,
                         "the type of an IQ is get, set, result or error");
}

void signal_stanza(struct signal *signal, const struct xml *stanza, usec_t now)
{
    const char *from = xml_attr(stanza, "from"), *to = xml_attr(stanza, "to");
    struct jid jid;

    // The server vouches for both; a stanza without them is not ours to answer.
    if (jid_parse(from, &jid) < 0 || jid_parse(to, &jid) < 0 || !is_ours(signal, to)) {
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
        return;
    }
    if (echo_is(signal, &jid)) {
        echo_stanza(signal, stanza, &jid, now);
    } else if (xml_is(stanza, "iq", NS_CLIENT)) {
        dispatch_iq(signal, stanza, now);
    } else if (xml_is(stanza, "message", NS_CLIENT)) {
        counter_add(signal->counters, COUNTER_STANZAS_MESSAGE, 1);
        if (jid.local_len > 0)
            door_message(signal, stanza, now);
        else
            delegation_message(signal, stanza);
    } else if (xml_is(stanza, "presence", NS_CLIENT)) {
        counter_add(signal->counters, COUNTER_STANZAS_PRESENCE, 1);
        if (jid.local_len > 0)
            door_presence(signal, stanza, now);
        else
            push_presence(signal, stanza);
    } else {
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
    }
}

void signal_event(struct signal *signal, const struct relay_event *event, usec_t now)
{
    // Of figures that were asked for, the token names the call.
    bool figures = event->kind == EVENT_SNAPSHOT || event->kind == EVENT_SNAPSHOT_END;
    struct channel *channel = channel_by_id(signal, figures ? event->token : event->call);

    if (channel)
        channel_event(channel, event, now);
    else
        session_event(signal, event, now);
}

static void free_orphans(struct signal *signal, usec_t now)
{
    struct map_node *node, *next;

    for (node = map_each(&signal->ids, NULL); node; node = next) {
        struct session *session = container_of(node, struct session, id_node);

        next = map_each(&signal->ids, node);
        if (!session->orphan)
            continue;
        session_tell_ended(session, now);
        session_free(session);
    }
    signal->orphans = false;
}

usec_t signal_tick(struct signal *signal, usec_t now)
{
    usec_t calls, own;

    // Each may arm timers of the other, for later.
    (void)calls_tick(&signal->calls, now);
    own = timers_run(&signal->timers, signal, now);
    calls = calls_tick(&signal->calls, now);
    if (timers_next(&signal->timers) < own)
        own = timers_next(&signal->timers);
    if (signal->orphans)
        free_orphans(signal, now);
    if (signal->stranded && !channels_close_rest(signal, now) && now + RETRY_DELAY < own)
        own = now + RETRY_DELAY;
    if (!transport_close_rest(signal) && now + RETRY_DELAY < own)
        own = now + RETRY_DELAY;
    return calls < own ? calls : own;
}

int signal_reconfigure(struct signal *signal, const struct signal_config *config, usec_t now)
{
    struct signal_config copy, old = signal->config;

    if (config_copy(&copy, config) < 0) {
        config_free(&copy);
        return -ENOMEM;
    }
    signal->config = copy;
    calls_set_limits(&signal->calls, &config->calls, now);
    if (!services_equal(&old.services, &copy.services))
        push_all(signal, now);
    config_free(&old);
    return 0;
}

void signal_drain(struct signal *signal)
{
    signal->calls.draining = true;
}

void signal_undrain(struct signal *signal)
{
    signal->calls.draining = false;
}

void signal_end_all(struct signal *signal, const char *reason, usec_t now)
{
    struct map_node *node, *next;

    (void)echo_end(signal, NULL, reason, now);
    for (node = map_each(&signal->sessions, NULL); node; node = next) {
        next = map_each(&signal->sessions, node);
        session_terminate(container_of(node, struct session, node), reason, now);
    }
    for (node = map_each(&signal->channels, NULL); node; node = map_each(&signal->channels, node))
        channel_end(container_of(node, struct channel, node), reason, now);
}

unsigned signal_calls(const struct signal *signal)
{
    return signal->calls.count;
}

unsigned signal_unfinished(const struct signal *signal)
{
    return (unsigned)(signal->ids.count + signal->channels.count);
}

const struct histogram *signal_setup_times(const struct signal *signal)
{
    return &signal->calls.setup;
}

const struct histogram *signal_divert_times(const struct signal *signal)
{
    return &signal->divert_times;
}

void signal_each_call(const struct signal *signal,
                      void (*each)(void *ctx, const struct call_report *report), void *ctx)
{
    for (struct map_node *n = map_each(&signal->sessions, NULL); n;
         n = map_each(&signal->sessions, n)) {
        struct content_report content[REPORT_CONTENTS_MAX];
        struct call_report report;

        session_report(container_of(n, struct session, node), content, REPORT_CONTENTS_MAX,
                       &report);
        each(ctx, &report);
    }
    for (struct map_node *n = map_each(&signal->channels, NULL); n;
         n = map_each(&signal->channels, n)) {
        const struct channel *channel = container_of(n, struct channel, node);
        struct content_report content;
        struct call_report report;

        if (channel->call.state == CALL_ENDED)
            continue;
        channel_report(channel, &content, &report);
        each(ctx, &report);
    }
}
