/* Replicas of a trace and what is done to them; the operations themselves are in trace_ops.c. */
#include "tests/trace/trace_stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

bool stage_gives(dbk_slice member)
{
    (void)member;
    return true;
}

char *text_of(const dbk_json_node *node)
{
    if (!node || node->kind != DBK_JSON_STRING) return NULL;
    return strndup((const char *)node->text.data, node->text.size);
}

stage_replica *find_replica(trace_stage *stage, const dbk_json_node *name)
{
    for (size_t i = 0; name && i < stage->replica_count; i++) {
        if (dbk_json_text_is(name, stage->replicas[i].name)) return &stage->replicas[i];
    }
    return NULL;
}

const dbk_definition *find_definition(trace_stage *stage, const dbk_json_node *name)
{
    for (size_t i = 0; name && i < stage->definition_count; i++) {
        if (dbk_json_text_is(name, stage->definitions[i].name)) return stage->definitions[i].definition;
    }
    return NULL;
}

dbk_result stage_open(trace_stage *stage)
{
    *stage = (struct trace_stage){.port = dbk_port_system()};
    const char *folder = getenv("TMPDIR");
    snprintf(stage->root, sizeof stage->root, "%s/daybook-trace-XXXXXX", folder ? folder : "/tmp");
    stage->parser = dbk_json_parser_new(stage->port);
    stage->inner = dbk_json_parser_new(stage->port);
    stage->messages = calloc(STAGE_MESSAGES, sizeof *stage->messages);
    if (!stage->parser || !stage->inner || !stage->messages)
        return dbk_fail(&stage->err, DBK_NO_MEMORY, "out of memory");
    if (!mkdtemp(stage->root)) return dbk_fail(&stage->err, DBK_IO, "cannot make folder '%s'", stage->root);
    return DBK_OK;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void stage_close(trace_stage *stage)
{
    for (size_t i = 0; i < stage->replica_count; i++) {
        stage_replica *replica = &stage->replicas[i];
        dbk_engine_close(replica->engine);
        dbk_buffer_release(&replica->feed);
        dbk_buffer_release(&replica->received);
        free(replica->name);
        free(replica->path);
        free(replica->drop);
    }
    for (size_t i = 0; i < stage->message_count; i++) {
        dbk_buffer_release(&stage->messages[i].bytes);
        free(stage->messages[i].name);
    }
    for (size_t i = 0; i < stage->definition_count; i++) {
        dbk_definition_free(stage->definitions[i].definition);
        free(stage->definitions[i].name);
    }
    free(stage->messages);
    dbk_json_parser_free(stage->parser);
    dbk_json_parser_free(stage->inner);
    remove_tree(stage->root);
}

/* SQLite loses the transaction in a command, or the process dies behind a point. */
static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice command_id)
{
    stage_replica *replica = arg;
    if (replica->drop && !strcmp(point, "decide") && dbk_slice_equal(command_id, dbk_slice_text(replica->drop))) {
        sqlite3_exec(dbk_model_handle(dbk_engine_model(engine)), "ROLLBACK", NULL, NULL, NULL);
    }
    if (!replica->crash || strcmp(point, replica->crash) != 0) return 0;
    replica->crashed = true;
    return 1;
}

/* A key as it stands in stream names: parts percent-encoded, joined by '/'. */
static void put_encoded_key(const dbk_json_node *key, dbk_buffer *out)
{
    dbk_buffer text;
    const dbk_json_node *part = key->kind == DBK_JSON_ARRAY ? key + 1 : key;
    uint32_t count = key->kind == DBK_JSON_ARRAY ? key->count : 1;
    dbk_buffer_init(&text, dbk_port_system());
    for (uint32_t i = 0; i < count; i++, part = dbk_json_next(part)) {
        if (i) dbk_buffer_put_u8(&text, '/');
        dbk_percent_encode(&text, part->text);
    }
    dbk_json_put_string(out, dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
}

static void put_set(dbk_slice text, dbk_buffer *out)
{
    dbk_buffer spaced;
    dbk_buffer_init(&spaced, dbk_port_system());
    for (size_t i = 0; i < text.size; i++) {
        dbk_buffer_put_u8(&spaced, text.data[i]);
        if (text.data[i] == ',') dbk_buffer_put_u8(&spaced, ' ');
    }
    dbk_json_put_string(out, dbk_buffer_slice(&spaced));
    dbk_buffer_release(&spaced);
}

static void put_row(const dbk_table *table, const dbk_json_node *row, dbk_buffer *out)
{
    const dbk_json_node *member = dbk_json_child(row);
    dbk_buffer_put_u8(out, '{');
    for (uint32_t i = 0; i < row->count; i++, member = dbk_json_next(member)) {
        int column = dbk_table_column(table, member->name);
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, member->name);
        dbk_buffer_put_u8(out, ':');
        if (column >= 0 && is_set(table, column) && member->kind == DBK_JSON_STRING) put_set(member->text, out);
        else dbk_json_put_minimal(out, member);
    }
    dbk_buffer_put_u8(out, '}');
}

