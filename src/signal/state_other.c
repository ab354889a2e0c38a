// SPDX-License-Identifier: ISC
// Proposals (XEP-0353), and requests whose answers are awaited, in a snapshot.
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- proposals

void proposal_save(const struct proposal *proposal, json_t *signal)
{
    json_t *object = state_new();

    state_put_text(object, "id", proposal->id);
    state_put_text(object, "initiator", proposal->initiator);
    state_put_text(object, "responder", proposal->responder);
    state_put_bool(object, "unused", proposal->unused);
    state_put_u64(object, "due", state_deadline(&proposal->timer));
    state_append(signal, "proposals", object);
}

int proposal_restore(const struct restore *restore, const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct signal *signal = restore->signal;
    struct state_texts texts = {&reader, 0};
    char *id = state_copy(&texts, "id", STATE_TEXT_MAX);
    char *initiator = state_jid(&texts, "initiator"), *responder = state_jid(&texts, "responder");
    usec_t due = state_put_off(restore, state_u64(&reader, "due", USEC_NEVER));
    bool unused = state_bool(&reader, "unused");
    struct proposal *proposal = NULL;
    int r = texts.error;

    if (r == 0 && (reader.wrong || !id || proposal_find(signal, id, initiator, responder)))
        r = -EBADMSG;
    if (r == 0) {
        proposal = proposal_new(signal, id, initiator, responder, due);
        r = proposal ? 0 : -ENOMEM;
    }
    if (proposal) {
        proposal->unused = unused;
        proposal_until(signal, proposal, due);
    }
    free(id);
    free(initiator);
    free(responder);
    return r;
}

// ---- requests

static const char *const kinds[] = {
    [PENDING_FORWARDED] = "forwarded", [PENDING_OWN] = "own",   [PENDING_DIALECT] = "dialect",
    [PENDING_ALIVE] = "alive",         [PENDING_PUSH] = "push",
};

void pending_save(const struct pending *pending, json_t *signal)
{
    json_t *object = state_new();

    state_put_text(object, "id", pending->id);
    state_put_text(object, "kind", kinds[pending->kind]);
    state_put_text(object, "from", pending->from);
    state_put_text(object, "reply_to", pending->reply_to);
    state_put_text(object, "reply_from", pending->reply_from);
    state_put_text(object, "reply_id", pending->reply_id);
    state_put_text(object, "action", jingle_action_name(pending->action));
    state_put_u64(object, "call", pending->call);
    state_put_u64(object, "side", pending->side);
    state_put_u64(object, "serial", pending->serial);
    state_put_u64(object, "due", state_deadline(&pending->timer));
    state_append(signal, "requests", object);
}

static int kind_named(const char *name, enum pending_kind *ret_kind)
{
    for (size_t i = 0; name && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i], name) == 0) {
            *ret_kind = (enum pending_kind)i;
            return 0;
        }
    }
    return -EBADMSG;
}

static int read_pending(struct pending *pending, struct state_reader *reader)
{
    struct state_texts texts = {reader, 0};
    int r = kind_named(state_text(reader, "kind", STATE_TEXT_MAX), &pending->kind);

    pending->from = state_jid(&texts, "from");
    if (pending->kind == PENDING_FORWARDED) {
        pending->reply_to = state_jid(&texts, "reply_to");
        pending->reply_from = state_jid(&texts, "reply_from");
        pending->reply_id = state_copy(&texts, "reply_id", STATE_TEXT_MAX);
    }
    pending->action = jingle_action(state_text(reader, "action", STATE_TEXT_MAX));
    pending->call = state_u64(reader, "call", UINT64_MAX >> 1);
    pending->side = (enum side)state_u64(reader, "side", SIDE_RESPONDER);
    pending->serial = (unsigned)state_u64(reader, "serial", UINT32_MAX);
    if (texts.error)
        return texts.error;
    return r < 0 || reader->wrong || (pending->kind == PENDING_FORWARDED && !pending->reply_id)
               ? -EBADMSG
               : 0;
}

int pending_restore(const struct restore *restore, const json_t *object)
{
    struct state_reader reader = state_read(object);
    usec_t due = state_put_off(restore, state_u64(&reader, "due", USEC_NEVER));
    struct pending *pending = calloc(1, sizeof *pending);
    const char *id = state_text(&reader, "id", sizeof pending->id - 1);
    int r;

    if (!pending)
        return -ENOMEM;
    pending->restored = true;
    r = read_pending(pending, &reader);
    if (r == 0 && (!id || !*id || due == 0))
        r = -EBADMSG;
    if (r == 0)
        r = pending_list(restore->signal, pending, id, due);
    if (r < 0)
        pending_free(restore->signal, pending);
    return r;
}
