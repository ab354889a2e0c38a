// SPDX-License-Identifier: ISC
// See questions.h.
#include "questions.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <time.h>

#define NS_CLIENT    "jabber:client"
#define NS_DISCO     "http://jabber.org/protocol/disco#info"
#define NS_EXTDISCO  "urn:xmpp:extdisco:2"
#define NS_TIME      "urn:xmpp:time"
#define DOMAINS_MAX  16
#define KINDS        3
#define SERVICES_MAX 32
#define PATIENCE_SEC 5
#define ID_SIZE      24

struct waiting { // for the answers
    LIST_ENTRY(waiting) link;
    void (*done)(void *ctx, json_t *answers);
    void *ctx;
};

enum question_kind { ASK_SERVICES, ASK_TIME, ASK_SOFTWARE };

struct question {
    char id[ID_SIZE];   // "": answered, or not asked
    const char *domain; // the key in 'answers'
    enum question_kind kind;
    double asked;
};

struct questions {
    struct questions_world world;
    struct event *patience;
    struct question question[DOMAINS_MAX * KINDS];
    unsigned open;
    json_t *answers;              // of the round that runs; NULL: none does
    json_t *modules;              // domain -> true
    json_t *delegated;            // the same: it hands us the question for services
    LIST_HEAD(, waiting) waiting; // owned
};

static double wall(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

// ---- asking

static struct xml *make_iq(const struct questions *q, const struct question *question)
{
    struct xml *iq = xml_new("iq", NS_CLIENT);
    static const struct {
        const char *name, *ns;
    } payloads[KINDS] = {[ASK_SERVICES] = {"services", NS_EXTDISCO},
                         [ASK_TIME] = {"time", NS_TIME},
                         [ASK_SOFTWARE] = {"query", NS_DISCO}};
    const char *name = payloads[question->kind].name, *ns = payloads[question->kind].ns;

    if (iq && !xml_set(iq, "type", "get") && !xml_set(iq, "id", question->id) &&
        !xml_set(iq, "from", q->world.config->xmpp.domain) &&
        !xml_set(iq, "to", question->domain) && xml_add(iq, name, ns))
        return iq;
    xml_free(iq);
    return NULL;
}

static json_t *answer_of(struct questions *q, const char *domain)
{
    json_t *answer = json_object_get(q->answers, domain);

    if (!answer) {
        answer = json_object();
        json_object_set_new(answer, "module",
                            json_boolean(json_object_get(q->modules, domain) != NULL));
        json_object_set_new(answer, "delegated",
                            json_boolean(json_object_get(q->delegated, domain) != NULL));
        json_object_set_new(q->answers, domain, answer);
    }
    return json_object_get(q->answers, domain);
}

static void ask_one(struct questions *q, struct question *question)
{
    uint64_t number = 0;
    struct xml *iq;

    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return;
    snprintf(question->id, sizeof question->id, "ask%016" PRIx64, number);
    question->asked = wall();
    iq = make_iq(q, question);
    if (iq && q->world.send(q->world.ctx, iq) == 0)
        q->open++;
    else
        question->id[0] = '\0';
    xml_free(iq);
}

static void ask_all(struct questions *q)
{
    const struct config_list *served = &q->world.config->xmpp.served_domains;

    memset(q->question, 0, sizeof q->question);
    q->open = 0;
    for (size_t i = 0; i < served->count && i < DOMAINS_MAX; i++) {
        const char *domain;

        (void)answer_of(q, served->item[i]);
        domain = json_object_iter_key(json_object_iter_at(q->answers, served->item[i]));
        if (!domain)
            continue;
        for (unsigned kind = 0; kind < KINDS; kind++) {
            struct question *question = &q->question[i * KINDS + kind];

            question->domain = domain;
            question->kind = (enum question_kind)kind;
            ask_one(q, question);
        }
    }
}

// ---- answers

static const char *error_name(const struct xml *iq)
{
    const struct xml *error = xml_child(iq, "error", NULL);
    const struct xml *condition = error ? xml_child(error, NULL, NULL) : NULL;

    return condition && condition->name ? condition->name : "error";
}

static json_t *service_json(const struct xml *service)
{
    static const char *const names[] = {"type",     "host",     "port",   "transport",
                                        "username", "password", "expires"};
    json_t *json = json_object();

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = xml_attr(service, names[i]);

        if (value)
            json_object_set_new(json, names[i], json_string(value));
    }
    return json;
}

