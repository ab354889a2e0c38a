// SPDX-License-Identifier: ISC
// The diverted door (docs/DIVERT.md): a server hands over each Jingle request between two users
// and sends on what comes back. Here is its envelope: who may hand over what, and the three answers
// (send on, pass, answered). What becomes of the stanza inside is the matter of exchange.c.
//
// Nothing that the relay lacks may end a call: whatever it cannot take passes as it was. But under
// the policy that hides addresses, what tells one is answered with the error instead.
#include "additions.h"
#include "internal.h"

#include "base/log_kind.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// ---- answers

static void finish(struct signal *signal, const struct waiting *w, struct xml *answer,
                   enum counter result, usec_t now)
{
    counter_add(signal->counters, result, 1);
    histogram_add(&signal->divert_times, now - w->since);
    stanza_send(signal, answer);
}

// The server's answer; *ret_divert is the element in it.
static struct xml *answer_new(const struct waiting *w, struct xml **ret_divert)
{
    struct xml *answer = reply_new(w->envelope, "result");

    *ret_divert = answer ? xml_add(answer, "divert", NS_DIVERT) : NULL;
    if (!*ret_divert) {
        xml_free(answer);
        return NULL;
    }
    return answer;
}

// 'stanza' is taken.
static int wrap(struct xml *divert, struct xml *stanza)
{
    struct xml *forwarded = xml_add(divert, "forwarded", NS_FORWARD);

    if (!forwarded) {
        xml_free(stanza);
        return -1;
    }
    xml_append(forwarded, stanza);
    return 0;
}

static void pass(struct signal *signal, const struct waiting *w, enum counter reason, usec_t now)
{
    struct xml *divert, *answer = answer_new(w, &divert);

    if (answer && !xml_add(divert, "pass", NULL)) {
        xml_free(answer);
        answer = NULL;
    }
    finish(signal, w, answer, reason, now);
}

// Ids of the relay's own: the clients answer under them, and the server drops the answers.
static int wrap_rest(struct signal *signal, struct xml *divert, struct xml *rest)
{
    struct xml *iq;
    uint64_t random;
    int r = 0;

    while (rest && r == 0 && (iq = xml_child(rest, NULL, NULL))) {
        signal->io.random(signal->io.ctx, &random, sizeof random);
        r = xml_setf(iq, "id", "r%016" PRIx64, random);
        if (r < 0)
            break;
        xml_detach(iq);
        r = wrap(divert, iq);
    }
    xml_free(rest);
    return r;
}

// 'copy' in place of the original, or what that lacks of it; taken.
static int put(const struct waiting *w, struct xml *divert, struct xml *copy, bool alone)
{
    int r;

    if (!alone || !xml_attr(w->envelope, "additions") || !additions_suffice(w->stanza, copy))
        return wrap(divert, copy);
    r = additions_move(w->stanza, copy, divert);
    xml_free(copy);
    return r;
}

void divert_send_on(struct signal *signal, const struct waiting *w, struct xml *copy,
                    struct xml *rest, usec_t now)
{
    struct xml *divert, *answer;

    if (copy && !rest && xml_equal(copy, w->stanza)) {
        xml_free(copy);
        pass(signal, w, COUNTER_DIVERT_PASSED_NOTHING_TO_ADD, now);
        return;
    }
    answer = answer_new(w, &divert);
    if (!copy || !answer || put(w, divert, copy, !rest) < 0) {
        xml_free(answer ? NULL : copy);
        xml_free(rest);
        xml_free(answer);
        answer = NULL;
    } else if (wrap_rest(signal, divert, rest) < 0) {
        log_kind(LOG_NO_MEMORY, "memory is exhausted: a client does not get all candidates");
    }
    finish(signal, w, answer, COUNTER_DIVERT_SENT_ON, now);
}

void divert_answer(struct signal *signal, const struct waiting *w, struct xml *reply, usec_t now)
{
    struct xml *divert, *answer = reply ? answer_new(w, &divert) : NULL;

    if (!answer || !xml_add(divert, "answered", NULL)) {
        xml_free(reply);
        xml_free(answer);
        answer = NULL;
    } else if (wrap(divert, reply) < 0) {
        xml_free(answer);
        answer = NULL;
    }
    finish(signal, w, answer, COUNTER_DIVERT_ANSWERED, now);
}

static bool tells_address(const struct xml *x)
{
    const struct xml *child = xml_child(x, NULL, NULL);

    while (child && !jingle_tells_address(child) && !tells_address(child))
        child = xml_next(child, NULL, NULL);
    return child != NULL;
}

