// SPDX-License-Identifier: ISC
// See reload.h.
#include "reload.h"

#include "base/log.h"
#include "base/log_kind.h"
#include "base/mask.h"
#include "config_change.h"
#include "config_table.h"
#include "config_use.h"
#include "descriptors.h"
#include "platform/tls.h"
#include "platform/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_FIRST (UINT64_C(1) << 62) // of tokens that nobody else uses

struct retired { // what workers may still use of the configuration before
    struct retired *next;
    struct config config;
    struct turn_server *turn;
};

struct reload {
    struct reload_parts parts;
    uint64_t token;
    unsigned waiting;        // workers that have not answered
    int result;              // the first error of theirs
    struct retired retired;  // until all have answered
    struct retired *kept;    // owned; of changes that a worker could not apply
    bool elsewhere, again;   // read the file once more
    json_t *answer;          // owned; while it is under way
    struct verb_reply reply; // done NULL: nobody waits
};

// ---- the end of a change

static void retire(struct retired *retired)
{
    turn_server_free_replaced(retired->turn);
    retired->turn = NULL;
    config_free(&retired->config);
}

// A worker goes on with it. Without memory it is lost, rather than freed under that worker.
static void keep(struct reload *reload)
{
    struct retired *kept = malloc(sizeof *kept);

    if (kept) {
        *kept = reload->retired;
        kept->next = reload->kept;
        reload->kept = kept;
    }
    reload->retired = (struct retired){0};
}

static void answer(struct reload *reload, const char *error)
{
    struct verb_reply reply = reload->reply;
    json_t *result = reload->answer;

    reload->reply = (struct verb_reply){0};
    reload->answer = NULL;
    if (error)
        json_decref(result);
    if (!reply.done)
        json_decref(error ? NULL : result);
    else if (error)
        verb_fail(reply, "%s", error);
    else
        verb_answer(reply, result);
}

static void finish(struct reload *reload)
{
    char error[256];

    if (reload->result < 0)
        keep(reload);
    else
        retire(&reload->retired);
    service_ready(NULL);
    if (reload->result < 0) {
        snprintf(error, sizeof error, "a worker could not apply all of it: %s; see the log",
                 strerror(-reload->result));
        counter_add(reload->parts.counters, COUNTER_RELOADS_FAILED, 1);
        answer(reload, error);
    } else {
        counter_add(reload->parts.counters, COUNTER_RELOADS, 1);
        answer(reload, NULL);
    }
    if (reload->again) {
        reload->again = false;
        reload_run(reload, (struct verb_reply){0});
    }
}

// What is wrong has been logged.
static void fail(struct reload *reload, const char *error)
{
    log_kind(LOG_RELOAD_FAILED, "the configuration stays as it was");
    counter_add(reload->parts.counters, COUNTER_RELOADS_FAILED, 1);
    service_ready(NULL);
    answer(reload, error);
}

bool reload_done(struct reload *reload, uint64_t token, int result)
{
    if (!reload || token != reload->token)
        return false;
    if (result < 0 && reload->result == 0)
        reload->result = result;
    if (--reload->waiting == 0)
        finish(reload);
    return true;
}

// False: the reply is given.
static bool begin(struct reload *reload, struct verb_reply reply)
{
    if (reload->waiting > 0) {
        if (reply.done)
            verb_fail(reply, "another change is under way: try again");
        return false;
    }
    reload->reply = reply;
    reload->result = 0;
    return true;
}

// ---- applying

static int configure_signal(const struct reload *reload, const struct turn_server *turn)
{
    const struct reload_parts *p = &reload->parts;
    struct config_services services;
    const char *secret = turn ? turn_server_secret(turn) : NULL;
    struct signal_config config = config_for_signal(p->config, secret, &services);

    if (turn)
        config.services.secret = secret; // one that was made stands before the file's
    if (reload->elsewhere)
        config_point_elsewhere(p->config, &services, &config.services);
    return signal_reconfigure(p->signal, &config, usec_now());
}

// The certificate of files that were named anew, or that have changed.
static int configure_tls(const struct reload *reload, char error[TLS_ERROR_MAX])
{
    const struct config *c = reload->parts.config;
    const struct turn_server *turn = *reload->parts.turn;

    return turn && turn->tls && c->turn.certificate
               ? tls_set_files(turn->tls, c->turn.certificate, c->turn.key, error)
               : 0;
}

// What cannot fail, or has another chance.
static void configure_rest(const struct reload *reload)
{
    const struct reload_parts *p = &reload->parts;
    const struct config *c = p->config;
    const struct capacity_limits limits = config_for_capacity(c, workers_count(p->workers));

    admission_set_limits(p->admission, &limits);
    if (peers_set_allow(p->peers, &c->relay.allow_peers) < 0)
        log_err("relay.allow_peers: out of memory: the old ranges stay in force for TURN");
    if (*p->turn)
        quota_set((*p->turn)->quota, c->limits.allocations_per_user, c->limits.allocations);
    log_set_level(c->log.level);
    mask_set(c->privacy.mask);
    descriptors_allow(config_descriptors(c, workers_count(p->workers)));
}