static void take_services(json_t *answer, const struct xml *iq)
{
    const struct xml *services = xml_child(iq, "services", NS_EXTDISCO);
    const struct xml *service = services ? xml_child(services, "service", NS_EXTDISCO) : NULL;
    json_t *list;

    if (!services) {
        json_object_set_new(answer, "services_error", json_string(error_name(iq)));
        return;
    }
    list = json_array();
    for (unsigned i = 0; service && i < SERVICES_MAX; i++) {
        json_array_append_new(list, service_json(service));
        service = xml_next(service, "service", NS_EXTDISCO);
    }
    json_object_set_new(answer, "services", list);
}

// XEP-0082: 2026-11-23T08:00:00Z, with or without a fraction of a second.
static void take_time(json_t *answer, const struct xml *iq, double asked)
{
    const struct xml *time_ = xml_child(iq, "time", NS_TIME);
    const struct xml *utc = time_ ? xml_child(time_, "utc", NS_TIME) : NULL;
    struct tm tm = {0};

    if (!utc || !strptime(xml_text(utc), "%Y-%m-%dT%H:%M:%S", &tm))
        return;
    json_object_set_new(answer, "time", json_real((double)timegm(&tm)));
    json_object_set_new(answer, "asked", json_real(asked));
    json_object_set_new(answer, "answered", json_real(wall()));
}

// XEP-0030: <identity category='server' type='im' name='ejabberd'/>
static void take_software(json_t *answer, const struct xml *iq)
{
    const struct xml *query = xml_child(iq, "query", NS_DISCO);
    const struct xml *identity = query ? xml_child(query, "identity", NS_DISCO) : NULL;

    for (; identity; identity = xml_next(identity, "identity", NS_DISCO)) {
        const char *category = xml_attr(identity, "category"), *name = xml_attr(identity, "name");

        if (category && strcmp(category, "server") == 0 && name)
            json_object_set_new(answer, "software", json_string(name));
    }
}

static void finish(struct questions *q)
{
    json_t *answers = q->answers;
    struct waiting *waiting;

    q->answers = NULL;
    q->open = 0;
    evtimer_del(q->patience);
    memset(q->question, 0, sizeof q->question);
    while ((waiting = LIST_FIRST(&q->waiting))) {
        LIST_REMOVE(waiting, link);
        waiting->done(waiting->ctx, json_incref(answers));
        free(waiting);
    }
    json_decref(answers);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish(arg);
}

static struct question *find(struct questions *q, const struct xml *stanza)
{
    const char *id = xml_attr(stanza, "id"), *from = xml_attr(stanza, "from");

    for (size_t i = 0; q->answers && id && *id && from && i < DOMAINS_MAX * KINDS; i++) {
        if (strcmp(q->question[i].id, id) == 0 && strcasecmp(q->question[i].domain, from) == 0)
            return &q->question[i];
    }
    return NULL;
}

// The module for diverted calls asks the component what it can do, in the name of its host.
static void note_module(struct questions *q, const struct xml *iq)
{
    const struct config_list *served = &q->world.config->xmpp.served_domains;
    const struct xml *query = xml_child(iq, "query", NS_DISCO);
    const char *from = xml_attr(iq, "from");

    for (size_t i = 0; query && !xml_attr(query, "node") && from && i < served->count; i++) {
        if (strcasecmp(from, served->item[i]) == 0)
            json_object_set_new(q->modules, served->item[i], json_true());
    }
}

