#include "tests/projector/model_fixture.h"

static const char schema[] =
    "CREATE TABLE notes(id TEXT NOT NULL PRIMARY KEY, title TEXT UNIQUE, stars INTEGER NOT NULL DEFAULT 0 CHECK (stars "
    ">= 0),\n"
    " score REAL, raw BLOB, amount NUMERIC, at DATETIME, ok BOOLEAN, doc JSON);\n"
    "CREATE TABLE tags(note TEXT NOT NULL, tag TEXT NOT NULL, weight REAL, PRIMARY KEY(note, tag),\n"
    " FOREIGN KEY(note) REFERENCES notes(id) ON DELETE CASCADE) WITHOUT ROWID;\n"
    "CREATE TABLE counts(n INTEGER PRIMARY KEY, note TEXT REFERENCES notes(id) ON DELETE SET NULL, v REAL);\n"
    "CREATE TABLE pairs(a INTEGER NOT NULL, b TEXT NOT NULL, v TEXT, PRIMARY KEY(a, b));\n";

static const char queries[] =
    "-- query by_stars(stars INTEGER, title TEXT?)\n"
    "SELECT id, title FROM notes WHERE stars >= :stars AND (:title IS NULL OR title = :title) ORDER BY id;\n"
    "-- query flags(least INTEGER = 2) returns (TEXT, BOOLEAN)\n"
    "SELECT id, stars >= :least FROM notes ORDER BY id;\n"
    "-- query all_notes()\n"
    "SELECT * FROM notes ORDER BY id;\n";

void assert_result(dbk_result result, dbk_result expected, const dbk_error *err)
{
    if (result == expected) return;
    print_error("result %s instead of %s: %s\n", dbk_result_name(result), dbk_result_name(expected),
                result < 0 ? err->text : "");
    assert_int_equal(result, expected);
}

void place_init(model_place *place, const dbk_port *port)
{
    const dbk_source sources[] = {{"schema.sql", dbk_slice_text(schema)}, {"queries.sql", dbk_slice_text(queries)}};
    dbk_findings findings = {0};
    dbk_buffer text;

    memset(place, 0, sizeof *place);
    place->port = port ? port : dbk_port_system();
    place->folder = temporary_dir();
    dbk_result result =
        dbk_definition_parse(dbk_port_system(), sources, 2, "test", &place->definition, &findings, &place->err);
    dbk_buffer_init(&text, dbk_port_system());
    if (result != DBK_OK) {
        dbk_findings_print(&findings, &text);
        print_error("%s\n", dbk_buffer_text(&text));
    }
    dbk_buffer_release(&text);
    dbk_findings_free(&findings);
    assert_ok(result, &place->err);
}

void place_done(model_place *place)
{
    dbk_definition_free(place->definition);
    remove_temporary_dir(place->folder);
}

const char *place_file(model_place *place, const char *name)
{
    snprintf(place->path, sizeof place->path, "%s/%s", place->folder, name);
    return place->path;
}

dbk_model *place_create(model_place *place, const char *name, const dbk_model_options *options)
{
    dbk_model *model = NULL;
    assert_ok(
        dbk_model_create(place->port, place_file(place, name), place->definition, NULL, options, &model, &place->err),
        &place->err);
    return model;
}

dbk_model *place_open(model_place *place, const char *name, const dbk_model_options *options)
{
    dbk_model *model = NULL;
    assert_ok(
        dbk_model_open(place->port, place_file(place, name), place->definition, NULL, options, &model, &place->err),
        &place->err);
    return model;
}

const dbk_table *table_of(const dbk_model *model, const char *name)
{
    const dbk_table *table = dbk_definition_table(model->definition, dbk_slice_text(name));
    assert_non_null(table);
    return table;
}

int sql_try(dbk_model *model, const char *text)
{
    return sqlite3_exec(dbk_model_handle(model), text, NULL, NULL, NULL);
}

static void run(dbk_model *model, const char *text)
{
    if (sql_try(model, text) == SQLITE_OK) return;
    print_error("%s: %s\n", text, sqlite3_errmsg(dbk_model_handle(model)));
    fail();
}

void sql(dbk_model *model, const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    run(model, text);
}

dbk_result try_commit(dbk_model *model, uint64_t position, dbk_changes *changes, dbk_error *err)
{
    uint8_t head[DBK_LEAF_SIZE] = {(uint8_t)position, 1}, top[DBK_ORDER_KEY_SIZE] = {(uint8_t)position, 2};
    return dbk_model_commit(model, position, head, top, changes, err);
}

void commit_at(dbk_model *model, uint64_t position, dbk_changes *changes)
{
    dbk_error err;
    assert_ok(try_commit(model, position, changes, &err), &err);
}

dbk_changes commit_sql(dbk_model *model, uint64_t position, const char *format, ...)
{
    char text[2048];
    va_list args;
    dbk_changes changes;
    dbk_error err;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_ok(dbk_model_begin(model, &err), &err);
    run(model, text);
    commit_at(model, position, &changes);
    return changes;
}

void assert_recount(dbk_model *model)
{
    dbk_hash128 counted;
    dbk_model_state state;
    uint64_t rows;
    dbk_error err;

    assert_ok(dbk_model_recount(model, &counted, &rows, &err), &err);
    dbk_model_get_state(model, &state);
    assert_memory_equal(&counted, &state.fingerprint, sizeof counted);
}

void assert_text(dbk_buffer *buffer, const char *expected)
{
    assert_false(buffer->failed);
    assert_string_equal(dbk_buffer_text(buffer), expected);
    dbk_buffer_clear(buffer);
}

uint64_t next_random(uint64_t *seed)
{
    uint64_t mixed = *seed += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

static void free_some(void *ctx, void *memory)
{
    if (memory) thrifty_free(ctx, memory);
}

void thrifty_place(thrifty_port *thrifty, size_t fail_at)
{
    thrifty_init(thrifty, fail_at);
    thrifty->port.free = free_some;
}
