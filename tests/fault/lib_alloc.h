// SPDX-License-Identifier: ISC
// Makes the k-th allocation of the project's own code fail. The linker hands malloc() and its kin
// to this file (--wrap in tests/CMakeLists.txt); libraries keep theirs.
#pragma once

#include <stdbool.h>

// The k-th allocation from now on fails, counted from 1; 0: none.
void alloc_fail_at(unsigned k);
// Did it come to that? If not, the whole run passed untouched and the sweep is over.
bool alloc_failed(void);
unsigned alloc_count(void); // since alloc_fail_at()
