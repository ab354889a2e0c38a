// SPDX-License-Identifier: ISC
// The machine: what the kernel allows, ports that another program has, the route's MTU, and what
// the kernel's fast path needs.
#include "doctor.h"

#include "config_use.h"
#include "doctor_socket.h"
#include "platform/probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define WANTED_RMEM    (1024L * 1024) // what the daemon asks for its listeners
#define WANTED_BACKLOG 1000L
#define MTU_LEAST      1280 // media packets of browsers are up to 1,200 bytes of payload

// ---- numbers of the kernel

static long read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    char line[64] = "";
    char *end;
    long value;

    if (file && !fgets(line, sizeof line, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    value = strtol(line, &end, 10);
    return end == line ? -1 : value;
}

void doctor_judge_buffer(struct doctor *doctor, const char *name, long value, long wanted)
{
    if (value < 0) {
        doctor_find(doctor, DOCTOR_SKIPPED, "%s is not shown here", name);
    } else if (value < wanted) {
        doctor_find(doctor, DOCTOR_WARNING,
                    "%s = %ld: packets that come in a burst are lost, %ld would hold them", name,
                    value, wanted);
        doctor_change(doctor,
                      "sysctl -w %s=%ld, and to keep it: echo '%s=%ld' > "
                      "/etc/sysctl.d/60-jingle-relayd.conf",
                      name, wanted, name, wanted);
    } else {
        doctor_find(doctor, DOCTOR_OK, "%s = %ld", name, value);
    }
}

void doctor_check_buffers(struct doctor *doctor)
{
    doctor_judge_buffer(doctor, "net.core.rmem_max", read_number("/proc/sys/net/core/rmem_max"),
                        WANTED_RMEM);
    doctor_judge_buffer(doctor, "net.core.netdev_max_backlog",
                        read_number("/proc/sys/net/core/netdev_max_backlog"), WANTED_BACKLOG);
}

// ---- descriptors

void doctor_judge_descriptors(struct doctor *doctor, long long limit, long long needed)
{
    if (limit >= needed) {
        doctor_find(doctor, DOCTOR_OK, "%lld are allowed, %lld may be needed", limit, needed);
        return;
    }
    doctor_find(doctor, DOCTOR_PROBLEM,
                "the daemon may open %lld descriptors, but relay.ports and limits.connections may "
                "need %lld: calls will be refused before the ports are used up",
                limit, needed);
    doctor_change(
        doctor,
        "systemctl edit jingle-relayd: [Service] LimitNOFILE=%lld, then systemctl restart "
        "jingle-relayd",
        needed);
}

void doctor_check_descriptors(struct doctor *doctor)
{
    const json_t *descriptors = json_object_get(doctor->facts, "descriptors");

    if (!doctor->facts)
        doctor_find(doctor, DOCTOR_SKIPPED, "not without the daemon");
    else
        doctor_judge_descriptors(doctor, (long long)ctl_number(descriptors, "limit"),
                                 (long long)ctl_number(descriptors, "needed"));
}

// ---- the route's MTU

// Of the default route, from that address. Nothing is sent. -1: unknown.
static int route_mtu(const struct addr *from)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    bool six = from->family == FAMILY_V6;
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = -1;
    socklen_t len = sizeof mtu;

    v4.sin_addr.s_addr = htonl(0x08080808);
    v6.sin6_addr.s6_addr[0] = 0x20;
    v6.sin6_addr.s6_addr[15] = 1;
    if (fd >= 0 &&
        connect(fd,
                six ? (const struct sockaddr *)(const void *)&v6
                    : (const struct sockaddr *)(const void *)&v4,
                six ? sizeof v6 : sizeof v4) == 0 &&
        getsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MTU : IP_MTU, &mtu, &len) < 0)
        mtu = -1;
    if (fd >= 0)
        close(fd);
    return mtu;
}

void doctor_judge_mtu(struct doctor *doctor, unsigned family, int mtu)
{
    if (mtu < 0) {
        doctor_find(doctor, DOCTOR_SKIPPED, "IPv%u: there is no default route", family);
    } else if (mtu < MTU_LEAST) {
        doctor_find(doctor, DOCTOR_WARNING,
                    "IPv%u: the route's MTU is %d: video packets of browsers (up to 1,248 bytes) "
                    "are cut in pieces, which many firewalls drop",
                    family, mtu);
        doctor_change(doctor, "ip link set dev DEVICE mtu 1500 (a tunnel: at least %d)", MTU_LEAST);
    } else {
        doctor_find(doctor, DOCTOR_OK, "IPv%u: %d", family, mtu);
    }
}

void doctor_check_mtu(struct doctor *doctor)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct addr *bound = &doctor->config.relay.address[i].addr;

        if (bound->family != FAMILY_NONE)
            doctor_judge_mtu(doctor, i == 0 ? 4 : 6, route_mtu(bound));
    }
}

