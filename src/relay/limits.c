// SPDX-License-Identifier: ISC
// Other limits for a relay that is at work.
#include "internal.h"

void relay_set_limits(struct relay *relay, const struct relay_limits *limits,
                      const struct prefix_list *allow)
{
    relay->config.limits = *limits;
    relay->config.allow = *allow;
    for (struct map_node *n = map_each(&relay->paths, NULL); n; n = map_each(&relay->paths, n))
        path_schedule(container_of(n, struct path, node));
}
