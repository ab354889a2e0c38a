// SPDX-License-Identifier: ISC
// Snapshots: what every leg has, that is credentials, sources, ids, the request that waits, and
// figures. An id that has come to a leg must not prove anybody after a restart either, so all of
// them are kept, oldest first.
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROW(type, key, member, kind, max)                                                          \
    {                                                                                              \
        key, offsetof(struct type, member), kind, max                                              \
    }

// --- figures -------------------------------------------------------------------------------------

#define LEG(key, member, kind, max) ROW(leg, key, member, kind, max)

static const struct state_field leg_fields[] = {
    LEG("selected", selected, STATE_INDEX, PATH_SOURCES_MAX),
    LEG("last_proved", last_proved, STATE_INDEX, PATH_SOURCES_MAX),
    LEG("role", role, STATE_U8, ROLE_CONTROLLED),
    LEG("checked", checked, STATE_BOOL, 0),
    LEG("media_told", media_told, STATE_BOOL, 0),
    LEG("tie_breaker", tie_breaker, STATE_U64, 0),
    LEG("nomination", nomination, STATE_U32, 0),
    LEG("generation", generation, STATE_U32, 0),
    LEG("packets_in", packets_in, STATE_U64, 0),
    LEG("bytes_in", bytes_in, STATE_U64, 0),
    LEG("packets_out", packets_out, STATE_U64, 0),
    LEG("bytes_out", bytes_out, STATE_U64, 0),
    LEG("media_in", media_in, STATE_U64, 0),
    LEG("refused", refused, STATE_U64, 0),
    LEG("checks_in", checks_in, STATE_U64, 0),
    LEG("first_check", first_check, STATE_PAST, 0),
    LEG("last_check", last_check, STATE_PAST, 0),
    LEG("first_media", first_media, STATE_PAST, 0),
    LEG("last_media", last_media, STATE_LIVE, 0),
    LEG("rtt", rtt, STATE_U64, 0),
    LEG("moves", moves, STATE_U32, 0),
};

#define QUALITY(key, member, kind) ROW(rtp_quality, key, member, kind, 0)

static const struct state_field quality_fields[] = {
    QUALITY("received", received, STATE_U64),
    QUALITY("duplicates", duplicates, STATE_U64),
    QUALITY("reordered", reordered, STATE_U64),
    QUALITY("window", window, STATE_U64),
    QUALITY("timestamp_arrival", timestamp_arrival, STATE_PAST),
    QUALITY("last_arrival", last_arrival, STATE_PAST),
    QUALITY("first_arrival", first_arrival, STATE_PAST),
    QUALITY("longest_gap", longest_gap, STATE_U64),
    QUALITY("ssrc", ssrc, STATE_U32),
    QUALITY("cycles", cycles, STATE_U32),
    QUALITY("base", base, STATE_U32),
    QUALITY("clock_rate", clock_rate, STATE_U32),
    QUALITY("jitter16", jitter16, STATE_U32),
    QUALITY("last_timestamp", last_timestamp, STATE_U32),
    QUALITY("first_timestamp", first_timestamp, STATE_U32),
    QUALITY("clock_guess", clock_guess, STATE_U32),
    QUALITY("highest", highest, STATE_U16),
    QUALITY("started", started, STATE_BOOL),
};

static bool qualities_restore(struct revival *revival, struct leg *leg, struct state_reader *reader)
{
    const json_t *list = state_array(reader, "streams");
    size_t n = json_array_size(list);

    if (n == 0)
        return true;
    if (n > PATH_SSRC_MAX)
        return false;
    leg->quality = calloc(n, sizeof(*leg->quality));
    if (!leg->quality) {
        revival->no_memory = true;
        return false;
    }
    for (; leg->qualities < n; leg->qualities++) {
        struct state_reader r = state_read(json_array_get(list, leg->qualities));
        state_get_fields(&r, FIELDS(quality_fields), &revival->clock,
                         &leg->quality[leg->qualities]);
        if (r.wrong)
            return false;
    }
    return true;
}

// --- credentials ---------------------------------------------------------------------------------

static void credentials_save(const struct leg *leg, json_t *object)
{
    for (unsigned i = 0; i < 2 && leg->credentials[i]; i++) {
        const struct credentials *c = leg->credentials[i];
        json_t *item = state_new();
        state_put_bytes(item, "ufrag", c->text, c->ufrag_len);
        state_put_bytes(item, "pwd", c->text + c->ufrag_len, c->pwd_len);
        state_append(object, "credentials", item);
    }
}

static bool credentials_restore(struct revival *revival, struct path *path, enum side side,
                                struct state_reader *reader)
{
    const json_t *list = state_array(reader, "credentials");
    char ufrag[ICE_UFRAG_MAX], pwd[ICE_PWD_MAX];

