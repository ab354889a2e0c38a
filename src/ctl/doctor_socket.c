// SPDX-License-Identifier: ISC
// See doctor_socket.h.
#include "doctor_socket.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INODES_MAX 64
#define LISTENING  0x0a // TCP_LISTEN

// "  12: 0A7100CB:0D96 00000000:0000 07 ... uid timeout inode": the address is written as words in
// the machine's byte order.
unsigned long doctor_socket_inode(const char *line, const struct addr *addr, bool tcp)
{
    char ip[40] = "";
    unsigned port = 0, state = 0;
    unsigned long inode = 0;
    unsigned char bytes[16] = {0};
    size_t len;

    if (sscanf(line, " %*u: %39[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %*u %*u %lu", ip,
               &port, &state, &inode) != 4 ||
        port != addr->port || (tcp && state != LISTENING))
        return 0;
    len = strlen(ip);
    if (len != (addr->family == FAMILY_V4 ? 8U : 32U))
        return 0;
    for (size_t i = 0; i < len / 8; i++) {
        char word[9];
        uint32_t value;

        memcpy(word, ip + 8 * i, 8);
        word[8] = '\0';
        value = (uint32_t)strtoul(word, NULL, 16);
        memcpy(bytes + 4 * i, &value, 4);
    }
    for (size_t i = 0; i < len / 2; i++) {
        if (bytes[i] != 0)
            return memcmp(bytes, addr->ip, len / 2) == 0 ? inode : 0;
    }
    return inode; // the wildcard
}

static unsigned find_inodes(const struct addr *addr, bool tcp, unsigned long inode[INODES_MAX])
{
    static const char *const paths[2][2] = {{"/proc/net/udp", "/proc/net/udp6"},
                                            {"/proc/net/tcp", "/proc/net/tcp6"}};
    FILE *file = fopen(paths[tcp][addr->family == FAMILY_V6], "re");
    char line[512];
    unsigned count = 0;

    while (file && count < INODES_MAX && fgets(line, sizeof line, file)) {
        unsigned long found = doctor_socket_inode(line, addr, tcp);

        if (found)
            inode[count++] = found;
    }
    if (file)
        fclose(file);
    return count;
}

static bool has_socket(const char *pid, const unsigned long *inode, unsigned count)
{
    char path[300], target[64];
    const struct dirent *entry;
    bool found = false;
    DIR *directory;

    snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    directory = opendir(path);
    while (directory && !found && (entry = readdir(directory))) {
        ssize_t n = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);

        target[n > 0 ? n : 0] = '\0';
        for (unsigned i = 0; i < count && strncmp(target, "socket:[", 8) == 0; i++)
            found = found || strtoul(target + 8, NULL, 10) == inode[i];
    }
    if (directory)
        closedir(directory);
    return found;
}

static void read_name(pid_t pid, char *name, size_t size)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    file = fopen(path, "re");
    if (!file || !fgets(name, (int)size, file))
        snprintf(name, size, "process %d", (int)pid);
    name[strcspn(name, "\n")] = '\0';
    if (file)
        fclose(file);
}

bool doctor_socket_owner(const struct addr *addr, bool tcp, pid_t own,
                         struct doctor_owner *ret_owner)
{
    unsigned long inode[INODES_MAX];
    unsigned count = find_inodes(addr, tcp, inode);
    const struct dirent *entry;
    DIR *proc = opendir("/proc");

    ret_owner->pid = 0;
    if (!proc)
        return false;
    while (count > 0 && ret_owner->pid == 0 && (entry = readdir(proc))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 0 && pid != own && pid != getpid() && has_socket(entry->d_name, inode, count))
            ret_owner->pid = pid;
    }
    closedir(proc);
    if (ret_owner->pid)
        read_name(ret_owner->pid, ret_owner->name, sizeof ret_owner->name);
    return true;
}
