// SPDX-License-Identifier: ISC
// The daemon's side of "jingle-relayctl setup": the secret, and two keys of the configuration. Of a
// configuration only the lines of the sample are replaced; what somebody has written is his.
#include "setup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_PATH   "/etc/jingle-relayd/component-secret"
#define CONFIG_PATH   "/etc/jingle-relayd/jingle-relayd.conf"
#define SECRET_BYTES  32
#define SAMPLE_DOMAIN "relay.example.org"
#define SAMPLE_HOST   "example.org"

// ---- the secret

static void make_secret(struct setup *setup)
{
    unsigned char bytes[SECRET_BYTES];
    struct buf text = {0};

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        fprintf(setup->ctl->err, "jingle-relayctl: no random bytes: %s\n", strerror(errno));
        setup->failed = true;
        return;
    }
    for (size_t i = 0; i < sizeof bytes; i++)
        buf_printf(&text, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof bytes);
    setup->secret = buf_take(&text);
    if (setup->secret)
        setup_write(setup, SECRET_PATH, setup->secret, 0600, NULL, "a new secret, for root alone");
    else
        setup->failed = true;
}

// It goes into quotes of Lua and YAML.
static bool can_be_quoted(const char *secret)
{
    for (const char *p = secret; *p; p++) {
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
            return false;
    }
    return *secret != '\0';
}

static char *copy_of(const config_t *parsed, const char *key)
{
    const char *value = NULL;

    return config_lookup_string(parsed, key, &value) == CONFIG_TRUE ? strdup(value) : NULL;
}

// What the configuration says of it: the file, or the secret itself; both may be NULL.
static void find_secret(const struct setup *setup, char **ret_path, char **ret_secret)
{
    config_t parsed;

    *ret_path = *ret_secret = NULL;
    if (setup_parse(setup, CONFIG_PATH, &parsed) == 0) {
        *ret_path = copy_of(&parsed, "xmpp.secret_file");
        *ret_secret = copy_of(&parsed, "xmpp.secret");
    }
    config_destroy(&parsed);
}

// The daemon would not take one that was made elsewhere than it looks.
static void use_secret(struct setup *setup, const char *path, bool in_configuration)
{
    int r = in_configuration ? 0 : setup_read(setup, path, &setup->secret);

    if (r == -ENOENT && strcmp(path, SECRET_PATH) == 0) {
        make_secret(setup);
        return;
    }
    if (r == 0 && setup->secret) {
        setup->secret[strcspn(setup->secret, "\r\n")] = '\0';
        r = can_be_quoted(setup->secret) ? 0 : -EINVAL;
    }
    if (r < 0) {
        fprintf(setup->ctl->err, "jingle-relayctl: %s of %s cannot be used: %s\n",
                in_configuration ? "xmpp.secret" : "the secret", path,
                r == -EINVAL ? "it is empty, or has quotes or backslashes" : strerror(-r));
        setup->failed = true;
    } else {
        setup_unchanged(setup, path, "the secret is there");
    }
}

void setup_secret(struct setup *setup)
{
    char *path;

    find_secret(setup, &path, &setup->secret);
    use_secret(setup,
               setup->secret ? CONFIG_PATH
               : path        ? path
                             : SECRET_PATH,
               setup->secret != NULL);
    free(path);
}

// ---- the configuration

struct said { // what the file has
    config_t parsed;
    const char *domain;
    bool served; // our domain is one of the list
    bool sample; // the list is the sample's
};

static void look(const struct setup *setup, struct said *said)
{
    const config_setting_t *list = config_lookup(&said->parsed, "xmpp.served_domains");
    int count = list ? config_setting_length(list) : 0;

    (void)config_lookup_string(&said->parsed, "xmpp.domain", &said->domain);
    for (int i = 0; i < count; i++) {
        const char *item = config_setting_get_string_elem(list, i);

        said->served |= item && strcmp(item, setup->domain) == 0;
        said->sample |= item && count == 1 && strcmp(item, SAMPLE_HOST) == 0;
    }
}

// --component says it, or the file does, or it is relay.DOMAIN.
static void name_component(struct setup *setup, const char *domain)
{
    bool own = domain && strcmp(domain, SAMPLE_DOMAIN) != 0;

    if (own && !setup->component_given)
        snprintf(setup->component, sizeof setup->component, "%s", domain);
    else if (!setup->component_given)
        snprintf(setup->component, sizeof setup->component, "relay.%s", setup->domain);
}

