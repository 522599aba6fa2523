/* Internal to store/: folders removed again, of an app and of a store that did not come to be. */
#ifndef DBK_STORE_UNMAKE_H
#define DBK_STORE_UNMAKE_H

#include "store/engine.h"

/* A file, or a folder and all in it; links are removed, not followed. Best effort, also where there is none. */
void dbk_folder_remove(const dbk_port *port, dbk_dir *dir, const char *name);
/* Removes what making and opening a store put into `dir`, by name. daybook.json goes first and durably, so that what a
 * crash leaves is no store; LOCK, which the caller holds, goes last. Other files stay. Best effort. */
void dbk_store_unmake(const dbk_port *port, dbk_dir *dir);
/* Whether there is a folder at the path. */
bool dbk_folder_is_there(const dbk_port *port, const char *path);
/* The folder at the path, if it is empty. Best effort. */
void dbk_folder_remove_empty(const dbk_port *port, const char *path);
/* create.c: the folder that the last name of the path stands in. */
dbk_result dbk_store_open_parent(const dbk_port *port, const char *path, dbk_dir **dir, dbk_error *err) DBK_MUST_USE;

#endif