/* The changes in the model's words: rows by key, null for one that is gone; or the keys alone. */
void put_changes(const dbk_definition *definition, const dbk_json_node *message, dbk_buffer *out)
{
    const dbk_table *table = dbk_definition_table(definition, dbk_json_member(message, "table")->text);
    const dbk_json_node *changes = dbk_json_member(message, "changes"), *keys = dbk_json_member(message, "keys");
    const dbk_json_node *change = changes + 1;
    bool keys_only = keys && keys->kind == DBK_JSON_TRUE;
    dbk_buffer_put_text(out, keys_only ? ",\"keys\":[" : ",\"rows\":{");
    for (uint32_t i = 0; i < changes->count; i++, change = dbk_json_next(change)) {
        const dbk_json_node *row = dbk_json_member(change, "row");
        if (i) dbk_buffer_put_u8(out, ',');
        put_encoded_key(dbk_json_member(change, "key"), out);
        if (keys_only) continue;
        dbk_buffer_put_u8(out, ':');
        if (row) put_row(table, row, out);
        else dbk_buffer_put_text(out, "null");
    }
    dbk_buffer_put_u8(out, keys_only ? ']' : '}');
}

/* A message in the model's words: the cursor as one member, the table as topic. */
static void put_message(const dbk_definition *definition, const dbk_json_node *message, dbk_buffer *out)
{
    static const char *const cursor[] = {"timeline", "generation", "position"};
    const dbk_json_node *reset = dbk_json_member(message, "reset");
    dbk_buffer_put_text(out, "{\"cursor\":[");
    for (size_t i = 0; i < 3; i++) {
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_minimal(out, dbk_json_member(message, cursor[i]));
    }
    dbk_buffer_put_text(out, "],\"topic\":");
    dbk_json_put_minimal(out, dbk_json_member(message, "table"));
    dbk_buffer_put_text(out, ",\"previous\":");
    dbk_json_put_minimal(out, dbk_json_member(message, "previous"));
    if (reset) dbk_buffer_put_text(out, ",\"reset\":true");
    else put_changes(definition, message, out);
    dbk_buffer_put_u8(out, '}');
}

static void on_message(void *arg, const char *table, const char *message, size_t size)
{
    stage_replica *replica = arg;
    const dbk_json_node *parsed;
    if (!table) return; /* a head: the model gives one only when asked */
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    if (replica->feed.size) dbk_buffer_put_u8(&replica->feed, ',');
    if (!parser || dbk_json_parse(parser, dbk_slice_of(message, size), &parsed, NULL) != DBK_OK) {
        dbk_buffer_put_text(&replica->feed, "{\"unreadable\":true}");
    } else {
        put_message(replica->definition, parsed, &replica->feed);
    }
    dbk_json_parser_free(parser);
}

dbk_result replica_open(trace_stage *stage, stage_replica *replica)
{
    return dbk_engine_open(replica->path, &replica->options, &replica->engine, &stage->err);
}

void replica_close(stage_replica *replica)
{
    dbk_engine_close(replica->engine);
    replica->engine = NULL;
}

/* A name, a path and the limits of the model: replica and timeline are called after the name. */
stage_replica *replica_add(trace_stage *stage, const dbk_json_node *name, const dbk_definition *definition)
{
    if (stage->replica_count == STAGE_REPLICAS || !name || name->kind != DBK_JSON_STRING || name->text.size > 15)
        return NULL;
    stage_replica *replica = &stage->replicas[stage->replica_count++];
    char path[320];
    *replica = (stage_replica){.definition = definition, .name = text_of(name)};
    snprintf(path, sizeof path, "%s/store-%zu", stage->root, stage->replica_count);
    replica->path = strdup(path);
    dbk_buffer_init(&replica->feed, stage->port);
    dbk_buffer_init(&replica->received, stage->port);
    dbk_engine_options *options = &replica->options;
    options->no_threads = true;
    options->given_ids = true;
    memcpy(options->lineage, "lineage", 7);
    memcpy(options->replica, name->text.data, name->text.size);
    options->incarnation = 1;
    options->timeline = replica->name;
    options->definition = definition;
    options->model =
        (dbk_model_options){.journal_rows = 16, .keys_only_over = 4, .reset_table_over = 8, .put_keeps_unnamed = true};
    options->log = (dbk_log_options){.no_background = true, .no_direct = true};
    options->publish = on_message;
    options->publish_arg = replica;
    options->hook = at_point;
    options->hook_arg = replica;
    return replica;
}

void put_cursor(stage_replica *replica, dbk_buffer *out)
{
    const char *timeline;
    uint64_t generation, position;
    dbk_engine_cursor(replica->engine, &timeline, &generation, &position);
    dbk_buffer_printf(out, "\"cursor\":[\"%s\",%llu,%llu]", timeline, (unsigned long long)generation,
                      (unsigned long long)position);
}

/* Imports what of `bytes` the log does not have; all of it, or with `missing` only that. */
dbk_result replica_import(trace_stage *stage, stage_replica *replica, dbk_slice bytes, int64_t now_ms, uint64_t *logged,
                          uint64_t *parked)
{
    size_t count = 0;
    dbk_reader reader = dbk_reader_of(bytes);
    dbk_slice *origins = calloc(bytes.size / 4 + 1, sizeof *origins);
    if (!origins) return dbk_fail(&stage->err, DBK_NO_MEMORY, "out of memory");
    while (dbk_reader_left(&reader) && !reader.failed) {
        uint32_t size = dbk_reader_u32(&reader);
        origins[count++] = dbk_reader_take(&reader, size);
    }
    dbk_result result = dbk_engine_import(replica->engine, origins, count, now_ms, logged, parked, &stage->err);
    free(origins);
    return result;
}
