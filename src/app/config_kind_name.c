// SPDX-License-Identifier: ISC
// The kinds of value that are names: domains, hosts, paths, the realm, the secret, and lists of
// them.
#include "config_kind.h"

#include "codec/jid.h"

#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int replace_text(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static void clear_text(void *field)
{
    char **text = field;
    free(*text);
    *text = NULL;
}

static void print_text(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    char *const *text = field;
    config_quote(*text ? *text : "", out);
}

static bool is_domain(const char *text)
{
    size_t len = strlen(text);
    bool label = false; // the label in hand has a character
    if (len == 0 || len > 253)
        return false;
    for (const char *p = text; *p; p++) {
        if (*p == '.') {
            if (!label)
                return false;
            label = false;
        } else if (strchr(" \t\r\n@/:\"'&<>,;", *p) || (unsigned char)*p < ' ' || *p == 0x7f) {
            return false;
        } else {
            label = true;
        }
    }
    return label;
}

static int parse_domain(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    if (text && strchr(text, '@'))
        return config_wrong(in, "not a user's address");
    return text && is_domain(text) ? replace_text(field, text) : config_wrong(in, NULL);
}

static void expect_domain(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "a domain name such as \"relay.example.org\"");
}

static int parse_host(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    struct addr addr;
    if (!text || !(is_domain(text) || addr_parse_ip(text, 0, &addr) == 0))
        return config_wrong(in, NULL);
    return replace_text(field, text);
}

static void expect_host(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "a host name or an IP address, without a port");
}

static int parse_path(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    return text && text[0] == '/' ? replace_text(field, text) : config_wrong(in, NULL);
}

static void expect_path(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "the full path of a file, beginning with \"/\"");
}

static int parse_file(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    if (!text || (text[0] != '/' && strcmp(text, "none") != 0))
        return config_wrong(in, NULL);
    return replace_text(field, text);
}

static void expect_file(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "the full path of a file, beginning with \"/\", or \"none\"");
}

static int parse_socket(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    if (!text || (text[0] != '/' && strcmp(text, "none") != 0) ||
        strlen(text) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return config_wrong(in, NULL);
    return replace_text(field, text);
}

static void expect_socket(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_printf(out, "the full path of a socket, of at most %zu bytes, or \"none\"",
               sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
}

// RFC 8489 section 14.9: what may stand between the quotes of HTTP's realm.
static int parse_realm(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    size_t len = text ? strlen(text) : 0;
    if (!text || len < in->row->min || len > in->row->max)
        return config_wrong(in, NULL);
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '"' || *p == '\\')
            return config_wrong(in, NULL);
    return replace_text(field, text);
}

static void expect_realm(const struct config_row *row, struct buf *out)
{
    buf_printf(out,
               "a text of %" PRIu64 " to %" PRIu64
               " bytes without quotes, backslashes and control characters",
               row->min, row->max);
}

static int parse_secret(struct config_input *in, void *field)
{
    const char *text = config_text_value(in->setting);
    size_t len = text ? strlen(text) : 0;
    if (!text || len < in->row->min || len > in->row->max)
        return config_wrong(in, NULL);
    return replace_text(field, text);
}

static void print_secret(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    (void)field;
    buf_puts(out, "\"***\"");
}

static void expect_secret(const struct config_row *row, struct buf *out)
{
    buf_printf(out, "a text of %" PRIu64 " to %" PRIu64 " bytes", row->min, row->max);
}

static void clear_secret(void *field)
{
    char **text = field;
    if (*text)
        explicit_bzero(*text, strlen(*text));
    clear_text(field);
}

static void clear_list(void *field)
{
    struct config_list *list = field;
    for (size_t i = 0; i < list->count; i++)
        free(list->item[i]);
    free(list->item);
    *list = (struct config_list){0};
}

static const char *check_domain(const char *text)
{
    if (is_domain(text))
        return NULL;
    return strchr(text, '@') ? "not a user's address" : "";
}

static const char *check_path(const char *text)
{
    return text[0] == '/' ? NULL : "";
}

static const char *check_user(const char *text)
{
    struct jid jid;
    if (jid_parse(text, &jid) < 0 || jid.local_len == 0)
        return "";
    return jid.resource_len == 0 ? NULL : "without what stands behind \"/\"";
}

// RFC 3986 section 3: a scheme, and something of printable ASCII.
static const char *check_uri(const char *text)
{
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
    if (scheme == 0 || text[scheme] != ':' || !text[scheme + 1])
        return strchr(text, '@') ? "with \"mailto:\" or \"xmpp:\" before it" : "";
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("<>\"", *p))
            return "";
    return NULL;
}

