// SPDX-License-Identifier: ISC
// The flows of the fast path and their ways out; see fastpath_flow.h.
#include "fastpath_flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    BURST_MIN = 65536,      // bytes, saved up by a limit; a train of datagrams fits
    BURST_PER_SECOND = 8,   // or this part of a second's, if it is more
    REST = 1 * 1000 * 1000, // usec between taking back and giving up the place
};

// ---- from the core's terms to the kernel's ----

static void write_ip(__u32 ip[4], const struct addr *addr)
{
    memcpy(ip, addr->ip, sizeof addr->ip);
}

static struct fast_key key_of(const struct offload_flow *wanted)
{
    struct fast_key key = {
        .from_port = htons(wanted->from.port),
        .at_port = htons(wanted->at.port),
        .channel = htons(wanted->channel_in),
        .family = wanted->from.family,
    };

    write_ip(key.from, &wanted->from);
    write_ip(key.at, &wanted->at);
    return key;
}

static bool is_address(const struct addr *addr)
{
    return (addr->family == FAMILY_V4 || addr->family == FAMILY_V6) && addr->port != 0;
}

static bool is_flow(const struct offload_flow *wanted)
{
    return is_address(&wanted->from) && is_address(&wanted->at) && is_address(&wanted->leave) &&
           is_address(&wanted->to) && wanted->from.family == wanted->at.family &&
           wanted->leave.family == wanted->to.family;
}

static struct fast_rule rule_of(const struct offload_flow *wanted, uint64_t random)
{
    struct fast_rule rule = {
        .until = wanted->until > UINT64_MAX / 1000 ? UINT64_MAX : wanted->until * 1000,
        .flags = wanted->media ? FAST_MEDIA : 0,
        .way = {.leave_port = htons(wanted->leave.port),
                .to_port = htons(wanted->to.port),
                .channel = htons(wanted->channel_out),
                .family = wanted->to.family,
                .label = (__u32)random | 1},
    };

    write_ip(rule.way.leave, &wanted->leave);
    write_ip(rule.way.to, &wanted->to);
    return rule;
}

static void report_of(const struct fast_flow *flow, struct offload_report *ret_report)
{
    *ret_report = (struct offload_report){
        .packets = flow->figures.packets,
        .bytes = flow->figures.bytes,
        .media = flow->figures.media,
        .limited = flow->figures.limited,
        .last = flow->figures.last,
        .qualities = flow->qualities,
    };
    memcpy(ret_report->quality, flow->quality, sizeof flow->quality);
}

// ---- the table ----

int flow_table_init(struct flow_table *table, const struct fast_kernel *kernel, unsigned max)
{
    uint8_t key[16];
    int rc;

    *table = (struct flow_table){.kernel = kernel, .max = max, .ask = -1};
    if (getrandom(key, sizeof key, 0) != sizeof key)
        abort(); // so few bytes are never interrupted or short (getrandom(2))
    map_init(&table->flows, key);
    map_init(&table->groups, key);
    TAILQ_INIT(&table->live);
    TAILQ_INIT(&table->dead);
    rc = net_open();
    if (rc < 0)
        return rc;
    table->ask = rc;
    return net_links_read(table->ask, &table->links);
}

static void free_list(struct flow_list *list)
{
    for (struct flow *f; (f = TAILQ_FIRST(list));) {
        TAILQ_REMOVE(list, f, entry);
        free(f);
    }
}

void flow_table_free(struct flow_table *table)
{
    struct map_node *next;

    if (!table->kernel)
        return;
    free_list(&table->live);
    free_list(&table->dead);
    for (struct map_node *n = map_each(&table->groups, NULL); n; n = next) {
        next = map_each(&table->groups, n);
        map_remove(&table->groups, n);
        free(container_of(n, struct flow_group, node));
    }
    map_free(&table->flows);
    map_free(&table->groups);
    net_links_free(&table->links);
    if (table->ask >= 0)
        close(table->ask);
    *table = (struct flow_table){.ask = -1};
}

static struct flow *find(const struct flow_table *table, const struct fast_key *key, uint64_t hash)
{
    for (struct map_node *n = map_first(&table->flows, hash); n; n = map_next(n)) {
        struct flow *f = container_of(n, struct flow, node);
        if (memcmp(&f->key, key, sizeof *key) == 0)
            return f;
    }
    return NULL;
}

// ---- limits ----

static struct flow_group *group_find(const struct flow_table *table, uint64_t id, uint64_t hash)
{
    for (struct map_node *n = map_first(&table->groups, hash); n; n = map_next(n)) {
        struct flow_group *g = container_of(n, struct flow_group, node);
        if (g->id == id)
            return g;
    }
    return NULL;
}

