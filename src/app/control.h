// SPDX-License-Identifier: ISC
// The control socket: a unix stream socket on which whoever may open it asks for verbs (verbs.h).
//
// A request is one JSON object on a line, its answer another:
//     {"verb": "call", "args": {"id": "00c0ffee"}}
//     {"ok": true, "result": ...}    or    {"ok": false, "error": "what to do about it"}
// Answers come in the order of their requests; one request of a connection is worked on at a time.
// What breaks the limits is told so and closed.
#pragma once

#include "verbs.h"

#include "base/counter.h"

#include <event2/event.h>

#define CONTROL_DEFAULT_PATH "/run/jingle-relayd/control"

enum {
    CONTROL_CONNECTIONS_MAX = 32,
    CONTROL_LINE_MAX = 4096,   // bytes of a request, with its end
    CONTROL_IDLE_SECONDS = 60, // for a whole request, from the end of the answer before it
    CONTROL_WRITE_SECONDS = 30 // for a whole answer to be read
};

struct control;

// Opens it with mode 0660, in place of a socket at which nobody listens any more. The last folder
// of the path is made if it is missing. Returns 0 or -errno (-EADDRINUSE: another daemon has it).
int control_new(struct event_base *base, const char *path, struct verbs *verbs,
                struct counters *counters, struct control **ret_control);
// Closes everything; answers that are owed are not given. After the verbs. Removes the socket
// unless it is another's by now. NULL is fine.
void control_free(struct control *control);
