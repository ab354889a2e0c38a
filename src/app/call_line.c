// SPDX-License-Identifier: ISC
// The line of a call in the log: its fields are what one searches for; see call_line.h.
#include "call_line.h"

#include "base/log_kind.h"
#include "base/mask.h"

#include <inttypes.h>
#include <stdio.h>

void call_line_log(const struct call_report *report, usec_t now)
{
    const char *verdict = call_verdict_text(call_verdict(report, now));
    usec_t length = report->accepted ? report->ended - report->accepted : 0;
    struct mask mask[SIDE_COUNT];
    const char *initiator = mask_jid(report->jid[SIDE_INITIATOR], &mask[SIDE_INITIATOR]);
    const char *responder = mask_jid(report->jid[SIDE_RESPONDER], &mask[SIDE_RESPONDER]);
    char id[20], ms[24];
    const struct log_field fields[] = {
        {"CALL_ID", id},
        {"SID", report->sid},
        {"DOOR", report->door},
        {"INITIATOR", initiator},
        {"RESPONDER", responder},
        {"VERDICT", verdict},
        {"END_REASON", report->end_reason},
        {"DURATION_MS", ms},
    };

    snprintf(id, sizeof id, "%016" PRIx64, report->id);
    snprintf(ms, sizeof ms, "%" PRIu64, length / USEC_PER_MSEC);
    log_kind_write(LOG_CALL_ENDED, fields, sizeof fields / sizeof fields[0],
                   "call of %s to %s ended (%s): %s", initiator, responder,
                   report->end_reason ? report->end_reason : "?", verdict);
}
