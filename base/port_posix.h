/* Inside base/ only: the parts of the POSIX port, joined into one table by port_posix.c. Contracts
 * are those of the members of the same name in port.h. */
#ifndef DBK_PORT_POSIX_H
#define DBK_PORT_POSIX_H

#include "base/port.h"

struct dbk_dir {
    int fd;
};

struct dbk_file {
    int fd;
};

/* openat with O_CLOEXEC, and a descriptor above 2; negative errno. */
int dbk_posix_openat(int dir_fd, const char *name, int flags, uint32_t mode);
/* Whether `name` is one component that cannot lead out of its directory. */
bool dbk_posix_name_valid(const char *name);

int dbk_posix_open_dir(void *ctx, dbk_dir *parent, const char *name, int flags, dbk_dir **out);
void dbk_posix_close_dir(void *ctx, dbk_dir *dir);
int dbk_posix_sync_dir(void *ctx, dbk_dir *dir);
int dbk_posix_list(void *ctx, dbk_dir *dir, dbk_list_fn each, void *arg);
int dbk_posix_identify(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out);
int dbk_posix_identify_dir(void *ctx, dbk_dir *dir, dbk_identity *out);
int dbk_posix_space(void *ctx, dbk_dir *dir, dbk_space *out);
int dbk_posix_path_of(void *ctx, dbk_dir *dir, char *out, size_t size);
int dbk_posix_make_dir(void *ctx, dbk_dir *dir, const char *name, uint32_t mode);
int dbk_posix_remove_dir(void *ctx, dbk_dir *dir, const char *name);
int dbk_posix_rename(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to);
int dbk_posix_unlink(void *ctx, dbk_dir *dir, const char *name);

int dbk_posix_open_file(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out);
void dbk_posix_close_file(void *ctx, dbk_file *file);
int64_t dbk_posix_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset);
int64_t dbk_posix_pwrite(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset);
int dbk_posix_sync_file(void *ctx, dbk_file *file);
int dbk_posix_truncate(void *ctx, dbk_file *file, uint64_t size);
int dbk_posix_allocate(void *ctx, dbk_file *file, uint64_t offset, uint64_t size);
int dbk_posix_identify_file(void *ctx, dbk_file *file, dbk_identity *out);
int dbk_posix_drop_cache(void *ctx, dbk_file *file, uint64_t offset, uint64_t size);
int dbk_posix_lock_file(void *ctx, dbk_file *file);
int dbk_posix_share_lock(void *ctx, dbk_file *file);

/* The kind of file system behind a statfs magic number, "unknown" if it is not in the table. */
void dbk_posix_fs_kind(uint32_t magic, const char **name, bool *suits_live_store);

dbk_mutex *dbk_posix_mutex_new(void *ctx);
void dbk_posix_mutex_free(void *ctx, dbk_mutex *mutex);
void dbk_posix_mutex_lock(void *ctx, dbk_mutex *mutex);
void dbk_posix_mutex_unlock(void *ctx, dbk_mutex *mutex);
dbk_cond *dbk_posix_cond_new(void *ctx);
void dbk_posix_cond_free(void *ctx, dbk_cond *cond);
int dbk_posix_cond_wait(void *ctx, dbk_cond *cond, dbk_mutex *mutex, int64_t timeout_ns);
void dbk_posix_cond_signal(void *ctx, dbk_cond *cond);
void dbk_posix_cond_broadcast(void *ctx, dbk_cond *cond);
int dbk_posix_thread_start(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out);
void dbk_posix_thread_join(void *ctx, dbk_thread *thread);
void dbk_posix_thread_lower(void *ctx);
uint32_t dbk_posix_processors(void *ctx);

#endif
