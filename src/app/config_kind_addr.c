// SPDX-License-Identifier: ISC
// The kinds of value that are addresses: of this machine, to listen on, prefixes; and ports.
#include "config_kind.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_unusable(const struct addr *addr) // 0.0.0.0, ::, multicast, broadcast
{
    static const uint8_t zero[16];
    if (memcmp(addr->ip, zero, sizeof(zero)) == 0)
        return true;
    return addr->family == FAMILY_V4 ? addr->ip[0] == 0 || addr->ip[0] >= 224 : addr->ip[0] == 0xff;
}

static int parse_addr(struct config_input *in, void *field)
{
    enum family family = in->row->kind == &config_kind_addr4 ? FAMILY_V4 : FAMILY_V6;
    const char *text = config_text_value(in->setting);
    struct config_addr value = {.mode = CONFIG_ADDR_SET};
    int mode = 0;
    if (!text)
        return config_wrong(in, NULL);
    if (config_word_value(in->row->words, text, &mode))
        value.mode = (enum config_addr_mode)mode;
    else if (addr_parse_ip(text, 0, &value.addr) < 0)
        return config_wrong(in, NULL);
    else if (value.addr.family != family)
        return config_wrong(in, family == FAMILY_V4 ? "this is an IPv6 address; its key ends in 6"
                                                    : "this is an IPv4 address; its key ends in 4");
    else if (is_unusable(&value.addr))
        return config_wrong(in, "no host has this address");
    *(struct config_addr *)field = value;
    return 0;
}

static void print_addr(const struct config_row *row, const void *field, struct buf *out)
{
    const struct config_addr *value = field;
    char text[ADDR_TEXT_MAX];
    if (value->mode == CONFIG_ADDR_SET) {
        buf_printf(out, "\"%s\"", addr_format_ip(&value->addr, text));
        return;
    }
    for (const struct config_word *word = row->words; word->name; word++)
        if (word->value == (int)value->mode)
            buf_printf(out, "\"%s\"", word->name);
}

static void expect_addr(const struct config_row *row, struct buf *out)
{
    buf_printf(out, "an %s address", row->kind == &config_kind_addr4 ? "IPv4" : "IPv6");
    for (const struct config_word *word = row->words; word->name; word++)
        buf_printf(out, "%s \"%s\"", word[1].name ? "," : " or", word->name);
}

static bool parse_port(const char *text, size_t len, uint16_t *ret_port)
{
    if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
        return false;
    unsigned long port = strtoul(text, NULL, 10);
    if (port == 0 || port > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static int parse_listen(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    if (text && strcmp(text, "off") == 0) {
        *(struct addr *)field = (struct addr){0};
        return 0;
    }
    const char *colon = text ? strrchr(text, ':') : NULL;
    uint16_t port = 0;
    if (!colon || !parse_port(colon + 1, strlen(colon + 1), &port))
        return config_wrong(in, NULL);
    bool bracket = text[0] == '[' && colon - text > 2 && colon[-1] == ']';
    char ip[ADDR_TEXT_MAX];
    size_t len = (size_t)(colon - text) - (bracket ? 2 : 0);
    if (len >= sizeof(ip))
        return config_wrong(in, NULL);
    memcpy(ip, text + (bracket ? 1 : 0), len);
    ip[len] = '\0';
    struct addr addr;
    if (addr_parse_ip(ip, port, &addr) < 0 || (addr.family == FAMILY_V6) != bracket)
        return config_wrong(in, NULL);
    *(struct addr *)field = addr;
    return 0;
}

static void print_listen(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    const struct addr *addr = field;
    char text[ADDR_TEXT_MAX];
    buf_printf(out, "\"%s\"", addr->family == FAMILY_NONE ? "off" : addr_format(addr, text));
}

static void expect_listen(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "ADDRESS:PORT such as \"127.0.0.1:8791\" or \"[::1]:8791\", or \"off\"");
}

static int parse_ports(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    const char *dash = text ? strchr(text, '-') : NULL;
    struct config_ports ports = {0};
    if (!dash || !parse_port(text, (size_t)(dash - text), &ports.min) ||
        !parse_port(dash + 1, strlen(dash + 1), &ports.max))
        return config_wrong(in, NULL);
    if (ports.min > ports.max)
        return config_wrong(in, "the range is reversed");
    if (ports.min < in->row->min)
        return config_wrong(in, "ports below 1024 are privileged");
    if (ports.max - ports.min + 1 < CONFIG_PORTS_MIN)
        return config_wrong(in, "the range is too small");
    *(struct config_ports *)field = ports;
    return 0;
}

static void print_ports(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    const struct config_ports *ports = field;
    buf_printf(out, "\"%u-%u\"", (unsigned)ports->min, (unsigned)ports->max);
}

static void expect_ports(const struct config_row *row, struct buf *out)
{
    buf_printf(out,
               "a range of at least %d ports from %" PRIu64 " to %" PRIu64
               ", such as \"50000-50999\"",
               CONFIG_PORTS_MIN, row->min, row->max);
}

bool config_port_listed(const struct config_port_list *list, unsigned port)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i] == port)
            return true;
    return false;
}

