// SPDX-License-Identifier: ISC
// The names of this server: in DNS, and on its certificate.
#include "doctor.h"

#include "base/addr.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <resolv.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define SOON_DAYS  14
#define SRV_HEADER 6 // priority, weight, port

// ---- DNS

static const char *const types[] = {"A", "AAAA"}; // of IPv4, IPv6

static struct addr from_sockaddr(const struct sockaddr *sa)
{
    const void *any = sa;
    struct addr addr = {0};

    if (sa->sa_family == AF_INET) {
        addr.family = FAMILY_V4;
        memcpy(addr.ip, &((const struct sockaddr_in *)any)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        addr = addr_v6(((const struct sockaddr_in6 *)any)->sin6_addr.s6_addr, 0);
    }
    return addr;
}

// What DNS has of one type, behind what was found before. False: nobody answers.
static bool ask_type(const char *name, ns_type type, struct doctor_lookup *lookup)
{
    unsigned char answer[4096];
    int len = res_query(name, ns_c_in, (int)type, answer, sizeof answer);
    ns_msg message;
    ns_rr record;

    if (len < 0)
        return h_errno == HOST_NOT_FOUND || h_errno == NO_DATA;
    if (len > (int)sizeof answer || ns_initparse(answer, len, &message) < 0)
        return false;
    for (int i = 0; i < ns_msg_count(message, ns_s_an); i++) {
        if (lookup->count == DOCTOR_LOOKUP_MAX || ns_parserr(&message, ns_s_an, i, &record) < 0)
            break;
        if (ns_rr_type(record) != type) // the way there: CNAME
            continue;
        if (type == ns_t_a && ns_rr_rdlen(record) == 4)
            lookup->addr[lookup->count++] = addr_v4(ns_rr_rdata(record), 0);
        else if (type == ns_t_aaaa && ns_rr_rdlen(record) == 16)
            lookup->addr[lookup->count++] = addr_v6(ns_rr_rdata(record), 0);
    }
    return true;
}

// As clients do: DNS alone, without this machine's /etc/hosts. (A resolver on this machine may mix
// that in all the same.)
static void ask_dns(const char *name, struct doctor_lookup *lookup)
{
    bool answered = ask_type(name, ns_t_a, lookup) && ask_type(name, ns_t_aaaa, lookup);

    if (!answered && lookup->count == 0)
        lookup->count = EAI_AGAIN;
}

// As programs of this machine do.
static void look_up(const char *name, struct doctor_lookup *lookup)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *all = NULL;
    int r = getaddrinfo(name, NULL, &hints, &all);

    lookup->count = r;
    for (const struct addrinfo *a = all; r == 0 && a; a = a->ai_next) {
        if (lookup->count < DOCTOR_LOOKUP_MAX)
            lookup->addr[lookup->count++] = from_sockaddr(a->ai_addr);
    }
    if (r == 0)
        freeaddrinfo(all);
}

static bool contains(const struct addr *list, unsigned count, const struct addr *addr)
{
    for (unsigned i = 0; i < count; i++) {
        if (addr_equal_ip(&list[i], addr))
            return true;
    }
    return false;
}

