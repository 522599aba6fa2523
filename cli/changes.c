/* Entries and changes of rows, as history, explain and diff show them:
 *
 *   17  2026-11-21T04:05:06.000Z  by ann  c3  notes.patched notes/n1
 *       update notes "n1"
 *           stars  0 -> 4
 */
#include "cli/cli.h"

static void put_member(const dbk_json_node *object, const char *name, const char *before)
{
    const dbk_json_node *node = dbk_json_member(object, name);
    if (!node || node->text.size == 0) return;
    fputs(before, stdout);
    dbk_out_shown(node->text, dbk_terminal_is(stdout));
}

static void put_value(const dbk_json_node *node)
{
    dbk_buffer text;
    if (!node) return;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_json_put_minimal(&text, node);
    if (text.failed) dbk_out_lacks_memory();
    else dbk_out_shown(dbk_buffer_slice(&text), dbk_terminal_is(stdout));
    dbk_buffer_release(&text);
}

void dbk_out_entry(const dbk_json_node *entry)
{
    const dbk_json_node *events = dbk_json_member(entry, "events"), *undo = dbk_json_member(entry, "undo");
    put_member(entry, "position", "");
    put_member(entry, "time", "  ");
    put_member(entry, "actor", "  by ");
    put_member(entry, "commandid", "  ");
    if (undo && undo->kind == DBK_JSON_TRUE) fputs("  undo", stdout);
    const dbk_json_node *event = events ? events + 1 : NULL;
    for (uint32_t i = 0; events && i < events->count; i++, event = dbk_json_next(event)) {
        put_member(event, "type", i ? ", " : "  ");
        put_member(event, "subject", " ");
    }
    putchar('\n');
}

static void put_columns(const dbk_json_node *from, const dbk_json_node *to)
{
    const dbk_json_node *object = to ? to : from, *column = object + 1;
    for (uint32_t i = 0; i < object->count; i++, column = dbk_json_next(column)) {
        fputs("        ", stdout);
        dbk_out_shown(column->name, dbk_terminal_is(stdout));
        fputs("  ", stdout);
        if (from && to) {
            const dbk_json_node *old = from + 1;
            for (uint32_t j = 0; j < i && j < from->count; j++) old = dbk_json_next(old);
            put_value(old);
            fputs(" -> ", stdout);
        }
        put_value(column);
        putchar('\n');
    }
}

static void put_change(const dbk_json_node *change)
{
    const dbk_json_node *from = dbk_json_member(change, "from"), *to = dbk_json_member(change, "to");
    const dbk_json_node *named = dbk_json_member(change, "named"), *key = dbk_json_member(change, "key");
    put_member(change, "op", "    ");
    put_member(change, "table", " ");
    if (key) putchar(' ');
    put_value(key);
    if (named && named->kind == DBK_JSON_FALSE) fputs("  (a consequence: no event names the row)", stdout);
    putchar('\n');
    if ((from && from->kind == DBK_JSON_OBJECT) || (to && to->kind == DBK_JSON_OBJECT)) put_columns(from, to);
}

void dbk_out_changes(const dbk_json_node *list, bool entries)
{
    const dbk_json_node *item = list ? list + 1 : NULL;
    for (uint32_t i = 0; list && list->kind == DBK_JSON_ARRAY && i < list->count; i++, item = dbk_json_next(item)) {
        if (entries) dbk_out_entry(item);
        put_change(item);
    }
}

/* Opens the target, asks, shows the answer, closes. */
static int ask_and_show(const dbk_cli *cli, dbk_cli_target *target, dbk_cli_need need, dbk_buffer *request,
                        dbk_cli_build_fn otherwise, dbk_cli_show_fn show)
{
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    int status = dbk_cli_open(cli, need, target);
    if (status) return status;
    dbk_result result = dbk_cli_ask(target, request, &answer, &err);
    if (result == DBK_SCHEMA && otherwise) {
        dbk_cli_answer_release(&answer);
        answer = (dbk_cli_answer){0};
        dbk_buffer_clear(request);
        result = otherwise(cli, request, &err);
        if (result == DBK_OK) result = dbk_cli_ask(target, request, &answer, &err);
    }
    if (result != DBK_OK) status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    else if (dbk_cli_flag(cli, "json")) dbk_out_line(dbk_slice_of(answer.text.data, answer.text.size));
    else show(answer.root);
    dbk_cli_answer_release(&answer);
    dbk_cli_close(target);
    return status;
}

int dbk_cli_request_either(const dbk_cli *cli, bool names_store, dbk_cli_need need, dbk_cli_build_fn build,
                           dbk_cli_build_fn otherwise, dbk_cli_show_fn show)
{
    dbk_cli_target target;
    dbk_buffer request;
    dbk_error err = {0};
    size_t used;
    int status;
    dbk_buffer_init(&request, cli->port);
    if (build(cli, &request, &err) != DBK_OK) status = dbk_cli_wrong(cli, &err);
    else status = dbk_cli_store_word(cli, names_store, &target, &used);
    if (!status) status = ask_and_show(cli, &target, need, &request, otherwise, show);
    dbk_buffer_release(&request);
    return status;
}

int dbk_cli_request(const dbk_cli *cli, bool names_store, dbk_cli_need need, dbk_cli_build_fn build,
                    dbk_cli_show_fn show)
{
    return dbk_cli_request_either(cli, names_store, need, build, NULL, show);
}

void dbk_cli_put_model(const dbk_cli *cli, dbk_buffer *request)
{
    const char *model = dbk_cli_value(cli, "model");
    if (!model) return;
    dbk_buffer_put_text(request, ",\"model\":");
    dbk_json_put_string(request, dbk_slice_text(model));
}
