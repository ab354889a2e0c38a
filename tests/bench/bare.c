// SPDX-License-Identifier: ISC
// The floor of the kernel: loads bare.bpf.o and gives it flows. Both sides have one network
// interface each, behind which there is one client.
//
//   bare OBJECT PROGRAM ADDRESS FIRST-PORT FIRST-CLIENT-PORT DEVICE-A CLIENT-A MAC-A DEVICE-B
//   CLIENT-B MAC-B
//
// PROGRAM is one of bare.bpf.c's. Call i: ADDRESS port FIRST-PORT + 2i faces CLIENT-A port
// FIRST-CLIENT-PORT + i, the next port CLIENT-B. Each line on stdin says how many calls there are
// to be, and is answered by "ready". What it loaded goes with the process.
#include "bare.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TCX_INGRESS = 46, XDP = 37 }; // Linux 6.6, enum bpf_attach_type

struct side {
    unsigned ifindex;
    in_addr_t client;
    __u8 ethernet[12]; // of a frame to the client
};

static void need(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static in_addr_t address(const char *text)
{
    struct in_addr a;

    need(inet_pton(AF_INET, text, &a) == 1, text);
    return a.s_addr;
}

static void set_side(struct side *side, char **argv)
{
    struct ifreq request = {0};
    __u8 *to = side->ethernet;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    side->ifindex = if_nametoindex(argv[0]);
    side->client = address(argv[1]);
    need(sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4,
                to + 5) == 6,
         argv[2]);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", argv[0]);
    need(ioctl(fd, SIOCGIFHWADDR, &request) == 0, argv[0]);
    memcpy(to + 6, request.ifr_hwaddr.sa_data, 6);
    close(fd);
}

// BPF_LINK_CREATE, which libbpf 1.1 does not know for TCX.
static void attach(int program, unsigned ifindex, bool xdp)
{
    const struct {
        __u32 program, ifindex, type, flags;
        __u32 relative_fd, unused;
        __u64 revision;
    } create = {(__u32)program, ifindex, xdp ? XDP : TCX_INGRESS, 0, 0, 0, 0};

    need(syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof create) >= 0, "attaching");
}

static void open_call(int ways, char **argv, const struct side *side, unsigned index)
{
    unsigned port = (unsigned)atoi(argv[4]) + 2 * index, client = (unsigned)atoi(argv[5]) + index;

    for (unsigned i = 0; i < 2; i++) {
        const struct side *from = &side[i], *to = &side[!i];
        struct bare_key key = {from->client, address(argv[3]), htons((__u16)client),
                               htons((__u16)(port + i))};
        struct bare_way way = {.leave = key.at,
                               .to = to->client,
                               .leave_port = htons((__u16)(port + !i)),
                               .to_port = key.from_port,
                               .ifindex = to->ifindex};
        memcpy(way.ethernet, to->ethernet, sizeof way.ethernet);
        need(bpf_map_update_elem(ways, &key, &way, BPF_ANY) == 0, "a flow");
    }
}

int main(int argc, char **argv)
{
    struct side side[2] = {0};
    struct bpf_object *object;
    struct bpf_program *program;
    unsigned calls = 0;
    char line[32];

    if (argc != 12) {
        fprintf(stderr, "usage: bare OBJECT PROGRAM ADDRESS FIRST-PORT FIRST-CLIENT-PORT DEVICE-A "
                        "CLIENT-A MAC-A DEVICE-B CLIENT-B MAC-B\n");
        return 2;
    }
    set_side(&side[0], argv + 6);
    set_side(&side[1], argv + 9);
    object = bpf_object__open(argv[1]);
    need(object && bpf_object__load(object) == 0, argv[1]);
    program = bpf_object__find_program_by_name(object, argv[2]);
    need(program, argv[2]);
    for (int i = 0; i < 2; i++)
        attach(bpf_program__fd(program), side[i].ifindex, strcmp(argv[2], "early") == 0);
    while (fgets(line, sizeof line, stdin)) {
        while (calls < (unsigned)atoi(line))
            open_call(bpf_object__find_map_fd_by_name(object, "ways"), argv, side, calls++);
        puts("ready");
        fflush(stdout);
    }
    return 0;
}
