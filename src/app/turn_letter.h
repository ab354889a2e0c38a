// SPDX-License-Identifier: ISC
// What the workers of the TURN server write to each other: a message whose client has its
// allocation elsewhere, an answer for a connection elsewhere, the end of a connection, and what
// belongs to TCP allocations.
#pragma once

#include "turn/turn.h"

enum turn_letter_kind {
    TURN_LETTER_MESSAGE, // of a client, to the worker that has its allocation
    TURN_LETTER_ANSWER,  // to a client, to the worker that has its connection
    TURN_LETTER_GONE,    // the client's connection has ended
    // To the worker that has sent a message: its client has nothing here after all. With the
    // message, if it was not answered and is that worker's to answer.
    TURN_LETTER_BACK,
    TURN_LETTER_ASK, // to the same worker: has the client anything here still? BACK: no
    // Of TCP allocations (turn_tcp.h):
    TURN_LETTER_PEER_JOIN,  // the peer's 'fd' is to become one with the client's connection
    TURN_LETTER_PEER_PART,  // and no more
    TURN_LETTER_PEER_ENDED, // back to the worker that has the allocation
};

struct turn_letter {
    enum turn_letter_kind kind;
    unsigned from;   // the worker that has sent it
    uint32_t serial; // of the message, as the core there counts
    struct turn_client client;
    uint8_t *data; // owned by the letter; with room before and behind, NULL: none
    size_t len;
    uint32_t number; // of the peer's connection
    uint64_t group;  // that shares its rate; only with TURN_LETTER_PEER_JOIN
    int fd;          // owned by the letter; likewise
    uint64_t bytes_in, bytes_out;
};

void turn_letter_free(struct turn_letter *letter); // one that was not taken
// Copies the data, with the room that a core wants around a message. Returns 0 or -ENOMEM.
int turn_letter_set_data(struct turn_letter *letter, const uint8_t *data, size_t len);
// What was set; NULL if nothing was.
uint8_t *turn_letter_data(const struct turn_letter *letter);