// An address that is not the relay's: the record is wrong, or relay.advertise is. One of special
// purpose is never offered as the latter: clients could not call it.
static void tell_other(struct doctor *doctor, const char *name, const struct addr *found,
                       const struct addr *advertised)
{
    unsigned v6 = found->family == FAMILY_V6;
    char text[ADDR_TEXT_MAX], own[ADDR_TEXT_MAX];

    addr_format_ip(found, text);
    addr_format_ip(advertised, own);
    if (addr_equal_ip(found, &doctor->config.relay.address[v6].addr)) {
        doctor_find(doctor, DOCTOR_WARNING,
                    "turn.host = %s leads to %s, which is this server as it is seen behind its NAT "
                    "only: others must get %s",
                    name, text, own);
        doctor_change(doctor, "DNS: %s. %s %s (if it says so elsewhere, there is nothing to do)",
                      name, types[v6], own);
        return;
    }
    doctor_find(doctor, DOCTOR_PROBLEM,
                "turn.host = %s leads to %s, which is not the address of this relay", name, text);
    if (advertised->family == FAMILY_NONE)
        doctor_change(doctor, "DNS: no %s record for %s; or relay.address%u in %s", types[v6], name,
                      v6 ? 6U : 4U, doctor->path);
    else if (addr_is_special(found))
        doctor_change(doctor, "DNS: %s. %s %s", name, types[v6], own);
    else
        doctor_change(doctor,
                      "DNS: %s. %s %s; or, if that is this server behind a NAT: "
                      "relay.advertise%u = \"%s\"; in %s",
                      name, types[v6], own, v6 ? 6U : 4U, text, doctor->path);
}

void doctor_judge_name(struct doctor *doctor, const char *name, const struct addr *found,
                       unsigned count, const struct addr advertised[2])
{
    char own[ADDR_TEXT_MAX];
    bool ok = true;

    for (unsigned i = 0; i < count; i++) {
        if (contains(advertised, 2, &found[i]))
            continue;
        ok = false;
        tell_other(doctor, name, &found[i], &advertised[found[i].family == FAMILY_V6]);
    }
    for (unsigned i = 0; i < 2 && ok; i++) {
        if (advertised[i].family == FAMILY_NONE || contains(found, count, &advertised[i]))
            continue;
        ok = false;
        doctor_find(doctor, DOCTOR_WARNING, "turn.host = %s has no %s record for %s", name,
                    types[i], addr_format_ip(&advertised[i], own));
        doctor_change(doctor, "DNS: %s. %s %s", name, types[i], own);
    }
    if (ok)
        doctor_find(doctor, DOCTOR_OK, "%s leads here", name);
}

static bool is_loopback(const struct addr *addr)
{
    static const uint8_t one[16] = {[15] = 1};

    return addr->family == FAMILY_V4 ? addr->ip[0] == 127 : memcmp(addr->ip, one, 16) == 0;
}

// Installers write the machine's own name at 127.0.1.1 into /etc/hosts. What DNS says of a family
// of which nothing else is left is not known: 'advertised' loses it. Returns how many are left.
static unsigned leave_out_loopback(const struct doctor_lookup *lookup, struct addr *left,
                                   struct addr advertised[2])
{
    bool out[2] = {false, false};
    unsigned count = 0;

    for (int i = 0; i < lookup->count; i++) {
        if (is_loopback(&lookup->addr[i]))
            out[lookup->addr[i].family == FAMILY_V6] = true;
        else
            left[count++] = lookup->addr[i];
    }
    for (unsigned i = 0; i < count; i++)
        out[left[i].family == FAMILY_V6] = false;
    for (unsigned i = 0; i < 2; i++) {
        if (out[i])
            advertised[i].family = FAMILY_NONE;
    }
    return count;
}

static void tell_unknown(struct doctor *doctor, const char *name, const struct doctor_lookup *own)
{
    if (own->count > 0)
        doctor_find(doctor, DOCTOR_PROBLEM,
                    "turn.host = %s is not in the DNS: only this machine knows it (/etc/hosts)",
                    name);
    else
        doctor_find(doctor, DOCTOR_PROBLEM, "turn.host = %s cannot be resolved: %s", name,
                    gai_strerror(own->count));
    doctor_change(doctor, "DNS: an A (AAAA) record for %s.; or turn.host in %s", name,
                  doctor->path);
}

