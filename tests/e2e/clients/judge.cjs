// SPDX-License-Identifier: ISC
// What is wrong with a page for people: functions that run inside it, and give a list of complaints.
'use strict';

/** Text that stands out too little from what is behind it (WCAG 2.1, 1.4.3). */
exports.unreadable = () => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  function parse(color) { // [red, green, blue, alpha]
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  }
  function luminance(color) {
    const linear = color.slice(0, 3).map(value => value / 255)
      .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }
  function behind(element) {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  }
  function text(element) {
    return [...element.childNodes].filter(node => node.nodeType === Node.TEXT_NODE)
      .map(node => node.data).join('').trim();
  }
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (!text(e) || !e.checkVisibility() || !e.getClientRects().length || e.closest('.hide')) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const ink = luminance(parse(e.closest('svg') ? style.fill : style.color));
    const ground = luminance(behind(e));
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    const large = size >= 24 || (size >= 18.6 && style.fontWeight >= 600);
    if (ratio < (large ? 3 : 4.5)) bad.push(`${text(e).slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
};

/** What a screen reader would miss. */
exports.nameless = () => {
  const bad = [];
  const shown = what => [...document.querySelectorAll(what)].filter(e => e.checkVisibility());
  const named = e => e.getAttribute('aria-label') || e.getAttribute('aria-labelledby');
  for (const what of ['main', 'header', 'footer', 'h1']) {
    if (shown(what).length !== 1) bad.push(`${what}: ${shown(what).length}`);
  }
  if (!document.documentElement.lang || !document.title) bad.push('no language or no title');
  for (const e of shown('input, select')) if (!e.labels.length) bad.push(`no label: ${e.id}`);
  for (const e of shown('svg')) {
    if (!named(e) && !e.getAttribute('aria-hidden')) bad.push('a drawing without a name');
  }
  for (const e of shown('th')) if (!e.scope) bad.push(`no scope: ${e.textContent}`);
  for (const e of shown('a, button')) if (!e.textContent.trim()) bad.push('a link without text');
  for (const e of shown('section.card, section.verdict, section.calls')) {
    if (!named(e)) bad.push(`a section without a name: ${e.textContent.slice(0, 40)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  if (new Set(ids).size !== ids.length) bad.push('an id stands twice');
  return bad;
};

/** What can be used: [how many, the number of the one that has the focus, whether that is seen]. */
exports.focus = () => {
  const all = [...document.querySelectorAll('a[href], button, input, select, summary')]
    .filter(e => e.checkVisibility());
  const active = document.activeElement, row = active.closest('tr');
  const outlined = e => e && getComputedStyle(e).outlineStyle !== 'none';
  return [all.length, all.indexOf(active), Boolean(outlined(active) || outlined(row))];
};
