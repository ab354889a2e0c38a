// SPDX-License-Identifier: ISC
// What the test partner makes of an offer: the terms for its endpoints, and the answer. It takes
// audio and video with whatever payload types they have, since packets go back as they came;
// retransmission, redundancy and header extensions would need an understanding of them, and are
// left out of the answer.
#include "echo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NS_SSMA    "urn:xmpp:jingle:apps:rtp:ssma:0"
#define NS_RTCP_FB "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"

// RFC 8445 section 5.1.2.1: a host candidate's, with the highest local preference.
#define PRIORITY(component) (126u << 24 | 0xffff00u | (256 - (component)))

#define UFRAG_LEN 8
#define PWD_LEN   24

// The first such child of an element that may be missing itself.
static struct xml *below(const struct xml *x, const char *name, const char *ns)
{
    return x ? xml_child(x, name, ns) : NULL;
}

static const char *attr_of(const struct xml *x, const char *name)
{
    return x ? xml_attr(x, name) : NULL;
}

// ---- which contents

static bool is_bundled(const struct xml *jingle, const char *name)
{
    for (struct xml *g = xml_child(jingle, "group", NS_GROUPING); g;
         g = xml_next(g, "group", NS_GROUPING)) {
        const char *semantics = xml_attr(g, "semantics");

        if (!semantics || strcmp(semantics, "BUNDLE") != 0)
            continue;
        for (struct xml *c = xml_child(g, "content", NULL); c; c = xml_next(c, "content", NULL)) {
            const char *other = xml_attr(c, "name");

            if (other && name && strcmp(other, name) == 0)
                return true;
        }
    }
    return false;
}

static struct xml *description_of(const struct xml *content)
{
    return xml_child(content, "description", NS_RTP);
}

// 0 audio, 1 video; -1: neither.
static int kind_of(const struct xml *content)
{
    const char *media = attr_of(description_of(content), "media");

    return !media ? -1 : strcmp(media, "audio") == 0 ? 0 : strcmp(media, "video") == 0 ? 1 : -1;
}

int echo_leg_of(const struct xml *jingle, const struct xml *content)
{
    bool kinds[MEDIA_KINDS] = {false}, bundle = false;
    int next = 0, bundle_leg = 0;

    for (struct xml *c = xml_child(jingle, "content", NULL); c; c = xml_next(c, "content", NULL)) {
        int kind = kind_of(c), leg;

        if (kind < 0 || kinds[kind]) {
            if (c == content)
                return -1; // one of each kind: payload types are told apart by it
            continue;
        }
        kinds[kind] = true;
        if (is_bundled(jingle, xml_attr(c, "name"))) {
            if (!bundle)
                bundle_leg = next++;
            bundle = true;
            leg = bundle_leg;
        } else {
            leg = next++;
        }
        if (c == content)
            return leg < ECHO_LEGS ? leg : -1;
    }
    return -1;
}

// ---- the offer

static bool returns_well(const struct xml *payload)
{
    static const char *const others[] = {"rtx", "red", "ulpfec", "flexfec-03", "CN"};
    const char *name = xml_attr(payload, "name");

    for (size_t i = 0; name && i < sizeof others / sizeof others[0]; i++)
        if (strcasecmp(name, others[i]) == 0)
            return false;
    return true;
}

// -1: no payload type of RTP (RFC 3551 section 3).
static int payload_number(const struct xml *payload)
{
    const char *id = xml_attr(payload, "id");
    char *end;
    unsigned long number = id ? strtoul(id, &end, 10) : 128;

    return !id || *end || end == id || number > 127 ? -1 : (int)number;
}

static unsigned read_payloads(const struct xml *content, struct media_terms *terms)
{
    const struct xml *description = description_of(content);
    unsigned count = 0;

    for (struct xml *p = below(description, "payload-type", NULL); p;
         p = xml_next(p, "payload-type", NULL)) {
        int number = payload_number(p);

        if (number < 0 || !returns_well(p) || terms->kind[number])
            continue;
        terms->kind[number] = (uint8_t)(1 + kind_of(content));
        count++;
    }
    return count;
}