static int group_limit(const struct flow_table *table, struct flow_group *g, uint64_t rate,
                       usec_t now)
{
    uint64_t burst = rate / BURST_PER_SECOND;
    struct fast_limit limit = {.rate = rate, .last = now};
    int rc;

    if (g->rate == rate)
        return 0;
    limit.capacity = (burst < BURST_MIN ? BURST_MIN : burst) * USEC_PER_SEC;
    limit.fills_in = limit.capacity / rate + 1;
    limit.tokens = limit.capacity;
    rc = fast_kernel_limit(table->kernel, g->number, &limit);
    if (rc == 0)
        g->rate = rate;
    return rc;
}

static void group_leave(struct flow_table *table, struct flow_group *g)
{
    if (!g || --g->flows > 0)
        return;
    (void)fast_kernel_unlimit(table->kernel, g->number);
    map_remove(&table->groups, &g->node);
    free(g);
}

static struct flow_group *group_new(struct flow_table *table, uint64_t id, uint64_t hash)
{
    struct flow_group *g = calloc(1, sizeof *g);

    if (!g || map_insert(&table->groups, &g->node, hash) < 0) {
        free(g);
        return NULL;
    }
    g->id = id;
    g->number = ++table->next_group;
    return g;
}

// One flow more in the group; none when there is no limit.
static int group_join(struct flow_table *table, const struct offload_flow *wanted, usec_t now,
                      struct flow_group **ret_group)
{
    uint64_t hash = map_hash(&table->groups, &wanted->group, sizeof wanted->group);
    struct flow_group *g = NULL;
    int rc = 0;

    if (wanted->bytes_per_second) {
        g = group_find(table, wanted->group, hash);
        if (!g)
            g = group_new(table, wanted->group, hash);
        if (!g)
            return -ENOMEM;
        g->flows++;
        rc = group_limit(table, g, wanted->bytes_per_second, now);
        if (rc < 0)
            group_leave(table, g);
    }
    if (rc == 0)
        *ret_group = g;
    return rc;
}

// ---- ways out ----

static int resolve(const struct flow_table *table, const struct addr *leave, const struct addr *to,
                   struct fast_way *way)
{
    struct net_way found;
    int rc = net_way(table->ask, &table->links, leave, to, &found);

    way->ifindex = 0;
    if (rc < 0)
        return rc;
    way->ifindex = (__u32)found.ifindex;
    way->mtu = found.mtu;
    memset(&way->hop, 0, sizeof way->hop);
    way->hop.nh_family = found.hop.family == FAMILY_V6 ? AF_INET6 : AF_INET;
    memcpy(way->hop.ipv6_nh, found.hop.ip, sizeof found.hop.ip);
    return 0;
}

// What resolve() finds; the rest of a way stays as it was put.
static bool same_hop(const struct fast_way *a, const struct fast_way *b)
{
    return a->ifindex == b->ifindex && a->mtu == b->mtu && a->hop.nh_family == b->hop.nh_family &&
           memcmp(a->hop.ipv6_nh, b->hop.ipv6_nh, sizeof a->hop.ipv6_nh) == 0;
}

int flow_ways_changed(struct flow_table *table)
{
    table->generation++;
    return net_links_read(table->ask, &table->links);
}

bool flow_ways_renew(struct flow_table *table, unsigned most)
{
    struct flow *f;

    while ((f = TAILQ_FIRST(&table->live)) && f->resolved != table->generation) {
        struct fast_way way = f->rule.way;
        if (most-- == 0)
            return true;
        (void)resolve(table, &f->leave, &f->to, &way);
        f->resolved = table->generation;
        TAILQ_REMOVE(&table->live, f, entry);
        TAILQ_INSERT_TAIL(&table->live, f, entry);
        if (same_hop(&way, &f->rule.way))
            continue;
        struct fast_rule rule = f->rule;
        rule.way = way;
        if (fast_kernel_order(table->kernel, &f->key, &rule) == 0)
            f->rule = rule; // else the next change, or look at all ways, tries again
    }
    return false;
}

// ---- put, read, take ----

static void begin_flow(struct fast_flow *flow, const struct fast_rule *rule,
                       const struct rtp_quality *quality, unsigned qualities)
{
    memset(flow, 0, sizeof *flow);
    flow->rule = *rule;
    if (qualities > OFFLOAD_SSRC_MAX)
        qualities = OFFLOAD_SSRC_MAX;
    if (qualities > 0)
        memcpy(flow->quality, quality, qualities * sizeof *quality);
    flow->qualities = qualities;
}

static int put_again(const struct flow_table *table, struct flow *f, const struct fast_rule *rule)
{
    return fast_kernel_order(table->kernel, &f->key, rule);
}

