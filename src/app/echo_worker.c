// SPDX-License-Identifier: ISC
// Sockets and time for the endpoints of the test partner; see echo_worker.h.
#include "echo_worker.h"

#include "media/endpoint.h"
#include "turn_relayed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#define SETUP_TIME       (30 * USEC_PER_SEC) // a person answers questions about the microphone
#define SILENCE_TIME     (20 * USEC_PER_SEC)
#define BYTES_PER_SECOND 400000 // a video call's: what comes is sent, too

struct echo_line { // one transport of a call; owned by its worker
    TAILQ_ENTRY(echo_line) entry;
    struct echo_worker *worker;
    uint64_t id;
    bool raw, told_media;
    struct endpoint *endpoint;
    struct echo_place {
        struct echo_line *line;
        unsigned component;
        struct relayed *relayed; // NULL: not opened
    } place[MEDIA_COMPONENTS][2];
};

struct echo_worker {
    struct echo_worker_config config;
    struct udp_reader reader;
    struct relayed_ports ports;
    TAILQ_HEAD(, echo_line) lines;
    usec_t next; // deadline of the first of them
};

// ---- identity

int echo_identity_new(struct media_identity **ret_identity)
{
    return media_identity_new(ret_identity);
}

void echo_identity_free(struct media_identity *identity)
{
    media_identity_free(identity);
}

const char *echo_identity_fingerprint(const struct media_identity *identity)
{
    return media_identity_fingerprint(identity);
}

// ---- lines

static void on_send(void *ctx, unsigned component, const struct addr *to, const uint8_t *data,
                    size_t len)
{
    const struct echo_line *line = ctx;
    const struct relayed *relayed = line->place[component][to->family == FAMILY_V6].relayed;

    if (relayed)
        (void)udp_send(relayed->socket, to, data, len, 0);
}

static void on_random(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    if (getrandom(buf, len, 0) != (ssize_t)len) // never short up to 256 bytes
        abort();
}

static struct udp_socket *on_datagram(void *ctx, void *owner, struct udp_datagram *datagram,
                                      struct addr *ret_to, usec_t now)
{
    struct echo_worker *worker = ctx;
    const struct relayed *relayed = owner;
    const struct echo_place *place = relayed->owner;

    (void)ret_to;
    // Without credentials two of our own ports might return each other's packets for ever.
    if (place->line->raw && peers_is_port(worker->config.peers, PEERS_UDP, &datagram->from))
        return NULL;
    endpoint_recv(place->line->endpoint, place->component, &datagram->from, datagram->data,
                  datagram->len, now);
    worker->next = 0;
    return NULL;
}

static void line_free(struct echo_line *line, usec_t now)
{
    for (unsigned c = 0; c < MEDIA_COMPONENTS; c++)
        for (unsigned f = 0; f < 2; f++)
            if (line->place[c][f].relayed)
                relayed_close(&line->worker->ports, line->place[c][f].relayed, now);
    free(line);
}

static void tell(const struct echo_worker *worker, const struct echo_event *event)
{
    worker->config.event(worker->config.ctx, event);
}

static void line_end(struct echo_line *line, const char *reason, usec_t now)
{
    struct echo_worker *worker = line->worker;
    const struct endpoint_figures figures = endpoint_figures(line->endpoint);
    const struct echo_event event = {
        .kind = ECHO_ENDED,
        .id = line->id,
        .reason = reason,
        .packets = figures.packets,
        .lost = figures.lost,
        .jitter = figures.jitter,
    };

    TAILQ_REMOVE(&worker->lines, line, entry);
    endpoint_free(line->endpoint); // may send its farewell
    line_free(line, now);
    tell(worker, &event);
}

// One family is enough.
static int open_places(struct echo_line *line, unsigned components, struct echo_event *event,
                       usec_t now)
{
    static const enum family families[] = {FAMILY_V4, FAMILY_V6};
    int r = -EAFNOSUPPORT;

    for (unsigned f = 0; f < 2; f++) {
        for (unsigned c = 0; c < components; c++) {
            struct echo_place *place = &line->place[c][f];
            struct relayed *relayed[2];
            int one;

            *place = (struct echo_place){.line = line, .component = c};
            one = relayed_open(&line->worker->ports, families[f], PORT_ANY, place, relayed, now);
            if (one == -EAFNOSUPPORT)
                continue;
            if (one < 0)
                return one;
            place->relayed = relayed[0];
            event->addr[c][f] = relayed[0]->port.advertise;
            r = 0;
        }
    }
    return r;
}

