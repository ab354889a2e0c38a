// SPDX-License-Identifier: ISC
// See allocation_json.h.
#include "allocation_json.h"

#include "base/mask.h"

static json_t *relayed_to_json(const struct turn_view *view)
{
    json_t *list = json_array();

    for (int f = 0; f < 2; f++) {
        if (view->relayed[f].family != FAMILY_NONE)
            json_array_append_new(list, json_own_addr(&view->relayed[f]));
    }
    return list;
}

static json_t *traffic_to_json(uint64_t packets, uint64_t bytes)
{
    return json_pack("{s:I, s:I}", "packets", (json_int_t)packets, "bytes", (json_int_t)bytes);
}

json_t *allocation_to_json(const struct turn_view *view, struct clock_offset clock, usec_t now)
{
    static const char *const transports[] = {
        [TURN_UDP] = "udp", [TURN_TCP] = "tcp", [TURN_TLS] = "tls", [TURN_DTLS] = "dtls"};
    struct mask username, identity;
    usec_t left = view->expires > now ? view->expires - now : 0;

    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o}",
                     "username", mask_user(view->username, &username), "identity",
                     mask_user(view->identity, &identity), "transport",
                     transports[view->client.transport], "client", json_addr(&view->client.remote),
                     "away", view->client.link == NULL, "relayed", relayed_to_json(view), "opened",
                     json_time(view->opened, clock), "expires_s", (json_int_t)(left / USEC_PER_SEC),
                     "permissions", (json_int_t)view->permissions, "channels",
                     (json_int_t)view->channels, "in_kernel", (json_int_t)view->offloaded,
                     "from_peers", traffic_to_json(view->packets_in, view->bytes_in), "to_peers",
                     traffic_to_json(view->packets_out, view->bytes_out));
}