static void tell_workers(struct reload *reload)
{
    const struct reload_parts *p = &reload->parts;
    const struct relay_config relay = config_for_relay(p->config);
    const struct workers_renewal renewal = {relay.limits, relay.allow, *p->turn};

    reload->token++;
    reload->waiting = workers_count(p->workers);
    reload->result = workers_renew(p->workers, &renewal, reload->token);
    if (reload->result < 0) {
        log_kind(LOG_NO_MEMORY,
                 "out of memory: the workers go on with the old configuration; reload again");
        reload->waiting = 0;
        finish(reload);
    }
}

// The server for the configuration as it is now: built, and everything that can fail done. Returns
// 0 or -errno with what is wrong.
static int prepare(struct reload *reload, bool rotate, char error[TLS_ERROR_MAX])
{
    struct turn_server *next = NULL, *old = *reload->parts.turn;
    char text[256] = "out of memory";
    int r = 0;

    if (old)
        r = turn_server_renew(old, reload->parts.config, rotate, usec_now(), &next, text);
    snprintf(error, TLS_ERROR_MAX, "%s", text);
    if (r == 0)
        r = configure_tls(reload, error);
    if (r == 0)
        r = configure_signal(reload, next);
    if (r < 0) {
        turn_server_free_replaced(next);
        return r;
    }
    if (next) {
        *reload->parts.turn = next;
        reload->retired.turn = old;
    }
    return 0;
}

// ---- what is said about it

static void add_key(json_t *list, const struct config_row *row, const char *more)
{
    json_array_append_new(list, json_sprintf("%s.%s%s", row->group, row->name, more));
}

static bool is_row(const struct config_row *row, const char *group, const char *name)
{
    return strcmp(row->group, group) == 0 && strcmp(row->name, name) == 0;
}

static void list_changes(const struct config_changes *changes, json_t *applied, json_t *restart)
{
    for (size_t i = 0; i < config_row_count; i++) {
        const struct config_row *row = &config_rows[i];
        bool held = (is_row(row, "turn", "secret_files") && changes->secrets) ||
                    (is_row(row, "turn", "users_file") && changes->users);

        if (changes->row[i] == CONFIG_APPLIED || (changes->row[i] == CONFIG_SAME && held))
            add_key(applied, row, "");
        else if (changes->row[i] == CONFIG_RESTART)
            add_key(restart, row, "");
    }
}

static void list_surplus(const struct reload *reload, const struct config_changes *changes,
                         json_t *restart)
{
    const struct turn_server *turn = *reload->parts.turn;
    unsigned surplus = turn ? turn_server_surplus(turn, reload->parts.config) : 0;

    for (size_t i = 0; i < config_row_count && surplus > 0; i++) {
        const struct config_row *row = &config_rows[i];

        if (changes->row[i] == CONFIG_APPLIED &&
            (is_row(row, "turn", "ports") || is_row(row, "turn", "tls_ports")))
            add_key(restart, row, " (listeners that are not listed any more stay open)");
    }
}

static void log_changes(const json_t *applied, const json_t *restart)
{
    for (size_t i = 0; i < json_array_size(applied); i++)
        log_notice("%s: in force now", json_string_value(json_array_get(applied, i)));
    for (size_t i = 0; i < json_array_size(restart); i++)
        log_kind(LOG_NEEDS_RESTART, "%s: restart to apply; calls survive it",
                 json_string_value(json_array_get(restart, i)));
}

static json_t *say_changes(const struct reload *reload, const struct config_changes *changes,
                           const struct config_errors *errors)
{
    json_t *applied = json_array(), *restart = json_array(), *warnings = json_array();

    list_changes(changes, applied, restart);
    list_surplus(reload, changes, restart);
    for (size_t i = 0; i < errors->count; i++)
        json_array_append_new(warnings, json_string(errors->item[i].text));
    log_kind(LOG_RELOADED, "the configuration was read again: %zu keys have changed",
             json_array_size(applied) + json_array_size(restart));
    log_changes(applied, restart);
    return json_pack("{s:o, s:o, s:o}", "applied", applied, "restart", restart, "warnings",
                     warnings);
}

// The errors in one text, a line each.
static void fail_reading(struct reload *reload, const struct config_errors *errors)
{
    struct buf text = {0};

    for (size_t i = 0; i < errors->count; i++) {
        if (!errors->item[i].warning)
            buf_printf(&text, "%s%s", text.len ? "\n" : "", errors->item[i].text);
    }
    fail(reload, text.data && !text.failed ? text.data : "out of memory");
    buf_free(&text);
}

// ---- orders

