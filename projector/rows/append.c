/* Events that are no rows: appended by the app, or the engine's own. */
#include "projector/rows/internal.h"
#include "projector/rules.h"

enum { TYPE_MAX_BYTES = 1024 };

static dbk_result check_name(const char *what, dbk_slice name, size_t most, dbk_error *err)
{
    if (name.size == 0) return dbk_fail(err, DBK_BAD_COMMAND, "an append needs a %s", what);
    if (name.size > most) return dbk_fail(err, DBK_TOO_BIG, "the %s has %zu bytes, over %zu", what, name.size, most);
    if (memchr(name.data, 0, name.size) || !dbk_utf8_valid(name)) {
        return dbk_fail(err, DBK_BAD_COMMAND, "the %s is no text without NUL characters", what);
    }
    return DBK_OK;
}

/* Types and streams of collections belong to put, patch and delete. */
static dbk_result check_reserved(const dbk_definition *definition, dbk_slice stream, dbk_slice type, dbk_error *err)
{
    const uint8_t *slash = memchr(stream.data, '/', stream.size);
    dbk_slice head = dbk_slice_of(stream.data, slash ? (size_t)(slash - stream.data) : stream.size);
    const dbk_table *table;
    dbk_row_op op;

    if ((type.size >= 8 && memcmp(type.data, "daybook.", 8) == 0) ||
        dbk_definition_row_event(definition, type, &table, &op)) {
        return dbk_fail(err, DBK_BAD_COMMAND, "the type '%.*s' is reserved", DBK_SLICE_ARG(type));
    }
    table = dbk_definition_table(definition, head);
    if (dbk_slice_equal(head, dbk_slice_text("daybook")) || (table && table->collection)) {
        (void)dbk_fail(err, DBK_BAD_COMMAND, "the stream '%.*s' is reserved", DBK_SLICE_ARG(stream));
        dbk_error_hint(err, "rows are changed by put, patch and delete");
        return DBK_BAD_COMMAND;
    }
    return DBK_OK;
}

static dbk_result check_expect(dbk_model *model, dbk_draft *draft, dbk_slice stream, const dbk_json_node *expect,
                               dbk_error *err)
{
    uint64_t version = 0;
    int64_t wanted;
    dbk_result result;

    if (!expect || dbk_json_text_is(expect, "any")) return DBK_OK;
    if (!dbk_row_expect_asks_row(expect) && !(dbk_json_is_integer(expect, &wanted) && wanted >= 0)) {
        return dbk_fail(err, DBK_BAD_COMMAND, "expect is a version, \"none\", \"exists\" or \"any\"");
    }
    result = dbk_model_version(model, stream, &version, err);
    return result == DBK_OK ? dbk_row_expect(model, draft, stream, expect, version > 0, err) : result;
}

static dbk_result note_stream(dbk_draft *draft, dbk_slice stream, dbk_error *err)
{
    dbk_buffer_clear(&draft->last_stream_text);
    dbk_buffer_put_slice(&draft->last_stream_text, stream);
    if (draft->last_stream_text.failed) return dbk_row_no_memory(err);
    draft->last_stream = dbk_buffer_slice(&draft->last_stream_text);
    return DBK_OK;
}

/* Known is what a projection reads, a schema judges, or the app names. */
static bool is_known(dbk_model *model, dbk_slice type)
{
    const dbk_app *app = model->definition->app;

    if (dbk_project_count(model, type) > 0) return true;
    if (model->definition->schema_count && dbk_definition_schema(model->definition, type)) return true;
    for (size_t i = 0; i < app->known_event_count; i++)
        if (dbk_pattern_matches(app->known_events[i], type)) return true;
    return false;
}

