// SPDX-License-Identifier: ISC
// What is handed over, written down in a file in memory:
//
//     jingle-relayd hand-over 1
//     2
//     a31
//     a35
//     the text
//
// The number of sockets, their cookies, and the text up to the end, but for line ends there: see
// handover_image_try(). This format is for ever: what changes from version to version is inside the
// text.
#include "handover_internal.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     "jingle-relayd hand-over 1\n"
#define IMAGE_MAX ((off_t)1 << 30) // a call takes some thousand bytes

// ---- writing

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int handover_image_write(const struct handover *handover)
{
    struct buf text = {0};
    int fd = memfd_create("jingle-relayd", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : 0;

    buf_printf(&text, MAGIC "%zu\n", handover->entries);
    for (size_t i = 0; i < handover->entries; i++)
        buf_printf(&text, "%" PRIx64 "\n", handover->entry[i].cookie);
    if (text.failed)
        r = r < 0 ? r : -ENOMEM;
    if (r == 0)
        r = write_all(fd, text.data, text.len);
    if (r == 0 && handover->state)
        r = write_all(fd, handover->state, handover->state_len);
    buf_free(&text);
    if (r == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return r;
}

// ---- reading

struct image {
    char *data; // owned, terminated
    size_t len;
    const char *next;
};

static int read_all(int fd, struct image *ret_image)
{
    struct stat st;
    size_t got = 0;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > IMAGE_MAX)
        return -EPROTO;
    ret_image->data = malloc((size_t)st.st_size + 1);
    if (!ret_image->data)
        return -ENOMEM;
    while (got < (size_t)st.st_size) {
        ssize_t n = pread(fd, ret_image->data + got, (size_t)st.st_size - got, (off_t)got);
        if (n <= 0)
            return -EPROTO;
        got += (size_t)n;
    }
    ret_image->data[got] = '\0';
    ret_image->len = got;
    ret_image->next = ret_image->data;
    return 0;
}

// The number on the next line.
static bool next_number(struct image *image, int base, uint64_t *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtoull(image->next, &end, base);
    if (errno || end == image->next || *end != '\n')
        return false;
    image->next = end + 1;
    return true;
}

static int by_cookie(const void *a, const void *b)
{
    const struct handover_entry *x = a, *y = b;

    return (x->cookie > y->cookie) - (x->cookie < y->cookie);
}

// Takes the socket of this cookie out of 'loose', which is sorted: each once. One that was lost on
// the way (the fd store was full) is missing, and so are those that this process does not know.
static void place(struct handover *handover, struct handover *loose, uint64_t cookie)
{
    const struct handover_entry key = {.cookie = cookie};
    struct handover_entry *entry =
        loose->entries ? bsearch(&key, loose->entry, loose->entries, sizeof key, by_cookie) : NULL;

    if (!entry || entry->fd < 0)
        return;
    handover->entry[handover->entries++] = *entry;
    entry->fd = -1;
}

static int arrange(struct image *image, struct handover *loose, struct handover *handover)
{
    uint64_t count, cookie;

    if (image->len < strlen(MAGIC) || memcmp(image->data, MAGIC, strlen(MAGIC)) != 0)
        return -EPROTO;
    image->next += strlen(MAGIC);
    if (!next_number(image, 10, &count))
        return -EPROTO;
    handover->entry = calloc(loose->entries + 1, sizeof *handover->entry);
    if (!handover->entry)
        return -ENOMEM;
    if (loose->entries > 0)
        qsort(loose->entry, loose->entries, sizeof *loose->entry, by_cookie);
    for (uint64_t i = 0; i < count; i++) {
        if (!next_number(image, 16, &cookie))
            return -EPROTO;
        place(handover, loose, cookie);
    }
    size_t len = image->len - (size_t)(image->next - image->data);
    while (len > 0 && image->next[len - 1] == '\n')
        len--;
    int r = len > 0 ? handover_set_state(handover, image->next, len) : 0;
    return r < 0 ? r : handover_index(handover);
}

// What is no socket of ours is closed.
static int collect(struct handover *loose, const int *fds, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count; i++) {
        int fd = handover_lift(fds[i]);
        int error = r == 0 ? handover_append(loose, fd) : r;
        if (error < 0)
            close(fd);
        else
            (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        if (error == -ENOMEM)
            r = error;
    }
    return r;
}

int handover_image_read(int image_fd, const int *fds, size_t count, struct handover **ret_handover)
{
    struct handover *loose = NULL, *handover = NULL;
    struct image image = {0};
    int r;

    if (handover_new(&loose) < 0 || handover_new(&handover) < 0) {
        handover_free(loose);
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
        close(image_fd);
        return -ENOMEM;
    }
    loose->inherited = handover->inherited = true;
    r = collect(loose, fds, count);
    if (r == 0)
        r = read_all(image_fd, &image);
    if (r == 0)
        r = arrange(&image, loose, handover);
    if (image.data)
        explicit_bzero(image.data, image.len);
    free(image.data);
    close(image_fd);
    handover_free(loose); // and what nobody has placed
    if (r < 0)
        handover_free(handover);
    else
        *ret_handover = handover;
    return r;
}

// ---- one that is kept

static off_t length_of(int image)
{
    struct stat st;

    return fstat(image, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

static bool ends_a_line(int image, off_t len)
{
    char last;

    return len > 0 && pread(image, &last, 1, len - 1) == 1 && last == '\n';
}

// Without a text the line end of the last number counts, too: such an image is worth little.
unsigned handover_image_tries(int image)
{
    off_t len = length_of(image);
    unsigned tries = 0;

    while (tries < HANDOVER_TRIES_MAX && ends_a_line(image, len)) {
        tries++;
        len--;
    }
    return tries;
}

bool handover_image_is_used(int image)
{
    return length_of(image) == 0;
}

void handover_image_try(int image)
{
    off_t len = length_of(image);
    ssize_t put = len > 0 ? pwrite(image, "\n", 1, len) : 0;

    (void)put; // what is not counted may be tried until it is too old
}

void handover_image_untry(int image)
{
    off_t len = length_of(image);
    int r = ends_a_line(image, len) ? ftruncate(image, len - 1) : 0;

    (void)r; // at the worst one try less is left
}

void handover_image_use(int image)
{
    int r = ftruncate(image, 0);

    (void)r; // the manager forgets it, too
}
