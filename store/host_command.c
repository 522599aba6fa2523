/* Commands of the embedding process: a function of its own decides, inside the turn, with the means of a command
 * of the app: it reads and emits. */
#include "store/turn.h"

typedef struct dbk_host_command {
    struct dbk_host_command *next;
    char *name;
    dbk_command_fn run;
    void *arg;
} dbk_host_command;

struct dbk_call {
    dbk_engine *engine;
    dbk_json_parser *parser; /* of its own: that of the engine holds the command itself */
    dbk_buffer text;
    dbk_error failure; /* of the first emit that was refused */
};

const dbk_host_command *dbk_host_command_find(const dbk_engine *engine, dbk_slice name)
{
    for (const dbk_host_command *host = engine->hosts; host; host = host->next)
        if (dbk_slice_equal(dbk_slice_text(host->name), name)) return host;
    return NULL;
}

/* name *("." name), as in commands.sql */
static bool is_name(const char *name)
{
    bool at_part = true;
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (c == '.' ? at_part : !letter && (at_part || c < '0' || c > '9')) return false;
        at_part = c == '.';
    }
    return !at_part && size <= 128;
}

static dbk_result check_name(const dbk_engine *engine, const char *name, dbk_error *err)
{
    dbk_slice slice = dbk_slice_text(name);
    if (!is_name(name) || strncmp(name, "daybook.", 8) == 0 || dbk_command_is_verb(slice))
        return dbk_fail(err, DBK_BAD_COMMAND, "'%.128s' is no name for a command", name);
    if (dbk_definition_command(engine->definition, slice) || dbk_host_command_find(engine, slice))
        return dbk_fail(err, DBK_EXISTS, "there is a command '%s' already", name);
    return DBK_OK;
}

static dbk_result add(dbk_engine *engine, const char *name, dbk_command_fn run, void *arg, dbk_error *err)
{
    dbk_host_command *host = dbk_alloc_zero(engine->port, 1, sizeof *host);
    if (host) host->name = dbk_copy_text(engine->port, name);
    if (!host || !host->name) {
        dbk_free(engine->port, host);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    }
    host->run = run;
    host->arg = arg;
    host->next = engine->hosts;
    engine->hosts = host;
    return DBK_OK;
}

dbk_result dbk_engine_register(dbk_engine *engine, const char *name, dbk_command_fn run, void *arg, dbk_error *err)
{
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    dbk_result result = check_name(engine, name, err);
    if (result == DBK_OK) result = add(engine, name, run, arg, err);
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    return result;
}

void dbk_host_commands_free(dbk_engine *engine)
{
    while (engine->hosts) {
        dbk_host_command *host = engine->hosts;
        engine->hosts = host->next;
        dbk_free(engine->port, host->name);
        dbk_free(engine->port, host);
    }
}

/* ---- a run */

static void call_release(dbk_call *call)
{
    dbk_json_parser_free(call->parser);
    dbk_buffer_release(&call->text);
}

dbk_result dbk_host_command_run(dbk_engine *engine, const dbk_command *command, dbk_error *err)
{
    dbk_call call = {.engine = engine, .parser = dbk_json_parser_new(engine->port)};
    dbk_error error = {0};
    dbk_buffer_init(&call.text, engine->port);
    dbk_buffer args;
    dbk_buffer_init(&args, engine->port);
    if (command->args) dbk_json_put_minimal(&args, command->args);
    else dbk_buffer_put_text(&args, "{}");
    const char *text = dbk_buffer_text(&args);
    dbk_result result = DBK_NO_MEMORY;
    if (call.parser && text) result = command->host->run(command->host->arg, &call, text, args.size, &error);
    else dbk_fail(&error, DBK_NO_MEMORY, "no memory for a command");
    if (call.failure.code != DBK_OK) { /* whatever the function made of it */
        error = call.failure;
        result = error.code;
    }
    if (result > DBK_OK) result = DBK_OK;
    if (result != DBK_OK && !error.text[0]) dbk_fail(&error, result, "'%s' refused the command", command->host->name);
    if (result != DBK_OK && err) *err = error;
    dbk_buffer_release(&args);
    call_release(&call);
    return result;
}

static dbk_result emit(dbk_call *call, dbk_slice json, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_command command;
    dbk_result result = dbk_json_parse(call->parser, json, &root, err);
    if (result == DBK_OK) result = dbk_command_read(call->engine, root, true, &command, err);
    if (result == DBK_OK && command.verb == DBK_DO_HOST)
        result = dbk_fail(err, DBK_BAD_COMMAND, "a command of the process cannot run another one");
    return result == DBK_OK ? dbk_turn_run_one(call->engine, &command, err) : result;
}

dbk_result dbk_call_emit(dbk_call *call, const char *json, size_t size, dbk_error *err)
{
    dbk_error error = {0};
    dbk_result result = call->failure.code;
    if (result == DBK_OK) result = emit(call, dbk_slice_of(json, size), &error);
    else error = call->failure; /* behind a refusal nothing is emitted */
    if (result == DBK_OK) return DBK_OK;
    error.code = result;
    call->failure = error;
    if (err) *err = error;
    return result;
}

static dbk_result take_text(dbk_buffer *from, dbk_text *out, dbk_error *err)
{
    const char *text = dbk_buffer_text(from);
    char *copy = text ? dbk_alloc(dbk_port_system(), from->size + 1) : NULL;
    if (!copy) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the rows");
    memcpy(copy, text, from->size + 1);
    *out = (dbk_text){copy, from->size};
    return DBK_OK;
}

dbk_result dbk_call_query(dbk_call *call, const char *sql, const char *args, dbk_text *rows, dbk_error *err)
{
    const dbk_json_node *root = NULL;
    *rows = (dbk_text){0};
    dbk_buffer_clear(&call->text);
    dbk_result result = args ? dbk_json_parse(call->parser, dbk_slice_text(args), &root, err) : DBK_OK;
    if (result == DBK_OK) result = dbk_model_select(call->engine->model, dbk_slice_text(sql), root, &call->text, err);
    return result == DBK_OK ? take_text(&call->text, rows, err) : result;
}

dbk_result dbk_call_return(dbk_call *call, const char *json, size_t size, dbk_error *err)
{
    dbk_buffer *out = &call->engine->draft.result;
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(call->parser, dbk_slice_of(json, size), &root, err);
    if (result != DBK_OK) return result;
    dbk_buffer_clear(out);
    dbk_json_put_minimal(out, root);
    return out->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a result") : DBK_OK;
}