/* events.unknown: refused, or told by the receipt (of several types the first). */
static dbk_result check_known(dbk_model *model, dbk_draft *draft, dbk_slice type, dbk_error *err)
{
    const dbk_app *app = model->definition->app;
    dbk_error own = {0};
    const char *near;

    if (app->unknown_events == DBK_EVENTS_KEEP || is_known(model, type)) return DBK_OK;
    near = dbk_nearest(type, app->known_events, app->known_event_count);
    (void)dbk_fail(&own, DBK_UNKNOWN_TYPE, "there is no event type '%.*s'", DBK_SLICE_ARG(type));
    if (near) dbk_error_hint(&own, "did you mean '%s'?", near);
    if (app->unknown_events == DBK_EVENTS_REFUSE) {
        if (err) *err = own;
        return DBK_UNKNOWN_TYPE;
    }
    if (draft->warning.size > 0) return DBK_OK;
    dbk_buffer_put_text(&draft->warning, own.text);
    if (near) dbk_buffer_printf(&draft->warning, ": %s", own.hint);
    return draft->warning.failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result append(dbk_model *model, dbk_draft *draft, dbk_slice stream, dbk_slice type,
                         const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err)
{
    dbk_buffer *text = &model->work->data;
    dbk_result result = check_name("stream", stream, DBK_STREAM_MAX_BYTES, err);

    if (result == DBK_OK) result = check_name("type", type, TYPE_MAX_BYTES, err);
    if (result == DBK_OK) result = check_reserved(model->definition, stream, type, err);
    if (result == DBK_OK) result = check_known(model, draft, type, err);
    if (result == DBK_OK) result = check_expect(model, draft, stream, expect, err);
    if (result == DBK_OK) result = note_stream(draft, stream, err);
    if (result == DBK_OK && dbk_project_count(model, type) > 0) result = dbk_row_savepoint(model, err);
    if (result != DBK_OK) return result;
    dbk_buffer_clear(text);
    if (!data) {
        dbk_buffer_put_text(text, "{}");
    } else if (draft->canonical.size == 0) {
        dbk_json_put_canonical(text, data);
    }
    if (text->failed) return dbk_row_no_memory(err);
    dbk_slice canonical = data && draft->canonical.size ? draft->canonical : dbk_buffer_slice(text);
    result = dbk_row_judge_event(model, draft, type, canonical, err);
    if (result != DBK_OK) return result;
    dbk_event event = {
        .stream = draft->last_stream, .type = type, .type_version = model->definition->version, .data = canonical};
    if (model->work->taken_back) {
        event.has_base = true;
        event.base = *model->work->taken_back;
    }
    return dbk_row_emit(model, draft, &event, data, err);
}

dbk_result dbk_model_append(dbk_model *model, dbk_draft *draft, dbk_slice stream, dbk_slice type,
                            const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err)
{
    if (!model->in_entry) return dbk_fail(err, DBK_INTERNAL, "no entry is open");
    return dbk_row_note_constraint(model, draft, append(model, draft, stream, type, data, expect, err), err);
}

bool dbk_model_reads_type(dbk_model *model, dbk_slice type)
{
    return dbk_project_count(model, type) > 0;
}

/* A dismissal takes a skipped entry out of the inbox. What else the engine writes changes no row
 * here. */
dbk_result dbk_row_engine_event(dbk_model *model, const dbk_event *event, dbk_error *err)
{
    const dbk_json_node *root, *entry;
    sqlite3_stmt *statement;
    dbk_result result;

    if (!dbk_slice_equal(event->type, dbk_slice_text("daybook.dismissed"))) return DBK_OK;
    result = dbk_json_parse(model->work->parser, event->data, &root, err);
    if (result != DBK_OK) return result;
    entry = dbk_json_member(root, "entry");
    if (!entry || entry->kind != DBK_JSON_STRING) return dbk_fail(err, DBK_SCHEMA, "a dismissal names an entry");
    result = dbk_model_statement(model, DBK_PLACE_DISMISS, "INSERT OR IGNORE INTO _daybook_dismissed(entry) VALUES(?1)",
                                 &statement, err);
    if (result != DBK_OK) return result;
    int rc =
        sqlite3_bind_text64(statement, 1, (const char *)entry->text.data, entry->text.size, SQLITE_STATIC, SQLITE_UTF8);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "dismiss an entry", err);
    return dbk_row_run(model, statement, "dismiss an entry", NULL, err);
}

dbk_result dbk_model_engine_event(dbk_model *model, dbk_draft *draft, const char *stream, const char *type,
                                  dbk_slice data, dbk_error *err)
{
    dbk_event event = {.stream = dbk_slice_text(stream), .type = dbk_slice_text(type), .type_version = 1, .data = data};
    dbk_result result;

    if (!model->in_entry) return dbk_fail(err, DBK_INTERNAL, "no entry is open");
    result = note_stream(draft, event.stream, err);
    if (result == DBK_OK) result = dbk_row_emit(model, draft, &event, NULL, err);
    return result == DBK_OK ? dbk_row_engine_event(model, &event, err) : result;
}
