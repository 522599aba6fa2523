/* STORE or URL → something to talk to.
 *
 * A URL is connected to. A path whose run.json names a living daemon is connected to as well; else the store
 * is opened here. What only reads opens it read-only where another process has the lock; what reads nothing
 * but the log, or builds its own model, does so always. */
#include "cli/cli.h"

#include <stdlib.h>

bool dbk_cli_is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

static bool is_folder(const dbk_port *port, const char *path)
{
    dbk_dir *dir = NULL;
    if (dbk_io_open_dir(port, NULL, path, 0, &dir, NULL) != DBK_OK) return false;
    port->close_dir(port->ctx, dir);
    return true;
}

bool dbk_cli_is_store(const dbk_cli *cli, const char *text)
{
    return dbk_cli_is_url(text) || is_folder(cli->port, text);
}

const char *dbk_cli_app(const dbk_cli *cli, const char *word, char room[4096])
{
    const dbk_port *port = cli->port;
    dbk_identity identity;
    dbk_dir *dir = NULL;
    int size = snprintf(room, 4096, "%s/app", word);
    if (size < 0 || size >= 4096 || dbk_io_open_dir(port, NULL, word, 0, &dir, NULL) != DBK_OK) return word;
    bool store = port->identify(port->ctx, dir, "daybook.json", &identity) == 0;
    port->close_dir(port->ctx, dir);
    return store ? room : word;
}

/* ---- the default store */

enum { LEVELS_MAX = 64 };
typedef struct search {
    const dbk_port *port;
    dbk_dir *dir;
    char names[2][128];
    size_t count;
} search;

static int note_store(void *arg, const char *name)
{
    search *s = arg;
    size_t size = strlen(name), tail = sizeof ".daybook" - 1;
    dbk_identity identity;
    if (size <= tail || strcmp(name + size - tail, ".daybook") != 0 || size >= sizeof s->names[0]) return 0;
    if (s->port->identify(s->port->ctx, s->dir, name, &identity) != 0 || identity.kind != DBK_IS_DIRECTORY) return 0;
    if (s->count < 2) memcpy(s->names[s->count], name, size + 1);
    s->count++;
    return 0;
}

/* DBK_NONE: none here; *top: there is nothing above. */
static dbk_result look_in(const dbk_port *port, const char *folder, search *s, dbk_identity *last, bool *top,
                          dbk_error *err)
{
    *s = (search){.port = port};
    dbk_result result = dbk_io_open_dir(port, NULL, folder, 0, &s->dir, err);
    if (result != DBK_OK) return result;
    dbk_identity here;
    int rc = port->identify_dir(port->ctx, s->dir, &here);
    *top = rc != 0 || (here.device == last->device && here.inode == last->inode);
    *last = here;
    if (rc == 0) rc = port->list(port->ctx, s->dir, note_store, s);
    port->close_dir(port->ctx, s->dir);
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot list '%s'", folder);
    if (s->count > 1) return dbk_fail(err, DBK_USAGE, "which store: '%s' or '%s'?", s->names[0], s->names[1]);
    return s->count == 1 ? DBK_OK : DBK_NONE;
}

/* $DAYBOOK_STORE, else the nearest *.daybook upwards. */
static dbk_result default_store(const dbk_port *port, char *out, size_t size, dbk_error *err)
{
    const char *named = getenv("DAYBOOK_STORE");
    if (named && *named) {
        int length = snprintf(out, size, "%s", named);
        return (size_t)length < size ? DBK_OK : dbk_fail(err, DBK_USAGE, "$DAYBOOK_STORE is too long");
    }
    char folder[3 * LEVELS_MAX + 4] = ".";
    dbk_identity last = {0};
    for (int level = 0; level < LEVELS_MAX; level++) {
        search s;
        bool top = false;
        dbk_result result = look_in(port, folder, &s, &last, &top, err);
        if (result == DBK_OK) {
            int length =
                level == 0 ? snprintf(out, size, "%s", s.names[0]) : snprintf(out, size, "%s/%s", folder, s.names[0]);
            return (size_t)length < size ? DBK_OK
                                         : dbk_fail(err, DBK_USAGE, "the path of '%s' is too long", s.names[0]);
        }
        if (result != DBK_NONE) return result;
        if (top) break;
        if (level == 0) snprintf(folder, sizeof folder, "..");
        else strcat(folder, "/..");
    }
    dbk_result result = dbk_fail(err, DBK_USAGE, "no store is named and none is here");
    dbk_error_hint(err, "name one, set DAYBOOK_STORE, or make one with 'daybook init STORE --app FOLDER'");
    return result;
}

int dbk_cli_store_word(const dbk_cli *cli, bool first_word, dbk_cli_target *target, size_t *words_used)
{
    dbk_error err = {0};
    *target = (dbk_cli_target){0};
    *words_used = first_word ? 1 : 0;
    if (first_word) {
        target->path = cli->args.words[0];
        return 0;
    }
    if (default_store(cli->port, target->found, sizeof target->found, &err) != DBK_OK)
        return dbk_cli_fail(&err, DBK_EXIT_USAGE);
    target->path = NULL;
    return 0;
}

