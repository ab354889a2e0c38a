// SPDX-License-Identifier: ISC
// What the signalling knows of a call, as obs/report.h wants it.
#include "internal.h"

#include <string.h>

static void report_content(const struct content *content, struct content_report *ret)
{
    const struct transport *t = content->current;

    memset(ret, 0, sizeof *ret);
    ret->name = content->name;
    ret->media = content->media;
    ret->transport = t->ns;
    ret->accepted = content->accepted;
    ret->replaced = content->pending != NULL;
    for (int i = 0; i < 2; i++) {
        ret->path[i] = t->path_id[i];
        ret->candidates[i] = t->seen[i];
        ret->candidate_count[i] = t->seen_count[i];
    }
}

void session_report(const struct session *session, struct content_report *content, unsigned max,
                    struct call_report *ret_report)
{
    const struct content *c;

    memset(ret_report, 0, sizeof *ret_report);
    ret_report->id = session->call.id;
    ret_report->sid = session->sid;
    ret_report->door = call_door_name(session->call.door);
    ret_report->state = session->call.state;
    for (int side = 0; side < SIDE_COUNT; side++) {
        ret_report->jid[side] = session->party[side].jid;
        ret_report->proxy[side] = session->party[side].proxy;
    }
    ret_report->end_reason = session->end_reason;
    ret_report->opened = session->call.opened;
    ret_report->accepted = session->call.accepted;
    ret_report->first_media = session->call.first_media;
    ret_report->ended = session->ended;
    ret_report->content = content;
    TAILQ_FOREACH (c, &session->contents, link) {
        if (ret_report->contents < max)
            report_content(c, &content[ret_report->contents++]);
    }
    ret_report->view = session->view;
    ret_report->views = session->views;
    ret_report->steps = &session->steps;
}

void session_tell_ended(const struct session *session, usec_t now)
{
    struct content_report content[REPORT_CONTENTS_MAX];
    struct call_report report;

    session_report(session, content, REPORT_CONTENTS_MAX, &report);
    session->signal->io.ended(session->signal->io.ctx, &report, now);
}

// ---- steps

void note_step(struct call_steps *steps, enum call_step_kind kind, enum side side, usec_t now)
{
    const struct call_step step = {
        .at = now, .kind = (uint8_t)kind, .side = (uint8_t)side, .action = JINGLE_ACTION_COUNT};

    call_steps_add(steps, &step);
}

void note_stanza(struct call_steps *steps, enum side side, enum jingle_action action, usec_t now)
{
    const struct call_step step = {
        .at = now, .kind = STEP_STANZA, .side = (uint8_t)side, .action = (uint8_t)action};

    call_steps_add(steps, &step);
}

static bool was_selected(const struct call_steps *steps, const struct call_step *step)
{
    for (unsigned i = 0; i < steps->count; i++) {
        const struct call_step *known = &steps->item[i];

        if (known->kind == STEP_SELECTED && known->side == step->side && known->path == step->path)
            return true;
    }
    return false;
}

void note_event(struct call_steps *steps, const struct relay_event *event, usec_t now)
{
    static const uint8_t kinds[] = {
        [EVENT_FAILED] = STEP_FAILED,     [EVENT_CHECKED] = STEP_CHECK,
        [EVENT_SELECTED] = STEP_SELECTED, [EVENT_MEDIA] = STEP_MEDIA,
        [EVENT_SILENT] = STEP_SILENT,
    };
    struct call_step step = {.at = now,
                             .side = (uint8_t)event->side,
                             .path = event->path,
                             .action = JINGLE_ACTION_COUNT};

    if (event->kind < EVENT_FAILED || event->kind > EVENT_SILENT)
        return;
    step.kind = kinds[event->kind];
    if (event->kind == EVENT_SELECTED) {
        step.addr = event->u.addr;
        if (was_selected(steps, &step))
            step.kind = STEP_MOVED;
    } else if (event->kind != EVENT_CHECKED && event->kind != EVENT_MEDIA) {
        step.side = SIDE_COUNT;
    }
    call_steps_add(steps, &step);
}
