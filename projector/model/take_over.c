/* The switch from a model to its shadow (semantics.md §4 K8, §6), and the end of a bulk build.
 *
 * One transaction of the shadow: its own journal goes, the old one's comes (or none, with reset), and a
 * commit at its position brings what differs between their rows as one step forward. */
#include "projector/model/journal.h"

#include <assert.h>

static dbk_result drop_journal(dbk_model *shadow, dbk_error *err)
{
    for (size_t i = 0; i < shadow->definition->table_count; i++) shadow->journal->written[i] = -1;
    shadow->journal->unwritten = DBK_LASTS_EVERY;
    return dbk_model_exec(shadow, "DELETE FROM _daybook_commits; DELETE FROM _daybook_tables;", "switch", err);
}

static dbk_result copy_row(dbk_model *shadow, sqlite3_stmt *from, sqlite3_stmt *to, dbk_error *err)
{
    int rc = SQLITE_OK;
    for (int i = 0; rc == SQLITE_OK && i < sqlite3_column_count(from); i++) {
        rc = sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));
    }
    if (rc != SQLITE_OK) return dbk_model_sql_failure(shadow, rc, "switch", err);
    return dbk_model_run(shadow, to, "switch", err);
}

static dbk_result copy_rows(dbk_model *shadow, dbk_model *old, const char *select, const char *insert, dbk_error *err)
{
    sqlite3_stmt *from = NULL, *to = NULL;
    dbk_result result = DBK_OK;
    int rc = sqlite3_prepare_v2(old->db, select, -1, &from, NULL);

    if (rc != SQLITE_OK) return dbk_model_sql_failure(old, rc, "read the journal", err);
    rc = sqlite3_bind_int64(from, 1, (int64_t)old->state.floor);
    if (rc == SQLITE_OK || rc == SQLITE_RANGE) rc = sqlite3_prepare_v2(shadow->db, insert, -1, &to, NULL);
    if (rc != SQLITE_OK) result = dbk_model_sql_failure(shadow, rc, "switch", err);
    while (result == DBK_OK && (rc = sqlite3_step(from)) == SQLITE_ROW) result = copy_row(shadow, from, to, err);
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(old, rc, "read the journal", err);
    sqlite3_finalize(from);
    sqlite3_finalize(to);
    return result;
}

static dbk_result take_journal(dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    dbk_journal *journal = shadow->journal;
    const dbk_journal *from = old->journal;
    bool same_position = old->state.position == shadow->state.position;

    shadow->state.floor = old->state.floor;
    journal->rows = from->rows;
    journal->newest_rows = same_position && old->state.position > old->state.floor ? from->newest_rows : 0;
    memcpy(journal->last, from->last, shadow->definition->table_count * sizeof *journal->last);
    return copy_rows(shadow, old,
                     "SELECT position, head, top, fingerprint, floor, rows, keys FROM _daybook_commits"
                     " WHERE position > ?1",
                     "INSERT INTO _daybook_commits VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)", err);
}

/* Every table's last change is the switch itself (semantics.md §6). */
static void start_journal(dbk_model *shadow)
{
    dbk_journal *journal = shadow->journal;

    shadow->state.floor = journal->anew = shadow->state.position;
    journal->rows = journal->newest_rows = 0;
    for (size_t i = 0; i < shadow->definition->table_count; i++) journal->last[i] = (int64_t)shadow->state.position;
}

static dbk_result check_pair(const dbk_model *shadow, const dbk_model *old, dbk_error *err)
{
    if (memcmp(old->definition->hash, shadow->definition->hash, sizeof old->definition->hash) != 0 ||
        old->definition->table_count != shadow->definition->table_count) {
        return dbk_fail(err, DBK_FOREIGN, "the model was built with another definition: it can only begin anew");
    }
    if (old->state.position > shadow->state.position) {
        return dbk_fail(err, DBK_USAGE, "the shadow at position %llu is behind the model at %llu",
                        (unsigned long long)shadow->state.position, (unsigned long long)old->state.position);
    }
    return DBK_OK;
}

dbk_result dbk_model_take_over(dbk_model *shadow, dbk_model *old, bool reset, dbk_changes *changes, dbk_error *err)
{
    assert(shadow && (old || reset));
    dbk_model_state state = shadow->state;
    dbk_narrow narrow;
    dbk_result result = reset ? DBK_OK : check_pair(shadow, old, err);

    if (result == DBK_OK) result = dbk_model_begin(shadow, err);
    if (result != DBK_OK) return result;
    dbk_narrow_init(&narrow, shadow->port);
    if (!reset) result = dbk_narrow_collect_since(&narrow, shadow, old, err);
    if (result == DBK_OK) result = drop_journal(shadow, err);
    shadow->journal->behind = 0;
    if (result == DBK_OK && reset) start_journal(shadow);
    if (result == DBK_OK && !reset) result = take_journal(shadow, old, err);
    if (result == DBK_OK && !reset)
        result = narrow.usable ? dbk_narrow_note(&narrow, shadow, old, err) : dbk_model_difference(shadow, old, err);
    dbk_narrow_release(&narrow);
    dbk_narrow_forget(shadow);
    if (result == DBK_OK) result = dbk_model_commit(shadow, state.position, state.head, state.top, changes, err);
    if (result == DBK_OK) return DBK_OK;
    /* Memory had moved with the transaction that is no more; the first failure is the one to tell. */
    dbk_model_rollback(shadow);
    shadow->journal->anew = 0;
    if (dbk_model_load_state(shadow, NULL) != DBK_OK) shadow->state = state;
    return result;
}
