/* daybook import: the tables and rows of an SQLite file become a definition and a store. */
#include <ctype.h>

#include "cli/import.h"

/* ---- the report */

static void put_json_text(dbk_buffer *out, const char *name, const char *text)
{
    dbk_buffer_printf(out, "\"%s\":", name);
    dbk_json_put_string(out, dbk_slice_text(text));
}

/* `reason` is the first of `reasons`. */
static void put_json_reasons(dbk_buffer *out, const dbk_import_table *table)
{
    if (table->reason_count == 0) return;
    dbk_buffer_put_u8(out, ',');
    put_json_text(out, "reason", table->reasons[0].reason);
    dbk_buffer_put_text(out, ",\"reasons\":[");
    for (size_t i = 0; i < table->reason_count; i++) {
        const dbk_import_refusal *refusal = &table->reasons[i];
        dbk_buffer_put_text(out, i ? ",{" : "{");
        put_json_text(out, "reason", refusal->reason);
        dbk_buffer_printf(out, ",\"rows\":%llu,\"first\":%s}", (unsigned long long)refusal->rows,
                          refusal->row[0] ? refusal->row : "null");
    }
    dbk_buffer_put_u8(out, ']');
}

static void put_json_table(dbk_import *import, dbk_buffer *out, const dbk_import_table *table, bool sent)
{
    dbk_buffer_put_u8(out, '{');
    put_json_text(out, "table", table->name);
    dbk_buffer_put_u8(out, ',');
    put_json_text(out, "from", dbk_import_shown(import, table->from));
    dbk_buffer_printf(out, ",\"rows\":%llu", (unsigned long long)table->rows);
    if (sent)
        dbk_buffer_printf(out, ",\"new\":%llu,\"again\":%llu,\"refused\":%llu", (unsigned long long)table->fresh,
                          (unsigned long long)table->again, (unsigned long long)table->refused);
    put_json_reasons(out, table);
    dbk_buffer_put_u8(out, '}');
}

static void put_json_notes(dbk_buffer *out, const dbk_import *import, const char *name, bool changed)
{
    bool first = true;
    dbk_buffer_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < import->note_count; i++) {
        const dbk_import_note *note = &import->notes[i];
        if (note->changed != changed) continue;
        dbk_buffer_put_text(out, first ? "{" : ",{");
        first = false;
        put_json_text(out, "what", note->what);
        dbk_buffer_put_u8(out, ',');
        put_json_text(out, "name", note->name);
        dbk_buffer_put_u8(out, ',');
        put_json_text(out, "reason", note->reason);
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, ']');
}

static void show_json(dbk_import *import, const char *made, bool sent, const dbk_error *err)
{
    dbk_buffer out;
    bool first = true;
    dbk_buffer_init(&out, import->port);
    if (err) dbk_cli_put_failure(&out, err);
    else dbk_buffer_put_text(&out, "{\"ok\":true");
    dbk_buffer_put_u8(&out, ',');
    put_json_text(&out, sent ? "store" : "app", made);
    dbk_buffer_put_text(&out, ",\"tables\":[");
    for (size_t i = 0; i < import->table_count; i++) {
        if (import->tables[i].left_out) continue;
        if (!first) dbk_buffer_put_u8(&out, ',');
        first = false;
        put_json_table(import, &out, &import->tables[i], sent);
    }
    dbk_buffer_put_u8(&out, ']');
    put_json_notes(&out, import, "left_out", false);
    put_json_notes(&out, import, "changed", true);
    dbk_buffer_printf(&out, ",\"warnings\":%zu}", import->warnings);
    (void)dbk_out_built_line(&out);
    dbk_buffer_release(&out);
}

static void put_line(const char *text)
{
    dbk_out_shown(dbk_slice_text(text), dbk_terminal_is(stdout));
    putchar('\n');
}

static const char *with_reasons(dbk_import *import, const char *line, const dbk_import_table *table)
{
    uint64_t told = 0;
    line = dbk_import_printf(import, "%s, %llu refused:", line, (unsigned long long)table->refused);
    for (size_t i = 0; i < table->reason_count; i++) {
        const dbk_import_refusal *refusal = &table->reasons[i];
        line = dbk_import_printf(import, "%s%s %s (%llu %s%s%s)", line, i ? ";" : "", refusal->reason,
                                 (unsigned long long)refusal->rows, dbk_plural(refusal->rows, "row", "rows"),
                                 refusal->row[0] ? ", first " : "", refusal->row);
        told += refusal->rows;
    }
    return told < table->refused ? dbk_import_printf(import, "%s; others", line) : line;
}

