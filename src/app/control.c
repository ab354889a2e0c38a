// SPDX-License-Identifier: ISC
// The control socket on libevent's bufferevents; see control.h. A connection reads one
// line, waits for its answer, writes it, and begins again.
#include "control.h"

#include "platform/acceptor.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/util.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MODE = 0660, FOLDER_MODE = 0755, BACKLOG = 16 };

enum conn_state { CONN_READING, CONN_WAITING, CONN_WRITING, CONN_CLOSING };

// Owned by its control; lives until answered, though its connection may go before.
struct request {
    LIST_ENTRY(request) link;
    struct control *control;
    struct conn *conn; // NULL: the client went away
};

// Owned by its control.
struct conn {
    LIST_ENTRY(conn) link;
    struct control *control;
    struct bufferevent *bev;
    struct event *deadline;
    enum conn_state state;
    struct request *request; // while WAITING; borrowed
    bool eof;                // the client will send no more, but may still read
};

struct control {
    struct event_base *base;
    struct verbs *verbs;
    struct counters *counters;
    char *path;
    dev_t device; // of the socket that is ours
    ino_t inode;
    struct acceptor *acceptor;
    LIST_HEAD(, conn) conns;
    unsigned conn_count;
    LIST_HEAD(, request) requests;
};

static void conn_free(struct conn *conn)
{
    if (conn->request)
        conn->request->conn = NULL;
    if (conn->deadline)
        event_free(conn->deadline);
    if (conn->bev)
        bufferevent_free(conn->bev);
    LIST_REMOVE(conn, link);
    conn->control->conn_count--;
    free(conn);
}

// The only place that moves deadlines.
static void conn_enter(struct conn *conn, enum conn_state state)
{
    static const int seconds[] = {
        [CONN_READING] = CONTROL_IDLE_SECONDS,
        [CONN_WAITING] = 0, // the verb's business
        [CONN_WRITING] = CONTROL_WRITE_SECONDS,
        [CONN_CLOSING] = CONTROL_WRITE_SECONDS,
    };
    struct timeval limit = {.tv_sec = seconds[state]};

    conn->state = state;
    if (limit.tv_sec)
        evtimer_add(conn->deadline, &limit);
    else
        evtimer_del(conn->deadline);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_free(arg);
}

// ---- answers

// Takes 'json'.
static void conn_write(struct conn *conn, json_t *json, bool last)
{
    static const char fallback[] = "{\"ok\": false, \"error\": \"out of memory\"}";
    struct evbuffer *out = bufferevent_get_output(conn->bev);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const char *line = text ? text : fallback;

    json_decref(json);
    conn_enter(conn, last ? CONN_CLOSING : CONN_WRITING);
    // Half an answer cannot be mended: the connection goes at once, but not under its caller.
    if (evbuffer_add(out, line, strlen(line)) < 0 || evbuffer_add(out, "\n", 1) < 0)
        event_active(conn->deadline, EV_TIMEOUT, 0);
    free(text);
}

static void refuse(struct conn *conn, const char *error, bool last)
{
    counter_add(conn->control->counters, COUNTER_CONTROL_REFUSED, 1);
    conn_write(conn, json_pack("{s:b, s:s}", "ok", 0, "error", error), last);
}

static void request_free(struct request *request)
{
    if (request->conn)
        request->conn->request = NULL;
    LIST_REMOVE(request, link);
    free(request);
}

static void on_done(void *ctx, json_t *result, const char *error)
{
    struct request *request = ctx;
    struct conn *conn = request->conn;

    request_free(request);
    if (!conn)
        json_decref(result);
    else if (result)
        conn_write(conn, json_pack("{s:b, s:o}", "ok", 1, "result", result), false);
    else
        refuse(conn, error, false);
}

// ---- requests

// With the connection go the keys of all calls and of TURN, which are not for everybody who may
// open the socket.
static bool is_of_own_user(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

// The connection is the verb's from now on. False: it cannot be given.
static bool give_away(struct conn *conn)
{
    const struct verbs_world *world = verbs_world(conn->control->verbs);
    int fd;

    if (!is_of_own_user(bufferevent_getfd(conn->bev))) {
        refuse(conn, "that is for root and the daemon's own user alone", false);
        return false;
    }
    fd = world->hand_over ? dup(bufferevent_getfd(conn->bev)) : -1;
    if (fd < 0) {
        refuse(conn, "this daemon cannot do that", false);
        return false;
    }
    conn_free(conn);
    // Both descriptors were of one open file: blocking belongs to it.
    evutil_make_socket_closeonexec(fd);
    world->hand_over(world->ctx, fd);
    return true;
}

static void run(struct conn *conn, const struct verb *verb, const json_t *arguments)
{
    struct control *control = conn->control;
    struct request *request = calloc(1, sizeof *request);

    if (!request) {
        refuse(conn, "out of memory", false);
        return;
    }
    request->control = control;
    request->conn = conn;
    conn->request = request;
    LIST_INSERT_HEAD(&control->requests, request, link);
    conn_enter(conn, CONN_WAITING);
    verbs_run(control->verbs, verb, arguments, (struct verb_reply){request, on_done});
}

// Returns false when the connection is gone.
static bool take_line(struct conn *conn, const char *line, size_t len)
{
    json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(json, "verb"));
    const struct verb *verb = verb_find(name);
    bool alive = true;

    counter_add(conn->control->counters, COUNTER_CONTROL_REQUESTS, 1);
    if (!json_is_object(json))
        refuse(conn, "expected one JSON object on a line: {\"verb\": \"status\"}", false);
    else if (!name)
        refuse(conn, "expected the name of a verb: {\"verb\": \"status\"}", false);
    else if (!verb)
        refuse(conn, "there is no such verb; daemon and tool may be of different versions", false);
    else if (verb->takes_connection)
        alive = !give_away(conn);
    else
        run(conn, verb, json_object_get(json, "args"));
    json_decref(json);
    return alive;
}

