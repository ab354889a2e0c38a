// SPDX-License-Identifier: ISC
// The page of one call: how it is, live lines, what happened when, and which way its packets go.
import { breakable, clock, count, draw, ladder, lines, make, milliseconds, renew, say, span } from './draw.js';

const SIDES = ['initiator', 'responder'];
const COLOURS = ['one', 'two'];
const LIVE_MAX = 1200; // rows of the lines

// Columns of the figures of a call: [kbit/s, kbit/s, loss %, ...], the initiator's first.
const CHARTS = [
  { title: 'Loss on the way to the relay', column: 2, unit: '%', least: 2, digits: 1 },
  { title: 'Round trip to the relay', column: 6, unit: 'ms', least: 20, digits: 0 },
  { title: 'Jitter', column: 4, unit: 'ms', least: 10, digits: 1 },
  { title: 'Quality, as MOS', column: 8, unit: 'of 4.5', least: 4.5, floor: 1, digits: 1 },
  { title: 'Bit rate', column: 0, unit: 'kbit/s', least: 50, digits: 0 },
];

export const DOORS = { addressed: 'addressed', channel: 'channel', diverted: 'diverted' };
export const STATES = { setup: 'setting up', ringing: 'ringing', active: 'active', ended: 'ended' };
const HEALTH = { waiting: '', good: 'good', unsure: 'unsure', bad: 'bad' };

/** "active", "carried" ... with its colour. */
export function chip(call) {
  const running = !call.ended;
  const words = { good: 'fine', unsure: 'not relayed', bad: running ? 'in trouble' : 'failed' };
  const state = running ? STATES[call.state] : call.verdict === 'ended before it was answered' ? 'not answered' : 'ended';
  const text = call.health === 'bad' ? words.bad
    : running && call.health === 'unsure' ? words.unsure : state;
  return [text, `chip ${running || call.health === 'bad' ? HEALTH[call.health] : ''}`];
}

export function bare(jid) {
  return jid.split('/')[0];
}

// ---- steps in words

const STEP_WORDS = {
  asked: () => 'asks for a channel',
  answered: () => 'gives the channel out',
  ports_opened: () => 'relay ports are open',
  refused: () => 'does not pass a stanza on',
  check: () => 'first check',
  selected: step => step.address,
  moved: step => `moved to ${step.address}`,
  media: () => 'media',
  silent: () => 'silence',
  failed: () => 'a port cannot be opened',
  ports_returned: () => 'ports given back',
  ended: () => 'end',
};

const STEP_SENTENCES = {
  asked: 'asks for a channel',
  answered: 'gives the channel out',
  ports_opened: 'opens its ports',
  refused: 'does not pass a stanza on as it should be',
  check: 'proves itself to the relay by its first check',
  selected: 'is reached from now on at',
  moved: 'has moved to',
  media: 'sends the first media through the relay',
  silent: 'forwards nothing on a path any more',
  failed: 'cannot open a port',
  ports_returned: 'gives the ports back: the call needs no relay',
  ended: 'notes the end of the call',
};

function short(step) {
  const text = step.what === 'stanza' ? step.action : STEP_WORDS[step.what](step);
  return step.times > 1 ? `${text} ×${step.times}` : text;
}

function sentence(step) {
  const text = step.what === 'stanza' ? `sends ${step.action}` : STEP_SENTENCES[step.what];
  return `${text}${step.address ? ` ${step.address}` : ''}${step.times > 1 ? ` (${step.times} times)` : ''}`;
}

// ---- the page

export class CallPage {
  constructor(root, id) {
    this.root = root;
    this.id = id;
    this.rows = [];  // [second, ten figures]
    this.known = ''; // what was drawn of steps and paths
    this.build();
  }

  build() {
    const at = this.at = {};
    const part = (title, ...content) => make('section', { class: 'part' }, make('h2', {}, title), ...content);
    at.heading = make('h1', { tabindex: '-1' }, 'Call');
    at.facts = make('p', { class: 'facts' });
    at.verdict = make('h2', {}, '');
    at.advice = make('p');
    at.panel = make('section', { class: 'verdict', 'aria-label': 'Verdict' }, at.verdict, at.advice);
    at.legend = make('p', { class: 'legend' });
    at.charts = CHARTS.map(() => ({ now: make('p', { class: 'now' }), chart: make('div') }));
    at.lines = part('How it sounds', at.legend, make('div', { class: 'lines' },
      CHARTS.map((chart, i) => make('section', { class: 'card', 'aria-label': chart.title },
        make('h3', {}, chart.title), at.charts[i].now, at.charts[i].chart))));
    at.ladder = make('div');
    at.table = make('tbody');
    at.left = make('p', { class: 'note' });
    at.steps = part('What happened', make('div', { class: 'card' }, at.ladder, at.left,
      make('details', {}, make('summary', {}, 'The same as a table'),
        make('table', { class: 'steps', id: 'steps-table' }, make('thead', {}, make('tr', {},
          ['After', 'Who', 'What'].map(name => make('th', { scope: 'col' }, name)))), at.table))));
    at.paths = part('Where the packets go');
    at.offers = part('What the clients offered');
    at.body = make('div', {}, at.panel, at.lines, at.steps, at.paths, at.offers);
    at.body.hidden = true;
    this.root.replaceChildren(make('a', { class: 'back', href: '#/' }, '← All calls'),
      make('div', { class: 'hero' }, at.heading, at.facts), at.body);
  }

