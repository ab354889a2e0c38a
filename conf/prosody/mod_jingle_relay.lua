-- SPDX-License-Identifier: ISC
-- Hands the Jingle requests of this host's users to jingle-relayd and sends on what comes back, so
-- that calls find a relay although neither client knows of one. The protocol is docs/DIVERT.md, the
-- options are in docs/OPERATING.md. For Prosody 0.12 and later.
--
-- The rule above all others: a stanza goes on exactly once, with the relay or without it. Whatever
-- goes wrong, the original goes on; nothing waits for longer than jingle_relay_timeout.
--
-- What it costs is mostly memory that must be collected: with Prosody's settings each KiB that a
-- stanza takes costs more CPU time than to handle it. So nothing is copied that need not be, and
-- what can be kept is.

local st = require "util.stanza";
local cache = require "util.cache";
local jid = require "util.jid";
local random_id = require "util.id".medium;
local now = require "util.time".monotonic;

local hosts, full_sessions = prosody.hosts, prosody.full_sessions;
local find, match, escape = string.find, string.match, st.xml_escape;

local DIVERT = "urn:xmpp:jingle-relayd:divert:1";
local FORWARD = "urn:xmpp:forward:0";
local CLIENT = "jabber:client";
local JINGLE = "urn:xmpp:jingle:1";
local DISCO = "http://jabber.org/protocol/disco#info";
local XML = "http://www.w3.org/XML/1998/namespace";

local QUEUE_MAX = 64; -- stanzas of one pair that wait
local HELD_MAX = 8192; -- stanzas that wait altogether
local FORWARDED_MAX = 128; -- stanzas in one answer
local RETRY = 10; -- seconds until a relay that is away is asked again
local RETRY_OTHER = 60; -- ... that was something else when asked
local QUIET = 60; -- seconds between two lines about stanzas that went on without the relay
local ELEMENTS_MAX = 2000; -- in a stanza that the relay is troubled with; a call has some hundreds
local EXTRAS_MAX = 4096; -- stanzas of the relay's own whose answers are awaited

local relay = jid.prep(module:get_option_string("jingle_relay_component"));
local timeout = module:get_option_number("jingle_relay_timeout", 2);

-- The members of an option as the keys of a table; nil where there is no such option.
local function option_keys(name)
  local values = module:get_option_set(name);
  if not values then return nil; end
  local keys = {};
  for value in values do keys[jid.prep(value) or value] = true; end
  return keys;
end

local users, domains = option_keys("jingle_relay_users"), option_keys("jingle_relay_domains");

-- What became of requests: handed to the relay, and of these changed, passed unchanged or answered
-- by it; gone on as they were because it failed, kept silent or was away.
local count, OUTCOMES = {},
  { "diverted", "changed", "passed", "answered", "failed", "timeout", "away" };
for _, name in ipairs(OUTCOMES) do count[name] = module:measure(name, "counter"); end
local measure_delay = module:measure("delay", "times");

-- What is known of the relay.
local ready = false; -- it said that it takes our requests
local doubted = false; -- it was ready, then kept silent, and has not yet said whether it is there
local features = {};
local retry_at = 0;

-- id of a request to the relay -> the queue that waits for the answer, or a function for it
local requests = {};

-- "from\0to" -> the stanzas of this direction of a pair: the one at [first] is with the relay, the
-- others wait for it. An item is { stanza, origin, since, wanted }.
local queues = {};
local held = 0;

-- "from\0to\0id" of the answers that nobody but the relay would have expected.
local extras = cache.new(EXTRAS_MAX);

-- Full JIDs of this host that the relay knows of, and those that left while it was away.
local known, left = {}, {};

local failures, complained = 0, -math.huge;

local function key_of(from, to, id)
  return id and from .. "\0" .. to .. "\0" .. id or from .. "\0" .. to;
end

-- One line per QUIET seconds about what went on without the relay.
local function complain(kind, stanza, why)
  count[kind](1);
  failures = failures + 1;
  module:log("debug", "IQ %s from %s goes on without the relay: %s", stanza.attr.id,
    stanza.attr.from, why);
  if now() - complained < QUIET then return; end
  module:log("info", "%d Jingle stanzas went on without the relay, the last from %s to %s: %s",
    failures, stanza.attr.from, stanza.attr.to, why);
  failures, complained = 0, now();
end

-- -- What goes on ---------------------------------------------------------------------------------