// Whose place in the kernel's map may be there still.
static int put_new(struct flow_table *table, struct flow *f, const struct fast_rule *rule,
                   const struct rtp_quality *quality, unsigned qualities)
{
    struct fast_flow flow;
    int rc;

    if (!rule->way.ifindex)
        return -EHOSTUNREACH;
    if (table->count >= table->max)
        return -ENOSPC;
    begin_flow(&flow, rule, quality, qualities);
    rc = f->taken ? fast_kernel_renew(table->kernel, &f->key, &flow)
                  : fast_kernel_insert(table->kernel, &f->key, &flow);
    if (rc < 0)
        return rc;
    if (f->taken)
        TAILQ_REMOVE(&table->dead, f, entry);
    f->taken = 0;
    f->live = true;
    f->resolved = table->generation;
    TAILQ_INSERT_TAIL(&table->live, f, entry);
    table->count++;
    return 0;
}

static struct flow *flow_new(struct flow_table *table, const struct fast_key *key, uint64_t hash)
{
    struct flow *f = calloc(1, sizeof *f);

    if (!f || map_insert(&table->flows, &f->node, hash) < 0) {
        free(f);
        return NULL;
    }
    f->key = *key;
    return f;
}

static void flow_forget(struct flow_table *table, struct flow *f)
{
    map_remove(&table->flows, &f->node);
    free(f);
}

// Without a way out, at first, a new flow is refused; one that is there waits for another way.
static int put(struct flow_table *table, struct flow *f, const struct offload_flow *wanted,
               const struct rtp_quality *quality, unsigned qualities, usec_t now)
{
    struct fast_rule rule = rule_of(wanted, f->node.hash);
    struct flow_group *group = NULL;
    int rc = group_join(table, wanted, now, &group);

    if (rc < 0)
        return rc;
    rule.group = group ? group->number : 0;
    (void)resolve(table, &wanted->leave, &wanted->to, &rule.way);
    rc = f->live ? put_again(table, f, &rule) : put_new(table, f, &rule, quality, qualities);
    if (rc < 0) {
        group_leave(table, group);
        return rc;
    }
    group_leave(table, f->group);
    f->group = group;
    f->rule = rule;
    f->leave = wanted->leave;
    f->to = wanted->to;
    return 0;
}

int flow_put(struct flow_table *table, const struct offload_flow *wanted,
             const struct rtp_quality *quality, unsigned qualities, usec_t now)
{
    struct fast_key key = key_of(wanted);
    uint64_t hash = map_hash(&table->flows, &key, sizeof key);
    struct flow *f;
    int rc;

    if (!is_flow(wanted))
        return -EINVAL;
    flow_bury(table, now);
    f = find(table, &key, hash);
    if (!f)
        f = flow_new(table, &key, hash);
    if (!f)
        return -ENOMEM;
    rc = put(table, f, wanted, quality, qualities, now);
    if (!f->live && !f->taken)
        flow_forget(table, f);
    return rc;
}

int flow_take(struct flow_table *table, const struct offload_flow *wanted,
              struct offload_report *ret_report, usec_t now)
{
    struct fast_key key = key_of(wanted);
    struct fast_flow flow = {0};
    struct flow *f;
    int rc;

    flow_bury(table, now);
    f = find(table, &key, map_hash(&table->flows, &key, sizeof key)); // of those that are left
    if (!f || !f->live)
        return -ENOENT;
    f->rule.flags |= FAST_OFF;
    // Should the kernel lack the memory to say it, the place goes at once, as the lesser evil.
    rc = fast_kernel_order(table->kernel, &key, &f->rule);
    (void)fast_kernel_read(table->kernel, &key, &flow);
    if (rc < 0)
        (void)fast_kernel_delete(table->kernel, &key);
    report_of(&flow, ret_report);
    group_leave(table, f->group);
    f->group = NULL;
    f->live = false;
    f->taken = now;
    TAILQ_REMOVE(&table->live, f, entry);
    TAILQ_INSERT_TAIL(&table->dead, f, entry);
    table->count--;
    return 0;
}

int flow_read(const struct fast_kernel *kernel, const struct offload_flow *wanted,
              struct offload_report *ret_report)
{
    struct fast_key key = key_of(wanted);
    struct fast_flow flow;
    int rc = fast_kernel_read(kernel, &key, &flow);

    if (rc == 0 && flow.rule.flags & FAST_OFF)
        rc = -ENOENT;
    if (rc == 0)
        report_of(&flow, ret_report);
    return rc;
}

void flow_bury(struct flow_table *table, usec_t now)
{
    for (struct flow *f; (f = TAILQ_FIRST(&table->dead)) && now - f->taken >= REST;) {
        (void)fast_kernel_delete(table->kernel, &f->key);
        TAILQ_REMOVE(&table->dead, f, entry);
        flow_forget(table, f);
    }
}