    if (json_array_size(list) > 2)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct state_reader r = state_read(json_array_get(list, i));
        size_t ufrag_len = state_bytes(&r, "ufrag", ufrag, sizeof(ufrag));
        size_t pwd_len = state_bytes(&r, "pwd", pwd, sizeof(pwd));
        if (r.wrong || ufrag_len == 0 || pwd_len == 0)
            return false;
        path->leg[side].credentials[i] =
            credentials_new(path, side, ufrag, ufrag_len, pwd, pwd_len);
        if (!path->leg[side].credentials[i]) {
            revival->no_memory = true;
            return false;
        }
    }
    return true;
}

// --- sources -------------------------------------------------------------------------------------

#define SOURCE(key, member, kind, max) ROW(source, key, member, kind, max)

static const struct state_field source_fields[] = {
    SOURCE("addr", addr, STATE_ADDR, 0),
    SOURCE("family", family, STATE_U8, FAMILIES - 1),
    SOURCE("last_seen", last_seen, STATE_LIVE, 0),
    SOURCE("nominated_at", nominated_at, STATE_LIVE, 0),
    SOURCE("nomination", nomination, STATE_U32, 0),
    SOURCE("generation", generation[0], STATE_U32, 0),
    SOURCE("other_generation", generation[1], STATE_U32, 0),
    SOURCE("verified", verified, STATE_BOOL, 0),
    SOURCE("answered", answered, STATE_BOOL, 0),
    SOURCE("mute", mute, STATE_BOOL, 0),
    SOURCE("check_id", check_id, STATE_BYTES, STUN_TXID_LEN),
    SOURCE("check_started", check_started, STATE_LIVE, 0),
    SOURCE("check_next", check_next, STATE_UNTIL, CHECK_INTERVAL),
    SOURCE("check_tries", check_tries, STATE_U8, CHECK_TRIES),
    SOURCE("check_open", check_open, STATE_BOOL, 0),
    SOURCE("check_wanted", check_wanted, STATE_BOOL, 0),
};

static json_t *source_save(const struct path *path, enum side side, unsigned index)
{
    const struct source *source = &path->leg[side].source[index];
    json_t *object = state_of(FIELDS(source_fields), source);

    if (source->claim && source->claim->holds)
        state_put_bool(object, "holds", true);
    mode_save_source(path, side, index, object);
    return object;
}

static bool source_restore(struct revival *revival, struct path *path, enum side side,
                           const json_t *object)
{
    struct leg *leg = &path->leg[side];
    struct state_reader r = state_read(object);
    struct source source = {0};
    bool holds = state_bool(&r, "holds");
    int index;

    state_get_fields(&r, FIELDS(source_fields), &revival->clock, &source);
    if (r.wrong || leg->sources == PATH_SOURCES_MAX || !leg->port[source.family].open ||
        source.addr.family == FAMILY_NONE)
        return false;
    index = source_add(leg, &source.addr, source.family, revival->clock.now);
    if (index < 0) {
        revival->no_memory = revival->no_memory || index == -ENOMEM;
        return false;
    }
    source.claim = leg->source[index].claim;
    leg->source[index] = source;
    if (holds && source.claim)
        shared_hold(revival->relay, source.claim);
    mode_restore_source(path, side, (unsigned)index, &r);
    return !r.wrong;
}

static bool sources_restore(struct revival *revival, struct path *path, enum side side,
                            struct state_reader *reader)
{
    const json_t *list = state_array(reader, "sources");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (!source_restore(revival, path, side, json_array_get(list, i)))
            return false;
    // Whoever uses a channel without checks finds a place without asking for memory.
    if (path->mode != PATH_CHANNEL || leg_reserve(&path->leg[side]) == 0)
        return true;
    revival->no_memory = true;
    return false;
}

// --- ids -----------------------------------------------------------------------------------------

// Where an id came from says whether it is repeated or replayed. Nobody repeats old ones, so of
// most only the id is left: what comes with it again was captured.
#define ID_BYTES     5
#define SOURCE_BYTES 4
#define IDS_FRESH    64

static unsigned nth_id(const struct ids *ids, unsigned n)
{
    unsigned oldest = ids->count == ids->size && ids->next < ids->count ? ids->next : 0;

    return (oldest + n) % ids->count;
}

static void ids_put(const struct ids *ids, unsigned first, unsigned count, bool sources,
                    json_t *object, const char *key)
{
    const size_t each = sources ? ID_BYTES + SOURCE_BYTES : ID_BYTES, size = count * each;
    uint8_t *bytes = count > 0 ? malloc(size) : NULL;
    struct writer w = writer_over(bytes, bytes ? size : 0);

    for (unsigned i = 0; bytes && i < count; i++) {
        unsigned at = nth_id(ids, first + i);
        write_u8(&w, (uint8_t)(ids->id[at] >> 56));
        write_u32(&w, (uint32_t)(ids->id[at] >> IDS_IGNORED));
        if (sources)
            write_u32(&w, ids->source[at]);
    }
    if (bytes)
        state_put_bytes(object, key, bytes, size);
    else if (count > 0)
        state_put(object, key, NULL);
    free(bytes);
}

