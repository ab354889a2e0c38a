// SPDX-License-Identifier: ISC
// Joins a configuration file and its includes into one text, with a note for each line of where it
// came from. Knows just enough of the syntax (texts and comments) to tell an @include from the same
// word inside a text or comment.
#include "config_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX          (1024 * 1024)
#define INCLUDE_DEPTH_MAX 8
#define DIGITS_MAX        9

enum state { PLAIN, IN_TEXT, IN_COMMENT };

struct scan { // of one file
    const char *file;
    bool from_memory;
    unsigned depth;
    unsigned number; // of the line in hand
    enum state state;
    unsigned opened; // the line in which the text or comment began
    unsigned digits; // that end at the character in hand
    bool overflow;   // a number is too long for libconfig, which would silently cut it to 32 bits
};

static int add_file(struct config_text *text, const char *path, unsigned depth,
                    const char *included_at, struct config_errors *errors);

static int add_name(struct config_text *text, const char *name, const char **ret_name)
{
    char **grown = reallocarray(text->file, text->files + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    text->file = grown;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    text->file[text->files++] = copy;
    *ret_name = copy;
    return 0;
}

static int add_line(struct config_text *text, const struct scan *scan, const char *line, size_t len)
{
    if (text->lines == text->lines_size) {
        size_t size = text->lines_size ? text->lines_size * 2 : 64;
        struct config_line *grown = reallocarray(text->line, size, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        text->line = grown;
        text->lines_size = size;
    }
    text->line[text->lines++] = (struct config_line){scan->file, scan->number};
    buf_add(&text->text, line, len);
    buf_puts(&text->text, "\n");
    return text->text.failed ? -ENOMEM : 0;
}

// Follows texts and comments through one line. In a text, a backslash quotes the next character.
static void scan_line(struct scan *scan, const char *line, size_t len)
{
    scan->digits = 0;
    for (size_t i = 0; i < len; i++) {
        char c = line[i];
        char next = i + 1 < len ? line[i + 1] : '\0';
        switch (scan->state) {
        case PLAIN:
            scan->digits = c >= '0' && c <= '9' ? scan->digits + 1 : 0;
            scan->overflow = scan->overflow || scan->digits > DIGITS_MAX;
            if (c == '#' || (c == '/' && next == '/'))
                return;
            if (c == '"' || (c == '/' && next == '*')) {
                scan->state = c == '"' ? IN_TEXT : IN_COMMENT;
                scan->opened = scan->number;
                i += c == '/';
            }
            break;
        case IN_TEXT:
            if (c == '"')
                scan->state = PLAIN;
            else if (c == '\\' && (next == '"' || next == '\\'))
                i++;
            break;
        case IN_COMMENT:
            if (c == '*' && next == '/') {
                scan->state = PLAIN;
                i++;
            }
            break;
        }
    }
}

static size_t skip_blank(const char *line, size_t len, size_t at)
{
    while (at < len && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r'))
        at++;
    return at;
}

static bool is_include(const char *line, size_t len)
{
    static const char word[] = "@include";
    size_t at = skip_blank(line, len, 0);
    return len - at >= sizeof(word) - 1 && memcmp(line + at, word, sizeof(word) - 1) == 0;
}

// The name between the quotes of an @include line. Returns 0, -EINVAL if the line has another
// shape, or -ENOMEM.
static int include_name(const char *line, size_t len, char **ret_name)
{
    size_t at = skip_blank(line, len, 0) + strlen("@include");
    at = skip_blank(line, len, at);
    if (at == len || line[at] != '"')
        return -EINVAL;
    const char *name = line + at + 1;
    const char *end = memchr(name, '"', len - at - 1);
    if (!end || end == name)
        return -EINVAL;
    size_t after = skip_blank(line, len, (size_t)(end - line) + 1);
    bool comment = after < len && (line[after] == '#' || line[after] == '/');
    if (after < len && !comment)
        return -EINVAL;
    char *copy = strndup(name, (size_t)(end - name));
    if (!copy)
        return -ENOMEM;
    *ret_name = copy;
    return 0;
}

// "x.conf" in "/etc/a/b.conf" is "/etc/a/x.conf".
static char *beside(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    struct buf path = {0};
    if (name[0] != '/' && slash)
        buf_add(&path, file, (size_t)(slash - file) + 1);
    buf_puts(&path, name);
    return buf_take(&path);
}

static int add_include(struct config_text *text, const struct scan *scan, const char *line,
                       size_t len, struct config_errors *errors)
{
    if (scan->from_memory) {
        config_errors_add(errors, false, "%s:%u: @include is possible only in a file", scan->file,
                          scan->number);
        return -EINVAL;
    }
    char *name = NULL;
    int r = include_name(line, len, &name);
    if (r == -EINVAL)
        config_errors_add(errors, false,
                          "%s:%u: @include: expected @include \"FILE\" alone in its line",
                          scan->file, scan->number);
    if (r < 0)
        return r;
    char *path = beside(scan->file, name);
    struct buf at = {0};
    buf_printf(&at, "%s:%u: @include \"%s\": ", scan->file, scan->number, name);
    free(name);
    r = path && !at.failed ? add_file(text, path, scan->depth + 1, at.data, errors) : -ENOMEM;
    buf_free(&at);
    free(path);
    return r;
}

static int blame_number(const struct scan *scan, struct config_errors *errors)
{
    config_errors_add(errors, false, "%s:%u: expected no number of more than %d digits", scan->file,
                      scan->number, DIGITS_MAX);
    return -EINVAL;
}

static int add_data(struct config_text *text, struct scan *scan, const char *data, size_t len,
                    struct config_errors *errors)
{
    if (text->text.len + len > TEXT_MAX || memchr(data, '\0', len)) {
        config_errors_add(errors, false, "%s: expected a text of at most 1 MiB without NUL bytes",
                          scan->file);
        return -EINVAL;
    }
    int r = 0;
    for (size_t at = 0; at < len && r == 0;) {
        const char *line = data + at;
        const char *end = memchr(line, '\n', len - at);
        size_t n = end ? (size_t)(end - line) : len - at;
        scan->number++;
        if (scan->state == PLAIN && is_include(line, n)) {
            r = add_include(text, scan, line, n, errors);
        } else {
            scan_line(scan, line, n);
            r = scan->overflow ? blame_number(scan, errors) : add_line(text, scan, line, n);
        }
        at += n + 1;
    }
    if (r == 0 && scan->state != PLAIN) {
        config_errors_add(errors, false, "%s:%u: the %s that begins here is never closed",
                          scan->file, scan->opened, scan->state == IN_TEXT ? "text" : "comment");
        r = -EINVAL;
    }
    return r;
}

static int check_regular(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

// Up to 'size' bytes; returns their number or -errno.
static int read_all(int fd, char *data, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, data + len, size - len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        len += n > 0 ? (size_t)n : 0;
    }
    return (int)len; // at most TEXT_MAX + 1
}

int config_read_whole(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    // O_NONBLOCK: a FIFO must not hold us up before we know that it is one.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    char *data = malloc(max + 2);
    int n = data ? check_regular(fd) : -ENOMEM;
    if (n == 0)
        n = read_all(fd, data, max + 1); // one byte more than allowed, to notice it
    close(fd);
    if (n > (int)max)
        n = -EFBIG;
    if (n < 0) {
        free(data);
        return n;
    }
    data[n] = '\0';
    *ret_data = data;
    *ret_len = (size_t)n;
    return 0;
}

static int add_file(struct config_text *text, const char *path, unsigned depth,
                    const char *included_at, struct config_errors *errors)
{
    if (depth > INCLUDE_DEPTH_MAX) {
        config_errors_add(errors, false, "%sexpected at most %d files that include one another",
                          included_at, INCLUDE_DEPTH_MAX);
        return -EINVAL;
    }
    struct scan scan = {.depth = depth};
    int r = add_name(text, path, &scan.file);
    if (r < 0)
        return r;
    char *data = NULL;
    size_t len = 0;
    r = config_read_whole(path, TEXT_MAX, &data, &len);
    if (r == -ENOMEM)
        return r;
    if (!data) {
        config_errors_add(errors, false, "%s%s: cannot be read: %s", included_at, path,
                          r == -EINVAL ? "not a regular file" : strerror(-r));
        return -EINVAL;
    }
    r = add_data(text, &scan, data, len, errors);
    explicit_bzero(data, len);
    free(data);
    return r;
}

int config_text_read(struct config_text *text, const char *path, struct config_errors *errors)
{
    return add_file(text, path, 0, "", errors);
}

int config_text_set(struct config_text *text, const char *name, const char *data, size_t len,
                    struct config_errors *errors)
{
    struct scan scan = {.from_memory = true};
    int r = add_name(text, name, &scan.file);
    return r < 0 ? r : add_data(text, &scan, data, len, errors);
}

void config_text_free(struct config_text *text)
{
    if (text->text.data) // there may be a secret in it
        explicit_bzero(text->text.data, text->text.len);
    buf_free(&text->text);
    free(text->line);
    for (size_t i = 0; i < text->files; i++)
        free(text->file[i]);
    free(text->file);
    *text = (struct config_text){0};
}

struct config_line config_text_line(const struct config_text *text, unsigned number)
{
    if (text->lines == 0)
        return (struct config_line){text->files ? text->file[0] : "", 1};
    size_t at = number == 0 ? 0 : number - 1;
    return text->line[at < text->lines ? at : text->lines - 1];
}

size_t config_text_content(const struct config_text *text, unsigned number,
                           const char **ret_content)
{
    const char *line = text->text.data ? text->text.data : "";
    for (unsigned i = 1; i < number; i++) {
        const char *end = strchr(line, '\n');
        if (!end)
            break;
        line = end + 1;
    }
    *ret_content = line;
    return strcspn(line, "\n");
}