// Such a server does not hand over what we ask ourselves (XEP-0355), and so has no answer to it.
static void note_delegation(struct questions *q, const struct xml *message)
{
    const struct config_list *served = &q->world.config->xmpp.served_domains;
    const struct xml *envelope = xml_child(message, "delegation", NULL);
    const struct xml *x = envelope ? xml_child(envelope, "delegated", NULL) : NULL;
    const char *from = xml_attr(message, "from");

    for (; x && from; x = xml_next(x, "delegated", NULL)) {
        const char *ns = xml_attr(x, "namespace");

        for (size_t i = 0; ns && strcmp(ns, NS_EXTDISCO) == 0 && i < served->count; i++) {
            if (strcasecmp(from, served->item[i]) == 0)
                json_object_set_new(q->delegated, served->item[i], json_true());
        }
    }
}

void questions_connected(struct questions *q)
{
    if (!q)
        return;
    json_object_clear(q->modules);
    json_object_clear(q->delegated);
}

bool questions_stanza(struct questions *q, const struct xml *stanza)
{
    const char *type = xml_attr(stanza, "type");
    struct question *question;
    json_t *answer;

    if (xml_is(stanza, "message", NULL))
        note_delegation(q, stanza);
    if (!xml_is(stanza, "iq", NULL) || !type)
        return false;
    if (strcmp(type, "get") == 0)
        note_module(q, stanza);
    question = find(q, stanza);
    if (!question || (strcmp(type, "result") != 0 && strcmp(type, "error") != 0))
        return false;
    question->id[0] = '\0';
    answer = answer_of(q, question->domain);
    if (question->kind == ASK_TIME)
        take_time(answer, stanza, question->asked);
    else if (question->kind == ASK_SOFTWARE)
        take_software(answer, stanza);
    else
        take_services(answer, stanza);
    if (--q->open == 0)
        finish(q);
    return true;
}

// ---- life

int questions_ask(struct questions *q, void (*done)(void *ctx, json_t *answers), void *ctx)
{
    static const struct timeval patience = {.tv_sec = PATIENCE_SEC}, now = {0};
    struct waiting *waiting = calloc(1, sizeof *waiting);
    bool first = !q->answers;

    if (first)
        q->answers = json_object();
    if (!waiting || !q->answers) {
        free(waiting);
        return -ENOMEM;
    }
    waiting->done = done;
    waiting->ctx = ctx;
    LIST_INSERT_HEAD(&q->waiting, waiting, link);
    if (first)
        ask_all(q);
    if (first)
        evtimer_add(q->patience, q->open > 0 ? &patience : &now);
    return 0;
}

void questions_cancel(struct questions *q, void (*done)(void *ctx, json_t *answers))
{
    struct waiting *waiting = LIST_FIRST(&q->waiting);

    while (waiting) {
        struct waiting *next = LIST_NEXT(waiting, link);

        if (waiting->done == done) {
            LIST_REMOVE(waiting, link);
            free(waiting);
        }
        waiting = next;
    }
}

int questions_new(const struct questions_world *world, struct questions **ret_questions)
{
    struct questions *q = calloc(1, sizeof *q);

    if (!q)
        return -ENOMEM;
    q->world = *world;
    LIST_INIT(&q->waiting);
    q->modules = json_object();
    q->patience = evtimer_new(world->base, on_patience, q);
    q->delegated = json_object();
    if (!q->modules || !q->delegated || !q->patience) {
        questions_free(q);
        return -ENOMEM;
    }
    *ret_questions = q;
    return 0;
}

void questions_free(struct questions *q)
{
    struct waiting *waiting;

    if (!q)
        return;
    while ((waiting = LIST_FIRST(&q->waiting))) {
        LIST_REMOVE(waiting, link);
        free(waiting);
    }
    if (q->patience)
        event_free(q->patience);
    json_decref(q->answers);
    json_decref(q->modules);
    json_decref(q->delegated);
    free(q);
}
