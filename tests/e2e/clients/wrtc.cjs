// SPDX-License-Identifier: ISC
// Clients "wrtc" and, called with "peer", "peer-wrtc": libwebrtc in node (@roamhq/wrtc) with a tone
// and a moving picture.
'use strict';
const { createRequire } = require('module');
const path = require('path');
const fromModules = createRequire(path.join(__dirname, '../node/package.json'));
const wrtc = fromModules('@roamhq/wrtc');
const { RTCAudioSource, RTCVideoSource } = wrtc.nonstandard;

const RATE = 48000, WIDTH = 320, HEIGHT = 240;

function tone() {
  const source = new RTCAudioSource();
  const samples = new Int16Array(RATE / 100);
  let phase = 0;
  setInterval(() => {
    for (let i = 0; i < samples.length; i++) samples[i] = 8000 * Math.sin(phase += 0.0576);
    source.onData({ samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1,
      numberOfFrames: samples.length });
  }, 10);
  return source.createTrack();
}

function picture() {
  const source = new RTCVideoSource();
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 3 / 2).fill(128);
  let frame = 0;
  setInterval(() => {
    frame++;
    for (let i = 0; i < WIDTH * HEIGHT; i++) data[i] = (i + frame * 5) & 255;
    source.onFrame({ width: WIDTH, height: HEIGHT, data });
  }, 66);
  return source.createTrack();
}

async function getMedia(kinds) {
  const stream = new wrtc.MediaStream();
  if (kinds.includes('audio')) stream.addTrack(tone());
  if (kinds.includes('video')) stream.addTrack(picture());
  return stream;
}

const create = process.argv[2] === 'peer' ? require('./peer.cjs') : require('./agent.cjs');
const agent = create({ PeerConnection: wrtc.RTCPeerConnection, getMedia });
require('./rpc.cjs')((name, options) => agent[name](options));
