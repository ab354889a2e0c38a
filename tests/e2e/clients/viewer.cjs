// SPDX-License-Identifier: ISC
// Somebody before the live page: Debian's Chromium, driven by Playwright. Understands: open, size,
// look (a screenshot), text, press, type, evaluate, problems, and what judge.cjs has.
'use strict';
const { createRequire } = require('module');
const path = require('path');
const judge = require('./judge.cjs');
const { chromium } = createRequire(path.join(__dirname, '../node/package.json'))('playwright-core');

let browser, page;
const problems = []; // what a page must not do: errors, words on the console, requests elsewhere

async function open({ url, width = 1280, height = 900, dark = false }) {
  if (!browser) {
    browser = await chromium.launch({
      executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
    });
  }
  if (page) await page.context().close();
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', reducedMotion: 'reduce',
  });
  page = await context.newPage();
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', error => problems.push(`error: ${error.message}`));
  const origin = new URL(url).origin;
  page.on('request', request => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith('data:')) {
      problems.push(`request: ${request.url()}`);
    }
  });
  await page.goto(url, { waitUntil: 'load' });
}

const actions = {
  open,
  size: async ({ width, height, dark }) => {
    await page.setViewportSize({ width, height });
    if (dark !== undefined) await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' });
  },
  look: ({ path, full = true }) => page.screenshot({ path, fullPage: full }).then(() => null),
  text: ({ of }) => page.locator(of).first().innerText(),
  press: ({ keys }) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve()),
  type: ({ text }) => page.keyboard.type(text),
  evaluate: ({ script }) => page.evaluate(script),
  problems: () => problems.splice(0),
  ...Object.fromEntries(Object.entries(judge).map(([name, look]) => [name, () => page.evaluate(look)])),
};

require('./rpc.cjs')(
  async (name, options) => (await actions[name](options)) ?? null,
  async () => browser && browser.close());