static const struct xml *usable_crypto(const struct xml *content)
{
    const struct xml *encryption = below(description_of(content), "encryption", NULL);
    uint8_t key[MEDIA_KEY_LEN];

    for (struct xml *c = below(encryption, "crypto", NULL); c; c = xml_next(c, "crypto", NULL)) {
        const char *parameters = xml_attr(c, "session-params");

        if (media_suite(xml_attr(c, "crypto-suite")) != MEDIA_SUITES &&
            (!parameters || !*parameters) && media_key_parse(xml_attr(c, "key-params"), key) == 0)
            return c;
    }
    return NULL;
}

static const char *read_dtls(const struct xml *fingerprint, struct media_terms *terms)
{
    const char *hash = xml_attr(fingerprint, "hash"), *setup = xml_attr(fingerprint, "setup");
    int len = media_fingerprint_parse(xml_text(fingerprint), terms->dtls.fingerprint);

    if (len < 0 || !hash || strlen(hash) >= sizeof terms->dtls.hash ||
        (setup && strcmp(setup, "holdconn") == 0))
        return "security-error";
    terms->protection = MEDIA_DTLS;
    terms->dtls.fingerprint_len = (unsigned)len;
    snprintf(terms->dtls.hash, sizeof terms->dtls.hash, "%s", hash);
    // RFC 5763 section 5: who may choose is active.
    terms->dtls.active = !setup || strcmp(setup, "active") != 0;
    return NULL;
}

static const char *read_protection(struct signal *signal, const struct xml *content,
                                   struct media_terms *terms)
{
    const struct xml *fingerprint = below(jingle_transport(content), "fingerprint", NULL);
    const struct xml *encryption = below(description_of(content), "encryption", NULL);
    const struct xml *crypto = usable_crypto(content);

    if (fingerprint)
        return read_dtls(fingerprint, terms);
    if (!crypto && below(encryption, "crypto", NULL))
        return "security-error";
    terms->protection = crypto ? MEDIA_SDES : MEDIA_PLAIN;
    if (!crypto)
        return NULL;
    terms->sdes.suite = media_suite(xml_attr(crypto, "crypto-suite"));
    (void)media_key_parse(xml_attr(crypto, "key-params"), terms->sdes.theirs);
    signal->io.random(signal->io.ctx, terms->sdes.ours, sizeof terms->sdes.ours);
    return NULL;
}

static void make_name(struct signal *signal, char *text, size_t len)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[PWD_LEN];

    signal->io.random(signal->io.ctx, bytes, sizeof bytes);
    for (size_t i = 0; i < len; i++)
        text[i] = letters[bytes[i] & 63];
    text[len] = '\0';
}

static const char *read_ice(struct signal *signal, const struct xml *transport,
                            struct media_terms *terms)
{
    const char *ufrag = xml_attr(transport, "ufrag"), *pwd = xml_attr(transport, "pwd");

    if (!ufrag || !pwd || !*ufrag || !*pwd || strlen(ufrag) > MEDIA_UFRAG_MAX ||
        strlen(pwd) > MEDIA_PWD_MAX)
        return "failed-transport";
    terms->ice = true;
    snprintf(terms->theirs.ufrag, sizeof terms->theirs.ufrag, "%s", ufrag);
    snprintf(terms->theirs.pwd, sizeof terms->theirs.pwd, "%s", pwd);
    make_name(signal, terms->ours.ufrag, UFRAG_LEN);
    make_name(signal, terms->ours.pwd, PWD_LEN);
    return NULL;
}

static const char *read_raw(const struct xml *transport, struct media_terms *terms)
{
    for (struct xml *c = xml_child(transport, "candidate", NULL); c;
         c = xml_next(c, "candidate", NULL)) {
        unsigned component = jingle_candidate_component(c);

        if (component >= 1 && component <= MEDIA_COMPONENTS)
            (void)jingle_candidate_addr(c, &terms->peer[component - 1]);
    }
    return NULL;
}

static const char *read_transport(struct signal *signal, const struct xml *content,
                                  struct media_terms *terms)
{
    const struct xml *transport = jingle_transport(content);

    switch (jingle_transport_kind(transport)) {
    case TRANSPORT_ICE:
        return read_ice(signal, transport, terms);
    case TRANSPORT_RAW:
        return read_raw(transport, terms);
    case TRANSPORT_NONE:
    case TRANSPORT_GOOGLE:
    case TRANSPORT_OTHER:
        break;
    }
    return "unsupported-transports";
}

