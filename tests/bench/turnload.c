// SPDX-License-Identifier: ISC
// Many TURN clients at once, and their peers: the clients are side A, the peer of each is on side
// B. They make and end allocations as fast as the server answers, and send RTP both ways through
// them, measuring what arrives. Told on its stdin what to do, it answers each line with one of
// JSON:
//
//   server IP PORT USERNAME PASSWORD     the server and a long-term credential
//   allocate COUNT WINDOW SECONDS FORM   that many allocations, so many under way at a time; FORM
//                                        is 'channel', or 'indication' for permissions only
//   run COUNT RATE SECONDS BURST FORM    RTP through the first allocations, RATE packets a second
//                                        in each direction, evenly spaced over allocations and in
//                                        time; BURST of them at a time in each direction. FORM is
//                                        'relay', or 'direct' past the server
//   release WINDOW SECONDS               Refresh with lifetime 0 for all of them
//   flows FILE                           writes there for blast what was allocated with channels
//   forget                               all clients; the next ones have other ports
//
//   turnload SIDE-A SIDE-B
// where a side is NETNS,DEVICE,IP,MAC,GATEWAY-MAC (see wire.h).
#include "media.h"
#include "turnclient.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_PORT = 10000, // of peers, always; of clients at first
    LAST_PORT = 59999,
    CLIENTS_MAX = 10000,
    LOOK_MS = 50, // between two looks for clients whose request was not answered
};

struct flow {
    struct client client;
    uint32_t sequence[SIDES], received[SIDES]; // of A, of B; in this run
};

struct load {
    struct wire *wire[SIDES];
    struct endpoint server, host[SIDES];
    struct account account;
    struct flow *flow;
    unsigned flows, next[SIDES];
    uint16_t first_port; // of the clients
    bool direct;
    unsigned busy, finished; // of the clients that allocate or release
    struct latencies taken;  // from their first request to their last answer
    struct media media;
};

struct arrival { // the context of a reception
    struct load *load;
    enum side side;
};

// ---- receiving

// The next request of a client, or the same again.
static void go_on(struct load *load, unsigned index, uint64_t now)
{
    uint8_t *at = wire_payload(load->wire[SIDE_A]);
    size_t len = client_write(&load->flow[index].client, &load->account, at, WIRE_PAYLOAD_MAX, now);

    if (len > 0)
        wire_send(load->wire[SIDE_A], (uint16_t)(load->first_port + index), &load->server, len);
}

static void take_answer(struct load *load, unsigned index, const struct stun_msg *msg)
{
    struct client *client = &load->flow[index].client;
    bool busy = client_busy(client);
    uint64_t now = wire_now();

    client_take(client, &load->account, msg, now);
    if (client_busy(client)) {
        go_on(load, index, now);
    } else if (busy) {
        load->busy--;
        load->finished++;
        latency_add(&load->taken, now - client->began);
    }
}

static void take(void *ctx, const struct datagram *d)
{
    const struct arrival *arrival = ctx;
    struct load *load = arrival->load;
    unsigned index = d->to - (arrival->side == SIDE_A ? load->first_port : (unsigned)FIRST_PORT);
    const uint8_t *data = d->data;
    size_t len = d->len;
    struct stun_msg msg;

    if (index >= load->flows || len < CLIENT_CHANNEL_HEADER) // lower ports wrap
        return;
    struct flow *flow = &load->flow[index];
    if (arrival->side == SIDE_A && data[0] < 4 && (data[0] & 1) && // an answer
        stun_decode(data, len, &msg) == 0) {
        take_answer(load, index, &msg);
        return;
    }
    if (arrival->side == SIDE_A && !load->direct)
        len = client_unwrap(&flow->client, d->data, d->len, &data);
    flow->received[arrival->side] += media_take(&load->media, data, len, d->at);
}

static unsigned receive(struct load *load)
{
    unsigned count = 0;

    for (enum side side = SIDE_A; side < SIDES; side++) {
        struct arrival arrival = {load, side};

        count += wire_receive(load->wire[side], MEDIA_BATCH, take, &arrival);
        wire_flush(load->wire[side]);
    }
    return count;
}

static unsigned overflow(struct load *load)
{
    return wire_overflow(load->wire[SIDE_A]) + wire_overflow(load->wire[SIDE_B]);
}

// ---- allocating and releasing

static unsigned ready(const struct load *load)
{
    unsigned count = 0;

    for (unsigned i = 0; i < load->flows; i++)
        count += load->flow[i].client.step == CLIENT_READY;
    return count;
}

static void send_again(struct load *load, unsigned begun, uint64_t now)
{
    for (unsigned i = 0; i < begun; i++) {
        struct client *client = &load->flow[i].client;

        if (!client_busy(client) || now < client->due)
            continue;
        go_on(load, i, now);
        if (!client_busy(client)) { // it has given up
            load->busy--;
            load->finished++;
        }
    }
}

