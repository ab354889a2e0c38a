// SPDX-License-Identifier: ISC
// External service discovery (XEP-0215): the list of services, and credentials for some of them.
//
// Every entry is complete, and is the same in both answers: clients that miss an attribute drop the
// entry (Conversations and Dino want a transport, of STUN too), or the call (browsers refuse a TURN
// server without credentials). A STUN entry therefore has its transport, as the examples of the
// XEP have it; an application that makes a stun: URI of it must leave the transport out (RFC 7064).
#include "services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static int set_expiry(struct xml *x, int64_t expiry)
{
    char text[32];
    time_t time = (time_t)expiry;
    struct tm tm;

    // XEP-0082 section 3.2, in UTC.
    if (!gmtime_r(&time, &tm) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return -EINVAL;
    return xml_set(x, "expires", text);
}

static int set_credential(struct xml *x, const struct service_query *query)
{
    if (xml_set(x, "username", query->credential.username) ||
        xml_set(x, "password", query->credential.password) || xml_set(x, "restricted", "1"))
        return -ENOMEM;
    return set_expiry(x, query->expiry);
}

int extdisco_add(struct signal *signal, struct service_query *query, struct xml *parent,
                 const struct signal_service *service, const char *action)
{
    struct xml *x = xml_add(parent, "service", NULL);
    int rc;

    if (!x || xml_set(x, "action", action) || xml_set(x, "host", service->host) ||
        xml_setf(x, "port", "%u", service->port) || xml_set(x, "type", service->type) ||
        xml_set(x, "transport", service->transport))
        return -ENOMEM;
    if (!service_needs_credential(service))
        return 0;
    rc = service_credential(signal, query);
    return rc < 0 ? rc : set_credential(x, query);
}

int extdisco_services(struct signal *signal, struct service_query *query, struct xml *reply)
{
    const struct signal_services *services = &signal->config.services;
    const char *type = xml_attr(query->payload, "type");
    int rc = xml_set(reply, "type", type);

    for (size_t i = 0; rc == 0 && i < services->count; i++) {
        if (!type || strcmp(type, services->item[i].type) == 0)
            rc = extdisco_add(signal, query, reply, &services->item[i], NULL);
    }
    return rc;
}

// ---- credentials

// Section 3.3: host and type name a service; the port does where there are several. ejabberd and
// we take a transport for the same end.
static bool names(const struct xml *x, const struct signal_service *service)
{
    const char *host = xml_attr(x, "host"), *type = xml_attr(x, "type");
    const char *port = xml_attr(x, "port"), *transport = xml_attr(x, "transport");

    return strcasecmp(host, service->host) == 0 && strcmp(type, service->type) == 0 &&
           (!port || strtoul(port, NULL, 10) == service->port) &&
           (!transport || strcmp(transport, service->transport) == 0);
}

static bool asked(const struct service_query *query, const struct signal_service *service)
{
    const struct xml *x = xml_child(query->payload, "service", NULL);

    while (x && !names(x, service))
        x = xml_next(x, "service", NULL);
    return x != NULL;
}

int extdisco_credentials(struct signal *signal, struct service_query *query, struct xml *reply)
{
    const struct signal_services *services = &signal->config.services;
    const struct xml *x = xml_child(query->payload, "service", NULL);
    int rc = 0;

    if (!x)
        return -EINVAL;
    for (; x; x = xml_next(x, "service", NULL)) {
        if (!xml_attr(x, "host") || !xml_attr(x, "type"))
            return -EINVAL;
    }
    // Every service once, however often it is asked for: the answer is no longer than the list.
    for (size_t i = 0; rc == 0 && i < services->count; i++) {
        if (asked(query, &services->item[i]))
            rc = extdisco_add(signal, query, reply, &services->item[i], NULL);
    }
    return rc == 0 && !reply->first ? -ENOENT : rc;
}
