// SPDX-License-Identifier: ISC
// The long-term credential mechanism (RFC 8489 section 9.2.4), its checks in the order written
// there. Passwords are TURN REST's, base64(HMAC-SHA1(secret, username)) for a username
// "expiry[:identity]", or those of static users.
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_MAX (USEC_PER_SEC * 86400 * 365 * 100)

// RFC 8489 section 18.5: SHA-256, which we prefer, and MD5, both without parameters. error.c sends
// it, and who answers must send it back.
const uint8_t auth_algorithms[8] = {0, 2, 0, 0, 0, 1, 0, 0};

static int fail(struct request *r, int code, enum counter reason)
{
    count(r->turn, reason);
    return code;
}

// ---- static users ----

int auth_users(struct turn *turn, const struct turn_config *config, struct user_key **ret_keys)
{
    struct user_key *keys = calloc(config->users ? config->users : 1, sizeof *keys);
    int rc = keys ? 0 : -ENOMEM;
    for (unsigned i = 0; rc == 0 && i < config->users; i++) {
        const struct turn_user *user = &config->user[i];
        struct part name = {user->name, strlen(user->name)};
        struct part password = {user->password, strlen(user->password)};
        if (hash_userhash(&turn->hashes, user->name, config->realm, keys[i].userhash) < 0 ||
            hash_key(&turn->hashes, false, name, config->realm, password, &keys[i].md5) < 0 ||
            hash_key(&turn->hashes, true, name, config->realm, password, &keys[i].sha256) < 0)
            rc = -ENOMEM;
    }
    if (rc < 0) {
        free(keys);
        return rc;
    }
    *ret_keys = keys;
    return 0;
}

static int user_by_name(const struct turn *turn, struct part name)
{
    for (unsigned i = 0; i < turn->config->users; i++) {
        const char *own = turn->config->user[i].name;
        if (strlen(own) == name.len && memcmp(own, name.data, name.len) == 0)
            return (int)i;
    }
    return -1;
}

static int user_by_hash(const struct turn *turn, const uint8_t *hash)
{
    for (unsigned i = 0; i < turn->config->users; i++) {
        if (memcmp(turn->user_key[i].userhash, hash, SHA256_LEN) == 0)
            return (int)i;
    }
    return -1;
}

// ---- TURN REST ----

// "1700000000:romeo": returns false if the name is not of that kind. What follows the first colon
// is the identity, and may be empty.
static bool split_rest(struct part name, uint64_t *ret_expiry, struct part *ret_identity)
{
    const char *text = name.data;
    uint64_t expiry = 0;
    size_t i = 0;
    for (; i < name.len && text[i] >= '0' && text[i] <= '9' && i < 12; i++)
        expiry = expiry * 10 + (uint64_t)(text[i] - '0');
    if (i == 0 || (i < name.len && text[i] != ':'))
        return false;
    *ret_expiry = expiry;
    size_t skip = i < name.len ? i + 1 : i;
    *ret_identity = (struct part){text + skip, name.len - skip};
    return true;
}

static bool has_expired(const struct request *r, uint64_t expiry, bool grace)
{
    usec_t more = r->turn->config->expiry_grace;
    if (more > GRACE_MAX)
        more = GRACE_MAX;
    int64_t until = (int64_t)(expiry * USEC_PER_SEC + (grace ? more : 0));
    return (int64_t)r->now + r->turn->wall_minus_now >= until;
}

static bool rest_key(struct request *r, const char *secret, bool sha256, struct key *ret_key)
{
    char password[TURN_REST_PASSWORD_SIZE];
    if (rest_password(secret, r->username, password) < 0)
        return false;
    return hash_key(&r->turn->hashes, sha256, r->username, r->turn->config->realm,
                    (struct part){password, strlen(password)}, ret_key) == 0;
}

// ---- checks ----

