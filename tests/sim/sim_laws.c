/* The laws. L1: what was acknowledged is there, bit by bit, and is answered again. L2: the log is what
 * was submitted, in order, without hole, invention or duplicate. L4: what was seen stays. And the model
 * is the fold of the log. (L3, refusing damage without touching it: sim_damage.c.) */
#include "projector/model/internal.h"
#include "store/async.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

static dbk_hash128 digest(dbk_slice origin)
{
    return dbk_checksum128(origin);
}

static bool in_flight(const sim_oracle *oracle, dbk_slice id, uint64_t position)
{
    for (uint32_t i = oracle->acked_count; i-- > 0;) /* answered, and not read since */
        if (oracle->acked[i].position == position) return true;
    for (uint32_t i = 0; i < oracle->flight_count; i++)
        if (dbk_slice_equal(id, dbk_slice_text(oracle->flight_ids[i]))) return true;
    return false;
}

/* An entry beyond those known: of the call that was under way, next of its author. */
static void take_new(sim_machine *m, uint64_t position, dbk_slice origin)
{
    sim_oracle *oracle = &m->oracle;
    dbk_entry entry;
    if (dbk_entry_decode(origin, &entry, &m->error) != DBK_OK)
        sim_fail(m, "entry %llu: %s", (unsigned long long)position, m->error.text);
    if (position > SIM_ENTRIES_MAX) sim_fail(m, "more entries than the simulation has room for");
    if (memcmp(entry.id.replica, m->options.replica, 16) == 0) {
        if (entry.id.seq != ++oracle->own_entries)
            sim_fail(m, "entry %llu has seq %llu, not %u", (unsigned long long)position,
                     (unsigned long long)entry.id.seq, oracle->own_entries);
        if (!in_flight(oracle, entry.command_id, position))
            sim_fail(m, "entry %llu of command '%.*s', which was not under way", (unsigned long long)position,
                     DBK_SLICE_ARG(entry.command_id));
    } else {
        const sim_fact *fact = &m->facts[oracle->fact_entries];
        bool given =
            oracle->flight_facts && oracle->fact_entries < m->fact_count && dbk_slice_equal(fact->origin, origin);
        if (!given) sim_fail(m, "entry %llu is not the next fact given", (unsigned long long)position);
        oracle->fact_entries++;
    }
    oracle->origins[position - 1] = digest(origin);
}

static void walk(sim_machine *m, uint64_t first)
{
    sim_oracle *oracle = &m->oracle;
    dbk_log *log = dbk_engine_log(m->engine);
    dbk_log_cursor *cursor;
    uint64_t position = first - 1, expected = first;
    dbk_slice origin;
    dbk_result result = dbk_log_cursor_open(log, first, 0, &cursor, &m->error);
    if (result != DBK_OK) sim_fail(m, "the log cannot be read: %s", m->error.text);
    while ((result = dbk_log_cursor_next(cursor, &position, NULL, &origin, &m->error)) == DBK_OK) {
        if (position != expected++)
            sim_fail(m, "position %llu after %llu", (unsigned long long)position, (unsigned long long)expected - 2);
        if (position > oracle->read) {
            take_new(m, position, origin);
            oracle->read = position;
        } else {
            dbk_hash128 found = digest(origin), known = oracle->origins[position - 1];
            if (found.low != known.low || found.high != known.high)
                sim_fail(m, "L1: entry %llu has other bytes than before", (unsigned long long)position);
        }
    }
    if (result != DBK_END && !sim_power_is_off(m))
        sim_fail(m, "L1: entry %llu cannot be read: %s", (unsigned long long)expected, m->error.text);
    dbk_log_cursor_close(cursor);
}

void sim_note_seen(sim_machine *m)
{
    sim_oracle *oracle = &m->oracle;
    uint64_t end = dbk_log_position(dbk_engine_log(m->engine));
    if (end < oracle->seen)
        sim_fail(m, "L4: the log ends at %llu, %llu was acknowledged or seen", (unsigned long long)end,
                 (unsigned long long)oracle->seen);
    if (end > oracle->read && !sim_power_is_off(m)) walk(m, oracle->read + 1);
    oracle->seen = end;
}

/* ---- L1 */

