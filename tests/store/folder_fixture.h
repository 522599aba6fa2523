/* For the tests that meddle with a store's folder: its files read, written, cut, flipped, copied, digested. */
#ifndef DBK_TEST_STORE_FOLDER_FIXTURE_H
#define DBK_TEST_STORE_FOLDER_FIXTURE_H

#include "tests/store/engine_fixture.h"

#include <dirent.h>
#include <sys/stat.h>

typedef struct folder_path {
    char text[4600];
} folder_path;

static inline folder_path path_in(const char *folder, const char *name)
{
    folder_path path;
    int size = snprintf(path.text, sizeof path.text, "%s/%s", folder, name);
    assert_in_range(size, 1, sizeof path.text - 1);
    return path;
}

/* The file's bytes with a NUL behind them; the caller's to free. */
static inline char *file_bytes(const char *folder, const char *name, size_t *size)
{
    FILE *file = fopen(path_in(folder, name).text, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

static inline char *file_text(const char *folder, const char *name)
{
    size_t size;
    return file_bytes(folder, name, &size);
}

static inline void file_write(const char *folder, const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(path_in(folder, name).text, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void file_remove(const char *folder, const char *name)
{
    assert_int_equal(remove(path_in(folder, name).text), 0);
}
static inline bool file_exists(const char *folder, const char *name)
{
    return access(path_in(folder, name).text, F_OK) == 0;
}
static inline void folder_make(const char *folder, const char *name)
{
    assert_int_equal(mkdir(path_in(folder, name).text, 0700), 0);
}

static inline void file_move(const char *folder, const char *from, const char *to)
{
    assert_int_equal(rename(path_in(folder, from).text, path_in(folder, to).text), 0);
}

static inline long file_find(const char *folder, const char *name, const char *text)
{
    size_t size;
    char *bytes = file_bytes(folder, name, &size);
    char *found = memmem(bytes, size, text, strlen(text));
    assert_non_null(found);
    long at = found - bytes;
    free(bytes);
    return at;
}

static inline void file_flip(const char *folder, const char *name, long at)
{
    FILE *file = fopen(path_in(folder, name).text, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_not_equal(byte, EOF);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 4, file), byte ^ 4);
    assert_int_equal(fclose(file), 0);
}

static inline void folder_remove(const char *folder, const char *name)
{
    assert_int_equal(nftw(path_in(folder, name).text, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The names in a folder, sorted; the caller frees each and the list. */
static inline int folder_names(const char *folder, struct dirent ***names)
{
    return scandir(folder, names, NULL, alphasort);
}

static inline void folder_copy(const char *from, const char *to)
{
    struct dirent **names;
    assert_int_equal(mkdir(to, 0700), 0);
    int count = folder_names(from, &names);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        struct stat info;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            assert_int_equal(lstat(path_in(from, name).text, &info), 0);
            if (S_ISDIR(info.st_mode)) {
                folder_copy(path_in(from, name).text, path_in(to, name).text);
            } else {
                size_t size;
                char *bytes = file_bytes(from, name, &size);
                file_write(to, name, bytes, size);
                free(bytes);
            }
        }
        free(names[i]);
    }
    free(names);
}

static inline void folder_copy_in(const char *folder, const char *from, const char *to)
{
    folder_copy(path_in(folder, from).text, path_in(folder, to).text);
}

/* Over all names and bytes, but not those of LOCK, which names its last holder, and of SQLite's shared
 * memory, which every reader of the model marks. */
static inline uint64_t folder_digest(const char *folder)
{
    struct dirent **names;
    uint64_t digest = 1;
    int count = folder_names(folder, &names);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        struct stat info;
        bool counted = name[0] != '.' && strcmp(name, "LOCK") != 0 && !strstr(name, "-shm");
        if (counted) {
            size_t size = 0;
            char *bytes = NULL;
            assert_int_equal(lstat(path_in(folder, name).text, &info), 0);
            uint64_t inner = S_ISDIR(info.st_mode) ? folder_digest(path_in(folder, name).text) : 0;
            if (!S_ISDIR(info.st_mode)) bytes = file_bytes(folder, name, &size);
            digest = dbk_checksum(dbk_slice_text(name), digest ^ inner);
            digest = dbk_checksum(dbk_slice_of(bytes, size), digest);
            free(bytes);
        }
        free(names[i]);
    }
    free(names);
    return digest;
}

/* The first name in folder/under that ends so, as "under/name". */
static inline void find_file(const char *folder, const char *under, const char *end, char *out, size_t size)
{
    struct dirent **names;
    int count = folder_names(path_in(folder, under).text, &names);
    out[0] = 0;
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        if (!out[0] && strlen(name) > strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0)
            snprintf(out, size, "%s/%.200s", under, name);
        free(names[i]);
    }
    free(names);
    assert_true(out[0] != 0);
}

/* How many folders are in folder/under. */
static inline int folder_count(const char *folder, const char *under)
{
    struct dirent **names;
    int folders = 0, count = folder_names(path_in(folder, under).text, &names);
    for (int i = 0; i < count; i++) {
        struct stat info;
        folders += names[i]->d_name[0] != '.' &&
                   stat(path_in(path_in(folder, under).text, names[i]->d_name).text, &info) == 0 &&
                   S_ISDIR(info.st_mode);
        free(names[i]);
    }
    free(names);
    return folders;
}

#endif
