// SPDX-License-Identifier: ISC
// Whether the daemon runs and is joined to its XMPP server. Where it is not, the doctor joins in
// its place for a moment (XEP-0114) to hear what the server has against it.
#include "doctor.h"

#include "base/buf.h"
#include "doctor_socket.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_SECONDS 5
#define ANSWER_MAX       8192

// ---- which server

enum doctor_server doctor_server_named(const char *name)
{
    if (name && strcasestr(name, "prosody"))
        return DOCTOR_SERVER_PROSODY;
    if (name && strcasestr(name, "ejabberd"))
        return DOCTOR_SERVER_EJABBERD;
    return DOCTOR_SERVER_UNKNOWN;
}

enum doctor_server doctor_server_process(const char *name)
{
    if (strncmp(name, "lua", strlen("lua")) == 0)
        return DOCTOR_SERVER_PROSODY;
    if (strncmp(name, "beam.", strlen("beam.")) == 0)
        return DOCTOR_SERVER_EJABBERD;
    return doctor_server_named(name);
}

// Who listens on this machine; and where nobody does, what is installed.
static enum doctor_server server_here(const struct config *config)
{
    bool prosody = access("/etc/prosody/prosody.cfg.lua", F_OK) == 0;
    bool ejabberd = access("/etc/ejabberd/ejabberd.yml", F_OK) == 0;
    struct doctor_owner owner;
    struct addr addr;

    if (config->xmpp.server &&
        addr_parse_ip(config->xmpp.server, (uint16_t)config->xmpp.port, &addr) == 0 &&
        doctor_socket_owner(&addr, true, 0, &owner) && owner.pid)
        return doctor_server_process(owner.name);
    if (prosody == ejabberd)
        return DOCTOR_SERVER_UNKNOWN;
    return prosody ? DOCTOR_SERVER_PROSODY : DOCTOR_SERVER_EJABBERD;
}

static enum doctor_server find_server(const struct doctor *doctor)
{
    const json_t *answers = json_object_get(doctor->facts, "server");
    const struct config_list *served = &doctor->config.xmpp.served_domains;

    for (size_t i = 0; i < served->count; i++) {
        const json_t *answer = json_object_get(answers, served->item[i]);
        enum doctor_server server = doctor_server_named(ctl_string(answer, "software"));

        if (server != DOCTOR_SERVER_UNKNOWN)
            return server;
    }
    return server_here(&doctor->config);
}

// ---- the daemon

void doctor_check_daemon(struct doctor *doctor)
{
    doctor->server = find_server(doctor);
    if (doctor->facts) {
        doctor_find(doctor, DOCTOR_OK, "jingle-relayd %s runs (process %.0f)",
                    ctl_string(doctor->facts, "version"), ctl_number(doctor->facts, "pid"));
        return;
    }
    doctor_find(doctor, DOCTOR_PROBLEM, "no daemon answers at %s", doctor->ctl->socket);
    doctor_change(doctor, "systemctl enable --now jingle-relayd; why it ended: journalctl -u "
                          "jingle-relayd -n 20\n"
                          "(it runs? then be root, or a member of the group jingle-relayd, or give "
                          "--socket PATH)");
}

// ---- joining

