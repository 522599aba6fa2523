/* Reading commands: their form, before anything is looked up (app-format.md §5.6: bad_command first). */
#include "store/turn.h"

/* What a command may have, and where it goes; in this order they are named where one is missing. */
#define MEMBERS(X)                                                                                                     \
    X(ID, "id", command->id)                                                                                           \
    X(DO, "do", said->verb)                                                                                            \
    X(TABLE, "table", command->table)                                                                                  \
    X(KEY, "key", command->key)                                                                                        \
    X(DATA, "data", command->data)                                                                                     \
    X(EXPECT, "expect", command->expect)                                                                               \
    X(STREAM, "stream", command->stream)                                                                               \
    X(TYPE, "type", command->type)                                                                                     \
    X(ARGS, "args", command->args)                                                                                     \
    X(WAIT, "wait", said->wait)                                                                                        \
    X(ACTOR, "actor", said->actor)                                                                                     \
    X(CORRELATION, "correlation", said->correlation)                                                                   \
    X(CAUSATION, "causation", said->causation)                                                                         \
    X(COMMANDS, "commands", command->commands)                                                                         \
    X(ENTRY, "entry", command->entry)                                                                                  \
    X(SPACE, "namespace", command->space)                                                                              \
    X(PATH, "path", command->path)                                                                                     \
    X(VALUE, "value", command->value)                                                                                  \
    X(POSITION, "position", said->unread)                                                                              \
    X(OF_CORRELATION, "of_correlation", said->unread)
#define NUMBER(name, text, place) AT_##name,
enum { MEMBERS(NUMBER) MEMBER_COUNT };
#undef NUMBER
#define BIT(name, text, place) name = 1u << AT_##name,
enum { MEMBERS(BIT) COMMON = ID | DO | ACTOR | CORRELATION | CAUSATION | WAIT };
#undef BIT
#define NAME(name, text, place) {text, sizeof text - 1},
static const struct {
    const char *text;
    size_t size;
} member_names[] = {MEMBERS(NAME)};
#undef NAME

/* Which members a verb takes beside the common ones; `must` are required. */
typedef struct dbk_verb_form {
    const char *name;
    dbk_verb verb;
    uint32_t may, must;
} dbk_verb_form;

static const dbk_verb_form forms[] = {
    {"put", DBK_DO_PUT, TABLE | KEY | DATA | EXPECT, TABLE},
    {"patch", DBK_DO_PATCH, TABLE | KEY | DATA | EXPECT, TABLE | KEY | DATA},
    {"delete", DBK_DO_DELETE, TABLE | KEY | EXPECT, TABLE | KEY},
    {"append", DBK_DO_APPEND, STREAM | TYPE | DATA | EXPECT, STREAM | TYPE},
    {"batch", DBK_DO_BATCH, COMMANDS, COMMANDS},
    {"set", DBK_DO_SET, SPACE | PATH | VALUE, SPACE | VALUE},
    {"unset", DBK_DO_UNSET, SPACE | PATH, SPACE | PATH},
    {"reset", DBK_DO_RESET, SPACE | PATH, SPACE},
    {"dismiss", DBK_DO_DISMISS, ENTRY, ENTRY},
    {"undo", DBK_DO_UNDO, ENTRY | POSITION | OF_CORRELATION, 0},
};
static const char *const verbs[] = {"put",     "patch",   "delete",      "append",  "batch",   "dismiss", "apply",
                                    "undo",    "get",     "list",        "query",   "changes", "log",     "inbox",
                                    "status",  "stats",   "fingerprint", "rebuild", "hello",   "verify",  "replay",
                                    "history", "explain", "diff",        "upgrade", "set",     "unset",   "reset"};

/* Members that are read into something else. */
typedef struct dbk_said {
    const dbk_json_node *verb, *wait, *actor, *correlation, *causation;
    const dbk_json_node *unread; /* undo.c looks for them itself */
    uint32_t seen;               /* as bits */
    bool strange;                /* there is one that no command has */
} dbk_said;

static const dbk_verb_form command_form = {"", DBK_DO_COMMAND, ARGS, 0};

static const dbk_verb_form *form_of(const dbk_json_node *verb)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (dbk_json_text_is(verb, forms[i].name)) return &forms[i];
    return NULL;
}

