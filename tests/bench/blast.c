// SPDX-License-Identifier: ISC
// The load of tests/bench/compare: RTP in thousands of flows at once, faster than any relay takes
// it. The flows are there already (another program set them up, or nobody needs to); frames are
// made once per flow and differ afterwards by sequence, time stamp and checksum. What arrives is
// counted, timed and dropped in the kernel (sink.bpf.c). Told on its stdin what to do, it answers
// each line with one of JSON:
//
//   flows FILE                 the flows, one per line: A-PORT A-IP A-DESTINATION B-PORT B-IP
//                              B-DESTINATION CHANNEL; per side the client's port, the relay's IP
//                              and port for it; CHANNEL: of ChannelData from and to side A, or 0
//   pause MICROSECONDS         sleeps for so long when nothing is due; 0, as at first: never
//   run SECONDS STREAM...      where STREAM is FIRST:COUNT:SIZE:RATE:BURST:TRAIN, that is flows
//                              FIRST to FIRST+COUNT-1, an even SIZE of bytes of RTP in each packet,
//                              RATE packets a second in both directions together, evenly spaced
//                              over flows and time but BURST of them at a time in each direction,
//                              TRAIN of one flow behind each other
//
//   blast SINK SIDE-A SIDE-B
// where SINK is the compiled sink, and a side is NETNS,DEVICE,IP,MAC,GATEWAY-MAC.
#include "media.h"
#include "meter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    QUEUE = 64, // the most that is sent in one direction at a time
    STREAMS_MAX = 4,
    SIZE_MAX_RTP = 1400,
    CHANNEL_HEADER = 4,
    // All that is written per packet stands in here.
    HEAD = FRAME_PAYLOAD_AT + CHANNEL_HEADER + SINK_RTP_HEADER + sizeof(struct sink_mark),
    SEND_BUFFER = 4 << 20,
    SAMPLES = 160,
    FILLER = 0xd5, // silence in A-law
    FILLER_WORD = FILLER << 8 | FILLER,
    SETTLE_MS = 300,
};

// The beginning of each packet of a flow in one direction.
struct pattern {
    uint8_t head[HEAD];
    uint32_t sum;      // of the pseudo-header and all of the payload that is always the same
    uint32_t sequence; // of the next packet
};

struct flow {
    uint16_t port[SIDES];
    struct endpoint to[SIDES];
    uint16_t channel;
    struct pattern pattern[SIDES];
};

struct stream {
    unsigned first, count, size, burst, train;
    double rate; // of one direction
    unsigned next[SIDES], of_train[SIDES];
    uint64_t sent[SIDES];
};

struct cable { // to the relay of one side's clients
    struct side_config config;
    struct meter *meter;
    int fd;
    struct mmsghdr message[QUEUE];
    struct iovec iov[QUEUE];
    uint8_t slot[QUEUE][HEAD + SIZE_MAX_RTP];
};

struct blast {
    struct cable cable[SIDES];
    struct flow *flow;
    unsigned flows, streams, pause_us;
    struct stream stream[STREAMS_MAX];
    struct media media;
    uint64_t refused, sending_ns;
};

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); // as the sink's
    return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

// ---- frames

static unsigned channel_header(const struct flow *flow, enum side side)
{
    return side == SIDE_A && flow->channel ? CHANNEL_HEADER : 0;
}

static void put_rtp(uint8_t *rtp, uint32_t ssrc)
{
    rtp[0] = 0x80;
    rtp[1] = 8;
    ssrc = htonl(ssrc);
    memcpy(rtp + 8, &ssrc, 4);
}

static void make_pattern(struct blast *blast, enum side side, unsigned index, unsigned size)
{
    struct flow *flow = &blast->flow[index];
    struct pattern *pattern = &flow->pattern[side];
    unsigned wrap = channel_header(flow, side);
    uint8_t *payload = pattern->head + FRAME_PAYLOAD_AT;
    struct sink_mark mark = {.run = blast->media.run, .magic = SINK_MAGIC, .flow = index};

    memset(pattern->head, FILLER, sizeof pattern->head);
    memset(payload, 0, wrap + SINK_RTP_HEADER);
    frame_begin(pattern->head, &blast->cable[side].config);
    frame_address(pattern->head, flow->port[side], &flow->to[side], wrap + size);
    if (wrap) {
        frame_put16(payload, flow->channel);
        frame_put16(payload + 2, size);
    }
    put_rtp(payload + wrap, index * SIDES + side + 1);
    memcpy(payload + wrap + SINK_RTP_HEADER, &mark, sizeof mark);
    pattern->sum =
        frame_sum(payload, wrap + SINK_RTP_HEADER + sizeof mark, frame_udp_sum(pattern->head));
    pattern->sum += (size - SINK_RTP_HEADER - (unsigned)sizeof mark) / 2 * FILLER_WORD;
}

