/* daybook salvage: a new store from what is provably good of a damaged one. */
#include "cli/cli.h"

typedef struct salvage {
    bool json;
    dbk_buffer faults, positions, ids; /* members of the arrays; without json: lines */
    dbk_bar bar;
} salvage;

static void begin_item(const salvage *s, dbk_buffer *out)
{
    if (s->json && out->size) dbk_buffer_put_u8(out, ',');
}

static void put_fault(salvage *s, const char *file, dbk_result code, const dbk_log_fault *fault, const char *text)
{
    dbk_buffer *out = &s->faults;
    begin_item(s, out);
    if (!s->json) {
        dbk_buffer_printf(out, "%s: %s", file, dbk_result_name(code));
        if (fault) dbk_buffer_printf(out, " at offset %llu", (unsigned long long)fault->offset);
        dbk_buffer_printf(out, ": %s\n", text);
        return;
    }
    dbk_buffer_printf(out, "{\"error\":\"%s\",\"file\":", dbk_result_name(code));
    dbk_json_put_string(out, dbk_slice_text(file));
    if (fault)
        dbk_buffer_printf(out, ",\"offset\":%llu,\"bytes\":%llu,\"law\":%u", (unsigned long long)fault->offset,
                          (unsigned long long)fault->bytes, fault->law);
    dbk_buffer_put_text(out, ",\"message\":");
    dbk_json_put_string(out, dbk_slice_text(text));
    dbk_buffer_put_u8(out, '}');
}

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    char file[128];
    snprintf(file, sizeof file, "log/%s", fault->file ? fault->file : "");
    put_fault(arg, file, fault->code, fault, fault->text ? fault->text : "");
}

static void on_note(void *arg, const char *file, dbk_result code, const char *text)
{
    put_fault(arg, file, code, NULL, text);
}

static void on_positions(void *arg, uint64_t first, uint64_t last)
{
    salvage *s = arg;
    begin_item(s, &s->positions);
    dbk_buffer_printf(&s->positions, s->json ? "{\"first\":%llu,\"last\":%llu}" : "missing positions %llu to %llu\n",
                      (unsigned long long)first, (unsigned long long)last);
}

static void on_ids(void *arg, const dbk_entry_id *first, uint64_t count)
{
    salvage *s = arg;
    char from[DBK_ENTRY_ID_TEXT_SIZE], to[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id last = *first;
    last.seq += count - 1;
    dbk_entry_id_text(first, from);
    dbk_entry_id_text(&last, to);
    begin_item(s, &s->ids);
    dbk_buffer_printf(
        &s->ids, s->json ? "{\"first\":\"%s\",\"last\":\"%s\",\"count\":%llu}" : "missing entries %s to %s (%llu)\n",
        from, to, (unsigned long long)count);
}

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    salvage *s = arg;
    dbk_bar_update(&s->bar, done, all);
}

static void show_json(const salvage *s, const dbk_salvage_report *r)
{
    printf("{\"ok\":true,\"store\":\"%s\",\"position\":%llu,\"kept\":%llu,\"kept_bytes\":%llu,\"missing\":%llu,\"left_"
           "out\":%llu,"
           "\"damaged_bytes\":%llu,\"inbox\":%llu,\"new_replica\":%s,\"new_definition\":%s,\"missing_positions\":[",
           r->id, (unsigned long long)r->position, (unsigned long long)r->kept, (unsigned long long)r->kept_bytes,
           (unsigned long long)r->missing, (unsigned long long)r->left_out, (unsigned long long)r->damaged_bytes,
           (unsigned long long)r->inbox, r->new_replica ? "true" : "false", r->new_definition ? "true" : "false");
    dbk_out(dbk_buffer_slice(&s->positions));
    fputs("],\"missing_entries\":[", stdout);
    dbk_out(dbk_buffer_slice(&s->ids));
    printf("],\"fault_count\":%llu,\"faults\":[", (unsigned long long)r->faults);
    dbk_out(dbk_buffer_slice(&s->faults));
    puts("]}");
}