// ---- the kernel's fast path

static void judge_missing(struct doctor *doctor, const struct utsname *kernel)
{
    bool asked = doctor->config.relay.fastpath == CONFIG_FASTPATH_ON;
    unsigned major = 0, minor = 0;
    char *end;

    major = (unsigned)strtoul(kernel->release, &end, 10);
    if (*end == '.')
        minor = (unsigned)strtoul(end + 1, NULL, 10);
    doctor_find(doctor, asked ? DOCTOR_WARNING : DOCTOR_OK,
                "the daemon forwards packets itself, the kernel does not: calls work, at several "
                "times the cost");
    if (major < 6 || (major == 6 && minor < 6))
        doctor_change(doctor, "Linux 6.6 or later (this is %s)", kernel->release);
    else if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
        doctor_change(doctor, "a kernel with CONFIG_DEBUG_INFO_BTF (there is no "
                              "/sys/kernel/btf/vmlinux)");
    else
        doctor_change(doctor,
                      "install -D -m 644 /usr/share/jingle-relayd/systemd/fastpath.conf "
                      "/etc/systemd/system/jingle-relayd.service.d/fastpath.conf && systemctl "
                      "daemon-reload && systemctl restart jingle-relayd (CAP_BPF, CAP_NET_ADMIN); "
                      "the log says more");
}

void doctor_check_fastpath(struct doctor *doctor)
{
    const json_t *fastpath = json_object_get(doctor->facts, "fastpath");
    const char *state = ctl_string(fastpath, "state");
    struct utsname kernel;

    if (!doctor->facts)
        doctor_find(doctor, DOCTOR_SKIPPED, "not without the daemon");
    else if (strcmp(state, "on") == 0)
        doctor_find(doctor, DOCTOR_OK, "the kernel forwards, on %.0f interfaces",
                    ctl_number(fastpath, "interfaces"));
    else if (strcmp(state, "off") == 0)
        doctor_find(doctor, DOCTOR_OK, "relay.fastpath = \"off\"");
    else if (uname(&kernel) == 0)
        judge_missing(doctor, &kernel);
}

// ---- ports

// Whose socket is it? Those of the daemon are no finding.
static bool judge_port(struct doctor *doctor, const struct addr *addr, bool tcp, const char *key)
{
    struct doctor_owner owner = {0};
    char text[ADDR_TEXT_MAX];
    int own = (int)ctl_number(doctor->facts, "pid");
    int r = tcp ? probe_tcp(addr) : probe_udp(addr);

    if (r != -EADDRINUSE || (doctor_socket_owner(addr, tcp, own, &owner) && owner.pid == 0))
        return true;
    if (owner.pid == 0 && own != 0)
        return true; // nobody else is seen to have it
    doctor_find(doctor, DOCTOR_PROBLEM, "%s port %s is taken by %s%s", tcp ? "TCP" : "UDP",
                addr_format(addr, text), owner.pid ? owner.name : "another program",
                owner.pid ? "" : " (as root this program sees which)");
    if (owner.pid && doctor_server_process(owner.name) == DOCTOR_SERVER_EJABBERD)
        doctor_change(doctor,
                      "ejabberd: without the entry \"module: ejabberd_stun\" under listen:; "
                      "ejabberdctl reload_config\nor another port in %s of %s",
                      key, doctor->path);
    else if (owner.pid)
        doctor_change(doctor,
                      "stop it (systemctl status %d names its unit: systemctl disable --now UNIT), "
                      "or another port in %s of %s",
                      (int)owner.pid, key, doctor->path);
    else
        doctor_change(doctor, "stop it, or another port in %s of %s", key, doctor->path);
    return false;
}

static bool judge_ports(struct doctor *doctor, const struct config_port_list *list, const char *key)
{
    bool ok = true;

    for (unsigned i = 0; i < 2 * list->count; i++) {
        struct addr addr = doctor->config.relay.address[i % 2].addr;

        addr.port = list->item[i / 2];
        if (addr.family == FAMILY_NONE)
            continue;
        ok = judge_port(doctor, &addr, false, key) && ok;
        ok = judge_port(doctor, &addr, true, key) && ok;
    }
    return ok;
}

void doctor_check_ports(struct doctor *doctor)
{
    const struct config *c = &doctor->config;
    bool ok = true;

    if (c->turn.enabled)
        ok = judge_ports(doctor, &c->turn.ports, "turn.ports");
    if (c->turn.enabled && c->turn.certificate)
        ok = judge_ports(doctor, &c->turn.tls_ports, "turn.tls_ports") && ok;
    if (c->stats.listen.family != FAMILY_NONE)
        ok = judge_port(doctor, &c->stats.listen, true, "stats.listen") && ok;
    if (ok)
        doctor_find(doctor, DOCTOR_OK, "no other program has the relay's listeners");
}
