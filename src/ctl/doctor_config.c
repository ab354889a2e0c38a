// SPDX-License-Identifier: ISC
// The configuration and the files that it names, read as the daemon reads them; and the addresses
// that calls go through.
#include "doctor.h"

#include "local_addr.h"

#include <grp.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNIT_USER  "jingle-relayd"
#define GROUPS_MAX 64

// ---- the file

// Under systemd the secrets are credentials, which this program has not been given: they stand
// where systemd has put them, or where it takes them from.
static void find_credentials(void)
{
    static const char *const places[] = {"/run/credentials/jingle-relayd.service",
                                         "/etc/jingle-relayd"};
    const char *own = getenv("CREDENTIALS_DIRECTORY");
    char path[128];

    for (size_t i = 0; !(own && *own) && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s/component-secret", places[i]);
        if (access(path, R_OK) == 0) {
            (void)setenv("CREDENTIALS_DIRECTORY", places[i], 1);
            return;
        }
    }
}

// What the daemon uses, if it runs and nobody has said otherwise.
static char *find_path(struct doctor *doctor)
{
    const char *told = ctl_string(doctor->facts, "configuration");

    if (doctor->ctl->config)
        return strdup(doctor->ctl->config);
    return strdup(*told ? told : CONFIG_DEFAULT_PATH);
}

// Messages of ctl_ask() become findings: here nobody wants to read them.
static void ask_facts(struct doctor *doctor)
{
    FILE *err = doctor->ctl->err, *nowhere = fopen("/dev/null", "w");

    if (!nowhere)
        return;
    doctor->ctl->err = nowhere;
    if (ctl_ask(doctor->ctl, "facts", NULL, &doctor->facts) != CTL_OK)
        doctor->facts = NULL;
    doctor->ctl->err = err;
    fclose(nowhere);
}

static void tell_errors(struct doctor *doctor, const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        doctor_find(doctor, errors->item[i].warning ? DOCTOR_WARNING : DOCTOR_PROBLEM, "%s",
                    errors->item[i].text);
        doctor_change(doctor, "that line of %s; jingle-relayd.conf(5) has every key", doctor->path);
    }
}

// Warnings about addresses are left to the check of addresses.
static bool resolve(struct doctor *doctor, struct config_errors *errors)
{
    struct config_errors own = {0};

    if (config_resolve_addresses(&doctor->config, local_addr_find, &own) == 0) {
        config_errors_free(&own);
        return true;
    }
    for (size_t i = 0; i < own.count; i++)
        config_errors_add(errors, own.item[i].warning, "%s", own.item[i].text);
    config_errors_free(&own);
    return false;
}

void doctor_check_configuration(struct doctor *doctor)
{
    struct ctl *ctl = doctor->ctl;
    struct config_errors errors = {0};
    int r;

    if (!ctl->config || ctl->socket_given)
        ask_facts(doctor);
    find_credentials();
    doctor->path = find_path(doctor);
    r = doctor->path ? config_load(doctor->path, &doctor->config, &errors) : -1;
    if (r == 0) {
        doctor->configured = resolve(doctor, &errors);
        if (!doctor->facts && !ctl->socket_given) {
            ctl->socket = doctor->config.control.socket;
            ask_facts(doctor);
        }
    }
    tell_errors(doctor, &errors);
    if (errors.count == 0)
        doctor_find(doctor, DOCTOR_OK, "%s", doctor->path);
    config_errors_free(&errors);
}

// ---- the files

static bool has_group(const struct doctor_user *user, gid_t group)
{
    if (user->gid == group)
        return true;
    for (size_t i = 0; i < json_array_size(user->groups); i++) {
        if (json_integer_value(json_array_get(user->groups, i)) == (json_int_t)group)
            return true;
    }
    return false;
}

// One class of bits counts, and no other: the owner's for the owner, even if the group has more.
bool doctor_may_read(const struct stat *st, const struct doctor_user *user)
{
    if (user->uid == 0)
        return true;
    if (user->uid == st->st_uid)
        return (st->st_mode & S_IRUSR) != 0;
    return (st->st_mode & (has_group(user, st->st_gid) ? S_IRGRP : S_IROTH)) != 0;
}

