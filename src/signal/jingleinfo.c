// SPDX-License-Identifier: ISC
// google:jingleinfo: what libjingle, Gabble and Pidgin ask for instead of XEP-0215. STUN servers,
// and relays with a token. Their clients exchange the token at the relay's web server for what
// Google's own relay protocol needs; the token here is a TURN credential ("user:password" in
// base64), so that whatever answers there can check it with the shared secret alone.
//
// The answer must come in the name of the user's bare JID or of his server, or clients drop it: so
// this is of use by delegation. For the same reason nothing is pushed from here.
#include "services.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_TEXT_MAX = TURN_USERNAME_MAX + TURN_REST_PASSWORD_SIZE };

static int add_text(struct xml *parent, const char *name, const char *text)
{
    struct xml *x = xml_add(parent, name, NULL);

    return x ? xml_add_text(x, text, strlen(text)) : -ENOMEM;
}

static int add_token(struct xml *relay, const struct turn_credential *credential)
{
    char text[TOKEN_TEXT_MAX];
    char token[(TOKEN_TEXT_MAX + 2) / 3 * 4 + 1];
    int len = snprintf(text, sizeof text, "%s:%s", credential->username, credential->password);

    EVP_EncodeBlock((unsigned char *)token, (const unsigned char *)text, len);
    return add_text(relay, "token", token);
}

static struct xml *find_server(struct xml *list, const char *host)
{
    struct xml *x = xml_child(list, "server", NULL);

    while (x && strcmp(xml_attr(x, "host"), host) != 0)
        x = xml_next(x, "server", NULL);
    return x;
}

// One element per host, with a port for every transport: of several, the most welcome.
static int add_server(struct xml *list, const struct signal_service *service)
{
    struct xml *x = find_server(list, service->host);

    if (!x) {
        x = xml_add(list, "server", NULL);
        if (!x || xml_set(x, "host", service->host))
            return -ENOMEM;
    }
    return xml_attr(x, service->transport) ? 0
                                           : xml_setf(x, service->transport, "%u", service->port);
}

static int add_servers(const struct signal *signal, struct xml *list, const char *type,
                       const char *transport)
{
    const struct signal_services *services = &signal->config.services;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < services->count; i++) {
        const struct signal_service *service = &services->item[i];

        if (strcmp(service->type, type) == 0 &&
            (!transport || strcmp(service->transport, transport) == 0))
            rc = add_server(list, service);
    }
    return rc;
}

// The "tcpssl" of these clients is no TLS, so no turns service is told them.
int jingleinfo_query(struct signal *signal, struct service_query *query, struct xml *reply)
{
    struct xml *stun = xml_add(reply, "stun", NULL), *relay = xml_add(reply, "relay", NULL);
    int rc = stun && relay ? add_servers(signal, stun, "stun", "udp") : -ENOMEM;

    if (rc == 0)
        rc = service_credential(signal, query);
    if (rc == 0)
        rc = add_token(relay, &query->credential);
    return rc == 0 ? add_servers(signal, relay, "turn", NULL) : rc;
}
