// SPDX-License-Identifier: ISC
// The media of the load generators: RTP with the time of its sending in it, and the figures of what
// arrives. All of it is written and read on one machine, by one clock (wire_now()).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  1000000ull

enum side { SIDE_A, SIDE_B, SIDES };

enum {
    RTP_LEN = 172,    // 20 ms of G.711
    MEDIA_BATCH = 64, // the most that is sent in one direction at a time
    LATE_MS = 100,    // an older packet is as good as lost: no jitter buffer waits so long
    WAIT_MS = 500,    // for stragglers after the last packet
};

// Logarithmic, 32 steps per octave: an error of 3 %.
enum { LATENCY_STEPS = 32, LATENCY_OCTAVES = 32 };

struct latencies {
    uint64_t count;
    uint64_t step[LATENCY_OCTAVES * LATENCY_STEPS];
};

void latency_add(struct latencies *latencies, uint64_t ns);
double latency_us(const struct latencies *latencies, double share); // a percentile; 0 without any
uint64_t latency_above(const struct latencies *latencies, uint64_t ns); // how many took longer

struct media { // one run
    uint32_t run;
    uint64_t sent[SIDES], received, late;
    uint64_t began, ended; // of sending
    struct latencies latency;
};

void media_begin(struct media *media); // another run, from now on
// How many packets are due in one direction at a rate per second; 0 until there is a whole burst.
unsigned media_due(const struct media *media, enum side side, double rate, unsigned burst,
                   uint64_t now);
// RTP_LEN bytes.
void media_write(const struct media *media, uint8_t *at, uint32_t ssrc, uint32_t sequence,
                 uint64_t now);
// Whether these bytes belong to this run; then they are counted.
bool media_take(struct media *media, const uint8_t *data, size_t len, uint64_t at);
bool media_complete(const struct media *media, uint64_t now); // all is there, or was waited for
// A JSON object, without the end of its line; silent: clients that received nothing, overflow:
// frames that we were too slow for.
void media_report(const struct media *media, unsigned silent, unsigned overflow);