-- Answers find their way by address: the session may have been resumed, or be gone.
local function answer(reply)
  return module:send(reply);
end

-- A stanza that goes on comes by our hooks again. It is recognised by its origin: a stand-in for
-- the session that it came from, with a field that only this server's code can set. The session
-- keeps its stand-in for the next time.
local function stand_in(origin)
  local kept = rawget(origin, "jingle_relay_stand_in");
  if not kept or kept.send ~= answer then
    kept = setmetatable({ jingle_relayed = relay, send = answer }, { __index = origin });
    origin.jingle_relay_stand_in = kept;
  end
  return kept;
end

local function is_ours(event)
  return event.origin and event.origin.jingle_relayed == relay;
end

-- Sends from this host, without the pre-events, which the original has behind it. An error in
-- somebody's handler may cost this stanza, as it always would, but not those behind it.
local function post(stanza, origin)
  local ok, err = pcall(module.send, module, stanza, stand_in(origin));
  if not ok then module:log("error", "Could not send on %s: %s", stanza:top_tag(), err); end
end

local function send_on(item, stanza)
  post(stanza, item.origin);
end

local function send_extra(item, stanza)
  local attr = stanza.attr;
  extras:set(key_of(attr.to, attr.from, attr.id), true);
  post(stanza, item.origin);
end

-- Whether this is the answer to a stanza of the relay's own, which its seeming sender never sent.
local function is_answer_to_extra(stanza)
  local attr = stanza.attr;
  if stanza.name ~= "iq" or (attr.type ~= "result" and attr.type ~= "error") then return false; end
  if not (attr.from and attr.to and attr.id) or extras:count() == 0 then return false; end
  local key = key_of(attr.from, attr.to, attr.id);
  if not extras:get(key) then return false; end
  extras:set(key, nil);
  return true;
end

-- -- What comes back ------------------------------------------------------------------------------

-- In Prosody the elements of a stanza's own namespace bear none; stream management does not count
-- those that do.
local function strip(element)
  if element.attr.xmlns ~= CLIENT then return element; end
  element.attr.xmlns = nil;
  for _, child in ipairs(element.tags) do strip(child); end
  return element;
end

local function is_between(stanza, one, other)
  local from, to = stanza.attr.from, stanza.attr.to;
  return from == one and to == other or from == other and to == one;
end

-- Whether the relay may send this as number N in place of the original.
local function is_proper(stanza, n, original)
  local attr, old = stanza.attr, original.attr;
  if n == 1 then
    return attr.from == old.from and attr.to == old.to and attr.type == "set" and attr.id == old.id;
  end
  return is_between(stanza, old.from, old.to) and attr.type == "set" and attr.id ~= nil
    and attr.id ~= old.id;
end

local function is_proper_answer(stanza, original)
  local attr, old = stanza.attr, original.attr;
  return attr.from == old.to and attr.to == old.from and attr.id == old.id
    and (attr.type == "result" or attr.type == "error");
end

-- An element by the numbers of elements among their siblings that lead to it, such as "1.1.2".
local function element_at(stanza, place)
  local element = stanza;
  for number in place:gmatch("[^.]+") do
    element = element and element.tags[tonumber(number)];
  end
  return element ~= stanza and element or nil;
end

-- The relay may send only what it adds, each with its place. Nothing is added unless all can be.
local function add_to(original, divert)
  local places = {};
  for n, add in ipairs(divert.tags) do
    places[n] = add.name == "add" and add.attr.to and element_at(original, add.attr.to);
    if not places[n] then return nil, "the relay adds something to nothing"; end
  end
  for n, add in ipairs(divert.tags) do
    for _, element in ipairs(add.tags) do places[n]:add_direct_child(element); end
  end
  return "changed", { original };
end

