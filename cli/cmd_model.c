/* daybook model: how far the models are, and what is done with one that follows the log by itself. */
#include "cli/cli.h"

static const struct {
    const char *verb, *request;
    bool skips, takes_position;
} verbs[] = {
    {"list", "models", false, false},       {"retry", "model.retry", false, false},
    {"skip", "model.skip", true, true},     {"unskip", "model.skip", false, true},
    {"pause", "model.pause", false, false}, {"resume", "model.resume", false, false},
};
enum { VERBS = sizeof verbs / sizeof *verbs, LIST = 0 };

typedef struct words {
    size_t verb;
    const char *store, *model, *position;
} words;

/* ---- what is shown */

static void put_member(const dbk_json_node *object, const char *name, bool terminal)
{
    const dbk_json_node *node = dbk_json_member(object, name);
    if (node) dbk_out_shown(node->text, terminal);
}

/* Its last column says why it stands. */
static void put_model(const dbk_json_node *model)
{
    static const char *const names[] = {"model", "mode", "state", "position", "behind"};
    bool terminal = dbk_terminal_is(stdout);
    const dbk_json_node *failed = dbk_json_member(model, "failed"), *trouble = dbk_json_member(model, "trouble");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (i > 0) putchar('\t');
        put_member(model, names[i], terminal);
    }
    putchar('\t');
    if (failed) {
        fputs("at ", stdout);
        put_member(failed, "position", terminal);
        fputs(", ", stdout);
        put_member(failed, "type", terminal);
        fputs(": ", stdout);
        put_member(failed, "error", terminal);
    } else if (trouble) {
        put_member(trouble, "message", terminal);
    } else if (dbk_json_member(model, "healed")) {
        fputs("built anew: ", stdout);
        put_member(model, "healed", terminal);
    }
    putchar('\n');
}

static void show(const dbk_cli *cli, const dbk_json_node *root)
{
    const dbk_json_node *models = dbk_json_member(root, "models");
    if (dbk_cli_flag(cli, "json")) {
        dbk_out_line(root->text);
        return;
    }
    if (!models || models->kind != DBK_JSON_ARRAY) return;
    printf("model\tmode\tstate\tposition\tbehind\tfailed\n");
    const dbk_json_node *model = models + 1;
    for (uint32_t i = 0; i < models->count; i++, model = dbk_json_next(model)) put_model(model);
}

/* ---- what is asked */

static const char *only_async(const dbk_json_node *root, dbk_buffer *name, dbk_error *err)
{
    const dbk_json_node *models = dbk_json_member(root, "models");
    uint32_t found = 0;
    const dbk_json_node *model = models && models->kind == DBK_JSON_ARRAY ? models + 1 : NULL;
    for (uint32_t i = 0; model && i < models->count; i++, model = dbk_json_next(model)) {
        const dbk_json_node *mode = dbk_json_member(model, "mode"), *own = dbk_json_member(model, "model");
        if (!mode || !own || !dbk_json_text_is(mode, "async")) continue;
        dbk_buffer_clear(name);
        dbk_buffer_put_slice(name, own->text);
        found++;
    }
    if (found == 1) return dbk_buffer_text(name);
    if (found == 0) (void)dbk_fail(err, DBK_USAGE, "the app has no async model");
    else (void)dbk_fail(err, DBK_USAGE, "the app has %u async models: name one", found);
    return NULL;
}

/* Without a name it is the app's only one. */
static dbk_result name_model(const dbk_cli *cli, dbk_cli_target *target, words *w, dbk_buffer *name, dbk_error *err)
{
    dbk_cli_answer answer = {0};
    dbk_buffer request;
    if (w->model || w->verb == LIST) return DBK_OK;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, "{\"do\":\"models\"}");
    dbk_result result = dbk_cli_ask(target, &request, &answer, err);
    if (result == DBK_OK && !(w->model = only_async(answer.root, name, err))) result = DBK_USAGE;
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
    return result;
}

