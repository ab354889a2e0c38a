// SPDX-License-Identifier: ISC
// Any text as a configuration: either it is refused with at least one error, or what was read can
// be printed, read again, and printed alike.
#include "config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

// libconfig's grammar has no destructors: at a syntax error it loses the text token in hand, a few
// bytes per refused file. Nothing of ours is ever allocated by a call from inside libconfig, so
// that this hides no leak of our own.
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so\n";
}

static void check(bool right)
{
    if (!right)
        abort();
}

// Reads 'text'; returns what --print-config would print, or NULL if it was refused.
static char *load_and_print(const char *text, size_t len)
{
    struct config config = {0};
    struct config_errors errors = {0};
    struct buf out = {0};
    int r = config_load_text("fuzz", text, len, &config, &errors);
    check((r == 0) == (errors.count == errors.warnings));
    if (r == 0)
        config_print(&config, &out);
    config_free(&config);
    config_errors_free(&errors);
    return buf_take(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); // exactly as long as it is, for the sanitizer to see overreads
    check(text);
    memcpy(text, data, size);
    text[size] = '\0';
    char *first = load_and_print(text, size);
    char *second = first ? load_and_print(first, strlen(first)) : NULL;
    check(!first || (second && strcmp(first, second) == 0));
    free(first);
    free(second);
    free(text);
    return 0;
}