static size_t write_packet(struct blast *blast, enum side side, unsigned index, unsigned size,
                           uint8_t *at, uint64_t now)
{
    struct flow *flow = &blast->flow[index];
    struct pattern *pattern = &flow->pattern[side];
    unsigned wrap = channel_header(flow, side);
    uint8_t *rtp = at + FRAME_PAYLOAD_AT + wrap;
    uint32_t timestamp = htonl(pattern->sequence * SAMPLES), sum;

    memcpy(at, pattern->head, HEAD);
    frame_put16(rtp + 2, pattern->sequence++ & 0xffff);
    memcpy(rtp + 4, &timestamp, 4);
    memcpy(rtp + SINK_RTP_HEADER, &now, sizeof now);
    sum = frame_sum(rtp + 2, 6, pattern->sum);
    frame_put_udp_checksum(at, frame_sum((const uint8_t *)&now, sizeof now, sum));
    return FRAME_PAYLOAD_AT + wrap + size;
}

// ---- sending

static unsigned next_flow(struct stream *stream, enum side side)
{
    unsigned index = stream->first + stream->next[side];

    if (++stream->of_train[side] >= stream->train) {
        stream->of_train[side] = 0;
        stream->next[side] = (stream->next[side] + 1) % stream->count;
    }
    return index;
}

static void send_some(struct blast *blast, struct stream *stream, enum side side, unsigned count)
{
    struct cable *cable = &blast->cable[side];
    uint64_t now = clock_ns();

    for (unsigned i = 0; i < count; i++)
        cable->iov[i].iov_len =
            write_packet(blast, side, next_flow(stream, side), stream->size, cable->slot[i], now);
    for (unsigned done = 0; done < count;) {
        int n = sendmmsg(cable->fd, cable->message + done, count - done, 0);

        if (n <= 0) { // the relay's host has no room for it: as good as lost
            blast->refused++;
            n = 1;
        }
        done += (unsigned)n;
    }
    stream->sent[side] += count;
    blast->sending_ns += clock_ns() - now;
}

// What is due of a stream in one direction; 0 until there is a whole burst.
static unsigned due(const struct blast *blast, const struct stream *stream, enum side side,
                    uint64_t now)
{
    uint64_t wanted = (uint64_t)((double)(now - blast->media.began) * stream->rate / 1e9);
    uint64_t missing = wanted > stream->sent[side] ? wanted - stream->sent[side] : 0;

    if (missing < stream->burst)
        return 0;
    return missing > QUEUE ? QUEUE : (unsigned)missing;
}

static bool send_due(struct blast *blast)
{
    bool any = false;

    for (unsigned i = 0; i < blast->streams; i++)
        for (enum side side = SIDE_A; side < SIDES; side++) {
            unsigned count = due(blast, &blast->stream[i], side, clock_ns());

            if (count > 0) {
                send_some(blast, &blast->stream[i], side, count);
                any = true;
            }
        }
    return any;
}

// ---- a run

static void begin_run(struct blast *blast)
{
    blast->media = (struct media){.run = blast->media.run + 1};
    blast->refused = blast->sending_ns = 0;
    for (unsigned i = 0; i < blast->streams; i++)
        for (unsigned k = 0; k < blast->stream[i].count; k++)
            for (enum side side = SIDE_A; side < SIDES; side++)
                make_pattern(blast, side, blast->stream[i].first + k, blast->stream[i].size);
    for (enum side side = SIDE_A; side < SIDES; side++)
        meter_begin(blast->cable[side].meter, blast->media.run);
    blast->media.began = clock_ns();
}

static unsigned silent(const struct blast *blast)
{
    unsigned count = 0;

    for (unsigned i = 0; i < blast->streams; i++)
        for (unsigned k = 0; k < blast->stream[i].count; k++)
            for (enum side side = SIDE_A; side < SIDES; side++)
                count += !meter_seen(blast->cable[side].meter, blast->stream[i].first + k);
    return count;
}

static void read_sinks(struct blast *blast)
{
    struct media *media = &blast->media;

    for (enum side side = SIDE_A; side < SIDES; side++) {
        media->received += meter_received(blast->cable[side].meter);
        meter_add_latencies(blast->cable[side].meter, &media->latency);
        for (unsigned i = 0; i < blast->streams; i++)
            media->sent[side] += blast->stream[i].sent[side];
    }
    media->late = latency_above(&media->latency, LATE_MS * NS_PER_MS);
}

static void run(struct blast *blast, double seconds)
{
    uint64_t end;

    begin_run(blast);
    end = blast->media.began + (uint64_t)(seconds * 1e9);
    while (clock_ns() < end)
        if (!send_due(blast) && blast->pause_us > 0)
            usleep(blast->pause_us);
    blast->media.ended = clock_ns();
    usleep(SETTLE_MS * 1000); // stragglers
    read_sinks(blast);
    printf("{\"sending\": %.4f, \"media\": ", (double)blast->sending_ns / 1e9);
    media_report(&blast->media, silent(blast), (unsigned)blast->refused);
    puts("}");
}

// ---- commands