// The first content of a leg says all but its payload types.
static const char *begin_leg(struct echo_call *call, const struct xml *content,
                             struct echo_leg *leg)
{
    struct signal *signal = call->signal;
    const char *reason = read_transport(signal, content, &leg->terms);

    if (!reason)
        reason = read_protection(signal, content, &leg->terms);
    leg->terms.components = jingle_has_mux(content) ? 1 : 2;
    leg->id = call_id_new(signal);
    signal->io.random(signal->io.ctx, leg->terms.ssrc, sizeof leg->terms.ssrc);
    return reason;
}

const char *echo_understand(struct echo_call *call)
{
    const char *reason = NULL;

    for (struct xml *c = xml_child(call->offer, "content", NULL); c && !reason;
         c = xml_next(c, "content", NULL)) {
        int at = echo_leg_of(call->offer, c);

        if (at < 0)
            continue;
        if (call->leg[at].id == 0)
            reason = begin_leg(call, c, &call->leg[at]);
        if (!reason && !jingle_transport(c)) // the first of a bundle does not speak for it
            reason = "unsupported-transports";
        if (!reason && read_payloads(c, &call->leg[at].terms) == 0)
            reason = "failed-application";
    }
    return reason ? reason : call->leg[0].id == 0 ? "unsupported-applications" : NULL;
}

// ---- the answer

static int add_copy(struct xml *parent, const struct xml *x)
{
    struct xml *copy = xml_clone(x);

    if (!copy)
        return -ENOMEM;
    xml_append(parent, copy);
    return 0;
}

// Of feedback the requests for a key frame are left, which can be handed on.
static bool is_kept_feedback(const struct xml *feedback)
{
    const char *type = xml_attr(feedback, "type"), *subtype = xml_attr(feedback, "subtype");

    return type && subtype &&
           ((strcmp(type, "nack") == 0 && strcmp(subtype, "pli") == 0) ||
            (strcmp(type, "ccm") == 0 && strcmp(subtype, "fir") == 0));
}

static int answer_payload(struct xml *description, const struct xml *payload)
{
    struct xml *next;

    if (add_copy(description, payload) < 0)
        return -ENOMEM;
    for (struct xml *x = xml_child(description->last, NULL, NS_RTCP_FB); x; x = next) {
        next = xml_next(x, NULL, NS_RTCP_FB);
        if (!is_kept_feedback(x))
            xml_free(x);
    }
    return 0;
}

static int answer_source(struct xml *description, uint32_t ssrc)
{
    struct xml *source = xml_add(description, "source", NS_SSMA);
    struct xml *parameter = source ? xml_add(source, "parameter", NULL) : NULL;

    return !parameter || xml_setf(source, "ssrc", "%u", ssrc) ||
                   xml_set(parameter, "name", "cname") || xml_set(parameter, "value", "echo")
               ? -ENOMEM
               : 0;
}

static int answer_crypto(struct xml *description, const struct xml *offered,
                         const struct media_terms *terms)
{
    char key[MEDIA_KEY_TEXT];
    struct xml *encryption = xml_add(description, "encryption", NULL);
    struct xml *crypto = encryption ? xml_add(encryption, "crypto", NULL) : NULL;
    const char *tag = attr_of(offered, "tag");

    media_key_print(terms->sdes.ours, key);
    return !crypto || xml_set(crypto, "crypto-suite", media_suite_name(terms->sdes.suite)) ||
                   xml_set(crypto, "key-params", key) || xml_set(crypto, "tag", tag ? tag : "1")
               ? -ENOMEM
               : 0;
}

static int answer_description(struct xml *content, const struct xml *offered,
                              const struct media_terms *terms)
{
    const struct xml *theirs = description_of(offered);
    struct xml *description = xml_add(content, "description", NS_RTP);
    int kind = kind_of(offered), r = 0;

    if (!description || xml_set(description, "media", xml_attr(theirs, "media")))
        return -ENOMEM;
    for (struct xml *p = xml_child(theirs, "payload-type", NULL); p && r == 0;
         p = xml_next(p, "payload-type", NULL)) {
        int number = payload_number(p);

        if (number >= 0 && returns_well(p) && terms->kind[number] == 1 + kind)
            r = answer_payload(description, p);
    }
    if (r == 0 && terms->protection == MEDIA_SDES)
        r = answer_crypto(description, usable_crypto(offered), terms);
    if (r == 0 && jingle_has_mux(offered) && !xml_add(description, "rtcp-mux", NULL))
        r = -ENOMEM;
    if (r == 0 && xml_child(theirs, "source", NS_SSMA))
        r = answer_source(description, terms->ssrc[kind]);
    return r;
}

