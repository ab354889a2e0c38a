// SPDX-License-Identifier: ISC
// turn.users_file: a line NAME:PASSWORD for each static user of the TURN server. What is wrong in
// it is named by its line, and never shown.
#include "config_load.h"

#include "turn/credential.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX       (256 * 1024) // some ten thousand users
#define PASSWORD_MIN   8
#define PASSWORD_SHORT 16 // below, whoever records one request can find it by trying

struct users {
    struct config_load *load;
    const struct config_row *row;
    unsigned line;
    char **item; // of the configuration, with room for all
    size_t count;
};

static bool has_control(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return true;
    return false;
}

static bool is_known(const struct users *users, const char *name)
{
    for (size_t i = 0; i < users->count; i += 2)
        if (strcmp(users->item[i], name) == 0)
            return true;
    return false;
}

static bool check_user(const struct users *users, const char *name, const char *password)
{
    size_t len = strlen(name);
    if (len == 0 || len >= TURN_USERNAME_MAX)
        config_blame(users->load, false, users->row, "line %u: expected a name of 1 to %d bytes",
                     users->line, TURN_USERNAME_MAX - 1);
    else if (strspn(name, "0123456789") == len) // "1800000000:name" as well: a colon ends the name
        config_blame(
            users->load, false, users->row,
            "line %u: expected a name that is not a number: it would be taken for the expiry of a "
            "temporary credential",
            users->line);
    else if (has_control(name) || has_control(password))
        config_blame(users->load, false, users->row, "line %u: expected no control characters",
                     users->line);
    else if (strlen(password) < PASSWORD_MIN)
        config_blame(users->load, false, users->row,
                     "line %u: expected a password of at least %d bytes", users->line,
                     PASSWORD_MIN);
    else if (is_known(users, name))
        config_blame(users->load, false, users->row, "line %u: the name stands in the file twice",
                     users->line);
    else
        return true;
    return false;
}

static int take_line(struct users *users, char *line)
{
    size_t len = strlen(line);
    if (len > 0 && line[len - 1] == '\r')
        line[--len] = '\0';
    if (line[0] == '#' || strspn(line, " \t") == len)
        return 0;
    char *password = strchr(line, ':');
    if (!password) {
        config_blame(users->load, false, users->row, "line %u: expected NAME:PASSWORD",
                     users->line);
        return 0;
    }
    *password++ = '\0';
    if (!check_user(users, line, password))
        return 0;
    if (strlen(password) < PASSWORD_SHORT)
        config_blame(users->load, true, users->row,
                     "line %u: the password is short: expected %d bytes or more", users->line,
                     PASSWORD_SHORT);
    for (int i = 0; i < 2; i++) {
        char *copy = strdup(i == 0 ? line : password);
        if (!copy)
            return -ENOMEM;
        users->item[users->count++] = copy;
    }
    return 0;
}

static int take_lines(struct users *users, char *data)
{
    size_t lines = 1;
    int r = 0;
    for (const char *p = data; *p; p++)
        lines += *p == '\n';
    users->item = calloc(lines * 2, sizeof(char *));
    if (!users->item)
        return -ENOMEM;
    char *rest = data;
    for (char *line = strsep(&rest, "\n"); line && r == 0; line = strsep(&rest, "\n")) {
        users->line++;
        r = take_line(users, line);
    }
    return r;
}

int config_check_users(struct config_load *load)
{
    struct users users = {.load = load, .row = config_row_find("turn", "users_file")};
    struct config *config = &load->config;
    char *data = NULL;
    size_t len = 0;
    if (!config->turn.users_file)
        return 0;
    int r =
        config_read_named(load, users.row, config->turn.users_file, FILE_MAX, true, &data, &len);
    if (r == 0 && data && strlen(data) != len)
        config_blame(load, false, users.row, "expected no NUL bytes in the file");
    else if (r == 0 && data)
        r = take_lines(&users, data);
    config->turn.users = (struct config_users){users.item, users.count};
    config_wipe(data, len);
    return r;
}
