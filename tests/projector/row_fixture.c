#include "tests/projector/row_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t start_ms = 1700000000123; /* 2023-11-14 22:13:20.123 */

dbk_definition *definition_of_all(const dbk_source *sources, size_t count)
{
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, count, "rows", &definition, &findings, &err);
    for (size_t i = 0; i < findings.count && result != DBK_OK; i++) {
        print_error("%s:%u: %s\n", findings.items[i].file, findings.items[i].line, findings.items[i].text);
    }
    dbk_findings_free(&findings);
    if (result != DBK_OK) fail_msg("%s", err.text);
    return definition;
}

dbk_definition *definition_of(const char *schema, const char *projections)
{
    return definition_with(NULL, schema, projections);
}

dbk_definition *definition_with(const char *app, const char *schema, const char *projections)
{
    dbk_source sources[3] = {{"schema.sql", dbk_slice_text(schema)},
                             {"projections.sql", dbk_slice_text(projections ? projections : "")},
                             {"app.json", dbk_slice_text(app ? app : "")}};

    return definition_of_all(sources, app ? 3 : projections ? 2 : 1);
}

void bench_open(row_bench *bench, const char *schema, const char *projections)
{
    bench_open_with(bench, NULL, schema, projections);
}

void bench_open_with(row_bench *bench, const char *app, const char *schema, const char *projections)
{
    bench_open_definition(bench, definition_with(app, schema, projections));
}

void bench_open_definition(row_bench *bench, dbk_definition *definition)
{
    *bench = (row_bench){.time_ms = start_ms};
    bench->definition = definition;
    place_open(&bench->place, bench->definition);
    bench->model = place_model(&bench->place);
    bench->parser = dbk_json_parser_new(dbk_port_system());
    assert_non_null(bench->parser);
    dbk_draft_init(&bench->draft, dbk_port_system());
    dbk_buffer_init(&bench->text, dbk_port_system());
}

void bench_close(row_bench *bench)
{
    dbk_model_close(bench->model);
    place_close(&bench->place);
    dbk_draft_release(&bench->draft);
    dbk_json_parser_free(bench->parser);
    dbk_buffer_release(&bench->text);
    dbk_definition_free(bench->definition);
}

/* ---- decisions */

static dbk_slice text_of(const dbk_json_node *command, const char *name)
{
    const dbk_json_node *node = dbk_json_member(command, name);
    return node ? node->text : dbk_slice_of("", 0);
}

static dbk_result run_one(row_bench *bench, const dbk_json_node *command)
{
    const dbk_json_node *key = dbk_json_member(command, "key"), *data = dbk_json_member(command, "data");
    const dbk_json_node *expect = dbk_json_member(command, "expect"), *what = dbk_json_member(command, "do");
    dbk_slice table = text_of(command, "table");

    if (dbk_json_text_is(what, "put"))
        return dbk_model_put(bench->model, &bench->draft, table, key, data, expect, &bench->err);
    if (dbk_json_text_is(what, "patch")) {
        return dbk_model_patch(bench->model, &bench->draft, table, key, data, expect, &bench->err);
    }
    if (dbk_json_text_is(what, "delete"))
        return dbk_model_delete(bench->model, &bench->draft, table, key, expect, &bench->err);
    return dbk_model_append(bench->model, &bench->draft, text_of(command, "stream"), text_of(command, "type"), data,
                            expect, &bench->err);
}

static void fill_entry(row_bench *bench, dbk_entry *entry)
{
    *entry = (dbk_entry){.lineage = "lineage",
                         .id = bench->draft.id,
                         .time_ms = bench->draft.time_ms,
                         .event_count = bench->draft.event_count,
                         .events = dbk_buffer_slice(&bench->draft.events)};
    entry->hlc = (uint64_t)bench->draft.time_ms << 16 | bench->draft.id.seq;
    memcpy(entry->definition, bench->definition->hash, sizeof(entry->definition));
}

static void begin_draft(row_bench *bench)
{
    dbk_entry entry;

    dbk_draft_clear(&bench->draft);
    bench->draft.id = (dbk_entry_id){.replica = "Z", .incarnation = 1, .seq = ++bench->seq};
    bench->draft.time_ms = bench->time_ms;
    bench->draft.position = dbk_log_position(bench->place.log) + 1;
    fill_entry(bench, &entry);
    dbk_entry_order_key(&entry, bench->draft.order);
}