static int connect_to(const struct config *config)
{
    const struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    char port[8];
    int fd = -1, r = -EHOSTUNREACH;

    snprintf(port, sizeof port, "%u", config->xmpp.port);
    if (getaddrinfo(config->xmpp.server, port, &hints, &all) != 0)
        return -ENOENT;
    for (const struct addrinfo *a = all; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            r = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(all);
    return fd < 0 ? r : fd;
}

// Reads until one of the words is there, the peer closes, or time is over.
static int read_until(int fd, struct buf *text, const char *const *words)
{
    char part[1024];

    while (text->len < ANSWER_MAX) {
        ssize_t n;

        for (size_t i = 0; text->data && words[i]; i++) {
            if (strstr(text->data, words[i]))
                return 0;
        }
        n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            return n == 0 ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;
        buf_add(text, part, (size_t)n);
        if (text->failed)
            return -ENOMEM;
    }
    return -EPROTO;
}

static int say(int fd, const struct buf *text)
{
    if (text->failed || !text->data)
        return -ENOMEM;
    return send(fd, text->data, text->len, MSG_NOSIGNAL) == (ssize_t)text->len ? 0 : -EPIPE;
}

// The id='...' of the stream's header.
static bool stream_id(const char *text, char *id, size_t size)
{
    const char *header = text ? strstr(text, "<stream:stream") : NULL;
    const char *at = header ? strstr(header, " id=") : NULL;
    size_t len;

    if (!at || (at[4] != '\'' && at[4] != '"'))
        return false;
    len = strcspn(at + 5, at[4] == '"' ? "\"" : "'");
    if (len == 0 || len >= size)
        return false;
    memcpy(id, at + 5, len);
    id[len] = '\0';
    return true;
}

// XEP-0114 section 3: the SHA-1 of the stream's id and the secret, in hexadecimal.
static int shake_hands(int fd, const char *id, const char *secret)
{
    struct buf text = {0}, line = {0};
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int r = -ENOMEM;

    buf_printf(&text, "%s%s", id, secret);
    buf_printf(&line, "<handshake>");
    if (!text.failed && EVP_Digest(text.data, text.len, sum, &len, EVP_sha1(), NULL) == 1) {
        for (unsigned i = 0; i < len; i++)
            buf_printf(&line, "%02x", sum[i]);
        buf_printf(&line, "</handshake>");
        r = say(fd, &line);
    }
    buf_free(&text);
    buf_free(&line);
    return r;
}

static const char *condition_in(const char *text)
{
    static const char *const known[] = {"conflict", "host-unknown", "not-authorized",
                                        "invalid-namespace", "policy-violation"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (text && strstr(text, known[i]))
            return known[i];
    }
    return text && strstr(text, "stream:error") ? "refused" : "";
}

// Returns 0, with the stream error that came or "", or -errno.
static int join(const struct config *config, const char **ret_condition)
{
    static const char *const header_end[] = {"'>", "\">", "stream:error>", NULL};
    static const char *const answers[] = {"<handshake", "stream:error>", NULL};
    struct buf hello = {0}, answer = {0}, end = {0};
    char id[256];
    int fd = connect_to(config), r = fd < 0 ? fd : 0;

    *ret_condition = "";
    buf_printf(&hello,
               "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
               "xmlns:stream='http://etherx.jabber.org/streams' to='%s'>",
               config->xmpp.domain);
    if (r == 0)
        r = say(fd, &hello);
    if (r == 0)
        r = read_until(fd, &answer, header_end);
    if (r == 0 && stream_id(answer.data, id, sizeof id) && !strstr(answer.data, "stream:error")) {
        r = shake_hands(fd, id, config->xmpp.secret);
        if (r == 0)
            r = read_until(fd, &answer, answers);
    }
    *ret_condition = condition_in(answer.data);
    if (r == -EPIPE && **ret_condition)
        r = 0;
    buf_printf(&end, "</stream:stream>");
    if (fd >= 0 && r == 0)
        (void)say(fd, &end);
    if (fd >= 0)
        close(fd);
    buf_free(&hello);
    buf_free(&answer);
    buf_free(&end);
    return r;
}

// ---- what it means

static void judge_connection(struct doctor *doctor, int error)
{
    const struct config *c = &doctor->config;

    doctor_find(doctor, DOCTOR_PROBLEM, "the XMPP server's port for components, %s port %u: %s",
                c->xmpp.server, c->xmpp.port,
                error == -ENOENT ? "there is no such host name" : strerror(-error));
    doctor_change(
        doctor,
        "Prosody: component_ports = { %u }; component_interfaces = { \"%s\" } at the top "
        "of prosody.cfg.lua, and a Component \"%s\"; systemctl restart prosody\n"
        "ejabberd: under listen: { port: %u, ip: \"%s\", module: ejabberd_service, hosts: "
        "{ \"%s\": { password: \"...\" } } }",
        c->xmpp.port, c->xmpp.server, c->xmpp.domain, c->xmpp.port, c->xmpp.server, c->xmpp.domain);
}

static void judge_condition(struct doctor *doctor, const char *condition)
{
    const struct config *c = &doctor->config;
    const char *file = c->xmpp.secret_file ? c->xmpp.secret_file : doctor->path;

    if (strcmp(condition, "not-authorized") == 0) {
        doctor_find(doctor, DOCTOR_PROBLEM,
                    "wrong secret: the server's for %s is not the one in %s (not-authorized)%s",
                    c->xmpp.domain, file,
                    doctor->server == DOCTOR_SERVER_EJABBERD
                        ? "; or it has no component of that name, of which ejabberd says the same"
                        : "");
        doctor_change(doctor,
                      "Prosody: Component \"%s\"  component_secret = \"the text in %s\"\n"
                      "ejabberd: hosts: { \"%s\": { password: \"the text in %s\" } }",
                      c->xmpp.domain, file, c->xmpp.domain, file);
    } else if (strcmp(condition, "host-unknown") == 0) {
        doctor_find(doctor, DOCTOR_PROBLEM, "the server has no component %s (host-unknown)",
                    c->xmpp.domain);
        doctor_change(doctor,
                      "Prosody: Component \"%s\"  component_secret = \"the text in %s\"\n"
                      "ejabberd: hosts: { \"%s\": { password: \"the text in %s\" } }\n"
                      "or, if the name is another there: xmpp.domain in %s",
                      c->xmpp.domain, file, c->xmpp.domain, file, doctor->path);
    } else if (strcmp(condition, "conflict") == 0) {
        doctor_find(doctor, DOCTOR_PROBLEM,
                    "another program is joined as %s already (conflict): two daemons with one "
                    "domain?",
                    c->xmpp.domain);
        doctor_change(doctor,
                      "stop the other (who it is: ss -tnp dport = %u on its machine), or "
                      "give this one a domain of its own: xmpp.domain in %s",
                      c->xmpp.port, doctor->path);
    } else {
        doctor_find(doctor, DOCTOR_PROBLEM, "the server refuses %s: %s", c->xmpp.domain, condition);
        doctor_change(doctor, "see the XMPP server's log");
    }
}

void doctor_judge_link(struct doctor *doctor, int error, const char *condition, bool daemon_runs)
{
    if (error < 0) {
        judge_connection(doctor, error);
    } else if (*condition) {
        judge_condition(doctor, condition);
    } else if (daemon_runs) {
        doctor_find(doctor, DOCTOR_WARNING,
                    "the daemon is not joined, but the server would take it now: it tries again by "
                    "itself");
    } else {
        doctor_find(doctor, DOCTOR_OK, "the server takes %s with this secret",
                    doctor->config.xmpp.domain);
    }
}

void doctor_check_link(struct doctor *doctor)
{
    const char *condition;
    int r;

    if (ctl_true(doctor->facts, "connected")) {
        doctor_find(doctor, DOCTOR_OK, "joined to %s port %u as %s", doctor->config.xmpp.server,
                    doctor->config.xmpp.port, doctor->config.xmpp.domain);
        return;
    }
    r = join(&doctor->config, &condition);
    doctor_judge_link(doctor, r, condition, doctor->facts != NULL);
}