static bool answers(const sim_acked *acked, const char *receipt)
{
    char position[40], entry[DBK_ENTRY_ID_TEXT_SIZE + 16];
    snprintf(position, sizeof position, "\"position\":%llu,", (unsigned long long)acked->position);
    snprintf(entry, sizeof entry, "\"entry\":\"%s\"", acked->entry);
    return strstr(receipt, "\"ok\":true") && strstr(receipt, "\"again\":true") && strstr(receipt, position) &&
           strstr(receipt, entry);
}

/* Everything that was acknowledged, sent again in turns of some. */
static void check_again(sim_machine *m)
{
    enum { AT_ONCE = 64 };
    const sim_oracle *oracle = &m->oracle;
    dbk_slice commands[AT_ONCE];
    dbk_buffer receipts[AT_ONCE];
    for (uint32_t i = 0; i < AT_ONCE; i++) dbk_buffer_init(&receipts[i], dbk_port_system());
    for (uint32_t first = 0; first < oracle->acked_count; first += AT_ONCE) {
        uint32_t count = oracle->acked_count - first < AT_ONCE ? oracle->acked_count - first : AT_ONCE;
        for (uint32_t i = 0; i < count; i++) commands[i] = dbk_slice_text(oracle->acked[first + i].json);
        if (dbk_engine_decide(m->engine, commands, count, m->script.now_ms, receipts, &m->error) != DBK_OK)
            sim_fail(m, "L1: sending again: %s", m->error.text);
        for (uint32_t i = 0; i < count; i++) {
            bool alone = strstr(oracle->acked[first + i].json, "\"do\":\"undo\"") != NULL; /* in a turn of its own */
            if (alone && dbk_engine_undo(m->engine, commands[i], m->script.now_ms, &receipts[i], &m->error) != DBK_OK)
                sim_fail(m, "L1: sending again: %s", m->error.text);
            const char *receipt = dbk_buffer_text(&receipts[i]);
            if (!answers(&oracle->acked[first + i], receipt))
                sim_fail(m, "L1: acknowledged at %llu, now\n  %s\n  %s",
                         (unsigned long long)oracle->acked[first + i].position, oracle->acked[first + i].json, receipt);
        }
    }
    for (uint32_t i = 0; i < AT_ONCE; i++) dbk_buffer_release(&receipts[i]);
}

/* ---- the model */

typedef struct skips {
    sim_machine *m;
    uint64_t digest, own;
} skips;

