/* schemas/<name>.json: a schema of a table's rows, or of the data of a type's events. */
#include <stdlib.h>

#include "projector/definition/internal.h"

enum { SCHEMAS_MAX = 1000 };
static const char prefix[] = "schemas/", suffix[] = ".json";

static bool is_schema(const char *name)
{
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0;
}

/* name *("." name) between the two; NULL: not of that form. */
static const char *name_of(dbk_check *check, const char *file)
{
    size_t size = strlen(file), from = sizeof(prefix) - 1;
    dbk_slice name;

    if (size <= from + sizeof(suffix) - 1 || strcmp(file + size - sizeof(suffix) + 1, suffix) != 0) return NULL;
    dbk_line line = {file + from, file + size - sizeof(suffix) + 1};
    do {
        if (!dbk_line_name(&line, &name)) return NULL;
    } while (dbk_line_take(&line, "."));
    if (line.at != line.end) return NULL;
    return dbk_check_text(check, dbk_slice_of(file + from, size - from - sizeof(suffix) + 1));
}

typedef struct faults {
    dbk_check *check;
    const dbk_source *source;
} faults;

static void note(void *arg, size_t offset, size_t size, const char *text, const char *advice)
{
    faults *f = arg;
    size_t end = offset + size;

    if (end > f->source->text.size) end = f->source->text.size;
    dbk_report_error(f->check->report, (dbk_span){f->source, offset, end > offset ? end : offset + 1}, advice, "%s",
                     text);
}

static void check_name(dbk_check *check, const dbk_source *source, const char *name)
{
    const dbk_table *table = dbk_definition_table(check->definition, dbk_slice_text(name));
    dbk_span whole = {source, SIZE_MAX, 0};

    if (table && !table->collection)
        dbk_report_warning(check->report, whole, "a schema of the event that its projection reads",
                           "projections write '%s': no row of it is judged", name);
    if (!table && !strchr(name, '.')) {
        const char *near = dbk_check_nearest_table(check, dbk_slice_text(name));
        if (near)
            dbk_report_warning(check->report, whole, near, "'%s' is no table: it judges events of that type", name);
    }
}

/* The files of schemas/ by their names without the folder: what a $ref in one of them leads to. */
static bool list_documents(dbk_check *check, dbk_json_schema_options *options)
{
    const dbk_definition *definition = check->definition;
    dbk_json_schema_document *documents = dbk_check_take(check, definition->source_count + 1, sizeof(*documents));

    if (!documents) return false;
    options->documents = documents;
    for (size_t i = 0; i < definition->source_count; i++) {
        const dbk_source *source = &definition->sources[i];
        if (is_schema(source->name) && dbk_utf8_valid(source->text) && source->text.size <= DBK_SOURCE_MAX_BYTES)
            documents[options->document_count++] =
                (dbk_json_schema_document){source->name + sizeof(prefix) - 1, source->text};
    }
    return true;
}

static void read_schema(dbk_check *check, const dbk_source *source, const dbk_json_schema_options *documents)
{
    dbk_definition *definition = check->definition;
    dbk_json_schema_options options = *documents;
    faults f = {check, source};
    dbk_json_schema *schema = NULL;
    const char *name = name_of(check, source->name);

    if (check->failed) return;
    if (!name) {
        dbk_report_error(check->report, (dbk_span){source, SIZE_MAX, 0}, "schemas/notes.json, schemas/job.done.json",
                         "'%s' is not named for a table or a type of events", source->name);
        return;
    }
    if (!dbk_utf8_valid(source->text) || source->text.size > DBK_SOURCE_MAX_BYTES) return; /* said */
    check_name(check, source, name);
    options.uri = source->name + sizeof(prefix) - 1;
    dbk_result result = dbk_json_schema_new(check->port, source->text, &options, note, &f, &schema, NULL);
    if (result == DBK_NO_MEMORY) check->failed = true;
    else if (result == DBK_INTERNAL)
        dbk_report_error(check->report, (dbk_span){source, SIZE_MAX, 0}, "a simpler schema",
                         "the schema cannot be read");
    if (result == DBK_OK) definition->schemas[definition->schema_count++] = (dbk_named_schema){name, schema};
}

void dbk_check_schemas(dbk_check *check)
{
    dbk_definition *definition = check->definition;
    size_t count = 0;

    for (size_t i = 0; i < definition->source_count; i++) count += is_schema(definition->sources[i].name);
    if (count > SCHEMAS_MAX) {
        dbk_report_error(check->report, (dbk_span){NULL, 0, 0}, "fewer", "more than %d schemas", SCHEMAS_MAX);
        return;
    }
    dbk_json_schema_options documents = {0};
    if (count == 0 || !list_documents(check, &documents)) return;
    definition->schemas = dbk_check_take(check, count + 1, sizeof(dbk_named_schema));
    for (size_t i = 0; i < definition->source_count && !check->failed; i++)
        if (is_schema(definition->sources[i].name)) read_schema(check, &definition->sources[i], &documents);
}
