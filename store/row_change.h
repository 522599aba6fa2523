/* Internal to store/: entries and changes of rows, as history, explain and diff show them. */
#ifndef DBK_STORE_ROW_CHANGE_H
#define DBK_STORE_ROW_CHANGE_H

#include "store/engine.h"

/* What is written is one answer; two parsers read the rows. */
typedef struct dbk_row_writer {
    dbk_engine *engine;
    dbk_buffer *out;
    dbk_json_parser *before, *after;
} dbk_row_writer;
dbk_result dbk_row_writer_init(dbk_row_writer *writer, dbk_engine *engine, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
void dbk_row_writer_release(dbk_row_writer *writer);
/* Whether the texts of a row differ; a row that was only touched does not. */
bool dbk_row_differs(dbk_slice before, dbk_slice after);
/* `"op":"update","from":{…},"to":{…}`: of an update the columns that differ, else the whole row on its side. */
dbk_result dbk_row_writer_change(dbk_row_writer *writer, dbk_slice before, dbk_slice after,
                                 dbk_error *err) DBK_MUST_USE;
/* `"table":"notes","key":"n1"` */
void dbk_row_writer_name(dbk_row_writer *writer, const dbk_table *table, dbk_slice key);
/* `"position":17,"entry":"…","time":"…"`, command, actor …, `"events":[{"type":…,"subject":…},…]` */
void dbk_row_writer_entry(dbk_row_writer *writer, uint64_t position, const dbk_entry *entry);

#endif
