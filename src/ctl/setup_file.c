// SPDX-License-Identifier: ISC
// The files of "jingle-relayctl setup": each is replaced as a whole or not at all.
#include "setup.h"

#include "config_text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1 << 20)

static const char *full(const struct setup *setup, const char *path, char whole[SETUP_PATH_MAX])
{
    snprintf(whole, SETUP_PATH_MAX, "%s%s", setup->root, path);
    return whole;
}

int setup_read(const struct setup *setup, const char *path, char **ret_text)
{
    char whole[SETUP_PATH_MAX];
    size_t len = 0;

    *ret_text = NULL;
    return config_read_whole(full(setup, path, whole), FILE_MAX, ret_text, &len);
}

int setup_parse(const struct setup *setup, const char *path, config_t *ret_parsed)
{
    char whole[SETUP_PATH_MAX];
    struct config_errors errors = {0};
    struct config_text text = {0};
    int r = config_text_read(&text, full(setup, path, whole), &errors);

    config_init(ret_parsed);
    config_set_include_dir(ret_parsed, "/dev/null"); // all of them are in the text
    if (r == 0 &&
        config_read_string(ret_parsed, text.text.data ? text.text.data : "") != CONFIG_TRUE)
        r = -EINVAL;
    if (text.text.data)
        explicit_bzero(text.text.data, text.text.len);
    config_text_free(&text);
    config_errors_free(&errors);
    return r;
}

bool setup_exists(const struct setup *setup, const char *path)
{
    char whole[SETUP_PATH_MAX];

    return access(full(setup, path, whole), F_OK) == 0;
}

// ---- writing

static int make_directory_of(const char *path)
{
    char directory[SETUP_PATH_MAX];

    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    return mkdir(directory, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

// Only root can give files away; without a group of that name there is nobody to read it.
static int give_to(int fd, const char *name)
{
    const struct group *group = name && geteuid() == 0 ? getgrnam(name) : NULL;

    return group && fchown(fd, (uid_t)-1, group->gr_gid) < 0 ? -errno : 0;
}

// What is there already stays with whom it belongs to, and is read by nobody else than before.
static int keep_owner(int fd, const struct stat *there)
{
    if (fchown(fd, there->st_uid, there->st_gid) < 0 || fchmod(fd, there->st_mode & 07777) < 0)
        return -errno;
    return 0;
}

// A new file gets 'mode' and 'group'; one that takes the place of 'there' (or NULL) gets its.
static int fill(int fd, const char *text, const struct stat *there, mode_t mode, const char *group)
{
    size_t len = strlen(text);

    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    int r = there ? keep_owner(fd, there) : give_to(fd, group);
    if (r == 0 && !there && fchmod(fd, mode) < 0)
        r = -errno;
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

static int put_in_place(const char *path, const char *text, const struct stat *there, mode_t mode,
                        const char *group)
{
    char made[PATH_MAX + 8];
    int r;

    snprintf(made, sizeof made, "%s.XXXXXX", path);
    int fd = mkostemp(made, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fill(fd, text, there, mode, group);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(made, path) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(made);
    return r;
}

// A link stays one: what it leads to is replaced.
static int replace(const char *path, const char *text, mode_t mode, const char *group)
{
    char real[PATH_MAX];
    struct stat st;
    int r;

    if (realpath(path, real))
        return stat(real, &st) < 0 ? -errno : put_in_place(real, text, &st, mode, group);
    if (errno != ENOENT || lstat(path, &st) == 0) // a link that leads to nothing
        return -errno;
    r = make_directory_of(path);
    return r < 0 ? r : put_in_place(path, text, NULL, mode, group);
}

// ---- telling

static void tell(struct setup *setup, const char *did, const char *path, const char *what)
{
    fprintf(setup->ctl->out, "%-10s %s: %s\n", did, path, what);
}

void setup_write(struct setup *setup, const char *path, const char *text, mode_t mode,
                 const char *group, const char *what)
{
    bool there = setup_exists(setup, path);
    char whole[SETUP_PATH_MAX];
    int r = setup->dry ? 0 : replace(full(setup, path, whole), text, mode, group);

    if (r < 0) {
        fprintf(setup->ctl->err, "jingle-relayctl: %s cannot be written: %s%s\n", path,
                strerror(-r), r == -EACCES || r == -EPERM ? "; be root" : "");
        setup->failed = true;
    } else if (setup->dry) {
        tell(setup, there ? "to change" : "to make", path, what);
    } else {
        tell(setup, there ? "changed" : "made", path, what);
    }
}

void setup_unchanged(struct setup *setup, const char *path, const char *what)
{
    tell(setup, "as it was", path, what);
}

void setup_by_hand(struct setup *setup, const char *lines, const char *format, ...)
{
    va_list args;

    setup->by_hand++;
    fputs("\n", setup->ctl->out);
    ctl_paint(setup->ctl, CTL_BOLD, "By hand: ");
    va_start(args, format);
    vfprintf(setup->ctl->out, format, args);
    va_end(args);
    fputs(lines ? "\n\n" : "\n", setup->ctl->out);
    for (const char *line = lines; line && *line;) {
        size_t len = strcspn(line, "\n");

        fprintf(setup->ctl->out, "    %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
}