dbk_result decide_here(row_bench *bench, const char *command)
{
    const dbk_json_node *root, *one;
    dbk_result result;

    if (dbk_json_parse(bench->parser, dbk_slice_text(command), &root, &bench->err) != DBK_OK)
        fail_msg("%s", bench->err.text);
    begin_draft(bench);
    bool single = root->kind != DBK_JSON_ARRAY;
    result = dbk_model_entry_begin(bench->model, &bench->draft, single, &bench->err);
    one = single ? root : dbk_json_child(root);
    for (uint32_t i = 0; result == DBK_OK && i < (single ? 1 : root->count); i++, one = dbk_json_next(one)) {
        result = run_one(bench, one);
    }
    if (result == DBK_OK) result = dbk_model_entry_end(bench->model, &bench->draft, &bench->err);
    if (result == DBK_OK) return DBK_OK;
    dbk_model_entry_drop(bench->model);
    bench->seq--;
    return result;
}

static void log_draft(row_bench *bench)
{
    dbk_buffer origin;
    dbk_entry entry;
    dbk_model_state state;
    uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE];

    dbk_buffer_init(&origin, dbk_port_system());
    fill_entry(bench, &entry);
    dbk_entry_encode(&origin, &entry);
    dbk_slice slice = dbk_buffer_slice(&origin);
    assert_int_equal(dbk_log_append(bench->place.log, &slice, 1, bench->time_ms, NULL, &bench->err), DBK_OK);
    dbk_log_head(bench->place.log, head);
    dbk_log_top(bench->place.log, top);
    dbk_changes changes;
    if (dbk_model_commit(bench->model, dbk_log_position(bench->place.log), head, top, &changes, &bench->err) !=
        DBK_OK) {
        fail_msg("%s", bench->err.text);
    }
    dbk_model_get_state(bench->model, &state);
    assert_int_equal(state.position, dbk_log_position(bench->place.log));
    dbk_buffer_release(&origin);
}

static void write_events(row_bench *bench)
{
    dbk_slice rest = dbk_buffer_slice(&bench->draft.events), names, name;
    dbk_event event;

    dbk_buffer_clear(&bench->text);
    while (dbk_event_next(&rest, &event)) {
        const char *mark = " +";
        if (bench->text.size) dbk_buffer_put_u8(&bench->text, '\n');
        dbk_buffer_printf(&bench->text, "%.*s %.*s %.*s", DBK_SLICE_ARG(event.stream), DBK_SLICE_ARG(event.type),
                          DBK_SLICE_ARG(event.data));
        for (names = event.filled; dbk_name_next(&names, &name); mark = ",") {
            dbk_buffer_printf(&bench->text, "%s%.*s", mark, DBK_SLICE_ARG(name));
        }
        if (event.has_base) dbk_buffer_printf(&bench->text, " ^%" PRIu64, event.base.seq);
    }
    (void)dbk_buffer_text(&bench->text);
}

dbk_result decide(row_bench *bench, const char *command)
{
    dbk_result result;

    if (dbk_model_begin(bench->model, &bench->err) != DBK_OK) fail_msg("%s", bench->err.text);
    result = decide_here(bench, command);
    write_events(bench);
    if (result == DBK_OK) {
        log_draft(bench);
    } else {
        dbk_model_rollback(bench->model);
    }
    return result;
}

void accept(row_bench *bench, const char *command, const char *events)
{
    dbk_result result = decide(bench, command);

    if (result != DBK_OK) fail_msg("%s: %s: %s", command, dbk_result_name(result), bench->err.text);
    if (events) assert_string_equal(dbk_buffer_text(&bench->text), events);
}

void refuse(row_bench *bench, const char *command, dbk_result code, const char *text, const char *detail)
{
    dbk_result result = decide(bench, command);

    if (result != code) fail_msg("%s: %s: %s", command, dbk_result_name(result), result < 0 ? bench->err.text : "");
    assert_string_equal(bench->err.text, text);
    assert_string_equal(bench->draft.detail.size ? dbk_buffer_text(&bench->draft.detail) : "", detail ? detail : "");
}

/* ---- facts */

