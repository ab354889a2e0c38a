// SPDX-License-Identifier: ISC
// Values of a snapshot in JSON and back; see codec/state.h. An object that lost something on the
// way has lost its version, too, which needs no memory.
#include "codec/state.h"

#include <stdlib.h>
#include <string.h>

#define VERSION "v"

// ---- writing

json_t *state_new(void)
{
    return json_pack("{s:i}", VERSION, STATE_VERSION);
}

void state_put(json_t *object, const char *key, json_t *value)
{
    bool broken = !value || (json_is_object(value) && !state_complete(value));

    if (json_object_set_new(object, key, value) < 0 || broken)
        json_object_clear(object);
}

bool state_complete(const json_t *object)
{
    return json_object_get(object, VERSION) != NULL;
}

void state_append(json_t *object, const char *key, json_t *item)
{
    json_t *array = json_object_get(object, key);
    bool broken =
        !item || !state_complete(object) || (json_is_object(item) && !state_complete(item));

    if (!array && !broken) {
        array = json_array();
        if (json_object_set_new(object, key, array) < 0)
            array = NULL;
    }
    if (!array || broken) {
        json_decref(item);
        json_object_clear(object);
    } else if (json_array_append_new(array, item) < 0) {
        json_object_clear(object);
    }
}

void state_put_u64(json_t *object, const char *key, uint64_t value)
{
    state_put(object, key, json_integer((json_int_t)value));
}

void state_put_bool(json_t *object, const char *key, bool value)
{
    state_put(object, key, json_boolean(value));
}

void state_put_text(json_t *object, const char *key, const char *value)
{
    if (value)
        state_put(object, key, json_string(value));
}

void state_put_bytes(json_t *object, const char *key, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *byte = data;
    char *text = malloc(2 * len + 1);

    for (size_t i = 0; text && i < len; i++) {
        text[2 * i] = digits[byte[i] >> 4];
        text[2 * i + 1] = digits[byte[i] & 15];
    }
    state_put(object, key, text ? json_stringn(text, 2 * len) : NULL);
    free(text);
}

void state_put_addr(json_t *object, const char *key, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];

    if (addr->family == FAMILY_NONE)
        return;
    json_t *pair = json_array();
    if (json_array_append_new(pair, json_string(addr_format_ip(addr, text))) < 0 ||
        json_array_append_new(pair, json_integer(addr->port)) < 0) {
        json_decref(pair);
        pair = NULL;
    }
    state_put(object, key, pair);
}

// ---- reading

struct state_reader state_read(const json_t *object)
{
    json_int_t version = json_integer_value(json_object_get(object, VERSION));
    bool known = version > 0 && version >= STATE_VERSION - 1 && version <= STATE_VERSION;

    return (struct state_reader){object, known ? NULL : VERSION};
}

static void wrong(struct state_reader *reader, const char *key)
{
    if (!reader->wrong)
        reader->wrong = key;
}

// NULL: missing, or 'right' does not hold.
static const json_t *member(struct state_reader *reader, const char *key, json_type type)
{
    const json_t *value = json_object_get(reader->object, key);

    if (!value || json_typeof(value) == type)
        return value;
    wrong(reader, key);
    return NULL;
}

uint64_t state_u64(struct state_reader *reader, const char *key, uint64_t max)
{
    const json_t *value = member(reader, key, JSON_INTEGER);
    uint64_t number = value ? (uint64_t)json_integer_value(value) : 0;

    if (number <= max)
        return number;
    wrong(reader, key);
    return 0;
}

bool state_bool(struct state_reader *reader, const char *key)
{
    const json_t *value = json_object_get(reader->object, key);

    if (value && !json_is_boolean(value))
        wrong(reader, key);
    return json_is_true(value);
}

const char *state_text(struct state_reader *reader, const char *key, size_t max)
{
    const json_t *value = member(reader, key, JSON_STRING);

    if (value && json_string_length(value) > max) {
        wrong(reader, key);
        return NULL;
    }
    return json_string_value(value);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t state_bytes(struct state_reader *reader, const char *key, void *buf, size_t size)
{
    const char *text = state_text(reader, key, 2 * size);
    size_t len = text ? strlen(text) / 2 : 0;
    uint8_t *byte = buf;

    for (size_t i = 0; i < len; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            wrong(reader, key);
            return 0;
        }
        byte[i] = (uint8_t)(high << 4 | low);
    }
    return len;
}

struct addr state_addr(struct state_reader *reader, const char *key)
{
    const json_t *pair = member(reader, key, JSON_ARRAY);
    const char *ip = json_string_value(json_array_get(pair, 0));
    const json_t *port = json_array_get(pair, 1);
    struct addr addr = {0};

    if (!pair)
        return addr;
    if (!ip || !json_is_integer(port) || json_integer_value(port) < 0 ||
        json_integer_value(port) > 65535 ||
        addr_parse_ip(ip, (uint16_t)json_integer_value(port), &addr) < 0)
        wrong(reader, key);
    return addr;
}

const json_t *state_array(struct state_reader *reader, const char *key)
{
    return member(reader, key, JSON_ARRAY);
}

const json_t *state_object(struct state_reader *reader, const char *key)
{
    return member(reader, key, JSON_OBJECT);
}
