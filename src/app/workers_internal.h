// SPDX-License-Identifier: ISC
// What the files of the forwarding threads share. Nothing but workers*.c includes this.
#pragma once

#include "platform/mailbox.h"
#include "platform/udp.h"
#include "turn_worker.h"
#include "workers.h"

#include <pthread.h>
#include <stdatomic.h>

struct worker {
    struct workers *workers;
    pthread_t thread;
    bool running;
    _Atomic pid_t id; // of the thread, for the kernel; 0: it has not begun
    bool closing;     // messages are not acted upon any more
    struct event_base *base;
    struct event *tick;
    usec_t armed; // deadline of 'tick'
    struct mailbox *orders;
    struct mailbox_slot *answer; // to the order that is being done, if that is a question
    struct udp *udp;
    struct udp_reader path_reader; // of sockets that the relay core has bound
    struct udp_reader shared_reader;
    struct udp_socket *shared[2]; // of ICE paths alone; by family
    struct relay *relay;
    struct turn_worker *turn;        // NULL: off
    struct echo_worker *echo;        // NULL: none, or not on this worker
    struct workers_revival *revival; // while it is made anew
    struct counters counters;
    uint8_t apart[128]; // what the next worker's thread reads is in no cache line written here
};

struct workers {
    struct workers_handler handler;
    struct peers *peers;
    struct mailbox *events; // into the main loop
    struct addr shared[2];  // where the first worker's ICE paths are; family NONE: nowhere
    unsigned count;
    struct worker worker[];
};

// ---- what they are told

enum message_kind {
    MESSAGE_ORDER,
    MESSAGE_LETTER,
    MESSAGE_LIST_TURN,
    MESSAGE_RENEW,
    MESSAGE_END_USER,
    MESSAGE_ECHO,
    MESSAGE_STOP
};

struct message { // to a worker
    enum message_kind kind;
    uint64_t token;              // of a question
    struct mailbox_slot *answer; // to the question; owned
    union {
        struct order order;
        struct turn_letter letter;
        struct workers_renewal renewal;
        char identity[WORKERS_IDENTITY_MAX];
        struct {
            uint64_t id;
            struct media_terms *terms; // owned; NULL: it is to be closed
        } echo;
    } u;
};

// ---- workers.c

// What follows from the passing of time; in its thread, or while that does not run.
void worker_tick(struct worker *worker, usec_t now);
int worker_start(struct worker *worker); // its thread: 0 or -errno
void worker_stop(struct worker *worker); // waits for its end

// ---- workers_shared.c

// Opens the port that all ICE paths share, if there is to be one; where another program has it,
// paths have ports of their own. Returns 0 or -errno.
int workers_share_port(struct workers *workers, const struct workers_config *config);

// ---- workers_restart.c

// A path that was restored lives on. Without memory the signalling never hears of it, and closes
// it.
void worker_note_kept(struct worker *worker, const struct relay_event *event);
// Before the threads run; 'revival' may be NULL.
void workers_revive(struct workers *workers, struct workers_revival *revival);
