// SPDX-License-Identifier: ISC
// What is known of one call, gathered for people: the signalling's part, borrowed for the length
// of a call of a function, and the relay's part, a view per path. Rendered by obs/json.h.
#pragma once

#include "codec/jingle.h"
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

// What happened to a call, one after the other: what was said, and what was seen of packets.
enum call_step_kind {
    STEP_STANZA,   // passed on; by 'action'
    STEP_ASKED,    // a client asked for a channel (XEP-0278)
    STEP_ANSWERED, // and was told its ports
    STEP_PORTS,    // the relay has opened what a stanza waited for
    STEP_REFUSED,  // a stanza was not passed on, or not as it is to be
    STEP_CHECK,    // the first authentic check of a side
    STEP_SELECTED, // the first address that the relay sends to
    STEP_MOVED,    // another one
    STEP_MEDIA,    // the first packet from a side, or the first after a silence
    STEP_SILENT,   // a path carried nothing for a while
    STEP_FAILED,   // a path could not be opened
    STEP_RETURNED, // the ports were given back: the call needs no relay
    STEP_ENDED,
    STEP_KINDS,
};

struct call_step { // a call has a dozen: each byte counts
    usec_t at;
    uint64_t path;    // 0: it is about none
    struct addr addr; // selected, moved
    uint8_t times;    // the same in a row, as many as fit: 'at' is the first time
    uint8_t kind;     // enum call_step_kind
    uint8_t side;     // enum side: who did it; SIDE_COUNT: the relay
    uint8_t action;   // enum jingle_action, of a stanza
};

#define CALL_STEPS_MAX 48 // the first ones, and the end

struct call_steps {         // zeroed memory is none
    struct call_step *item; // owned
    unsigned count, size;
    unsigned left_out; // for which there was no room
};

void call_steps_add(struct call_steps *steps, const struct call_step *step);
void call_steps_free(struct call_steps *steps);
const char *call_step_name(enum call_step_kind kind); // as JSON has it

// What can be said of how one side is heard: from what reached the relay, and the way there.
struct call_quality {
    uint64_t heard, lost; // packets that it stands on; none: nothing can be said
    usec_t jitter;        // RFC 3550
    usec_t way;           // round trip between both clients, as far as it is known
};

// A mean opinion score from 1 to 4.5, by the E-model (ITU-T G.107) with the values of a wideband
// codec that conceals losses; 0 when nothing was heard.
double call_mos(const struct call_quality *quality);
// Of the whole call so far, by what came from this side: audio where it can be told from video.
struct call_report;
struct call_quality call_quality_of(const struct call_report *report, enum side side);

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
    const struct call_steps *steps; // NULL: none are kept
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

// Whether somebody should look at it.
enum call_health {
    HEALTH_WAITING, // nothing can be said yet
    HEALTH_GOOD,    // also a call that was declined or not answered
    HEALTH_UNSURE,  // it went past the relay, or did not go at all
    HEALTH_BAD,
};

enum call_health call_health(const struct call_report *report, usec_t now);
const char *call_health_name(enum call_health health);
// What to make of the verdict, and what to do where something is to be done.
const char *call_verdict_advice(enum call_verdict verdict, enum call_health health);
