/* Any bytes as a definition: files are split by lines "=== name". Every answer must be whole:
 * findings with places inside their file and UTF-8 texts, a definition exactly when there is no
 * error, and what was accepted must load again to the same hash. */
#include <stdlib.h>

#include "projector/definition.h"

enum { FILES_MAX = 8, NAME_MAX_BYTES = 40 };

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

typedef struct files {
    dbk_source items[FILES_MAX];
    char names[FILES_MAX][NAME_MAX_BYTES];
    size_t count;
} files;

static const uint8_t *end_of_line(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *found = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

    return found ? found : end;
}

static void begin_file(files *f, const uint8_t *name, size_t size)
{
    char *to = f->names[f->count];

    if (size >= NAME_MAX_BYTES) size = NAME_MAX_BYTES - 1;
    if (size) memcpy(to, name, size);
    to[size] = '\0';
    f->items[f->count++] = (dbk_source){to, {NULL, 0}};
}

static void split(files *f, const uint8_t *at, const uint8_t *end)
{
    f->count = 0;
    begin_file(f, (const uint8_t *)"schema.sql", 10);
    f->items[0].text.data = at;
    while (at < end) {
        const uint8_t *line = end_of_line(at, end), *next = line < end ? line + 1 : end;
        dbk_source *file = &f->items[f->count - 1];
        if (line - at >= 4 && memcmp(at, "=== ", 4) == 0 && f->count < FILES_MAX) {
            begin_file(f, at + 4, (size_t)(line - at - 4));
            f->items[f->count - 1].text.data = next;
        } else {
            file->text.size = (size_t)(next - file->text.data);
        }
        at = next;
    }
}

static void check_findings(const dbk_findings *findings)
{
    dbk_buffer text;
    size_t errors = 0;

    for (size_t i = 0; i < findings->count; i++) {
        const dbk_finding *f = &findings->items[i];
        REQUIRE(f->text[0] && dbk_utf8_valid(dbk_slice_text(f->text)) && dbk_utf8_valid(dbk_slice_text(f->advice)));
        REQUIRE(dbk_utf8_valid(dbk_slice_text(f->file)));
        REQUIRE(dbk_utf8_valid(dbk_slice_text(f->source_line)) && !strchr(f->source_line, '\n'));
        REQUIRE((f->line == 0) == (f->column == 0) && (f->line == 0 || f->caret_length > 0));
        errors += !f->warning;
    }
    REQUIRE(errors <= findings->errors && (findings->errors == 0) == (errors == 0));
    dbk_buffer_init(&text, dbk_port_system());
    dbk_findings_print(findings, &text);
    dbk_findings_json(findings, &text);
    REQUIRE(!text.failed);
    dbk_buffer_release(&text);
}

static void check_definition(const dbk_definition *d)
{
    for (size_t i = 0; i < d->table_count; i++) {
        const dbk_table *t = &d->tables[i];
        REQUIRE(t->key_count > 0 && t->key_count <= t->column_count && (t->collection || !t->row_local));
        for (uint16_t k = 0; k < t->key_count; k++) REQUIRE(t->columns[t->key_columns[k]].key_part == k + 1);
        for (uint16_t c = 0; c < t->column_count; c++)
            REQUIRE(dbk_table_column(t, dbk_slice_text(t->columns[c].name)) == c);
    }
    for (size_t i = 0; i < d->projection_count; i++) REQUIRE(d->projections[i].statement_count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dbk_definition *definition, *again;
    dbk_findings findings;
    dbk_error err = {0};
    files f;

    split(&f, data, data + size);
    dbk_result result = dbk_definition_parse(dbk_port_system(), f.items, f.count, "app", &definition, &findings, &err);
    REQUIRE(result == (findings.errors ? DBK_SCHEMA : DBK_OK) && (definition == NULL) == (result != DBK_OK));
    check_findings(&findings);
    dbk_findings_free(&findings);
    if (!definition) return 0;
    check_definition(definition);
    REQUIRE(dbk_definition_parse(dbk_port_system(), definition->sources, definition->source_count, "b", &again,
                                 &findings, NULL) == DBK_OK);
    REQUIRE(memcmp(definition->hash, again->hash, sizeof(again->hash)) == 0);
    dbk_findings_free(&findings);
    dbk_definition_free(again);
    dbk_definition_free(definition);
    return 0;
}