  focus() {
    this.at.heading.focus({ preventScroll: true });
  }

  show(call) {
    if (call.missing) {
      say(this.at.heading, 'This call is not known');
      say(this.at.facts, 'It ended more than an hour ago, or the daemon was started since.');
      return;
    }
    this.at.body.hidden = false;
    this.call = call;
    this.title = `${bare(call.initiator.jid)} and ${bare(call.responder.jid)}`;
    this.showHead(call);
    this.takeFigures(call);
    this.showLines();
    this.showStory(call);
  }

  showHead(call) {
    const at = this.at, [text, look] = chip(call);
    if (!this.named) {
      this.named = true;
      at.heading.replaceChildren(make('span', { class: 'parties' }, make('span', {}, breakable(call.initiator.jid)),
        make('span', { class: 'to' }, 'calls ', breakable(call.responder.jid))));
      this.facts = [text, '', '', ''].map(() => make('span'));
      at.facts.replaceChildren(...this.facts);
      at.legend.replaceChildren(...SIDES.map((side, i) => make('span', {},
        draw('svg', { viewBox: '0 0 28 8', 'aria-hidden': 'true' },
          draw('line', { class: `line ${COLOURS[i]}`, x1: 1, x2: 27, y1: 4, y2: 4 })),
        `from ${call[side].jid}`)));
    }
    say(this.facts[0], text);
    this.facts[0].className = look;
    say(this.facts[1], `${DOORS[call.door]} door`);
    say(this.facts[2], call.duration_ms === null ? `opened at ${clock(call.opened)}`
      : `${clock(call.accepted)}, ${span(call.duration_ms)}`);
    say(this.facts[3], call.ended ? `ended at ${clock(call.ended)}: ${call.end_reason}` : '');
    say(at.verdict, call.verdict[0].toUpperCase() + call.verdict.slice(1));
    say(at.advice, call.advice);
    at.panel.className = `verdict ${HEALTH[call.health]}`;
  }

  // The past, as the daemon has kept it, and from then on what comes; again after the page was out of
  // sight, when nothing came.
  takeFigures(call) {
    if (call.history) {
      const rows = new Map([...call.history, ...this.rows].map(row => [row[0], row]));
      this.rows = [...rows.values()].sort((a, b) => a[0] - b[0]).slice(-LIVE_MAX);
    }
    if (!call.lately || call.ended || !call.media_packets_from_initiator && !call.media_packets_from_responder) return;
    const second = Math.round((Date.parse(this.now ?? new Date()) - Date.parse(call.opened)) / 1000);
    if (this.rows.length && second <= this.rows.at(-1)[0]) return;
    this.rows.push([second, ...call.lately]);
    if (this.rows.length > LIVE_MAX) this.rows.shift();
  }

  showLines() {
    this.at.lines.hidden = this.rows.length === 0;
    const latest = this.rows.at(-1);
    if (!latest) return;
    CHARTS.forEach((chart, i) => {
      const { now, chart: place } = this.at.charts[i];
      const values = [latest[chart.column + 1], latest[chart.column + 2]];
      const shown = values.map(value => value === null || (chart.column === 6 && !value) ? '–'
        : value.toFixed(chart.digits));
      const rows = this.rows.map(row => [row[0], ...[1, 2].map(side => {
        const value = row[chart.column + side];
        return chart.column === 6 && !value ? null : value;
      })]);
      now.replaceChildren(...shown.map((text, side) => make('span', { class: `side-${COLOURS[side]}` },
        make('span', { class: 'hide' }, `from the ${SIDES[side]}: `), text)),
      make('span', { class: 'unit' }, chart.unit));
      place.replaceChildren(lines(rows, { ...chart, digits: chart.floor ? 1 : 0,
        label: `${chart.title}: ${SIDES.map((side, n) => `${side} ${shown[n]} ${chart.unit}`).join(', ')}` }));
    });
  }

  showStory(call) {
    const story = JSON.stringify([call.steps, this.root.clientWidth]);
    if (story !== this.known) {
      this.known = story;
      this.showSteps(call);
    }
    this.showPaths(call);
    const offers = JSON.stringify(call.contents);
    if (offers !== this.offers) {
      this.offers = offers;
      this.showOffers(call);
    }
  }

