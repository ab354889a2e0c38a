// SPDX-License-Identifier: ISC
// A switchboard for one struct signal: stanzas go in as text, what comes out is kept as elements, a
// scripted relay takes the orders, and time moves when the test says so. Alice lives in a served
// domain, Bob too, Carol in another; the component is relay.example.org.
#pragma once

#include "signal/signal.h"

#include <stdarg.h>

#define BOARD_SENT  4096
#define BOARD_PATHS 256

#define ALICE    "alice@example.org/a"
#define BOB      "bob@example.org/b"
#define ALICE_AS "alice\\40example.org@relay.example.org/a" // as Bob sees her
#define BOB_AS   "bob\\40example.org@relay.example.org/b"   // as Alice sees him

struct board_path { // as the scripted relay knows it
    struct order open;
    bool answered, closed;
    char ufrag[SIDE_COUNT][64]; // the last that was ordered
    char pwd[SIDE_COUNT][64];
    unsigned credentials[SIDE_COUNT]; // how many times
    struct addr peer[SIDE_COUNT];
    unsigned peers[SIDE_COUNT];
    struct addr relay[SIDE_COUNT][2];
};

struct board {
    struct signal *signal;
    struct counters counters;
    usec_t now;
    uint64_t random;
    struct xml *sent[BOARD_SENT]; // owned until taken
    unsigned sents, taken;
    struct xml *last; // the stanza taken last; owned
    struct board_path path[BOARD_PATHS];
    unsigned paths;
    uint64_t snapshot[64]; // tokens that wait for an answer
    unsigned snapshots;
    bool late;                      // openings wait for board_opened()
    bool mute;                      // no snapshots are answered
    uint16_t port;                  // added to those of the relay
    int fail;                       // openings fail with this
    int order_error, send_error;    // what the functions of the world return
    unsigned fail_order, fail_send; // the k-th call fails, counted from 1; 0: none
    unsigned orders, sends;         // calls so far
    bool no_disco;                  // disco#info of a session's own is left to the test
    bool restarts;                  // the signalling is restarted whenever it has nothing to do
    void (*enter)(void);            // around every call of the signalling, if not NULL
    void (*leave)(void);
    const char *client[SIDE_COUNT]; // name of the client of Alice and Bob, in that answer
    unsigned ended;                 // calls
    char ended_reason[64];
    unsigned ended_views;
    struct call_report ended_report; // its pointers are dead
};

struct signal_config board_config(void);
struct board *board_new(const struct signal_config *config); // NULL config: board_config()
// NULL without memory; board_new() asserts.
struct board *board_try(const struct signal_config *config);
// Asserts that no call, no path and no figure is left.
void board_free(struct board *b);
void board_drop(struct board *b); // without the assertions

// A stanza arrives. The root needs no xmlns.
void board_put(struct board *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void board_put_xml(struct board *b, const struct xml *stanza);
void board_wait(struct board *b, usec_t time); // ticking on the way
void board_settle(struct board *b);            // lets the relay and the clients answer

// What was sent, in order.
struct xml *board_take(struct board *b); // asserts that there is one; borrowed until the next
struct xml *board_peek(struct board *b); // NULL: none
void board_none(struct board *b);        // asserts that there is none
void board_clear(struct board *b);       // takes all
// Takes one and asserts that it is this; '*' as the value of an attribute stands for any.
struct xml *board_expect(struct board *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// Takes one and asserts that it is the empty result, or an error with these conditions, that
// answers the IQ 'id' of 'to'.
void board_expect_result(struct board *b, const char *to, const char *id);
void board_expect_error(struct board *b, const char *to, const char *id, const char *condition,
                        const char *jingle);
// The receiver of the stanza taken last answers it.
void board_result(struct board *b);
void board_error(struct board *b, const char *condition);

// The scripted relay.
void board_opened(struct board *b, unsigned index); // answers a late opening
void board_failed(struct board *b, unsigned index, int error);
void board_event(struct board *b, unsigned index, enum event_kind kind);
void board_tick(struct board *b);
void board_answer_all(struct board *b); // every client answers what it was asked, and the rest goes
unsigned board_open_paths(const struct board *b);
uint64_t board_counter(const struct board *b, enum counter id);

// ---- a restart of the signalling (board_restart.c)

// With BOARD_RESTARTS in the environment every board is restarted after each step of each test.
void board_restart(struct board *b);
bool board_may_restart(const struct board *b); // unnoticed
// The same in steps.
char *board_save(struct board *b);   // the caller frees it
void board_replace(struct board *b); // by a new one, without any state
int board_restore(struct board *b, const char *text, unsigned *ret_lost);
void board_keep(struct board *b); // the relay has every path still

// ---- stanzas

struct xml *parse(const char *format, ...) __attribute__((format(printf, 1, 2)));
struct xml *parse_va(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));
struct xml *sample(const char *name); // of tests/data/stanzas; the caller frees it
char *text_of(const struct xml *x);   // the caller frees it
// A Jingle IQ of Alice to Bob, or of Bob to Alice, with an id of its own.
void alice(struct board *b, const char *id, const char *action, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void bob(struct board *b, const char *id, const char *action, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct xml *content_of(const struct xml *iq, const char *name); // asserts
struct xml *transport_of(const struct xml *iq, const char *name);
// The candidate of the relay for this component and family in the transport; NULL: none.
struct xml *relay_candidate(const struct xml *transport, unsigned component, enum family family);
unsigned count_children(const struct xml *x, const char *name);

// A call of one audio content "0" in ICE, offered, answered by the client, and accepted.
void board_offer(struct board *b);   // Bob's client has the offer and has answered it
void board_accept(struct board *b);  // the rest
void board_hang_up(struct board *b); // Alice does, and Bob's client answers

// ---- a server that diverts (board_divert.c)

// It hands over this stanza, under the id d1.
void board_divert_xml(struct board *b, const char *server, const struct xml *stanza);
void board_divert(struct board *b, const char *server, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// example.org hands over a Jingle IQ with the id j1 of session s1.
void divert(struct board *b, const char *from, const char *to, const char *action,
            const char *format, ...) __attribute__((format(printf, 5, 6)));
// Takes the answer and asserts what it is. The stanza in it (of several the first) is borrowed
// until the next is taken.
void board_expect_passed(struct board *b);
struct xml *board_sent_on(struct board *b);
struct xml *board_answered(struct board *b);
