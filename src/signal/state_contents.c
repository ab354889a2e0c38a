// SPDX-License-Identifier: ISC
// Contents of a session in a snapshot. Several may share a transport: the session has a list of
// these, and contents say which of it is theirs.
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRANSPORTS_MAX (2 * REPORT_CONTENTS_MAX)
#define SERIAL_MAX     UINT32_MAX

static const char *const kinds[] = {[TRANSPORT_NONE] = "none",
                                    [TRANSPORT_ICE] = "ice",
                                    [TRANSPORT_RAW] = "raw",
                                    [TRANSPORT_GOOGLE] = "google",
                                    [TRANSPORT_OTHER] = "other"};

struct transports { // of one session
    struct transport *item[TRANSPORTS_MAX];
    unsigned count;
};

// ---- saving

static unsigned number_of(struct transports *all, struct transport *transport)
{
    unsigned i = 0;

    while (i < all->count && all->item[i] != transport)
        i++;
    if (i == all->count)
        all->item[all->count++] = transport;
    return i;
}

static void content_save(const struct content *content, struct transports *all, json_t *object)
{
    json_t *c = state_new();

    state_put_text(c, "name", content->name);
    state_put_text(c, "media", content->media);
    state_put_u64(c, "creator", content->creator);
    state_put_u64(c, "components", content->components);
    state_put_bool(c, "accepted", content->accepted);
    state_put_bool(c, "early", content->early);
    state_put_bool(c, "mux_offered", content->mux_offered);
    state_put_bool(c, "bundle_offered", content->bundle_offered);
    state_put_u64(c, "serial", content->serial);
    state_put_u64(c, "current", number_of(all, content->current) + 1);
    if (content->pending) {
        state_put_u64(c, "pending", number_of(all, content->pending) + 1);
        state_put_u64(c, "pending_by", content->pending_by);
        state_put_u64(c, "pending_serial", content->pending_serial);
    }
    state_append(object, "contents", c);
}

static void path_save(const struct media_path *path, unsigned component, json_t *transport)
{
    json_t *object = state_new();

    state_put_u64(object, "component", component);
    if (path) {
        state_put_u64(object, "id", path->id);
        state_put_bool(object, "opened", path->opened);
        state_put_bool(object, "silent", path->silent);
        state_put_addr(object, "port0_v4", &path->relay[0][0]);
        state_put_addr(object, "port0_v6", &path->relay[0][1]);
        state_put_addr(object, "port1_v4", &path->relay[1][0]);
        state_put_addr(object, "port1_v6", &path->relay[1][1]);
        state_put_text(object, "name0", path->name[0]);
        state_put_text(object, "name1", path->name[1]);
    }
    state_append(transport, "paths", object);
}

static void credentials_save(const struct credentials *creds, const char *key, json_t *side)
{
    json_t *object;

    if (!creds->ufrag)
        return;
    object = state_new();
    state_put_text(object, "ufrag", creds->ufrag);
    state_put_text(object, "pwd", creds->pwd);
    state_put_u64(object, "generation", creds->generation);
    state_put(side, key, object);
}

// Cut to fit, they may end in half a character: no text for JSON.
static void seen_save(const struct candidate_report *seen, json_t *side)
{
    json_t *object = state_new();

    state_put_bytes(object, "type", seen->type, strlen(seen->type));
    state_put_bytes(object, "protocol", seen->protocol, strlen(seen->protocol));
    state_put_bytes(object, "address", seen->address, strlen(seen->address));
    state_append(side, "seen", object);
}

static void side_save(const struct transport *transport, int side, json_t *object)
{
    json_t *s = state_new();

    credentials_save(&transport->creds[side], "credentials", s);
    credentials_save(&transport->before[side], "before", s);
    state_put_u64(s, "restart", transport->restart[side]);
    state_put_u64(s, "offered", transport->offered[side]);
    state_put_addr(s, "peer1", &transport->peer[side][0]);
    state_put_addr(s, "peer2", &transport->peer[side][1]);
    for (unsigned i = 0; i < transport->seen_count[side]; i++)
        seen_save(&transport->seen[side][i], s);
    state_append(object, "sides", s);
}

static void transport_save(const struct transport *transport, json_t *object)
{
    json_t *t = state_new();

    state_put_text(t, "ns", transport->ns);
    state_put_text(t, "kind", kinds[transport->kind]);
    state_put_bool(t, "known", transport->known);
    state_put_u64(t, "last_path1", transport->path_id[0]);
    state_put_u64(t, "last_path2", transport->path_id[1]);
    for (int side = 0; side < SIDE_COUNT; side++)
        side_save(transport, side, t);
    for (unsigned i = 0; i < 2; i++) {
        if (transport->path[i])
            path_save(transport->path[i], i + 1, t);
    }
    state_append(object, "transports", t);
}

