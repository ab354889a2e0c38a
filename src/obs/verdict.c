// SPDX-License-Identifier: ISC
// What became of a call, in plain words, from what its paths saw.
#include "obs/report.h"

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
