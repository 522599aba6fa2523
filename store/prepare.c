/* What of a command needs nothing but its text: parsing, and the hash that tells a repetition from another command
 * under the same id. Parsers and buffers are kept in a pool, bounded by size class; without one the turn does the
 * work. */
#include "store/prepare.h"

/* A window of small commands in flight; a few of the arrays that clients gather. A parser keeps some six
 * times the text it last read. */
static const struct {
    size_t message_max;
    uint32_t most;
} classes[DBK_PREPARED_CLASSES] = {{4096, 128}, {131072, 8}};

void dbk_prepared_pool_init(dbk_prepared_pool *pool, const dbk_port *port)
{
    *pool = (dbk_prepared_pool){.port = port};
}

static void release(const dbk_port *port, dbk_prepared *prepared)
{
    dbk_json_parser_free(prepared->parser);
    dbk_buffer_release(&prepared->known);
    dbk_buffer_release(&prepared->text);
    dbk_free(port, prepared);
}

void dbk_prepared_pool_release(dbk_prepared_pool *pool)
{
    for (size_t i = 0; i < DBK_PREPARED_CLASSES; i++) {
        for (dbk_prepared *prepared = pool->of[i].free, *next; prepared; prepared = next) {
            next = prepared->next;
            release(pool->port, prepared);
        }
        pool->of[i].free = NULL;
    }
}

static dbk_prepared *make(const dbk_port *port, uint8_t size_class)
{
    dbk_prepared *prepared = dbk_alloc_zero(port, 1, sizeof *prepared);
    if (!prepared) return NULL;
    dbk_buffer_init(&prepared->known, port);
    dbk_buffer_init(&prepared->text, port);
    prepared->size_class = size_class;
    prepared->parser = dbk_json_parser_new(port);
    if (prepared->parser) return prepared;
    release(port, prepared);
    return NULL;
}

dbk_prepared *dbk_prepared_take(dbk_prepared_pool *pool, size_t message_size)
{
    uint8_t size_class = 0;
    while (size_class < DBK_PREPARED_CLASSES && message_size > classes[size_class].message_max) size_class++;
    if (size_class == DBK_PREPARED_CLASSES) return NULL;
    dbk_prepared *prepared = pool->of[size_class].free;
    if (prepared) {
        pool->of[size_class].free = prepared->next;
        return prepared;
    }
    if (pool->of[size_class].made == classes[size_class].most) return NULL;
    prepared = make(pool->port, size_class);
    if (prepared) pool->of[size_class].made++;
    return prepared;
}

void dbk_prepared_put(dbk_prepared_pool *pool, dbk_prepared *prepared)
{
    if (!prepared) return;
    prepared->next = pool->of[prepared->size_class].free;
    pool->of[prepared->size_class].free = prepared;
}

dbk_result dbk_message_parse(dbk_json_parser *parser, dbk_slice message, const dbk_json_node **root, dbk_error *err)
{
    if (message.size > DBK_BATCH_MAX_BYTES + 4096)
        return dbk_fail(err, DBK_TOO_BIG, "a message of %zu bytes is over %d", message.size, DBK_BATCH_MAX_BYTES);
    return dbk_json_parse(parser, message, root, err);
}

bool dbk_message_has_request(const dbk_json_node *root)
{
    if (root->kind != DBK_JSON_ARRAY) return dbk_request_is(root);
    const dbk_json_node *child = root + 1;
    for (uint32_t i = 0; i < root->count; i++, child = dbk_json_next(child))
        if (dbk_request_is(child)) return true;
    return false;
}

bool dbk_message_only_asks(const dbk_json_node *root)
{
    if (root->kind != DBK_JSON_ARRAY) return dbk_request_only_asks(root);
    const dbk_json_node *child = root + 1;
    for (uint32_t i = 0; i < root->count; i++, child = dbk_json_next(child))
        if (!dbk_request_only_asks(child)) return false;
    return true;
}

static bool is_append(const dbk_json_node *node)
{
    const dbk_json_node *verb = node->kind == DBK_JSON_OBJECT ? dbk_json_member(node, "do") : NULL;
    return verb && dbk_json_text_is(verb, "append");
}

static void add_hash(dbk_prepared *prepared, const dbk_json_node *node)
{
    dbk_foreknown known = {0};
    prepared->only_appends = prepared->only_appends && is_append(node);
    if (node->kind == DBK_JSON_OBJECT && dbk_command_hash(&prepared->text, node, &known, NULL) != DBK_OK)
        prepared->known.failed = true;
    dbk_buffer_put(&prepared->known, &known, sizeof known);
}

void dbk_prepare(dbk_prepared *prepared, dbk_slice message)
{
    const dbk_json_node *root = NULL;
    dbk_buffer_clear(&prepared->known);
    dbk_buffer_clear(&prepared->text);
    prepared->error = (dbk_error){0};
    prepared->result = dbk_message_parse(prepared->parser, message, &root, &prepared->error);
    prepared->root = prepared->result == DBK_OK ? root : NULL;
    bool append = prepared->root && root->kind == DBK_JSON_OBJECT && is_append(root);
    prepared->has_request = prepared->root && !append && dbk_message_has_request(root);
    prepared->only_appends = prepared->root && !prepared->has_request;
    if (!prepared->only_appends) return;
    if (root->kind == DBK_JSON_ARRAY) {
        const dbk_json_node *child = root + 1;
        for (uint32_t i = 0; i < root->count; i++, child = dbk_json_next(child)) add_hash(prepared, child);
    } else {
        add_hash(prepared, root);
    }
    if (prepared->known.failed) dbk_buffer_clear(&prepared->known); /* no memory: the turn tries it itself */
    prepared->known.failed = false;
}
