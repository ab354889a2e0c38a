// SPDX-License-Identifier: ISC
// Calls as JSON; see obs/json.h. A NULL from jansson anywhere makes the whole object NULL: its
// setters take the values over and refuse NULL ones.
#include "obs/json.h"

#include "base/mask.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static json_t *json_usec_as_ms(usec_t usec)
{
    return json_real((double)usec / (double)USEC_PER_MSEC);
}

json_t *json_time(usec_t at, struct clock_offset clock)
{
    int64_t wall = (int64_t)at + clock.usec;
    time_t seconds = (time_t)(wall / (int64_t)USEC_PER_SEC);
    char text[40], date[24];
    struct tm tm;

    if (!at || !gmtime_r(&seconds, &tm) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm))
        return json_null();
    snprintf(text, sizeof text, "%s.%03dZ", date, (int)(wall / (int64_t)USEC_PER_MSEC % 1000));
    return json_string(text);
}

json_t *json_addr(const struct addr *addr)
{
    struct mask mask;

    return addr->family == FAMILY_NONE ? json_null() : json_string(mask_addr(addr, &mask));
}

json_t *json_own_addr(const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];

    return addr->family == FAMILY_NONE ? json_null() : json_string(addr_format(addr, text));
}

json_t *json_jid(const char *jid)
{
    struct mask mask;

    return json_string(mask_jid(jid, &mask));
}

static json_t *json_since(usec_t then, usec_t now)
{
    return then ? json_usec_as_ms(now > then ? now - then : 0) : json_null();
}

static json_t *sources_to_json(const struct leg_view *leg, usec_t now)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < leg->sources; i++) {
        const struct source_view *s = &leg->source[i];

        json_array_append_new(list,
                              json_pack("{s:o, s:b, s:b, s:o}", "address", json_addr(&s->addr),
                                        "selected", s->selected, "verified", s->verified,
                                        "last_seen_ms_ago", json_since(s->last_seen, now)));
    }
    return list;
}

static json_t *streams_to_json(const struct leg_view *leg)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < leg->qualities; i++) {
        const struct quality_view *q = &leg->quality[i];

        json_array_append_new(
            list, json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "ssrc", (json_int_t)q->ssrc,
                            "received", (json_int_t)q->received, "lost", (json_int_t)q->lost,
                            "reordered", (json_int_t)q->reordered, "duplicates",
                            (json_int_t)q->duplicates, "jitter_ms", json_usec_as_ms(q->jitter),
                            "longest_gap_ms", json_usec_as_ms(q->longest_gap)));
    }
    return list;
}

static json_t *leg_to_json(const struct leg_view *leg, usec_t now)
{
    json_t *ports = json_array();

    for (int i = 0; i < 2; i++) {
        if (leg->port[i].family != FAMILY_NONE)
            json_array_append_new(ports, json_own_addr(&leg->port[i]));
    }
    return json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:b, s:o}", "ports",
        ports, "sources", sources_to_json(leg, now), "packets_in", (json_int_t)leg->packets_in,
        "bytes_in", (json_int_t)leg->bytes_in, "packets_out", (json_int_t)leg->packets_out,
        "bytes_out", (json_int_t)leg->bytes_out, "media_packets_in", (json_int_t)leg->media_in,
        "refused", (json_int_t)leg->refused, "checks", (json_int_t)leg->checks_in, "moves",
        (json_int_t)leg->moves, "rtt_ms", leg->rtt ? json_usec_as_ms(leg->rtt) : json_null(),
        "last_check_ms_ago", json_since(leg->last_check, now), "last_media_ms_ago",
        json_since(leg->last_media, now), "in_kernel", leg->offloaded, "streams",
        streams_to_json(leg));
}

static const struct path_view *find_view(const struct call_report *report, uint64_t path)
{
    for (unsigned i = 0; i < report->views; i++) {
        if (report->view[i].path == path)
            return &report->view[i];
    }
    return NULL;
}

static json_t *path_to_json(const struct path_view *view, usec_t now)
{
    static const char *const modes[] = {[PATH_ICE] = "ice",
                                        [PATH_RAW] = "raw",
                                        [PATH_CHANNEL] = "channel",
                                        [PATH_GOOGLE] = "google"};

    return json_pack("{s:I, s:s, s:o, s:o}", "path", (json_int_t)view->path, "mode",
                     modes[view->mode], "initiator", leg_to_json(&view->leg[SIDE_INITIATOR], now),
                     "responder", leg_to_json(&view->leg[SIDE_RESPONDER], now));
}

static json_t *candidates_to_json(const struct content_report *content, enum side side)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < content->candidate_count[side]; i++) {
        const struct candidate_report *c = &content->candidates[side][i];
        struct mask mask;

        // Clients may write anything: what is not UTF-8 is left out (the XML was, so this is belt
        // and braces).
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "type", c->type, "protocol", c->protocol,
                                        "address", mask_host(c->address, &mask)));
    }
    return list;
}

