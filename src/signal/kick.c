// SPDX-License-Identifier: ISC
// An administrator ends calls.
#include "internal.h"

#include <string.h>
#include <strings.h>

bool signal_kick_call(struct signal *signal, uint64_t call, const char *reason, usec_t now)
{
    struct channel *channel = channel_by_id(signal, call);
    struct session *session = session_by_id(signal, call);

    if (session && session->call.state != CALL_ENDED)
        session_terminate(session, reason, now);
    else if (channel && channel->call.state != CALL_ENDED)
        channel_end(channel, reason, now);
    else
        return false;
    return true;
}

// The server has made the letters of its users small; whoever types one here may not.
bool jid_is_of(const char *jid, const char *user)
{
    struct jid a, b;

    if (jid_parse(jid, &a) < 0 || jid_parse(user, &b) < 0)
        return false;
    return a.bare_len == b.bare_len && strncasecmp(jid, user, a.bare_len) == 0 &&
           (b.resource_len == 0 || (a.resource_len == b.resource_len &&
                                    memcmp(a.resource, b.resource, a.resource_len) == 0));
}

unsigned signal_kick_user(struct signal *signal, const char *user, const char *reason, usec_t now)
{
    struct map_node *node, *next;
    unsigned ended = 0;

    for (node = map_each(&signal->sessions, NULL); node; node = next) {
        struct session *session = container_of(node, struct session, node);

        next = map_each(&signal->sessions, node);
        if (!jid_is_of(session->party[SIDE_INITIATOR].jid, user) &&
            !jid_is_of(session->party[SIDE_RESPONDER].jid, user))
            continue;
        session_terminate(session, reason, now);
        ended++;
    }
    for (node = map_each(&signal->channels, NULL); node; node = map_each(&signal->channels, node)) {
        struct channel *channel = container_of(node, struct channel, node);

        if (channel->call.state == CALL_ENDED || !jid_is_of(channel->requester, user))
            continue;
        channel_end(channel, reason, now);
        ended++;
    }
    return ended + echo_end(signal, user, reason, now);
}
