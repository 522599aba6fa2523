/* What else a name in a client's SQL may have meant, when SQLite knows no such table or column. */
#include "projector/reader/internal.h"
#include "projector/rules.h"

enum { NAMES_MAX = 256 };

typedef struct names {
    const char *list[NAMES_MAX];
    size_t count;
} names;

static void add(names *known, const char *name)
{
    if (known->count < NAMES_MAX) known->list[known->count++] = name;
}

static void add_tables(const dbk_model_reader *reader, names *known)
{
    const dbk_definition *definition = reader->definition;
    for (size_t i = 0; i < definition->table_count; i++) add(known, definition->tables[i].name);
    for (size_t i = 0; i < definition->app->search_count; i++) add(known, definition->app->searches[i].name);
}

static void add_columns(const dbk_model_reader *reader, names *known)
{
    for (size_t i = 0; i < reader->definition->table_count; i++) {
        const dbk_table *table = &reader->definition->tables[i];
        for (size_t column = 0; column < table->column_count; column++) add(known, table->columns[column].name);
    }
    for (size_t i = 0; dbk_reader_events_column(i); i++) add(known, dbk_reader_events_column(i));
}

static void list_tables(const dbk_model_reader *reader, dbk_error *err)
{
    names known = {0};
    add_tables(reader, &known);
    if (known.count == 0) return;
    dbk_error_hint(err, "the app has '%s'%s%s%s%s", known.list[0], known.count > 1 ? ", '" : "",
                   known.count > 1 ? known.list[1] : "", known.count > 1 ? "'" : "",
                   known.count > 2 ? " and more" : "");
}

/* What is behind `words` in the message without the names before its last dot; of size 0: the message is another. */
static dbk_slice name_behind(const char *message, const char *words)
{
    size_t size = strlen(words);
    if (strncmp(message, words, size) != 0) return dbk_slice_of(message, 0);
    const char *name = message + size, *dot = strrchr(name, '.');
    return dbk_slice_text(dot ? dot + 1 : name);
}

void dbk_reader_advise(const dbk_model_reader *reader, const char *message, dbk_error *err)
{
    dbk_slice table = name_behind(message, "no such table: "), column = name_behind(message, "no such column: ");
    names known = {0};
    if (!reader->definition || (table.size == 0 && column.size == 0)) return;
    if (table.size > 0) {
        add_tables(reader, &known);
        add(&known, "events");
    } else {
        add_columns(reader, &known);
    }
    const char *near = dbk_nearest(table.size > 0 ? table : column, known.list, known.count);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    else if (table.size > 0) list_tables(reader, err);
}