void doctor_judge_lookup(struct doctor *doctor, const char *name, const struct doctor_lookup *dns,
                         const struct doctor_lookup *own)
{
    const struct doctor_lookup *used = dns->count < 0 ? own : dns;
    struct addr advertised[2] = {doctor->config.relay.advertise[0].addr,
                                 doctor->config.relay.advertise[1].addr};
    struct addr left[DOCTOR_LOOKUP_MAX];
    char text[ADDR_TEXT_MAX];
    unsigned count;

    if (used->count <= 0) {
        tell_unknown(doctor, name, own);
        return;
    }
    count = leave_out_loopback(used, left, advertised);
    if (count == 0) {
        doctor_find(doctor, DOCTOR_SKIPPED,
                    "turn.host = %s is %s on this machine, as its /etc/hosts has it: DNS has to be "
                    "asked from elsewhere",
                    name, addr_format_ip(&used->addr[0], text));
        return;
    }
    doctor_judge_name(doctor, name, left, count, advertised);
    if (used == own)
        doctor_find(doctor, DOCTOR_SKIPPED,
                    "DNS does not answer: that was this machine's own view (/etc/hosts)");
}

// ---- SRV: for clients that are configured with a domain only (RFC 8489 section 8.1)

static bool find_srv(const char *name, char *target, int size)
{
    unsigned char answer[4096];
    int len = res_query(name, ns_c_in, ns_t_srv, answer, sizeof answer);
    ns_msg message;
    ns_rr record;

    if (len < 0 || len > (int)sizeof answer || ns_initparse(answer, len, &message) < 0 ||
        ns_msg_count(message, ns_s_an) == 0 || ns_parserr(&message, ns_s_an, 0, &record) < 0 ||
        ns_rr_type(record) != ns_t_srv || ns_rr_rdlen(record) < SRV_HEADER + 1)
        return false;
    return dn_expand(ns_msg_base(message), ns_msg_end(message), ns_rr_rdata(record) + SRV_HEADER,
                     target, size) >= 0;
}

void doctor_judge_srv(struct doctor *doctor, const char *service, const char *target)
{
    const char *host = doctor->config.turn.host;

    if (strcasecmp(target, host) == 0)
        return;
    doctor_find(doctor, DOCTOR_WARNING, "%s leads to %s, which is not turn.host = %s", service,
                target, host);
    doctor_change(doctor, "DNS: %s. SRV 0 0 %u %s.", service,
                  (unsigned)doctor->config.turn.ports.item[0], host);
}

static void check_srv(struct doctor *doctor)
{
    static const char *const services[] = {"_stun._udp", "_turn._udp", "_turn._tcp"};
    const struct config_list *served = &doctor->config.xmpp.served_domains;
    char name[NS_MAXDNAME], target[NS_MAXDNAME];

    for (size_t i = 0; i < served->count; i++) {
        for (size_t s = 0; s < sizeof services / sizeof services[0]; s++) {
            snprintf(name, sizeof name, "%s.%s", services[s], served->item[i]);
            if (find_srv(name, target, sizeof target))
                doctor_judge_srv(doctor, name, target);
        }
    }
}

void doctor_check_names(struct doctor *doctor)
{
    const struct addr advertised[2] = {doctor->config.relay.advertise[0].addr,
                                       doctor->config.relay.advertise[1].addr};
    const char *name = doctor->config.turn.host;
    struct doctor_lookup dns = {0}, own = {0};
    struct addr literal;

    if (!name || !doctor->config.turn.enabled) {
        doctor_find(doctor, DOCTOR_SKIPPED, "turn.host is not set: clients are told addresses");
        return;
    }
    if (addr_parse_ip(name, 0, &literal) == 0) {
        doctor_judge_name(doctor, name, &literal, 1, advertised);
    } else {
        ask_dns(name, &dns);
        if (dns.count <= 0)
            look_up(name, &own);
        doctor_judge_lookup(doctor, name, &dns, &own);
    }
    if (dns.count >= 0) // there is somebody to ask
        check_srv(doctor);
}

// ---- the certificate

static X509 *read_certificate(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;

    if (file)
        fclose(file);
    return certificate;
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "re");
    char none[] = "";
    EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, none) : NULL;

    if (file)
        fclose(file);
    return key;
}