static bool among(const char *const *names, size_t count, dbk_slice name)
{
    for (size_t i = 0; i < count && names[i]; i++)
        if (name.size > 0 && names[i][0] == (char)name.data[0] && dbk_slice_equal(dbk_slice_text(names[i]), name))
            return true;
    return false;
}

/* Its number, or MEMBER_COUNT. */
static size_t member_number(dbk_slice name)
{
    size_t at = 0;
    while (at < MEMBER_COUNT &&
           (member_names[at].size != name.size || memcmp(member_names[at].text, name.data, name.size) != 0))
        at++;
    return at;
}

static dbk_result unknown_member(const dbk_verb_form *form, dbk_slice name, dbk_error *err)
{
    const char *all[MEMBER_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++)
        if (1u << i & (COMMON | form->may)) all[count++] = member_names[i].text;
    const char *near = dbk_nearest(name, all, count);
    dbk_result result = dbk_fail(err, DBK_BAD_COMMAND, "'%.*s' is no member of a%s%s command", DBK_SLICE_ARG(name),
                                 *form->name ? " " : "n app's", form->name);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    return result;
}

static dbk_result check_members(const dbk_json_node *node, const dbk_verb_form *form, const dbk_said *said,
                                dbk_error *err)
{
    const uint32_t may = COMMON | form->may, missing = form->must & ~said->seen;
    const dbk_json_node *child = node + 1;
    bool all = !said->strange && (said->seen & ~may) == 0;
    for (uint32_t i = 0; !all && i < node->count; i++, child = dbk_json_next(child)) {
        size_t number = member_number(child->name);
        if (number == MEMBER_COUNT || !(1u << number & may)) return unknown_member(form, child->name, err);
    }
    if (missing == 0) return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "a %s command needs '%s'", form->name,
                    member_names[__builtin_ctz(missing)].text);
}

static dbk_result want_kind(const dbk_json_node *node, const char *name, dbk_json_kind kind, const char *what,
                            dbk_error *err)
{
    if (!node || node->kind == kind) return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be %s", name, what);
}

static dbk_result take_text(const dbk_json_node *member, const char *name, dbk_slice *out, dbk_error *err)
{
    *out = (dbk_slice){NULL, 0};
    if (!member || member->kind == DBK_JSON_NULL) return DBK_OK;
    if (member->kind != DBK_JSON_STRING) return dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be text", name);
    if (member->text.size > DBK_KEY_MAX_BYTES)
        return dbk_fail(err, DBK_TOO_BIG, "'%s' is over %d bytes", name, DBK_KEY_MAX_BYTES);
    *out = member->text;
    return DBK_OK;
}

static dbk_result check_id(const dbk_json_node *id, bool inner, dbk_error *err)
{
    if (!id && inner) return DBK_OK;
    if (!id) {
        dbk_fail(err, DBK_BAD_COMMAND, "a command that writes has an id");
        dbk_error_hint(err, "give each command its own unique 'id': sending it again is then safe");
        return DBK_BAD_COMMAND;
    }
    if (id->kind != DBK_JSON_STRING || id->text.size == 0)
        return dbk_fail(err, DBK_BAD_COMMAND, "'id' must be text that is not empty");
    if (id->text.size > DBK_COMMAND_ID_MAX_BYTES)
        return dbk_fail(err, DBK_TOO_BIG, "'id' is over %d bytes", DBK_COMMAND_ID_MAX_BYTES);
    return DBK_OK;
}

static dbk_stage stage_of(const dbk_json_node *wait)
{
    if (!wait) return DBK_STAGE_DURABLE;
    if (dbk_json_text_is(wait, "accepted")) return DBK_STAGE_ACCEPTED;
    return dbk_json_text_is(wait, "projected") ? DBK_STAGE_PROJECTED : DBK_STAGE_DURABLE;
}

dbk_stage dbk_command_wait(const dbk_json_node *node)
{
    return stage_of(node->kind == DBK_JSON_OBJECT ? dbk_json_member(node, "wait") : NULL);
}

static dbk_result check_wait(const dbk_json_node *wait, dbk_error *err)
{
    if (!wait || dbk_json_text_is(wait, "durable") || stage_of(wait) != DBK_STAGE_DURABLE) return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "'wait' must be \"accepted\", \"durable\" or \"projected\"");
}