static void report_clients(const struct load *load, unsigned wanted, unsigned done, double seconds)
{
    unsigned code = 0;

    for (unsigned i = 0; i < load->flows; i++)
        if (load->flow[i].client.step == CLIENT_FAILED)
            code = load->flow[i].client.error;
    printf("{\"wanted\": %u, \"done\": %u, \"code\": %u, \"seconds\": %.4f, \"p50_us\": %.1f, "
           "\"p99_us\": %.1f}\n",
           wanted, done, code, seconds, latency_us(&load->taken, 0.5),
           latency_us(&load->taken, 0.99));
}

// Lets each client begin, 'window' of them under way at a time, and end; returns the seconds.
static double let_all(struct load *load, void (*begin)(struct load *load, unsigned index),
                      unsigned window, double seconds)
{
    uint64_t start = wire_now(), now = start, end = start + (uint64_t)(seconds * 1e9), look = start;
    unsigned begun = 0;

    load->busy = load->finished = 0;
    load->taken = (struct latencies){0};
    while (load->finished < load->flows && now < end) {
        while (begun < load->flows && load->busy < window) {
            begin(load, begun);
            load->busy++;
            go_on(load, begun++, wire_now());
        }
        wire_flush(load->wire[SIDE_A]);
        receive(load);
        now = wire_now();
        if (now - look > LOOK_MS * NS_PER_MS) {
            look = now;
            send_again(load, begun, now);
        }
    }
    return (double)(now - start) / 1e9;
}

static void begin_allocation(struct load *load, unsigned index)
{
    struct client *client = &load->flow[index].client;
    struct addr peer = addr_v4(load->host[SIDE_B].ip, (uint16_t)(FIRST_PORT + index));

    client_begin(client, &peer, client->channels, wire_now());
}

static void begin_release(struct load *load, unsigned index)
{
    client_release(&load->flow[index].client, wire_now());
}

static void forget(struct load *load)
{
    // A server may want a 5-tuple that was just freed to rest (437).
    unsigned next = load->first_port + load->flows;

    load->first_port = next + CLIENTS_MAX > LAST_PORT ? FIRST_PORT : (uint16_t)next;
    load->flows = 0;
}

static void allocate(struct load *load, unsigned count, unsigned window, double seconds,
                     bool channels)
{
    if (count == 0 || count > CLIENTS_MAX || window == 0 || load->flows > 0) {
        puts("{\"error\": \"not so many, or there are some already\"}");
        return;
    }
    memset(load->flow, 0, count * sizeof *load->flow);
    load->flows = count;
    for (unsigned i = 0; i < count; i++)
        load->flow[i].client.channels = channels;
    seconds = let_all(load, begin_allocation, window, seconds);
    report_clients(load, count, ready(load), seconds);
}

static void release(struct load *load, unsigned window, double seconds)
{
    unsigned released = 0;

    seconds = let_all(load, begin_release, window > 0 ? window : 1, seconds);
    for (unsigned i = 0; i < load->flows; i++)
        released += load->flow[i].client.step == CLIENT_IDLE;
    report_clients(load, load->flows, released, seconds);
}

// ---- media

static void send_rtp(struct load *load, enum side side, unsigned index, uint64_t now)
{
    struct flow *flow = &load->flow[index];
    const struct client *client = &flow->client;
    uint8_t *at = wire_payload(load->wire[side]);
    bool wrap = side == SIDE_A && !load->direct;
    uint16_t client_port = (uint16_t)(load->first_port + index);
    uint16_t peer_port = (uint16_t)(FIRST_PORT + index);
    struct endpoint straight = load->host[!side], to;
    size_t len = RTP_LEN;

    media_write(&load->media, at + (wrap ? client_data_at(client) : 0), index * SIDES + side + 1,
                flow->sequence[side]++, now);
    if (wrap)
        len = client_wrap(client, at, RTP_LEN);
    straight.port = side == SIDE_A ? peer_port : client_port;
    to = load->direct ? straight : side == SIDE_A ? load->server : client->relayed;
    wire_send(load->wire[side], side == SIDE_A ? client_port : peer_port, &to, len);
}

// Sends what is due in one direction.
static void pump(struct load *load, enum side side, unsigned count, double rate, unsigned burst)
{
    uint64_t now = wire_now();
    unsigned due = media_due(&load->media, side, rate, burst, now);

    for (unsigned i = 0; i < due; i++) {
        send_rtp(load, side, load->next[side], now);
        load->next[side] = (load->next[side] + 1) % count;
    }
    load->media.sent[side] += due;
    wire_flush(load->wire[side]);
}

