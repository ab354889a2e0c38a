// SPDX-License-Identifier: ISC
// The live page: hears the daemon's events, shows the overview and the table of calls, and hands one
// call to call.js. While the page cannot be seen nothing is asked of the daemon.
import { CallPage, DOORS, STATES, bare, chip } from './call.js';
import { area, bits, clock, count, make, percent, say, span } from './draw.js';

const SECONDS = 120;   // of the traffic that is drawn
const RATE_LEAST_MS = 500; // between the two of a rate
const ROWS_STEP = 100; // of the table, until more are asked for
const RETRY_MS = 3000;
const FEED_LOST_MS = 8000; // without an event

const $ = id => document.getElementById(id);

const feed = { source: null, call: null, heard: 0, retry: 0 };
const calls = new Map(); // id: call
const view = { sort: 'opened', down: true, rows: ROWS_STEP, shown: new Map(), page: null };
let status = null, before = null, past = [], traffic = []; // rates are from 'before' to 'status'

// ---- overview

// Everybody is told at once when somebody opens a page: what came a moment ago is left out of the
// rates. Nothing from before a restart fits what comes after it.
function takeStatus(news) {
  if (status && news.started === status.started) {
    past.push(status);
  } else {
    past = [];
    traffic = [];
  }
  const old = at => at < past.length && news.uptime_ms - past[at].uptime_ms >= RATE_LEAST_MS;
  while (old(1)) past.shift();
  before = old(0) ? past[0] : null;
  status = news;
}

function rate(path) {
  if (!before) return null;
  const seconds = (status.uptime_ms - before.uptime_ms) / 1000;
  const value = at => path.reduce((object, key) => object[key], at);
  return Math.max(0, (value(status) - value(before)) / seconds);
}

function running() {
  return Object.keys(DOORS).reduce((sum, door) => {
    const { setup, ringing, active } = status.calls[door];
    return sum + setup + ringing + active;
  }, 0);
}

function showHeadline() {
  const now = running(), test = status.selftest, { room } = status.capacity.calls;
  const failing = test && test.ok === false;
  say($('headline'), !status.component.connected ? 'Not connected to the XMPP server'
    : status.draining ? `Draining: ${count(now)} ${now === 1 ? 'call' : 'calls'} left`
      : room === 0 ? 'Full: new calls are refused'
      : failing ? 'Connected, but the self-test has failed'
        : now === 0 ? 'Ready, and nobody is calling'
          : `${now === 1 ? 'One call is' : `${count(now)} calls are`} running, all is well`);
  const trouble = [...calls.values()].filter(call => !call.ended && call.health === 'bad').length;
  if (trouble && status.component.connected && room && !failing && !status.draining) {
    say($('headline'), `${count(now)} ${now === 1 ? 'call' : 'calls'} running, ${count(trouble)} in trouble`);
  }
  say($('subline'), !status.component.connected
    ? 'Running calls go on; no new ones can be set up. Is the server up, and is the component secret the same on both sides?'
    : `Connected to the XMPP server. Up for ${span(status.uptime_ms)}.`);
}

function showTraffic() {
  const sent = rate(['traffic', 'bytes_sent_total']);
  if (sent === null) return;
  traffic.push([status.uptime_ms / 1000, 8 * sent]);
  const start = status.uptime_ms / 1000 - SECONDS;
  traffic = traffic.filter(point => point[0] >= start);
  const [number, unit] = bits(8 * sent);
  say($('rate'), number);
  say($('rate-unit'), `${unit} forwarded`);
  const [svg, top] = area(traffic.map(([second, value]) => [second - start, value]), SECONDS,
    `Traffic of the last two minutes, now ${number} ${unit}`, value => bits(value).join(' '));
  $('traffic-chart').replaceChildren(svg, make('span', { class: 'top-mark', 'aria-hidden': 'true' }, top),
    make('p', { 'aria-hidden': 'true' }, make('span', {}, '2 min ago'), make('span', {}, 'now')));
  const packets = rate(['traffic', 'packets_received_total']);
  const kernel = rate(['traffic', 'packets_by_kernel_total']);
  say($('pps'), count(packets));
  say($('drops'), count(rate(['traffic', 'packets_dropped_total'])));
  say($('kernel'), status.kernel.on ? packets ? percent(100 * kernel / packets) : 'on' : 'off');
  say($('turn-rate'), bits(8 * rate(['turn', 'bytes_total'])).join(' '));
}

const BOUNDS = { number: 'limits.calls', load: 'Load', bandwidth: 'Bandwidth', ports: 'Relay ports',
  descriptors: 'Descriptors' };
const UNBOUNDED = 1000000;

