// SPDX-License-Identifier: ISC
// What the main thread tells the forwarding threads, and asks them.
#include "workers_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Whatever the numbers of calls have in common, such as being odd (the factor is 2^64 / phi).
static struct worker *worker_of(struct workers *workers, uint64_t call)
{
    if (workers->shared[0].family != FAMILY_NONE || workers->shared[1].family != FAMILY_NONE)
        return &workers->worker[0];
    return &workers->worker[(call * 0x9e3779b97f4a7c15u >> 32) % workers->count];
}

// Either all of them are told, and will answer, or none: what both takes is there before.
static int ask(struct workers *workers, struct worker *first, unsigned count,
               struct message *message)
{
    struct {
        struct mailbox_slot *question, *answer;
    } *slots = calloc(count, sizeof *slots);
    bool there = slots;

    for (unsigned i = 0; i < count && there; i++) {
        slots[i].question = mailbox_slot_new(first[i].orders);
        slots[i].answer = mailbox_slot_new(workers->events);
        there = slots[i].question && slots[i].answer;
    }
    for (unsigned i = 0; i < count && slots; i++) {
        if (there) {
            message->answer = slots[i].answer;
            mailbox_post_sure(first[i].orders, slots[i].question, message);
        } else {
            mailbox_slot_free(slots[i].question);
            mailbox_slot_free(slots[i].answer);
        }
    }
    free(slots);
    return there ? 0 : -ENOMEM;
}

static int ask_all(struct workers *workers, struct message *message)
{
    return ask(workers, workers->worker, workers->count, message);
}

int workers_order(struct workers *workers, const struct order *order)
{
    struct message message = {.kind = MESSAGE_ORDER, .u.order = *order};
    struct worker *worker = worker_of(workers, order->call);

    if (order->kind != ORDER_SNAPSHOT)
        return mailbox_post(worker->orders, &message);
    return order->call ? ask(workers, worker, 1, &message) : ask_all(workers, &message);
}

int workers_list_turn(struct workers *workers, uint64_t token)
{
    struct message message = {.kind = MESSAGE_LIST_TURN, .token = token};

    return ask_all(workers, &message);
}

int workers_renew(struct workers *workers, const struct workers_renewal *renewal, uint64_t token)
{
    struct message message = {.kind = MESSAGE_RENEW, .token = token, .u.renewal = *renewal};

    return ask_all(workers, &message);
}

int workers_end_user(struct workers *workers, const char *identity, uint64_t token)
{
    struct message message = {.kind = MESSAGE_END_USER, .token = token};
    size_t len = strlen(identity);

    if (len >= WORKERS_IDENTITY_MAX)
        return -ENAMETOOLONG;
    memcpy(message.u.identity, identity, len + 1);
    return ask_all(workers, &message);
}

int workers_echo(struct workers *workers, uint64_t id, const struct media_terms *terms)
{
    struct message message = {.kind = MESSAGE_ECHO, .u.echo = {.id = id}};

    if (terms) {
        message.u.echo.terms = malloc(sizeof *terms);
        if (!message.u.echo.terms)
            return -ENOMEM;
        *message.u.echo.terms = *terms;
    }
    if (mailbox_post(workers->worker[0].orders, &message) < 0) {
        free(message.u.echo.terms);
        return -ENOMEM;
    }
    return 0;
}