static int answer_candidate(struct xml *transport, const struct echo_leg *leg, unsigned component,
                            unsigned family)
{
    struct jingle_candidate candidate = {
        .component = component + 1,
        .foundation = 1 + family,
        .addr = leg->addr[component][family],
        .priority = PRIORITY(component + 1) - (family << 8),
        .type = "host",
    };

    if (candidate.addr.family == FAMILY_NONE)
        return 0;
    snprintf(candidate.id, sizeof candidate.id, "echo%u%u", component + 1, family);
    return jingle_add_candidate(transport, &candidate);
}

static int answer_fingerprint(struct xml *transport, const struct echo *echo, bool active)
{
    struct xml *fingerprint = xml_add(transport, "fingerprint", NS_DTLS);

    return !fingerprint || xml_set(fingerprint, "hash", "sha-256") ||
                   xml_set(fingerprint, "setup", active ? "active" : "passive") ||
                   xml_add_text(fingerprint, echo->fingerprint, strlen(echo->fingerprint))
               ? -ENOMEM
               : 0;
}

// Raw UDP: the first address of each component alone is read, and in the family that was offered.
static bool is_wanted(const struct echo_leg *leg, unsigned family)
{
    const uint8_t offered = leg->terms.peer[0].family;

    return leg->terms.ice || (offered == FAMILY_V6 ? family == 1 : family == 0) ||
           leg->addr[0][!family].family == FAMILY_NONE;
}

static int answer_transport(struct xml *content, const struct xml *offered, const struct echo *echo,
                            const struct echo_leg *leg)
{
    const struct xml *theirs = jingle_transport(offered);
    struct xml *transport = xml_add(content, "transport", theirs->ns);
    int r = transport ? 0 : -ENOMEM;

    if (r == 0 && leg->terms.ice &&
        (xml_set(transport, "ufrag", leg->terms.ours.ufrag) ||
         xml_set(transport, "pwd", leg->terms.ours.pwd)))
        r = -ENOMEM;
    for (unsigned c = 0; c < leg->terms.components; c++)
        for (unsigned f = 0; f < 2 && r == 0; f++)
            if (is_wanted(leg, f))
                r = answer_candidate(transport, leg, c, f);
    if (r == 0 && leg->terms.protection == MEDIA_DTLS)
        r = answer_fingerprint(transport, echo, leg->terms.dtls.active);
    return r;
}

static int answer_content(const struct echo_call *call, struct xml *jingle,
                          const struct xml *offered, const struct echo_leg *leg)
{
    static const char *const same[] = {"creator", "name", "senders", "disposition"};
    struct xml *content = xml_add(jingle, "content", NULL);

    for (size_t i = 0; content && i < sizeof same / sizeof same[0]; i++)
        if (xml_attr(offered, same[i]) && xml_set(content, same[i], xml_attr(offered, same[i])))
            return -ENOMEM;
    if (!content || answer_description(content, offered, &leg->terms) < 0)
        return -ENOMEM;
    return answer_transport(content, offered, call->signal->echo, leg);
}

static int answer_bundle(const struct echo_call *call, struct xml *jingle)
{
    struct xml *group = NULL;

    for (struct xml *c = xml_child(call->offer, "content", NULL); c;
         c = xml_next(c, "content", NULL)) {
        const char *name = xml_attr(c, "name");
        struct xml *x;

        if (echo_leg_of(call->offer, c) < 0 || !is_bundled(call->offer, name))
            continue;
        if (!group)
            group = xml_add(jingle, "group", NS_GROUPING);
        x = group ? xml_add(group, "content", NULL) : NULL;
        if (!x || xml_set(group, "semantics", "BUNDLE") || xml_set(x, "name", name))
            return -ENOMEM;
    }
    return 0;
}

int echo_answer(const struct echo_call *call, struct xml *jingle)
{
    for (struct xml *c = xml_child(call->offer, "content", NULL); c;
         c = xml_next(c, "content", NULL)) {
        int at = echo_leg_of(call->offer, c);

        if (at >= 0 && answer_content(call, jingle, c, &call->leg[at]) < 0)
            return -ENOMEM;
    }
    return answer_bundle(call, jingle);
}