function showRoom() {
  const { calls: room } = status.capacity;
  say($('room'), room.room >= UNBOUNDED ? 'no limit' : count(room.room));
  say($('room-note'), room.bound in BOUNDS ? 'The least of what bounds it:' : '');
  const list = $('room-list');
  if (!list.children.length) {
    list.append(...Object.entries(BOUNDS).map(([key, name]) => make('div', { 'data-key': key },
      make('dt', {}, name), make('dd'))));
  }
  for (const row of list.children) {
    const value = room[row.dataset.key];
    row.classList.toggle('least', row.dataset.key === room.bound);
    say(row.lastChild, value >= UNBOUNDED ? 'no limit' : count(value));
  }
}

function showDoors() {
  const body = $('doors');
  if (!body.children.length) {
    body.append(...Object.entries(DOORS).map(([key, name]) => make('tr', { 'data-key': key },
      make('th', { scope: 'row' }, name[0].toUpperCase() + name.slice(1)),
      make('td'), make('td'), make('td'), make('td', { class: 'later' }))));
  }
  for (const row of body.children) {
    const door = status.calls[row.dataset.key];
    [door.setup, door.ringing, door.active, door.opened_total].forEach((value, i) => {
      const cell = row.children[i + 1];
      say(cell, count(value));
      cell.classList.toggle('zero', value === 0);
      cell.classList.toggle('some', value > 0 && i < 3);
    });
  }
  const refused = status.calls.refused_total;
  say($('refused'), refused ? `${count(refused)} ${refused === 1 ? 'call was' : 'calls were'} refused since the start.` : '');
}

function showLoad() {
  const box = $('workers'), { load_limit: limit } = status.capacity;
  while (box.children.length < status.workers.length) {
    box.append(make('div', { class: 'worker' }, make('p', {}, make('span', {}, `Worker ${box.children.length + 1}`), make('span')),
      make('div', { class: 'bar', 'aria-hidden': 'true' }, make('span'))));
  }
  while (box.children.length > status.workers.length) box.lastChild.remove(); // since a restart
  status.workers.forEach((worker, i) => {
    const busy = rate(['workers', i, 'busy_ms_total']);
    if (busy === null) return;
    const share = Math.min(100, busy / 10), row = box.children[i];
    say(row.firstChild.lastChild, percent(share));
    row.lastChild.firstChild.style.width = `${share}%`;
    row.classList.toggle('hot', limit > 0 && share > 100 * limit);
  });
  say($('load-note'), limit ? `New calls are refused above ${percent(100 * limit)}.` : 'No limit is set.');
}

function showPorts() {
  const { used, free, quarantined } = status.ports, all = Math.max(1, used + free + quarantined);
  const [first, second] = $('ports-bar').children;
  say($('ports-free'), count(free));
  say($('ports-used'), count(used));
  say($('ports-rest'), count(quarantined));
  first.style.width = `${100 * used / all}%`;
  second.style.width = `${100 * quarantined / all}%`;
  say($('turn'), count(status.turn.allocations));
  say($('turn-unit'), status.turn.allocations === 1 ? 'allocation' : 'allocations');
  say($('turn-connections'), count(status.turn.connections));
}

// The test of itself: {"ok": bool, "at": time, "findings": [{"ok", "text"}]}, or null.
function showHealth() {
  const { component, selftest, capacity } = status;
  const rows = [
    [component.connected ? 'good' : 'bad', component.connected
      ? `Joined to the XMPP server${component.connects_total > 1 ? `, ${count(component.connects_total)} times since the start` : ''}`
      : 'Not joined to the XMPP server'],
    status.draining ? ['', 'No new calls are taken: the relay is being drained']
      : [capacity.calls.room ? 'good' : 'bad', capacity.calls.room ? 'New calls are taken' : 'New calls are refused'],
  ];
  if (!selftest) rows.push(['', 'No self-test has run yet']);
  else rows.push([selftest.ok ? 'good' : 'bad', `Self-test ${selftest.ok ? 'passed' : 'failed'}${selftest.at ? ` at ${clock(selftest.at)}` : ''}`]);
  for (const finding of selftest && selftest.findings || []) {
    if (finding.ok === false) rows.push(['bad', finding.text || finding.name || '']);
  }
  const text = JSON.stringify(rows);
  if ($('health').dataset.text === text) return;
  $('health').dataset.text = text;
  $('health').replaceChildren(...rows.map(([look, line]) => make('li', { class: look }, make('span', {},
    make('span', { class: 'hide' }, { good: 'Good: ', bad: 'Bad: ' }[look] || ''), line))));
}