  showSteps(call) {
    const names = [bare(call.initiator.jid), 'relay', bare(call.responder.jid)];
    const width = Math.max(250, Math.min(this.at.ladder.clientWidth || 320, 1040));
    const fit = Math.floor((width - 134) / 2 / 7.6);
    this.at.steps.hidden = call.steps.length === 0;
    this.at.ladder.replaceChildren(ladder(call.steps,
      names.map(name => name.length > fit ? `${name.slice(0, fit - 1)}…` : name), short,
      'Signalling and first packets, in order; the table below says the same', width));
    say(this.at.left, call.steps_left_out ? `${count(call.steps_left_out)} more are not shown.` : '');
    this.at.table.replaceChildren(...call.steps.map(step => make('tr', {},
      make('td', {}, milliseconds(step.at_ms)), make('td', {}, step.by), make('td', {}, sentence(step)))));
  }

  showPaths(call) {
    const part = this.at.paths;
    part.hidden = call.paths.length === 0;
    renew(part, make('section', { class: 'part' }, part.firstChild.cloneNode(true),
      call.paths.map(path => this.path(call, path))));
  }

  path(call, path) {
    const media = call.contents.filter(content => content.paths.includes(path.path));
    const name = media.map(content => content.media || content.name).join(' and ') || 'earlier path';
    const legs = SIDES.map(side => path[side]);
    const selected = legs.map(leg => leg.sources.find(source => source.selected));
    const hop = leg => make('span', { class: 'hop' }, make('span', { 'aria-hidden': 'true' }, '⟷ '),
      leg.rtt_ms === null ? 'not measured' : `${leg.rtt_ms.toFixed(leg.rtt_ms < 10 ? 1 : 0)} ms`);
    const stop = (title, lines, look = '') => make('div', { class: 'stop' }, make('b', { class: look }, title),
      ...lines.map(line => make('div', {}, line)));
    const relay = [...new Set(legs.flatMap(leg => leg.ports))];
    const details = make('details', {}, make('summary', {}, 'Checks, packets and sources'),
      make('div', { class: 'legs' }, legs.map((leg, i) => this.leg(leg, i))));
    return make('div', { class: 'card' }, make('h3', {}, `${name[0].toUpperCase()}${name.slice(1)}`),
      make('div', { class: 'way' },
        stop(bare(call.initiator.jid), [selected[0] ? selected[0].address : 'not seen'], 'side-one'), hop(legs[0]),
        stop('relay', relay), hop(legs[1]),
        stop(bare(call.responder.jid), [selected[1] ? selected[1].address : 'not seen'], 'side-two')), details);
  }

  leg(leg, i) {
    const sum = field => leg.streams.reduce((total, stream) => total + stream[field], 0);
    const pairs = [
      ['Checks seen', count(leg.checks)],
      ['Packets received', count(leg.packets_in)],
      ['Packets sent', count(leg.packets_out)],
      ['Lost before the relay', count(sum('lost'))],
      ['Out of order', count(sum('reordered'))],
      ['Longest gap', milliseconds(Math.max(0, ...leg.streams.map(stream => stream.longest_gap_ms)))],
      ['Refused', count(leg.refused)],
      ['Moves', count(leg.moves)],
      ['Forwarded by', leg.in_kernel ? 'the kernel' : 'the daemon'],
      ...leg.sources.map(source => [source.selected ? 'Selected source' : 'Source',
        `${source.address}${source.verified ? '' : ', not verified'}`]),
    ];
    return make('div', {}, make('h3', { class: `side-${COLOURS[i]}` }, `The ${SIDES[i]}'s leg`),
      make('dl', { class: 'pairs' }, pairs.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value)))));
  }

  showOffers(call) {
    const list = (content, i) => {
      const candidates = content.candidates_offered[SIDES[i]];
      return make('div', {}, make('h3', { class: `side-${COLOURS[i]}` }, `From the ${SIDES[i]}`),
        candidates.length ? make('ul', { class: 'candidates' }, candidates.map(candidate => make('li', {},
          make('span', { class: 'kind' }, candidate.type), make('span', {}, `${candidate.address} ${candidate.protocol}`))))
          : make('p', { class: 'note' }, 'None.'));
    };
    this.at.offers.hidden = call.contents.length === 0;
    this.at.offers.replaceChildren(this.at.offers.firstChild, ...call.contents.map(content =>
      make('div', { class: 'card' }, make('h3', {}, `${content.media || content.name}${content.accepted ? '' : ', not accepted'}`),
        make('p', { class: 'note' }, content.transport), make('div', { class: 'two' }, [0, 1].map(i => list(content, i))))));
  }
}
