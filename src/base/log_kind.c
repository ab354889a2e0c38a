// SPDX-License-Identifier: ISC
// The table of log kinds, and what becomes of a record of one of them: it gets its id, and a flood
// of one kind is cut and counted.
#include "base/log_kind.h"

#include "base/usec.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static const struct log_kind_row rows[] = {
    [LOG_STARTED] =
        {"started", "150d127193b5f89d821c95fe05b4d6d8", LOG_LEVEL_NOTICE, 0,
         "The relay has started",
         "It listens and connects to its XMPP server now; \"joined the XMPP server\" follows"
         " when calls can come."},
    [LOG_CANNOT_START] =
        {"cannot start", "e3079c641d9652f0d62787be81cc8a9e", LOG_LEVEL_ERR, 0,
         "The relay cannot start",
         "The record before this one names the configuration key or the system's answer. "
         "\"jingle-relayd --check-config\" reads the configuration without starting "
         "anything."},
    [LOG_STOPPING] =
        {"stopping", "b04670b157ed8405da2ddb0d2525b752", LOG_LEVEL_NOTICE, 0,
         "The relay is told to end",
         "Both sides of each running call are told that it ends. A restart by systemd, or "
         "\"jingle-relayd --take-over\", keeps the calls instead."},
    [LOG_DRAINING] =
        {"draining", "1b779f8b00ec860bf3128acda74df0d3", LOG_LEVEL_NOTICE, 0,
         "New calls are refused, running ones finish",
         "Said when draining begins, and when it is over. \"jingle-relayctl drain off\" "
         "takes new calls again."},
    [LOG_RESTARTED] =
        {"restarted", "5c9f766984fc10bad91015106301983f", LOG_LEVEL_NOTICE, 0,
         "The relay goes on with the calls of the last one",
         "The record says how many calls and TURN allocations were kept, and how long "
         "nobody listened. Packets that came meanwhile waited in the sockets."},
    [LOG_NOT_RESTORED] =
        {"not restored", "9710bbae2bab35469a7c4aed0d137516", LOG_LEVEL_WARNING, 0,
         "What the last relay left cannot be used",
         "This one begins without calls. The record says why: another boot of the machine, "
         "more than 5 minutes ago, a version that is too far away, a snapshot that makes no "
         "sense, or two starts with it that have crashed."},
    [LOG_JOINED] = {"joined", "42d48225d49129a149f0a2b5f90af36d", LOG_LEVEL_NOTICE, 0,
                    "The relay has joined its XMPP server", "From now on it sees calls."},
    [LOG_NOT_JOINED] =
        {"not joined", "03ced10964c9e2c549b0ca856e9c0d0d", LOG_LEVEL_ERR, 5,
         "The XMPP server does not let the relay in",
         "A wrong secret: compare xmpp.secret_file with component_secret (Prosody) or the "
         "listener's password (ejabberd). A conflict: another daemon has joined under "
         "xmpp.domain. An unknown host: the server has no component of this name. It is "
         "tried again, more and more slowly."},
    [LOG_SERVER_LOST] =
        {"server lost", "269fb1f31a098409584c3ade5fc6506e", LOG_LEVEL_WARNING, 5,
         "The connection to the XMPP server was lost",
         "Calls that run go on. New ones come when the connection is back, which is tried "
         "again and again. With the server's module calls begin without the relay "
         "meanwhile."},
    [LOG_STANZA_LOST] =
        {"stanza lost", "d330f6ab083d2e18f4e29522a5200f54", LOG_LEVEL_WARNING, 10,
         "A stanza could not be handled whole",
         "It was larger than the relay takes, or memory was out. A call may lack what it "
         "said."},
    [LOG_CALL_ENDED] =
        {"call ended", "9e3a7050ee98c8214c6d9346846f864f", LOG_LEVEL_INFO, 0, "A call is over",
         "One line per call. VERDICT says in words what became of it, CALL_ID finds it on "
         "the stats page and with \"jingle-relayctl call\"."},
    [LOG_CALL_REFUSED] =
        {"call refused", "dd088dfc349ac7125bcd1c2fe07cf547", LOG_LEVEL_WARNING, 20,
         "A call was not taken",
         "The record names the limit (groups limits and relay of the configuration) or the"
         " fault in what the client has sent. Through the server's module such a call goes"
         " on without the relay."},
    [LOG_ALLOCATION_ENDED] =
        {"allocation ended", "c7b1a3850c9564e116b4d73a148bda9b", LOG_LEVEL_INFO, 0,
         "A TURN allocation is over",
         "One line per allocation, with its user, its length and what it has carried."},
    [LOG_OVERLOAD] =
        {"overload", "6307d49c3244124f7b8d5b3cccb53778", LOG_LEVEL_WARNING, 0,
         "New calls are refused, so that those that run keep their quality",
         "The record names what is short: limits.calls, limits.load, limits.bandwidth, "
         "relay.ports or descriptors. \"jingle-relayctl status\" shows the room for more."},
    [LOG_OVERLOAD_OVER] = {"overload over", "33cfc44f3c0c65a56f5e029329ac4350", LOG_LEVEL_NOTICE, 0,
                           "New calls are taken again", "There is room for more than one again."},
    [LOG_FASTPATH_ON] = {"fast path on", "5aabc17eca222a8a7dc0c90c353ae313", LOG_LEVEL_NOTICE, 0,
                         "The kernel forwards established flows",
                         "What it needs is there: CAP_BPF, CAP_NET_ADMIN and Linux 6.6."},
    [LOG_FASTPATH_OFF] =
        {"fast path off", "7822818bed598da6cfb1228e770d6e41", LOG_LEVEL_NOTICE, 0,
         "The daemon forwards every packet itself",
         "Nothing is wrong: it costs more CPU time per packet. The record says what is "
         "missing for the kernel's fast path; systemd/fastpath.conf gives it to the unit; "
         "relay.fastpath = \"off\" silences this."},
    [LOG_LISTENING] = {"listening", "ff5630b914dd54d9c228884d4a66cdce", LOG_LEVEL_NOTICE, 0,
                       "An address is listened on",
                       "STUN and TURN, ICE's shared port, or the stats page."},
    [LOG_NOT_LISTENING] =
        {"not listening", "eeeb8b08040d2c5e962ea32dba48e9f9", LOG_LEVEL_ERR, 0,
         "An address cannot be listened on",
         "Another program has it (\"ss -lnup\" and \"ss -lntp\" show which), it is not an "
         "address of this machine, or the port is below 1024 and the unit may not have it."},
    [LOG_CERTIFICATE] = {"certificate", "b49e16a1585ae065c7ff0412659af478", LOG_LEVEL_NOTICE, 0,
                         "The TLS certificate was read again",
                         "TURN over TLS and DTLS has it from the next connection on."},
    [LOG_CERTIFICATE_BAD] =
        {"certificate bad", "df84acbb528f20936d1b752402e03f05", LOG_LEVEL_WARNING, 5,
         "The new TLS certificate cannot be used",
         "The old one stays in use. The record says what is wrong: a key that does not "
         "fit, a file that cannot be read, a date."},
    [LOG_RELOADED] = {"reloaded", "5df7f9f93f2f53ff5e473c81f2e124e6", LOG_LEVEL_NOTICE, 0,
                      "The configuration was read again",
                      "What has changed is in force for calls from now on; what needs a restart is "
                      "named in records of its own."},
    [LOG_RELOAD_FAILED] = {"reload failed", "58f71c0c2cd3d2c7671865d3ee98640c", LOG_LEVEL_ERR, 0,
                           "The configuration stays as it was",
                           "The file has an error, which is named. Nothing of it was taken."},
    [LOG_NEEDS_RESTART] =
        {"needs restart", "2e186a8f0e431d01503b883ee00440dd", LOG_LEVEL_NOTICE, 0,
         "A changed key is not in force yet",
         "\"systemctl restart jingle-relayd\" brings it in force; calls go on over a "
         "restart."},
    [LOG_SECRET_CHANGED] =
        {"secret changed", "dc840dd0500f8410da739e1760177373", LOG_LEVEL_NOTICE, 0,
         "TURN credentials are made with a new secret",
         "Those that were given out are good until they expire. An XMPP server that makes "
         "credentials itself must be given the new secret."},
    [LOG_CALLS_KICKED] = {"calls kicked", "2d34cb8ec2ec287d388135d581c00df9", LOG_LEVEL_NOTICE, 0,
                          "An administrator has ended calls or TURN allocations",
                          "By jingle-relayctl or by an ad-hoc command."},
    [LOG_SELFTEST] = {"self-test", "4766706aeeaed1fd598bffd2127f0558", LOG_LEVEL_WARNING, 5,
                      "The self-test found something",
                      "\"jingle-relayctl doctor\" says what, and the line to change."},
    [LOG_RECORDS_LOST] =
        {"records lost", "787ef69b6ff86d5051531b5a36a3bdd9", LOG_LEVEL_ERR, 5,
         "Records of calls and allocations cannot be written",
         "The file of log.records: the record says what is wrong with it. Until it is "
         "repaired what ends is counted (jingle_relay_records_total), but not "
         "recorded; the next line that can be written ends that."},
    [LOG_NO_MEMORY] =
        {"no memory", "a231b0a47cc4d7e82b332db0d5116464", LOG_LEVEL_ERR, 5, "Memory is exhausted",
         "What was asked for was not done, and was answered as a fault. Calls that run go "
         "on. Raise MemoryMax= if the unit has one, or lower limits.calls."},
    [LOG_NO_DESCRIPTORS] =
        {"no descriptors", "ca5a53fe0969fe52472114dd0d5bab1c", LOG_LEVEL_WARNING, 5,
         "More descriptors may be needed than are allowed",
         "Raise LimitNOFILE= in the unit, or lower relay.ports and limits.connections."},
};