static bool read_flow(const char *line, struct flow *flow)
{
    char ip[SIDES][16];
    unsigned port[SIDES], to[SIDES], channel;

    *flow = (struct flow){0};
    if (sscanf(line, "%u %15s %u %u %15s %u %u", &port[0], ip[0], &to[0], &port[1], ip[1], &to[1],
               &channel) != 7)
        return false;
    for (enum side side = SIDE_A; side < SIDES; side++) {
        flow->port[side] = (uint16_t)port[side];
        flow->to[side].port = (uint16_t)to[side];
        if (inet_pton(AF_INET, ip[side], flow->to[side].ip) != 1)
            return false;
    }
    flow->channel = (uint16_t)channel;
    return true;
}

static void load_flows(struct blast *blast, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[128];
    bool ok = file != NULL;

    blast->flows = 0;
    while (ok && fgets(line, sizeof line, file)) {
        ok = blast->flows < SINK_FLOWS_MAX && read_flow(line, &blast->flow[blast->flows]);
        blast->flows += ok;
    }
    if (file)
        fclose(file);
    printf("{\"ok\": %s, \"flows\": %u}\n", ok ? "true" : "false", blast->flows);
}

static bool read_stream(const struct blast *blast, const char *text, struct stream *stream)
{
    *stream = (struct stream){0};
    if (sscanf(text, "%u:%u:%u:%lf:%u:%u", &stream->first, &stream->count, &stream->size,
               &stream->rate, &stream->burst, &stream->train) != 6)
        return false;
    stream->rate /= SIDES;
    return stream->count > 0 && stream->first + stream->count <= blast->flows &&
           stream->size >= HEAD && stream->size <= SIZE_MAX_RTP && stream->size % 2 == 0 &&
           stream->burst > 0 && stream->burst <= QUEUE && stream->train > 0;
}

static bool read_run(struct blast *blast, char *line, double *ret_seconds)
{
    char *rest = NULL, *word;

    (void)strtok_r(line, " \n", &rest); // the command
    word = strtok_r(NULL, " \n", &rest);
    *ret_seconds = word ? atof(word) : 0;
    for (blast->streams = 0; blast->streams < STREAMS_MAX; blast->streams++) {
        word = strtok_r(NULL, " \n", &rest);
        if (!word)
            return blast->streams > 0 && *ret_seconds > 0;
        if (!read_stream(blast, word, &blast->stream[blast->streams]))
            return false;
    }
    return false;
}

static void command(struct blast *blast, char *line)
{
    char path[256];
    double seconds;

    if (sscanf(line, "flows %255s", path) == 1)
        load_flows(blast, path);
    else if (sscanf(line, "pause %u", &blast->pause_us) == 1)
        puts("{\"ok\": true}");
    else if (strncmp(line, "run ", 4) == 0 && read_run(blast, line, &seconds))
        run(blast, seconds);
    else
        puts("{\"error\": \"no such command, or no such streams\"}");
    fflush(stdout);
}

// ---- opening

static int open_packet_socket(const char *device)
{
    const int one = 1, buffer = SEND_BUFFER;
    struct sockaddr_ll sll = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(device)};
    // Protocol 0: it receives nothing.
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), error;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) == 0 &&
        bind(fd, (struct sockaddr *)&sll, sizeof sll) == 0)
        return fd;
    error = errno;
    close(fd);
    return -error;
}

static int open_cable(struct cable *cable, const char *object, const char *text)
{
    int r = side_parse(text, &cable->config);

    if (r < 0)
        return r;
    r = meter_open(object, &cable->config, &cable->meter);
    if (r < 0) {
        fprintf(stderr, "blast: %s on %s: %s\n", object, cable->config.device, strerror(-r));
        return r;
    }
    cable->fd = open_packet_socket(cable->config.device);
    if (cable->fd < 0) {
        fprintf(stderr, "blast: %s: %s\n", cable->config.device, strerror(-cable->fd));
        return cable->fd;
    }
    memset(cable->slot, FILLER, sizeof cable->slot);
    for (unsigned i = 0; i < QUEUE; i++) {
        cable->iov[i].iov_base = cable->slot[i];
        cable->message[i].msg_hdr.msg_iov = &cable->iov[i];
        cable->message[i].msg_hdr.msg_iovlen = 1;
    }
    return 0;
}

static void close_cable(struct cable *cable)
{
    if (cable->fd >= 0)
        close(cable->fd);
    if (side_enter(&cable->config) == 0)
        meter_close(cable->meter);
}

int main(int argc, char **argv)
{
    static struct blast blast = {.cable = {{.fd = -1}, {.fd = -1}}};
    static char line[512];

    if (argc != 2 + SIDES) {
        fprintf(stderr, "usage: blast SINK NETNS,DEVICE,IP,MAC,GATEWAY-MAC (for each side)\n");
        return 2;
    }
    blast.flow = calloc(SINK_FLOWS_MAX, sizeof *blast.flow);
    if (!blast.flow || open_cable(&blast.cable[SIDE_A], argv[1], argv[2]) < 0 ||
        open_cable(&blast.cable[SIDE_B], argv[1], argv[3]) < 0)
        return 1;
    while (fgets(line, sizeof line, stdin))
        command(&blast, line);
    close_cable(&blast.cable[SIDE_A]);
    close_cable(&blast.cable[SIDE_B]);
    free(blast.flow);
    return 0;
}