function showStatus() {
  showHeadline();
  showTraffic();
  showRoom();
  showDoors();
  showLoad();
  showPorts();
  showHealth();
  say($('foot'), `jingle-relayd ${status.version}`);
  showLengths();
}

// ---- the table

const worst = (a, b) => a === null ? b : b === null ? a : Math.max(a, b);
const kbit = call => call.lately ? call.lately[0] + call.lately[1] : null;
const loss = call => call.lately && kbit(call) ? worst(call.lately[2], call.lately[3]) : null;
const trip = call => call.lately && call.lately[6] && call.lately[7] ? call.lately[6] + call.lately[7] : null;
function mos(call) {
  const values = call.lately ? [call.lately[8], call.lately[9]] : [call.mos_from_initiator, call.mos_from_responder];
  const heard = values.filter(value => value);
  return heard.length ? Math.min(...heard) : null;
}
function length(call) {
  if (call.ended) return call.duration_ms;
  return call.accepted && status ? Date.parse(status.now) - Date.parse(call.accepted) : null;
}
const NONE = '–';

// Sorted upwards by 'by'; the cell shows 'text'.
const COLUMNS = [
  { key: 'who', title: 'Call', by: call => bare(call.initiator.jid) },
  { key: 'state', title: 'State', by: call => (call.ended ? 4 : { setup: 0, ringing: 1, active: 2 }[call.state]) + (call.health === 'bad' ? -5 : 0) },
  { key: 'opened', title: 'Opened', className: 'length', by: call => Date.parse(call.opened), text: call => clock(call.opened) },
  { key: 'length', title: 'Length', by: length, text: call => length(call) === null ? NONE : span(length(call)) },
  { key: 'kbit', title: 'Rate', by: kbit, text: call => kbit(call) === null ? NONE : bits(1000 * kbit(call)).join(' ') },
  { key: 'loss', title: 'Loss', by: loss, text: call => loss(call) === null ? NONE : percent(loss(call)) },
  { key: 'trip', title: 'Round trip', by: trip, text: call => trip(call) === null ? NONE : `${Math.round(trip(call))} ms` },
  { key: 'mos', title: 'MOS', by: mos, text: call => mos(call) === null ? NONE : mos(call).toFixed(1) },
  { key: 'door', title: 'Door', by: call => call.door, text: call => DOORS[call.door] },
];

function buildColumns() {
  $('columns').append(...COLUMNS.map(column => {
    const button = make('button', { type: 'button' }, column.title);
    button.addEventListener('click', () => {
      view.down = view.sort === column.key ? !view.down : ['opened', 'kbit', 'loss', 'trip', 'length'].includes(column.key);
      view.sort = column.key;
      showCalls();
    });
    return make('th', { scope: 'col', class: `${column.key} ${column.className || ''}`, 'data-key': column.key }, button);
  }));
}

function wanted(call) {
  const words = $('filter').value.toLowerCase().split(/\s+/).filter(word => word);
  const show = $('show').value;
  if (show === 'running' && call.ended || show === 'ended' && !call.ended) return false;
  if (show === 'trouble' && call.health !== 'bad') return false;
  const text = `${call.initiator.jid} ${call.responder.jid} ${call.door} ${chip(call)[0]} ${STATES[call.state]} ${call.id}`.toLowerCase();
  return words.every(word => text.includes(word));
}

function sorted() {
  const { by } = COLUMNS.find(column => column.key === view.sort), sign = view.down ? -1 : 1;
  const list = [...calls.values()].filter(wanted).map(call => [by(call), call]);
  list.sort(([a, one], [b, two]) => {
    if (a === null || b === null) return (a === null) - (b === null) || (one.id < two.id ? -1 : 1);
    if (a === b) return one.id < two.id ? -1 : 1;
    return (a < b ? -1 : 1) * sign;
  });
  return list.map(([, call]) => call);
}

function row(call) {
  const known = view.shown.get(call.id);
  if (known) return known;
  const link = make('a', { href: `#/call/${call.id}` }, make('span', {}, bare(call.initiator.jid)),
    make('span', {}, bare(call.responder.jid)));
  const element = make('tr', {}, COLUMNS.map(column => make('td', { class: `${column.key} ${column.className || ''}` },
    column.key === 'who' ? link : column.key === 'state' ? make('span') : null)));
  view.shown.set(call.id, element);
  return element;
}

function showRow(call) {
  const element = view.shown.get(call.id);
  if (!element) return;
  const [text, look] = chip(call), state = element.children[1].firstChild;
  element.className = call.ended ? 'over' : '';
  say(state, text);
  if (state.className !== look) state.className = look;
  COLUMNS.forEach((column, i) => {
    if (column.text) say(element.children[i], column.text(call));
  });
}