static void show(dbk_import *import, bool sent)
{
    for (size_t i = 0; i < import->table_count; i++) {
        const dbk_import_table *t = &import->tables[i];
        if (t->left_out) continue;
        const char *line = dbk_import_printf(import, "%-24s %10llu %s", t->name, (unsigned long long)t->rows,
                                             dbk_plural(t->rows, "row", "rows"));
        if (sent)
            line = dbk_import_printf(import, "%s, %llu new, %llu again", line, (unsigned long long)t->fresh,
                                     (unsigned long long)t->again);
        if (t->refused) line = with_reasons(import, line, t);
        put_line(line);
    }
    for (size_t i = 0; i < import->note_count; i++) {
        const dbk_import_note *note = &import->notes[i];
        put_line(dbk_import_printf(import, "%s  %s %s: %s", note->changed ? "changed " : "left out", note->what,
                                   note->name, note->reason));
    }
    dbk_out_flush();
    if (import->warnings)
        dbk_cli_note("the definition has %zu %s: 'daybook check' shows them", import->warnings,
                     dbk_plural(import->warnings, "warning", "warnings"));
}

/* ---- the definition as a folder */

static dbk_result write_app(const dbk_import *import, const char *path, dbk_error *err)
{
    const dbk_port *port = import->port;
    dbk_dir *dir = NULL;
    dbk_identity identity;
    dbk_result result = dbk_io_open_dir(port, NULL, path, DBK_OPEN_DIRECTORY, &dir, err);
    if (result == DBK_OK && (port->identify(port->ctx, dir, "schema.sql", &identity) == 0 ||
                             port->identify(port->ctx, dir, "app.json", &identity) == 0)) {
        result = dbk_fail(err, DBK_EXISTS, "'%s' has a definition already", path);
        dbk_error_hint(err, "name a folder that is new or empty");
    }
    if (result == DBK_OK) result = dbk_io_replace_file(port, dir, "schema.sql", dbk_buffer_slice(&import->schema), err);
    if (result == DBK_OK) result = dbk_io_replace_file(port, dir, "app.json", dbk_buffer_slice(&import->app), err);
    if (dir) port->close_dir(port->ctx, dir);
    return result;
}

/* A store that keeps the definition; the folder that it is read from goes. */
static dbk_result make_store(dbk_import *import, const char *path, const dbk_options *options, dbk_error *err)
{
    const dbk_port *port = import->port;
    const char *app = dbk_import_printf(import, "%s.import", path);
    dbk_dir *dir = NULL;
    dbk_text report = {0};
    dbk_result result = write_app(import, app, err);
    if (result == DBK_OK) result = dbk_create(path, app, options, &report, err);
    dbk_text_free(&report);
    if (dbk_io_open_dir(port, NULL, app, 0, &dir, NULL) == DBK_OK) {
        port->unlink(port->ctx, dir, "schema.sql");
        port->unlink(port->ctx, dir, "app.json");
        port->close_dir(port->ctx, dir);
    }
    const char *slash = strrchr(app, '/');
    const char *parent = slash ? dbk_import_printf(import, "%.*s", (int)(slash == app ? 1 : slash - app), app) : ".";
    if (dbk_io_open_dir(port, NULL, parent, 0, &dir, NULL) == DBK_OK) {
        port->remove_dir(port->ctx, dir, slash ? slash + 1 : app);
        port->close_dir(port->ctx, dir);
    }
    return result;
}

/* ---- the command */

/* "My Notes.db" -> "my-notes" */
static const char *app_name(dbk_import *import, const char *file)
{
    char name[DBK_IMPORT_NAME_MAX + 1];
    size_t size = 0;
    const char *slash = strrchr(file, '/'), *from = slash ? slash + 1 : file, *dot = strrchr(from, '.');
    for (const char *at = from; *at && (at == from || at != dot) && size < DBK_IMPORT_NAME_MAX; at++) {
        if (size == 0 && !isalpha((unsigned char)*at)) continue;
        if (isalnum((unsigned char)*at)) name[size++] = (char)tolower((unsigned char)*at);
        else if (name[size - 1] != '-') name[size++] = '-';
    }
    while (size > 0 && name[size - 1] == '-') size--;
    name[size] = 0;
    return size ? dbk_import_copy(import, name) : "imported";
}

