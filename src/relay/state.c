// SPDX-License-Identifier: ISC
// What a relay leaves for its successor, and how that one begins with it (relay.h). The key of the
// keyed hashes goes along: ids that have been used, marks of the relay's own checks and names of
// channels are known by it alone.
//
// Nothing that the snapshot says is believed before path_check() has found the path in good order;
// a path that is not is closed again. So whatever the text is, the relay keeps its invariants, and
// the worst that a wrong one costs is the path.

#include "state.h"

#include <errno.h>
#include <string.h>

#define ROW(type, key, member, kind, max)                                                          \
    {                                                                                              \
        key, offsetof(struct type, member), kind, max                                              \
    }

json_t *state_of(const struct state_field *field, size_t fields, const void *from)
{
    json_t *object = state_new();

    state_put_fields(object, field, fields, from);
    return object;
}

// --- checks that wait for their answer -----------------------------------------------------------

#define ASKED(key, member, kind, max) ROW(transaction, key, member, kind, max)

static const struct state_field transaction_fields[] = {
    ASKED("sent", sent, STATE_PAST, 0),
    ASKED("from", from, STATE_ADDR, 0),
    ASKED("to", to, STATE_ADDR, 0),
    ASKED("nomination", nomination, STATE_U32, 0),
    ASKED("id", txid, STATE_BYTES, STUN_TXID_LEN),
    ASKED("side", side, STATE_U8, SIDE_COUNT - 1),
    ASKED("from_family", from_family, STATE_U8, FAMILIES - 1),
    ASKED("to_family", to_family, STATE_U8, FAMILIES - 1),
    ASKED("resent", resent, STATE_BOOL, 0),
};

static void transactions_save(const struct transactions *table, json_t *object, usec_t now)
{
    for (unsigned i = 0; i < table->count; i++)
        if (now - table->item[i].sent < TRANSACTION_LIFE)
            state_append(object, "asked", state_of(FIELDS(transaction_fields), &table->item[i]));
}

static bool transactions_restore(const struct revival *revival, struct path *path,
                                 struct state_reader *reader)
{
    const json_t *list = state_array(reader, "asked");
    struct transaction t;

    for (size_t i = 0; i < json_array_size(list); i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        memset(&t, 0, sizeof(t));
        state_get_fields(&r, FIELDS(transaction_fields), &revival->clock, &t);
        if (r.wrong)
            return false;
        // The answer may have waited while nobody was there: no measure of the way.
        t.resent = t.resent || revival->clock.pause > 0;
        transactions_add(&path->transactions, &t);
    }
    return true;
}

// --- paths ---------------------------------------------------------------------------------------

#define PATH(key, member, kind, max) ROW(path, key, member, kind, max)

static const struct state_field path_fields[] = {
    PATH("opened", opened, STATE_PAST, 0),
    PATH("last_forward", last_forward, STATE_LIVE, 0),
    PATH("nominations", nominations, STATE_U32, 0),
    PATH("silent", silent, STATE_BOOL, 0),
};

static const char *const mode_names[] = {
    [PATH_ICE] = "ice", [PATH_RAW] = "raw", [PATH_CHANNEL] = "channel", [PATH_GOOGLE] = "google"};

static const char *const port_names[FAMILIES] = {"port4", "port6"};
static const char *const kept_names[FAMILIES] = {"kept4", "kept6"};

static json_t *path_leg_save(const struct path *path, enum side side)
{
    json_t *object = state_new();

    for (unsigned f = 0; f < FAMILIES; f++) {
        const struct port *port = &path->leg[side].port[f];
        if (!port->open)
            continue;
        state_put_u64(object, port_names[f], port->number);
        if (port->next_kept)
            state_put_bool(object, kept_names[f], true);
    }
    leg_save(path, side, object);
    return object;
}

static json_t *path_save(const struct path *path, usec_t now)
{
    json_t *object = state_of(FIELDS(path_fields), path);

    state_put_u64(object, "path", path->id);
    state_put_text(object, "mode", mode_names[path->mode]);
    state_put_u64(object, "component", path->component);
    state_put_bool(object, "shared", path->shared);
    if (path->rtp_path != 0)
        state_put_u64(object, "rtp_path", path->rtp_path);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        state_append(object, "legs", path_leg_save(path, s));
    transactions_save(&path->transactions, object, now);
    mode_save(path, object);
    return object;
}

