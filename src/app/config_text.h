// SPDX-License-Identifier: ISC
// The text of a configuration: a file with everything it includes, as one piece, and for each of
// its lines the place it came from.
//
// libconfig could read files and their includes itself, but ends the process when an included file
// turns out to be a directory, and does not say in which line a text or comment begins that is
// never closed.
#pragma once

#include "config.h"

struct config_line {
    const char *file; // one of config_text.file
    unsigned number;
};

struct config_text { // zeroed memory is an empty text
    struct buf text;
    struct config_line *line; // owned: 'lines' of them
    size_t lines;
    size_t lines_size;
    char **file; // owned names
    size_t files;
};

// Return 0, -EINVAL with an error in 'errors', or -ENOMEM. @include "FILE" must stand alone in its
// line; FILE is relative to the file that includes it.
int config_text_read(struct config_text *text, const char *path, struct config_errors *errors);
// From memory; includes are refused.
int config_text_set(struct config_text *text, const char *name, const char *data, size_t len,
                    struct config_errors *errors);
void config_text_free(struct config_text *text);

// Where line 'number' (from 1) of the text came from; the last one for numbers beyond.
struct config_line config_text_line(const struct config_text *text, unsigned number);
// That line itself, without its end. Returns its length.
size_t config_text_content(const struct config_text *text, unsigned number,
                           const char **ret_content);

// Reads a regular file of at most 'max' bytes. Returns 0, -EISDIR, -EINVAL (neither file nor
// directory), -EFBIG or what the system said. The caller frees '*ret_data', which is terminated.
int config_read_whole(const char *path, size_t max, char **ret_data, size_t *ret_len);
