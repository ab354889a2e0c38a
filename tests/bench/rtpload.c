// SPDX-License-Identifier: ISC
// The clients of many calls at once: they prove themselves to the relay with connectivity checks,
// then send RTP and measure what arrives. Which calls there are, and their credentials, is for the
// signalling to say; this program is told on its stdin, and answers each line with one of JSON:
//
//   load FILE                            more calls, one per line: per side the relay's IP and port
//                                        for that client, and the client's ufrag and pwd ("-":
//                                        none)
//   latch SECONDS                        checks until each client has had an answer
//   run CALLS RATE SECONDS BURST         RTP in the first CALLS calls, RATE packets a second in
//   each
//                                        direction, evenly spaced over the calls and in time; BURST
//                                        of them at a time in each direction
//   each CALLS                           of the last run: per client how many packets were sent to
//                                        it, and how many it received
//   forget                               all calls
//
//   rtpload SIDE-A SIDE-B
// where a side is NETNS,DEVICE,IP,MAC,GATEWAY-MAC (see wire.h). The client of call i has port
// 10000 + i.
#include "base/addr.h"
#include "base/cursor.h"
#include "codec/stun.h"
#include "media.h"
#include "wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    FIRST_PORT = 10000,
    CALLS_MAX = 50000,
    CHECK_MS = 250, // between two checks of a client that got no answer
};

struct client {
    struct endpoint relay;
    char ufrag[32], pwd[64]; // the client's own; an empty ufrag: no checks
    uint8_t txid[STUN_TXID_LEN];
    uint64_t check_due;
    bool answered;
    uint32_t sequence, received; // in this run
};

struct call {
    struct client client[SIDES];
};

struct load {
    struct wire *wire[SIDES];
    struct call *call;
    unsigned calls, next[SIDES], answered;
    struct media media;
};

struct arrival { // the context of a reception
    struct load *load;
    enum side side;
};

// ---- RTP

static void send_rtp(struct load *load, enum side side, unsigned index, uint64_t now)
{
    struct client *client = &load->call[index].client[side];

    media_write(&load->media, wire_payload(load->wire[side]), index * SIDES + side + 1,
                client->sequence++, now);
    wire_send(load->wire[side], (uint16_t)(FIRST_PORT + index), &client->relay, RTP_LEN);
}

// ---- checks

static void send_check(struct load *load, enum side side, unsigned index, uint64_t now)
{
    struct client *own = &load->call[index].client[side];
    const struct client *peer = &load->call[index].client[!side];
    char username[sizeof own->ufrag + sizeof peer->ufrag + 1];
    struct writer w;
    int len;

    if (getrandom(own->txid, sizeof own->txid, 0) != sizeof own->txid)
        abort();
    w = stun_begin(wire_payload(load->wire[side]), WIRE_PAYLOAD_MAX, STUN_REQUEST, STUN_BINDING,
                   own->txid);
    len = snprintf(username, sizeof username, "%s:%s", peer->ufrag, own->ufrag);
    stun_put_bytes(&w, STUN_USERNAME, username, (size_t)len);
    stun_put_u32(&w, STUN_PRIORITY, 0x6e0001ff); // RFC 8445 section 5.1.2: peer-reflexive
    stun_put_u64(&w, side == SIDE_A ? STUN_ICE_CONTROLLING : STUN_ICE_CONTROLLED, index + 1);
    if (side == SIDE_A)
        stun_put_flag(&w, STUN_USE_CANDIDATE);
    len = stun_finish(&w, peer->pwd, strlen(peer->pwd), true);
    own->check_due = now + CHECK_MS * NS_PER_MS;
    if (len > 0)
        wire_send(load->wire[side], (uint16_t)(FIRST_PORT + index), &own->relay, (size_t)len);
}

static void answer_check(struct load *load, enum side side, struct client *client,
                         const struct datagram *d, const struct stun_msg *request)
{
    struct addr from = addr_v4(d->from.ip, d->from.port);
    struct writer w = stun_begin(wire_payload(load->wire[side]), WIRE_PAYLOAD_MAX, STUN_SUCCESS,
                                 STUN_BINDING, request->txid);
    int len;

    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &from);
    len = stun_finish(&w, client->pwd, strlen(client->pwd), true);
    if (len > 0)
        wire_send(load->wire[side], d->to, &d->from, (size_t)len);
}