static int propose(dbk_import *import, const char *file)
{
    dbk_error err = {0};
    dbk_result result = dbk_import_open(import, file, &err);
    if (result == DBK_OK) {
        import->name = app_name(import, file);
        result = dbk_import_read(import, &err);
    }
    if (result == DBK_OK) result = dbk_import_choose_types(import, &err);
    if (result == DBK_OK) result = dbk_import_choose_keys(import, &err);
    if (result == DBK_OK) result = dbk_import_choose_order(import, &err);
    if (result == DBK_OK) result = dbk_import_propose(import, &err);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_FAILED);
}

/* `err`: rows were refused; NULL: all is well. */
static int finish(const dbk_cli *cli, dbk_import *import, const char *made, bool sent, const dbk_error *err)
{
    if (dbk_cli_flag(cli, "json")) show_json(import, made, sent, err);
    else show(import, sent);
    if (import->no_memory) dbk_out_lacks_memory();
    if (dbk_cli_flag(cli, "json")) return err ? DBK_EXIT_FAILED : DBK_EXIT_DONE;
    return err ? dbk_cli_fail(err, DBK_EXIT_FAILED) : DBK_EXIT_DONE;
}

static int load(const dbk_cli *cli, dbk_import *import, const char *into)
{
    dbk_cli_target target = {.path = into};
    dbk_options options = {.force_fs = dbk_cli_flag(cli, "force-fs"),
                           .force_location = dbk_cli_flag(cli, "force-location")};
    dbk_error err = {0};
    if (!dbk_cli_is_store(cli, into)) {
        if (make_store(import, into, &options, &err) != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
        if (!dbk_cli_flag(cli, "json")) printf("made store '%s'\n", into);
    }
    int status = dbk_cli_open(cli, DBK_CLI_WRITE, &target);
    if (status) return status;
    dbk_result result = dbk_import_rows(import, target.store, &err);
    if (result != DBK_OK && result != DBK_REJECTED) status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    else status = finish(cli, import, into, true, result == DBK_OK ? NULL : &err);
    dbk_cli_close(&target);
    return status;
}

static int run(dbk_cli *cli)
{
    const char *file = dbk_cli_value(cli, "sqlite"), *into = dbk_cli_value(cli, "into"),
               *app = dbk_cli_value(cli, "app-only");
    dbk_import import = {.port = cli->port};
    dbk_error err = {0};
    if (!file) return dbk_cli_usage(cli, "name the SQLite file with '--sqlite'");
    if (!into == !app)
        return dbk_cli_usage(cli, "name either the store with '--into', or the folder of the "
                                  "definition with '--app-only'");
    dbk_buffer_init(&import.scratch, cli->port);
    dbk_buffer_init(&import.schema, cli->port);
    dbk_buffer_init(&import.app, cli->port);
    int status = propose(&import, file);
    if (!status && into) status = load(cli, &import, into);
    if (!status && app)
        status = write_app(&import, app, &err) == DBK_OK ? finish(cli, &import, app, false, NULL)
                                                         : dbk_cli_fail(&err, DBK_EXIT_FAILED);
    dbk_import_close(&import);
    return status;
}

static const dbk_cli_option options[] = {
    {"sqlite", 0, "FILE", "the SQLite file; it is only read"},
    {"into", 0, "STORE", "the store: made where it does not exist, else the rows go to its tables of the same names"},
    {"app-only", 0, "DIR", "writes only the proposed definition, into this folder"},
    {"force-fs", 0, NULL, "makes the store also on a network or FUSE file system"},
    {"force-location", 0, NULL, "the same, and in a folder that a cloud's client synchronizes"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_import = {
    "import",
    "--sqlite FILE --into STORE|--app-only DIR",
    "makes a store, or a definition, from an existing SQLite file",
    "Tables, types, keys, indexes, foreign keys, defaults, checks and views are taken where a "
    "definition can hold them;\n"
    "types so that every value stays what it is. What is left out or changed is said with the "
    "reason. Each row is a\n"
    "command whose id is made of its content: a second run sends what is new or differs, and "
    "doubles nothing.\n"
    "Exit status 1 if any row was refused.",
    "import --sqlite notes.db --into notes.daybook\nimport --sqlite notes.db --app-only notes",
    options,
    0,
    run,
};
