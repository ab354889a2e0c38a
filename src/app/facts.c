// SPDX-License-Identifier: ISC
// See facts.h.
#include "facts.h"

#include "config_use.h"
#include "platform/tls.h"
#include "turn/credential.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define IDENTITY       "doctor" // whose allocation it is, in logs and quotas
#define CREDENTIAL_SEC 300

static json_t *address_json(const struct config *config, unsigned i)
{
    char bound[ADDR_TEXT_MAX], advertised[ADDR_TEXT_MAX];
    const struct addr *address = &config->relay.address[i].addr;

    if (address->family == FAMILY_NONE)
        return json_null();
    addr_format_ip(address, bound);
    addr_format_ip(&config->relay.advertise[i].addr, advertised);
    return json_pack("{s:s, s:s}", "bound", bound, "advertised", advertised);
}

static json_t *descriptors_json(const struct facts_sources *s)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return json_pack("{s:I, s:I}", "limit", (json_int_t)limit.rlim_cur, "needed",
                     (json_int_t)config_descriptors(s->config, s->workers));
}

static json_t *turn_json(const struct facts_sources *s)
{
    struct turn_credential credential;
    json_t *turn;

    if (!s->turn)
        return json_null();
    turn = json_pack("{s:b, s:b}", "tls", s->turn->tls != NULL, "generated",
                     s->turn->generated_secret != NULL);
    if (turn_credential_make(turn_server_secret(s->turn), IDENTITY, time(NULL) + CREDENTIAL_SEC,
                             &credential) == 0) {
        json_object_set_new(turn, "username", json_string(credential.username));
        json_object_set_new(turn, "password", json_string(credential.password));
    }
    if (s->turn->tls)
        json_object_set_new(turn, "expires", json_integer(tls_expires(s->turn->tls)));
    return turn;
}

static json_t *fastpath_json(const struct facts_sources *s)
{
    if (s->config->relay.fastpath == CONFIG_FASTPATH_OFF)
        return json_pack("{s:s}", "state", "off");
    if (!s->fastpath)
        return json_pack("{s:s}", "state", "missing");
    return json_pack("{s:s, s:i}", "state", "on", "interfaces",
                     (int)fastpath_interfaces(s->fastpath));
}

json_t *facts_json(const struct facts_sources *s)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:b, s:i, s:o, s:o, s:o, s:o, s:o}", "version",
                     RELAYD_VERSION, "configuration", s->path, "pid", (int)getpid(), "uid",
                     (int)geteuid(), "gid", (int)getegid(), "connected", (int)s->connected,
                     "workers", (int)s->workers, "ipv4", address_json(s->config, 0), "ipv6",
                     address_json(s->config, 1), "descriptors", descriptors_json(s), "turn",
                     turn_json(s), "fastpath", fastpath_json(s));
}
