// SPDX-License-Identifier: ISC
// RTP with a time stamp, and figures of what arrives; see media.h.
#include "media.h"

#include "wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define PROBE_MAGIC 0x6a72626cu

// What stands behind the RTP header.
struct probe {
    uint64_t sent_at;
    uint32_t run;
    uint32_t magic;
};

enum { RTP_HEADER_LEN = 12, SAMPLES = 160 };

// ---- latency

static unsigned step_of(uint64_t ns)
{
    unsigned octave;

    if (ns < LATENCY_STEPS)
        return (unsigned)ns;
    octave = 63 - (unsigned)__builtin_clzll(ns) - 4; // of 32..63: 1
    if (octave >= LATENCY_OCTAVES)
        return LATENCY_OCTAVES * LATENCY_STEPS - 1;
    return octave * LATENCY_STEPS + (unsigned)(ns >> (octave - 1)) % LATENCY_STEPS;
}

static double step_us(unsigned step)
{
    unsigned octave = step / LATENCY_STEPS;
    uint64_t low =
        octave == 0 ? step : (uint64_t)(LATENCY_STEPS + step % LATENCY_STEPS) << (octave - 1);

    return (double)low / 1000;
}

void latency_add(struct latencies *latencies, uint64_t ns)
{
    latencies->step[step_of(ns)]++;
    latencies->count++;
}

double latency_us(const struct latencies *latencies, double share)
{
    uint64_t total = 0, wanted = (uint64_t)(share * (double)latencies->count);

    for (unsigned i = 0; i < LATENCY_OCTAVES * LATENCY_STEPS; i++) {
        total += latencies->step[i];
        if (total > wanted)
            return step_us(i);
    }
    return 0;
}

uint64_t latency_above(const struct latencies *latencies, uint64_t ns)
{
    uint64_t count = 0;

    for (unsigned i = step_of(ns) + 1; i < LATENCY_OCTAVES * LATENCY_STEPS; i++)
        count += latencies->step[i];
    return count;
}

// ---- a run

void media_begin(struct media *media)
{
    *media = (struct media){.run = media->run + 1, .began = wire_now()};
}

unsigned media_due(const struct media *media, enum side side, double rate, unsigned burst,
                   uint64_t now)
{
    uint64_t due = (uint64_t)((double)(now - media->began) * rate / 1e9);
    uint64_t missing = due > media->sent[side] ? due - media->sent[side] : 0;

    if (missing < burst)
        return 0;
    return missing > MEDIA_BATCH ? MEDIA_BATCH : (unsigned)missing;
}

void media_write(const struct media *media, uint8_t *at, uint32_t ssrc, uint32_t sequence,
                 uint64_t now)
{
    struct probe probe = {now, media->run, PROBE_MAGIC};
    uint32_t timestamp = htonl(sequence * SAMPLES);

    memset(at, 0xd5, RTP_LEN); // silence in A-law
    at[0] = 0x80;
    at[1] = 8;
    at[2] = (uint8_t)(sequence >> 8);
    at[3] = (uint8_t)sequence;
    ssrc = htonl(ssrc);
    memcpy(at + 4, &timestamp, 4);
    memcpy(at + 8, &ssrc, 4);
    memcpy(at + RTP_HEADER_LEN, &probe, sizeof probe);
}

bool media_take(struct media *media, const uint8_t *data, size_t len, uint64_t at)
{
    struct probe probe;
    uint64_t age;

    if (len != RTP_LEN || data[0] >> 6 != 2) // RFC 7983
        return false;
    memcpy(&probe, data + RTP_HEADER_LEN, sizeof probe);
    if (probe.magic != PROBE_MAGIC || probe.run != media->run)
        return false;
    age = at > probe.sent_at ? at - probe.sent_at : 0;
    media->received++;
    media->late += age > LATE_MS * NS_PER_MS;
    latency_add(&media->latency, age);
    return true;
}

bool media_complete(const struct media *media, uint64_t now)
{
    return media->received >= media->sent[SIDE_A] + media->sent[SIDE_B] ||
           now >= media->ended + WAIT_MS * NS_PER_MS;
}

void media_report(const struct media *media, unsigned silent, unsigned overflow)
{
    const struct latencies *latency = &media->latency;

    printf("{\"sent\": %llu, \"seconds\": %.3f, \"received\": %llu, \"late\": %llu, "
           "\"silent\": %u, \"overflow\": %u, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}",
           (unsigned long long)(media->sent[SIDE_A] + media->sent[SIDE_B]),
           (double)(media->ended - media->began) / 1e9, (unsigned long long)media->received,
           (unsigned long long)media->late, silent, overflow, latency_us(latency, 0.5),
           latency_us(latency, 0.99), latency_us(latency, 0.999));
}