static json_t *find_groups(const struct passwd *user)
{
    gid_t list[GROUPS_MAX];
    int count = GROUPS_MAX;
    json_t *groups = json_array();

    if (getgrouplist(user->pw_name, user->pw_gid, list, &count) < 0)
        count = GROUPS_MAX; // there are more
    for (int i = 0; i < count; i++)
        json_array_append_new(groups, json_integer((json_int_t)list[i]));
    return groups;
}

// Of the daemon that runs, by the kernel's word: in a user namespace of its own (PrivateUsers=) it
// sees other numbers itself. NULL: not known.
static json_t *groups_of(int pid)
{
    char path[64], line[8192];
    json_t *groups = NULL;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    f = fopen(path, "re");
    while (f && !groups && fgets(line, sizeof line, f)) {
        char *p = line + strlen("Groups:"), *end;

        if (strncmp(line, "Groups:", strlen("Groups:")) != 0)
            continue;
        groups = json_array();
        for (unsigned long id = strtoul(p, &end, 10); end > p; id = strtoul(p, &end, 10)) {
            json_array_append_new(groups, json_integer((json_int_t)id));
            p = end;
        }
    }
    if (f)
        fclose(f);
    return groups;
}

// Who the daemon is: as it says, or as the unit has it. False: nobody knows.
static bool find_user(const struct doctor *doctor, struct doctor_user *ret_user)
{
    const struct passwd *user;

    if (doctor->facts) {
        json_t *groups = groups_of((int)ctl_number(doctor->facts, "pid"));

        *ret_user =
            (struct doctor_user){(uid_t)ctl_number(doctor->facts, "uid"),
                                 (gid_t)ctl_number(doctor->facts, "gid"), groups, groups != NULL};
        return true;
    }
    user = getpwnam(UNIT_USER);
    if (user)
        *ret_user = (struct doctor_user){user->pw_uid, user->pw_gid, find_groups(user), false};
    return user != NULL;
}

static void tell_unreadable(struct doctor *doctor, const char *key, const char *path,
                            const struct stat *st, const struct doctor_user *user)
{
    const struct group *group = getgrgid(st->st_gid);
    // Made for a group, which others are in, too: the file stays as it is, and the daemon joins.
    bool shared = (st->st_mode & S_IRGRP) && st->st_gid != 0 && st->st_uid != user->uid;
    char name[64];

    if (group)
        snprintf(name, sizeof name, "%s", group->gr_name);
    else
        snprintf(name, sizeof name, "%u", (unsigned)st->st_gid);
    if (shared && !user->certain)
        doctor_find(doctor, DOCTOR_WARNING,
                    "%s: %s (mode %04o) can be read by the daemon only if its unit has "
                    "SupplementaryGroups=%s: look again when it runs",
                    key, path, (unsigned)(st->st_mode & 07777), name);
    else
        doctor_find(doctor, DOCTOR_PROBLEM,
                    "%s: %s (mode %04o) cannot be read by the daemon, which is uid %u", key, path,
                    (unsigned)(st->st_mode & 07777), (unsigned)user->uid);
    if (shared)
        doctor_change(doctor,
                      "systemctl edit jingle-relayd: [Service] SupplementaryGroups=%s, then "
                      "systemctl restart jingle-relayd",
                      name);
    else
        doctor_change(doctor, "chgrp %u %s && chmod 0640 %s", (unsigned)user->gid, path, path);
}

bool doctor_judge_file(struct doctor *doctor, const char *key, const char *path,
                       const struct stat *st, const struct doctor_user *user, bool secret)
{
    if (user && !doctor_may_read(st, user)) {
        tell_unreadable(doctor, key, path, st, user);
        return false;
    }
    if (secret && (st->st_mode & S_IRWXO)) {
        doctor_find(doctor, DOCTOR_WARNING, "%s: every user of this machine can read %s", key,
                    path);
        doctor_change(doctor, "chmod 0640 %s", path);
        return false;
    }
    return true;
}

// True: it can be read by the daemon, and by nobody else where it is secret.
static bool check_file(struct doctor *doctor, const struct doctor_user *user, const char *key,
                       const char *path, bool secret)
{
    struct stat st;

    if (!path || stat(path, &st) < 0)
        return !path; // the configuration's check has said so
    return doctor_judge_file(doctor, key, path, &st, user, secret);
}