-- What the relay says about a stanza: "changed" or "answered" and the stanzas that it sent,
-- "passed"; or nil and what is wrong.
local function read_verdict(reply, original)
  local divert = reply:get_child("divert", DIVERT);
  if not divert then return nil, "the relay's answer is malformed"; end
  if divert:get_child("add", DIVERT) then return add_to(original, divert); end
  if divert:get_child("pass", DIVERT) then return "passed"; end
  local answered = divert:get_child("answered", DIVERT) ~= nil;
  local stanzas = {};
  for forwarded in divert:childtags("forwarded", FORWARD) do
    local stanza = forwarded:get_child("iq", CLIENT) or forwarded:get_child("iq");
    if not stanza then return nil, "the relay forwards something else than an IQ"; end
    local proper;
    if answered then
      proper = #stanzas == 0 and is_proper_answer(stanza, original);
    else
      proper = is_proper(stanza, #stanzas + 1, original);
    end
    if not proper then return nil, "the relay's stanza is not what it may send"; end
    if #stanzas == FORWARDED_MAX then return nil, "the relay sends too many stanzas"; end
    table.insert(stanzas, strip(stanza));
  end
  if #stanzas == 0 then return nil, "the relay's answer is empty"; end
  return answered and "answered" or "changed", stanzas;
end

-- -- Requests to the relay ------------------------------------------------------------------------

local id_prefix, last_id = random_id(), 0;

local function new_id()
  last_id = last_id + 1;
  return id_prefix .. last_id;
end

local function request(type, id)
  return st.iq({ type = type, id = id or new_id(), from = module.host, to = relay });
end

-- Prosody has four attributes of the namespace of "xml:" under names with that prefix. Others, and
-- elements, it would write with the namespace spelled out, which is forbidden: every parser ends the
-- stream. Here they get their prefix, too; names that have one are written as they are.
local function respell(element)
  local attr, names = element.attr, nil;
  for key in pairs(attr) do
    if find(key, "\1", 1, true) and find(key, XML, 1, true) == 1 then
      names = names or {};
      names[key] = match(key, "\1(.*)$");
    end
  end
  for key, name in pairs(names or {}) do attr["xml:" .. name], attr[key] = attr[key], nil; end
  if attr.xmlns == XML then element.name, attr.xmlns = "xml:" .. element.name, nil; end
  for _, child in ipairs(element.tags) do respell(child); end
end

local pieces = {}; -- of a text; kept, for the next one is about as long

local function plain(text)
  return find(text, "['\"&<>]") and escape(text) or text;
end

-- Writes an element after that many pieces; returns how many there are then.
local function write(element, n, parent_xmlns)
  local name, xmlns, prefixes = element.name, element.attr.xmlns, 0;
  pieces[n + 1], pieces[n + 2] = "<", name;
  n = n + 2;
  for key, value in pairs(element.attr) do
    if find(key, "\1", 1, true) then
      local namespace, attribute = match(key, "^([^\1]*)\1(.*)$");
      prefixes = prefixes + 1;
      key = ("xmlns:a%d='%s' a%d:%s"):format(prefixes, plain(namespace), prefixes, attribute);
    end
    if key ~= "xmlns" or value ~= parent_xmlns then
      pieces[n + 1], pieces[n + 2], pieces[n + 3] = " ", key, "='";
      pieces[n + 4], pieces[n + 5] = plain(value), "'";
      n = n + 5;
    end
  end
  if #element == 0 then
    pieces[n + 1] = "/>";
    return n + 1;
  end
  pieces[n + 1] = ">";
  n = n + 1;
  for i = 1, #element do
    local child = element[i];
    if child.name then
      n = write(child, n, xmlns);
    else
      n = n + 1;
      pieces[n] = plain(child);
    end
  end
  pieces[n + 1], pieces[n + 2], pieces[n + 3] = "</", name, ">";
  return n + 3;
end

local REQUEST = "' type='set' from='" .. plain(module.host) .. "' to='" .. plain(relay or "")
  .. "'><divert xmlns='" .. DIVERT .. "' additions='true'><forwarded xmlns='" .. FORWARD .. "'>";

local function request_text(stanza, id)
  pieces[1], pieces[2], pieces[3] = "<iq id='", id, REQUEST;
  stanza.attr.xmlns = CLIENT;
  local n = write(stanza, 3) + 1;
  stanza.attr.xmlns = nil;
  pieces[n] = "</forwarded></divert></iq>";
  return table.concat(pieces, "", 1, n);
end

local function request_stanza(stanza, id)
  local inner = st.clone(stanza);
  inner.attr.xmlns = CLIENT;
  return request("set", id):tag("divert", { xmlns = DIVERT, additions = "true" })
    :tag("forwarded", { xmlns = FORWARD }):add_child(inner):reset();
end

-- Asks the relay about a stanza. If it is a component of this server it gets the request as text,
-- straight into its stream.
local function ask(stanza, id)
  local here = hosts[relay];
  local component = here and here.modules.component;
  local session = component and component.connected and component.session;
  if session then
    session.send(request_text(stanza, id));
  else
    module:send(request_stanza(stanza, id));
  end
end

-- -- Queues ---------------------------------------------------------------------------------------

local function head(queue)
  return queue[queue.first];
end

local function pop(queue)
  local item = head(queue);
  queue[queue.first] = nil;
  queue.first = queue.first + 1;
  held = held - 1;
  return item;
end

local function forget_request(queue)
  if queue.request then requests[queue.request] = nil; end
  queue.request = nil;
end

-- What went on may have brought its successor already.
local function remove(queue)
  if queues[queue.key] == queue then queues[queue.key] = nil; end
end

-- Everything in a queue goes on as it is, in its order.
local function flush(queue, kind, why)
  forget_request(queue);
  while head(queue) do
    local item = pop(queue);
    if item.wanted then complain(kind, item.stanza, why); end
    send_on(item, item.stanza);
  end
  remove(queue);
end

local function flush_all(kind, why)
  local all = {};
  for _, queue in pairs(queues) do table.insert(all, queue); end
  for _, queue in ipairs(all) do flush(queue, kind, why); end
end

-- From now on, and for what waits, calls go on without the relay.
local function lose(why, pause)
  retry_at = now() + (pause or RETRY);
  if ready or doubted then
    ready, doubted = false, false;
    module:log("info", "%s is away: %s. Calls go on without it", relay, why);
    module:set_status("warn", "The relay is away: " .. why);
  end
  flush_all("away", why);
end

-- Errors that servers make in the name of a relay that is not there.
local AWAY = { ["remote-server-not-found"] = true, ["remote-server-timeout"] = true };

local function deliver(item, outcome, stanzas)
  count[outcome](1);
  if outcome == "passed" then
    send_on(item, item.stanza);
  elseif outcome == "answered" then
    post(stanzas[1], hosts[module.host]);
  else
    send_on(item, stanzas[1]);
    for n = 2, #stanzas do send_extra(item, stanzas[n]); end
  end
end

local advance, probe;

local function on_verdict(queue, reply)
  local item = head(queue);
  forget_request(queue);
  if reply.attr.type == "error" then
    local _, condition = reply:get_error();
    if AWAY[condition] then return lose(condition); end
    pop(queue);
    complain("failed", item.stanza, condition);
    send_on(item, item.stanza);
  else
    local outcome, stanzas = read_verdict(reply, item.stanza);
    pop(queue);
    if outcome then
      module:log("debug", "IQ %s from %s to %s: %s", item.stanza.attr.id, item.stanza.attr.from,
        item.stanza.attr.to, outcome);
      deliver(item, outcome, stanzas);
    else
      complain("failed", item.stanza, stanzas);
      send_on(item, item.stanza);
    end
  end
  item.measured();
  return advance(queue);
end

-- A stanza that the relay chokes on, or a relay that hangs? Until it has said that it is there
-- nobody else waits for it.
local function on_silence(queue)
  flush(queue, "timeout", "the relay did not answer in time");
  if not ready then return; end
  ready, doubted = false, true;
  probe();
end

-- One alarm for all that is with the relay. What came later is due later, so that what is asked
-- about while it is set is not due before it.
local alarm = false;

local function on_alarm()
  local overdue, first = {}, nil;
  for _, queue in pairs(queues) do
    if queue.request and head(queue).since + timeout <= now() then table.insert(overdue, queue); end
  end
  for _, queue in ipairs(overdue) do
    if queue.request then on_silence(queue); end
  end
  for _, queue in pairs(queues) do
    local due = queue.request and head(queue).since + timeout;
    if due and (not first or due < first) then first = due; end
  end
  alarm = first ~= nil;
  return first and math.max(first - now(), 0);
end

local function set_alarm(due)
  if alarm then return; end
  alarm = true;
  module:add_timer(due - now(), on_alarm);
end

local function note_local(address)
  local session = full_sessions[address];
  if session and session.host == module.host then known[address] = true; end
end

local function consult(queue, item)
  local id, attr = new_id(), item.stanza.attr;
  respell(item.stanza);
  note_local(attr.from);
  note_local(attr.to);
  count.diverted(1);
  item.measured = measure_delay();
  queue.request, requests[id] = id, queue;
  set_alarm(item.since + timeout);
  ask(item.stanza, id);
end

-- A relay that was told that somebody left would not learn again of what he said before.
local function is_still_here(address)
  return full_sessions[address] ~= nil or jid.host(address) ~= module.host;
end

local function is_worth_asking(item)
  local attr = item.stanza.attr;
  if not item.wanted or not is_still_here(attr.from) or not is_still_here(attr.to) then
    return false;
  elseif not ready then
    complain("away", item.stanza, "the relay is away");
    return false;
  elseif now() >= item.since + timeout then
    complain("timeout", item.stanza, "it waited too long for those before it");
    return false;
  end
  return true;
end

-- Sends on what need not wait, up to the first stanza that goes to the relay.
function advance(queue)
  while head(queue) do
    local item = head(queue);
    if is_worth_asking(item) then return consult(queue, item); end
    pop(queue);
    send_on(item, item.stanza);
  end
  remove(queue);
end

-- Answers from the relay, and errors in its name.
local function on_reply(event)
  local stanza = event.stanza;
  local attr = stanza.attr;
  if attr.from ~= relay or (attr.type ~= "result" and attr.type ~= "error") then return; end
  local asker = requests[attr.id];
  if not asker then return; end -- late, or somebody else's
  requests[attr.id] = nil;
  if type(asker) == "function" then asker(stanza); else on_verdict(asker, stanza); end
  return true;
end

-- -- What to take ---------------------------------------------------------------------------------

local function has_jingle(stanza)
  for _, child in ipairs(stanza.tags) do
    local xmlns = child.attr.xmlns;
    if (child.name == "jingle" or child.name == "session")
      and (xmlns == JINGLE or features[xmlns]) then
      return true;
    end
  end
  return false;
end

-- The elements of a stanza, counted up to a limit: relays take some thousands at most.
local function is_small(element, left_over)
  for _, child in ipairs(element.tags) do
    left_over = left_over - 1;
    if left_over <= 0 then return false; end
    local small, rest = is_small(child, left_over);
    if not small then return false; end
    left_over = rest;
  end
  return true, left_over;
end

-- The domain of a user, not of a chat room's occupant: those of ours are no users, the room passes
-- their stanzas on under other names.
local function domain_of_user(address)
  local session = full_sessions[address];
  if session then return session.host; end
  local node, host, resource = jid.split(address);
  local here = hosts[host];
  return node and resource and host ~= relay and not (here and here.modules.muc) and host;
end

local function is_listed(from, from_host, to, to_host)
  if domains then
    for _, host in ipairs({ from_host, to_host }) do
      if host ~= module.host and not domains[host] then return false; end
    end
  end
  if not users then return true; end
  return from_host == module.host and users[jid.bare(from)]
    or to_host == module.host and users[jid.bare(to)] or false;
end

local function is_wanted(stanza)
  local attr = stanza.attr;
  if stanza.name ~= "iq" or attr.type ~= "set" or not attr.id then return false; end
  if not attr.from or not has_jingle(stanza) then return false; end
  local from_host, to_host = domain_of_user(attr.from), domain_of_user(attr.to);
  return from_host and to_host and is_listed(attr.from, from_host, attr.to, to_host)
    and is_still_here(attr.to) and is_small(stanza, ELEMENTS_MAX);
end

local function enqueue(queue, event, wanted)
  queue.last = queue.last + 1;
  held = held + 1;
  queue[queue.last] = { stanza = event.stanza, origin = event.origin or hosts[module.host],
    since = now(), wanted = wanted };
end

-- Most stanzas are none of ours, and this is to be quick about them.
local function is_nothing(stanza)
  return held == 0 and extras:count() == 0 and (stanza.name ~= "iq" or stanza.attr.type ~= "set");
end

-- Takes a stanza for the relay, and any stanza between two full JIDs that must not overtake one.
local function take(event)
  local stanza = event.stanza;
  if is_nothing(stanza) or is_ours(event) then return; end
  if is_answer_to_extra(stanza) then return true; end
  local wanted = is_wanted(stanza);
  if held == 0 and not wanted then return; end
  local from, to = stanza.attr.from, stanza.attr.to;
  if not from or not to then return; end
  local key = key_of(from, to);
  local queue = queues[key];
  if queue then
    if queue.last - queue.first + 1 >= QUEUE_MAX or held >= HELD_MAX then
      flush(queue, "failed", "too many stanzas wait");
      return;
    end
    enqueue(queue, event, wanted);
    return true;
  end
  if not wanted then return; end
  if not ready then return complain("away", stanza, "the relay is away"); end
  if held >= HELD_MAX then return complain("failed", stanza, "too many stanzas wait"); end
  queue = { key = key, first = 1, last = 0 };
  queues[key] = queue;
  enqueue(queue, event, wanted);
  advance(queue);
  return true;
end

-- What goes to users of this host is taken where it arrives, when it is past their block lists.
local function take_outgoing(event)
  local stanza = event.stanza;
  if is_nothing(stanza) or jid.host(stanza.attr.to) == module.host then return; end
  return take(event);
end

-- -- Finding the relay ----------------------------------------------------------------------------

local function tell_gone(address)
  module:send(request("set"):tag("gone", { xmlns = DIVERT, jid = address }):reset());
end

local function on_features(reply)
  local query = reply.attr.type == "result" and reply:get_child("query", DISCO);
  local found = {};
  if query then
    for feature in query:childtags("feature") do found[feature.attr.var or ""] = true; end
  end
  if not found[DIVERT] then
    local _, condition = reply:get_error();
    module:log("debug", "%s does not take our Jingle: %s", relay, condition or "not a feature");
    return lose("it does not take our Jingle", query and RETRY_OTHER);
  end
  features = found;
  if not ready and not doubted then
    module:log("info", "Jingle of %s goes by way of %s", module.host, relay);
    module:set_status("info", "Calls go by way of " .. relay);
  end
  ready, doubted = true, false;
  for address in pairs(left) do tell_gone(address); end
  left = {};
end

local probing; -- the id of our last question

function probe()
  if probing then requests[probing] = nil; end
  retry_at = now() + RETRY;
  probing = new_id();
  requests[probing] = on_features;
  module:send(request("get", probing):tag("query", { xmlns = DISCO }):reset());
end

-- Whether a component of this server is connected; nil when it is one of another server.
local function is_connected()
  local here = hosts[relay];
  local component = here and here.modules.component;
  if not here then return nil; end
  return component ~= nil and component.connected == true;
end

local function watch()
  if doubted and now() >= retry_at then lose("it does not answer", 0); end
  if not ready and now() >= retry_at and is_connected() ~= false then probe(); end
  return RETRY;
end

local attached = false;

-- What anybody sends straight to the component must not end its stream either.
local function guard(event)
  respell(event.stanza);
end

-- A component of this server is followed by its events.
local function attach()
  if attached or not hosts[relay] then return; end
  attached = true;
  local component = module:context(relay);
  for _, name in ipairs({ "iq", "message", "presence" }) do
    for _, form in ipairs({ "/bare", "/full", "/host" }) do component:hook(name .. form, guard); end
  end
  component:hook("component-authenticated", function () probe(); end);
  component:hook("component-disconnected", function (event)
    -- A newcomer that was refused is no loss.
    if event.session.type == "component" then lose("it disconnected", 0); end
  end);
end

-- -- The module -----------------------------------------------------------------------------------

function module.save()
  return { known = known, left = left };
end

function module.restore(data)
  known, left = data.known or known, data.left or left;
end

function module.unload()
  ready = false;
  flush_all("away", "the module is unloaded");
end

local function install()
  -- Last of all that look at what local users send, so that everybody had his say.
  for _, name in ipairs({ "iq", "message", "presence" }) do
    module:hook("pre-" .. name .. "/full", take_outgoing, -1000);
    module:hook(name .. "/full", take, 10);
  end
  module:hook("route/remote", function (event)
    if is_answer_to_extra(event.stanza) then return true; end
  end, 10);
  module:hook("iq/host", on_reply, 10);
  module:hook("resource-unbind", function (event)
    local address = event.session.full_jid;
    if not known[address] then return; end
    known[address] = nil;
    if ready then tell_gone(address); else left[address] = true; end
  end);
  module:hook_global("host-activated", function (host)
    if host == relay then
      attached = false;
      attach();
    end
  end);
  -- When all hosts of the configuration are there.
  module:add_timer(0, function ()
    attach();
    return watch();
  end);
end

if not relay then
  module:log_status("error", "jingle_relay_component is not set");
elseif module:get_host_type() ~= "local" then
  module:log_status("error", "This module is for hosts with users, not for components");
else
  install();
end
