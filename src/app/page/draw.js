// SPDX-License-Identifier: ISC
// Elements, numbers and drawings. Text only ever becomes text nodes: names in calls are chosen by
// strangers.

const SVG = 'http://www.w3.org/2000/svg';

/** make('p', {class: 'note'}, 'text', node, ...): an element of HTML. */
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

/** A JID that may break before its parts. */
export function breakable(jid) {
  return jid.split(/(?=[@/])/).flatMap((part, i) => i ? [document.createElement('wbr'), part] : [part]);
}

/** Touches the document only when something is new, which also keeps screen readers calm. */
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Makes an element what another one is, and touches only what differs: focus, selection and what is
    unfolded stay. Attributes that only the first has stay, too. */
export function renew(element, wanted) {
  if (element.nodeName !== wanted.nodeName) {
    element.replaceWith(wanted);
    return;
  }
  if (element.nodeType === Node.TEXT_NODE) {
    if (element.data !== wanted.data) element.data = wanted.data;
    return;
  }
  for (const { name, value } of wanted.attributes) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
  const children = [...wanted.childNodes];
  children.forEach((child, i) => {
    if (i < element.childNodes.length) renew(element.childNodes[i], child);
    else element.append(child);
  });
  while (element.childNodes.length > children.length) element.lastChild.remove();
}

// ---- numbers

const whole = new Intl.NumberFormat('en');

export function count(value) {
  return whole.format(Math.round(value));
}

/** [number, unit] of bits per second. */
export function bits(value) {
  const units = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'];
  let unit = 0, scaled = value;
  while (scaled >= 999.5 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit > 0 && scaled < (unit > 1 ? 99.5 : 9.95) ? 1 : 0;
  return [scaled.toFixed(digits), units[unit]];
}

export function percent(value) {
  return `${value >= 10 || value === 0 ? Math.round(value) : value.toFixed(1)} %`;
}

/** 1 h 02 min; 3 min 05 s; 12 s. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const two = value => String(value).padStart(2, '0');
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

export function milliseconds(ms) {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 60000 ? 2 : 0)} s`;
}

export function clock(iso) {
  return iso ? new Date(iso).toLocaleTimeString('en-GB') : '–';
}

// ---- lines

// A round number at or above the value, for the top of an axis.
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 5, 10].map(step => step * power).find(top => top >= value * 0.999);
}

function track(points, x, y) {
  let path = '', pen = false;
  for (const point of points) {
    if (point[1] === null) {
      pen = false;
      continue;
    }
    path += `${pen ? 'L' : 'M'}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`;
    pen = true;
  }
  return path;
}

/** One line with the area below it; points: [[second, value], ...], the seconds from the left end
    on. */
export function area(points, seconds, label, unit) {
  const width = 600, height = 88;
  const top = ceiling(Math.max(1, ...points.map(point => point[1])));
  const x = second => second / seconds * width, y = value => height - 4 - value / top * (height - 20);
  const path = track(points, x, y);
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none',
    role: 'img', 'aria-label': label });
  svg.append(draw('line', { class: 'rule', x1: 0, x2: width, y1: y(0), y2: y(0) }),
    draw('line', { class: 'rule', x1: 0, x2: width, y1: y(top), y2: y(top) }));
  if (points.length > 1) {
    const first = x(points[0][0]).toFixed(1), last = x(points.at(-1)[0]).toFixed(1);
    svg.append(draw('path', { class: 'area', d: `${path}L${last} ${y(0)}L${first} ${y(0)}Z` }),
      draw('path', { class: 'line', d: path }));
  }
  return [svg, unit(top)];
}

