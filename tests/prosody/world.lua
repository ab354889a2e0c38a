-- SPDX-License-Identifier: ISC
-- A Prosody of one process for mod_jingle_relay: the real router, events, stanzas and mod_iq of the
-- installed one (or of PROSODY_LIB), on virtual time. World.new(options) starts one that has the
-- host here.test with Alice and Bob online, a chat room host, and the relay as a component.

local lib = os.getenv("PROSODY_LIB") or "/usr/lib/prosody";
package.path = lib .. "/?.lua;" .. package.path;
package.cpath = lib .. "/?.so;" .. package.cpath;
if not io.open(lib .. "/util/stanza.lua") then
  print("no Prosody in " .. lib);
  os.exit(77);
end

local loader = loadfile(lib .. "/loader.lua"); -- Prosody 13 has longer names for its libraries
if loader then loader(); end

local World = { HOST = "here.test", RELAY = "relay.here.test", FAR = "far.test",
  DIVERT = "urn:xmpp:jingle-relayd:divert:1", FORWARD = "urn:xmpp:forward:0",
  JINGLE = "urn:xmpp:jingle:1" };
World.__index = World;

local clock = 0;
package.loaded["util.time"] = { now = function () return clock; end,
  monotonic = function () return clock; end };

prosody = { hosts = {}, full_sessions = {}, bare_sessions = {} }; -- before the router is loaded
local st = require "util.stanza";
local events = require "util.events";
local set = require "util.set";
local jid = require "util.jid";
local xml = require "util.xml";
require "util.logger".init("test");
require "core.stanza_router";

local function empty(t)
  for key in pairs(t) do t[key] = nil; end
end

function World.new(options)
  local self = setmetatable({ options = options or {}, timers = {}, asked = {}, got = {}, far = {},
    logged = {}, counted = {}, connected = true, modules = {} }, World);
  clock = 0;
  empty(prosody.hosts);
  empty(prosody.full_sessions);
  prosody.events = events.new();
  self:add_host(World.HOST, "local");
  self:add_host("rooms.here.test", "component").modules.muc = {};
  if not self.options.relay_is_far then self:add_relay(); end
  self:go_online("alice@here.test/phone");
  self:go_online("bob@here.test/tablet");
  self:load(lib .. "/modules/mod_iq.lua", World.HOST);
  self.module = self:load("conf/prosody/mod_jingle_relay.lua", World.HOST);
  self:advance(0);
  return self;
end

function World:add_host(name, type)
  local host = { host = name, type = type, events = events.new(), modules = {}, sessions = {} };
  function host.send(stanza) prosody.core_route_stanza(nil, stanza); end
  host.events.add_handler("route/remote", function (event)
    if event.to_host == World.RELAY then return self:to_relay(event); end
    table.insert(self.far, st.clone(event.stanza));
    return true;
  end, -1);
  prosody.hosts[name] = host;
  return host;
end

function World:add_relay()
  local host = self:add_host(World.RELAY, "component");
  local session = {};
  function session.send(text)
    local stanza = assert(xml.parse(text));
    self:to_relay({ stanza = stanza, origin = prosody.hosts[World.HOST] });
  end
  host.modules.component = { connected = true, session = session };
  host.events.add_handler("iq/host", function (event) return self:to_relay(event); end, -1);
end

function World:go_online(address)
  local node, host = jid.split(address);
  local session = { type = "c2s", full_jid = address, username = node, host = host };
  function session.log() end
  function session.send(stanza)
    table.insert(self.got, { to = address, stanza = st.clone(stanza) });
    return true;
  end
  prosody.full_sessions[address] = session;
  return session;
end

function World.go_offline(_, address)
  local session = prosody.full_sessions[address];
  prosody.full_sessions[address] = nil;
  prosody.hosts[World.HOST].events.fire_event("resource-unbind", { session = session });
  for key in pairs(session) do session[key] = nil; end
  session.type, session.destroyed = "c2s_destroyed", true;
  function session.send() return false; end
end

-- -- What a module sees ---------------------------------------------------------------------------

local api = {};

function api:hook(name, handler, priority)
  (prosody.hosts[self.host] or prosody).events.add_handler(name, handler, priority or 0);
end

function api.hook_global(_, name, handler)
  prosody.events.add_handler(name, handler);
end

function api:send(stanza, origin)
  return prosody.core_post_stanza(origin or prosody.hosts[self.host], stanza);
end

function api:add_timer(delay, callback)
  local timer = { at = clock + delay, callback = callback };
  function timer.stop() timer.at = nil; end
  table.insert(self.world.timers, timer);
  return timer;
end

function api:measure(name, type)
  self.world.counted[name] = 0;
  if type == "times" then return function () return function () end; end; end
  return function (n) self.world.counted[name] = self.world.counted[name] + n; end
end

function api:log(level, format, ...)
  table.insert(self.world.logged, level .. ": " .. string.format(format, ...));
end