static void ids_save(const struct ids *ids, json_t *object)
{
    unsigned fresh = ids->count < IDS_FRESH ? ids->count : IDS_FRESH;

    ids_put(ids, 0, ids->count - fresh, false, object, "old_ids");
    ids_put(ids, ids->count - fresh, fresh, true, object, "ids");
}

static bool ids_read(struct ids *ids, const uint8_t *bytes, size_t len, bool sources)
{
    struct reader r = reader_over(bytes, len);
    const size_t each = sources ? ID_BYTES + SOURCE_BYTES : ID_BYTES;

    for (; len >= each; len -= each) {
        uint64_t id = (uint64_t)read_u8(&r) << 56;
        id |= (uint64_t)read_u32(&r) << IDS_IGNORED;
        if (ids_add(ids, id, sources ? read_u32(&r) : 0) < 0)
            return false;
    }
    return true;
}

static bool ids_get(struct revival *revival, struct ids *ids, struct state_reader *reader,
                    const char *key, bool sources)
{
    const char *text = state_text(reader, key, (size_t)2 * (ID_BYTES + SOURCE_BYTES) * IDS_MAX);
    size_t size = text ? strlen(text) / 2 : 0;
    uint8_t *bytes;
    bool fits;

    if (size == 0)
        return true;
    bytes = malloc(size);
    fits = bytes && ids_read(ids, bytes, state_bytes(reader, key, bytes, size), sources);
    free(bytes);
    revival->no_memory = revival->no_memory || !fits;
    return fits;
}

static bool ids_restore(struct revival *revival, struct ids *ids, struct state_reader *reader)
{
    return ids_get(revival, ids, reader, "old_ids", false) &&
           ids_get(revival, ids, reader, "ids", true);
}

// --- the request that waits
// ------------------------------------------------------------------------

#define HELD(key, member, kind, max) ROW(held, key, member, kind, max)

static const struct state_field held_fields[] = {
    HELD("until", until, STATE_UNTIL, HELD_LIFE),
    HELD("from", from, STATE_ADDR, 0),
    HELD("nomination", nomination, STATE_U32, 0),
    HELD("family", from_family, STATE_U8, FAMILIES - 1),
    HELD("tos", tos, STATE_U8, 0),
};

static void held_save(const struct held *held, json_t *object)
{
    json_t *item;

    if (!held)
        return;
    item = state_of(FIELDS(held_fields), held);
    state_put_bytes(item, "data", held->data, held->len);
    state_put(object, "held", item);
}

static bool held_restore(struct revival *revival, struct leg *leg, struct state_reader *reader)
{
    const json_t *object = state_object(reader, "held");
    struct state_reader r = state_read(object);
    struct held *held;

    if (!object)
        return true;
    held = calloc(1, sizeof(*held) + HELD_MAX);
    if (!held) {
        revival->no_memory = true;
        return false;
    }
    leg->held = held;
    state_get_fields(&r, FIELDS(held_fields), &revival->clock, held);
    held->len = (uint16_t)state_bytes(&r, "data", held->data, HELD_MAX);
    return !r.wrong && held->len >= STUN_HEADER_LEN;
}

// --- all
// -------------------------------------------------------------------------------------------

void leg_save(const struct path *path, enum side side, json_t *object)
{
    const struct leg *leg = &path->leg[side];

    state_put_fields(object, FIELDS(leg_fields), leg);
    for (unsigned i = 0; i < leg->qualities; i++)
        state_append(object, "streams", state_of(FIELDS(quality_fields), &leg->quality[i]));
    credentials_save(leg, object);
    for (unsigned i = 0; i < leg->sources; i++)
        state_append(object, "sources", source_save(path, side, i));
    ids_save(&leg->ids, object);
    held_save(leg->held, object);
    if (path->mode != PATH_ICE)
        mode_save_leg(path, side, object);
}

bool leg_restore(struct revival *revival, struct path *path, enum side side, const json_t *object)
{
    struct leg *leg = &path->leg[side];
    struct state_reader r = state_read(object);

    if (!credentials_restore(revival, path, side,
                             &r) || // before sources, which are checked by them
        !sources_restore(revival, path, side, &r) ||
        !ids_restore(revival, &leg->ids, &r) || !qualities_restore(revival, leg, &r) ||
        !held_restore(revival, leg, &r) || !mode_restore_leg(revival, path, side, &r))
        return false;
    state_get_fields(&r, FIELDS(leg_fields), &revival->clock, leg);
    return !r.wrong;
}
