// SPDX-License-Identifier: ISC
// The tool's end of the control socket. What goes wrong is told with what to do about it.
#include "control.h"
#include "ctl.h"

#include "base/buf.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_SECONDS 30

// ---- what to do

static void say_no_permission(struct ctl *ctl)
{
    struct stat st;
    const struct group *group = stat(ctl->socket, &st) == 0 ? getgrgid(st.st_gid) : NULL;

    fprintf(ctl->err, "jingle-relayctl: no permission to open %s: be root", ctl->socket);
    if (group && strcmp(group->gr_name, "root") != 0)
        fprintf(ctl->err, ", or a member of the group %s (usermod -aG %s NAME, then log in again)",
                group->gr_name, group->gr_name);
    fputs("\n", ctl->err);
}

static enum ctl_exit say_unreachable(struct ctl *ctl, int error)
{
    if (error == EACCES || error == EPERM)
        say_no_permission(ctl);
    else if (error == ENOENT || error == ECONNREFUSED)
        fprintf(ctl->err,
                "jingle-relayctl: no daemon listens at %s. Is it running? (systemctl status "
                "jingle-relayd; systemctl start jingle-relayd) Is control.socket another path in "
                "its configuration? (--socket PATH)\n",
                ctl->socket);
    else
        fprintf(ctl->err, "jingle-relayctl: %s: %s\n", ctl->socket, strerror(error));
    return CTL_UNREACHABLE;
}

static enum ctl_exit say_lost(struct ctl *ctl, int error)
{
    fprintf(ctl->err, "jingle-relayctl: the daemon %s: see journalctl -u jingle-relayd\n",
            error == EAGAIN ? "does not answer" : "has closed the connection");
    return CTL_UNREACHABLE;
}

// ---- the connection

static enum ctl_exit hang_on(struct ctl *ctl)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd;

    if (ctl->connection >= 0)
        return CTL_OK;
    if (strlen(ctl->socket) >= sizeof sa.sun_path)
        return say_unreachable(ctl, ENAMETOOLONG);
    memcpy(sa.sun_path, ctl->socket, strlen(ctl->socket) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return say_unreachable(ctl, errno);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)(const void *)&sa, sizeof sa) < 0) {
        int error = errno;

        close(fd);
        return say_unreachable(ctl, error);
    }
    ctl->connection = fd;
    return CTL_OK;
}

void ctl_hang_up(struct ctl *ctl)
{
    if (ctl->connection >= 0)
        close(ctl->connection);
    ctl->connection = -1;
}

static int put_line(int fd, const char *text)
{
    size_t len = strlen(text);

    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, text + done, len - done, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

// There is one answer, so that nothing comes behind its line.
static int get_line(int fd, struct buf *line)
{
    char part[16384];

    while (line->len == 0 || line->data[line->len - 1] != '\n') {
        ssize_t n = read(fd, part, sizeof part);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        buf_add(line, part, (size_t)n);
        if (line->failed)
            return -ENOMEM;
    }
    return 0;
}

// ---- asking

static enum ctl_exit take_answer(struct ctl *ctl, const struct buf *line, json_t **ret_result)
{
    json_t *answer = json_loadb(line->data, line->len, 0, NULL);
    json_t *result = json_object_get(answer, "result");
    enum ctl_exit r = CTL_OK;

    if (json_is_true(json_object_get(answer, "ok")) && result) {
        *ret_result = json_incref(result);
    } else {
        const char *error = json_string_value(json_object_get(answer, "error"));

        ctl_complain(ctl, error && *error ? error : "the daemon's answer makes no sense");
        r = CTL_PROBLEM;
    }
    json_decref(answer);
    return r;
}

enum ctl_exit ctl_ask(struct ctl *ctl, const char *verb, json_t *arguments, json_t **ret_result)
{
    json_t *request = json_pack("{s:s, s:o*}", "verb", verb, "args", arguments);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    struct buf question = {0}, line = {0};
    enum ctl_exit r = hang_on(ctl);
    int error;

    buf_printf(&question, "%s\n", text ? text : "");
    json_decref(request);
    free(text);
    if (r == CTL_OK) {
        error = question.failed ? -ENOMEM : put_line(ctl->connection, question.data);
        if (error == 0)
            error = get_line(ctl->connection, &line);
        r = error < 0 ? say_lost(ctl, -error) : take_answer(ctl, &line, ret_result);
        if (error < 0)
            ctl_hang_up(ctl);
    }
    buf_free(&question);
    buf_free(&line);
    return r;
}
