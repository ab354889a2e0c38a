// SPDX-License-Identifier: ISC
// Files that a key of the configuration names: whether they can be read, who else can, and the
// secret in them. And the secret of the component, wherever it stands; and the key of the mask.
#include "config_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX   1024
#define SECRET_SHORT 16 // below, it can be guessed by whoever reaches the server's component port
#define KEY_MIN      16
#define KEY_MAX      4096

void config_wipe(char *data, size_t len)
{
    if (data)
        explicit_bzero(data, len);
    free(data);
}

void config_wipe_list(char **item, size_t count)
{
    for (size_t i = 0; i < count; i++)
        config_wipe(item[i], strlen(item[i]));
    free(item);
}

// ---- files

static void blame_unreadable(struct config_load *load, const struct config_row *row,
                             const char *path, int error)
{
    struct stat st;
    const char *why = error == -EINVAL ? "not a regular file" : strerror(-error);
    if (stat(path, &st) == 0)
        config_blame(load, false, row,
                     "cannot be read: %s (%s belongs to uid %u, gid %u, mode %04o; this process "
                     "runs as uid %u, gid %u)",
                     why, path, (unsigned)st.st_uid, (unsigned)st.st_gid,
                     (unsigned)(st.st_mode & 07777), (unsigned)geteuid(), (unsigned)getegid());
    else
        config_blame(load, false, row,
                     "cannot be read: %s: %s (this process runs as uid %u, gid %u)", path, why,
                     (unsigned)geteuid(), (unsigned)getegid());
}

static void check_mode(struct config_load *load, const struct config_row *row, const char *path,
                       const char *expected)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXO))
        config_blame(load, true, row, "%s is open to every user of this machine (mode %04o): %s",
                     path, (unsigned)(st.st_mode & 07777), expected);
}

int config_read_named(struct config_load *load, const struct config_row *row, const char *path,
                      size_t max, bool secret, char **ret_data, size_t *ret_len)
{
    *ret_data = NULL;
    int r = config_read_whole(path, max, ret_data, ret_len);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        blame_unreadable(load, row, path, r);
    else if (secret)
        check_mode(load, row, path, "expected 0640 or less");
    return 0;
}

// With or without its end of line.
static int take_secret(struct config_load *load, const struct config_row *row, const char *path,
                       char *data, size_t len, char **ret_secret)
{
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        data[--len] = '\0';
    if (len == 0) {
        config_blame(load, false, row, "%s is empty: expected the secret", path);
    } else if (strcspn(data, "\r\n") != len) { // a NUL byte ends the string early, too
        config_blame(load, false, row, "expected one line of text in %s", path);
    } else {
        *ret_secret = strdup(data);
        return *ret_secret ? 0 : -ENOMEM;
    }
    return 0;
}

int config_read_secret(struct config_load *load, const struct config_row *row, const char *path,
                       char **ret_secret)
{
    char *data = NULL;
    size_t len = 0;
    *ret_secret = NULL;
    int r = config_read_named(load, row, path, SECRET_MAX, true, &data, &len);
    if (r == 0 && data)
        r = take_secret(load, row, path, data, len, ret_secret);
    config_wipe(data, len);
    return r;
}

int config_credential_path(const char *name, char **ret_path)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    *ret_path = NULL;
    if (!directory || directory[0] == '\0')
        return 0;
    struct buf path = {0};
    buf_printf(&path, "%s/%s", directory, name);
    *ret_path = buf_take(&path);
    return *ret_path ? 0 : -ENOMEM;
}

// ---- the component's

#define SECRET_NAME "component-secret"

// The file of that name in the directory of the configuration, if there is one.
static int path_beside(const struct config_load *load, char **ret_path)
{
    const char *file = load->text.files > 0 ? load->text.file[0] : "";
    const char *slash = strrchr(file, '/');
    struct buf path = {0};
    *ret_path = NULL;
    if (!slash)
        return 0;
    buf_printf(&path, "%.*s/" SECRET_NAME, (int)(slash - file), file);
    char *taken = buf_take(&path);
    if (!taken)
        return -ENOMEM;
    if (access(taken, F_OK) < 0)
        free(taken);
    else
        *ret_path = taken;
    return 0;
}

static int read_unnamed(struct config_load *load, const struct config_row *row)
{
    struct config *config = &load->config;
    int r = config_credential_path(SECRET_NAME, &config->xmpp.secret_file);
    if (r == 0 && !config->xmpp.secret_file)
        r = path_beside(load, &config->xmpp.secret_file);
    if (r < 0)
        return r;
    if (config->xmpp.secret_file)
        return config_read_secret(load, row, config->xmpp.secret_file, &config->xmpp.secret);
    config_blame(load, false, row,
                 "expected this key, the file with the secret of the XMPP server's component (or a "
                 "systemd credential " SECRET_NAME
                 ", or a file of that name beside the configuration)");
    return 0;
}

// In place it is as secret as the file that has its line, which may be an included one.
static void check_place(struct config_load *load, const struct config_row *row)
{
    struct config_line line = config_text_line(&load->text, load->line[row - config_rows]);
    check_mode(load, row, line.file,
               "expected 0640, and the daemon's group; or xmpp.secret_file instead");
}

int config_check_secret(struct config_load *load)
{
    const struct config_row *inline_row = config_row_find("xmpp", "secret");
    const struct config_row *file_row = config_row_find("xmpp", "secret_file");
    struct config *config = &load->config;
    bool in_file = config_given(load, file_row);
    bool in_place = config_given(load, inline_row);
    int r = 0;
    if (in_file && in_place) {
        config_blame(load, false, inline_row, "expected either this key or xmpp.secret_file");
        return 0;
    }
    if (in_place)
        check_place(load, inline_row);
    if (in_file && config->xmpp.secret_file)
        r = config_read_secret(load, file_row, config->xmpp.secret_file, &config->xmpp.secret);
    else if (!in_file && !in_place)
        r = read_unnamed(load, file_row);
    if (config->xmpp.secret && strlen(config->xmpp.secret) < SECRET_SHORT)
        config_blame(load, true, in_place ? inline_row : file_row,
                     "the secret is short: expected %d bytes or more", SECRET_SHORT);
    return r;
}

// ---- the mask's key

int config_check_key(struct config_load *load)
{
    const struct config_row *row = config_row_find("privacy", "key_file");
    struct config *config = &load->config;
    const char *path = config->privacy.key_file;
    char *data = NULL;
    size_t len = 0;
    if (!path)
        return 0;
    int r = config_read_named(load, row, path, KEY_MAX, true, &data, &len);
    if (r < 0 || !data)
        return r;
    while (len > 0 && (data[len - 1] == '\n' || data[len - 1] == '\r'))
        data[--len] = '\0';
    if (len < KEY_MIN)
        config_blame(load, false, row,
                     "the key in %s is short: expected %d bytes or more, such as \"openssl rand "
                     "-hex 32\" prints",
                     path, KEY_MIN);
    config->privacy.key = data;
    config->privacy.key_len = len;
    return 0;
}
