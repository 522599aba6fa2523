/* daybook.h over a table of functions: the embedded engine here, a connection in bus/client.c. */
#include <stdio.h>

#include "store/handle.h"
#include "store/queue.h"
#include "store/turn.h"
#include "store/waits.h"

struct dbk_subscription {
    dbk_store *store;
    void *inner;
};

const char *dbk_version(void)
{
    return DAYBOOK_VERSION;
}

void dbk_text_free(dbk_text *text)
{
    if (!text) return;
    dbk_free(dbk_port_system(), text->data);
    *text = (dbk_text){0};
}

dbk_result dbk_store_wrap(const dbk_store_ops *ops, void *ctx, dbk_store **out, dbk_error *err)
{
    dbk_store *store = dbk_alloc_zero(dbk_port_system(), 1, sizeof *store);
    if (!store) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a store");
    *store = (dbk_store){ops, ctx};
    *out = store;
    return DBK_OK;
}

void dbk_close(dbk_store *store)
{
    if (!store) return;
    store->ops->close(store->ctx);
    dbk_free(dbk_port_system(), store);
}

dbk_result dbk_do(dbk_store *store, const char *json, size_t size, dbk_text *receipt, dbk_error *err)
{
    *receipt = (dbk_text){0};
    return store->ops->call(store->ctx, json, size, receipt, err);
}

dbk_result dbk_send(dbk_store *store, const char *json, size_t size, dbk_done_fn done, void *arg, dbk_error *err)
{
    return store->ops->send(store->ctx, json, size, done, arg, err);
}

/* ---- stages */

typedef struct dbk_staged {
    dbk_stage_fn each;
    void *arg;
} dbk_staged;

dbk_stage dbk_receipt_stage(dbk_slice receipt)
{
    static const char ok[] = "\"ok\":true", decided[] = ",\"durable\":false}", synced[] = ",\"projected\":false}";
    if (!memmem(receipt.data, receipt.size, ok, sizeof ok - 1)) return DBK_STAGE_FAILED;
    if (memmem(receipt.data, receipt.size, decided, sizeof decided - 1)) return DBK_STAGE_ACCEPTED;
    return memmem(receipt.data, receipt.size, synced, sizeof synced - 1) ? DBK_STAGE_DURABLE : DBK_STAGE_PROJECTED;
}

static void on_last(void *arg, const char *receipt, size_t size)
{
    dbk_staged *staged = arg;
    staged->each(staged->arg, dbk_receipt_stage(dbk_slice_of(receipt, size)), receipt, size, true);
    dbk_free(dbk_port_system(), staged);
}

dbk_result dbk_send_staged(dbk_store *store, const char *json, size_t size, dbk_stage_fn each, void *arg,
                           dbk_error *err)
{
    if (store->ops->send_staged) return store->ops->send_staged(store->ctx, json, size, each, arg, err);
    dbk_staged *staged = dbk_alloc_zero(dbk_port_system(), 1, sizeof *staged);
    if (!staged) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    *staged = (dbk_staged){each, arg};
    dbk_result result = store->ops->send(store->ctx, json, size, on_last, staged, err);
    if (result != DBK_OK) dbk_free(dbk_port_system(), staged);
    return result;
}

/* ---- answers of requests as results */