static bool read_mode(struct state_reader *reader, enum path_mode *ret_mode)
{
    const char *name = state_text(reader, "mode", 16);

    for (unsigned i = 0; name && i < sizeof(mode_names) / sizeof(*mode_names); i++) {
        if (strcmp(name, mode_names[i]) != 0)
            continue;
        *ret_mode = (enum path_mode)i;
        return true;
    }
    return false;
}

// What it takes to open the path as it was.
static bool read_path(struct state_reader *reader, struct order *order, struct path_ports *ports)
{
    const json_t *legs = state_array(reader, "legs");

    order->path = state_u64(reader, "path", UINT64_MAX);
    order->u.open.rtp_path = state_u64(reader, "rtp_path", UINT64_MAX);
    order->u.open.component = (unsigned)state_u64(reader, "component", UINT8_MAX);
    order->u.open.own_ports = !state_bool(reader, "shared");
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        struct state_reader r = state_read(json_array_get(legs, s));
        for (unsigned f = 0; f < FAMILIES; f++) {
            ports->number[s][f] = (uint16_t)state_u64(&r, port_names[f], UINT16_MAX);
            ports->next_kept[s][f] = state_bool(&r, kept_names[f]);
        }
        order->u.open.family_v4[s] = ports->number[s][0] != 0;
        order->u.open.family_v6[s] = ports->number[s][1] != 0;
        if (r.wrong)
            return false;
    }
    return read_mode(reader, &order->u.open.mode) && !reader->wrong;
}

static bool fill_path(struct revival *revival, struct path *path, struct state_reader *reader)
{
    const json_t *legs = state_array(reader, "legs");

    state_get_fields(reader, FIELDS(path_fields), &revival->clock, path);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (!leg_restore(revival, path, s, json_array_get(legs, s)))
            return false;
    if (!transactions_restore(revival, path, reader) || !mode_restore(revival, path, reader))
        return false;
    path_schedule(path);
    return !reader->wrong && !path_check(path);
}

static bool path_restore(struct revival *revival, uint64_t call, uint64_t rate,
                         const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct order order = {.kind = ORDER_OPEN, .call = call, .u.open.bytes_per_second = rate};
    struct path_ports ports = {0};
    struct path *path;
    int err;

    if (reader.wrong || !read_path(&reader, &order, &ports))
        return false;
    err = path_reopen(revival->relay, &order, &ports, revival->clock.now, &path);
    revival->no_memory = revival->no_memory || err == -ENOMEM;
    if (err < 0)
        return false;
    if (fill_path(revival, path, &reader))
        return true;
    path_close(path, revival->clock.now);
    return false;
}

// --- calls ---------------------------------------------------------------------------------------

static const struct state_field bucket_fields[] = {
    ROW(bucket, "tokens", tokens, STATE_U64, 0),
    ROW(bucket, "filled", last, STATE_PAST, 0),
};

static json_t *call_save(struct call_paths *call, usec_t now)
{
    json_t *object;

    offload_take_call(call, now, OFFLOAD_PAUSE);
    object = state_of(FIELDS(bucket_fields), &call->bucket);
    state_put_u64(object, "call", call->id);
    state_put_u64(object, "rate", call->rate);
    for (const struct path *path = call->first; path; path = path->call_next)
        state_append(object, "paths", path_save(path, now));
    return object;
}

static void bucket_restore(const struct revival *revival, struct bucket *bucket,
                           struct state_reader *reader)
{
    uint64_t full = bucket->tokens;

    state_get_fields(reader, FIELDS(bucket_fields), &revival->clock, bucket);
    if (bucket->tokens > full)
        bucket->tokens = full;
}

// Returns how many paths are lost; without any, a call that makes no sense is one.
static unsigned call_restore(struct revival *revival, const json_t *object)
{
    struct state_reader reader = state_read(object);
    uint64_t id = state_u64(&reader, "call", UINT64_MAX);
    uint64_t rate = state_u64(&reader, "rate", UINT64_MAX);
    const json_t *list = state_array(&reader, "paths");
    struct call_paths *call;
    unsigned lost = 0;

    if (reader.wrong || call_find(revival->relay, id))
        return json_array_size(list) > 0 ? (unsigned)json_array_size(list) : 1;
    // Each becomes the first one of its call.
    for (size_t i = json_array_size(list); i-- > 0;)
        lost += !path_restore(revival, id, rate, json_array_get(list, i));
    call = call_find(revival->relay, id);
    if (call)
        bucket_restore(revival, &call->bucket, &reader);
    return lost;
}

// --- ports that rest
// -------------------------------------------------------------------------------

static const char *const resting_names[FAMILIES] = {"resting4", "resting6"};

