// SPDX-License-Identifier: ISC
// A Jingle user on npm `stanza`, unmodified, over any RTCPeerConnection: the browser's own, or
// libwebrtc in node. No STUN or TURN server is configured; asked to, it takes those that its own
// server names (XEP-0215) and uses nothing but relays. What it can do is what the driver of the
// tests may ask of every kind of client (../lab/client.py).
'use strict';
const XMPP = require('../node/node_modules/stanza');
const stats = require('./stats.cjs');

module.exports = function agent({ PeerConnection, getMedia, onTrack = () => {} }) {
  let client, session, kindsToAnswer, ended = null;
  const stanzas = [];

  function follow(next) {
    session = next;
    ended = null;
    session.pc.addEventListener('track', onTrack);
  }

  async function answer(incoming) {
    follow(incoming);
    const kinds = kindsToAnswer || ['audio', 'video'].filter(
      kind => incoming[kind === 'audio' ? 'includesAudio' : 'includesVideo']);
    const stream = await getMedia(kinds);
    for (const track of stream.getTracks()) await incoming.addTrack(track, stream);
    await incoming.accept();
  }

  // stanza writes stun:HOST:PORT?transport=udp, and RTCPeerConnection throws: RFC 7064 section 3.1
  // has no transport. An application has to repair that.
  async function discover() {
    await client.discoverICEServers();
    for (const server of client.jingle.iceServers) {
      server.urls = server.urls.map(url => url.startsWith('stun') ? url.split('?')[0] : url);
    }
    return client.jingle.iceServers;
  }

  function connect({ user, domain, server, resource, relay = false, servers = relay }) {
    const jingle = { iceServers: [], iceTransportPolicy: relay ? 'relay' : 'all' };
    const host = server.includes(':') ? `[${server}]` : server;
    if (PeerConnection) {
      Object.assign(jingle, {
        hasRTCPeerConnection: true, advertiseAudio: true, advertiseVideo: true,
        createPeerConnection: (_, options) => new PeerConnection(options),
      });
    }
    client = XMPP.createClient({
      jid: `${user}@${domain}`, password: `${user}-pw`, resource, server: domain, jingle,
      transports: { websocket: `ws://${host}:5280/xmpp-websocket`, bosh: false },
      autoReconnect: false, requireSecureTransport: false,
    });
    client.on('raw:incoming', xml => stanzas.push(['in', String(xml)]));
    client.on('raw:outgoing', xml => stanzas.push(['out', String(xml)]));
    client.on('jingle:incoming', incoming => answer(incoming).catch(e => { ended = String(e); }));
    client.on('jingle:terminated', (_, reason) => { ended ||= (reason && reason.condition) || 'end'; });
    return new Promise((resolve, reject) => {
      client.on('session:started', () => {
        client.sendPresence();
        (servers ? discover() : Promise.resolve([])).then(
          iceServers => resolve({ jid: client.jid, iceServers }), reject);
      });
      client.on('auth:failed', () => reject(new Error('authentication failed')));
      client.on('disconnected', () => reject(new Error('disconnected')));
      client.connect();
    });
  }

  async function call({ to, kinds }) {
    const stream = await getMedia(kinds);
    follow(client.jingle.createMediaSession(to, undefined, stream));
    await session.start({ offerToReceiveAudio: true, offerToReceiveVideo: kinds.includes('video') });
    return { sid: session.sid };
  }

  return {
    connect, call,
    stats: async () => ({ ...await stats(session && session.pc), ended }),
    answer: ({ kinds }) => { kindsToAnswer = kinds; },
    stanzas: () => stanzas,
    restart: () => session.restartIce(),
    hangup: () => { session.end('success'); },
    disconnect: () => { client.disconnect(); },
  };
};
