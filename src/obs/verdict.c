// SPDX-License-Identifier: ISC
// What became of a call, in plain words, from what its paths saw.
#include "obs/report.h"

#include <string.h>

#define SETTLED (5 * USEC_PER_SEC) // after the answer: media would have been seen by now
#define LEFT                                                                                       \
    (10 * USEC_PER_SEC) // without media: more than a pause in speech, with its comfort noise

static const char *const texts[VERDICT_CALL_COUNT] = {
    [VERDICT_CALL_SETUP] = "not answered yet",
    [VERDICT_CALL_CARRIED] = "carried",
    [VERDICT_CALL_LEFT] =
        "carried at first, then no more: a direct path took over, or both fell silent",
    [VERDICT_CALL_DIRECT] = "direct path won",
    [VERDICT_CALL_NO_RELAY] =
        "neither side reached the relay: a direct path was used, or both are cut off from it",
    [VERDICT_CALL_ONE_SIDE_INITIATOR] =
        "only one side reached the relay: the responder used a direct path or is cut off from it",
    [VERDICT_CALL_ONE_SIDE_RESPONDER] =
        "only one side reached the relay: the initiator used a direct path or is cut off from it",
    [VERDICT_CALL_NO_MEDIA_INITIATOR] = "no media from the initiator",
    [VERDICT_CALL_NO_MEDIA_RESPONDER] = "no media from the responder",
    [VERDICT_CALL_CONNECTED] = "both sides reached the relay, no media yet",
    [VERDICT_CALL_REFUSED] = "ended before it was answered",
};

const char *call_verdict_text(enum call_verdict verdict)
{
    return verdict < VERDICT_CALL_COUNT ? texts[verdict] : "unknown";
}

enum call_verdict call_verdict(const struct call_report *report, usec_t now)
{
    bool reached[SIDE_COUNT] = {false, false}, media[SIDE_COUNT] = {false, false};
    usec_t end = report->ended ? report->ended : now, last_media = 0;

    if (!report->accepted)
        return report->ended ? VERDICT_CALL_REFUSED : VERDICT_CALL_SETUP;
    for (unsigned i = 0; i < report->views; i++) {
        for (int side = 0; side < SIDE_COUNT; side++) {
            reached[side] |= report->view[i].leg[side].sources > 0;
            media[side] |= report->view[i].leg[side].media_in > 0;
            if (report->view[i].leg[side].last_media > last_media)
                last_media = report->view[i].leg[side].last_media;
        }
    }
    if (media[SIDE_INITIATOR] && media[SIDE_RESPONDER])
        return end > last_media + LEFT ? VERDICT_CALL_LEFT : VERDICT_CALL_CARRIED;
    if (media[SIDE_INITIATOR])
        return VERDICT_CALL_NO_MEDIA_RESPONDER;
    if (media[SIDE_RESPONDER])
        return VERDICT_CALL_NO_MEDIA_INITIATOR;
    if (reached[SIDE_INITIATOR] && reached[SIDE_RESPONDER])
        return report->ended || end - report->accepted > SETTLED ? VERDICT_CALL_DIRECT
                                                                 : VERDICT_CALL_CONNECTED;
    if (reached[SIDE_INITIATOR])
        return VERDICT_CALL_ONE_SIDE_INITIATOR;
    return reached[SIDE_RESPONDER] ? VERDICT_CALL_ONE_SIDE_RESPONDER : VERDICT_CALL_NO_RELAY;
}

// ---- whether somebody should look at it

// XEP-0166 section 7.4, and the relay's own: the call ended because something did not work.
static bool ended_by_fault(const char *reason)
{
    static const char *const faults[] = {
        "connectivity-error",
        "failed-application",
        "failed-transport",
        "general-error",
        "incompatible-parameters",
        "media-error",
        "security-error",
        "unsupported-applications",
        "unsupported-transports",
        "no answer",
        "memory is exhausted",
        "refused by the responder's client",
        "refused", // by the relay
    };

    for (size_t i = 0; reason && i < sizeof faults / sizeof faults[0]; i++) {
        if (strcmp(reason, faults[i]) == 0)
            return true;
    }
    return false;
}

