// SPDX-License-Identifier: ISC
// Turns a CommonJS file and what it requires into one script for a page. That is all that `stanza`
// needs to run in a browser, so no bundler is installed.
'use strict';
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

const modules = path.join(__dirname, '../node/node_modules');
const instead = {
  [path.join(modules, 'stanza/platform/index.js')]:
    path.join(modules, 'stanza/platform/browser/index.js'),
};

// A package goes before a part of node of the same name ("events/", "punycode/").
function resolve(from, name) {
  const file = createRequire(from).resolve(name.startsWith('.') ? name : `${name}/`);
  return instead[file] || file;
}

module.exports = function bundle(entry) {
  const texts = new Map();
  const visit = file => {
    if (texts.has(file)) return file;
    texts.set(file, '');
    texts.set(file, fs.readFileSync(file, 'utf8').replace(
      /\brequire\(["']([^"']+)["']\)/g, (_, name) => `require(${JSON.stringify(visit(resolve(file, name)))})`));
    return file;
  };
  visit(entry);
  const table = [...texts].map(([file, text]) =>
    `${JSON.stringify(file)}: function (module, exports, require) {\n${text}\n}`).join(',\n');
  return `globalThis.global = globalThis;
globalThis.process = { env: { NODE_ENV: 'production' }, nextTick: (f, ...a) => queueMicrotask(() => f(...a)) };
(table => {
  const loaded = {};
  const require = file => {
    if (loaded[file]) return loaded[file].exports;
    const module = loaded[file] = { exports: {} };
    table[file].call(module.exports, module, module.exports, require);
    return module.exports;
  };
  require(${JSON.stringify(entry)});
})({${table}});`;
};
