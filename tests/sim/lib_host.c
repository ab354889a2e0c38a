// SPDX-License-Identifier: ISC
// See lib_host.h.
#include "sim/lib_host.h"

#include "codec/jingle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define PATIENCE (2 * USEC_PER_SEC)

struct held { // a request that waits for its turn, or for the relay
    STAILQ_ENTRY(held) link;
    struct host *host;
    struct xml *stanza; // owned; of the second time: what came back
    bool asked;
    unsigned times;
    unsigned id; // under which the relay was asked
    struct timer timer;
};

struct host {
    struct office *office;
    STAILQ_HEAD(, held) queue;
    unsigned ids;
};

struct host *host_new(struct office *o)
{
    struct host *host = calloc(1, sizeof *host);

    if (!host)
        abort();
    host->office = o;
    STAILQ_INIT(&host->queue);
    return host;
}

void host_free(struct host *host)
{
    if (host && !STAILQ_EMPTY(&host->queue))
        net_fail(host->office->net, "a stanza was lost in the server");
    free(host);
}

static bool same_pair(const struct xml *a, const struct xml *b)
{
    const char *from = xml_attr(a, "from"), *to = xml_attr(a, "to");

    return (strcmp(from, xml_attr(b, "from")) == 0 && strcmp(to, xml_attr(b, "to")) == 0) ||
           (strcmp(from, xml_attr(b, "to")) == 0 && strcmp(to, xml_attr(b, "from")) == 0);
}

static struct xml *element(struct xml *parent, const char *name, const char *ns)
{
    struct xml *x = parent ? xml_add(parent, name, ns) : xml_new(name, ns);

    if (!x)
        abort();
    return x;
}

static void set(struct xml *x, const char *name, const char *value)
{
    if (xml_set(x, name, value) < 0)
        abort();
}

static struct xml *clone(const struct xml *x)
{
    struct xml *copy = xml_clone(x);

    if (!copy)
        abort();
    return copy;
}

// ---- asking

static void work(struct host *host);

static void let_go(struct held *held)
{
    struct host *host = held->host;

    STAILQ_REMOVE(&host->queue, held, held, link);
    timer_cancel(&host->office->net->timers, &held->timer);
    xml_free(held->stanza);
    free(held);
    work(host);
}

static void patience_ended(struct timer *timer, void *ctx, usec_t now)
{
    struct held *held = container_of(timer, struct held, timer);

    (void)ctx;
    (void)now;
    office_deliver(held->host->office, clone(held->stanza));
    let_go(held);
}

static void ask(struct held *held)
{
    struct host *host = held->host;
    struct xml *iq = element(NULL, "iq", NS_CLIENT);
    char id[16];

    held->asked = true;
    held->id = ++host->ids;
    held->times++;
    snprintf(id, sizeof id, "h%u", held->id);
    set(iq, "type", "set");
    set(iq, "id", id);
    set(iq, "from", "example.org");
    set(iq, "to", "relay.example.org");
    xml_append(element(element(iq, "divert", NS_DIVERT), "forwarded", NS_FORWARD),
               clone(held->stanza));
    held->timer.fire = patience_ended;
    net_arm(host->office->net, &held->timer, host->office->net->now + PATIENCE);
    office_to_relay(host->office, iq);
}

// Of each two JIDs, the first in the queue is with the relay.
static void work(struct host *host)
{
    struct held *held, *before;

    STAILQ_FOREACH(held, &host->queue, link)
    {
        for (before = STAILQ_FIRST(&host->queue); before != held;
             before = STAILQ_NEXT(before, link)) {
            if (same_pair(before->stanza, held->stanza))
                break;
        }
        if (before == held && !held->asked)
            ask(held);
    }
}

void host_stanza(struct host *host, struct xml *stanza)
{
    const char *type = xml_attr(stanza, "type"), *id = xml_attr(stanza, "id");
    struct held *held;

    if (strcmp(stanza->name, "iq") == 0 && strcmp(type, "set") != 0 && id[0] == 'r') {
        xml_free(stanza); // it answers what only the relay has sent
        return;
    }
    if (strcmp(stanza->name, "iq") != 0 || !xml_child(stanza, "jingle", NS_JINGLE) ||
        strcmp(type, "set") != 0) {
        office_deliver(host->office, stanza);
        return;
    }
    held = calloc(1, sizeof *held);
    if (!held)
        abort();
    held->host = host;
    held->stanza = stanza;
    STAILQ_INSERT_TAIL(&host->queue, held, link);
    work(host);
}

// ---- answers

static struct held *find(struct host *host, const char *id)
{
    struct held *held;

    STAILQ_FOREACH(held, &host->queue, link)
    {
        if (held->asked && (unsigned)strtoul(id + 1, NULL, 10) == held->id)
            return held;
    }
    return NULL;
}

static void check(const struct held *held, const struct xml *stanza, bool first)
{
    struct net *net = held->host->office->net;

    if (!same_pair(held->stanza, stanza))
        net_fail(net, "what came back is between others");
    if (first && strcmp(xml_attr(held->stanza, "id"), xml_attr(stanza, "id")) != 0)
        net_fail(net, "what came back has another id");
}

static void send_on(struct held *held, const struct xml *divert)
{
    const struct xml *x = xml_child(divert, "forwarded", NS_FORWARD);
    bool first = true;

    for (; x; x = xml_next(x, "forwarded", NS_FORWARD), first = false) {
        struct xml *iq = xml_child(x, "iq", NS_CLIENT);

        check(held, iq, first);
        office_deliver(held->host->office, clone(iq));
    }
}

// Another host on the way diverts it, too.
static void divert_again(struct held *held, const struct xml *divert)
{
    struct xml *iq = xml_child(xml_child(divert, "forwarded", NS_FORWARD), "iq", NS_CLIENT);

    check(held, iq, true);
    xml_free(held->stanza);
    held->stanza = clone(iq);
    ask(held);
}

void host_answer(struct host *host, const struct xml *stanza)
{
    const struct xml *divert = xml_child(stanza, "divert", NS_DIVERT);
    struct held *held = find(host, xml_attr(stanza, "id"));
    const struct xml *forwarded = divert ? xml_child(divert, "forwarded", NS_FORWARD) : NULL;

    if (!divert)
        net_fail(host->office->net, "no answer to a diverted stanza, but an error");
    if (!held || office_random(host->office, 100) == 0)
        return; // late, or lost
    if (xml_child(divert, "pass", NS_DIVERT)) {
        office_deliver(host->office, clone(held->stanza));
    } else if (forwarded && !xml_child(divert, "answered", NS_DIVERT) && held->times == 1 &&
               !xml_next(forwarded, NULL, NULL) && office_random(host->office, 3) == 0) {
        divert_again(held, divert);
        return;
    } else {
        send_on(held, divert);
    }
    let_go(held);
}