/* ---- opening */

static int connect_to(dbk_cli_target *target, const char *url, dbk_error *err)
{
    dbk_options options = {.timeout_ms = target->timeout_ms};
    return dbk_connect(url, &options, &target->store, err) == DBK_OK ? 0 : DBK_EXIT_FAILED;
}

/* 0: connected; DBK_EXIT_…: failed; -1: no daemon serves it. */
static int try_daemon(const dbk_cli *cli, const char *path, dbk_cli_target *target, dbk_error *err)
{
    dbk_buffer url;
    dbk_buffer_init(&url, cli->port);
    dbk_result result = dbk_bus_find(cli->port, path, &url, err);
    int status = -1;
    if (result == DBK_OK && dbk_buffer_text(&url)) status = connect_to(target, (const char *)url.data, err);
    dbk_buffer_release(&url);
    return status;
}

static dbk_result open_engine(const dbk_cli *cli, const char *path, bool read_only, dbk_cli_target *target,
                              dbk_error *err)
{
    dbk_bar bar;
    dbk_bar_begin(&bar, cli->port, "building the model", "entries");
    dbk_engine_options options = {.read_only = read_only, .progress = dbk_bar_update, .progress_arg = &bar};
    dbk_engine *engine = NULL;
    dbk_result result = dbk_engine_open(path, &options, &engine, err);
    dbk_bar_end(&bar);
    if (result != DBK_OK) return result;
    result = dbk_engine_wrap(engine, &target->store, err);
    if (result == DBK_OK) target->engine = engine;
    else dbk_engine_close(engine);
    return result;
}

static dbk_result open_here(const dbk_cli *cli, dbk_cli_need need, const char *path, dbk_cli_target *target,
                            dbk_error *err)
{
    dbk_result result = open_engine(cli, path, need == DBK_CLI_LOCAL || need == DBK_CLI_LOG, target, err);
    if (need == DBK_CLI_READ && (result == DBK_LOCKED || result == DBK_READ_ONLY || result == DBK_UNSUPPORTED_FS))
        result = open_engine(cli, path, true, target, err);
    return result;
}

int dbk_cli_open(const dbk_cli *cli, dbk_cli_need need, dbk_cli_target *target)
{
    dbk_error err = {0};
    const char *path = target->path ? target->path : target->found;
    if (dbk_cli_is_url(path)) {
        if (need == DBK_CLI_LOCAL)
            return dbk_cli_usage(cli, "this reads the store's own files: name its folder instead of '%s'", path);
        int status = connect_to(target, path, &err);
        return status ? dbk_cli_fail(&err, status) : 0;
    }
    target->path = path;
    if (need != DBK_CLI_LOCAL) {
        int status = try_daemon(cli, path, target, &err);
        if (status >= 0) return status ? dbk_cli_fail(&err, status) : 0;
    }
    memset(&err, 0, sizeof err);
    if (open_here(cli, need, path, target, &err) == DBK_OK) return 0;
    return dbk_cli_fail(&err, DBK_EXIT_STORE);
}

int dbk_cli_is_openable(const dbk_cli *cli, const char *path)
{
    dbk_cli_target target = {0};
    dbk_error err = {0};
    if (open_engine(cli, path, true, &target, &err) != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_STORE);
    dbk_cli_close(&target);
    return 0;
}

void dbk_cli_close(dbk_cli_target *target)
{
    dbk_close(target->store);
    target->store = NULL;
    target->engine = NULL;
}

/* ---- asking */

dbk_result dbk_cli_put_command(const dbk_cli *cli, const char *verb, dbk_buffer *request, dbk_error *err)
{
    uint8_t random[16];
    char id[DBK_UUID_TEXT_SIZE];
    int rc = cli->port->random(cli->port->ctx, random, sizeof random);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, rc, "the system gave no random bytes for a command id");
    dbk_uuid_text(random, id);
    dbk_buffer_printf(request, "{\"id\":\"cli-%s\",\"do\":\"%s\"", id, verb);
    return DBK_OK;
}

dbk_result dbk_cli_ask(dbk_cli_target *target, dbk_buffer *request, dbk_cli_answer *answer, dbk_error *err)
{
    *answer = (dbk_cli_answer){.parser = dbk_json_parser_new(request->port)};
    if (answer->parser) dbk_json_parser_any_count(answer->parser); /* rows may be 100,000 */
    if (!answer->parser || !dbk_buffer_text(request)) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_result result = dbk_do(target->store, (const char *)request->data, request->size, &answer->text, err);
    if (result == DBK_OK)
        result = dbk_json_parse(answer->parser, dbk_slice_of(answer->text.data, answer->text.size), &answer->root, err);
    return result == DBK_OK ? dbk_answer_result(answer->root, err) : result;
}

void dbk_cli_answer_release(dbk_cli_answer *answer)
{
    dbk_text_free(&answer->text);
    dbk_json_parser_free(answer->parser);
    *answer = (dbk_cli_answer){0};
}
