// SPDX-License-Identifier: ISC
// What the files share that write a snapshot of the signalling and read it (state*.c). Restoring
// gives no orders and sends nothing: the relay may not be there yet. A restored thing that makes no
// sense leaves no trace.
#pragma once

#include "codec/state.h"
#include "internal.h"

#define STATE_TEXT_MAX (1 << 22) // bytes of what clients name: as much as a stanza may have

// Every reader of an object below returns 0, -EBADMSG (it makes no sense) or -ENOMEM.
struct restore {
    struct signal *signal;
    usec_t pause; // for so long nobody was there
};

usec_t state_deadline(const struct timer *timer); // 0: not armed
// A deadline that the pause has put off; 0 stays.
usec_t state_put_off(const struct restore *restore, usec_t at);

// Reads texts one after the other into copies that the caller owns, NULL for what is missing, and
// remembers the first thing that went wrong.
struct state_texts {
    struct state_reader *reader;
    int error; // 0, -EBADMSG, -ENOMEM
};

char *state_copy(struct state_texts *texts, const char *key, size_t max);
char *state_need(struct state_texts *texts, const char *key, size_t max); // not empty
// A full JID.
char *state_jid(struct state_texts *texts, const char *key);

// As text. NULL: left out.
void state_put_xml(json_t *object, const char *key, const struct xml *x);
// *ret_x is NULL if it is missing.
int state_xml(struct state_reader *reader, const char *key, struct xml **ret_x);
// An IQ that can be answered: with sender, receiver and id. NULL is none.
bool state_is_request(const struct xml *x);

// ---- state_session.c

void session_save(const struct session *session, json_t *signal);
int session_restore(const struct restore *restore, const json_t *object);

// ---- state_contents.c: contents, transports, paths

void contents_save(const struct session *session, json_t *object);
int contents_restore(struct session *session, struct state_reader *reader);

// ---- state_channel.c

void channel_save(const struct channel *channel, json_t *signal);
int channel_restore(const struct restore *restore, const json_t *object);

// ---- state_view.c: the relay's last figures of paths that were given back

void views_save(const struct path_view *view, unsigned views, json_t *object);
// At most 'max' of them, which the caller frees; they are for people, so what makes no sense is
// left out. -ENOMEM or 0.
int views_restore(struct state_reader *reader, unsigned max, struct path_view **ret_view,
                  unsigned *ret_views);

// ---- state_other.c: proposals, and requests whose answers are awaited

void proposal_save(const struct proposal *proposal, json_t *signal);
int proposal_restore(const struct restore *restore, const json_t *object);
void pending_save(const struct pending *pending, json_t *signal);
int pending_restore(const struct restore *restore, const json_t *object);

// ---- ask.c: what clients have said of themselves

void dialects_save(const struct signal *signal, json_t *state);
int dialect_restore(const struct restore *restore, const json_t *object);

// ---- push.c

void listeners_save(const struct signal *signal, json_t *state);
int listener_restore(const struct restore *restore, const json_t *object);