static dbk_result check_expect(const dbk_json_node *expect, dbk_error *err)
{
    int64_t version;
    if (!expect || dbk_json_text_is(expect, "any") || dbk_json_text_is(expect, "none") ||
        dbk_json_text_is(expect, "exists"))
        return DBK_OK;
    if (expect->kind == DBK_JSON_NUMBER && dbk_json_is_integer(expect, &version) && version >= 0) return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "'expect' must be a version, \"none\", \"exists\" or \"any\"");
}

static dbk_result check_kinds(const dbk_command *c, dbk_error *err)
{
    dbk_result result = want_kind(c->table, "table", DBK_JSON_STRING, "text", err);
    if (result == DBK_OK) result = want_kind(c->data, "data", DBK_JSON_OBJECT, "an object", err);
    if (result == DBK_OK) result = want_kind(c->stream, "stream", DBK_JSON_STRING, "text", err);
    if (result == DBK_OK) result = want_kind(c->type, "type", DBK_JSON_STRING, "text", err);
    if (result == DBK_OK) result = want_kind(c->commands, "commands", DBK_JSON_ARRAY, "an array", err);
    if (result == DBK_OK && c->verb != DBK_DO_UNDO) result = want_kind(c->entry, "entry", DBK_JSON_STRING, "text", err);
    if (result == DBK_OK) result = want_kind(c->args, "args", DBK_JSON_OBJECT, "an object", err);
    if (result == DBK_OK) result = check_expect(c->expect, err);
    if (result == DBK_OK && c->commands && c->commands->count > DBK_BATCH_MAX_COMMANDS)
        result =
            dbk_fail(err, DBK_TOO_BIG, "a batch of %u commands is over %d", c->commands->count, DBK_BATCH_MAX_COMMANDS);
    return result;
}

static dbk_result check_size(const dbk_json_node *node, dbk_verb verb, dbk_error *err)
{
    size_t limit = verb == DBK_DO_BATCH ? DBK_BATCH_MAX_BYTES : DBK_COMMAND_MAX_BYTES;
    if (node->text.size <= limit) return DBK_OK;
    return dbk_fail(err, DBK_TOO_BIG, "a command of %zu bytes is over %zu", node->text.size, limit);
}

bool dbk_command_is_verb(dbk_slice name)
{
    return among(verbs, sizeof verbs / sizeof verbs[0], name);
}

/* The nearest of the engine's words and the app's commands. */
static const char *nearest_verb(const dbk_definition *definition, dbk_slice name)
{
    const char *names[sizeof verbs / sizeof verbs[0] + 200];
    size_t count = sizeof verbs / sizeof verbs[0];
    memcpy(names, verbs, sizeof verbs);
    for (size_t i = 0; i < definition->command_count && i < 200; i++) names[count++] = definition->commands[i].name;
    return dbk_nearest(name, names, count);
}

static dbk_result unknown_verb(const dbk_engine *engine, const dbk_json_node *verb, dbk_error *err)
{
    if (!verb) return dbk_fail(err, DBK_BAD_COMMAND, "a command says what to 'do'");
    if (verb->kind != DBK_JSON_STRING) return dbk_fail(err, DBK_BAD_COMMAND, "'do' must be text");
    const char *near = nearest_verb(engine->definition, verb->text);
    dbk_result result = dbk_fail(err, DBK_UNKNOWN_COMMAND, "there is no command '%.*s'",
                                 (int)(verb->text.size < 128 ? verb->text.size : 128), (const char *)verb->text.data);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    return result;
}

/* The form of the verb: the engine's own, or that of a command of the app or of this process. */
static const dbk_verb_form *find_form(const dbk_engine *engine, const dbk_json_node *verb, dbk_command *command)
{
    const dbk_verb_form *form = verb ? form_of(verb) : NULL;
    if (form || !verb || verb->kind != DBK_JSON_STRING) {
        if (form) command->verb = form->verb;
        return form;
    }
    command->app = dbk_definition_command(engine->definition, verb->text);
    command->verb = command->app ? DBK_DO_COMMAND : DBK_DO_HOST;
    if (!command->app) command->host = dbk_host_command_find(engine, verb->text);
    return command->app || command->host ? &command_form : NULL;
}

