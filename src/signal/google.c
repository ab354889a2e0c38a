// SPDX-License-Identifier: ISC
// Google's transport, and the session that is older than Jingle. Its candidates have a user name
// each, by which the clients know each other's checks. So the relay's has one for each side, made
// here and told to nobody else, and the relay's paths (relay/google.c) go by them. They are opened
// component by component, with the first candidate of either side, and our candidate is added
// wherever the other's stand: some write one to a stanza, others say everything in two dialects.
#include "internal.h"

#include <string.h>

// 16 characters of 6 bits.
void google_invent_name(struct signal *signal, char name[GOOGLE_NAME_SIZE])
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t random[GOOGLE_NAME_SIZE - 1];

    signal->io.random(signal->io.ctx, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        name[i] = base64[random[i] & 63];
    name[sizeof random] = 0;
}

// ---- a session in the words of Jingle

// Its contents have no names: what was offered as Jingle in the same IQ has.
static const char *name_of(const struct session *session, bool video)
{
    const char *fallback = video ? "video" : "audio";
    const struct content *content;

    if (!session)
        return fallback;
    TAILQ_FOREACH (content, &session->contents, link) {
        if (content->current->kind == TRANSPORT_GOOGLE &&
            (strstr(content->media, "video") != NULL) == video)
            return content->name;
    }
    return fallback;
}

struct xml *google_translate(const struct session *session, const struct xml *iq)
{
    const struct xml *google = jingle_google_session(iq);

    return google ? jingle_from_google(google, name_of(session, false), name_of(session, true))
                  : NULL;
}

static struct xml *jingle_iq(const struct xml *iq, const struct xml *jingle)
{
    struct xml *copy = xml_new("iq", NS_CLIENT), *payload = copy ? xml_clone(jingle) : NULL;

    if (!payload || xml_set(copy, "from", xml_attr(iq, "from")) ||
        xml_set(copy, "to", xml_attr(iq, "to"))) {
        xml_free(payload);
        xml_free(copy);
        return NULL;
    }
    xml_append(copy, payload);
    return copy;
}

struct xml *google_rewrite(struct session *session, const struct waiting *w, bool *ret_empty)
{
    struct xml *meaning = jingle_iq(w->stanza, w->jingle), *copy = NULL;
    struct xml *rewritten =
        meaning ? rewrite(session, w->from, w->action, meaning, ret_empty) : NULL;

    if (rewritten)
        copy = rewrite_rest(session, w->from, w->stanza);
    if (copy && jingle_to_google(jingle_element(rewritten), jingle_google_session(copy)) < 0) {
        xml_free(copy);
        copy = NULL;
    }
    xml_free(rewritten);
    xml_free(meaning);
    return copy;
}

// ---- our candidates

static bool stands_in(const struct xml *element, const struct addr *addr)
{
    const struct xml *c = xml_child(element, "candidate", NULL);
    struct addr other_addr;

    for (; c; c = xml_next(c, "candidate", NULL)) {
        if (jingle_candidate_addr(c, &other_addr) == 0 && addr_equal(&other_addr, addr))
            return true;
    }
    return false;
}

static const struct xml *first_of(const struct xml *element, unsigned component)
{
    const struct xml *c = xml_child(element, "candidate", NULL);

    while (c && jingle_candidate_component(c) != component)
        c = xml_next(c, "candidate", NULL);
    return c;
}

// Few of these clients have heard of IPv6.
int google_offer(const struct transport *transport, enum side to, const struct xml *original,
                 struct xml *element)
{
    for (int i = 0; i < 2; i++) {
        const struct media_path *path = transport->path[i];
        const struct xml *like = path ? first_of(original, path->component) : NULL;
        const struct addr *addr = path ? path->relay[to] : NULL;
        struct google_candidate candidate;

        if (!like || !path->opened)
            continue;
        if (addr->family == FAMILY_NONE)
            addr++;
        candidate = (struct google_candidate){*addr, path->name[to]};
        if (!stands_in(element, addr) && jingle_add_google(element, like, &candidate) < 0)
            return -1;
    }
    return 0;
}