static void rest_save(json_t *object, const char *name, uint16_t number, usec_t until)
{
    json_t *item = state_new();

    state_put_u64(item, "port", number);
    state_put_u64(item, "until", until);
    state_append(object, name, item);
}

static void pool_save(const struct relay *relay, unsigned family, json_t *object, usec_t now)
{
    const struct pool *pool = &relay->pool[family];
    uint16_t index = pool->first;

    for (unsigned i = 0; i < pool->quarantined_count; i++, index = pool->port[index].next)
        rest_save(object, resting_names[family], pool->port[index].number, pool->port[index].until);
    for (unsigned i = 0; i < pool->count && relay->lent[family] > 0; i++)
        if (pool->port[i].lent)
            rest_save(object, resting_names[family], pool->port[i].number,
                      now + relay->config.limits.quarantine);
}

static void pool_restore(const struct revival *revival, unsigned family,
                         struct state_reader *reader)
{
    struct relay *relay = revival->relay;
    struct pool *pool = &relay->pool[family];
    const json_t *list = state_array(reader, resting_names[family]);
    usec_t latest = revival->clock.now + relay->config.limits.quarantine;

    for (size_t i = 0; i < json_array_size(list); i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        uint16_t number = (uint16_t)state_u64(&r, "port", UINT16_MAX), index;
        usec_t until = state_u64(&r, "until", UINT64_MAX);
        if (!r.wrong && pool_take_number(pool, number, &index) == 0)
            pool_quarantine(pool, index, until < latest ? until : latest);
    }
}

// --- the relay
// -------------------------------------------------------------------------------------

json_t *relay_save(struct relay *relay, usec_t now)
{
    json_t *object = state_new();

    state_put_u64(object, "saved", now);
    state_put_bytes(object, "key", relay->paths.key, sizeof(relay->paths.key));
    for (struct map_node *n = map_each(&relay->calls, NULL); n; n = map_each(&relay->calls, n))
        state_append(object, "calls", call_save(container_of(n, struct call_paths, node), now));
    for (unsigned f = 0; f < FAMILIES; f++)
        pool_save(relay, f, object, now);
    if (state_complete(object))
        return object;
    json_decref(object);
    return NULL;
}

// Raw paths and channels of component 2 follow one of component 1. That one may be gone, but there
// must be no other in its place.
static bool follows(const struct path *path)
{
    const struct path *rtp = path->rtp_path ? path_find(path->relay, path->rtp_path) : NULL;

    return !rtp || (rtp->mode == path->mode && rtp->call == path->call && rtp->rtp_path == 0);
}

static unsigned close_astray(struct relay *relay, usec_t now)
{
    unsigned lost = 0;

    for (struct map_node *n = map_each(&relay->paths, NULL), *next; n; n = next) {
        struct path *path = container_of(n, struct path, node);
        next = map_each(&relay->paths, n);
        if (follows(path))
            continue;
        path_close(path, now);
        lost++;
    }
    return lost;
}

static void use_key(struct relay *relay, const uint8_t key[16])
{
    enum { MAPS = 4 };
    struct map *const maps[MAPS] = {&relay->paths, &relay->calls, &relay->names, &relay->claims};

    for (unsigned i = 0; i < MAPS; i++) {
        map_free(maps[i]);
        map_init(maps[i], key);
    }
}

int relay_restore(struct relay *relay, const json_t *state, usec_t now, unsigned *ret_lost)
{
    struct state_reader reader = state_read(state);
    uint8_t key[sizeof(relay->paths.key)];
    struct revival revival = {.relay = relay,
                              .clock = state_clock(state_u64(&reader, "saved", UINT64_MAX), now)};
    const json_t *calls = state_array(&reader, "calls");
    bool has_key = state_bytes(&reader, "key", key, sizeof(key)) == sizeof(key);

    if (reader.wrong || !has_key)
        return -EPROTONOSUPPORT;
    use_key(relay, key); // the tables are empty
    *ret_lost = 0;
    for (size_t i = json_array_size(calls); i-- > 0;) // as tables have the last one first
        *ret_lost += call_restore(&revival, json_array_get(calls, i));
    *ret_lost += close_astray(relay, now);
    for (unsigned f = 0; f < FAMILIES; f++)
        pool_restore(&revival, f, &reader);
    relay_ports_changed(relay, now);
    for (struct map_node *n = map_each(&relay->paths, NULL); n; n = map_each(&relay->paths, n))
        relay_tell_opened(container_of(n, struct path, node));
    return revival.no_memory ? -ENOMEM : 0;
}
