// SPDX-License-Identifier: ISC
// An RTCPeerConnection without XMPP, relay only: descriptions come and go by the driver, each with
// all its candidates, {sdp, candidates: [[mid, text]]}. ../lab/peers.py has the other side.
'use strict';
const stats = require('./stats.cjs');

module.exports = function peer({ PeerConnection = globalThis.RTCPeerConnection, getMedia,
  onTrack = () => {} }) {
  let pc;
  const candidates = [];

  async function begin({ url, username, password, kinds }) {
    pc = new PeerConnection({ iceTransportPolicy: 'relay',
      iceServers: [{ urls: [url], username, credential: password }] });
    pc.addEventListener('track', onTrack);
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate && candidate.candidate) candidates.push([candidate.sdpMid, candidate.candidate]);
    });
    const stream = await getMedia(kinds);
    for (const track of stream.getTracks()) pc.addTrack(track, stream);
  }

  // Gathering is over as well when nothing new was found for a while: libwebrtc in node goes on for
  // very long where an interface cannot reach the server.
  async function described(description) {
    await pc.setLocalDescription(description);
    for (let known = 0, quiet = 0; pc.iceGatheringState !== 'complete'; quiet++) {
      if (candidates.length !== known) quiet = 0;
      known = candidates.length;
      if (known > 0 && quiet > 10) break;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    return { sdp: pc.localDescription.sdp, candidates };
  }

  async function learn(type, { sdp, candidates: theirs }) {
    await pc.setRemoteDescription({ type, sdp });
    for (const [sdpMid, candidate] of theirs) await pc.addIceCandidate({ sdpMid, candidate });
  }

  return {
    offer: async options => { await begin(options); return described(await pc.createOffer()); },
    answer: async ({ description, ...options }) => {
      await begin(options);
      await learn('offer', description);
      return described(await pc.createAnswer());
    },
    accept: ({ description }) => learn('answer', description),
    stats: async () => ({ ...await stats(pc), ended: null }),
    hangup: () => { pc.close(); },
  };
};