enum call_health call_health(const struct call_report *report, usec_t now)
{
    bool fault = report->ended && ended_by_fault(report->end_reason);
    bool settled = report->ended || now - report->accepted > SETTLED;

    switch (call_verdict(report, now)) {
    case VERDICT_CALL_SETUP:
    case VERDICT_CALL_CONNECTED:
        return HEALTH_WAITING;
    case VERDICT_CALL_NO_MEDIA_INITIATOR:
    case VERDICT_CALL_NO_MEDIA_RESPONDER:
        return settled ? HEALTH_BAD : HEALTH_WAITING;
    case VERDICT_CALL_NO_RELAY:
    case VERDICT_CALL_ONE_SIDE_INITIATOR:
    case VERDICT_CALL_ONE_SIDE_RESPONDER:
        return fault ? HEALTH_BAD : settled ? HEALTH_UNSURE : HEALTH_WAITING;
    default:
        return fault ? HEALTH_BAD : HEALTH_GOOD;
    }
}

const char *call_health_name(enum call_health health)
{
    static const char *const names[] = {
        [HEALTH_WAITING] = "waiting",
        [HEALTH_GOOD] = "good",
        [HEALTH_UNSURE] = "unsure",
        [HEALTH_BAD] = "bad",
    };

    return names[health];
}

static const char *const advice[VERDICT_CALL_COUNT] = {
    [VERDICT_CALL_SETUP] = "It rings, or the callee's client has not answered yet. Nothing to do.",
    [VERDICT_CALL_CARRIED] = "Sound or picture went through the relay in both directions. If "
                             "somebody complains all the same, look at loss and delay below.",
    [VERDICT_CALL_LEFT] = "It worked. The clients then found a way without the relay, or both "
                          "were silent. Nothing to do.",
    [VERDICT_CALL_DIRECT] = "Both clients could use the relay and found a shorter way. Nothing "
                            "to do.",
    [VERDICT_CALL_NO_RELAY] =
        "If the users heard each other, they were on one network and did not need the relay. If "
        "they did not, open UDP to relay.shared_port and relay.ports in the relay's firewall, and "
        "see that relay.advertise4 is the address that the world reaches.",
    [VERDICT_CALL_ONE_SIDE_INITIATOR] =
        "If the users heard nothing: the responder's network keeps UDP to the relay out, or its "
        "client did not use the relay's candidate. Try the responder on another network.",
    [VERDICT_CALL_ONE_SIDE_RESPONDER] =
        "If the users heard nothing: the initiator's network keeps UDP to the relay out, or its "
        "client did not use the relay's candidate. Try the initiator on another network.",
    [VERDICT_CALL_NO_MEDIA_INITIATOR] =
        "One-way sound: nothing came from the initiator. A muted or missing microphone is the "
        "usual cause, then a client that sends to another address than it has checked.",
    [VERDICT_CALL_NO_MEDIA_RESPONDER] =
        "One-way sound: nothing came from the responder. A muted or missing microphone is the "
        "usual cause, then a client that sends to another address than it has checked.",
    [VERDICT_CALL_CONNECTED] = "The way is there, and the first packets are due. Nothing to do.",
    [VERDICT_CALL_REFUSED] = "Declined, not picked up, or given up by the caller. Nothing to do.",
};

const char *call_verdict_advice(enum call_verdict verdict, enum call_health health)
{
    if (verdict == VERDICT_CALL_REFUSED && health == HEALTH_BAD)
        return "The call failed before anybody could answer: the reason at its end says why. A "
               "client that cannot be reached or that knows none of what was offered is usual. "
               "\"refused\" is the relay's own: no port, or too many; its log says which.";
    if (health == HEALTH_BAD && (verdict == VERDICT_CALL_CARRIED || verdict == VERDICT_CALL_LEFT ||
                                 verdict == VERDICT_CALL_DIRECT))
        return "It worked at first, and a client gave up with an error, which stands at its end. "
               "Its network may have gone away.";
    return verdict < VERDICT_CALL_COUNT ? advice[verdict] : "";
}