static void clear_port_list(void *field)
{
    struct config_port_list *list = field;
    free(list->item);
    *list = (struct config_port_list){0};
}

static int parse_port_list(struct config_input *in, void *field)
{
    int r = config_check_list(in);
    if (r < 0)
        return r;
    unsigned count = (unsigned)config_setting_length(in->setting);
    struct config_port_list list = {.item = calloc(count, sizeof(*list.item))};
    if (!list.item)
        return -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++) {
        unsigned port = 0;
        r = config_number_value(in, config_setting_get_elem(in->setting, i), 1, UINT16_MAX, &port);
        if (r == 0 && config_port_listed(&list, port))
            r = config_wrong(in, "it stands in the list twice");
        if (r == 0)
            list.item[list.count++] = (uint16_t)port;
    }
    if (r < 0) {
        clear_port_list(&list);
        return r;
    }
    clear_port_list(field);
    *(struct config_port_list *)field = list;
    return 0;
}

static void print_port_list(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    const struct config_port_list *list = field;
    buf_puts(out, "[ ");
    for (size_t i = 0; i < list->count; i++)
        buf_printf(out, "%u%s", (unsigned)list->item[i], i + 1 < list->count ? ", " : " ");
    buf_puts(out, "]");
}

static void expect_port_list(const struct config_row *row, struct buf *out)
{
    buf_printf(out, "a list of %" PRIu64 " to %" PRIu64 " ports such as [ 3478, 443 ]", row->min,
               row->max);
}

// What is wrong with a prefix, when the address in it is right.
static const char *prefix_hint(const char *text)
{
    char ip[ADDR_TEXT_MAX];
    struct addr addr;
    size_t len = strcspn(text, "/");
    snprintf(ip, sizeof(ip), "%.*s", (int)(len < sizeof(ip) ? len : 0), text);
    return addr_parse_ip(ip, 0, &addr) < 0 ? NULL : "the bits behind the prefix must be zero";
}

static int parse_prefix_list(struct config_input *in, void *field)
{
    int r = config_check_texts(in);
    if (r < 0)
        return r;
    struct prefix_list list = {0};
    unsigned count = (unsigned)config_setting_length(in->setting);
    for (unsigned i = 0; i < count && r == 0; i++) {
        struct prefix prefix;
        in->culprit = config_setting_get_elem(in->setting, i);
        if (prefix_parse(config_text_value(in->culprit), &prefix) < 0)
            r = config_wrong(in, prefix_hint(config_text_value(in->culprit)));
        else
            r = prefix_list_add(&list, &prefix);
    }
    if (r < 0) {
        prefix_list_clear(&list);
        return r;
    }
    prefix_list_clear(field);
    *(struct prefix_list *)field = list;
    return 0;
}

static void print_prefix_list(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    const struct prefix_list *list = field;
    char text[ADDR_TEXT_MAX];
    buf_puts(out, "[ ");
    for (size_t i = 0; i < list->count; i++)
        buf_printf(out, "\"%s/%u\"%s", addr_format_ip(&list->item[i].net, text),
                   (unsigned)list->item[i].bits, i + 1 < list->count ? ", " : " ");
    buf_puts(out, "]");
}

static void expect_prefix_list(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "a list of address prefixes such as [ \"10.0.0.0/8\", \"fd00::/8\" ]");
}

static void clear_prefix_list(void *field)
{
    prefix_list_clear(field);
}

const struct config_kind config_kind_addr4 = {
    "IPv4 address", parse_addr, print_addr, expect_addr, NULL, sizeof(struct config_addr)};
const struct config_kind config_kind_addr6 = {
    "IPv6 address", parse_addr, print_addr, expect_addr, NULL, sizeof(struct config_addr)};
const struct config_kind config_kind_listen = {
    "address and port", parse_listen, print_listen, expect_listen, NULL, sizeof(struct addr)};
const struct config_kind config_kind_ports = {
    "range of ports", parse_ports, print_ports, expect_ports, NULL, sizeof(struct config_ports)};
const struct config_kind config_kind_port_list = {"list of ports", parse_port_list,
                                                  print_port_list, expect_port_list,
                                                  clear_port_list, sizeof(struct config_port_list)};
const struct config_kind config_kind_prefix_list = {"list of prefixes", parse_prefix_list,
                                                    print_prefix_list,  expect_prefix_list,
                                                    clear_prefix_list,  sizeof(struct prefix_list)};
