// SPDX-License-Identifier: ISC
// How well a side is probably heard, from loss, jitter and delay alone; what was said is encrypted.
#include "obs/report.h"

#define VIDEO_CLOCK   90000
#define CODEC_DELAY   40.0 // ms: packets of 20 ms, and looking ahead
#define LOSS_ROBUST   20.0 // Bpl of a codec with concealment, as Opus has
#define JITTER_BUFFER 2.0  // so many times the jitter is waited for

// ITU-T G.107 section 7: R = Ro - Id - Ie-eff. Id as G.107 appendix I and common practice have it,
// two straight lines that meet at 177.3 ms; Ie-eff of section 7.5 for losses at random.
double call_mos(const struct call_quality *quality)
{
    double delay = (double)quality->way / 2 / (double)USEC_PER_MSEC + CODEC_DELAY +
                   JITTER_BUFFER * (double)quality->jitter / (double)USEC_PER_MSEC;
    double sent = (double)(quality->heard + quality->lost);
    double loss = sent > 0 ? 100 * (double)quality->lost / sent : 0;
    double r = 93.2 - 0.024 * delay - 95 * loss / (loss + LOSS_ROBUST);

    if (quality->heard == 0)
        return 0;
    if (delay > 177.3)
        r -= 0.11 * (delay - 177.3);
    if (r < 0)
        return 1;
    // Annex B: the score that belongs to R.
    double mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;

    return mos < 1 ? 1 : mos;
}

static bool is_video(const struct quality_view *q)
{
    return q->clock_rate == VIDEO_CLOCK;
}

struct call_quality call_quality_of(const struct call_report *report, enum side side)
{
    struct call_quality audio = {0, 0, 0, 0}, video = audio; // audio: or what may be
    usec_t way = 0;

    for (unsigned i = 0; i < report->views; i++) {
        const struct path_view *view = &report->view[i];

        for (unsigned s = 0; s < view->leg[side].qualities; s++) {
            const struct quality_view *q = &view->leg[side].quality[s];
            struct call_quality *sum = is_video(q) ? &video : &audio;

            sum->heard += q->received;
            sum->lost += q->lost;
            if (q->jitter > sum->jitter)
                sum->jitter = q->jitter;
        }
        if (view->leg[0].rtt + view->leg[1].rtt > way)
            way = view->leg[0].rtt + view->leg[1].rtt;
    }
    if (audio.heard == 0)
        audio = video;
    audio.way = way;
    return audio;
}
