// SPDX-License-Identifier: ISC
// What the files share that tell clients of STUN and TURN servers: services.c (who may ask, and the
// credential), extdisco.c (XEP-0215), jingleinfo.c, nodes.c (XEP-0278), delegation.c (XEP-0355),
// push.c.
#pragma once

#include "internal.h"
#include "turn/credential.h"

#define NS_EXTDISCO_1   "urn:xmpp:extdisco:1"
#define NS_EXTDISCO_2   "urn:xmpp:extdisco:2"
#define NS_JINGLEINFO   "google:jingleinfo"
#define NS_DELEGATION_1 "urn:xmpp:delegation:1"
#define NS_DELEGATION_2 "urn:xmpp:delegation:2"

struct service_query { // one question while it is answered
    usec_t now;
    enum counter door; // counts the credential
    const struct xml *payload;
    char user[JID_MAX]; // the bare JID of who asks
    int64_t expiry;     // seconds since 1970; 0: no credential was needed so far
    struct turn_credential credential;
};

// ---- services.c

// Is this namespace one that is answered here? While TURN is off, only that of relay nodes is.
bool service_namespace(const struct signal *signal, const char *ns);
// What answers this question, be it an error; NULL: no memory. 'now' and 'door' of the query are
// the caller's; afterwards 'expiry' tells whether a credential was given.
struct xml *service_answer(struct signal *signal, const struct xml *iq,
                           struct service_query *query);
bool service_needs_credential(const struct signal_service *service);
// Makes the credential of the query, if it has none. 0, -E2BIG (the user's name) or -ENOMEM.
int service_credential(struct signal *signal, struct service_query *query);
int services_copy(struct signal_services *to, const struct signal_services *from); // 0 or -ENOMEM
bool services_equal(const struct signal_services *a, const struct signal_services *b);
void services_free(struct signal_services *services); // also what a failed copy left

// ---- extdisco.c, jingleinfo.c, nodes.c: the element that answers; see service_rows

int extdisco_services(struct signal *signal, struct service_query *query, struct xml *reply);
int extdisco_credentials(struct signal *signal, struct service_query *query, struct xml *reply);
int jingleinfo_query(struct signal *signal, struct service_query *query, struct xml *reply);
int nodes_services(struct signal *signal, struct service_query *query, struct xml *reply);
int nodes_turn(struct signal *signal, struct service_query *query, struct xml *reply);
// One service below 'parent', complete. 'action' as XEP-0215 section 3.2 has it, or NULL.
int extdisco_add(struct signal *signal, struct service_query *query, struct xml *parent,
                 const struct signal_service *service, const char *action);