function showCalls() {
  for (const header of $('columns').children) {
    header.setAttribute('aria-sort', header.dataset.key !== view.sort ? 'none' : view.down ? 'descending' : 'ascending');
  }
  const list = sorted(), some = list.slice(0, view.rows), focus = document.activeElement;
  const rows = some.map(row), ids = new Set(some.map(call => call.id));
  for (const id of view.shown.keys()) if (!ids.has(id)) view.shown.delete(id);
  const body = $('rows');
  if (rows.length !== body.children.length || rows.some((element, i) => body.children[i] !== element)) {
    body.replaceChildren(...rows);
    if (focus && focus !== document.activeElement && body.contains(focus)) focus.focus({ preventScroll: true });
  }
  some.forEach(showRow);
  $('more').hidden = list.length <= view.rows;
  const empty = $('empty');
  empty.hidden = list.length > 0;
  say(empty, calls.size ? 'No call fits the filter.' : 'No calls yet. The next one appears here by itself.');
  document.querySelector('.scroll').hidden = list.length === 0;
  say($('count'), calls.size === 0 ? '' : list.length === calls.size ? `${count(list.length)} in all`
    : `${count(list.length)} of ${count(calls.size)}`);
}

function showLengths() {
  for (const id of view.shown.keys()) {
    const call = calls.get(id);
    if (call && !call.ended) say(view.shown.get(id).children[3], COLUMNS[3].text(call));
  }
}

// From the events: fresh ones whole, figures of the others, ends.
function takeCalls(news) {
  if (news.all) calls.clear();
  for (const call of news.fresh) {
    calls.set(call.id, { ...call, initiator: { jid: call.initiator }, responder: { jid: call.responder } });
  }
  for (const [id, ...figures] of news.changed) {
    if (calls.has(id)) calls.get(id).lately = figures;
  }
  for (const call of news.ended) calls.set(call.id, call);
  forgetOld();
  if (news.all || news.fresh.length || news.ended.length) showCalls();
  else for (const [id] of news.changed) if (view.shown.has(id)) showRow(calls.get(id));
}

function forgetOld() {
  const limit = status ? Date.parse(status.now) - 3600000 : 0;
  for (const [id, call] of calls) if (call.ended && Date.parse(call.ended) < limit) calls.delete(id);
}

// ---- the daemon's events

function link(state, text) {
  $('link').dataset.state = state;
  say($('link-text'), text);
}

function close() {
  if (feed.source) feed.source.close();
  feed.source = null;
  clearTimeout(feed.retry);
}

function listen(source, name, take) {
  source.addEventListener(name, event => {
    feed.heard = Date.now();
    link('live', 'Live');
    take(JSON.parse(event.data));
  });
}

function open() {
  close();
  if (document.hidden) return;
  const source = feed.source = new EventSource(feed.call ? `api/events?call=${feed.call}` : 'api/events');
  feed.heard = Date.now();
  listen(source, 'status', news => {
    takeStatus(news);
    if (view.page) view.page.now = news.now;
    showStatus();
  });
  listen(source, 'calls', takeCalls);
  listen(source, 'call', news => {
    if (!view.page) return;
    view.page.show(news);
    if (view.page.title) document.title = `${view.page.title} – jingle-relayd`;
  });
  source.addEventListener('error', lose);
}

function lose() {
  link('lost', 'No answer from the daemon, or too many pages watch; trying again');
  close();
  feed.retry = setTimeout(open, RETRY_MS);
}

// ---- which page

function route() {
  const match = /^#\/call\/([0-9a-f]{1,16})$/.exec(location.hash);
  if (location.hash && !location.hash.startsWith('#/')) return; // the link to the content
  const first = $('overview').hidden && $('call').hidden;
  feed.call = match ? match[1] : null;
  view.page = match ? new CallPage($('call'), match[1]) : null;
  $('overview').hidden = !!match;
  $('call').hidden = !match;
  document.title = 'jingle-relayd';
  if (!first) {
    scrollTo(0, 0);
    if (match) view.page.focus();
    else $('headline').focus({ preventScroll: true });
  }
  open();
}

buildColumns();
$('tools').addEventListener('submit', event => event.preventDefault());
$('filter').addEventListener('input', showCalls);
$('show').addEventListener('change', showCalls);
$('more').addEventListener('click', () => {
  view.rows += ROWS_STEP;
  showCalls();
});
document.addEventListener('visibilitychange', () => document.hidden ? close() : open());
addEventListener('hashchange', route);
setInterval(() => {
  if (feed.source && Date.now() - feed.heard > FEED_LOST_MS) lose();
}, 1000);
showCalls();
route();