// "If the MESSAGE-INTEGRITY-SHA256 attribute is present, compute the value ... as described in
// Section 14.6 ... Otherwise ... the value for the MESSAGE-INTEGRITY attribute".
static bool verifies(struct request *r, const struct key *key)
{
    bool ok = stun_has(r->msg, STUN_INTEGRITY_SHA256)
                  ? stun_check_sha256(r->msg, key->bytes, key->len)
                  : stun_check_integrity(r->msg, key->bytes, key->len);
    if (ok)
        r->key = *key;
    return ok;
}

static bool secret_verifies(struct request *r, bool sha256)
{
    struct key key;
    for (unsigned i = 0; i < r->turn->config->secrets; i++) {
        const struct turn_secret *secret = &r->turn->config->secret[i];
        if (secret->until != 0 && r->now >= secret->until)
            continue;
        if (rest_key(r, secret->text, sha256, &key) && verifies(r, &key))
            return true;
    }
    return false;
}

// The allocation keeps the key that made it, so that a call survives the rotation of secrets.
static bool own_key_verifies(struct request *r, bool sha256)
{
    const struct allocation *a = r->allocation;
    return a && request_same_user(r, a) && a->key.len == (sha256 ? SHA256_LEN : MD5_LEN) &&
           verifies(r, &a->key);
}

// Fills in the username. Returns the number of a static user, -1 if it is none, -2 if it is no
// name at all.
static int find_user(struct request *r)
{
    const struct stun_view *name = &r->msg->attr[STUN_USERNAME];
    if (!name->data) {
        int user = user_by_hash(r->turn, r->msg->attr[STUN_USERHASH].data);
        if (user < 0)
            return -2;
        const char *text = r->turn->config->user[user].name;
        r->username = r->identity = (struct part){text, strlen(text)};
        return user;
    }
    if (name->len == 0 || name->len > USERNAME_MAX || memchr(name->data, 0, name->len))
        return -2;
    r->username = r->identity = (struct part){name->data, name->len};
    return user_by_name(r->turn, r->username);
}

// A credential serves a little longer where there is a call that would end with it; a ticket or a
// peer's connection may be that of an allocation on another worker.
static bool has_grace(const struct request *r)
{
    return (r->allocation && request_same_user(r, r->allocation)) ||
           (r->method->number == STUN_REFRESH && stun_has(r->msg, STUN_MOBILITY_TICKET)) ||
           r->method->number == STUN_CONNECTION_BIND;
}

// Whose username is a bare expiry counts by his address: in IPv6 by its /64, of which every host
// has as many as it likes.
static void name_by_address(struct request *r)
{
    struct addr host = r->client->remote;
    char text[ADDR_TEXT_MAX];
    bool v6 = host.family == FAMILY_V6;
    if (v6)
        memset(host.ip + 8, 0, 8);
    int len = snprintf(r->address, sizeof r->address, "%s%s", addr_format_ip(&host, text),
                       v6 ? "/64" : "");
    r->identity = (struct part){r->address, (size_t)len};
}

static int check_user(struct request *r, bool sha256)
{
    uint64_t expiry;
    int user = find_user(r);
    if (user == -2)
        return fail(r, 401, COUNTER_TURN_AUTH_USER);
    bool rest = user < 0 && split_rest(r->username, &expiry, &r->identity);
    if (rest && r->identity.len == 0)
        name_by_address(r);
    if (rest && has_expired(r, expiry, has_grace(r)))
        return fail(r, 401, COUNTER_TURN_AUTH_EXPIRED);
    if (own_key_verifies(r, sha256))
        return 0;
    const struct user_key *key = user < 0 ? NULL : &r->turn->user_key[user];
    if (key && verifies(r, sha256 ? &key->sha256 : &key->md5))
        return 0;
    if (rest && secret_verifies(r, sha256))
        return 0;
    return fail(r, 401, rest || key ? COUNTER_TURN_AUTH_INTEGRITY : COUNTER_TURN_AUTH_USER);
}