/* The members of a command, each looked for once. */
static void take_members(dbk_command *command, const dbk_json_node *node, dbk_said *said)
{
#define PLACE(name, text, place) &place,
    const dbk_json_node **const places[] = {MEMBERS(PLACE)};
#undef PLACE
    const dbk_json_node *child = node + 1;
    for (uint32_t i = 0; i < node->count; i++, child = dbk_json_next(child)) {
        size_t number = member_number(child->name);
        if (number == MEMBER_COUNT) {
            said->strange = true;
            continue;
        }
        *places[number] = child;
        said->seen |= 1u << number;
    }
    if (command->args && command->args->kind == DBK_JSON_NULL) command->args = NULL;
}

dbk_result dbk_command_read(const dbk_engine *engine, const dbk_json_node *node, bool inner, dbk_command *command,
                            dbk_error *err)
{
    dbk_said said = {0};
    memset(command, 0, sizeof *command);
    command->node = node;
    if (node->kind != DBK_JSON_OBJECT) return dbk_fail(err, DBK_BAD_COMMAND, "a command is a JSON object");
    take_members(command, node, &said);
    const dbk_verb_form *form = find_form(engine, said.verb, command);
    if (!form) return unknown_verb(engine, said.verb, err);
    if (inner && (command->verb == DBK_DO_BATCH || command->verb == DBK_DO_DISMISS || command->verb == DBK_DO_UNDO))
        return dbk_fail(err, DBK_BAD_COMMAND, "no %s in a batch", form->name);
    dbk_result result = check_size(node, command->verb, err);
    if (result == DBK_OK) result = check_id(command->id, inner, err);
    if (result == DBK_OK) result = check_members(node, form, &said, err);
    if (result == DBK_OK) result = check_kinds(command, err);
    if (result == DBK_OK) result = check_wait(said.wait, err);
    if (result == DBK_OK) result = take_text(said.actor, "actor", &command->actor, err);
    if (result == DBK_OK) result = take_text(said.correlation, "correlation", &command->correlation, err);
    if (result == DBK_OK) result = take_text(said.causation, "causation", &command->causation, err);
    return result;
}

static bool hidden(dbk_slice name)
{
    static const char *const names[] = {"id", "actor", "correlation", "causation", "wait"};
    return among(names, 5, name);
}

/* At most as many members as the forms above allow: anything more was refused before. */
enum { CONTENT_MEMBERS = 16 };

/* `known` may be NULL: of a command within another. */
static void put_content(dbk_buffer *out, const dbk_json_node *node, dbk_foreknown *known)
{
    const dbk_json_node *members[CONTENT_MEMBERS];
    size_t count = 0;
    const dbk_json_node *child = node + 1;
    for (uint32_t i = 0; i < node->count && count < CONTENT_MEMBERS; i++, child = dbk_json_next(child)) {
        if (hidden(child->name)) continue;
        size_t at = count++;
        for (; at > 0 && dbk_slice_compare(members[at - 1]->name, child->name) > 0; at--) members[at] = members[at - 1];
        members[at] = child;
    }
    dbk_buffer_put_u8(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, members[i]->name);
        dbk_buffer_put_u8(out, ':');
        bool batch =
            members[i]->kind == DBK_JSON_ARRAY && dbk_slice_equal(members[i]->name, dbk_slice_text("commands"));
        if (!batch) {
            size_t at = out->size;
            dbk_json_put_canonical(out, members[i]);
            if (known && dbk_slice_equal(members[i]->name, dbk_slice_text("data")) && out->size <= UINT32_MAX) {
                known->data = (uint32_t)at;
                known->data_bytes = (uint32_t)(out->size - at);
            }
            continue;
        }
        dbk_buffer_put_u8(out, '[');
        const dbk_json_node *inner = members[i] + 1;
        for (uint32_t k = 0; k < members[i]->count; k++, inner = dbk_json_next(inner)) {
            if (k > 0) dbk_buffer_put_u8(out, ',');
            put_content(out, inner, NULL);
        }
        dbk_buffer_put_u8(out, ']');
    }
    dbk_buffer_put_u8(out, '}');
}

dbk_result dbk_command_hash(dbk_buffer *text, const dbk_json_node *node, dbk_foreknown *known, dbk_error *err)
{
    size_t from = text->size;
    *known = (dbk_foreknown){.text = text};
    put_content(text, node, known);
    if (text->failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory to hash a command");
    dbk_digest(DBK_DIGEST_COMMAND, dbk_slice_of(text->data + from, text->size - from), known->hash, 32);
    return DBK_OK;
}
