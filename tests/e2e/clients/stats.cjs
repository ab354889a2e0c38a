// SPDX-License-Identifier: ISC
// What a driver wants to know of an RTCPeerConnection: the packets of each kind, both ways, and the
// candidate pairs in use.
'use strict';

module.exports = async function stats(pc) {
  const result = { state: pc ? pc.connectionState : 'new', in: {}, out: {}, pairs: [] };
  if (!pc || pc.connectionState === 'closed') return result;
  const rows = new Map();
  (await pc.getStats()).forEach(row => rows.set(row.id, row));
  const chosen = new Set([...rows.values()].map(row => row.selectedCandidatePairId));
  for (const row of rows.values()) {
    const kind = row.kind || row.mediaType;
    if (row.type === 'inbound-rtp') {
      const sum = result.in[kind] || { packets: 0, bytes: 0, lost: 0 };
      sum.packets += row.packetsReceived || 0;
      sum.bytes += row.bytesReceived || 0;
      sum.lost += row.packetsLost || 0;
      result.in[kind] = sum;
    } else if (row.type === 'outbound-rtp') {
      result.out[kind] = { packets: row.packetsSent };
    } else if (row.type === 'candidate-pair' && chosen.has(row.id)) {
      const remote = rows.get(row.remoteCandidateId) || {};
      result.pairs.push({
        local: (rows.get(row.localCandidateId) || {}).candidateType, remote: remote.candidateType,
        address: `${remote.address || remote.ip}:${remote.port}` });
    }
  }
  return result;
};
