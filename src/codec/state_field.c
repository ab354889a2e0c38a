// SPDX-License-Identifier: ISC
// Structs of snapshots; see codec/state_field.h.
#include "codec/state_field.h"

#include <string.h>

// ---- writing

static uint64_t number_at(const struct state_field *f, const void *at)
{
    switch (f->kind) {
    case STATE_U8:
        return *(const uint8_t *)at;
    case STATE_U16:
        return *(const uint16_t *)at;
    case STATE_U32:
        return *(const uint32_t *)at;
    case STATE_BOOL:
        return *(const bool *)at;
    case STATE_INDEX:
        return (uint64_t)(*(const int8_t *)at + 1);
    default:
        return *(const uint64_t *)at;
    }
}

static bool all_zero(const uint8_t *byte, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (byte[i])
            return false;
    return true;
}

static void put_field(json_t *object, const struct state_field *f, const void *at)
{
    if (f->kind == STATE_ADDR) {
        state_put_addr(object, f->key, at);
    } else if (f->kind == STATE_BYTES) {
        if (!all_zero(at, f->max))
            state_put_bytes(object, f->key, at, f->max);
    } else if (number_at(f, at) != 0) {
        if (f->kind == STATE_BOOL)
            state_put_bool(object, f->key, true);
        else
            state_put_u64(object, f->key, number_at(f, at));
    }
}

void state_put_fields(json_t *object, const struct state_field *field, size_t fields,
                      const void *from)
{
    for (size_t i = 0; i < fields; i++)
        put_field(object, &field[i], (const char *)from + field[i].offset);
}

// ---- reading

struct state_clock state_clock(usec_t saved, usec_t now)
{
    return (struct state_clock){now, saved < now ? now - saved : 0};
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t put_off(uint64_t time, usec_t pause)
{
    return time > UINT64_MAX - pause ? UINT64_MAX : time + pause;
}

static uint64_t limit(const struct state_field *f)
{
    switch (f->kind) {
    case STATE_U8:
        return f->max ? f->max : UINT8_MAX;
    case STATE_U16:
        return f->max ? f->max : UINT16_MAX;
    case STATE_U32:
        return f->max ? f->max : UINT32_MAX;
    case STATE_INDEX:
        return f->max;
    default:
        return f->max ? f->max : UINT64_MAX;
    }
}

static uint64_t read_time(struct state_reader *reader, const struct state_field *f,
                          const struct state_clock *clock)
{
    uint64_t time = state_u64(reader, f->key, UINT64_MAX);

    if (time == 0)
        return 0;
    switch (f->kind) {
    case STATE_PAST:
        return lesser(time, clock->now);
    case STATE_LIVE:
        return lesser(put_off(time, clock->pause), clock->now);
    default:
        return lesser(put_off(time, clock->pause), put_off(clock->now, f->max));
    }
}

static void get_bytes(struct state_reader *reader, const struct state_field *f, void *at)
{
    size_t len = state_bytes(reader, f->key, at, f->max);

    if (len == 0)
        memset(at, 0, f->max);
    else if (len < f->max && !reader->wrong)
        reader->wrong = f->key;
}

static void get_field(struct state_reader *reader, const struct state_field *f,
                      const struct state_clock *clock, void *at)
{
    switch (f->kind) {
    case STATE_U8:
        *(uint8_t *)at = (uint8_t)state_u64(reader, f->key, limit(f));
        break;
    case STATE_U16:
        *(uint16_t *)at = (uint16_t)state_u64(reader, f->key, limit(f));
        break;
    case STATE_U32:
        *(uint32_t *)at = (uint32_t)state_u64(reader, f->key, limit(f));
        break;
    case STATE_U64:
        *(uint64_t *)at = state_u64(reader, f->key, limit(f));
        break;
    case STATE_BOOL:
        *(bool *)at = state_bool(reader, f->key);
        break;
    case STATE_INDEX:
        *(int8_t *)at = (int8_t)((int)state_u64(reader, f->key, limit(f)) - 1);
        break;
    case STATE_ADDR:
        *(struct addr *)at = state_addr(reader, f->key);
        break;
    case STATE_BYTES:
        get_bytes(reader, f, at);
        break;
    case STATE_PAST:
    case STATE_LIVE:
    case STATE_UNTIL:
        *(usec_t *)at = read_time(reader, f, clock);
        break;
    }
}

void state_get_fields(struct state_reader *reader, const struct state_field *field, size_t fields,
                      const struct state_clock *clock, void *to)
{
    for (size_t i = 0; i < fields; i++)
        get_field(reader, &field[i], clock, (char *)to + field[i].offset);
}