static void take_stun(struct load *load, enum side side, struct client *client,
                      const struct datagram *d)
{
    struct stun_msg msg;

    if (stun_decode(d->data, d->len, &msg) < 0 || msg.method != STUN_BINDING)
        return;
    if (msg.class == STUN_REQUEST && stun_check_integrity(&msg, client->pwd, strlen(client->pwd))) {
        answer_check(load, side, client, d, &msg);
    } else if (msg.class == STUN_SUCCESS && !client->answered &&
               memcmp(msg.txid, client->txid, sizeof client->txid) == 0) {
        client->answered = true;
        load->answered++;
    }
}

// ---- both

static void take(void *ctx, const struct datagram *d)
{
    const struct arrival *arrival = ctx;
    struct load *load = arrival->load;
    unsigned index = d->to - FIRST_PORT; // wraps for lower ports

    if (index >= load->calls || d->len < STUN_HEADER_LEN)
        return;
    struct client *client = &load->call[index].client[arrival->side];
    if (d->data[0] < 4) // RFC 7983
        take_stun(load, arrival->side, client, d);
    else
        client->received += media_take(&load->media, d->data, d->len, d->at);
}

static void receive(struct load *load)
{
    for (enum side side = SIDE_A; side < SIDES; side++) {
        struct arrival arrival = {load, side};

        wire_receive(load->wire[side], MEDIA_BATCH, take, &arrival);
        wire_flush(load->wire[side]); // answers
    }
}

static unsigned overflow(struct load *load)
{
    return wire_overflow(load->wire[SIDE_A]) + wire_overflow(load->wire[SIDE_B]);
}

// ---- commands

static bool parse_client(const char *ip, unsigned port, struct client *client)
{
    client->relay.port = (uint16_t)port;
    if (strcmp(client->ufrag, "-") == 0)
        client->ufrag[0] = '\0';
    return port > 0 && port <= UINT16_MAX && inet_pton(AF_INET, ip, client->relay.ip) == 1;
}

static bool read_call(const char *line, struct call *call)
{
    struct client *a = &call->client[SIDE_A], *b = &call->client[SIDE_B];
    char ip[SIDES][16];
    unsigned port[SIDES];

    *call = (struct call){0};
    return sscanf(line, "%15s %u %31s %63s %15s %u %31s %63s", ip[0], &port[0], a->ufrag, a->pwd,
                  ip[1], &port[1], b->ufrag, b->pwd) == 8 &&
           parse_client(ip[0], port[0], a) && parse_client(ip[1], port[1], b);
}

static void load_calls(struct load *load, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[512];
    bool ok = file != NULL;

    while (ok && fgets(line, sizeof line, file)) {
        ok = load->calls < CALLS_MAX && read_call(line, &load->call[load->calls]);
        load->calls += ok;
    }
    if (file)
        fclose(file);
    printf("{\"ok\": %s, \"calls\": %u}\n", ok ? "true" : "false", load->calls);
}

static unsigned clients_with_checks(const struct load *load)
{
    unsigned count = 0;

    for (unsigned i = 0; i < load->calls; i++)
        for (enum side side = SIDE_A; side < SIDES; side++)
            count += load->call[i].client[side].ufrag[0] != '\0';
    return count;
}

static void latch(struct load *load, double seconds)
{
    uint64_t start = wire_now(), end = start + (uint64_t)(seconds * 1e9), now = start;
    unsigned wanted = clients_with_checks(load), i = 0;

    while (load->answered < wanted && now < end) {
        for (unsigned sent = 0; i < load->calls && sent < MEDIA_BATCH / SIDES; i++, sent++)
            for (enum side side = SIDE_A; side < SIDES; side++) {
                const struct client *client = &load->call[i].client[side];

                if (client->ufrag[0] && !client->answered && now >= client->check_due)
                    send_check(load, side, i, now);
            }
        if (i == load->calls)
            i = 0;
        receive(load);
        usleep(100); // the relay must not be shown more at a time than its socket queues hold
        now = wire_now();
    }
    printf("{\"clients\": %u, \"answered\": %u, \"seconds\": %.3f}\n", wanted, load->answered,
           (double)(now - start) / 1e9);
}

