// SPDX-License-Identifier: ISC
// How a value of each kind is read from libconfig's tree, printed in the file's syntax and
// described to whoever wrote it wrong.
#include "config_kind.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>

int config_wrong(struct config_input *in, const char *hint)
{
    if (!in->culprit)
        in->culprit = in->setting;
    in->hint = hint;
    return -EINVAL;
}

const char *config_text_value(const struct config_setting_t *setting)
{
    return config_setting_type(setting) == CONFIG_TYPE_STRING ? config_setting_get_string(setting)
                                                              : NULL;
}

// Both of libconfig's notations, [ ] and ( ), will do.
int config_check_list(struct config_input *in)
{
    int type = config_setting_type(in->setting);
    if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
        return config_wrong(in, type == CONFIG_TYPE_STRING || type == CONFIG_TYPE_INT
                                    ? "a list stands in [ ]"
                                    : NULL);
    size_t count = (size_t)config_setting_length(in->setting);
    if (count < in->row->min)
        return config_wrong(in, "the list is empty");
    if (count > in->row->max)
        return config_wrong(in, "the list is too long");
    return 0;
}

int config_check_texts(struct config_input *in)
{
    int r = config_check_list(in);
    if (r < 0)
        return r;
    unsigned count = (unsigned)config_setting_length(in->setting);
    for (unsigned i = 0; i < count; i++) {
        const config_setting_t *element = config_setting_get_elem(in->setting, i);
        if (!config_text_value(element)) {
            in->culprit = element;
            return config_wrong(in, NULL);
        }
    }
    return 0;
}

void config_quote(const char *text, struct buf *out)
{
    buf_puts(out, "\"");
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_add(out, p, 1);
    }
    buf_puts(out, "\"");
}

// ---- yes or no

static int parse_bool(struct config_input *in, void *field)
{
    int type = config_setting_type(in->setting);
    if (type != CONFIG_TYPE_BOOL)
        return config_wrong(in,
                            type == CONFIG_TYPE_STRING ? "the word stands without quotes" : NULL);
    *(bool *)field = config_setting_get_bool(in->setting);
    return 0;
}

static void print_bool(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    buf_puts(out, *(const bool *)field ? "true" : "false");
}

static void expect_bool(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "true or false");
}

// ---- numbers

int config_number_value(struct config_input *in, const config_setting_t *s, uint64_t min,
                        uint64_t max, unsigned *ret_value)
{
    int type = config_setting_type(s);
    in->culprit = s;
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
        return config_wrong(in,
                            type == CONFIG_TYPE_STRING ? "a number stands without quotes" : NULL);
    if (config_setting_get_format(s) != CONFIG_FORMAT_DEFAULT)
        return config_wrong(in, "not in hexadecimal");
    long long v = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
    if (v < 0 || (uint64_t)v < min || (uint64_t)v > max)
        return config_wrong(in, NULL);
    *ret_value = (unsigned)v;
    return 0;
}

static int parse_uint(struct config_input *in, void *field)
{
    return config_number_value(in, in->setting, in->row->min, in->row->max, field);
}

static void print_uint(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    buf_printf(out, "%u", *(const unsigned *)field);
}

static void expect_uint(const struct config_row *row, struct buf *out)
{
    buf_printf(out, "a whole number from %" PRIu64 " to %" PRIu64, row->min, row->max);
}

// ---- numbers with a unit

struct unit { // from the largest to the smallest; a NULL name ends the list
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"h", 3600 * USEC_PER_SEC},
    {"min", 60 * USEC_PER_SEC},
    {"s", USEC_PER_SEC},
    {"ms", USEC_PER_MSEC},
    {NULL, 0},
};

static const struct unit bitrates[] = {
    {"Gbit/s", 1000000000}, {"Mbit/s", 1000000}, {"kbit/s", 1000}, {"bit/s", 1}, {NULL, 0},
};

static bool parse_scaled(const char *text, const struct unit *unit, uint64_t *ret_value)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    uint64_t n = strtoull(text, NULL, 10);
    text += digits;
    text += strspn(text, " ");
    for (; unit->name; unit++)
        if (strcmp(text, unit->name) == 0)
            return !__builtin_mul_overflow(n, unit->factor, ret_value);
    return false;
}

