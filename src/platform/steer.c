// SPDX-License-Identifier: ISC
// The program belongs to the group of sockets, whichever of them it is given to: so it comes in
// with one more socket, which leaves again and takes no other's place with it, being the last.
#include "platform/steer.h"

#include "sockaddr.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

#define BY_HASH 0xffffffffu // no such socket: then the kernel chooses by hash
#define FIRST   0

// What the program sees begins with the UDP payload. A datagram too short for what is loaded ends
// it with 0, which is the first socket.
static const struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 128, 6, 0), // RTP, RTCP
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 64, 4, 0),  // ChannelData, as far as RFC 5766 has it
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 4, 4, 0),   // DTLS and others (RFC 7983 section 7)
    // STUN: the method's bits of the type (RFC 8489 section 5)
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x3eef),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0), // Binding
    BPF_STMT(BPF_RET | BPF_K, BY_HASH),
    BPF_STMT(BPF_RET | BPF_K, FIRST),
};

static int attach(int fd, const struct addr *local)
{
    struct sock_filter code[sizeof program / sizeof *program]; // the system call wants it writable
    const struct sock_fprog all = {.len = sizeof code / sizeof *code, .filter = code};
    union sockaddr_any sa;
    socklen_t len = sockaddr_from_addr(local, &sa);
    int on = 1;

    for (size_t i = 0; i < sizeof code / sizeof *code; i++)
        code[i] = program[i];
    if ((local->family == FAMILY_V6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 || bind(fd, &sa.sa, len) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &all, sizeof all) < 0)
        return -errno;
    return 0;
}

int steer_to_first(const struct addr *local)
{
    int fd = socket(local->family == FAMILY_V6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    r = attach(fd, local);
    close(fd);
    return r;
}
