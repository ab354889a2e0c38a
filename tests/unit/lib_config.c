// SPDX-License-Identifier: ISC
// See lib_config.h.
#include "lib_config.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

int config_of(const char *text, struct config *ret_config, struct config_errors *errors)
{
    return config_load_text("t.conf", text, strlen(text), ret_config, errors);
}

void config_right(const char *text, struct config *ret_config)
{
    struct config_errors errors = {0};
    int r = config_of(text, ret_config, &errors);
    for (size_t i = 0; i < errors.count; i++)
        print_message("%s\n", errors.item[i].text);
    assert_int_equal(errors.count, 0);
    assert_int_equal(r, 0);
    config_errors_free(&errors);
}

bool config_says(const struct config_errors *errors, bool warning, const char *text)
{
    for (size_t i = 0; i < errors->count; i++)
        if (errors->item[i].warning == warning && strstr(errors->item[i].text, text))
            return true;
    for (size_t i = 0; i < errors->count; i++)
        print_message("got: %s\nnot: %s\n", errors->item[i].text, text);
    return false;
}

char *config_printed(const struct config *config)
{
    struct buf out = {0};
    config_print(config, &out);
    char *text = buf_take(&out);
    assert_non_null(text);
    return text;
}

void config_check_wrong(const struct config_wrong *wrong, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config config = {0};
        struct config_errors errors = {0};
        int r = config_of(wrong[i].text, &config, &errors);
        if (r == 0)
            print_message("taken for right: %s\n", wrong[i].text);
        assert_int_equal(r, -EINVAL);
        for (size_t j = 1; j < errors.count; j++)
            print_message("more than expected: %s\n", errors.item[j].text);
        assert_int_equal(errors.count, 1);
        assert_string_equal(errors.item[0].text, wrong[i].error);
        assert_false(errors.item[0].warning);
        assert_null(config.xmpp.domain); // untouched
        config_errors_free(&errors);
    }
}

const char *place_path(struct place *place, const char *name)
{
    snprintf(place->path, sizeof(place->path), "%s/%s", place->directory, name);
    return place->path;
}

const char *place_file(struct place *place, const char *name, const char *text, size_t len)
{
    FILE *f = fopen(place_path(place, name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    assert_int_equal(chmod(place->path, 0600), 0);
    return place->path;
}

int place_make(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    assert_non_null(place);
    strcpy(place->directory, "/tmp/test_config.XXXXXX");
    *state = place;
    unsetenv("CREDENTIALS_DIRECTORY");
    return mkdtemp(place->directory) ? 0 : -1;
}

int place_remove(void **state)
{
    struct place *place = *state;
    DIR *directory = opendir(place->directory);
    unsetenv("CREDENTIALS_DIRECTORY");
    if (!directory)
        return -1;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (entry->d_name[0] != '.')
            unlink(place_path(place, entry->d_name));
    closedir(directory);
    int r = rmdir(place->directory);
    free(place);
    return r;
}