_Static_assert(sizeof rows / sizeof rows[0] == LOG_KIND_COUNT, "each kind has a row");

// Like the log itself there is one for the process.
static struct {
    _Atomic uint64_t spent; // the time, in microseconds, until which its records are paid for
    atomic_ulong unsaid;    // since the last that was written
} floods[LOG_KIND_COUNT];
static atomic_ulong suppressed;

const struct log_kind_row *log_kind_row(enum log_kind kind)
{
    return &rows[kind];
}

unsigned long log_suppressed(void)
{
    return atomic_load_explicit(&suppressed, memory_order_relaxed);
}

// Each record costs a minute's share; 'burst' of them may be ahead of the clock.
static bool may_write(enum log_kind kind)
{
    usec_t now = log_now(), cost, ahead, spent, next;

    if (rows[kind].burst == 0 || now == 0)
        return true;
    cost = 60 * USEC_PER_SEC / rows[kind].burst;
    ahead = cost * (rows[kind].burst - 1);
    spent = atomic_load_explicit(&floods[kind].spent, memory_order_relaxed);
    do {
        next = (spent > now ? spent : now) + cost;
        if (next > now + cost + ahead) {
            atomic_fetch_add_explicit(&floods[kind].unsaid, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&suppressed, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&floods[kind].spent, &spent, next));
    return true;
}

__attribute__((format(printf, 5, 0))) static void
write_kind(enum log_kind kind, enum log_level level, const struct log_field *field, size_t fields,
           const char *format, va_list args)
{
    enum { OWN = 2, FIELDS_MAX = 16 };
    struct log_field all[FIELDS_MAX + OWN];
    char unsaid[24];
    size_t n = 0;

    if (!log_wanted(level) || !may_write(kind))
        return;
    unsigned long count = atomic_exchange(&floods[kind].unsaid, 0);
    for (; n < fields && n < FIELDS_MAX; n++)
        all[n] = field[n];
    all[n++] = (struct log_field){LOG_FIELD_ID, rows[kind].id};
    if (count > 0) {
        snprintf(unsaid, sizeof unsaid, "%lu", count);
        all[n++] = (struct log_field){"SUPPRESSED", unsaid};
    }
    log_vwrite(level, all, n, format, args);
}

void log_kind_write(enum log_kind kind, const struct log_field *field, size_t fields,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_kind(kind, rows[kind].level, field, fields, format, args);
    va_end(args);
}

void log_kind_write_at(enum log_kind kind, enum log_level level, const struct log_field *field,
                       size_t fields, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_kind(kind, level, field, fields, format, args);
    va_end(args);
}
