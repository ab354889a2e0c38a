-- SPDX-License-Identifier: ISC
-- mod_jingle_relay in a Prosody on virtual time (world.lua): what it takes, what becomes of it, and
-- that every stanza goes on exactly once whatever the relay does.
-- Run from the project's directory: lua5.4 tests/prosody/test_mod_jingle_relay.lua

package.path = "tests/prosody/?.lua;" .. package.path;
local World = require "world";
local st = require "util.stanza";

local ALICE, BOB, EVE = "alice@here.test/phone", "bob@here.test/tablet", "eve@far.test/x";

local function equal(found, wanted, what)
  if found ~= wanted then
    error(("%s: %s instead of %s"):format(what or "found", tostring(found), tostring(wanted)), 2);
  end
end

-- Requests that went on as they were although the relay could have had them.
local function failed_open(w)
  return w.counted.failed + w.counted.timeout + w.counted.away;
end

local tests = {};

-- -- What is taken --------------------------------------------------------------------------------

function tests.both_local()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "j1"));
  equal(#w.asked, 1, "requests");
  equal(w:received(BOB), "");
  local inside = w:inside(1);
  equal(inside.attr.from .. inside.attr.to, ALICE .. BOB);
  w:rewrite(1);
  equal(w:received(BOB), "j1:rewritten");
  equal(w.got[1].stanza.attr.xmlns, nil, "xmlns");
  equal(w.got[1].stanza.attr.from, ALICE);
  equal(#w.asked, 1, "requests");
  equal(w.counted.diverted + w.counted.changed, 2);
end

function tests.to_another_server()
  local w = World.new();
  w:say(World.jingle(ALICE, EVE, "j1"));
  equal(w:sent_away(), "");
  w:rewrite(1);
  equal(w:sent_away(), "j1:rewritten");
end

function tests.from_another_server()
  local w = World.new();
  w:hear(World.jingle(EVE, BOB, "j1"));
  w:rewrite(1);
  equal(w:received(BOB), "j1:rewritten");
  equal(#w.asked, 1, "requests");
end

function tests.others_pass()
  local w = World.new();
  w:say(st.iq({ type = "set", id = "a", from = ALICE, to = BOB }):tag("x", { xmlns = "y" })
    :reset());
  w:say(st.iq({ type = "result", id = "b", from = ALICE, to = BOB }));
  w:say(World.jingle(ALICE, "bob@here.test/offline", "c"));
  w:say(World.jingle(ALICE, "room@rooms.here.test/bob", "d"));
  w:hear(World.jingle("room@rooms.here.test/x", BOB, "e"));
  w:say(World.jingle(ALICE, "bob@relay.here.test/x", "f"));
  equal(#w.asked, 0, "requests");
  equal(w:received(BOB), "a:set b:result e:original");
  equal(w:received(ALICE), "c:error d:error f:error");
end

function tests.older_spellings_if_listed()
  local w = World.new({ features = { World.DIVERT, "urn:xmpp:tmp:jingle" } });
  for _, xmlns in ipairs({ "urn:xmpp:tmp:jingle", "http://jabber.org/protocol/jingle" }) do
    w:say(st.iq({ type = "set", id = "a", from = ALICE, to = BOB }):tag("jingle", { xmlns = xmlns })
      :reset());
  end
  equal(#w.asked, 1, "requests");
end

function tests.users_and_domains()
  local w = World.new({ jingle_relay_users = { "bob@here.test" }, jingle_relay_domains = {} });
  w:say(World.jingle(ALICE, EVE, "a"));
  w:say(World.jingle(BOB, EVE, "b"));
  equal(#w.asked, 0, "requests");
  w:say(World.jingle(ALICE, BOB, "c"));
  equal(#w.asked, 1, "requests");
  w = World.new({ jingle_relay_users = { "bob@here.test" },
    jingle_relay_domains = { "far.test" } });
  w:say(World.jingle(ALICE, EVE, "a"));
  w:say(World.jingle(BOB, EVE, "b"));
  w:hear(World.jingle("x@elsewhere.test/x", BOB, "c"));
  equal(#w.asked, 1, "requests");
end

function tests.blocked_contacts_stay_blocked()
  local w = World.new();
  prosody.hosts["here.test"].events.add_handler("iq/full", function (event)
    if event.stanza.attr.to ~= BOB then return; end
    event.origin.send(st.error_reply(event.stanza, "cancel", "service-unavailable"));
    return true;
  end, 100);
  w:say(World.jingle(ALICE, BOB, "j1"));
  equal(#w.asked, 0, "requests");
  equal(w:received(ALICE), "j1:error");
end

function tests.everybody_sees_it_once()
  local w = World.new();
  local seen = {};
  for _, name in ipairs({ "pre-iq/full", "iq/full" }) do
    prosody.hosts["here.test"].events.add_handler(name, function (event)
      table.insert(seen, name .. " " .. World.name(event.stanza));
    end, 0.1);
  end
  w:say(World.jingle(ALICE, EVE, "a"));
  w:rewrite(1);
  w:say(World.jingle(ALICE, BOB, "b"));
  w:rewrite(2);
  equal(table.concat(seen, ", "),
    "pre-iq/full a:original, pre-iq/full b:original, iq/full b:rewritten");
end

function tests.no_client_can_mark_a_stanza()
  local w = World.new();
  local stanza = World.jingle(ALICE, BOB, "j1");
  stanza.attr.jingle_relayed, stanza.tags[1].attr.jingle_relayed = World.RELAY, World.RELAY;
  w:say(stanza);
  equal(#w.asked, 1, "requests");
end

function tests.huge_stanzas_pass()
  local w = World.new();
  local stanza = World.jingle(ALICE, BOB, "j1");
  for _ = 1, 3000 do stanza.tags[1]:tag("x"):up(); end
  w:say(stanza);
  equal(#w.asked, 0, "requests");
  equal(w:received(BOB), "j1:original");
end

-- -- What comes back ------------------------------------------------------------------------------

function tests.passed()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "j1"));
  w:answer(1, function (reply) reply:tag("pass"):up(); end);
  equal(w:received(BOB), "j1:original");
  equal(w.counted.passed, 1);
  equal(w.counted.changed, 0);
end

function tests.answered()
  local w = World.new();
  for n, from in ipairs({ ALICE, EVE }) do
    if from == ALICE then w:say(World.jingle(from, BOB, "j1"));
    else w:hear(World.jingle(from, BOB, "j1")); end
    w:answer(n, function (reply)
      reply:tag("answered"):up():tag("forwarded", { xmlns = World.FORWARD })
        :add_child(st.iq({ xmlns = "jabber:client", type = "result", id = "j1", from = BOB,
          to = from })):up();
    end);
  end
  equal(w:received(BOB), "");
  equal(w:received(ALICE), "j1:result");
  equal(w:sent_away(), "j1:result");
end

-- Whatever is wrong with an answer, the original goes on, once.
local function wrong(fill)
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "j1"));
  fill(w, w:inside(1));
  equal(w:received(BOB), "j1:original");
  equal(w:received(ALICE), "");
  equal(failed_open(w), 1);
  w:say(World.jingle(ALICE, BOB, "j2"));
  equal(#w.asked, 2, "requests");
end

function tests.wrong_answers()
  local changes = { { "from", EVE }, { "to", EVE }, { "id", "other" }, { "type", "get" } };
  for _, change in ipairs(changes) do
    wrong(function (w, inside)
      inside.attr[change[1]] = change[2];
      w:answer_with(1, inside);
    end);
  end
  wrong(function (w) w:answer(1, function () end); end);
  wrong(function (w) w:from_relay(st.reply(w.asked[1])); end);
  wrong(function (w) w:from_relay(st.error_reply(w.asked[1], "modify", "bad-request")); end);
  wrong(function (w, inside)
    local extra = st.clone(inside);
    extra.attr.id, extra.attr.to = "r1", EVE;
    w:answer_with(1, inside, extra);
  end);
  wrong(function (w, inside)
    local many = { inside };
    for n = 1, 128 do -- and the answer itself: one too many
      many[n + 1] = st.clone(inside);
      many[n + 1].attr.id = "r" .. n;
    end
    w:answer_with(1, table.unpack(many));
  end);
  wrong(function (w, inside)
    inside.name = "message";
    w:answer_with(1, inside);
  end);
  wrong(function (w) -- two answers
    w:answer(1, function (reply)
      reply:tag("answered"):up();
      for _ = 1, 2 do
        reply:tag("forwarded", { xmlns = World.FORWARD }):add_child(st.iq({ xmlns = "jabber:client",
          type = "result", id = "j1", from = BOB, to = ALICE })):up();
      end
    end);
  end);
  wrong(function (w, inside) -- not the sender's to read
    w:answer(1, function (reply)
      inside.attr.type = "result";
      reply:tag("answered"):up():tag("forwarded", { xmlns = World.FORWARD }):add_child(inside):up();
    end);
  end);
end

local function offer_of_two(id)
  local stanza = World.jingle(ALICE, BOB, id);
  local jingle = stanza.tags[1];
  for n = 1, 2 do
    jingle:text("\n"):tag("content", { name = "c" .. n }):tag("description", { xmlns = "d" }):up()
      :tag("transport", { xmlns = "t" }):tag("candidate"):up():up():up();
  end
  return stanza;
end

function tests.additions()
  local w = World.new();
  w:say(offer_of_two("j1"));
  equal(w.asked[1].tags[1].attr.additions, "true");
  w:answer(1, function (reply)
    for n = 1, 2 do
      reply:tag("add", { to = "1." .. n .. ".2" }):tag("candidate", { xmlns = "t", id = "r" .. n })
        :up():tag("x", { xmlns = "other" }):up():up();
    end
  end);
  equal(w:received(BOB), "j1:original");
  equal(w.counted.changed, 1);
  for n, content in ipairs(w.got[1].stanza.tags[1].tags) do
    local transport = content.tags[2];
    equal(#transport.tags, 3, "candidates");
    equal(transport.tags[2].attr.id, "r" .. n);
    equal(transport.tags[3].attr.xmlns, "other");
    equal(tostring(transport.tags[2]):match("xmlns='(.-)'"), "t");
  end
end

-- What cannot be added altogether is not added at all.
function tests.additions_to_nothing()
  local places = { "", "1.3.2", "1.1.2.2", "1.1.x", "0", "1.1.-1", ".", "1e1", false };
  for n, place in ipairs(places) do
    local w = World.new();
    w:say(offer_of_two("j1"));
    w:answer(1, function (reply)
      reply:tag("add", { to = "1.1.2" }):tag("candidate", { xmlns = "t" }):up():up()
        :tag("add", { to = place or nil }):tag("candidate", { xmlns = "t" }):up():up();
    end);
    equal(w:received(BOB), "j1:original", "with place " .. n);
    equal(select(2, tostring(w.got[1].stanza):gsub("<candidate", "")), 2, "candidates");
    equal(failed_open(w), 1, "failures");
  end
end

-- The relay of this server gets what a component gets of Prosody, character by character.
function tests.the_request_as_text()
  local w = World.new();
  local stanza = World.jingle(ALICE, BOB, "'<&>\"\195\164");
  stanza.attr["xml:lang"] = "de";
  stanza.tags[1]:tag("a", { xmlns = "x'y", ["urn:1\1b"] = "<1>", ["urn:2\1c"] = "&" })
    :tag("same", { xmlns = "x'y" }):up():tag("other", { xmlns = "z" }):text("x < y & ]]>"):up()
    :text("\n "):up():text("'\"");
  w:say(st.clone(stanza));
  local inside = w:inside(1);
  equal(inside.attr.id .. inside.attr["xml:lang"], stanza.attr.id .. "de");
  local function same(a, b, xmlns)
    equal(a.name, b.name);
    for key, value in pairs(b.attr) do equal(a.attr[key], value, key); end
    for key, value in pairs(a.attr) do
      if key ~= "xmlns" then equal(b.attr[key], value, key); end
    end
    xmlns = b.attr.xmlns or xmlns;
    equal(a.attr.xmlns, xmlns, "xmlns");
    equal(#a, #b, "children");
    for n, child in ipairs(b) do
      if child.name then same(a[n], child, xmlns); else equal(a[n], child); end
    end
  end
  same(inside, stanza, "jabber:client");
  equal(w.asked[1].attr.from .. " " .. w.asked[1].attr.to, "here.test relay.here.test");
  w:from_relay(st.reply(w.asked[1]));
  equal(w.got[1].stanza.attr.xmlns, nil, "xmlns");
end

function tests.answers_of_others_are_nothing()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "j1"));
  local reply = st.reply(w.asked[1]);
  reply.attr.from = "far.test";
  w:hear(reply);
  equal(w:received(BOB), "");
  w:rewrite(1);
  w:rewrite(1);
  equal(w:received(BOB), "j1:rewritten");
end

function tests.extras()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "j1"));
  local first = w:inside(1);
  local there, back = st.clone(first), st.clone(first);
  there.attr.id = "r1";
  back.attr.id, back.attr.from, back.attr.to = "r2", BOB, ALICE;
  w:answer_with(1, first, there, back);
  equal(w:received(BOB), "j1:original r1:original");
  equal(w:received(ALICE), "r2:original");
  for _, id in ipairs({ "j1", "r1", "r1" }) do -- the second r1 is Bob's own business
    w:say(st.iq({ type = "result", id = id, from = BOB, to = ALICE }));
  end
  w:say(st.iq({ type = "result", id = "r2", from = ALICE, to = BOB }));
  equal(w:received(ALICE), "r2:original j1:result r1:result");
  equal(w:received(BOB), "j1:original r1:original");
  equal(#w.asked, 1, "requests");
end

function tests.extras_that_bounce()
  local w = World.new();
  w:hear(World.jingle(EVE, BOB, "j1"));
  local first = w:inside(1);
  local extra = st.clone(first);
  extra.attr.id = "r1";
  prosody.full_sessions[BOB] = nil;
  w:answer_with(1, first, extra);
  equal(w:sent_away(), "j1:error");
  -- The same when the error comes later, and from this server.
  w = World.new();
  w:hear(World.jingle(EVE, BOB, "j1"));
  w:answer_with(1, first, extra);
  w.module:send(st.error_reply(extra, "cancel", "recipient-unavailable"));
  w.module:send(st.error_reply(first, "cancel", "recipient-unavailable"));
  equal(w:sent_away(), "j1:error");
end

function tests.namespaces()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "j1"));
  w:answer(1, function (reply)
    reply:tag("answered"):up():tag("forwarded", { xmlns = World.FORWARD })
      :tag("iq", { xmlns = "jabber:client", type = "error", id = "j1", from = BOB, to = ALICE })
      :tag("error", { xmlns = "jabber:client", type = "cancel" })
      :tag("gone", { xmlns = "urn:ietf:params:xml:ns:xmpp-stanzas" });
  end);
  local stanza = w.got[1].stanza;
  equal(stanza.attr.xmlns, nil, "xmlns");
  equal(stanza.tags[1].attr.xmlns, nil, "xmlns of its error");
  equal(stanza.tags[1].tags[1].attr.xmlns, "urn:ietf:params:xml:ns:xmpp-stanzas");
end

-- -- Order ----------------------------------------------------------------------------------------

function tests.order()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "a"));
  w:say(World.jingle(ALICE, BOB, "b"));
  w:say(st.message({ type = "chat", id = "m", from = ALICE, to = BOB }));
  w:say(st.iq({ type = "result", id = "r", from = ALICE, to = BOB }));
  w:say(World.jingle(ALICE, BOB, "c"));
  w:say(World.jingle(BOB, ALICE, "d")); -- the other direction does not wait
  w:say(World.jingle(ALICE, EVE, "e"));
  equal(#w.asked, 3, "requests");
  w:rewrite(2);
  equal(w:received(ALICE), "d:rewritten");
  equal(w:received(BOB), "");
  prosody.hosts["here.test"].events.add_handler("message/full", function (event)
    return prosody.full_sessions[event.stanza.attr.to].send(event.stanza);
  end);
  w:rewrite(1);
  equal(w:received(BOB), "a:rewritten");
  equal(#w.asked, 4, "requests");
  w:rewrite(4);
  equal(w:received(BOB), "a:rewritten b:rewritten m:chat r:result");
  w:rewrite(5);
  equal(w:received(BOB), "a:rewritten b:rewritten m:chat r:result c:rewritten");
end

function tests.nothing_waits_longer_than_the_timeout()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "a"));
  w:advance(1.5);
  w:say(World.jingle(ALICE, BOB, "b"));
  w:say(World.jingle(ALICE, EVE, "c"));
  w:advance(0.4);
  w:rewrite(1);
  w:advance(1.55); -- b came 1.95 s ago
  equal(w:received(BOB), "a:rewritten");
  w:advance(0.1);
  equal(w:received(BOB), "a:rewritten b:original");
  equal(w:sent_away(), "c:original");
  w:rewrite(2);
  w:rewrite(3);
  equal(w:received(BOB), "a:rewritten b:original");
  equal(failed_open(w), 2);
end

function tests.a_full_queue_goes_on()
  local w = World.new();
  local wanted = {};
  for n = 1, 65 do
    w:say(World.jingle(ALICE, BOB, "j" .. n));
    table.insert(wanted, "j" .. n .. ":original");
  end
  equal(w:received(BOB), table.concat(wanted, " "));
  w:rewrite(1);
  w:say(World.jingle(ALICE, BOB, "k"));
  w:rewrite(2);
  equal(w:received(BOB), table.concat(wanted, " ") .. " k:rewritten");
end

function tests.a_bug_elsewhere_costs_one_stanza()
  local w = World.new();
  prosody.hosts["here.test"].events.add_handler("iq/full", function (event)
    if event.stanza.attr.id == "b" then error("bug"); end
  end, 5);
  for _, id in ipairs({ "a", "b", "c" }) do w:say(World.jingle(ALICE, BOB, id)); end
  w:disconnect();
  equal(w:received(BOB), "a:original c:original");
end

-- -- The relay comes and goes ---------------------------------------------------------------------

function tests.disconnected_in_the_middle()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "a"));
  w:say(World.jingle(ALICE, BOB, "b"));
  w:say(World.jingle(BOB, ALICE, "c"));
  w:hear(World.jingle(EVE, BOB, "d"));
  w:disconnect();
  w:say(World.jingle(ALICE, BOB, "e"));
  equal(w:received(BOB):gsub("d:original ?", ""), "a:original b:original e:original");
  equal(w:received(ALICE), "c:original");
  for n = 1, 3 do w:rewrite(n); end -- late
  equal(#w.got, 5, "stanzas received");
  equal(failed_open(w), 5);
  w:reconnect();
  w:say(World.jingle(ALICE, BOB, "f"));
  equal(#w.asked, 4, "requests");
end

function tests.a_refused_newcomer_is_no_loss()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "a"));
  prosody.hosts[World.RELAY].events.fire_event("component-disconnected",
    { session = { type = "component_unauthed" } });
  equal(w:received(BOB), "");
end

function tests.away_at_first()
  local w = World.new({ features = {} });
  w:say(World.jingle(ALICE, BOB, "a"));
  equal(#w.asked, 0, "requests");
  equal(w:received(BOB), "a:original");
  w.options.features = nil;
  w:advance(61);
  w:say(World.jingle(ALICE, BOB, "b"));
  equal(#w.asked, 1, "requests");
end

-- One that hangs altogether costs two seconds once.
function tests.silent_relay()
  local w = World.new();
  w.deaf = true;
  for n = 1, 10 do w:say(World.jingle(ALICE, EVE, "j" .. n)); end
  w:advance(2);
  w:say(World.jingle(ALICE, EVE, "k1"));
  equal(w:sent_away():match("j10:original k1:original$") and #w.far, 11, "sent on");
  equal(#w.asked, 1, "requests");
  w:advance(20);
  equal(w.logged[#w.logged]:match("is away: it does not answer") ~= nil, true, "the log");
  w.deaf = false;
  w:advance(20);
  w:say(World.jingle(ALICE, EVE, "k2"));
  equal(#w.asked, 2, "requests");
end

-- One that keeps silent about one stanza is asked about the next, and what it has already is not
-- taken from it.
function tests.one_silence()
  local w = World.new();
  w.deaf = true;
  w:say(World.jingle(ALICE, EVE, "a"));
  w:advance(1);
  w:say(World.jingle(ALICE, BOB, "b"));
  w:say(World.jingle(ALICE, BOB, "c"));
  w:advance(1);
  equal(w:sent_away(), "a:original");
  w:rewrite(2);
  equal(w:received(BOB), "b:rewritten c:original");
  w:answer_probe();
  w:say(World.jingle(ALICE, EVE, "d"));
  equal(#w.asked, 3, "requests");
end

function tests.relay_of_another_server()
  local w = World.new({ relay_is_far = true });
  w:say(World.jingle(ALICE, BOB, "a"));
  equal(#w.asked, 1, "requests");
  w.connected = false;
  w:from_relay(st.error_reply(w.asked[1], "wait", "remote-server-timeout"));
  w:say(World.jingle(ALICE, BOB, "b"));
  equal(w:received(BOB), "a:original b:original");
  equal(#w.asked, 1, "requests");
  w:advance(30);
  w.connected = true;
  w:advance(20);
  w:say(World.jingle(ALICE, BOB, "c"));
  equal(#w.asked, 2, "requests");
end

function tests.an_error_may_come_at_once()
  local w = World.new();
  w.connected = false; -- and nobody has told the module
  w:say(World.jingle(ALICE, BOB, "a"));
  w:say(World.jingle(ALICE, BOB, "b"));
  equal(w:received(BOB), "a:original b:original");
end

function tests.unloaded()
  local w = World.new();
  w:say(World.jingle(ALICE, BOB, "a"));
  w:say(World.jingle(ALICE, BOB, "b"));
  w.module.unload();
  equal(w:received(BOB), "a:original b:original");
end

function tests.one_line_a_minute()
  local w = World.new();
  local function lines()
    local count = 0;
    for _, line in ipairs(w.logged) do
      if line:match("^info: %d+ Jingle stanzas") then count = count + 1; end
    end
    return count;
  end
  for n = 1, 20 do
    w:say(World.jingle(ALICE, BOB, "j" .. n));
    w:from_relay(st.error_reply(w.asked[n], "modify", "bad-request"));
  end
  equal(lines(), 1, "lines");
  w:advance(61);
  w:say(World.jingle(ALICE, BOB, "k"));
  w:from_relay(st.error_reply(w.asked[21], "modify", "bad-request"));
  equal(lines(), 2, "lines");
  equal(failed_open(w), 21);
end

-- -- Who leaves -----------------------------------------------------------------------------------

local function gone(w)
  local list = {};
  for _, stanza in ipairs(w.asked) do
    local element = stanza:get_child("gone", World.DIVERT);
    if element then table.insert(list, element.attr.jid); end
  end
  return table.concat(list, " ");
end

function tests.who_leaves_is_told()
  local w = World.new();
  w:go_online("carol@here.test/x");
  w:say(World.jingle(ALICE, BOB, "a"));
  w:go_offline("carol@here.test/x");
  w:go_offline(ALICE);
  equal(gone(w), ALICE);
  w:rewrite(1); -- the sender's session is gone, his stanza is not
  equal(w:received(BOB), "a:rewritten");
  w:disconnect();
  w:go_offline(BOB);
  equal(gone(w), ALICE);
  w:reconnect();
  w:disconnect();
  w:reconnect();
  w:go_online(ALICE);
  w:go_offline(ALICE);
  equal(gone(w), ALICE .. " " .. BOB);
end

function tests.nobody_is_asked_about_who_left()
  local w = World.new();
  w:say(World.jingle(ALICE, EVE, "a"));
  w:say(World.jingle(ALICE, EVE, "b"));
  w:go_offline(ALICE);
  w:rewrite(1);
  equal(w:sent_away(), "a:rewritten b:original");
end

-- ------------------------------------------------------------------------------------------------

local failed, names = 0, {};
for name in pairs(tests) do table.insert(names, name); end
table.sort(names);
for _, name in ipairs(names) do
  local ok, err = xpcall(tests[name], debug.traceback);
  print((ok and "ok   " or "FAIL ") .. name .. (ok and "" or ": " .. err));
  if not ok then failed = failed + 1; end
end
print(("%d tests, %d failed"):format(#names, failed));
os.exit(failed == 0 and 0 or 1);