static dbk_result put_request(const words *w, dbk_buffer *request, dbk_error *err)
{
    uint64_t position = 0;
    dbk_buffer_printf(request, "{\"do\":\"%s\"", verbs[w->verb].request);
    if (w->model) {
        dbk_buffer_put_text(request, ",\"model\":");
        dbk_json_put_string(request, dbk_slice_text(w->model));
    }
    dbk_result result = w->position ? dbk_cli_position(w->position, "POS", &position, err) : DBK_OK;
    if (w->position) dbk_buffer_printf(request, ",\"position\":%llu", (unsigned long long)position);
    if (verbs[w->verb].takes_position && !verbs[w->verb].skips) dbk_buffer_put_text(request, ",\"skip\":false");
    dbk_buffer_put_u8(request, '}');
    return result;
}

static bool has_failed(const dbk_json_node *root)
{
    const dbk_json_node *models = dbk_json_member(root, "models"), *model = models ? models + 1 : NULL;
    if (!models || models->kind != DBK_JSON_ARRAY || models->count != 1) return false;
    const dbk_json_node *state = dbk_json_member(model, "state");
    return state && dbk_json_text_is(state, "failed");
}

static int ask(const dbk_cli *cli, dbk_cli_target *target, words *w)
{
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    dbk_buffer request, name;
    int status = DBK_EXIT_DONE;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_init(&name, cli->port);
    dbk_result result = name_model(cli, target, w, &name, &err);
    if (result == DBK_OK) result = put_request(w, &request, &err);
    if (result == DBK_OK) result = dbk_cli_ask(target, &request, &answer, &err);
    if (result != DBK_OK) {
        status = dbk_cli_wrong(cli, &err);
    } else {
        show(cli, answer.root);
        if (w->verb != LIST && has_failed(answer.root)) status = DBK_EXIT_FAILED;
    }
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
    dbk_buffer_release(&name);
    return status;
}

/* ---- the words: VERB [STORE] [MODEL] [POS] */

static int no_verb(const dbk_cli *cli, const char *word)
{
    const char *names[VERBS];
    for (size_t i = 0; i < VERBS; i++) names[i] = verbs[i].verb;
    const char *near = dbk_nearest(dbk_slice_text(word), names, VERBS);
    return dbk_cli_usage(cli, "'%s' is none of list, retry, skip, unskip, pause, resume%s%s%s", word,
                         near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int read_words(dbk_cli *cli, words *w)
{
    char **given = cli->args.words;
    size_t count = cli->args.word_count, at = 1;
    *w = (words){0};
    if (count == 0) return dbk_cli_usage(cli, "say what: list, retry, skip, unskip, pause or resume");
    while (w->verb < VERBS && strcmp(given[0], verbs[w->verb].verb) != 0) w->verb++;
    if (w->verb == VERBS) return no_verb(cli, given[0]);
    if (at < count && (dbk_cli_is_store(cli, given[at]) || strchr(given[at], '/') || strchr(given[at], '.')))
        w->store = given[at++];
    if (at < count) w->model = given[at++];
    if (at < count && verbs[w->verb].takes_position) w->position = given[at++];
    if (at < count) return dbk_cli_usage(cli, "'%s' is one word too many", given[at]);
    if (verbs[w->verb].takes_position && !verbs[w->verb].skips && !w->position)
        return dbk_cli_usage(cli, "'unskip' needs the model and the position of the entry");
    return 0;
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    words w;
    int status = read_words(cli, &w);
    if (status) return status;
    if (w.store) target = (dbk_cli_target){.path = w.store};
    else status = dbk_cli_store_word(cli, false, &target, &used);
    if (!status) status = dbk_cli_open(cli, w.verb == LIST ? DBK_CLI_READ : DBK_CLI_WRITE, &target);
    if (status) return status;
    status = ask(cli, &target, &w);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {{"json", 0, NULL, "answers with one JSON object"}, {0}};
const dbk_cli_command dbk_cmd_model = {
    "model",
    "list|retry|skip|unskip|pause|resume [STORE|URL] [MODEL] [POS]",
    "shows how far the models are, and sets going one that stopped",
    "An async model stops at the first entry that its projections refuse: 'list' tells where and why. 'retry' tries "
    "that\n"
    "entry again, 'skip' leaves it out for good, here and on every device: it is a decision of the log. 'unskip' "
    "takes\n"
    "one that was left out after all, and builds the model anew. 'pause' and 'resume' count across restarts.",
    "model list notes.daybook\nmodel retry notes.daybook stats\nmodel skip notes.daybook stats 17\n"
    "model unskip notes.daybook stats 17\nmodel pause notes.daybook stats",
    options,
    4,
    run,
};
