// SPDX-License-Identifier: ISC
// Values out of the daemon's JSON, as people write them.
#include "ctl.h"

#include <string.h>

const char *ctl_string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

double ctl_number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

bool ctl_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

const char *ctl_duration(double seconds, char text[CTL_VALUE_MAX])
{
    unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;

    if (s < 60)
        snprintf(text, CTL_VALUE_MAX, "%lu s", s);
    else if (s < 3600)
        snprintf(text, CTL_VALUE_MAX, "%lu min %02lu s", s / 60, s % 60);
    else if (s < 48 * 3600)
        snprintf(text, CTL_VALUE_MAX, "%lu h %02lu min", s / 3600, s / 60 % 60);
    else
        snprintf(text, CTL_VALUE_MAX, "%lu days", s / 86400);
    return text;
}

static const char *scaled(double value, const char *unit, char text[CTL_VALUE_MAX])
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    size_t p = 0;

    while (value >= 1000 && p + 1 < sizeof prefix / sizeof prefix[0]) {
        value /= 1000;
        p++;
    }
    snprintf(text, CTL_VALUE_MAX, value < 10 && p > 0 ? "%.1f %s%s" : "%.0f %s%s", value, prefix[p],
             unit);
    return text;
}

const char *ctl_rate(double bits_per_second, char text[CTL_VALUE_MAX])
{
    return scaled(bits_per_second, "bit/s", text);
}

const char *ctl_bytes(double bytes, char text[CTL_VALUE_MAX])
{
    return scaled(bytes, "B", text);
}

const char *ctl_clock(const char *rfc3339, char text[CTL_VALUE_MAX])
{
    const char *t = strchr(rfc3339, 'T');

    snprintf(text, CTL_VALUE_MAX, "%.8s", t ? t + 1 : "-");
    return text;
}
