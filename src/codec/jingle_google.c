// SPDX-License-Identifier: ISC
// Google's session and the candidates of Google's transport; see codec/jingle.h. What a session
// says is translated into Jingle, so that nothing above has to know two languages; on the way back
// only its candidates are exchanged, and all else stays as its client wrote it.
#include "codec/jingle.h"

#include <errno.h>
#include <string.h>

#define PREFERENCE "0.1" // libjingle gives a relay 0.5, and 1.0 to the best

struct xml *jingle_google_session(const struct xml *iq)
{
    return jingle_element(iq) ? NULL : xml_child(iq, "session", NS_GOOGLE_SESSION);
}

// ---- candidates

static int copy_attributes(const struct xml *from, struct xml *to)
{
    for (const struct xml_attr *a = from->attrs; a; a = a->next) {
        if (xml_set_ns(to, a->ns, a->name, a->value))
            return -ENOMEM;
    }
    return 0;
}

int jingle_add_google(struct xml *parent, const struct xml *like,
                      const struct google_candidate *candidate)
{
    struct xml *c = xml_add(parent, "candidate", NULL);
    char ip[ADDR_TEXT_MAX];
    int r;

    if (!c)
        return -ENOMEM;
    r = copy_attributes(like, c);
    r |= xml_set(c, "address", addr_format_ip(&candidate->addr, ip));
    r |= xml_setf(c, "port", "%u", candidate->addr.port);
    r |= xml_set(c, "username", candidate->username);
    // FreeSWITCH demands one, and nobody uses it.
    r |= xml_set(c, "password", candidate->username);
    r |= xml_set(c, "preference", PREFERENCE);
    r |= xml_set(c, "protocol", "udp");
    r |= xml_set(c, "type", "relay");
    if (!xml_attr(c, "network"))
        r |= xml_set(c, "network", "0");
    if (r) {
        xml_free(c);
        return -ENOMEM;
    }
    return 0;
}

// ---- a session in the words of Jingle

static const char *action_of(const struct xml *session)
{
    static const struct {
        const char *type, *action;
    } actions[] = {
        {"initiate", "session-initiate"},     {"candidates", "transport-info"},
        {"transport-info", "transport-info"}, // version 0.4
        {"accept", "session-accept"},         {"reject", "session-terminate"},
        {"terminate", "session-terminate"},
    };
    const char *type = xml_attr(session, "type");

    for (size_t i = 0; type && i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(type, actions[i].type) == 0)
            return actions[i].action;
    }
    return "session-info";
}

// In version 0.4 they stand in a transport element.
static struct xml *place_of_candidates(const struct xml *session)
{
    struct xml *transport = xml_child(session, "transport", NS_GOOGLE_P2P);

    return transport ? transport : (struct xml *)(uintptr_t)session;
}

static bool is_video(const struct xml *candidate)
{
    const char *name = xml_attr(candidate, "name");

    return name && strncmp(name, "video", 5) == 0;
}

static struct xml *add_content(struct xml *jingle, const char *name)
{
    struct xml *content = xml_add(jingle, "content", NULL);

    if (content && (!xml_add(content, "transport", NS_GOOGLE_P2P) ||
                    xml_set(content, "name", name) || xml_set(content, "creator", "initiator"))) {
        xml_free(content);
        return NULL;
    }
    return content;
}

static int add_description(struct xml *content, const char *media)
{
    struct xml *description = xml_add(content, "description", NS_RTP);

    return description ? xml_set(description, "media", media) : -ENOMEM;
}

static int add_candidates(const struct xml *session, struct xml *transport, bool video)
{
    const struct xml *c = xml_child(place_of_candidates(session), "candidate", NULL);

    for (; c; c = xml_next(c, "candidate", NULL)) {
        struct xml *copy = is_video(c) == video ? xml_add(transport, "candidate", NULL) : NULL;

        if (is_video(c) == video && (!copy || copy_attributes(c, copy) < 0))
            return -ENOMEM;
    }
    return 0;
}

// Offers and answers describe it; what else has no candidate of it says nothing of it.
static int add_media(const struct xml *session, struct xml *jingle, const char *name, bool video)
{
    bool described = xml_child(session, "description", NULL);
    struct xml *content = add_content(jingle, name);
    struct xml *transport = content ? xml_child(content, "transport", NULL) : NULL;

    if (!content || add_candidates(session, transport, video) < 0 ||
        (described && add_description(content, video ? "video" : "audio") < 0))
        return -ENOMEM;
    if (!described && !xml_child(transport, "candidate", NULL))
        xml_free(content);
    return 0;
}

// Its reason stands in it as an element of that name.
static int add_reason(const struct xml *session, struct xml *jingle)
{
    const struct xml *why = xml_child(session, NULL, NULL);
    struct xml *reason = xml_add(jingle, "reason", NULL);

    return reason && xml_add(reason, why ? why->name : xml_attr(session, "type"), NULL) ? 0
                                                                                        : -ENOMEM;
}

struct xml *jingle_from_google(const struct xml *session, const char *audio, const char *video)
{
    const struct xml *description = xml_child(session, "description", NULL);
    struct xml *jingle = xml_new("jingle", NS_JINGLE);
    const char *id = xml_attr(session, "id"), *action = action_of(session);
    // One description may be of both.
    bool sees = !description || strstr(description->ns, "video");
    int r;

    if (!jingle)
        return NULL;
    r = xml_set(jingle, "action", action);
    r |= id ? xml_set(jingle, "sid", id) : 0;
    if (strcmp(action, "session-terminate") == 0)
        r |= add_reason(session, jingle);
    r |= add_media(session, jingle, audio, false);
    if (sees)
        r |= add_media(session, jingle, video, true);
    if (r) {
        xml_free(jingle);
        return NULL;
    }
    return jingle;
}

int jingle_to_google(const struct xml *jingle, struct xml *session)
{
    struct xml *place = place_of_candidates(session), *old, *content;

    while ((old = xml_child(place, "candidate", NULL)))
        xml_free(old);
    for (content = xml_child(jingle, "content", NULL); content;
         content = xml_next(content, "content", NULL)) {
        const struct xml *c = xml_child(jingle_transport(content), "candidate", NULL);

        for (; c; c = xml_next(c, "candidate", NULL)) {
            struct xml *copy = xml_add(place, "candidate", NULL);

            if (!copy || copy_attributes(c, copy) < 0)
                return -ENOMEM;
        }
    }
    return 0;
}
