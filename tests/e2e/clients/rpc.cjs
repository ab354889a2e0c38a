// SPDX-License-Identifier: ISC
// Serves the driver: JSON lines on stdin ask, JSON lines on stdout answer. The process ends with stdin.
'use strict';
const readline = require('readline');

module.exports = function serve(perform, close = () => {}) {
  const say = message => process.stdout.write(JSON.stringify(message) + '\n');
  readline.createInterface({ input: process.stdin }).on('line', async line => {
    const { id, do: name, with: options } = JSON.parse(line);
    try {
      say({ id, result: (await perform(name, options)) ?? null });
    } catch (error) {
      say({ id, error: String((error && error.stack) || error) });
    }
  }).on('close', async () => { await close(); process.exit(0); });
  process.on('uncaughtException', error => console.error('uncaught', error));
  process.on('unhandledRejection', error => console.error('unhandled', error));
};
