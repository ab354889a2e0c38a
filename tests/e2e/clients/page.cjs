// SPDX-License-Identifier: ISC
// What the browser page of clients "chromium" and "peer-chromium" runs; made one script by bundle.cjs.
'use strict';

const create = location.hash === '#peer' ? require('./peer.cjs') : require('./agent.cjs');

window.agent = create({
  getMedia: kinds => navigator.mediaDevices.getUserMedia({
    audio: kinds.includes('audio'),
    video: kinds.includes('video') && { width: 640, height: 480 },
  }),
  onTrack: ({ track, streams }) => {
    const player = document.createElement(track.kind);
    player.autoplay = true;
    player.srcObject = streams[0] || new MediaStream([track]);
    document.body.append(player);
  },
});
