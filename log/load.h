/* Between the parts of opening (internal): survey, links, walk. */
#ifndef DBK_LOG_LOAD_H
#define DBK_LOG_LOAD_H

#include "log/internal.h"

typedef struct dbk_found {
    dbk_segment *segment;
    dbk_record record; /* its start */
    uint64_t file_bytes;
    bool sound;   /* header and size */
    bool started; /* has a sound start record */
    bool used;    /* walk.c: holds more than zeros behind its headers */
} dbk_found;
typedef struct dbk_survey {
    dbk_found *found; /* [number - 1] */
    uint64_t count;
    uint64_t base; /* the highest started one; 0: none */
} dbk_survey;

/* catalog.c: reads it; empty where there is none of this log. */
void dbk_catalog_read(dbk_log *log, dbk_buffer *catalog);
/* What the catalog has of the segment's file, if that still is the one. */
bool dbk_catalog_find(dbk_log *log, const dbk_buffer *catalog, uint64_t number, const char *name,
                      dbk_segment_header *header, dbk_pack_head *head);
/* At close, once nothing else runs: writes it, if it lacks much. A failure only costs reading the files. */
void dbk_catalog_save(dbk_log *log);
/* Tells what is wrong with the file, a cache; a row for a file that is no longer the one there is not.
 * DBK_NO_MEMORY. */
dbk_result dbk_catalog_check(const dbk_port *port, dbk_dir *dir, const uint8_t store_id[16],
                             void (*tell)(void *arg, uint64_t offset, const char *wrong), void *arg,
                             dbk_error *err) DBK_MUST_USE;

/* The numbers of the segments in the folder, u64 each, ascending; `numbers` is initialised by the caller. */
dbk_result dbk_load_list(const dbk_port *port, dbk_dir *dir, dbk_buffer *numbers, dbk_error *err) DBK_MUST_USE;
/* Never DBK_OK: the code and text of the plan's row, with the place and `detail` ("": none). */
dbk_result dbk_load_refuse(const dbk_plan *plan, const char *file, const char *detail, dbk_error *err) DBK_MUST_USE;
/* Of a header that is sound. DBK_FOREIGN: of another store or lineage; DBK_DUPLICATE: of a segment of another number. */
dbk_result dbk_load_judge_header(const dbk_log_options *options, const dbk_segment *segment, uint64_t number,
                                 dbk_error *err) DBK_MUST_USE;
/* The start record, if a sound one is there: fills first_position, end, …, *record and *start. */
dbk_result dbk_load_start(dbk_image *image, dbk_segment *segment, dbk_record *record, dbk_start *start, bool *started,
                          dbk_error *err) DBK_MUST_USE;
/* Reads the start of one of the log's segments again: what it begins with. */
dbk_result dbk_load_range(dbk_log *log, dbk_segment *segment, dbk_start *start, dbk_error *err) DBK_MUST_USE;
/* Reads the watermark, lists and reads all headers and starts. Release it in any case. What is below
 * the base of `known` (may be NULL) is taken from there: it cannot change any more. */
dbk_result dbk_survey_take(dbk_log *log, dbk_survey *known, dbk_survey *survey, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_survey_link(dbk_log *log, dbk_survey *survey, dbk_error *err) DBK_MUST_USE;
void dbk_survey_release(const dbk_log *log, dbk_survey *survey);

/* walk.c: from the end of the active segment. Without `take` nothing of the log changes; *proven is
 * raised to the highest durable_upto met. Stops before a batch beyond `limit` (head RECORD). */
dbk_result dbk_walk(dbk_log *log, uint64_t limit, bool take, dbk_plan *plan, uint64_t *proven,
                    dbk_error *err) DBK_MUST_USE;
/* Judges the spot of a walk that was not stopped by its limit; survey may be NULL (refresh). */
dbk_result dbk_walk_judge(dbk_log *log, const dbk_survey *survey, dbk_plan *plan, dbk_error *err) DBK_MUST_USE;
/* behind.c: what opening left to be looked at. It is done at once where there is no background. */
void dbk_behind_begin(dbk_log *log, const dbk_survey *survey);
/* Reads a sealed segment into a new table; its top and order are known then. */
dbk_result dbk_load_table(dbk_log *log, dbk_segment *segment, dbk_index_table **out, dbk_error *err) DBK_MUST_USE;
/* Reads the records of a segment in front of `until` into a new table; *state is then that behind
 * them, totals->top and ->ordered are theirs. */
dbk_result dbk_load_part(dbk_log *log, dbk_segment *segment, uint64_t until, dbk_segment *totals, dbk_log_state *state,
                         dbk_index_table **out, dbk_error *err) DBK_MUST_USE;
/* Makes the log's last segment the active one: state from its start, a new table. */
dbk_result dbk_load_active(dbk_log *log, const dbk_record *record, dbk_error *err) DBK_MUST_USE;

#endif