void divert_refuse(struct signal *signal, const struct waiting *w, const struct refusal *refusal,
                   usec_t now)
{
    if (signal->config.policy == POLICY_RELAY_ONLY && tells_address(w->stanza))
        divert_answer(signal, w, error_new(signal, w->stanza, refusal->condition, refusal->text),
                      now);
    else
        pass(signal, w, refusal->passed, now);
}

// ---- requests

// A user's full JID that is none of ours.
static bool is_party(const struct signal *signal, const char *jid)
{
    struct jid parts;

    return jid_parse(jid, &parts) == 0 && parts.local_len > 0 && parts.resource_len > 0 &&
           !is_ours(signal, jid);
}

static bool may_speak(struct signal *signal, const struct xml *iq)
{
    if (is_server(signal, xml_attr(iq, "from")))
        return true;
    counter_add(signal->counters, COUNTER_DIVERT_FORBIDDEN, 1);
    reply_error(signal, iq, &condition_forbidden);
    return false;
}

// Is this a request between two users, one of whom is the server's own?
static bool may_divert(const struct signal *signal, const char *server, const struct xml *inner)
{
    const char *from = xml_attr(inner, "from"), *to = xml_attr(inner, "to");

    return is_party(signal, from) && is_party(signal, to) &&
           (jid_domain_is(from, server) || jid_domain_is(to, server));
}

static bool is_request(const struct xml *inner)
{
    const char *type = inner ? xml_attr(inner, "type") : NULL;

    return type && strcmp(type, "set") == 0 && xml_attr(inner, "id");
}

// The request without what is in it, but with the attribute 'additions' of its element.
static struct xml *envelope_new(const struct xml *iq)
{
    struct xml *envelope = xml_new("iq", NS_CLIENT);
    const char *additions = xml_attr(xml_child(iq, "divert", NS_DIVERT), "additions");

    if (!envelope || xml_set(envelope, "from", xml_attr(iq, "from")) ||
        xml_set(envelope, "to", xml_attr(iq, "to")) ||
        xml_set(envelope, "id", xml_attr(iq, "id")) || xml_set(envelope, "additions", additions)) {
        xml_free(envelope);
        return NULL;
    }
    return envelope;
}

void divert_iq(struct signal *signal, const struct xml *iq, usec_t now)
{
    static const struct refusal no_jingle = {&condition_unsupported, NULL,
                                             COUNTER_DIVERT_PASSED_TRANSPORT};
    const struct xml *divert = xml_child(iq, "divert", NS_DIVERT);
    const struct xml *forwarded = xml_child(divert, "forwarded", NS_FORWARD);
    struct xml *inner = forwarded ? xml_child(forwarded, "iq", NS_CLIENT) : NULL;
    struct waiting w = {.stanza = inner, .since = now};

    if (!may_speak(signal, iq))
        return;
    if (!is_request(inner)) {
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
        reply_error_text(signal, iq, &condition_bad_request,
                         "an IQ of type set and with an id is diverted");
        return;
    }
    if (!may_divert(signal, xml_attr(iq, "from"), inner)) {
        counter_add(signal->counters, COUNTER_DIVERT_FORBIDDEN, 1);
        reply_error_text(signal, iq, &condition_forbidden,
                         "both are full JIDs, one of them the server's, none the component's");
        return;
    }
    w.envelope = envelope_new(iq);
    if (!w.envelope)
        reply_error(signal, iq, &condition_constraint);
    else if (jingle_element(inner) || jingle_google_session(inner))
        session_diverted(signal, &w, now);
    else
        divert_refuse(signal, &w, &no_jingle, now);
    xml_free(w.envelope);
    xml_free(w.jingle);
}

void divert_gone(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *jid = xml_attr(xml_child(iq, "gone", NS_DIVERT), "jid");
    struct map_node *node, *next;

    if (!may_speak(signal, iq))
        return;
    if (!jid || !is_party(signal, jid) || !jid_domain_is(jid, xml_attr(iq, "from"))) {
        reply_error_text(signal, iq, &condition_bad_request,
                         "a full JID of the server's is needed");
        return;
    }
    for (node = map_each(&signal->sessions, NULL); node; node = next) {
        struct session *session = container_of(node, struct session, node);

        next = map_each(&signal->sessions, node);
        if (session->diverted && (jid_equal(session->party[SIDE_INITIATOR].jid, jid) ||
                                  jid_equal(session->party[SIDE_RESPONDER].jid, jid)))
            session_end(session, "gone", now);
    }
    dialect_forget(signal, jid);
    reply_result(signal, iq);
}
