#include "tests/projector/fold_fixture.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char schema[] =
    "CREATE TABLE settings(id TEXT PRIMARY KEY, value TEXT DEFAULT '-', other TEXT DEFAULT '-');\n"
    "CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT UNIQUE, stars INTEGER DEFAULT 0 CHECK(stars < 9));\n"
    "CREATE INDEX notes_by_stars ON notes(stars);\n"
    "CREATE TABLE tags(id TEXT PRIMARY KEY, note TEXT NOT NULL REFERENCES notes ON DELETE CASCADE, word TEXT);\n"
    "CREATE TABLE lists(id TEXT PRIMARY KEY, name TEXT);\n"
    "CREATE TABLE jobs(id TEXT PRIMARY KEY, state TEXT CHECK(state IN ('queued', 'done')), list TEXT);\n";
static const char projections[] = "-- on job.queued\nINSERT INTO jobs(id, state, list) VALUES($id, 'queued', (SELECT "
                                  "name FROM lists WHERE id = $list));\n"
                                  "-- on job.done\nUPDATE jobs SET state = $state WHERE id = $id;\n";

dbk_definition *fold_definition(void)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"projections.sql", dbk_slice_text(projections)}};
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, 2, "fold", &definition, &findings, &err);
    for (size_t i = 0; i < findings.count; i++) {
        fprintf(stderr, "%s:%u: %s\n", findings.items[i].file, findings.items[i].line, findings.items[i].text);
    }
    dbk_findings_free(&findings);
    if (result != DBK_OK) fail_msg("%s", err.text);
    return definition;
}

static void good(const fold_place *place, dbk_result result)
{
    if (result != DBK_OK) fail_msg("%s: %s", dbk_result_name(result), place->err.text);
}