// Frees the connection when its client has sent all it will.
static void read_lines(struct conn *conn)
{
    struct evbuffer *in = bufferevent_get_input(conn->bev);

    while (conn->state == CONN_READING) {
        size_t len;
        char *line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
        bool too_long =
            line ? len >= CONTROL_LINE_MAX : evbuffer_get_length(in) >= CONTROL_LINE_MAX;
        bool alive = true;

        if (too_long) {
            refuse(conn, "the request is too long", true);
        } else if (line) {
            alive = take_line(conn, line, len);
        } else {
            if (conn->eof)
                conn_free(conn);
            return;
        }
        free(line);
        if (!alive)
            return;
    }
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *conn = arg;

    (void)bev;
    if (conn->state == CONN_READING)
        read_lines(conn);
}

// The output ran empty.
static void on_written(struct bufferevent *bev, void *arg)
{
    struct conn *conn = arg;

    (void)bev;
    if (conn->state == CONN_CLOSING) {
        conn_free(conn);
    } else if (conn->state == CONN_WRITING) {
        conn_enter(conn, CONN_READING);
        read_lines(conn);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct conn *conn = arg;

    (void)bev;
    if (what & BEV_EVENT_EOF) {
        conn->eof = true;
        if (conn->state != CONN_READING)
            return;
    }
    conn_free(conn);
}

// ---- connections

static void on_accept(void *ctx, int fd, const struct sockaddr *from)
{
    struct control *control = ctx;
    struct conn *conn = calloc(1, sizeof *conn);

    (void)from;
    if (!conn) {
        close(fd);
        return;
    }
    conn->control = control;
    LIST_INSERT_HEAD(&control->conns, conn, link);
    control->conn_count++;
    conn->bev = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
    conn->deadline = evtimer_new(control->base, on_deadline, conn);
    if (!conn->bev)
        close(fd);
    if (!conn->bev || !conn->deadline) {
        conn_free(conn);
        return;
    }
    bufferevent_setcb(conn->bev, on_read, on_written, on_event, conn);
    bufferevent_setwatermark(conn->bev, EV_READ, 0, 2 * CONTROL_LINE_MAX);
    conn_enter(conn, CONN_READING);
    bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
    if (control->conn_count > CONTROL_CONNECTIONS_MAX)
        refuse(conn, "too many connections to the control socket", true);
}

// ---- the socket

// A socket that a daemon has left behind, and nothing else, is removed. Returns 0, -EADDRINUSE or
// -errno.
static int remove_stale(const struct sockaddr_un *sa)
{
    struct stat st;
    int fd, r;

    if (lstat(sa->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    r = connect(fd, (const struct sockaddr *)(const void *)sa, sizeof *sa) < 0 ? -errno : 0;
    close(fd);
    if (r == 0 || r == -EAGAIN) // somebody listens; -EAGAIN: to more than he accepts
        return -EADDRINUSE;
    if (r != -ECONNREFUSED)
        return r;
    return unlink(sa->sun_path) < 0 ? -errno : 0;
}

static void make_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path || (size_t)(slash - path) >= sizeof folder)
        return;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    if (mkdir(folder, FOLDER_MODE) == 0)
        (void)chmod(folder, FOLDER_MODE); // whatever the umask; bind() says what is wrong otherwise
}

// Returns a descriptor or -errno.
static int open_bound(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    mode_t mask;
    int fd, r;

    if (strlen(path) >= sizeof sa.sun_path)
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    make_folder(path);
    r = remove_stale(&sa);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    mask = umask(0777); // nobody comes in before the mode is right
    r = bind(fd, (const struct sockaddr *)(const void *)&sa, sizeof sa) < 0 ? -errno : 0;
    umask(mask);
    if (r == 0 && chmod(path, MODE) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

int control_new(struct event_base *base, const char *path, struct verbs *verbs,
                struct counters *counters, struct control **ret_control)
{
    struct control *control = calloc(1, sizeof *control);
    struct stat st;
    int fd, r;

    if (!control)
        return -ENOMEM;
    control->base = base;
    control->verbs = verbs;
    control->counters = counters;
    LIST_INIT(&control->conns);
    LIST_INIT(&control->requests);
    fd = open_bound(path);
    if (fd < 0) {
        free(control);
        return fd;
    }
    control->path = strdup(path);
    if (stat(path, &st) == 0) {
        control->device = st.st_dev;
        control->inode = st.st_ino;
    }
    r = acceptor_new(base, fd, BACKLOG, on_accept, control, &control->acceptor);
    if (r == 0 && !control->path)
        r = -ENOMEM;
    if (r < 0) {
        control_free(control);
        return r;
    }
    *ret_control = control;
    return 0;
}

void control_free(struct control *control)
{
    struct stat st;

    if (!control)
        return;
    if (control->path && lstat(control->path, &st) == 0 && st.st_dev == control->device &&
        st.st_ino == control->inode)
        (void)unlink(control->path);
    while (!LIST_EMPTY(&control->requests))
        request_free(LIST_FIRST(&control->requests));
    while (!LIST_EMPTY(&control->conns))
        conn_free(LIST_FIRST(&control->conns));
    acceptor_free(control->acceptor);
    free(control->path);
    free(control);
}
