// SPDX-License-Identifier: ISC
// "Did you mean ...?": how far one word is from another.
#pragma once

// The fewest letters to insert, delete, replace or swap with their neighbour that make 'b' of 'a'.
// Words of more than 63 bytes are far from everything.
unsigned nearest_distance(const char *a, const char *b);
// The distance up to which it is worth asking about a word.
unsigned nearest_limit(const char *word);