static void show(const salvage *s, const dbk_salvage_report *r, const char *into)
{
    if (s->json) return show_json(s, r);
    fprintf(stderr, "%.*s%.*s%.*s", DBK_SLICE_ARG(dbk_buffer_slice(&s->faults)),
            DBK_SLICE_ARG(dbk_buffer_slice(&s->positions)), DBK_SLICE_ARG(dbk_buffer_slice(&s->ids)));
    if (r->new_replica) dbk_cli_note("daybook.json was not readable: '%s' writes as a new replica", into);
    if (r->new_definition)
        dbk_cli_note("'%s' runs another definition than the log recorded last, or the log recorded none", into);
    printf("kept      %llu %s, %llu bytes\nmissing   %llu %s\n", (unsigned long long)r->kept,
           r->kept == 1 ? "entry" : "entries", (unsigned long long)r->kept_bytes, (unsigned long long)r->missing,
           r->missing == 1 ? "position" : "positions");
    if (r->damaged_bytes) printf("damaged   %llu bytes without a sound record\n", (unsigned long long)r->damaged_bytes);
    if (r->left_out) printf("left out  %llu entries of another history\n", (unsigned long long)r->left_out);
    if (r->inbox) printf("inbox     %llu entries that do not project\n", (unsigned long long)r->inbox);
    printf("store     %s, %s, position %llu\n", into, r->id, (unsigned long long)r->position);
}

/* The old store is read only, so nothing may be made in it. */
static bool is_inside(const char *into, const char *path)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    return strncmp(into, path, size) == 0 && (into[size] == 0 || into[size] == '/');
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    dbk_error err = {0};
    dbk_salvage_report report;
    const char *into = dbk_cli_value(cli, "into");
    if (!into) return dbk_cli_usage(cli, "say with --into where the new store is to be");
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (status) return status;
    const char *path = target.path ? target.path : target.found;
    if (dbk_cli_is_url(path))
        return dbk_cli_usage(cli, "salvage reads the store's own files: name its folder instead of '%s'", path);
    if (is_inside(into, path))
        return dbk_cli_usage(cli, "the new store cannot be in the old one, which stays as it is");
    salvage s = {.json = dbk_cli_flag(cli, "json")};
    dbk_buffer_init(&s.faults, cli->port);
    dbk_buffer_init(&s.positions, cli->port);
    dbk_buffer_init(&s.ids, cli->port);
    dbk_salvage_watcher watcher = {&s, on_fault, on_note, on_positions, on_ids, on_progress};
    dbk_bar_begin(&s.bar, cli->port, "salvaging", "bytes");
    dbk_engine_options engine = {.force_fs = dbk_cli_flag(cli, "force-fs"),
                                 .force_location = dbk_cli_flag(cli, "force-fs")};
    dbk_result result = dbk_engine_salvage(path, into, dbk_cli_value(cli, "app"), &engine, &watcher, &report, &err);
    dbk_bar_end(&s.bar);
    if (result == DBK_OK && (s.faults.failed || s.positions.failed || s.ids.failed))
        result = dbk_fail(&err, DBK_NO_MEMORY, "no memory for the report");
    if (result == DBK_OK) show(&s, &report, into);
    dbk_buffer_release(&s.faults);
    dbk_buffer_release(&s.positions);
    dbk_buffer_release(&s.ids);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_STORE);
}

static const dbk_cli_option options[] = {
    {"into", 0, "DIR", "the new store; must not exist, or be an empty folder"},
    {"app", 0, "FOLDER", "the app's definition, where the old store has lost its own"},
    {"force-fs", 0, NULL, "the new store may be anywhere, on a network or FUSE file system too"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_salvage = {
    "salvage",
    "[STORE] --into DIR [--app FOLDER]",
    "makes a new store from what is provably good of a damaged one",
    "Never touches the old store. Keeps entries before and behind the damage under their ids; positions are numbered\n"
    "anew, and the new store writes under an incarnation of its own. What is missing is named on stderr, with --json\n"
    "in the answer. Exit status 3 where nothing could be kept.",
    "salvage notes.daybook --into rescued.daybook\nsalvage notes.daybook --into rescued.daybook --app schema.sql "
    "--json",
    options,
    1,
    run,
};
