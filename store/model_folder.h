/* Internal to store/: a folder of models of which one serves. `<serial>/<file>` is a model, `current` names the serial
 * of the one that serves. The pointer is replaced atomically, a live database is never renamed; what it does not name
 * is a leftover; one that holds what is not ours is put aside whole (aside.h). Ours is one database, of whatever name
 * (an upgrade may give it another one), with what SQLite puts beside it; a copy of it is not. One thread at a time uses
 * a folder, but for the current one's path. */
#ifndef DBK_STORE_MODEL_FOLDER_H
#define DBK_STORE_MODEL_FOLDER_H

#include "store/engine.h"

typedef struct dbk_model_folder { /* all borrowed */
    const dbk_port *port;
    dbk_dir *dir;
    const char *store, *below; /* its path: the store's, and below that, "models" */
    const char *file;          /* "main.sqlite"; "": nobody knows it */
    dbk_dir *notes;            /* the log's folder, where it is noted what was put aside; NULL: nowhere */
} dbk_model_folder;

/* Before anything is read in a folder that is written to: what stands at its names and is no file is put aside.
 * `other` is one more name that its owner has there. */
dbk_result dbk_model_folder_clear(const dbk_model_folder *folder, const char *other, dbk_error *err) DBK_MUST_USE;
/* The path of the model that serves; DBK_MISSING: none is named, or what stands there is not of our making. */
dbk_result dbk_model_folder_current(const dbk_model_folder *folder, dbk_buffer *path, dbk_error *err) DBK_MUST_USE;
/* The same, and where no file of that name stands, the database that does: for whoever has an earlier definition, or a
 * later one, than the one by which the file was named. */
dbk_result dbk_model_folder_found(const dbk_model_folder *folder, dbk_buffer *path, dbk_error *err) DBK_MUST_USE;
/* A path in a new folder of its own, whose name is durable. */
dbk_result dbk_model_folder_next(const dbk_model_folder *folder, dbk_buffer *path, dbk_error *err) DBK_MUST_USE;
/* From here on the model at the path serves, also after a power loss. */
dbk_result dbk_model_folder_point(const dbk_model_folder *folder, const char *path, dbk_error *err) DBK_MUST_USE;
/* The same in two steps, of which the second is short: it becomes visible, and durable with the folder's next sync. */
dbk_result dbk_model_folder_stage(const dbk_model_folder *folder, const char *path, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_folder_point_staged(const dbk_model_folder *folder, dbk_error *err) DBK_MUST_USE;
void dbk_model_folder_unstage(const dbk_model_folder *folder);
void dbk_model_folder_discard(const dbk_model_folder *folder, const char *path); /* with its folder; best effort */
/* Removes all but the one at the path ("": all), and what was staged. */
dbk_result dbk_model_folder_clean(const dbk_model_folder *folder, const char *path, dbk_error *err) DBK_MUST_USE;
/* A model that was closed in order has no WAL. Asked before SQLite opens the file. */
bool dbk_model_folder_has_wal(const dbk_model_folder *folder, const char *path);
bool dbk_model_folder_is_same(const char *path, const char *other); /* of one serial */

#endif