static void print_scaled(uint64_t value, const struct unit *unit, struct buf *out)
{
    while (unit[1].name && value % unit->factor != 0)
        unit++;
    buf_printf(out, "\"%" PRIu64 " %s\"", value / unit->factor, unit->name);
}

static int parse_with_unit(struct config_input *in, const struct unit *unit, uint64_t *field)
{
    const char *text = config_text_value(in->setting);
    uint64_t value = 0;
    if (!text)
        return config_wrong(in, "a text in quotes, with the unit");
    bool none = in->row->min == 0 && strcmp(text, "none") == 0;
    if (!none && (!parse_scaled(text, unit, &value) || value == 0))
        return config_wrong(in, NULL);
    if (!none && (value < in->row->min || value > in->row->max))
        return config_wrong(in, NULL);
    *field = value;
    return 0;
}

static void print_with_unit(uint64_t value, const struct unit *unit, struct buf *out)
{
    if (value == 0)
        buf_puts(out, "\"none\"");
    else
        print_scaled(value, unit, out);
}

static void expect_with_unit(const struct config_row *row, const struct unit *unit,
                             const char *what, const char *example, struct buf *out)
{
    buf_printf(out, "%s", what);
    if (row->min > 0) {
        buf_puts(out, " from ");
        print_scaled(row->min, unit, out);
        buf_puts(out, " to ");
    } else {
        buf_puts(out, " of at most ");
    }
    print_scaled(row->max, unit, out);
    buf_printf(out, ", such as \"%s\"%s", example, row->min == 0 ? ", or \"none\"" : "");
}

static int parse_duration(struct config_input *in, void *field)
{
    return parse_with_unit(in, durations, field);
}

static void print_duration(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    print_with_unit(*(const uint64_t *)field, durations, out);
}

static void expect_duration(const struct config_row *row, struct buf *out)
{
    expect_with_unit(row, durations, "a duration", "30 s", out);
}

static int parse_bitrate(struct config_input *in, void *field)
{
    return parse_with_unit(in, bitrates, field);
}

static void print_bitrate(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    print_with_unit(*(const uint64_t *)field, bitrates, out);
}

static void expect_bitrate(const struct config_row *row, struct buf *out)
{
    expect_with_unit(row, bitrates, "a bit rate", "2 Mbit/s", out);
}

// ---- words

bool config_word_value(const struct config_word *word, const char *text, int *ret_value)
{
    for (; word->name; word++)
        if (strcmp(word->name, text) == 0) {
            *ret_value = word->value;
            return true;
        }
    return false;
}

static int parse_word(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    int value = 0;
    if (!text || !config_word_value(in->row->words, text, &value))
        return config_wrong(in, NULL);
    *(unsigned *)field = (unsigned)value; // GCC's and Clang's type for an enum without negatives
    return 0;
}

static void print_word(const struct config_row *row, const void *field, struct buf *out)
{
    unsigned value = *(const unsigned *)field;
    for (const struct config_word *word = row->words; word->name; word++)
        if ((unsigned)word->value == value)
            buf_printf(out, "\"%s\"", word->name);
}

static void expect_word(const struct config_row *row, struct buf *out)
{
    buf_puts(out, "one of");
    for (const struct config_word *word = row->words; word->name; word++)
        buf_printf(out, "%s \"%s\"", word == row->words ? "" : ",", word->name);
}

const struct config_kind config_kind_bool = {"yes or no", parse_bool, print_bool,
                                             expect_bool, NULL,       sizeof(bool)};
const struct config_kind config_kind_uint = {"number",    parse_uint, print_uint,
                                             expect_uint, NULL,       sizeof(unsigned)};
const struct config_kind config_kind_duration = {"duration",      parse_duration, print_duration,
                                                 expect_duration, NULL,           sizeof(usec_t)};
const struct config_kind config_kind_bitrate = {"bit rate",     parse_bitrate, print_bitrate,
                                                expect_bitrate, NULL,          sizeof(uint64_t)};
const struct config_kind config_kind_word = {"word",      parse_word, print_word,
                                             expect_word, NULL,       sizeof(int)};
