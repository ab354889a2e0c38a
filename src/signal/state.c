// SPDX-License-Identifier: ISC
// The snapshot of the signalling as a whole; see signal/signal.h. What is in it is told by the
// other files of this name.
#include "state.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- values

usec_t state_deadline(const struct timer *timer)
{
    return timer_armed(timer) ? timer->at : 0;
}

usec_t state_put_off(const struct restore *restore, usec_t at)
{
    return at > 0 && at < USEC_NEVER - restore->pause ? at + restore->pause : at;
}

char *state_copy(struct state_texts *texts, const char *key, size_t max)
{
    const char *text = state_text(texts->reader, key, max);
    char *copy = text ? strdup(text) : NULL;

    if (text && !copy)
        texts->error = -ENOMEM;
    if (texts->reader->wrong && !texts->error)
        texts->error = -EBADMSG;
    return copy;
}

char *state_need(struct state_texts *texts, const char *key, size_t max)
{
    char *copy = state_copy(texts, key, max);

    if ((!copy || !*copy) && !texts->error)
        texts->error = -EBADMSG;
    return copy;
}

char *state_jid(struct state_texts *texts, const char *key)
{
    char *copy = state_need(texts, key, JID_MAX - 1);
    struct jid jid;

    if (copy && jid_parse(copy, &jid) < 0 && !texts->error)
        texts->error = -EBADMSG;
    return copy;
}

void state_put_xml(json_t *object, const char *key, const struct xml *x)
{
    struct buf text = {0};

    if (!x)
        return;
    xml_write(x, NULL, &text);
    state_put(object, key, text.failed ? NULL : json_stringn(text.data, text.len));
    buf_free(&text);
}

int state_xml(struct state_reader *reader, const char *key, struct xml **ret_x)
{
    // As much as the component takes from a server, and what writing it down may add.
    static const struct xml_limits limits = {1 << 22, 256, 100000};
    const char *text = state_text(reader, key, limits.bytes);

    *ret_x = NULL;
    if (reader->wrong)
        return -EBADMSG;
    if (!text)
        return 0;
    return xml_parse(text, strlen(text), &limits, ret_x) == -ENOMEM ? -ENOMEM
           : *ret_x                                                 ? 0
                                                                    : -EBADMSG;
}

bool state_is_request(const struct xml *x)
{
    struct jid jid;

    return x && xml_is(x, "iq", NS_CLIENT) && xml_attr(x, "id") &&
           jid_parse(xml_attr(x, "from"), &jid) == 0 && jid_parse(xml_attr(x, "to"), &jid) == 0;
}

// ---- saving

// What can be settled before: servers that wait get their stanzas back, and calls that are over are
// told of with the figures that have come.
static void settle(struct signal *signal, usec_t now)
{
    struct map_node *node, *next;

    for (node = map_each(&signal->sessions, NULL); node; node = next) {
        next = map_each(&signal->sessions, node);
        session_give_back(container_of(node, struct session, node), now);
    }
    for (node = map_each(&signal->ids, NULL); node; node = next) {
        struct session *session = container_of(node, struct session, id_node);

        next = map_each(&signal->ids, node);
        if (session->call.state != CALL_ENDED)
            continue;
        session_tell_ended(session, now);
        session_free(session);
    }
    for (node = map_each(&signal->channels, NULL); node; node = next) {
        struct channel *channel = container_of(node, struct channel, node);

        next = map_each(&signal->channels, node);
        if (channel->call.state == CALL_ENDED)
            channel_finish(channel, now);
    }
    (void)transport_close_rest(signal); // what is left is nobody's in the next daemon, too
}

static void save_all(const struct signal *signal, json_t *state)
{
    struct map_node *n;

    calls_save(&signal->calls, state);
    for (n = map_each(&signal->sessions, NULL); n; n = map_each(&signal->sessions, n))
        session_save(container_of(n, struct session, node), state);
    for (n = map_each(&signal->channels, NULL); n; n = map_each(&signal->channels, n))
        channel_save(container_of(n, struct channel, node), state);
    for (n = map_each(&signal->proposals, NULL); n; n = map_each(&signal->proposals, n))
        proposal_save(container_of(n, struct proposal, node), state);
    for (n = map_each(&signal->pending, NULL); n; n = map_each(&signal->pending, n))
        pending_save(container_of(n, struct pending, node), state);
    dialects_save(signal, state);
    listeners_save(signal, state);
}

json_t *signal_save(struct signal *signal, usec_t now)
{
    json_t *state;

    (void)echo_end(signal, NULL, "gone", now); // their keys and handshakes are not written down
    settle(signal, now);
    state = state_new();
    state_put_u64(state, "saved", now);
    state_put_u64(state, "last_path", signal->last_id);
    save_all(signal, state);
    if (!state_complete(state)) {
        json_decref(state);
        return NULL;
    }
    signal->saved = true;
    return state;
}

// ---- restoring

// Requests come last: some are of sessions.
static const struct {
    const char *key;
    int (*restore)(const struct restore *restore, const json_t *object);
} lists[] = {
    {"sessions", session_restore}, {"channels", channel_restore},   {"proposals", proposal_restore},
    {"dialects", dialect_restore}, {"listeners", listener_restore}, {"requests", pending_restore},
};