static void begin_run(struct load *load, unsigned count)
{
    media_begin(&load->media);
    load->next[SIDE_A] = load->next[SIDE_B] = 0;
    if (load->direct)
        load->flows = count;
    for (unsigned i = 0; i < load->flows; i++)
        load->flow[i].received[SIDE_A] = load->flow[i].received[SIDE_B] = 0;
    (void)overflow(load);
}

static unsigned silent(const struct load *load, unsigned count)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++)
        for (enum side side = SIDE_A; side < SIDES; side++)
            found += load->flow[i].received[side] == 0;
    return found;
}

static void run(struct load *load, unsigned count, double rate, double seconds, unsigned burst)
{
    struct media *media = &load->media;
    uint64_t now;

    if (count == 0 || count > CLIENTS_MAX || (!load->direct && count > load->flows) || burst == 0 ||
        burst > MEDIA_BATCH) {
        puts("{\"error\": \"not so many allocations, or too large a burst\"}");
        return;
    }
    begin_run(load, count);
    for (now = media->began; now < media->began + (uint64_t)(seconds * 1e9); now = wire_now()) {
        pump(load, SIDE_A, count, count * rate, burst);
        pump(load, SIDE_B, count, count * rate, burst);
        receive(load);
    }
    media->ended = now;
    while (!media_complete(media, wire_now()))
        receive(load);
    media_report(media, silent(load, count), overflow(load));
    puts("");
}

// ---- commands

static bool set_server(struct load *load, const char *ip, unsigned port)
{
    load->server.port = (uint16_t)port;
    load->account.realm[0] = '\0'; // another server, another realm
    return port > 0 && port <= UINT16_MAX && inet_pton(AF_INET, ip, load->server.ip) == 1;
}

static bool write_flows(const struct load *load, const char *path)
{
    FILE *file = fopen(path, "we");
    char server[16], relayed[16];

    if (!file)
        return false;
    for (unsigned i = 0; i < load->flows; i++) {
        const struct client *client = &load->flow[i].client;

        fprintf(file, "%u %s %u %u %s %u %u\n", load->first_port + i,
                inet_ntop(AF_INET, load->server.ip, server, sizeof server), load->server.port,
                FIRST_PORT + i, inet_ntop(AF_INET, client->relayed.ip, relayed, sizeof relayed),
                client->relayed.port, client->channel);
    }
    return fclose(file) == 0;
}

static void command(struct load *load, const char *line)
{
    unsigned count, window, burst, port;
    double rate, seconds;
    char word[32], path[256];

    if (sscanf(line, "server %31s %u %127s %63s", word, &port, load->account.username,
               load->account.password) == 4) {
        printf("{\"ok\": %s}\n", set_server(load, word, port) ? "true" : "false");
    } else if (sscanf(line, "allocate %u %u %lf %31s", &count, &window, &seconds, word) == 4) {
        allocate(load, count, window, seconds, strcmp(word, "channel") == 0);
    } else if (sscanf(line, "release %u %lf", &window, &seconds) == 2) {
        release(load, window, seconds);
    } else if (sscanf(line, "run %u %lf %lf %u %31s", &count, &rate, &seconds, &burst, word) == 5) {
        load->direct = strcmp(word, "direct") == 0;
        run(load, count, rate, seconds, burst);
    } else if (sscanf(line, "flows %255s", path) == 1) {
        printf("{\"ok\": %s}\n", write_flows(load, path) ? "true" : "false");
    } else if (strncmp(line, "forget", 6) == 0) {
        forget(load);
        puts("{\"ok\": true}");
    } else {
        puts("{\"error\": \"no such command\"}");
    }
    fflush(stdout);
}

static int open_sides(struct load *load, char **argv)
{
    for (enum side side = SIDE_A; side < SIDES; side++) {
        char ip[16];

        if (wire_open_side(argv[side], &load->wire[side]) < 0)
            return -1;
        if (sscanf(argv[side], "%*[^,],%*[^,],%15[^,]", ip) == 1)
            (void)inet_pton(AF_INET, ip, load->host[side].ip); // it was an address a moment ago
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct load load = {.first_port = FIRST_PORT};
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[512];

    if (argc != 1 + SIDES) {
        fprintf(stderr, "usage: turnload NETNS,DEVICE,IP,MAC,GATEWAY-MAC (for each side)\n");
        return 2;
    }
    setvbuf(stdin, NULL, _IONBF, 0); // what poll() does not see must not wait in a buffer
    load.flow = calloc(CLIENTS_MAX, sizeof *load.flow);
    if (!load.flow || open_sides(&load, argv + 1) < 0)
        return 1;
    for (;;) {
        receive(&load); // what comes late must not fill the ring
        if (poll(&input, 1, 5) <= 0)
            continue;
        if (!fgets(line, sizeof line, stdin))
            break;
        command(&load, line);
    }
    wire_close(load.wire[SIDE_A]);
    wire_close(load.wire[SIDE_B]);
    free(load.flow);
    return 0;
}