static json_t *content_to_json(const struct call_report *report,
                               const struct content_report *content)
{
    json_t *paths = json_array();

    for (int i = 0; i < 2; i++) {
        if (find_view(report, content->path[i]))
            json_array_append_new(paths, json_integer((json_int_t)content->path[i]));
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:o, s:{s:o, s:o}}", "name", content->name, "media",
                     content->media, "transport", content->transport, "accepted", content->accepted,
                     "replacement_pending", content->replaced, "paths", paths, "candidates_offered",
                     "initiator", candidates_to_json(content, SIDE_INITIATOR), "responder",
                     candidates_to_json(content, SIDE_RESPONDER));
}

static void add_totals(json_t *call, const struct call_report *report)
{
    uint64_t packets[SIDE_COUNT] = {0, 0}, lost[SIDE_COUNT] = {0, 0};

    for (unsigned i = 0; i < report->views; i++) {
        for (int side = 0; side < SIDE_COUNT; side++) {
            const struct leg_view *leg = &report->view[i].leg[side];

            packets[side] += leg->media_in;
            for (unsigned q = 0; q < leg->qualities; q++)
                lost[side] += leg->quality[q].lost;
        }
    }
    json_object_set_new(call, "media_packets_from_initiator", json_integer((json_int_t)packets[0]));
    json_object_set_new(call, "media_packets_from_responder", json_integer((json_int_t)packets[1]));
    json_object_set_new(call, "lost_before_relay_from_initiator",
                        json_integer((json_int_t)lost[0]));
    json_object_set_new(call, "lost_before_relay_from_responder",
                        json_integer((json_int_t)lost[1]));
}

// The first step of a call is its beginning: times count from there.
static json_t *step_to_json(const struct call_report *report, const struct call_step *step)
{
    static const char *const sides[] = {"initiator", "responder", "relay"};
    json_t *json = json_pack(
        "{s:s, s:s, s:o, s:i}", "what", call_step_name(step->kind), "by", sides[step->side],
        "at_ms", json_usec_as_ms(step->at > report->opened ? step->at - report->opened : 0),
        "times", (int)step->times);

    if (step->kind == STEP_STANZA)
        json_object_set_new(json, "action", json_string(jingle_action_name(step->action)));
    if (step->path)
        json_object_set_new(json, "path", json_integer((json_int_t)step->path));
    if (step->addr.family != FAMILY_NONE)
        json_object_set_new(json, "address", json_addr(&step->addr));
    return json;
}

static void add_story(json_t *call, const struct call_report *report, usec_t now)
{
    json_t *list = json_array();

    for (unsigned i = 0; report->steps && i < report->steps->count; i++)
        json_array_append_new(list, step_to_json(report, &report->steps->item[i]));
    json_object_set_new(call, "steps", list);
    json_object_set_new(
        call, "advice",
        json_string(call_verdict_advice(call_verdict(report, now), call_health(report, now))));
    json_object_set_new(call, "steps_left_out",
                        json_integer(report->steps ? report->steps->left_out : 0));
}

static void add_details(json_t *call, const struct call_report *report, usec_t now)
{
    json_t *contents = json_array(), *paths = json_array();

    for (unsigned i = 0; i < report->contents; i++)
        json_array_append_new(contents, content_to_json(report, &report->content[i]));
    for (unsigned i = 0; i < report->views; i++)
        json_array_append_new(paths, path_to_json(&report->view[i], now));
    add_story(call, report, now);
    json_object_set_new(call, "contents", contents);
    json_object_set_new(call, "paths", paths);
}

static json_t *mos_to_json(const struct call_report *report, enum side side)
{
    const struct call_quality quality = call_quality_of(report, side);
    double mos = call_mos(&quality);

    return mos > 0 ? json_real((double)(int)(mos * 100 + 0.5) / 100) : json_null();
}

static json_t *party_to_json(const struct call_report *report, enum side side)
{
    return json_pack("{s:o, s:o}", "jid", json_jid(report->jid[side]), "seen_as",
                     json_jid(report->proxy[side]));
}

json_t *call_to_json(const struct call_report *report, bool whole, struct clock_offset clock,
                     usec_t now)
{
    usec_t end = report->ended ? report->ended : now;
    enum call_verdict verdict = call_verdict(report, now);
    enum call_health health = call_health(report, now);
    char id[20];
    json_t *call;

    snprintf(id, sizeof id, "%016" PRIx64, report->id);
    call = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:o, s:o}", "id",
        id, "sid", report->sid, "door", report->door, "state", call_state_name(report->state),
        "verdict", call_verdict_text(verdict), "health", call_health_name(health), "initiator",
        party_to_json(report, SIDE_INITIATOR), "responder", party_to_json(report, SIDE_RESPONDER),
        "opened", json_time(report->opened, clock), "accepted", json_time(report->accepted, clock),
        "ended", json_time(report->ended, clock), "duration_ms",
        report->accepted ? json_usec_as_ms(end - report->accepted) : json_null(), "setup_ms",
        report->first_media ? json_usec_as_ms(report->first_media - report->opened) : json_null(),
        "end_reason", report->end_reason, "mos_from_initiator", mos_to_json(report, SIDE_INITIATOR),
        "mos_from_responder", mos_to_json(report, SIDE_RESPONDER));
    if (!call)
        return NULL;
    add_totals(call, report);
    if (whole)
        add_details(call, report, now);
    return call;
}
