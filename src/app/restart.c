// SPDX-License-Identifier: ISC
// See restart.h.
#include "restart.h"

#include "codec/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BOOT_MAX = 63, VERSION_MAX = 63, SECRET_MAX = 255, WORKERS_MAX = 256 };

// Times of the monotonic clock mean something in one boot only. Where /proc does not say which it
// is (ProcSubset=pid), be it the daemon before this one alone, it is the same: what is handed over
// is kept in memory.
static void read_boot(char boot[BOOT_MAX + 1])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, boot, BOOT_MAX);

    boot[n > 0 ? n : 0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

// ---- writing

static json_t *old_secret(const struct turn_old_secret *old)
{
    json_t *object = state_new();

    state_put_text(object, "text", old->text);
    state_put_u64(object, "until", old->until);
    return object;
}

static void put_turn(json_t *root, const struct turn_server *turn)
{
    if (!turn)
        return;
    state_put_bytes(root, "nonce_key", turn->turn.nonce_key, sizeof turn->turn.nonce_key);
    state_put_text(root, "turn_secret", turn->generated_secret);
    for (unsigned i = 0; i < TURN_OLD_SECRETS_MAX; i++)
        if (turn->old[i].text)
            state_append(root, "turn_old_secrets", old_secret(&turn->old[i]));
}

char *restart_write(const struct restart_parts *parts, size_t *ret_len)
{
    char boot[BOOT_MAX + 1], *text;
    json_t *root = state_new();

    read_boot(boot);
    state_put_text(root, "daemon", RELAYD_VERSION);
    state_put_text(root, "boot", boot);
    state_put_u64(root, "stopped", parts->stopped);
    state_put_u64(root, "restarts", parts->restarts);
    state_put_u64(root, "calls", parts->calls);
    state_put_u64(root, "allocations", parts->allocations);
    put_turn(root, parts->turn);
    state_put(root, "workers", parts->workers);
    state_put(root, "signal", parts->signal);
    text = state_complete(root) ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (text)
        *ret_len = strlen(text);
    return text;
}

// ---- reading

static const char *wrong_with_age(usec_t stopped, usec_t now)
{
    if (stopped > now)
        return "it is of a time that is still to come";
    return now - stopped > RESTART_AGE_MAX ? "it is older than 5 minutes" : NULL;
}

static const char *wrong_with(struct restart *restart, usec_t now)
{
    struct state_reader reader = state_read(restart->root);
    char this_boot[BOOT_MAX + 1];
    const char *boot;

    if (reader.wrong)
        return "it is of a version that this daemon does not know";
    boot = state_text(&reader, "boot", BOOT_MAX);
    read_boot(this_boot);
    if (!boot || (*boot && *this_boot && strcmp(boot, this_boot) != 0))
        return "it is from before the machine was started";
    restart->version = state_text(&reader, "daemon", VERSION_MAX);
    restart->stopped = state_u64(&reader, "stopped", UINT64_MAX);
    restart->restarts = (unsigned)state_u64(&reader, "restarts", UINT32_MAX - 1);
    restart->calls = (unsigned)state_u64(&reader, "calls", UINT32_MAX);
    restart->allocations = (unsigned)state_u64(&reader, "allocations", UINT32_MAX);
    restart->workers = state_array(&reader, "workers");
    restart->signal = state_object(&reader, "signal");
    if (reader.wrong || !restart->version || !restart->signal)
        return "it makes no sense";
    if (restart_workers(restart) == 0 || restart_workers(restart) > WORKERS_MAX)
        return "it is of no number of workers";
    return wrong_with_age(restart->stopped, now);
}

int restart_read(const char *text, size_t len, usec_t now, struct restart *ret_restart,
                 const char **ret_why)
{
    struct restart restart = {.root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL)};
    const char *why = restart.root ? wrong_with(&restart, now) : "it is no JSON, or memory is out";

    if (why) {
        restart_free(&restart);
        *ret_why = why;
        return -EINVAL;
    }
    *ret_restart = restart;
    return 0;
}

void restart_free(struct restart *restart)
{
    json_decref(restart->root);
    *restart = (struct restart){0};
}

unsigned restart_workers(const struct restart *restart)
{
    return (unsigned)json_array_size(restart->workers);
}

// Borrowed from the snapshot; the texts are copied by who gets them.
static void read_old_secrets(const json_t *array, struct turn_kept_secret old[TURN_OLD_SECRETS_MAX])
{
    for (unsigned i = 0; i < TURN_OLD_SECRETS_MAX; i++) {
        struct state_reader reader = state_read(json_array_get(array, i));
        const char *text = state_text(&reader, "text", SECRET_MAX);

        old[i].until = state_u64(&reader, "until", UINT64_MAX);
        old[i].text = reader.wrong ? NULL : text;
    }
}

int restart_turn(const struct restart *restart, const struct config *config,
                 struct turn_server *server, usec_t now)
{
    struct state_reader reader = state_read(restart->root);
    struct turn_kept_secret old[TURN_OLD_SECRETS_MAX];
    uint8_t key[sizeof server->turn.nonce_key];
    const char *secret = state_text(&reader, "turn_secret", SECRET_MAX);

    if (state_bytes(&reader, "nonce_key", key, sizeof key) == sizeof key)
        memcpy(server->turn.nonce_key, key, sizeof key);
    explicit_bzero(key, sizeof key);
    read_old_secrets(state_array(&reader, "turn_old_secrets"), old);
    return turn_server_revive(server, config, secret, old, now);
}
