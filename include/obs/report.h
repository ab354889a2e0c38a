// SPDX-License-Identifier: ISC
// What is known of one call, gathered for people: the signalling's part, borrowed for the length
// of a call of a function, and the relay's part, a view per path. Rendered by obs/json.h.
#pragma once

#include "relay/calls.h"
#include "relay/relay.h"

#define REPORT_CANDIDATES_MAX 16

struct candidate_report { // as a client wrote it
    char type[8];
    char protocol[8];
    char address[64]; // "192.0.2.1:5000", or a name
};

struct content_report {
    const char *name;
    const char *media;     // "audio", "video", or the description's namespace
    const char *transport; // namespace
    bool accepted;
    bool replaced;    // a transport-replace waits for its answer
    uint64_t path[2]; // per component; 0: none
    const struct candidate_report *candidates[SIDE_COUNT];
    unsigned candidate_count[SIDE_COUNT];
};

struct call_report {
    uint64_t id;
    const char *sid;  // of a channel: its id
    const char *door; // "addressed", "channel", "diverted"
    enum call_state state;
    const char *jid[SIDE_COUNT];                 // real full JIDs; "unknown": nobody has said it
    const char *proxy[SIDE_COUNT];               // what the other side sees
    const char *end_reason;                      // NULL while it runs
    usec_t opened, accepted, first_media, ended; // 0: not yet
    const struct content_report *content;
    unsigned contents;
    const struct path_view *view; // in any order
    unsigned views;
};

enum call_verdict {
    VERDICT_CALL_SETUP, // not answered yet
    VERDICT_CALL_CARRIED,
    VERDICT_CALL_LEFT,               // carried at first, then nothing passed any more
    VERDICT_CALL_DIRECT,             // the direct path won
    VERDICT_CALL_NO_RELAY,           // nobody reached the relay: a direct path, or both are cut off
    VERDICT_CALL_ONE_SIDE_INITIATOR, // only the initiator reached the relay
    VERDICT_CALL_ONE_SIDE_RESPONDER,
    VERDICT_CALL_NO_MEDIA_INITIATOR, // no media from the initiator
    VERDICT_CALL_NO_MEDIA_RESPONDER,
    VERDICT_CALL_CONNECTED, // both reached the relay and each other, no media yet
    VERDICT_CALL_REFUSED,   // ended before it was accepted
    VERDICT_CALL_COUNT,
};

enum call_verdict call_verdict(const struct call_report *report, usec_t now);
const char *call_verdict_text(enum call_verdict verdict); // in plain words
