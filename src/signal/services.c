// SPDX-License-Identifier: ISC
// Who may ask for STUN and TURN servers, and what they are given. The questions are XEP-0215's (two
// versions), google:jingleinfo's and XEP-0278's, one row each; they come to the component itself
// or, delegated (delegation.c), to a server that hands them on. Either way one function answers,
// and every credential that leaves is made here, in the name of the bare JID that asked: TURN's
// quotas and logs then have that name. Nothing is kept of a question.
#include "services.h"

#include "base/log.h"
#include "base/mask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct service_row {
    const char *name, *ns;
    // Fills the element that answers. 0, -ENOENT (no such service), -EINVAL (malformed), -E2BIG
    // (the name is too long for a credential) or -ENOMEM.
    int (*answer)(struct signal *signal, struct service_query *query, struct xml *reply);
    bool without_turn; // there is something to tell while TURN is off
} service_rows[] = {
    {"services", NS_EXTDISCO_2, extdisco_services, false},
    {"services", NS_EXTDISCO_1, extdisco_services, false},
    {"credentials", NS_EXTDISCO_2, extdisco_credentials, false},
    {"credentials", NS_EXTDISCO_1, extdisco_credentials, false},
    {"query", NS_JINGLEINFO, jingleinfo_query, false},
    {"services", NS_JINGLENODES, nodes_services, true},
    {"turn", NS_JINGLENODES_TURN, nodes_turn, false},
};

bool service_namespace(const struct signal *signal, const char *ns)
{
    for (size_t i = 0; i < sizeof service_rows / sizeof service_rows[0]; i++) {
        if (strcmp(service_rows[i].ns, ns) == 0)
            return service_rows[i].without_turn || signal->config.services.count > 0;
    }
    return false;
}

static const struct service_row *find_row(const struct xml *iq, const struct xml **ret_payload)
{
    for (size_t i = 0; i < sizeof service_rows / sizeof service_rows[0]; i++) {
        *ret_payload = xml_child(iq, service_rows[i].name, service_rows[i].ns);
        if (*ret_payload)
            return &service_rows[i];
    }
    return NULL;
}

// ---- the credential

bool service_needs_credential(const struct signal_service *service)
{
    return strcmp(service->type, "turn") == 0 || strcmp(service->type, "turns") == 0;
}

int service_credential(struct signal *signal, struct service_query *query)
{
    const struct signal_services *services = &signal->config.services;
    int64_t wall = (int64_t)query->now + signal->wall_minus_now;
    struct mask mask;
    int rc;

    if (query->expiry)
        return 0; // one for all entries of an answer
    query->expiry = (wall + (int64_t)services->lifetime) / (int64_t)USEC_PER_SEC;
    rc = turn_credential_make(services->secret, query->user, query->expiry, &query->credential);
    if (rc < 0) {
        query->expiry = 0;
        return rc == -EINVAL ? -E2BIG : rc;
    }
    counter_add(signal->counters, query->door, 1);
    log_debug("credentials for %s, until %" PRId64, mask_user(query->user, &mask), query->expiry);
    return 0;
}

// ---- answers

static struct xml *refusal(struct signal *signal, const struct xml *iq, int error)
{
    static const struct condition too_long = {"modify", "not-acceptable", NULL, NULL};

    switch (error) {
    case -ENOENT:
        return error_new(signal, iq, &condition_not_found, NULL);
    case -EINVAL:
        return error_new(signal, iq, &condition_bad_request, "a service has a host and a type");
    case -E2BIG:
        return error_new(signal, iq, &too_long, "this JID does not fit into a TURN username");
    default:
        return error_new(signal, iq, &condition_constraint, NULL);
    }
}

static bool may_ask(struct signal *signal, const struct xml *iq, char user[JID_MAX])
{
    const char *from = xml_attr(iq, "from");
    struct jid jid;

    if (jid_parse(from, &jid) < 0 || jid.local_len == 0 || !served(signal, from)) {
        counter_add(signal->counters, COUNTER_CREDENTIALS_STRANGER, 1);
        return false;
    }
    memcpy(user, from, jid.bare_len);
    user[jid.bare_len] = 0;
    return true;
}

struct xml *service_answer(struct signal *signal, const struct xml *iq, struct service_query *query)
{
    const struct service_row *row = find_row(iq, &query->payload);
    struct xml *reply, *payload;
    int rc = -ENOMEM;

    if (!row || !service_namespace(signal, row->ns))
        return error_new(signal, iq, &condition_unavailable, NULL);
    if (!may_ask(signal, iq, query->user))
        return error_new(signal, iq, &condition_forbidden,
                         "only users of the served domains may ask for this");
    reply = reply_new(iq, "result");
    payload = reply ? xml_add(reply, row->name, row->ns) : NULL;
    if (payload)
        rc = row->answer(signal, query, payload);
    if (rc == 0)
        return reply;
    xml_free(reply);
    return refusal(signal, iq, rc);
}

void service_iq(struct signal *signal, const struct xml *iq, usec_t now)
{
    struct service_query query = {.now = now, .door = COUNTER_CREDENTIALS_COMPONENT};

    stanza_send(signal, service_answer(signal, iq, &query));
    if (query.expiry && xml_is(query.payload, "services", NULL))
        push_asked(signal, iq, query.payload, now);
}

// ---- configuration

void services_free(struct signal_services *services)
{
    struct signal_service *item = (void *)(uintptr_t)services->item;

    for (size_t i = 0; item && i < services->count; i++) {
        free((void *)(uintptr_t)item[i].type);
        free((void *)(uintptr_t)item[i].transport);
        free((void *)(uintptr_t)item[i].host);
    }
    free(item);
    free((void *)(uintptr_t)services->secret);
    *services = (struct signal_services){0};
}

bool services_equal(const struct signal_services *a, const struct signal_services *b)
{
    bool equal = a->count == b->count && strcmp(a->secret, b->secret) == 0;

    for (size_t i = 0; equal && i < a->count; i++) {
        const struct signal_service *x = &a->item[i], *y = &b->item[i];

        equal = strcmp(x->type, y->type) == 0 && strcmp(x->transport, y->transport) == 0 &&
                strcmp(x->host, y->host) == 0 && x->port == y->port;
    }
    return equal;
}

int services_copy(struct signal_services *to, const struct signal_services *from)
{
    struct signal_service *item = calloc(from->count + 1, sizeof *item);

    *to = (struct signal_services){item, 0, NULL, from->lifetime};
    to->secret = strdup(from->secret ? from->secret : "");
    if (!item || !to->secret)
        return -ENOMEM;
    for (to->count = 0; to->count < from->count; to->count++) {
        struct signal_service *copy = &item[to->count];
        const struct signal_service *original = &from->item[to->count];

        copy->type = strdup(original->type);
        copy->transport = strdup(original->transport);
        copy->host = strdup(original->host);
        copy->port = original->port;
        if (copy->type && copy->transport && copy->host)
            continue;
        to->count++; // what there is of it is freed with the rest
        return -ENOMEM;
    }
    return 0;
}