api.log_status = api.log;
function api.set_status() end
function api.get_host_type() return "local"; end
function api:get_option_string(name) return self.world.options[name]; end
function api:get_option_number(name, default) return self.world.options[name] or default; end
function api:get_option_set(name)
  return self.world.options[name] and set.new(self.world.options[name]);
end
function api:fire_event(...)
  return prosody.hosts[self.host].events.fire_event(...);
end
function api:context(host)
  return setmetatable({ host = host, world = self.world }, { __index = api });
end

function World:load(path, host)
  self.options.jingle_relay_component = self.options.jingle_relay_component or World.RELAY;
  local module = setmetatable({ host = host, world = self }, { __index = api });
  local environment = setmetatable({ module = module }, { __index = _G });
  assert(loadfile(path, "t", environment))();
  return module;
end

-- -- Time and the relay ---------------------------------------------------------------------------

function World:advance(seconds)
  local till = clock + seconds;
  while true do
    local next_timer;
    for _, timer in ipairs(self.timers) do
      if timer.at and timer.at <= till and (not next_timer or timer.at < next_timer.at) then
        next_timer = timer;
      end
    end
    if not next_timer then break; end
    clock = math.max(clock, next_timer.at);
    next_timer.at = nil;
    local again = next_timer.callback();
    if again then next_timer.at = clock + again; end
  end
  clock = till;
end

-- What reaches the relay. It answers disco#info by itself; requests are kept for answer().
function World:to_relay(event)
  local stanza = st.clone(event.stanza);
  if not self.connected then
    event.origin.send(st.error_reply(stanza, "wait", "remote-server-timeout"));
    return true;
  end
  local query = stanza:get_child("query", "http://jabber.org/protocol/disco#info");
  if query then
    self.probe = stanza;
    if not self.deaf then self:answer_probe(); end
  else
    table.insert(self.asked, stanza);
  end
  return true;
end

function World:answer_probe()
  local reply = st.reply(self.probe):query("http://jabber.org/protocol/disco#info");
  for _, feature in ipairs(self.options.features or { World.DIVERT }) do
    reply:tag("feature", { var = feature }):up();
  end
  self:from_relay(reply);
end

-- As from a stream: every element bears its namespace.
function World.from_relay(_, stanza)
  stanza = assert(xml.parse(tostring(stanza)));
  prosody.core_post_stanza({ type = "component", send = function () end }, stanza);
end

function World:disconnect()
  self.connected = false;
  local host = prosody.hosts[World.RELAY];
  host.events.fire_event("component-disconnected", { session = { type = "component" } });
  host.modules.component.connected = false;
end

function World:reconnect()
  self.connected = true;
  prosody.hosts[World.RELAY].modules.component.connected = true;
  prosody.hosts[World.RELAY].events.fire_event("component-authenticated", {});
end

-- The stanza inside the request NUMBER.
function World:inside(number)
  local divert = self.asked[number or #self.asked]:get_child("divert", World.DIVERT);
  return st.clone(divert:get_child("forwarded", World.FORWARD):get_child("iq", "jabber:client"));
end

-- The relay answers request NUMBER with a divert element, filled by fill(divert).
function World:answer(number, fill)
  local reply = st.reply(self.asked[number]):tag("divert", { xmlns = World.DIVERT });
  fill(reply);
  self:from_relay(reply:reset());
end

function World:answer_with(number, ...)
  local stanzas = { ... };
  self:answer(number, function (reply)
    for _, stanza in ipairs(stanzas) do
      reply:tag("forwarded", { xmlns = World.FORWARD }):add_child(stanza):up();
    end
  end);
end

-- The usual answer: the same stanza, marked by another sid.
function World:rewrite(number)
  local stanza = self:inside(number);
  stanza:get_child("jingle", World.JINGLE).attr.sid = "rewritten";
  self:answer_with(number, stanza);
end

-- -- Users ----------------------------------------------------------------------------------------

function World.jingle(from, to, id)
  return st.iq({ type = "set", id = id, from = from, to = to })
    :tag("jingle", { xmlns = World.JINGLE, action = "session-initiate", sid = "original" }):reset();
end

-- A client of this host sends.
function World.say(_, stanza)
  prosody.core_post_stanza(prosody.full_sessions[stanza.attr.from], stanza, true);
end

-- A stanza comes from another server.
function World:hear(stanza)
  local origin = { type = "s2sin", log = function () end };
  function origin.send(reply) table.insert(self.far, reply); end
  prosody.core_post_stanza(origin, stanza);
end

-- What a user of this host received, as "id:sid" or "id:type", in order.
function World:received(address)
  local list = {};
  for _, entry in ipairs(self.got) do
    if entry.to == address then table.insert(list, World.name(entry.stanza)); end
  end
  return table.concat(list, " ");
end

-- The same for other servers.
function World:sent_away()
  local list = {};
  for _, stanza in ipairs(self.far) do table.insert(list, World.name(stanza)); end
  return table.concat(list, " ");
end

function World.name(stanza)
  local jingle = stanza:get_child("jingle", World.JINGLE);
  return stanza.attr.id .. ":" .. (jingle and jingle.attr.sid or stanza.attr.type or stanza.name);
end

return World;