static void begin_run(struct load *load)
{
    media_begin(&load->media);
    load->next[SIDE_A] = load->next[SIDE_B] = 0;
    for (unsigned i = 0; i < load->calls; i++)
        for (enum side side = SIDE_A; side < SIDES; side++)
            load->call[i].client[side].received = 0;
    (void)overflow(load);
}

// Sends what is due in one direction.
static void pump(struct load *load, enum side side, unsigned calls, double rate, unsigned burst)
{
    uint64_t now = wire_now();
    unsigned due = media_due(&load->media, side, rate, burst, now);

    for (unsigned i = 0; i < due; i++) {
        send_rtp(load, side, load->next[side], now);
        load->next[side] = (load->next[side] + 1) % calls;
    }
    load->media.sent[side] += due;
    wire_flush(load->wire[side]);
}

static unsigned silent_clients(const struct load *load, unsigned calls)
{
    unsigned count = 0;

    for (unsigned i = 0; i < calls; i++)
        for (enum side side = SIDE_A; side < SIDES; side++)
            count += load->call[i].client[side].received == 0;
    return count;
}

static void run(struct load *load, unsigned calls, double rate, double seconds, unsigned burst)
{
    struct media *media = &load->media;
    uint64_t now;

    if (calls == 0 || calls > load->calls || burst == 0 || burst > MEDIA_BATCH) {
        puts("{\"error\": \"not so many calls, or too large a burst\"}");
        return;
    }
    begin_run(load);
    for (now = media->began; now < media->began + (uint64_t)(seconds * 1e9); now = wire_now()) {
        pump(load, SIDE_A, calls, calls * rate, burst);
        pump(load, SIDE_B, calls, calls * rate, burst);
        receive(load);
    }
    media->ended = now;
    while (!media_complete(media, wire_now()))
        receive(load);
    media_report(media, silent_clients(load, calls), overflow(load));
    puts("");
}

// What became of each client's packets in the last run: for call 0 how many were sent to side A and
// received there, the same for side B, and so on.
static void each(const struct load *load, unsigned calls)
{
    printf("{\"each\": [");
    for (unsigned i = 0; i < calls && i < load->calls; i++)
        for (enum side side = SIDE_A; side < SIDES; side++) {
            uint64_t sent = load->media.sent[side == SIDE_A ? SIDE_B : SIDE_A];

            printf("%s[%llu, %u]", i == 0 && side == SIDE_A ? "" : ", ",
                   (unsigned long long)((sent + calls - 1 - i) / calls),
                   load->call[i].client[side].received);
        }
    puts("]}");
}

static void command(struct load *load, const char *line)
{
    double seconds, rate;
    unsigned calls, burst;
    char path[256];

    if (sscanf(line, "load %255s", path) == 1) {
        load_calls(load, path);
    } else if (sscanf(line, "latch %lf", &seconds) == 1) {
        latch(load, seconds);
    } else if (sscanf(line, "run %u %lf %lf %u", &calls, &rate, &seconds, &burst) == 4) {
        run(load, calls, rate, seconds, burst);
    } else if (sscanf(line, "each %u", &calls) == 1) {
        each(load, calls);
    } else if (strncmp(line, "forget", 6) == 0) {
        load->calls = load->answered = 0;
        puts("{\"ok\": true}");
    } else {
        puts("{\"error\": \"no such command\"}");
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct load load;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[512];

    if (argc != 1 + SIDES) {
        fprintf(stderr, "usage: rtpload NETNS,DEVICE,IP,MAC,GATEWAY-MAC (for each side)\n");
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0); // what poll() does not see must not wait in a buffer
    load.call = calloc(CALLS_MAX, sizeof *load.call);
    if (!load.call || wire_open_side(argv[1], &load.wire[SIDE_A]) < 0 ||
        wire_open_side(argv[2], &load.wire[SIDE_B]) < 0)
        return 1;
    for (;;) {
        receive(&load); // the relay's own checks want answers between the commands, too
        if (poll(&input, 1, 5) <= 0)
            continue;
        if (!fgets(line, sizeof line, stdin))
            break;
        command(&load, line);
    }
    wire_close(load.wire[SIDE_A]);
    wire_close(load.wire[SIDE_B]);
    free(load.call);
    return 0;
}