void doctor_check_files(struct doctor *doctor)
{
    const struct config *config = &doctor->config;
    const struct config_list *secrets = &config->turn.secret_files;
    struct doctor_user found = {0};
    const struct doctor_user *user = find_user(doctor, &found) ? &found : NULL;
    bool ok = check_file(doctor, user, "xmpp.secret_file", config->xmpp.secret_file, true);

    ok = check_file(doctor, user, "turn.certificate", config->turn.certificate, false) && ok;
    ok = check_file(doctor, user, "turn.key", config->turn.key, true) && ok;
    ok = check_file(doctor, user, "turn.users_file", config->turn.users_file, true) && ok;
    ok = check_file(doctor, user, "privacy.key_file", config->privacy.key_file, true) && ok;
    for (size_t i = 0; i < secrets->count; i++)
        ok = check_file(doctor, user, "turn.secret_files", secrets->item[i], true) && ok;
    if (ok)
        doctor_find(doctor, DOCTOR_OK, "the daemon can read what the configuration names");
    json_decref(found.groups);
}

// ---- addresses

static bool is_here(const struct addr *addr)
{
    struct ifaddrs *all = NULL;
    bool found = false;

    if (getifaddrs(&all) < 0)
        return true; // nobody knows
    for (const struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        const void *sa = i->ifa_addr;

        if (!sa)
            continue;
        if (i->ifa_addr->sa_family == AF_INET && addr->family == FAMILY_V4)
            found = memcmp(&((const struct sockaddr_in *)sa)->sin_addr, addr->ip, 4) == 0;
        else if (i->ifa_addr->sa_family == AF_INET6 && addr->family == FAMILY_V6)
            found = memcmp(&((const struct sockaddr_in6 *)sa)->sin6_addr, addr->ip, 16) == 0;
    }
    freeifaddrs(all);
    return found;
}

static bool is_private(const struct addr *addr)
{
    static const char *const ranges[] = {"10.0.0.0/8",    "172.16.0.0/12", "192.168.0.0/16",
                                         "100.64.0.0/10", "127.0.0.0/8",   "169.254.0.0/16",
                                         "fc00::/7",      "fe80::/10",     "::1"};
    struct prefix prefix;

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (prefix_parse(ranges[i], &prefix) == 0 && prefix_match(&prefix, addr))
            return true;
    }
    return false;
}

void doctor_judge_address(struct doctor *doctor, unsigned family, const struct addr *bound,
                          const struct addr *advertised, bool here)
{
    char one[ADDR_TEXT_MAX], two[ADDR_TEXT_MAX];

    addr_format_ip(bound, one);
    addr_format_ip(advertised, two);
    if (!here) {
        doctor_find(doctor, DOCTOR_PROBLEM,
                    "relay.address%u = %s is no address of this machine (ip address show)", family,
                    one);
        doctor_change(doctor,
                      "%s: relay.address%u = \"auto\"; and behind a 1:1 NAT relay.advertise%u = "
                      "\"%s\"",
                      doctor->path, family, family, two);
    } else if (is_private(advertised)) {
        doctor_find(
            doctor, DOCTOR_PROBLEM,
            "clients are told %s, a private address: nobody outside this network reaches it", two);
        doctor_change(doctor,
                      "%s: relay.advertise%u = \"THE PUBLIC ADDRESS\"; (if all clients are inside, "
                      "there is nothing to do)",
                      doctor->path, family);
    } else if (addr_equal_ip(bound, advertised)) {
        doctor_find(doctor, DOCTOR_OK, "%s", one);
    } else {
        doctor_find(doctor, DOCTOR_OK, "%s, behind a NAT as %s: it must pass on each port as it is",
                    one, two);
    }
}

void doctor_check_addresses(struct doctor *doctor)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct addr *bound = &doctor->config.relay.address[i].addr;

        if (bound->family != FAMILY_NONE)
            doctor_judge_address(doctor, i == 0 ? 4 : 6, bound,
                                 &doctor->config.relay.advertise[i].addr, is_here(bound));
    }
}