static dbk_result note_skip(void *arg, const dbk_skip *skip)
{
    skips *all = arg;
    char id[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(&skip->entry, id);
    all->digest += sim_mix(dbk_checksum(dbk_slice_text(id), skip->position),
                           dbk_checksum(dbk_slice_text(skip->state), skip->dismissed));
    if (memcmp(skip->entry.replica, all->m->options.replica, 16) == 0) all->own++;
    return DBK_OK;
}

static void list_skips(sim_machine *m, dbk_model *model, skips *all)
{
    *all = (skips){.m = m};
    if (dbk_model_skips(model, note_skip, all, &m->error) != DBK_OK) sim_fail(m, "skip list: %s", m->error.text);
}

static void compare_with_fold(sim_machine *m, dbk_model *model)
{
    dbk_shadow_options options = {.model = {.vfs = m->bench_vfs_name}};
    dbk_model *fold;
    dbk_model_state have, want;
    skips have_skips, want_skips;
    dbk_result result = dbk_model_build(dbk_simdisk_port(m->bench), "/fold.sqlite", m->definition,
                                        dbk_engine_log(m->engine), &options, &fold, &m->error);
    if (result != DBK_OK) sim_fail(m, "cold fold: %s", m->error.text);
    dbk_model_get_state(model, &have);
    dbk_model_get_state(fold, &want);
    list_skips(m, model, &have_skips);
    list_skips(m, fold, &want_skips);
    if (have.position != want.position)
        sim_fail(m, "the model is at %llu, the log at %llu", (unsigned long long)have.position,
                 (unsigned long long)want.position);
    if (memcmp(have.head, want.head, sizeof have.head) != 0) sim_fail(m, "the model has another head than the log");
    if (have.fingerprint.low != want.fingerprint.low || have.fingerprint.high != want.fingerprint.high)
        sim_fail(m, "the model at %llu is not the fold of the log", (unsigned long long)have.position);
    if (have_skips.digest != want_skips.digest) sim_fail(m, "the skip list is not that of the fold");
    if (have_skips.own > 0 && !m->oracle.any_facts)
        sim_fail(m, "an entry decided here was skipped though no fact came in between");
    dbk_model_close(fold);
    (void)dbk_simdisk_remove(m->bench, "fold.sqlite");
}

static void check_foreign_keys(sim_machine *m, dbk_model *model)
{
    sqlite3_stmt *statement = NULL;
    model->sandbox.role = DBK_SQL_ENGINE;
    int rc = sqlite3_prepare_v2(dbk_model_handle(model), "PRAGMA foreign_key_check", -1, &statement, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        sim_fail(m, "a foreign key of table '%s' does not hold", (const char *)sqlite3_column_text(statement, 0));
    if (rc != SQLITE_DONE) sim_fail(m, "foreign keys cannot be checked: %s", sqlite3_errmsg(dbk_model_handle(model)));
    sqlite3_finalize(statement);
}

static void check_model(sim_machine *m)
{
    dbk_model *model = dbk_engine_model(m->engine);
    dbk_hash128 counted;
    uint64_t rows;
    dbk_model_state state;
    if (dbk_model_recount(model, &counted, &rows, &m->error) != DBK_OK) sim_fail(m, "recount: %s", m->error.text);
    dbk_model_get_state(model, &state);
    if (counted.low != state.fingerprint.low || counted.high != state.fingerprint.high)
        sim_fail(m, "the rows are not those of the fingerprint");
    check_foreign_keys(m, model);
    compare_with_fold(m, model);
}

/* An async model is the fold of the log up to where it stops, and nowhere else. */
static void check_async(sim_machine *m, const dbk_definition *definition)
{
    dbk_engine bench = {.port = dbk_simdisk_port(m->bench), .log = dbk_engine_log(m->engine)};
    dbk_model_stop stop = {0};
    dbk_shadow_options options = {.model = {.vfs = m->bench_vfs_name}, .stop = &stop};
    dbk_model_state have, want;
    dbk_model *fold = NULL;
    if (dbk_async_state(m->engine, definition, &have, &m->error) != DBK_OK)
        sim_fail(m, "'%s': %s", definition->model, m->error.text);
    if (dbk_async_fold(&bench, "/fold.sqlite", definition, &options, &fold, &m->error) != DBK_OK)
        sim_fail(m, "cold fold of '%s': %s", definition->model, m->error.text);
    dbk_model_get_state(fold, &want);
    if (have.position != want.position)
        sim_fail(m, "'%s' is at %llu, not at %llu", definition->model, (unsigned long long)have.position,
                 (unsigned long long)want.position);
    if (have.fingerprint.low != want.fingerprint.low || have.fingerprint.high != want.fingerprint.high ||
        memcmp(have.head, want.head, sizeof have.head) != 0)
        sim_fail(m, "'%s' at %llu is not the fold of the log", definition->model, (unsigned long long)have.position);
    dbk_model_close(fold);
    (void)dbk_simdisk_remove(m->bench, "fold.sqlite");
}

void sim_check_laws(sim_machine *m)
{
    sim_oracle *oracle = &m->oracle;
    uint64_t end = dbk_log_position(dbk_engine_log(m->engine));
    if (end < oracle->seen)
        sim_fail(m, "L1: the log ends at %llu, %llu was acknowledged or seen", (unsigned long long)end,
                 (unsigned long long)oracle->seen);
    walk(m, 1);
    oracle->seen = end;
    oracle->flight_count = oracle->flight_facts = 0;
    if (oracle->fact_first < oracle->fact_entries) oracle->fact_first = oracle->fact_entries;
    if (oracle->fact_end < oracle->fact_first) oracle->fact_end = oracle->fact_first;
    check_again(m);
    if (dbk_log_position(dbk_engine_log(m->engine)) != end) sim_fail(m, "L2: sending again made new entries");
    check_model(m);
    for (size_t i = 0; i < m->definition->model_count; i++) check_async(m, m->definition->models[i]);
    sim_watch_check(m);
}