static bool judge_dates(struct doctor *doctor, const X509 *certificate)
{
    const char *path = doctor->config.turn.certificate;
    int days = 0, seconds = 0;

    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
        doctor_find(doctor, DOCTOR_PROBLEM, "%s is not valid yet: is the clock right?", path);
        doctor_change(doctor, "timedatectl set-ntp true");
        return false;
    }
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) != 1)
        return true;
    if (days < 0 || seconds < 0) {
        doctor_find(doctor, DOCTOR_PROBLEM, "%s expired %d days ago", path, -days);
        doctor_change(doctor,
                      "certbot renew (or what renews it), and a new file at %s; the daemon "
                      "reads it by itself",
                      path);
        return false;
    }
    if (days < SOON_DAYS) {
        doctor_find(doctor, DOCTOR_WARNING, "%s expires in %d days", path, days);
        doctor_change(doctor, "certbot renew (or what renews it): systemctl status certbot.timer");
        return false;
    }
    return true;
}

static bool judge_subject(struct doctor *doctor, X509 *certificate)
{
    const char *name = doctor->config.turn.host;
    struct addr literal;
    int r;

    if (!name) {
        doctor_find(doctor, DOCTOR_WARNING,
                    "turn.host is not set: clients that are told an address cannot check the "
                    "certificate's name");
        doctor_change(doctor, "%s: turn.host = \"THE NAME ON THE CERTIFICATE\";", doctor->path);
        return false;
    }
    r = addr_parse_ip(name, 0, &literal) == 0 ? X509_check_ip_asc(certificate, name, 0)
                                              : X509_check_host(certificate, name, 0, 0, NULL);
    if (r == 1)
        return true;
    doctor_find(doctor, DOCTOR_PROBLEM, "%s is not for turn.host = %s: clients refuse it",
                doctor->config.turn.certificate, name);
    doctor_change(doctor, "certbot certonly -d %s; or turn.host in %s", name, doctor->path);
    return false;
}

static bool judge_key(struct doctor *doctor, X509 *certificate)
{
    const char *path = doctor->config.turn.key;
    EVP_PKEY *key = read_key(path);
    bool ok = key && X509_check_private_key(certificate, key) == 1;

    if (!ok && key)
        doctor_find(doctor, DOCTOR_PROBLEM, "the key in %s does not fit the certificate in %s",
                    path, doctor->config.turn.certificate);
    else if (!ok)
        doctor_find(doctor, DOCTOR_PROBLEM, "there is no private key that can be read in %s", path);
    if (!ok)
        doctor_change(doctor,
                      "%s: turn.certificate and turn.key: both files of one issue "
                      "(fullchain.pem and privkey.pem of one directory), without passphrase",
                      doctor->path);
    EVP_PKEY_free(key);
    return ok;
}

void doctor_check_certificate(struct doctor *doctor)
{
    const struct config *c = &doctor->config;
    X509 *certificate;
    bool ok;

    if (!c->turn.enabled || !c->turn.certificate) {
        doctor_find(doctor, DOCTOR_SKIPPED, "there is none: neither TLS nor DTLS");
        return;
    }
    certificate = read_certificate(c->turn.certificate);
    if (!certificate) {
        doctor_find(doctor, DOCTOR_PROBLEM, "there is no certificate that can be read in %s",
                    c->turn.certificate);
        doctor_change(doctor,
                      "%s: turn.certificate: a PEM file that begins with the server's "
                      "certificate",
                      doctor->path);
        return;
    }
    ok = judge_dates(doctor, certificate);
    ok = judge_subject(doctor, certificate) && ok;
    ok = judge_key(doctor, certificate) && ok;
    if (ok)
        doctor_find(doctor, DOCTOR_OK, "%s is for %s", c->turn.certificate, c->turn.host);
    X509_free(certificate);
    ERR_clear_error();
}