void place_open(fold_place *place, const dbk_definition *definition)
{
    dbk_log_options options = {.lineage = "lineage", .no_background = true, .no_direct = true};
    const char *tmp = getenv("TMPDIR");
    *place = (fold_place){.port = dbk_port_system(), .definition = definition};
    snprintf(place->folder, sizeof place->folder, "%s/daybook-fold-XXXXXX", tmp && strlen(tmp) < 80 ? tmp : "/tmp");
    assert_non_null(mkdtemp(place->folder));
    good(place, dbk_io_open_dir(place->port, NULL, place->folder, 0, &place->dir, &place->err));
    good(place, dbk_io_open_dir(place->port, place->dir, "log", DBK_OPEN_DIRECTORY, &place->log_dir, &place->err));
    good(place, dbk_log_create(place->port, place->log_dir, &options, &place->err));
    good(place, dbk_log_open(place->port, place->log_dir, &options, &place->log, &place->err));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

void place_close(fold_place *place)
{
    dbk_log_close(place->log);
    place->port->close_dir(place->port->ctx, place->log_dir);
    place->port->close_dir(place->port->ctx, place->dir);
    nftw(place->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void place_append(fold_place *place, const fact *facts, size_t count)
{
    dbk_slice *origins = calloc(count + 1, sizeof *origins);
    assert_non_null(origins);
    for (size_t i = 0; i < count; i++) origins[i] = facts[i].origin;
    good(place, dbk_log_append(place->log, origins, count, 1700000000000, NULL, &place->err));
    free(origins);
}

void place_path(fold_place *place, char path[192])
{
    snprintf(path, 192, "%s/model-%u.db", place->folder, place->files++);
}

dbk_model *place_model(fold_place *place)
{
    char path[192];
    dbk_model *model = NULL;
    place_path(place, path);
    good(place, dbk_model_create(place->port, path, place->definition, place->log, NULL, &model, &place->err));
    return model;
}

dbk_model *place_build(fold_place *place, dbk_shadow_options options)
{
    char path[192];
    dbk_model *model = NULL;
    place_path(place, path);
    good(place, dbk_model_build(place->port, path, place->definition, place->log, &options, &model, &place->err));
    return model;
}

/* ---- facts */

fact make_entry(dbk_arena *arena, const dbk_definition *definition, const fact_text *text, const dbk_event *events,
                size_t count)
{
    dbk_entry entry = {.lineage = "lineage",
                       .id = {.incarnation = 1, .seq = text->seq},
                       .hlc = (1700000000000 + text->ms) << 16,
                       .time_ms = 1700000000000 + (int64_t)text->ms,
                       .command_id = dbk_slice_text(text->command_id ? text->command_id : ""),
                       .event_count = (uint32_t)count};
    dbk_buffer encoded, origin;
    entry.id.replica[0] = (uint8_t)('A' + text->author);
    memcpy(entry.definition, definition->hash, sizeof entry.definition);
    memset(entry.command_hash, (int)text->seq, 8);
    dbk_buffer_init(&encoded, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    for (size_t i = 0; i < count; i++) dbk_event_encode(&encoded, &events[i]);
    if (count) entry.flags = dbk_event_is_engine(&events[0]) ? DBK_ENTRY_ENGINE : DBK_ENTRY_APP;
    entry.events = dbk_buffer_slice(&encoded);
    dbk_entry_encode(&origin, &entry);
    assert_false(origin.failed);
    fact made = {dbk_arena_copy(arena, dbk_buffer_slice(&origin)), text->author};
    dbk_buffer_release(&encoded);
    dbk_buffer_release(&origin);
    return made;
}

fact make_fact(dbk_arena *arena, const dbk_definition *definition, const fact_text *text)
{
    dbk_event event = {.type_version = 1};
    if (text->data == NULL) return make_entry(arena, definition, text, NULL, 0);
    event.stream = dbk_slice_text(text->stream);
    event.type = dbk_slice_text(text->type);
    event.data = dbk_slice_text(text->data);
    return make_entry(arena, definition, text, &event, 1);
}

uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned upto(uint64_t *seed, unsigned below)
{
    return (unsigned)(next_random(seed) % below);
}

typedef struct event_text {
    char stream[32], type[32], data[128];
} event_text;

static void row_event(uint64_t *seed, event_text *out)
{
    static const char *const ops[] = {"put", "put", "put", "patched", "patched", "deleted"};
    const char *op = ops[upto(seed, 6)];
    static const char *const tables[] = {"settings", "settings", "notes", "tags", "lists"};
    const char *table = tables[upto(seed, 5)];
    unsigned key = upto(seed, *table == 's' ? 12 : 4), value = upto(seed, 12);
    bool put = !strcmp(op, "put");
    char id[16] = "";
    if (put) snprintf(id, sizeof id, "\"id\":\"%u\",", key);
    snprintf(out->stream, sizeof out->stream, "%s/%u", table, key);
    snprintf(out->type, sizeof out->type, "%s.%s", table, op);
    if (!strcmp(op, "deleted")) snprintf(out->data, sizeof out->data, "{}");
    else if (*table == 's' && !put)
        snprintf(out->data, sizeof out->data, "{\"%s\":\"v%u\"}", value % 2 ? "value" : "other", value);
    else if (*table == 's') snprintf(out->data, sizeof out->data, "{%s\"value\":\"v%u\",\"other\":\"-\"}", id, value);
    else if (*table == 'n')
        snprintf(out->data, sizeof out->data, "{%s\"title\":\"t%u\",\"stars\":%u}", id, value % 5, value);
    else if (*table == 't') snprintf(out->data, sizeof out->data, "{%s\"note\":\"%u\",\"word\":\"w\"}", id, value % 4);
    else snprintf(out->data, sizeof out->data, "{%s\"name\":\"n%u\"}", id, value);
}

static void other_event(uint64_t *seed, event_text *out)
{
    unsigned key = upto(seed, 5);
    bool queued = upto(seed, 2);
    snprintf(out->stream, sizeof out->stream, "job/%u", key);
    snprintf(out->type, sizeof out->type, queued ? "job.queued" : "job.done");
    if (queued) snprintf(out->data, sizeof out->data, "{\"id\":\"%u\",\"list\":\"%u\"}", key, upto(seed, 4));
    else snprintf(out->data, sizeof out->data, "{\"id\":\"%u\",\"state\":\"%s\"}", key, upto(seed, 5) ? "done" : "odd");
}

void make_history(dbk_arena *arena, const dbk_definition *definition, uint64_t seed, int authors, fact *facts,
                  size_t count)
{
    uint64_t seqs[8] = {0}, clocks[8] = {0};
    for (size_t i = 0; i < count; i++) {
        char id[24];
        event_text event;
        int author = (int)upto(&seed, (unsigned)authors);
        if (upto(&seed, 4)) row_event(&seed, &event);
        else other_event(&seed, &event);
        clocks[author] += 1 + upto(&seed, 50);
        /* Some commands are sent to two devices. */
        if (upto(&seed, 6) == 0) snprintf(id, sizeof id, "shared-%u", upto(&seed, 8));
        else snprintf(id, sizeof id, "c%zu", i);
        facts[i] = make_fact(arena, definition,
                             &(fact_text){author, ++seqs[author], clocks[author], id, event.stream, event.type,
                                          upto(&seed, 20) ? event.data : NULL});
    }
}

void shuffle_history(uint64_t *seed, int authors, const fact *facts, fact *out, size_t count)
{
    size_t next[8] = {0};
    for (size_t done = 0; done < count;) {
        int author = (int)upto(seed, (unsigned)authors);
        for (size_t run = 1 + upto(seed, 6); run && done < count; run--) {
            size_t i = next[author];
            while (i < count && facts[i].author != author) i++;
            if (i == count) break;
            out[done++] = facts[i];
            next[author] = i + 1;
        }
    }
}

/* ---- models as text */

void put_rows(dbk_model *model, const char *table, dbk_buffer *out)
{
    sqlite3_stmt *rows = NULL;
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY 1, 2", table);
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &rows, NULL), SQLITE_OK);
    sqlite3_free(sql);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        dbk_buffer_put_text(out, table);
        for (int i = 0; i < sqlite3_column_count(rows); i++) {
            const char *text = (const char *)sqlite3_column_text(rows, i);
            dbk_buffer_printf(out, "|%d:%s", sqlite3_column_type(rows, i), text ? text : "");
        }
        dbk_buffer_put_u8(out, '\n');
    }
    assert_int_equal(sqlite3_finalize(rows), SQLITE_OK);
}

static dbk_result put_skip(void *arg, const dbk_skip *skip)
{
    char entry[DBK_ENTRY_ID_TEXT_SIZE], against[DBK_ENTRY_ID_TEXT_SIZE] = "";
    dbk_entry_id_text(&skip->entry, entry);
    if (skip->has_against) dbk_entry_id_text(&skip->against, against);
    dbk_buffer_printf(arg, "skip %s %s '%s' %s\n", entry, skip->state, skip->reason ? skip->reason : "", against);
    return DBK_OK;
}

char *model_text(dbk_model *model, bool with_position)
{
    static const char *const tables[] = {"settings", "notes", "tags", "lists", "jobs"};
    dbk_buffer out;
    dbk_model_state state;
    dbk_error err;
    char fingerprint[33];
    dbk_buffer_init(&out, dbk_port_system());
    dbk_model_get_state(model, &state);
    dbk_fingerprint_text(state.fingerprint, fingerprint);
    dbk_buffer_printf(&out, "%llu %s\n", with_position ? (unsigned long long)state.position : 0, fingerprint);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) put_rows(model, tables[i], &out);
    assert_int_equal(dbk_model_skips(model, put_skip, &out, &err), DBK_OK);
    char *text = strdup(dbk_buffer_text(&out));
    dbk_buffer_release(&out);
    return text;
}

void assert_same_model(dbk_model *one, dbk_model *other, bool with_position)
{
    char *a = model_text(one, with_position), *b = model_text(other, with_position);
    assert_string_equal(a, b);
    free(a);
    free(b);
}
