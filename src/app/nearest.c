// SPDX-License-Identifier: ISC
// The optimal string alignment distance, with the three rows of its matrix that are needed.
#include "nearest.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define WORD_MAX 64

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned nearest_distance(const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    unsigned row[3][WORD_MAX];
    if (n >= WORD_MAX || m >= WORD_MAX)
        return UINT_MAX;
    for (unsigned j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[i % 3];
        const unsigned *before = row[(i + 2) % 3];
        const unsigned *two_before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = least(before[j], now[j - 1]) + 1;
            now[j] = least(now[j], before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

unsigned nearest_limit(const char *word)
{
    size_t len = strlen(word);
    return len < 4 ? 1 : len < 9 ? 2 : 3;
}