static void put_event(dbk_buffer *events, const char *stream, const char *type, const char *data, const char *filled)
{
    dbk_buffer names;
    dbk_slice name = dbk_slice_text(filled ? filled : "");

    dbk_buffer_init(&names, dbk_port_system());
    if (filled) dbk_names_encode(&names, &name, 1);
    dbk_event event = {.stream = dbk_slice_text(stream),
                       .type = dbk_slice_text(type),
                       .type_version = 1,
                       .data = dbk_slice_text(data),
                       .filled_count = filled != NULL,
                       .filled = dbk_buffer_slice(&names)};
    dbk_event_encode(events, &event);
    dbk_buffer_release(&names);
}

uint64_t log_fact(row_bench *bench, const row_fact *f)
{
    dbk_entry entry = {.lineage = "lineage",
                       .id = {.incarnation = 1, .seq = f->seq},
                       .hlc = (uint64_t)(start_ms + (int64_t)f->ms) << 16,
                       .time_ms = start_ms + (int64_t)f->ms,
                       .command_id = dbk_slice_text(f->command_id ? f->command_id : "")};
    dbk_buffer events, origin;
    uint64_t position;

    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    entry.id.replica[0] = (uint8_t)('A' + f->author);
    memset(entry.command_hash, f->hash, sizeof(entry.command_hash));
    memcpy(entry.definition, bench->definition->hash, sizeof(entry.definition));
    if (f->definition) memset(entry.definition, f->definition, sizeof(entry.definition));
    if (f->stream) put_event(&events, f->stream, f->type, f->data, f->filled);
    if (f->stream_2) put_event(&events, f->stream_2, f->type_2, f->data_2, NULL);
    entry.event_count = (f->stream ? 1U : 0U) + (f->stream_2 ? 1U : 0U);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, &entry);
    dbk_slice slice = dbk_buffer_slice(&origin);
    if (dbk_log_append(bench->place.log, &slice, 1, start_ms, &position, &bench->err) != DBK_OK)
        fail_msg("%s", bench->err.text);
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
    return position;
}

void fold(row_bench *bench)
{
    bool shadow = false;

    if (dbk_model_catch_up(bench->model, 0, NULL, NULL, NULL, &shadow, &bench->err) != DBK_OK)
        fail_msg("%s", bench->err.text);
    if (!shadow) return;
    dbk_model_close(bench->model);
    bench->model = place_build(&bench->place, (dbk_shadow_options){0});
}

/* Rows that the log cannot tell and the skip list; rows of the app are in the fingerprint. */
static const char kept[] =
    "SELECT * FROM (SELECT entry, position, state, reason, against FROM _daybook_skips UNION ALL "
    "SELECT tab, version, key, last, at FROM _daybook_rows) ORDER BY 1, 2, 3";

static char *rows_of(dbk_model *model, const char *sql)
{
    dbk_buffer text;
    sqlite3_stmt *statement;

    dbk_buffer_init(&text, dbk_port_system());
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &statement, NULL), SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *value = (const char *)sqlite3_column_text(statement, i);
            dbk_buffer_printf(&text, "%s%s", i ? "|" : "", value ? value : "NULL");
        }
        dbk_buffer_put_u8(&text, '\n');
    }
    sqlite3_finalize(statement);
    char *copy = dbk_copy_text(dbk_port_system(), text.size ? dbk_buffer_text(&text) : "");
    assert_non_null(copy);
    dbk_buffer_release(&text);
    return copy;
}

void assert_replay(row_bench *bench)
{
    dbk_model *again = place_build(&bench->place, (dbk_shadow_options){0});
    dbk_model_state one, other;
    dbk_hash128 counted;
    uint64_t rows;

    dbk_model_get_state(bench->model, &one);
    dbk_model_get_state(again, &other);
    assert_int_equal(one.position, other.position);
    assert_memory_equal(&one.fingerprint, &other.fingerprint, sizeof(one.fingerprint));
    assert_int_equal(dbk_model_recount(again, &counted, &rows, &bench->err), DBK_OK);
    assert_memory_equal(&counted, &other.fingerprint, sizeof(counted));
    char *a = rows_of(bench->model, kept), *b = rows_of(again, kept);
    assert_string_equal(a, b);
    dbk_free(dbk_port_system(), a);
    dbk_free(dbk_port_system(), b);
    dbk_model_close(again);
}

void assert_rows(dbk_model *model, const char *sql, const char *expected)
{
    char *text = rows_of(model, sql);

    if (*text) text[strlen(text) - 1] = '\0';
    assert_string_equal(text, expected);
    dbk_free(dbk_port_system(), text);
}
