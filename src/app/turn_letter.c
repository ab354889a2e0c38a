// SPDX-License-Identifier: ISC
// See turn_letter.h.
#include "turn_letter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void turn_letter_free(struct turn_letter *letter)
{
    if (letter->kind == TURN_LETTER_PEER_JOIN && letter->fd >= 0)
        close(letter->fd);
    free(letter->data);
    *letter = (struct turn_letter){0};
}

int turn_letter_set_data(struct turn_letter *letter, const uint8_t *data, size_t len)
{
    letter->data = malloc(TURN_HEADROOM + len + TURN_TAILROOM);
    if (!letter->data)
        return -ENOMEM;
    memcpy(letter->data + TURN_HEADROOM, data, len);
    letter->len = len;
    return 0;
}

uint8_t *turn_letter_data(const struct turn_letter *letter)
{
    return letter->data ? letter->data + TURN_HEADROOM : NULL;
}