static int line_open(struct echo_worker *worker, const struct media_terms *terms,
                     struct echo_event *event, usec_t now)
{
    static const struct endpoint_limits limits = {SETUP_TIME, SILENCE_TIME, BYTES_PER_SECOND};
    struct echo_line *line = calloc(1, sizeof *line);
    const struct endpoint_io io = {line, on_send, on_random};
    int r;

    if (!line)
        return -ENOMEM;
    line->worker = worker;
    line->id = event->id;
    line->raw = !terms->ice;
    r = open_places(line, terms->components, event, now);
    if (r == 0)
        r = endpoint_new(terms, &limits, &io, worker->config.identity, worker->config.counters, now,
                         &line->endpoint);
    if (r < 0) {
        line_free(line, now);
        return r;
    }
    TAILQ_INSERT_TAIL(&worker->lines, line, entry);
    worker->next = 0;
    return 0;
}

void echo_worker_open(struct echo_worker *worker, uint64_t id, const struct media_terms *terms,
                      usec_t now)
{
    struct echo_event event = {.kind = ECHO_OPENED, .id = id};

    if (line_open(worker, terms, &event, now) < 0) {
        event.kind = ECHO_ENDED;
        event.reason = "failed-transport";
    }
    tell(worker, &event);
}

void echo_worker_close(struct echo_worker *worker, uint64_t id, usec_t now)
{
    struct echo_line *line;

    TAILQ_FOREACH (line, &worker->lines, entry) {
        if (line->id == id) {
            line_end(line, NULL, now);
            return;
        }
    }
}

// ---- time

static const char *reason_of(enum endpoint_state state)
{
    switch (state) {
    case ENDPOINT_WAITING:
    case ENDPOINT_RETURNING:
        return NULL;
    case ENDPOINT_NO_MEDIA:
    case ENDPOINT_SILENT:
        return "connectivity-error";
    case ENDPOINT_INSECURE:
        return "security-error";
    }
    return "general-error";
}

static void tell_media(struct echo_line *line)
{
    const struct echo_event event = {.kind = ECHO_MEDIA, .id = line->id};

    if (!line->told_media && endpoint_state(line->endpoint) == ENDPOINT_RETURNING) {
        line->told_media = true;
        tell(line->worker, &event);
    }
}

usec_t echo_worker_tick(struct echo_worker *worker, usec_t now)
{
    struct echo_line *line, *following;

    if (now < worker->next)
        return worker->next;
    worker->next = USEC_NEVER;
    for (line = TAILQ_FIRST(&worker->lines); line; line = following) {
        usec_t deadline = endpoint_tick(line->endpoint, now);
        const char *reason = reason_of(endpoint_state(line->endpoint));

        following = TAILQ_NEXT(line, entry);
        tell_media(line);
        if (reason)
            line_end(line, reason, now);
        else if (deadline < worker->next)
            worker->next = deadline;
    }
    return worker->next;
}

// ---- the worker's part

int echo_worker_new(const struct echo_worker_config *config, struct echo_worker **ret_worker)
{
    struct echo_worker *worker = calloc(1, sizeof *worker);

    if (!worker)
        return -ENOMEM;
    worker->config = *config;
    worker->reader = (struct udp_reader){.ctx = worker, .datagram = on_datagram};
    worker->ports =
        (struct relayed_ports){config->udp, config->relay, config->peers, &worker->reader};
    TAILQ_INIT(&worker->lines);
    worker->next = USEC_NEVER;
    *ret_worker = worker;
    return 0;
}

void echo_worker_free(struct echo_worker *worker)
{
    struct echo_line *line;

    if (!worker)
        return;
    while ((line = TAILQ_FIRST(&worker->lines))) {
        TAILQ_REMOVE(&worker->lines, line, entry);
        endpoint_free(line->endpoint);
        line_free(line, 0);
    }
    free(worker);
}