/** Two lines on one axis. rows: [[second, one, two], ...], null for unknown. */
export function lines(rows, { least, floor = 0, label, digits = 0 }) {
  const width = 320, height = 120, left = 30, bottom = 18;
  const values = rows.flatMap(row => row.slice(1)).filter(value => value !== null);
  const top = floor > 0 ? least : ceiling(Math.max(least, ...values));
  const start = rows.length ? rows[0][0] : 0, end = rows.length ? rows.at(-1)[0] : 1;
  const length = Math.max(end - start, 10);
  const x = second => left + (second - start) / length * (width - left - 6);
  const y = value => height - bottom - (value - floor) / (top - floor) * (height - bottom - 8);
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label });
  for (const value of [floor, (floor + top) / 2, top]) {
    svg.append(draw('line', { class: 'rule', x1: left, x2: width - 4, y1: y(value), y2: y(value) }),
      draw('text', { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' },
        value.toFixed(digits || (top < 5 && floor === 0) ? 1 : 0)));
  }
  svg.append(draw('text', { x: left, y: height - 3 }, start < 1 ? 'first packet' : span(start * 1000)),
    draw('text', { x: width - 6, y: height - 3, 'text-anchor': 'end' }, span((start + length) * 1000)));
  ['one', 'two'].forEach((name, side) => {
    const points = rows.map(row => [row[0], row[side + 1]]);
    const last = points.findLast(point => point[1] !== null);
    svg.append(draw('path', { class: `line ${name}`, d: track(points, x, y) }));
    if (last) svg.append(draw('circle', { class: `mark ${name}`, cx: x(last[0]), cy: y(last[1]), r: 3 }));
  });
  return svg;
}

// ---- the ladder

const ROW = 30, GAP_MAX = 44;

// Time runs down, squeezed: every step has room, a long wait gets more of it but not its due.
function rows(steps) {
  let y = 46, before = 0;
  return steps.map((step, number) => {
    const waited = step.at_ms - before;
    const gap = number && waited > 100 ? Math.min(GAP_MAX, 9 * Math.log2(waited / 50)) : 0;
    y += number ? ROW + gap : 0;
    before = step.at_ms;
    return { step, y, waited: gap > 12 ? waited : 0, gap };
  });
}

function head(x, y, right, name) {
  const back = right ? -7 : 7;
  return draw('path', { class: `head ${name}`, d: `M${x} ${y}l${back} -4v8Z` });
}

/** steps: of a call; text(step): what it is, in a few words. */
export function ladder(steps, names, text, label, width) {
  const time = 58, lives = [time + 26, (time + 26 + width - 26) / 2, width - 26];
  const placed = rows(steps), height = (placed.length ? placed.at(-1).y : 46) + 24;
  const svg = draw('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label,
    'aria-describedby': 'steps-table' });
  const sides = { initiator: 0, relay: 1, responder: 2 };
  lives.forEach((x, number) => svg.append(
    draw('line', { class: 'life', x1: x, x2: x, y1: 26, y2: height - 6 }),
    draw('text', { class: `name ${['one', '', 'two'][number]}`, x: [x - 26, x, x + 26][number], y: 14,
      'text-anchor': ['start', 'middle', 'end'][number] }, names[number])));
  for (const { step, y, waited, gap } of placed) {
    const from = lives[sides[step.by]], colour = { initiator: 'one', responder: 'two' }[step.by];
    if (waited) {
      svg.append(draw('text', { x: 0, y: y - (ROW + gap) / 2 + 4 }, '⋮'));
    }
    svg.append(draw('text', { x: 0, y: y + 4 }, milliseconds(step.at_ms)));
    if (step.by === 'relay' || step.what === 'selected' || step.what === 'moved') {
      const bad = step.what === 'failed' || step.what === 'refused';
      svg.append(draw('circle', { class: `knot ${bad ? 'bad' : ''}`, cx: from, cy: y, r: 4 }));
      const anchor = step.by === 'responder' ? 'end' : step.by === 'relay' ? 'middle' : 'start';
      svg.append(draw('text', { class: 'say', 'text-anchor': anchor,
        x: from + { end: -9, middle: 0, start: 9 }[anchor],
        y: step.by === 'relay' ? y - 8 : y + 4 }, text(step)));
      continue;
    }
    const through = step.what === 'stanza' || step.what === 'media';
    const to = through ? lives[step.by === 'initiator' ? 2 : 0] : lives[1];
    const right = to > from;
    svg.append(draw('line', { class: `arrow ${colour} ${step.what}`, x1: from, x2: to + (right ? -5 : 5),
      y1: y, y2: y }), head(to, y, right, colour));
    if (through) svg.append(draw('circle', { class: 'knot', cx: lives[1], cy: y, r: 3 }));
    const near = right ? from + 10 : from - 10;
    svg.append(draw('text', { class: 'say', x: near, y: y - 6, 'text-anchor': right ? 'start' : 'end' },
      text(step)));
  }
  svg.setAttribute('height', height);
  return svg;
}