void contents_save(const struct session *session, json_t *object)
{
    struct transports all = {.count = 0};
    const struct content *content;

    TAILQ_FOREACH (content, &session->contents, link)
        content_save(content, &all, object);
    for (unsigned i = 0; i < all.count; i++)
        transport_save(all.item[i], object);
}

// ---- restoring: paths

// Of a name that was made here: what the candidate has towards that side.
static void read_name(struct state_reader *reader, const char *key, char name[GOOGLE_NAME_SIZE])
{
    const char *text = state_text(reader, key, GOOGLE_NAME_SIZE - 1);

    if (text)
        memcpy(name, text, strlen(text) + 1);
}

static void read_path(struct state_reader *reader, struct media_path *path)
{
    path->id = state_u64(reader, "id", UINT64_MAX >> 1);
    path->opened = state_bool(reader, "opened");
    path->silent = state_bool(reader, "silent");
    path->relay[0][0] = state_addr(reader, "port0_v4");
    path->relay[0][1] = state_addr(reader, "port0_v6");
    path->relay[1][0] = state_addr(reader, "port1_v4");
    path->relay[1][1] = state_addr(reader, "port1_v6");
    read_name(reader, "name0", path->name[0]);
    read_name(reader, "name1", path->name[1]);
}

static int path_restore(struct transport *transport, const json_t *object)
{
    struct state_reader reader = state_read(object);
    uint64_t component = state_u64(&reader, "component", 2);
    struct session *session = transport->session;
    struct media_path read = {.transport = transport, .call = session->call.id};
    struct media_path *path;

    read_path(&reader, &read);
    if (reader.wrong || component == 0 || read.id == 0 || transport->path[component - 1] ||
        media_path_find(session->signal, read.id))
        return -EBADMSG;
    path = malloc(sizeof *path);
    if (!path)
        return -ENOMEM;
    *path = read;
    path->component = (unsigned)component;
    return media_path_list(path); // which frees it if it cannot
}

static int paths_restore(struct transport *transport, const json_t *list)
{
    const json_t *object;
    size_t i;
    int r = 0;

    json_array_foreach(list, i, object)
    {
        if (r == 0)
            r = path_restore(transport, object);
    }
    return r;
}

// ---- restoring: what the sides have said

static int credentials_restore(const json_t *object, struct credentials *creds)
{
    struct state_reader reader = state_read(object);
    struct state_texts texts = {&reader, 0};

    if (!object)
        return 0;
    creds->ufrag = state_copy(&texts, "ufrag", ICE_UFRAG_MAX);
    creds->pwd = state_copy(&texts, "pwd", ICE_PWD_MAX);
    creds->generation = (unsigned)state_u64(&reader, "generation", SERIAL_MAX - 2);
    if (texts.error)
        return texts.error;
    return reader.wrong || !creds->ufrag || !creds->pwd ? -EBADMSG : 0;
}

static int seen_restore(const json_t *list, struct transport *transport, int side)
{
    size_t count = json_array_size(list);
    struct candidate_report *seen;

    if (count == 0)
        return 0;
    count = count < REPORT_CANDIDATES_MAX ? count : REPORT_CANDIDATES_MAX;
    seen = transport->seen[side] = calloc(count, sizeof *seen);
    if (!seen)
        return -ENOMEM;
    transport->seen_count[side] = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        struct state_reader reader = state_read(json_array_get(list, i));

        state_bytes(&reader, "type", seen[i].type, sizeof seen[i].type - 1);
        state_bytes(&reader, "protocol", seen[i].protocol, sizeof seen[i].protocol - 1);
        state_bytes(&reader, "address", seen[i].address, sizeof seen[i].address - 1);
        if (reader.wrong)
            return -EBADMSG;
    }
    return 0;
}

static int side_restore(const json_t *object, struct transport *transport, int side)
{
    struct state_reader reader = state_read(object);
    int r = credentials_restore(state_object(&reader, "credentials"), &transport->creds[side]);

    if (r == 0)
        r = credentials_restore(state_object(&reader, "before"), &transport->before[side]);
    transport->restart[side] = (unsigned)state_u64(&reader, "restart", SERIAL_MAX);
    transport->offered[side] = (unsigned)state_u64(&reader, "offered", SERIAL_MAX);
    transport->peer[side][0] = state_addr(&reader, "peer1");
    transport->peer[side][1] = state_addr(&reader, "peer2");
    if (r == 0)
        r = seen_restore(state_array(&reader, "seen"), transport, side);
    return r == 0 && reader.wrong ? -EBADMSG : r;
}