// 0 or -ENOMEM.
static int restore_list(const struct restore *restore, size_t which, const json_t *list,
                        unsigned *lost)
{
    const json_t *object;
    size_t i;

    json_array_foreach(list, i, object)
    {
        int r = lists[which].restore(restore, object);

        if (r == -ENOMEM)
            return r;
        if (r < 0) {
            log_warning("one of the %s that were handed over makes no sense", lists[which].key);
            ++*lost;
        }
    }
    return 0;
}

int signal_restore(struct signal *signal, const json_t *state, usec_t now, unsigned *ret_lost)
{
    struct state_reader reader = state_read(state);
    usec_t saved = state_u64(&reader, "saved", USEC_NEVER);
    struct restore restore = {signal, saved > 0 && saved < now ? now - saved : 0};
    unsigned lost = 0;
    uint64_t last;
    int r;

    if (reader.wrong)
        return -EPROTONOSUPPORT;
    last = state_u64(&reader, "last_path", UINT64_MAX >> 1);
    signal->last_id = last > signal->last_id ? last : signal->last_id;
    r = calls_restore(&signal->calls, &reader);
    lost += r == -EBADMSG;
    for (size_t i = 0; r != -ENOMEM && i < sizeof lists / sizeof lists[0]; i++)
        r = restore_list(&restore, i, state_array(&reader, lists[i].key), &lost);
    if (r == -ENOMEM)
        return r;
    *ret_lost = lost + (reader.wrong != NULL);
    return 0;
}

// ---- what the relay has still

struct kept {
    const struct kept_path *path;
    size_t count;
};

static bool is_kept(const struct kept *kept, uint64_t path)
{
    size_t low = 0, high = kept->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (kept->path[middle].path == path)
            return true;
        if (kept->path[middle].path < path)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static int by_path(const void *a, const void *b)
{
    uint64_t x = ((const struct kept_path *)a)->path, y = ((const struct kept_path *)b)->path;

    return x < y ? -1 : x > y;
}

static bool is_known(const struct signal *signal, const struct kept_path *kept)
{
    const struct media_path *path = media_path_find(signal, kept->path);
    const struct channel *channel = channel_by_id(signal, kept->call);

    if (path)
        return path->call == kept->call;
    return channel && channel->call.state != CALL_ENDED &&
           ((channel->open[0] && channel->path[0] == kept->path) ||
            (channel->open[1] && channel->path[1] == kept->path));
}

static void close_unknown(struct signal *signal, const struct kept *kept)
{
    for (size_t i = 0; i < kept->count; i++) {
        struct order close = {
            .kind = ORDER_CLOSE, .call = kept->path[i].call, .path = kept->path[i].path};

        if (!is_known(signal, &kept->path[i]) && signal->io.order(signal->io.ctx, &close) < 0)
            log_warning("memory is exhausted: ports of a call that is over stay open");
    }
}

// What was asked for and not opened is asked for again. Whether a call can go on without what is
// lost is decided when all of it is known.
static void path_not_kept(struct media_path *path)
{
    struct session *session = path->transport->session;

    if (!path->opened && media_path_reopen(path) == 0)
        return;
    if (!path->opened)
        session->failure = -ENOMEM;
    else if (path->component == 1 && !path->silent)
        session->cut |= session->call.first_media || !contents_can_go_direct(session);
    media_path_lost(session->signal, path);
}

static void keep_session(struct session *session, usec_t now)
{
    if (session->cut)
        session_terminate(session, "connectivity-error", now);
    else
        session_work(session, now);
}

static void keep_channel(struct channel *channel, const struct kept *kept, usec_t now)
{
    for (int i = 0; i < 2 && channel->call.state != CALL_ENDED; i++) {
        if (channel->open[i] && !is_kept(kept, channel->path[i]))
            channel_path_lost(channel, i, now);
    }
}

// Without memory for the sorted list nothing is taken for lost: silence will tell.
void signal_keep_paths(struct signal *signal, const struct kept_path *path, size_t count,
                       usec_t now)
{
    struct kept_path *sorted = calloc(count + 1, sizeof *sorted);
    struct kept kept = {sorted, count};
    struct map_node *node, *next;

    if (!sorted)
        return;
    if (count > 0)
        memcpy(sorted, path, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_path);
    close_unknown(signal, &kept);
    for (node = map_each(&signal->paths, NULL); node; node = next) {
        struct media_path *known = container_of(node, struct media_path, node);

        next = map_each(&signal->paths, node);
        if (!is_kept(&kept, known->id))
            path_not_kept(known);
    }
    for (node = map_each(&signal->sessions, NULL); node; node = next) {
        next = map_each(&signal->sessions, node);
        keep_session(container_of(node, struct session, node), now);
    }
    for (node = map_each(&signal->channels, NULL); node; node = next) {
        next = map_each(&signal->channels, node);
        keep_channel(container_of(node, struct channel, node), &kept, now);
    }
    free(sorted);
}