/* Of the codes with that name the one of that class; of these the one that is called so itself, else the first. */
static dbk_result code_of_wire(dbk_slice name, dbk_slice class_)
{
    dbk_result found = DBK_INTERNAL;
    int best = 0;
#define X(code, value, precise, wire, of_class, text)                                                                  \
    if ((value) < 0 && dbk_slice_equal(name, dbk_slice_text(wire))) {                                                  \
        bool same = dbk_slice_equal(class_, dbk_slice_text(dbk_class_name(DBK_CLASS_##of_class)));                     \
        int fits = 1 + 2 * same + (strcmp(precise, wire) == 0);                                                        \
        if (fits > best) found = DBK_##code;                                                                           \
        if (fits > best) best = fits;                                                                                  \
    }
    DBK_RESULT_LIST(X)
#undef X
    return found;
}

dbk_result dbk_answer_result(const dbk_json_node *root, dbk_error *err)
{
    const dbk_json_node *ok = root->kind == DBK_JSON_OBJECT ? dbk_json_member(root, "ok") : NULL;
    if (ok && ok->kind == DBK_JSON_TRUE) return DBK_OK;
    const dbk_json_node *name = ok ? dbk_json_member(root, "error") : NULL;
    const dbk_json_node *message = ok ? dbk_json_member(root, "message") : NULL;
    const dbk_json_node *hint = ok ? dbk_json_member(root, "hint") : NULL;
    const dbk_json_node *class_ = ok ? dbk_json_member(root, "class") : NULL;
    if (!name || !message) return dbk_fail(err, DBK_INTERNAL, "an answer without 'ok'");
    dbk_result result = dbk_fail(err, code_of_wire(name->text, class_ ? class_->text : dbk_slice_of(NULL, 0)), "%.*s",
                                 DBK_SLICE_ARG(message->text));
    if (hint) dbk_error_hint(err, "%.*s", DBK_SLICE_ARG(hint->text));
    return result;
}

dbk_result dbk_store_ask(dbk_store *store, dbk_buffer *request, const bool *cancel, dbk_json_parser *parser,
                         dbk_text *answer, const dbk_json_node **root, dbk_error *err)
{
    const char *json = dbk_buffer_text(request);
    if (!json) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_result result = cancel ? store->ops->call_until(store->ctx, json, request->size, cancel, answer, err)
                               : dbk_do(store, json, request->size, answer, err);
    static const char accepted[] = "{\"ok\":true";
    /* Rows may be more than the parser takes in one array: who wants none of the answer's inside is not held to
     * that. */
    if (result == DBK_OK && !root && answer->size >= sizeof accepted &&
        memcmp(answer->data, accepted, sizeof accepted - 1) == 0)
        return DBK_OK;
    const dbk_json_node *own;
    if (!root) root = &own;
    if (result == DBK_OK) result = dbk_json_parse(parser, dbk_slice_of(answer->data, answer->size), root, err);
    if (result == DBK_OK) result = dbk_answer_result(*root, err);
    return result;
}

dbk_result dbk_query(dbk_store *store, const char *sql, const char *args, const dbk_moment *at, dbk_text *answer,
                     dbk_error *err)
{
    const dbk_port *port = dbk_port_system();
    dbk_buffer request;
    dbk_buffer_init(&request, port);
    *answer = (dbk_text){0};
    dbk_json_parser *parser = dbk_json_parser_new(port);
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_buffer_put_text(&request, "{\"do\":\"query\",\"sql\":");
    dbk_json_put_string(&request, dbk_slice_text(sql));
    if (args) dbk_buffer_printf(&request, ",\"args\":%s", args);
    if (at) dbk_moment_put(&request, at);
    dbk_buffer_put_u8(&request, '}');
    dbk_result result = dbk_store_ask(store, &request, NULL, parser, answer, NULL, err);
    if (result != DBK_OK) dbk_text_free(answer);
    dbk_json_parser_free(parser);
    dbk_buffer_release(&request);
    return result;
}

dbk_result dbk_subscribe(dbk_store *store, const char *table, const char *from, dbk_change_fn each, void *arg,
                         dbk_subscription **out, dbk_error *err)
{
    dbk_subscription *subscription = dbk_alloc_zero(dbk_port_system(), 1, sizeof *subscription);
    if (!subscription) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    subscription->store = store;
    dbk_result result = store->ops->subscribe(store->ctx, table, from, each, arg, &subscription->inner, err);
    if (result == DBK_OK) *out = subscription;
    else dbk_free(dbk_port_system(), subscription);
    return result;
}

void dbk_unsubscribe(dbk_subscription *subscription)
{
    if (!subscription) return;
    subscription->store->ops->unsubscribe(subscription->store->ctx, subscription->inner);
    dbk_free(dbk_port_system(), subscription);
}

dbk_result dbk_register_command(dbk_store *store, const char *name, dbk_command_fn run, void *arg, dbk_error *err)
{
    if (store->ops->register_command) return store->ops->register_command(store->ctx, name, run, arg, err);
    (void)dbk_fail(err, DBK_UNSUPPORTED, "cannot register '%s': another process decides for this store", name);
    dbk_error_hint(err, "open the store here, or write the command in commands.sql");
    return DBK_UNSUPPORTED;
}

/* ---- the embedded engine behind the calls */

static void engine_close(void *ctx)
{
    dbk_engine_close(ctx);
}

static dbk_result engine_send(void *ctx, const char *json, size_t size, dbk_done_fn done, void *arg, dbk_error *err)
{
    return dbk_queue_send(((dbk_engine *)ctx)->queue, json, size, done, arg, err);
}

static dbk_result engine_send_staged(void *ctx, const char *json, size_t size, dbk_stage_fn each, void *arg,
                                     dbk_error *err)
{
    return dbk_queue_send_staged(((dbk_engine *)ctx)->queue, json, size, each, arg, err);
}

static dbk_result engine_call(void *ctx, const char *json, size_t size, dbk_text *receipt, dbk_error *err)
{
    return dbk_queue_call(((dbk_engine *)ctx)->queue, json, size, receipt, err);
}

static dbk_result engine_call_until(void *ctx, const char *json, size_t size, const bool *cancel, dbk_text *receipt,
                                    dbk_error *err)
{
    return dbk_queue_call_until(((dbk_engine *)ctx)->queue, json, size, cancel, receipt, err);
}

static void engine_cancel(void *ctx, bool *cancel)
{
    dbk_waits_cancel(((dbk_engine *)ctx)->waits, cancel);
}

static dbk_result engine_subscribe(void *ctx, const char *table, const char *from, dbk_change_fn each, void *arg,
                                   void **out, dbk_error *err)
{
    return dbk_engine_subscribe(ctx, table, from, each, arg, out, err);
}

static void engine_unsubscribe(void *ctx, void *subscription)
{
    dbk_engine_unsubscribe(ctx, subscription);
}

static dbk_result engine_register(void *ctx, const char *name, dbk_command_fn run, void *arg, dbk_error *err)
{
    return dbk_engine_register(ctx, name, run, arg, err);
}

static const dbk_store_ops engine_ops = {
    .close = engine_close,
    .send = engine_send,
    .call = engine_call,
    .subscribe = engine_subscribe,
    .unsubscribe = engine_unsubscribe,
    .send_staged = engine_send_staged,
    .register_command = engine_register,
    .call_until = engine_call_until,
    .cancel = engine_cancel,
};

dbk_result dbk_store_send_until(dbk_store *store, const char *json, size_t size, const bool *cancel, dbk_done_fn done,
                                void *arg, dbk_error *err)
{
    return dbk_queue_send_until(((dbk_engine *)store->ctx)->queue, json, size, cancel, done, arg, err);
}

void dbk_store_cancel(dbk_store *store, bool *cancel)
{
    engine_cancel(store->ctx, cancel);
}

dbk_result dbk_engine_wrap(dbk_engine *engine, dbk_store **out, dbk_error *err)
{
    return dbk_store_wrap(&engine_ops, engine, out, err);
}

dbk_result dbk_create(const char *path, const char *app, const dbk_options *options, dbk_text *report, dbk_error *err)
{
    dbk_engine_options engine = {.force_fs = options && options->force_fs,
                                 .force_location = options && options->force_location};
    return dbk_engine_create(path, app, &engine, report, err);
}

dbk_result dbk_open(const char *path, const dbk_options *options, dbk_store **out, dbk_error *err)
{
    static const dbk_options none = {0};
    const dbk_options *own = options ? options : &none;
    dbk_engine_options engine_options = {.read_only = own->read_only,
                                         .force_fs = own->force_fs,
                                         .force_location = own->force_location,
                                         .batch = {own->batch_count, own->batch_bytes, own->batch_delay_us}};
    dbk_engine *engine = NULL;
    dbk_result result = dbk_engine_open(path, &engine_options, &engine, err);
    if (result != DBK_OK) return result;
    result = dbk_engine_wrap(engine, out, err);
    if (result != DBK_OK) dbk_engine_close(engine);
    return result;
}
