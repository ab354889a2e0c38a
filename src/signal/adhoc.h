// SPDX-License-Identifier: ISC
// Commands of administrators over XMPP (XEP-0050), and the data forms (XEP-0004) in which they are
// asked and answered. Only the signalling's own files include this.
#pragma once

#include "internal.h"

#define NS_COMMANDS "http://jabber.org/protocol/commands"
#define NS_DATA     "jabber:x:data"

enum {
    ADHOC_SESSIONS_MAX = 32,     // in all
    ADHOC_SESSIONS_PER_JID = 8,  // of one client
    ADHOC_VALUES_MAX = 600,      // in an answer: what is more is left out, and that is said
    ADHOC_BYTES_MAX = 384 << 10, // likewise: Prosody takes no more than 512 KiB of a component
    ADHOC_VALUE_MAX = 1024,      // bytes of a value that a client sends
    ADHOC_LINE_MAX = 2048,       // bytes of a line that is shown
    ADHOC_FORM_SECONDS = 600,    // for a form to be filled in
    ADHOC_ANSWER_SECONDS = 30    // for a verb to answer
};

// ---- adhoc.c

// A client of a served domain whose bare JID is in the list of administrators.
bool adhoc_is_admin(const struct signal *signal, const char *jid);
void adhoc_command(struct signal *signal, const struct xml *iq, usec_t now);
void adhoc_free_all(struct signal *signal);

// ---- adhoc_disco.c

// Does this node belong to commands?
bool adhoc_has_node(const struct signal *signal, const char *node);
void adhoc_disco_info(struct signal *signal, const struct xml *iq, const char *node);
void adhoc_disco_items(struct signal *signal, const struct xml *iq);
// Contact data (XEP-0157) and figures, for everybody, into what the component says of itself. 0 or
// -ENOMEM.
int adhoc_add_service_info(struct signal *signal, struct xml *query, usec_t now);

// ---- adhoc_form.c: 0 or -ENOMEM, but for the second

int adhoc_add_question(struct xml *command, const struct signal_verb *verb);
// What a form says about the arguments of the verb, as an object of texts. -EINVAL: it is no such
// form, or a value is missing.
int adhoc_read(const struct xml *form, const struct signal_verb *verb, json_t **ret_arguments);
int adhoc_add_result(struct xml *command, const struct signal_verb *verb, const json_t *result);
int adhoc_add_note(struct xml *command, const char *type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// A field of a form, with one value. NULL type or label: without.
int adhoc_add_field(struct xml *form, const char *var, const char *type, const char *label,
                    const char *value);
struct xml *adhoc_add_form(struct xml *parent, const char *type); // NULL: no memory
