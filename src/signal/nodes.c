// SPDX-License-Identifier: ISC
// Jingle Relay Nodes (XEP-0278): what a client is told of relays, the channel that it asks for, and
// TURN credentials in this dialect. Jitsi finds the component by its name in the server's list,
// asks it for services, and for a channel with each stream of each call (docs/INTEROP.md).
#include "services.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define EXPIRE_UNLIMITED (24 * 3600 * USEC_PER_SEC) // what a client is told when there is no limit

// ---- services

static int add_entry(struct xml *services, const char *name, const char *address,
                     const char *protocol, uint16_t port)
{
    struct xml *x = xml_add(services, name, NULL);

    if (!x || xml_set(x, "policy", "public") || xml_set(x, "address", address) ||
        xml_set(x, "protocol", protocol) || (port && xml_setf(x, "port", "%u", port)))
        return -ENOMEM;
    return 0;
}

// Section 6.2. There is no word for the TLS kinds of STUN and TURN.
static bool has_name_here(const struct signal_service *service)
{
    return strcmp(service->type, "stun") == 0 || strcmp(service->type, "turn") == 0;
}

int nodes_services(struct signal *signal, struct service_query *query, struct xml *reply)
{
    const struct signal_services *services = &signal->config.services;
    int rc = add_entry(reply, "relay", signal->config.domain, "udp", 0);

    (void)query;
    for (size_t i = 0; rc == 0 && i < services->count; i++) {
        const struct signal_service *s = &services->item[i];

        if (has_name_here(s))
            rc = add_entry(reply, s->type, s->host, s->transport, s->port);
    }
    return rc;
}

// ---- TURN credentials (section 4.5)

static const struct signal_service *turn_service(const struct signal_services *services,
                                                 const char *transport)
{
    for (size_t i = 0; i < services->count; i++) {
        const struct signal_service *s = &services->item[i];

        if (strcmp(s->type, "turn") == 0 && strcmp(s->transport, transport) == 0)
            return s;
    }
    return NULL;
}

int nodes_turn(struct signal *signal, struct service_query *query, struct xml *reply)
{
    const char *protocol = xml_attr(query->payload, "protocol");
    const struct signal_service *s =
        turn_service(&signal->config.services, protocol ? protocol : "udp");
    const char *open, *close;
    int rc;

    if (!s)
        return -ENOENT;
    rc = service_credential(signal, query);
    if (rc < 0)
        return rc;
    open = strchr(s->host, ':') ? "[" : ""; // RFC 7065 section 3.1: IPv6 literals
    close = *open ? "]" : "";
    if (xml_setf(reply, "ttl", "%" PRIu64, signal->config.services.lifetime / USEC_PER_SEC) ||
        xml_setf(reply, "uri", "turn:%s%s%s:%u?transport=%s", open, s->host, close, s->port,
                 s->transport) ||
        xml_set(reply, "username", query->credential.username) ||
        xml_set(reply, "password", query->credential.password))
        return -ENOMEM;
    return 0;
}

// ---- channels (section 4.4)

void nodes_channel(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *from = xml_attr(iq, "from");
    const char *protocol = xml_attr(xml_child(iq, "channel", NS_JINGLENODES_CHANNEL), "protocol");
    struct jid jid;

    if (jid_parse(from, &jid) < 0 || jid.local_len == 0 || !served(signal, from))
        reply_error_text(signal, iq, &condition_forbidden,
                         "channels are for users of the served domains only");
    else if (protocol && strcmp(protocol, "udp") != 0)
        reply_error_text(signal, iq, &condition_unsupported, "channels carry UDP only");
    else
        channel_open(signal, iq, now);
}

void nodes_failed(const struct channel *channel, const char *text)
{
    reply_error_text(channel->signal, channel->request, &condition_constraint, text);
}

// What a channel may always be silent for; one that was never used lasts longer (ring_timeout).
static usec_t expiry(const struct signal_config *config)
{
    if (config->calls.media_timeout)
        return config->path_silence + config->calls.media_timeout;
    return config->calls.duration ? config->calls.duration : EXPIRE_UNLIMITED;
}

void nodes_opened(const struct channel *channel)
{
    const struct signal_config *config = &channel->signal->config;
    uint64_t kbps = config->bytes_per_second * 8 / 1000, seconds = expiry(config) / USEC_PER_SEC;
    struct xml *reply = reply_new(channel->request, "result");
    struct xml *x = reply ? xml_add(reply, "channel", NS_JINGLENODES_CHANNEL) : NULL;
    char host[ADDR_TEXT_MAX];

    addr_format_ip(&channel->port[SIDE_INITIATOR], host);
    if (!x || xml_set(x, "component", "1") || xml_set(x, "id", channel->id) ||
        xml_set(x, "host", host) ||
        xml_setf(x, "localport", "%u", channel->port[SIDE_INITIATOR].port) ||
        xml_setf(x, "remoteport", "%u", channel->port[SIDE_RESPONDER].port) ||
        xml_set(x, "protocol", "udp") ||
        (config->bytes_per_second && xml_setf(x, "maxkbps", "%" PRIu64, kbps > 0 ? kbps : 1)) ||
        xml_setf(x, "expire", "%" PRIu64, seconds > 0 ? seconds : 1)) {
        xml_free(reply);
        return; // no memory: the client repeats itself, or does without
    }
    stanza_send(channel->signal, reply);
}