static void apply(struct reload *reload, struct config *fresh, const struct config_errors *errors)
{
    struct config_changes changes = {0};
    char error[TLS_ERROR_MAX] = "out of memory";
    int r = config_compare(reload->parts.config, fresh, &changes);

    if (r == 0) {
        config_exchange(reload->parts.config, fresh, &changes);
        r = prepare(reload, false, error);
        if (r < 0)
            config_exchange(reload->parts.config, fresh, &changes);
    }
    if (r < 0) {
        log_err("%s", error);
        fail(reload, error);
    } else {
        configure_rest(reload);
        reload->answer = say_changes(reload, &changes, errors);
        reload->retired.config = *fresh;
        *fresh = (struct config){0};
        tell_workers(reload);
    }
    config_changes_free(&changes);
}

// Again, whatever came of the rest: the file may have been rotated.
static void open_records(const struct reload *reload)
{
    const char *path = reload->parts.config->log.records;

    if (reload->parts.records && records_open(reload->parts.records, path) < 0)
        log_err("log.records = %s: out of memory: nothing is recorded", path);
}

void reload_run(struct reload *reload, struct verb_reply reply)
{
    struct config_errors errors = {0};
    struct config fresh = {0};
    int r;

    if (reload->waiting > 0 && !reply.done)
        reload->again = true;
    if (!begin(reload, reply))
        return;
    service_reloading();
    r = config_load(reload->parts.path, &fresh, &errors);
    if (r == 0)
        r = config_resolve_addresses(&fresh, reload->parts.find_address, &errors);
    config_errors_log(&errors);
    if (r < 0)
        fail_reading(reload, &errors);
    else
        apply(reload, &fresh, &errors);
    open_records(reload);
    config_free(&fresh);
    config_errors_free(&errors);
}

// systemd reads the file of a credential when it starts the daemon, and at no other time.
static json_t *say_where(const struct config *c)
{
    if (c->turn.secrets_by_systemd)
        return json_string("write it to the file of the credential turn-secret (LoadCredential= of "
                           "the unit: /etc/jingle-relayd/turn-secret); it is read at the next "
                           "systemctl restart jingle-relayd, not at a reload");
    return json_sprintf("write it to a file and name it first in turn.secret_files, before %s; "
                        "then jingle-relayctl reload",
                        c->turn.secret_files.item[0]);
}

// Where the operator has given secrets he has to be told: what was made is nowhere else.
static json_t *say_rotated(const struct config *c, const struct turn_server *turn)
{
    usec_t good = c->turn.credential_lifetime + c->turn.expiry_grace;
    const char *secret = turn_server_secret(turn);
    json_t *tell = json_array();

    if (c->turn.secrets.count > 0) {
        json_array_append_new(tell, json_sprintf("new secret: %s", secret));
        json_array_append_new(tell, say_where(c));
        json_array_append_new(
            tell, json_sprintf("Prosody: turn_external_secret = \"%s\" (and each secret in "
                               "external_services); then systemctl restart prosody",
                               secret));
        json_array_append_new(
            tell,
            json_sprintf("ejabberd, mod_stun_disco: secret: \"%s\"; then ejabberdctl reload_config",
                         secret));
        json_array_append_new(
            tell, json_string(c->turn.secrets_by_systemd
                                  ? "until that restart the old secret is accepted too; a restart "
                                    "before the file is written forgets the new one"
                                  : "until then the old secret is accepted too; a restart before "
                                    "that forgets the new one"));
    }
    return json_pack("{s:I, s:o}", "old_accepted_s", (json_int_t)(good / USEC_PER_SEC), "tell",
                     tell);
}

void reload_rotate(struct reload *reload, struct verb_reply reply)
{
    char error[TLS_ERROR_MAX];

    if (!*reload->parts.turn) {
        verb_fail(reply, "there is no secret: turn.enabled is false");
        return;
    }
    if (!begin(reload, reply))
        return;
    if (prepare(reload, true, error) < 0) {
        log_err("%s", error);
        fail(reload, error);
        return;
    }
    log_kind(LOG_SECRET_CHANGED, "TURN credentials are made with a new secret from now on");
    reload->answer = say_rotated(reload->parts.config, *reload->parts.turn);
    tell_workers(reload);
}

int reload_point_elsewhere(struct reload *reload, bool elsewhere)
{
    bool before = reload->elsewhere;
    int r;

    reload->elsewhere = elsewhere;
    r = configure_signal(reload, *reload->parts.turn);
    if (r < 0)
        reload->elsewhere = before;
    return r;
}

// ---- life

int reload_new(const struct reload_parts *parts, struct reload **ret_reload)
{
    struct reload *reload = calloc(1, sizeof *reload);

    if (!reload)
        return -ENOMEM;
    reload->parts = *parts;
    reload->token = TOKEN_FIRST;
    *ret_reload = reload;
    return 0;
}

void reload_forget(struct reload *reload)
{
    if (reload)
        reload->reply = (struct verb_reply){0};
}

void reload_free(struct reload *reload)
{
    struct retired *kept;

    if (!reload)
        return;
    retire(&reload->retired);
    while ((kept = reload->kept)) {
        reload->kept = kept->next;
        retire(kept);
        free(kept);
    }
    json_decref(reload->answer);
    free(reload);
}