// The size that the challenge would have.
static size_t challenge_size(struct request *r)
{
    error_write(r, 401);
    return writer_used(&r->reply) + (stun_has(r->msg, STUN_FINGERPRINT) ? 8 : 0);
}

// What a request without credentials gets: RFC 8489 section 9.2.4 wants 401. An unverified source
// gets it for whatever clients begin with, and otherwise only if it is no longer than the request,
// because those requests are what a victim's address would be flooded with.
static int challenge(struct request *r)
{
    count(r->turn, COUNTER_TURN_AUTH_NONE);
    bool lost = r->method->needs_allocation && !r->binding;
    // "prosodyctl check turn" begins with an Allocate that is a header and nothing else.
    bool odd = !r->binding && r->method->sign != STUN_ATTR_COUNT &&
               !stun_has(r->msg, r->method->sign) && r->msg->len > STUN_HEADER_LEN;
    // Only a mobile client could have use for a nonce without an allocation.
    if (lost && stun_has(r->msg, STUN_MOBILITY_TICKET))
        return 401;
    if (r->client->transport != TURN_UDP || (!lost && !odd) || challenge_size(r) <= r->msg->len)
        return 401;
    // RFC 8656 section 5 wants 437 here, and that is a third of a challenge.
    if (lost)
        return 437;
    count(r->turn, COUNTER_TURN_DROP_AMPLIFIER);
    return NO_ANSWER;
}

// RFC 8489 section 9.2.4, third check: nobody on the path may take SHA-256 away unnoticed. Returns
// 0 or 400.
static int choose_algorithm(struct request *r, bool *ret_sha256)
{
    const struct stun_view *one = &r->msg->attr[STUN_PASSWORD_ALGORITHM];
    const struct stun_view *list = &r->msg->attr[STUN_PASSWORD_ALGORITHMS];
    r->sha256 = *ret_sha256 = false;
    // "If the request contains neither ... processed as though PASSWORD-ALGORITHM were MD5."
    if (!nonce_offers_algorithms(&r->msg->attr[STUN_NONCE]) || (!one->data && !list->data))
        return 0;
    if (!one->data || !list->data || list->len != sizeof auth_algorithms ||
        memcmp(list->data, auth_algorithms, sizeof auth_algorithms) != 0 || one->len != 4)
        return fail(r, 400, COUNTER_TURN_AUTH_ALGORITHM);
    bool sha256 = memcmp(one->data, auth_algorithms, 4) == 0;
    if (!sha256 && memcmp(one->data, auth_algorithms + 4, 4) != 0)
        return fail(r, 400, COUNTER_TURN_AUTH_ALGORITHM);
    // "Any response generated by the server MUST include the MESSAGE-INTEGRITY-SHA256 attribute
    // ... unless ... the request contained neither".
    r->sha256 = true;
    *ret_sha256 = sha256;
    return 0;
}

int auth_request(struct request *r)
{
    bool sha256;
    const struct stun_msg *msg = r->msg;
    if (!stun_has(msg, STUN_MESSAGE_INTEGRITY) && !stun_has(msg, STUN_INTEGRITY_SHA256))
        return challenge(r);
    if ((!stun_has(msg, STUN_USERNAME) && !stun_has(msg, STUN_USERHASH)) ||
        !stun_has(msg, STUN_REALM) || !stun_has(msg, STUN_NONCE))
        return fail(r, 400, COUNTER_TURN_AUTH_INCOMPLETE);
    int code = choose_algorithm(r, &sha256);
    if (code == 0)
        code = check_user(r, sha256);
    if (code != 0)
        return code;
    if (!nonce_valid(r->turn, r->client, &msg->attr[STUN_NONCE], r->now))
        return fail(r, 438, COUNTER_TURN_AUTH_NONCE);
    r->authenticated = true;
    return 0;
}
