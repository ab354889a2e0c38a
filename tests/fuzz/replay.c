// SPDX-License-Identifier: ISC
// Replays a corpus through a fuzz target without a fuzzer, so that what was once found is an
// ordinary test for ever. argv[1] is the directory; an empty one is a failure, since a corpus that
// went missing must not look like one that passed.
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1 << 20)

// In memory of exactly its size, so that a sanitizer sees the first byte beyond. Returns 0 or 1.
static int replay_bytes(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        return 1;
    memcpy(exact, data, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static int replay_file(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    size_t size = fread(data, 1, sizeof data, file);
    int bad = ferror(file) || fgetc(file) != EOF;
    fclose(file);
    if (bad) {
        fprintf(stderr, "%s: cannot be read, or longer than %d bytes\n", path, INPUT_MAX);
        return 1;
    }
    return replay_bytes(data, size);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    if (!dir) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    unsigned count = 0, failed = 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        failed += (unsigned)replay_file(path);
        count++;
    }
    closedir(dir);
    printf("%u inputs replayed from %s\n", count, argv[1]);
    if (count == 0)
        fprintf(stderr, "%s: no inputs\n", argv[1]);
    return count == 0 || failed > 0;
}
