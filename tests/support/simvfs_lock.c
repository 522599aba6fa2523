/* The file layer's locks and WAL index: between the connections of this process, by path. */
#include "tests/support/simvfs_internal.h"

simvfs_shared *simvfs_shared_take(simvfs *vfs, const char *path)
{
    simvfs_shared *shared = vfs->shared;
    while (shared && strcmp(shared->path, path) != 0) shared = shared->next;
    if (!shared) {
        shared = dbk_alloc_zero(vfs->port, 1, sizeof *shared);
        if (!shared) return NULL;
        memcpy(shared->path, path, strlen(path) + 1);
        shared->next = vfs->shared;
        vfs->shared = shared;
    }
    shared->refs++;
    return shared;
}

void simvfs_shared_drop(simvfs *vfs, simvfs_shared *shared)
{
    if (--shared->refs > 0) return;
    simvfs_shared **at = &vfs->shared;
    while (*at != shared) at = &(*at)->next;
    *at = shared->next;
    dbk_free(vfs->port, shared);
}

/* A writer that waits for readers to leave holds PENDING, which lets no new reader in. */
int simvfs_lock(sqlite3_file *base, int level)
{
    simvfs_file *file = (simvfs_file *)base;
    simvfs_shared *shared = file->shared;
    if (file->level >= level) return SQLITE_OK;
    if (!shared) {
        file->level = level;
        return SQLITE_OK;
    }
    if (level == SQLITE_LOCK_SHARED) {
        if (shared->writer && shared->writer_level >= SQLITE_LOCK_PENDING) return SQLITE_BUSY;
        shared->readers++;
        file->level = level;
        return SQLITE_OK;
    }
    if (shared->writer && shared->writer != file) return SQLITE_BUSY;
    bool waits = level == SQLITE_LOCK_EXCLUSIVE && shared->readers > 1;
    shared->writer = file;
    shared->writer_level = file->level = waits ? SQLITE_LOCK_PENDING : level;
    return waits ? SQLITE_BUSY : SQLITE_OK;
}

int simvfs_unlock(sqlite3_file *base, int level)
{
    simvfs_file *file = (simvfs_file *)base;
    simvfs_shared *shared = file->shared;
    if (file->level <= level) return SQLITE_OK;
    if (shared && shared->writer == file) shared->writer = NULL;
    if (shared && level == SQLITE_LOCK_NONE) shared->readers--;
    file->level = level;
    return SQLITE_OK;
}

int simvfs_check_reserved(sqlite3_file *base, int *out)
{
    const simvfs_file *file = (const simvfs_file *)base;
    *out = file->shared && file->shared->writer != NULL;
    return SQLITE_OK;
}

int simvfs_index_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    simvfs_file *file = (simvfs_file *)base;
    simvfs_shared *shared = file->shared;
    *out = NULL;
    if (!shared || region >= SIMVFS_REGIONS_MAX) return SQLITE_IOERR_SHMMAP;
    if (!file->has_index) {
        file->has_index = true;
        shared->index_refs++;
    }
    if (!shared->regions[region] && extend) {
        shared->regions[region] = dbk_alloc_zero(file->vfs->port, 1, (size_t)size);
        if (!shared->regions[region]) return SQLITE_NOMEM;
    }
    *out = shared->regions[region];
    return SQLITE_OK;
}

static void slot_release(simvfs_file *file, int slot)
{
    simvfs_shared *shared = file->shared;
    if (shared->slot_writer[slot] == file) shared->slot_writer[slot] = NULL;
    if (file->slots_shared & (1U << slot)) shared->slot_readers[slot]--;
    file->slots_shared &= ~(1U << slot);
}

static bool slot_is_free(const simvfs_file *file, int slot, bool exclusive)
{
    const simvfs_shared *shared = file->shared;
    if (shared->slot_writer[slot] && shared->slot_writer[slot] != file) return false;
    unsigned own = (file->slots_shared >> slot) & 1;
    return !exclusive || shared->slot_readers[slot] == own;
}

static void slot_take(simvfs_file *file, int slot, bool exclusive)
{
    simvfs_shared *shared = file->shared;
    if (exclusive) {
        shared->slot_writer[slot] = file;
    } else if (!(file->slots_shared & (1U << slot))) {
        file->slots_shared |= 1U << slot;
        shared->slot_readers[slot]++;
    }
}

/* All slots asked for, or none. */
int simvfs_index_lock(sqlite3_file *base, int offset, int count, int flags)
{
    simvfs_file *file = (simvfs_file *)base;
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    for (int slot = offset; slot < offset + count; slot++) {
        if (flags & SQLITE_SHM_UNLOCK) {
            slot_release(file, slot);
        } else if (!slot_is_free(file, slot, exclusive)) {
            return SQLITE_BUSY;
        }
    }
    for (int slot = offset; (flags & SQLITE_SHM_LOCK) && slot < offset + count; slot++) {
        slot_take(file, slot, exclusive);
    }
    return SQLITE_OK;
}

void simvfs_index_barrier(sqlite3_file *base)
{
    (void)base;
}

/* The index goes with its last connection; `remove` asks for what happens anyway. */
int simvfs_index_unmap(sqlite3_file *base, int remove)
{
    simvfs_file *file = (simvfs_file *)base;
    simvfs_shared *shared = file->shared;
    (void)remove;
    if (!file->has_index) return SQLITE_OK;
    file->has_index = false;
    for (int slot = 0; slot < SQLITE_SHM_NLOCK; slot++) slot_release(file, slot);
    if (--shared->index_refs > 0) return SQLITE_OK;
    for (int region = 0; region < SIMVFS_REGIONS_MAX; region++) {
        dbk_free(file->vfs->port, shared->regions[region]);
        shared->regions[region] = NULL;
    }
    return SQLITE_OK;
}
