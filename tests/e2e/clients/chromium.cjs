// SPDX-License-Identifier: ISC
// Client "chromium": a headless Chromium with its own fake camera and microphone, whose page runs
// agent.cjs; called with "peer", client "peer-chromium", whose page runs peer.cjs. The page comes from a server on loopback (a secure context, so that media may be
// captured); the browser is driven through its DevTools pipe.
'use strict';
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { execFileSync, spawn } = require('child_process');

function servePage() {
  const script = require('./bundle.cjs')(path.join(__dirname, 'page.cjs'));
  const html = '<!doctype html><title>client</title><body><script src="script.js"></script>';
  const server = http.createServer((request, response) => {
    const isScript = request.url === '/script.js';
    response.setHeader('Content-Type', isScript ? 'application/javascript' : 'text/html');
    response.end(isScript ? script : html);
  });
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

function launch(home) {
  return spawn('chromium', [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-sync',
    '--disable-background-networking', '--disable-component-update', '--mute-audio',
    '--disable-dev-shm-usage', '--autoplay-policy=no-user-gesture-required',
    '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
    '--remote-debugging-pipe', `--user-data-dir=${home}`, 'about:blank',
  ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], env: { ...process.env, HOME: home } });
}

// A certificate authority that the environment names is one of the browser's own.
function trust(home, authority) {
  const database = path.join(home, '.pki/nssdb');
  fs.mkdirSync(database, { recursive: true });
  execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'lab', '-i', authority]);
}

// The DevTools protocol: JSON messages that end with a zero byte.
function devtools(browser) {
  const waiting = new Map();
  let id = 0, rest = '';
  browser.stdio[4].setEncoding('utf8').on('data', text => {
    const messages = (rest + text).split('\0');
    rest = messages.pop();
    for (const message of messages.map(JSON.parse)) {
      const settle = waiting.get(message.id);
      waiting.delete(message.id);
      if (settle) settle(message);
    }
  });
  return (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    waiting.set(++id, ({ error, result }) => error ? reject(new Error(error.message)) : resolve(result));
    browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + '\0');
  });
}

async function open() {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'chromium-'));
  if (process.env.SSL_CERT_FILE) trust(home, process.env.SSL_CERT_FILE);
  const browser = launch(home);
  const send = devtools(browser);
  const url = `http://127.0.0.1:${await servePage()}/#${process.argv[2] || ''}`;
  const { targetId } = await send('Target.createTarget', { url });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  async function evaluate(expression) {
    const { result, exceptionDetails } = await send(
      'Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
    if (exceptionDetails) {
      throw new Error((exceptionDetails.exception || {}).description || exceptionDetails.text);
    }
    return result.value;
  }
  while (!await evaluate('!!window.agent')) await new Promise(resolve => setTimeout(resolve, 50));
  return {
    perform: (name, options = null) =>
      evaluate(`(async () => await agent.${name}(${JSON.stringify(options)}))()`),
    close: async () => {
      await Promise.race([send('Browser.close'), new Promise(resolve => setTimeout(resolve, 2000))]);
      browser.kill('SIGKILL');
      fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const opened = open();
require('./rpc.cjs')(
  async (name, options) => (await opened).perform(name, options),
  async () => (await opened).close());
