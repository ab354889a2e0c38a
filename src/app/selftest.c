// SPDX-License-Identifier: ISC
// See selftest.h.
#include "selftest.h"

#include "base/log_kind.h"
#include "platform/turn_probe.h"
#include "platform/udp.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_SECONDS   5
#define AGAIN_SECONDS   60 // when it was not the time
#define LEAST_SECONDS   600
#define PATIENCE        (1 * USEC_PER_SEC)
#define CLOCK_TOLERANCE 300.0
#define SOON_DAYS       14
#define PROBES_MAX      6 // families times transports
#define TEXT_MAX        400

struct job { // given to the thread, which writes the results; then given back
    struct turn_probe probe[PROBES_MAX];
    struct turn_probe_result result[PROBES_MAX];
    unsigned probes;
    char *host, *username, *password; // owned
};

struct selftest {
    struct selftest_world world;
    struct event *due, *tried; // 'tried': the thread is done
    json_t *findings;          // of the run that goes on
    json_t *last;              // what is shown
    char *told;                // what was logged last
    struct job job;
    pthread_t thread;
    bool running; // the thread
    atomic_bool stop;
};

// ---- findings

static void add(json_t *findings, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(json_t *findings, bool ok, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(findings, json_pack("{s:b, s:s}", "ok", (int)ok, "text", text));
}

static void judge_certificate(const json_t *turn, double now, json_t *findings)
{
    double days = (json_number_value(json_object_get(turn, "expires")) - now) / 86400;

    if (!json_object_get(turn, "expires"))
        return;
    if (days < SOON_DAYS)
        add(findings, false,
            days < 0 ? "the certificate expired %.0f days ago"
                     : "the certificate expires in %.0f days",
            fabs(days));
    else
        add(findings, true, "the certificate is good for %.0f days", days);
}

static bool is_bare(const json_t *service)
{
    const char *type = json_string_value(json_object_get(service, "type"));

    return type && strncmp(type, "turn", 4) == 0 && !json_object_get(service, "username");
}

static void judge_domain(const char *domain, const json_t *answer, json_t *findings)
{
    const json_t *services = json_object_get(answer, "services");
    double off = json_number_value(json_object_get(answer, "time")) -
                 json_number_value(json_object_get(answer, "answered"));

    if (json_object_get(answer, "time"))
        add(findings, fabs(off) <= CLOCK_TOLERANCE, "the clock of %s is %.0f s off", domain,
            fabs(off) <= CLOCK_TOLERANCE ? 0.0 : off);
    for (size_t i = 0; i < json_array_size(services); i++) {
        if (is_bare(json_array_get(services, i))) {
            add(findings, false, "%s tells its users a TURN server without username and password",
                domain);
            return;
        }
    }
}

void selftest_judge(const json_t *facts, const json_t *answers, double now, json_t *findings)
{
    const json_t *descriptors = json_object_get(facts, "descriptors");
    double limit = json_number_value(json_object_get(descriptors, "limit"));
    double needed = json_number_value(json_object_get(descriptors, "needed"));
    bool connected = json_is_true(json_object_get(facts, "connected"));
    union { // jansson iterates over what it may change
        const json_t *borrowed;
        json_t *object;
    } all = {answers};
    const char *domain;
    json_t *answer;

    add(findings, connected,
        connected ? "joined to the XMPP server" : "not joined to the XMPP server");
    add(findings, limit >= needed, "%.0f descriptors are allowed, %.0f may be needed", limit,
        needed);
    judge_certificate(json_object_get(facts, "turn"), now, findings);
    json_object_foreach(all.object, domain, answer)
    {
        judge_domain(domain, answer, findings);
    }
}

// Draining, a quota and a relay that is full are no faults.
static bool is_refusal(const struct turn_probe_result *result)
{
    return result->code == 403 || result->code == 486 || result->code == 508;
}

static void judge_probes(const struct job *job, json_t *findings)
{
    char address[ADDR_TEXT_MAX], why[2 * TURN_PROBE_REASON_MAX];

    for (unsigned i = 0; i < job->probes; i++) {
        const struct turn_probe *probe = &job->probe[i];
        const struct turn_probe_result *result = &job->result[i];
        bool ok = result->step == TURN_PROBE_DONE;

        if (ok)
            snprintf(why, sizeof why, "a packet came back in %.1f ms",
                     (double)result->round_trip / 1000);
        else
            turn_probe_explain(result, why, sizeof why);
        add(findings, ok || is_refusal(result), "TURN over %s at %s: %s",
            turn_probe_transport_name(probe->transport), addr_format(&probe->server, address), why);
    }
}

// ---- the end of a run

static void tell(struct selftest *st)
{
    const json_t *findings = json_object_get(st->last, "findings");
    char text[TEXT_MAX] = "";
    unsigned wrong = 0;

    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *finding = json_array_get(findings, i);

        if (json_is_true(json_object_get(finding, "ok")))
            continue;
        wrong++;
        if (!text[0])
            snprintf(text, sizeof text, "%s", json_string_value(json_object_get(finding, "text")));
    }
    counter_add(st->world.counters, COUNTER_SELFTEST_RUNS, 1);
    counter_set(st->world.counters, COUNTER_SELFTEST_OK, wrong == 0);
    counter_set(st->world.counters, COUNTER_SELFTEST_WRONG, wrong);
    if (wrong > 0 && (!st->told || strcmp(st->told, text) != 0))
        log_kind(LOG_SELFTEST, "the self-test has found %u things; the first: %s", wrong, text);
    free(st->told);
    st->told = strdup(text);
}