// What may stand in a list: NULL, or what is wrong ("": the expectation says it all).
static const struct list_kind {
    const struct config_kind *kind;
    const char *(*check)(const char *text);
    int (*compare)(const char *a, const char *b);
} list_kinds[] = {
    {&config_kind_domain_list, check_domain, strcasecmp},
    {&config_kind_path_list, check_path, strcmp},
    {&config_kind_user_list, check_user, strcasecmp},
    {&config_kind_uri_list, check_uri, strcmp},
};

static const struct list_kind *list_kind_of(const struct config_row *row)
{
    size_t i = 0;
    while (list_kinds[i].kind != row->kind)
        i++;
    return &list_kinds[i];
}

static bool list_has(const struct config_list *list, const char *text,
                     int (*compare)(const char *a, const char *b))
{
    for (size_t i = 0; i < list->count; i++)
        if (compare(list->item[i], text) == 0)
            return true;
    return false;
}

static int list_add(struct config_input *in, struct config_list *list, unsigned i)
{
    const config_setting_t *element = config_setting_get_elem(in->setting, i);
    const char *text = config_text_value(element);
    const struct list_kind *kind = list_kind_of(in->row);
    const char *wrong = kind->check(text);
    in->culprit = element;
    if (wrong)
        return config_wrong(in, *wrong ? wrong : NULL);
    if (list_has(list, text, kind->compare))
        return config_wrong(in, "it stands in the list twice");
    list->item[list->count] = strdup(text);
    if (!list->item[list->count])
        return -ENOMEM;
    list->count++;
    return 0;
}

static int parse_list(struct config_input *in, void *field)
{
    int r = config_check_texts(in);
    if (r < 0)
        return r;
    unsigned count = (unsigned)config_setting_length(in->setting);
    struct config_list list = {.item = calloc(count + 1, sizeof(char *))};
    if (!list.item)
        return -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++)
        r = list_add(in, &list, i);
    if (r < 0) {
        clear_list(&list);
        return r;
    }
    clear_list(field);
    *(struct config_list *)field = list;
    return 0;
}

static void print_list(const struct config_row *row, const void *field, struct buf *out)
{
    (void)row;
    const struct config_list *list = field;
    buf_puts(out, "[ ");
    for (size_t i = 0; i < list->count; i++) {
        config_quote(list->item[i], out);
        buf_puts(out, i + 1 < list->count ? ", " : " ");
    }
    buf_puts(out, "]");
}

static void expect_domain_list(const struct config_row *row, struct buf *out)
{
    (void)row;
    buf_puts(out, "a list of domain names such as [ \"example.org\", \"example.net\" ]");
}

static void expect_path_list(const struct config_row *row, struct buf *out)
{
    buf_printf(out, "a list of at most %" PRIu64 " full paths of files, each beginning with \"/\"",
               row->max);
}

static void expect_user_list(const struct config_row *row, struct buf *out)
{
    buf_printf(out,
               "a list of at most %" PRIu64 " users' addresses such as [ \"admin@example.org\" ]",
               row->max);
}

static void expect_uri_list(const struct config_row *row, struct buf *out)
{
    buf_printf(out,
               "a list of at most %" PRIu64 " URIs such as [ \"mailto:admin@example.org\", "
               "\"xmpp:admin@example.org\" ]",
               row->max);
}

const struct config_kind config_kind_domain = {"domain",      parse_domain, print_text,
                                               expect_domain, clear_text,   sizeof(char *)};
const struct config_kind config_kind_domain_list = {"list of domains", parse_list,
                                                    print_list,        expect_domain_list,
                                                    clear_list,        sizeof(struct config_list)};
const struct config_kind config_kind_host = {"host",      parse_host, print_text,
                                             expect_host, clear_text, sizeof(char *)};
const struct config_kind config_kind_path = {"path",      parse_path, print_text,
                                             expect_path, clear_text, sizeof(char *)};
const struct config_kind config_kind_file = {"file",      parse_file, print_text,
                                             expect_file, clear_text, sizeof(char *)};
const struct config_kind config_kind_path_list = {"list of paths", parse_list,
                                                  print_list,      expect_path_list,
                                                  clear_list,      sizeof(struct config_list)};
const struct config_kind config_kind_user_list = {"list of users", parse_list,
                                                  print_list,      expect_user_list,
                                                  clear_list,      sizeof(struct config_list)};
const struct config_kind config_kind_uri_list = {"list of URIs", parse_list,
                                                 print_list,     expect_uri_list,
                                                 clear_list,     sizeof(struct config_list)};
const struct config_kind config_kind_socket = {"socket",      parse_socket, print_text,
                                               expect_socket, clear_text,   sizeof(char *)};
const struct config_kind config_kind_realm = {"realm",      parse_realm, print_text,
                                              expect_realm, clear_text,  sizeof(char *)};
const struct config_kind config_kind_secret = {"secret",      parse_secret, print_secret,
                                               expect_secret, clear_secret, sizeof(char *)};
