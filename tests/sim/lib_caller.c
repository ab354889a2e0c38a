// SPDX-License-Identifier: ISC
// See lib_caller.h.
#include "sim/lib_caller.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

uint64_t dialog_random(struct dialog *d, uint64_t below)
{
    uint64_t z = (d->random += 0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return (z ^ (z >> 31)) % below;
}

static bool chance(struct dialog *d, unsigned percent)
{
    return dialog_random(d, 100) < percent;
}

void caller_renew(struct dialog *d, enum side side)
{
    struct caller *c = &d->side[side];

    c->generation++;
    snprintf(c->ufrag, sizeof c->ufrag, "%c%u%06x", side ? 'b' : 'a', c->generation & 0xff,
             (unsigned)dialog_random(d, 1 << 24));
    snprintf(c->pwd, sizeof c->pwd, "%08x%08x%08x", (unsigned)dialog_random(d, 1u << 31),
             (unsigned)dialog_random(d, 1u << 31), (unsigned)dialog_random(d, 1u << 31));
}

// ---- pieces

static void begin(struct dialog *d, enum side from, const char *action, struct buf *out)
{
    const struct caller *c = &d->side[from];

    buf_printf(out,
               "<iq xmlns='jabber:client' type='set' from='%s' to='%s' id='q%s.%u'><jingle "
               "xmlns='urn:xmpp:jingle:1' action='%s' sid='%s'",
               c->jid, c->peer, d->sid, ++d->ids, action, d->sid);
    if (chance(d, 50))
        buf_printf(out, " initiator='%s'", from == SIDE_INITIATOR ? c->jid : c->peer);
    buf_puts(out, ">");
}

static void end(struct buf *out)
{
    buf_puts(out, "</jingle></iq>");
}

static void candidate(struct dialog *d, bool raw, unsigned component, struct buf *out)
{
    unsigned port = 1024 + (unsigned)dialog_random(d, 60000);

    buf_printf(out, "<candidate component='%u' id='c%u' ip='10.%u.0.1' port='%u'", component, port,
               (unsigned)dialog_random(d, 256), port);
    if (!raw)
        buf_puts(out, " foundation='1' priority='2130706431' protocol='udp' type='host'");
    buf_puts(out, "/>");
}

static void transport(struct dialog *d, enum side from, bool raw, unsigned candidates,
                      struct buf *out)
{
    const struct caller *c = &d->side[from];
    bool trickled = candidates > 0 && c->style.leaves_out_pwd;

    buf_printf(out, "<transport xmlns='%s'",
               raw                     ? NS_RAW_UDP
               : d->side[0].style.ice0 ? NS_ICE
                                       : NS_ICE_UDP);
    if (!raw)
        buf_printf(out, " ufrag='%s'", c->ufrag);
    if (!raw && !trickled)
        buf_printf(out, " pwd='%s'", c->pwd);
    buf_puts(out, ">");
    for (unsigned i = 0; i < candidates; i++)
        candidate(d, raw, 1 + i % 2, out);
    buf_puts(out, "</transport>");
}

static void open_content(struct dialog *d, enum side from, const struct caller_content *content,
                         struct buf *out)
{
    bool responder = content->creator == SIDE_RESPONDER;

    if (d->side[from].style.wrong_creator && chance(d, 50))
        responder = from == SIDE_RESPONDER;
    buf_printf(out, "<content creator='%s' name='%s'>", responder ? "responder" : "initiator",
               content->name);
}

static void description(struct dialog *d, enum side from, struct buf *out)
{
    buf_printf(out,
               "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>%s</description>",
               d->side[from].style.muxes ? "<rtcp-mux/>" : "");
}

// With description and transport, as in offers and their acceptance.
static void whole_content(struct dialog *d, enum side from, const struct caller_content *content,
                          struct buf *out)
{
    bool early = !d->side[from].style.trickles;

    open_content(d, from, content, out);
    description(d, from, out);
    transport(d, from, content->raw, content->raw || early ? 2 : 0, out);
    buf_puts(out, "</content>");
}

static void bundle(struct dialog *d, enum side from, struct buf *out)
{
    if (!d->side[from].style.bundles)
        return;
    buf_printf(out, "<group xmlns='%s' semantics='BUNDLE'>", NS_GROUPING);
    for (int i = 0; i < CALLER_CONTENTS; i++) {
        if (d->content[i].used)
            buf_printf(out, "<content name='%s'/>", d->content[i].name);
    }
    buf_puts(out, "</group>");
}

static struct caller_content *new_content(struct dialog *d, enum side creator)
{
    for (int i = 0; i < CALLER_CONTENTS; i++) {
        struct caller_content *c = &d->content[i];

        if (c->used)
            continue;
        *c = (struct caller_content){
            .used = true, .creator = creator, .raw = d->side[creator].style.raw};
        snprintf(c->name, sizeof c->name, "%d", i & 7);
        return c;
    }
    return NULL;
}

static struct caller_content *some_content(struct dialog *d)
{
    struct caller_content *c = &d->content[dialog_random(d, CALLER_CONTENTS)];

    return c->used ? c : &d->content[0];
}

static void one(struct dialog *d, enum side from, const char *action,
                const struct caller_content *content, const char *inner, struct buf *out)
{
    begin(d, from, action, out);
    open_content(d, from, content, out);
    buf_puts(out, inner);
    buf_puts(out, "</content>");
    end(out);
}

// ---- stanzas

void caller_propose(struct dialog *d, enum side from, const char *what, struct buf *out)
{
    const struct caller *c = &d->side[from];

    buf_printf(out,
               "<message xmlns='jabber:client' from='%s' to='%s'><%s "
               "xmlns='urn:xmpp:jingle-message:0' id='%s'/></message>",
               c->jid, c->peer, what, d->sid);
}

void caller_initiate(struct dialog *d, unsigned contents, struct buf *out)
{
    begin(d, SIDE_INITIATOR, "session-initiate", out);
    for (unsigned i = 0; i < contents; i++)
        whole_content(d, SIDE_INITIATOR, new_content(d, SIDE_INITIATOR), out);
    bundle(d, SIDE_INITIATOR, out);
    end(out);
}

void caller_accept(struct dialog *d, struct buf *out)
{
    begin(d, SIDE_RESPONDER, "session-accept", out);
    for (int i = 0; i < CALLER_CONTENTS; i++) {
        struct caller_content *c = &d->content[i];

        if (!c->used || c->creator != SIDE_INITIATOR || (i > 0 && chance(d, 20)))
            continue;
        c->accepted = true;
        whole_content(d, SIDE_RESPONDER, c, out);
    }
    bundle(d, SIDE_RESPONDER, out);
    end(out);
}

void caller_terminate(struct dialog *d, enum side from, const char *reason, struct buf *out)
{
    begin(d, from, "session-terminate", out);
    buf_printf(out, "<reason><%s/></reason>", reason);
    end(out);
}

void caller_restart(struct dialog *d, enum side from, struct buf *out)
{
    caller_renew(d, from);
    begin(d, from, "transport-info", out);
    for (int i = 0; i < CALLER_CONTENTS; i++) {
        if (!d->content[i].used || d->content[i].raw)
            continue;
        open_content(d, from, &d->content[i], out);
        transport(d, from, false, 0, out);
        buf_puts(out, "</content>");
    }
    end(out);
}

static void trickle(struct dialog *d, enum side from, struct buf *out)
{
    const struct caller_content *content = some_content(d);

    begin(d, from, "transport-info", out);
    open_content(d, from, content, out);
    transport(d, from, content->raw, 1 + (unsigned)dialog_random(d, 3), out);
    buf_puts(out, "</content>");
    end(out);
}

static void add(struct dialog *d, enum side from, struct buf *out)
{
    struct caller_content *content = new_content(d, from);

    if (!content)
        content = some_content(d); // twice the same
    begin(d, from, "content-add", out);
    whole_content(d, from, content, out);
    if (chance(d, 50))
        bundle(d, from, out);
    end(out);
}

static void drop(struct dialog *d, enum side from, struct buf *out)
{
    struct caller_content *content = some_content(d);

    one(d, from, "content-remove", content, "", out);
    content->used = content == &d->content[0]; // mostly
}

static void replace(struct dialog *d, enum side from, struct buf *out)
{
    struct caller_content *content = some_content(d);

    if (chance(d, 30))
        caller_renew(d, from);
    begin(d, from, "transport-replace", out);
    open_content(d, from, content, out);
    transport(d, from, !content->raw, 1, out);
    buf_puts(out, "</content>");
    end(out);
}

static void nonsense(struct dialog *d, enum side from, struct buf *out)
{
    static const char *const actions[] = {"session-accept", "session-initiate", "transport-accept",
                                          "content-accept", "transport-reject", "content-reject",
                                          "dance"};
    static const char bad_port[] = "<transport xmlns='urn:xmpp:jingle:transports:raw-udp:1'>"
                                   "<candidate ip='1.2.3.4' port='70000'/></transport>";
    static const char *const inner[] = {"", "<description xmlns='urn:x'/>",
                                        "<transport xmlns='urn:x'><candidate ip='1'/></transport>",
                                        bad_port};

    one(d, from, actions[dialog_random(d, 7)], some_content(d), inner[dialog_random(d, 4)], out);
}

void caller_act(struct dialog *d, enum side from, struct buf *out)
{
    static const char *const infos[] = {"session-info", "description-info", "security-info",
                                        "content-modify"};

    switch (dialog_random(d, 10)) {
    case 0:
        add(d, from, out);
        break;
    case 1:
        drop(d, from, out);
        break;
    case 2:
        replace(d, from, out);
        break;
    case 3:
        caller_restart(d, from, out);
        break;
    case 4:
        nonsense(d, from, out);
        break;
    case 5:
    case 6:
        one(d, from, infos[dialog_random(d, 4)], some_content(d), "", out);
        break;
    default:
        trickle(d, from, out);
        break;
    }
}

// ---- reactions

static struct caller_content *content_named(struct dialog *d, const char *name)
{
    for (int i = 0; i < CALLER_CONTENTS; i++) {
        if (d->content[i].used && name && strcmp(d->content[i].name, name) == 0)
            return &d->content[i];
    }
    return NULL;
}

static void answer_replace(struct dialog *d, enum side to, struct caller_content *content,
                           struct buf *out)
{
    bool accepts = chance(d, 60);

    if (accepts)
        content->raw = !content->raw;
    begin(d, to, accepts ? "transport-accept" : "transport-reject", out);
    open_content(d, to, content, out);
    transport(d, to, accepts ? content->raw : !content->raw, 2, out);
    buf_puts(out, "</content>");
    end(out);
}

static void answer_add(struct dialog *d, enum side to, struct caller_content *content,
                       struct buf *out)
{
    bool accepts = chance(d, 60);

    begin(d, to, accepts ? "content-accept" : "content-reject", out);
    whole_content(d, to, content, out);
    end(out);
    content->accepted |= accepts;
    content->used &= accepts;
}

void caller_react(struct dialog *d, enum side to, const struct xml *jingle, struct buf *out)
{
    enum jingle_action action = jingle_action(xml_attr(jingle, "action"));
    const struct xml *x = xml_child(jingle, "content", NULL);
    struct caller_content *content = x ? content_named(d, xml_attr(x, "name")) : NULL;

    if (!content || chance(d, 15))
        return;
    if (action == JINGLE_TRANSPORT_REPLACE)
        answer_replace(d, to, content, out);
    else if (action == JINGLE_CONTENT_ADD)
        answer_add(d, to, content, out);
}