// ---- restoring: transports

static int kind_named(const char *name, enum transport_kind *ret_kind)
{
    for (size_t i = 0; name && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i], name) == 0) {
            *ret_kind = (enum transport_kind)i;
            return 0;
        }
    }
    return -EBADMSG;
}

static int read_transport(struct transport *transport, const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct state_texts texts = {&reader, 0};
    const json_t *sides = state_array(&reader, "sides");
    int r = kind_named(state_text(&reader, "kind", STATE_TEXT_MAX), &transport->kind);

    free(transport->ns);
    transport->ns = state_copy(&texts, "ns", STATE_TEXT_MAX);
    transport->known = state_bool(&reader, "known");
    transport->path_id[0] = state_u64(&reader, "last_path1", UINT64_MAX >> 1);
    transport->path_id[1] = state_u64(&reader, "last_path2", UINT64_MAX >> 1);
    for (size_t side = 0; r == 0 && side < SIDE_COUNT; side++)
        r = side_restore(json_array_get(sides, side), transport, (int)side);
    if (r == 0)
        r = texts.error;
    if (r == 0 && (reader.wrong || !transport->ns))
        r = -EBADMSG;
    return r ? r : paths_restore(transport, state_array(&reader, "paths"));
}

static int transports_restore(struct session *session, const json_t *list, struct transports *all)
{
    const json_t *object;
    size_t i;
    int r = json_array_size(list) > TRANSPORTS_MAX ? -EBADMSG : 0;

    json_array_foreach(list, i, object)
    {
        struct transport *transport;

        if (r < 0)
            break;
        transport = transport_new(session, NULL);
        if (!transport)
            return -ENOMEM;
        transport->users = 0;
        all->item[all->count++] = transport;
        r = read_transport(transport, object);
    }
    return r;
}

// ---- restoring: contents

// NULL: there is none of this number.
static struct transport *use(struct transports *all, uint64_t number)
{
    struct transport *transport = number > 0 && number <= all->count ? all->item[number - 1] : NULL;

    if (transport)
        transport->users++;
    return transport;
}

static int content_restore(struct session *session, struct transports *all, const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct state_texts texts = {&reader, 0};
    uint64_t pending = state_u64(&reader, "pending", TRANSPORTS_MAX);
    struct content *content = calloc(1, sizeof *content);

    if (!content)
        return -ENOMEM;
    TAILQ_INSERT_TAIL(&session->contents, content, link);
    content->name = state_copy(&texts, "name", STATE_TEXT_MAX);
    content->media = state_copy(&texts, "media", STATE_TEXT_MAX);
    content->creator = (enum side)state_u64(&reader, "creator", SIDE_RESPONDER);
    content->components = (unsigned)state_u64(&reader, "components", 2);
    content->accepted = state_bool(&reader, "accepted");
    content->early = state_bool(&reader, "early");
    content->mux_offered = state_bool(&reader, "mux_offered");
    content->bundle_offered = state_bool(&reader, "bundle_offered");
    content->serial = (unsigned)state_u64(&reader, "serial", SERIAL_MAX);
    content->current = use(all, state_u64(&reader, "current", TRANSPORTS_MAX));
    content->pending = use(all, pending);
    content->pending_by = (enum side)state_u64(&reader, "pending_by", SIDE_RESPONDER);
    content->pending_serial = (unsigned)state_u64(&reader, "pending_serial", SERIAL_MAX);
    if (texts.error)
        return texts.error;
    return reader.wrong || !content->name || !content->media || !content->current ||
                   content->components == 0 || (pending > 0 && !content->pending)
               ? -EBADMSG
               : 0;
}

// No transport is nobody's.
static int check_users(struct transports *all)
{
    int r = 0;

    for (unsigned i = 0; i < all->count; i++) {
        if (all->item[i]->users > 0)
            continue;
        r = -EBADMSG;
        all->item[i]->users = 1;
        transport_forget_paths(all->item[i]);
        transport_release(all->item[i]);
    }
    return r;
}

int contents_restore(struct session *session, struct state_reader *reader)
{
    const json_t *contents = state_array(reader, "contents"), *object;
    struct transports all = {.count = 0};
    int r = transports_restore(session, state_array(reader, "transports"), &all), unused;
    size_t i;

    if (r == 0 && json_array_size(contents) > REPORT_CONTENTS_MAX)
        r = -EBADMSG;
    json_array_foreach(contents, i, object)
    {
        if (r == 0)
            r = content_restore(session, &all, object);
    }
    unused = check_users(&all);
    return r ? r : unused;
}