static void wait_for_next(struct selftest *st, time_t seconds)
{
    const struct timeval delay = {.tv_sec = seconds};

    evtimer_add(st->due, &delay);
}

static void finish(struct selftest *st)
{
    bool ok = true;
    time_t seconds = (time_t)(st->world.config->stats.selftest / USEC_PER_SEC);

    for (size_t i = 0; i < json_array_size(st->findings); i++)
        ok = ok && json_is_true(json_object_get(json_array_get(st->findings, i), "ok"));
    json_decref(st->last);
    st->last = json_pack("{s:b, s:o, s:o}", "ok", (int)ok, "at",
                         json_time(usec_now(), st->world.clock), "findings", st->findings);
    st->findings = NULL;
    tell(st);
    wait_for_next(st, seconds > LEAST_SECONDS ? seconds : LEAST_SECONDS);
}

// ---- the thread

static void job_clear(struct job *job)
{
    free(job->host);
    free(job->username);
    free(job->password);
    *job = (struct job){0};
}

static void *try_all(void *arg)
{
    struct selftest *st = arg;

    for (unsigned i = 0; i < st->job.probes && !atomic_load(&st->stop); i++)
        (void)turn_probe_run(&st->job.probe[i], &st->job.result[i]);
    event_active(st->tried, 0, 0);
    return NULL;
}

static void on_tried(evutil_socket_t fd, short what, void *arg)
{
    struct selftest *st = arg;

    (void)fd;
    (void)what;
    pthread_join(st->thread, NULL);
    st->running = false;
    judge_probes(&st->job, st->findings);
    job_clear(&st->job);
    finish(st);
}

// To the addresses that are bound: what a NAT does to packets from inside says nothing.
static void add_probe(struct selftest *st, unsigned family, enum turn_probe_transport transport,
                      unsigned port)
{
    struct job *job = &st->job;
    struct addr server = st->world.config->relay.address[family].addr;

    if (server.family == FAMILY_NONE || job->probes == PROBES_MAX)
        return;
    server.port = (uint16_t)port;
    job->probe[job->probes++] = (struct turn_probe){.server = server,
                                                    .transport = transport,
                                                    .name = job->host,
                                                    .username = job->username,
                                                    .password = job->password,
                                                    .patience = PATIENCE};
}

static char *copy_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? strdup(text) : NULL;
}

static int start_job(struct selftest *st, const json_t *facts)
{
    const struct config *config = st->world.config;
    const json_t *turn = json_object_get(facts, "turn");

    if (!json_is_object(turn))
        return -ENOENT;
    st->job.host = config->turn.host ? strdup(config->turn.host) : NULL;
    st->job.username = copy_of(turn, "username");
    st->job.password = copy_of(turn, "password");
    for (unsigned i = 0; i < 2 && st->job.username && st->job.password; i++) {
        add_probe(st, i, TURN_PROBE_UDP, config->turn.ports.item[0]);
        add_probe(st, i, TURN_PROBE_TCP, config->turn.ports.item[0]);
        if (json_is_true(json_object_get(turn, "tls")))
            add_probe(st, i, TURN_PROBE_TLS, config->turn.tls_ports.item[0]);
    }
    if (st->job.probes == 0 || pthread_create(&st->thread, NULL, try_all, st) != 0)
        return -ENOENT;
    st->running = true;
    return 0;
}

// ---- the beginning of a run

static void on_answers(void *ctx, json_t *answers)
{
    struct selftest *st = ctx;
    json_t *facts = st->world.facts(st->world.ctx);

    st->findings = json_array();
    selftest_judge(facts, answers, (double)time(NULL), st->findings);
    if (start_job(st, facts) < 0) {
        job_clear(&st->job);
        finish(st);
    }
    json_decref(facts);
    json_decref(answers);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    struct selftest *st = arg;

    (void)fd;
    (void)what;
    if (st->world.config->stats.selftest == 0 || // which may change
        st->world.busy(st->world.ctx) || questions_ask(st->world.questions, on_answers, st) < 0)
        wait_for_next(st, AGAIN_SECONDS);
}

// ---- life

int selftest_new(const struct selftest_world *world, struct selftest **ret_selftest)
{
    struct selftest *st = calloc(1, sizeof *st);

    if (!st)
        return -ENOMEM;
    st->world = *world;
    atomic_init(&st->stop, false);
    st->due = evtimer_new(world->base, on_due, st);
    st->tried = event_new(world->base, -1, EV_PERSIST, on_tried, st);
    if (!st->due || !st->tried) {
        selftest_free(st);
        return -ENOMEM;
    }
    wait_for_next(st, FIRST_SECONDS);
    *ret_selftest = st;
    return 0;
}

void selftest_free(struct selftest *st)
{
    if (!st)
        return;
    atomic_store(&st->stop, true);
    if (st->running)
        pthread_join(st->thread, NULL);
    if (st->world.questions)
        questions_cancel(st->world.questions, on_answers);
    if (st->due)
        event_free(st->due);
    if (st->tried)
        event_free(st->tried);
    job_clear(&st->job);
    json_decref(st->findings);
    json_decref(st->last);
    free(st->told);
    free(st);
}

json_t *selftest_json(void *selftest)
{
    struct selftest *st = selftest;

    return st && st->last ? json_incref(st->last) : NULL;
}