// Copies a line, or puts 'value' into the one that is 'line' but for its indentation.
static bool put_line(struct buf *out, const char *text, size_t len, const char *line,
                     const char *value)
{
    size_t indent = strspn(text, " \t");

    if (indent > len || len - indent != strlen(line) ||
        strncmp(text + indent, line, len - indent) != 0)
        return false;
    buf_printf(out, "%.*s%s\n", (int)indent, text, value);
    return true;
}

// Returns how many of the two were the sample's.
static unsigned fill_in(const struct setup *setup, const char *text, const struct said *said,
                        struct buf *out)
{
    char domain[2 * SETUP_NAME_MAX], served[2 * SETUP_NAME_MAX];
    unsigned filled = 0;

    snprintf(domain, sizeof domain, "domain = \"%s\";", setup->component);
    snprintf(served, sizeof served, "served_domains = [ \"%s\" ];", setup->domain);
    while (*text) {
        size_t len = strcspn(text, "\n");

        if (put_line(out, text, len, "domain = \"" SAMPLE_DOMAIN "\";", domain) ||
            (!said->served &&
             put_line(out, text, len, "served_domains = [ \"" SAMPLE_HOST "\" ];", served)))
            filled++;
        else
            buf_printf(out, "%.*s\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
    return filled;
}

static void tell_differences(struct setup *setup, const struct said *said)
{
    if (!said->domain || strcmp(said->domain, setup->component) != 0)
        setup_by_hand(setup, NULL, "%s has xmpp.domain = \"%s\"; you asked for \"%s\"", CONFIG_PATH,
                      said->domain ? said->domain : "", setup->component);
    if (!said->served)
        setup_by_hand(setup, NULL, "add \"%s\" to xmpp.served_domains in %s", setup->domain,
                      CONFIG_PATH);
}

static void change(struct setup *setup, const char *text, struct said *said)
{
    bool domain_is = said->domain && strcmp(said->domain, setup->component) == 0;
    bool can = (domain_is || (said->domain && strcmp(said->domain, SAMPLE_DOMAIN) == 0)) &&
               (said->served || said->sample);
    struct buf out = {0};

    if (domain_is && said->served) {
        setup_unchanged(setup, CONFIG_PATH, "it has both domains");
    } else if (!can || fill_in(setup, text, said, &out) == 0) {
        setup_unchanged(setup, CONFIG_PATH, "it is not the sample any more");
        tell_differences(setup, said);
    } else if (out.failed) {
        setup->failed = true;
    } else {
        setup_write(setup, CONFIG_PATH, out.data, 0644, NULL,
                    "xmpp.domain and xmpp.served_domains are filled in");
    }
    buf_free(&out);
}

static void make_configuration(struct setup *setup)
{
    struct buf out = {0};

    name_component(setup, NULL);
    buf_printf(&out, "xmpp = {\n    domain = \"%s\";\n    served_domains = [ \"%s\" ];\n};\n",
               setup->component, setup->domain);
    if (setup->turn)
        buf_puts(&out, "turn = {\n    enabled = true;\n};\n");
    if (out.failed)
        setup->failed = true;
    else
        setup_write(setup, CONFIG_PATH, out.data, 0644, NULL, "all that a relay needs");
    buf_free(&out);
}

void setup_configuration(struct setup *setup)
{
    struct said said = {0};
    char *text = NULL;
    int r = setup_read(setup, CONFIG_PATH, &text);

    if (r == -ENOENT) {
        make_configuration(setup);
        return;
    }
    if (r == 0)
        r = setup_parse(setup, CONFIG_PATH, &said.parsed);
    if (r < 0) {
        fprintf(setup->ctl->err, "jingle-relayctl: %s cannot be read: %s\n", CONFIG_PATH,
                r == -EINVAL ? "\"jingle-relayd --check-config\" says why" : strerror(-r));
        setup->failed = true;
    } else {
        look(setup, &said);
        name_component(setup, said.domain);
        change(setup, text, &said);
    }
    if (text)
        config_destroy(&said.parsed);
    free(text);
}
