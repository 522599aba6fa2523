#include "projector/model/internal.h"
#include "tests/model/model.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const int64_t START_MS = 1700000000000;

void m_fail(m_world *w, const char *format, ...)
{
    va_list args;
    printf("seed %llu, operation %u: ", (unsigned long long)w->seed, w->number);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n  again: %s --seed %llu --operations %u%s%s\n", w->program, (unsigned long long)w->seed, w->number + 1,
           *w->skip ? " --skip " : "", w->skip);
    fflush(stdout);
    _Exit(1);
}

/* ---- versions of the app */

static dbk_definition *parse(m_world *w, m_texts *texts, const dbk_definition *previous)
{
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_source sources[M_SOURCES];
    int source_count = m_texts_sources(texts, sources);
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, (size_t)source_count, "app", &definition,
                                             &findings, &w->error);
    if (result != DBK_OK) {
        dbk_buffer found;
        dbk_buffer_init(&found, dbk_port_system());
        dbk_findings_print(&findings, &found);
        m_fail(w, "the app is refused: %s\n%.*s", w->error.text, DBK_SLICE_ARG(dbk_buffer_slice(&found)));
    }
    dbk_findings_free(&findings);
    uint8_t ancestors[M_VERSIONS][16];
    uint32_t count = 0;
    for (; previous && count < previous->ancestor_count; count++)
        memcpy(ancestors[count], previous->ancestors[count], 16);
    if (previous) memcpy(ancestors[count++], previous->hash, 16);
    if (dbk_definition_set_ancestors(definition, (const uint8_t(*)[16])ancestors, count, NULL, &w->error) != DBK_OK)
        m_fail(w, "ancestors: %s", w->error.text);
    return definition;
}

/* As the reference model's put. */
static bool keeps_unnamed(const m_world *w)
{
    return w->seed % 3 == 0;
}

static void add_version(m_world *w)
{
    const dbk_json_node *root;
    m_version *version = &w->versions[w->version_count], *before = w->version_count ? version - 1 : NULL;
    m_random random = {m_mix(w->seed, 100 + (uint64_t)w->version_count)};
    m_texts texts;
    if (before) {
        version->app = before->app;
        m_app_change(&version->app, &random);
    } else {
        m_app_make(&version->app, &random);
    }
    if (keeps_unnamed(w)) version->app.judged = -1; /* no store of an app does that, and a schema sees what it does */
    m_texts_init(&texts);
    m_app_write(&version->app, &texts);
    dbk_source sources[M_SOURCES];
    for (int i = 0, count = m_texts_sources(&texts, sources); i < count && w->shows; i++)
        printf("-- %s\n%.*s\n", sources[i].name, DBK_SLICE_ARG(sources[i].text));
    version->definition = parse(w, &texts, before ? before->definition : NULL);
    if (dbk_json_parse(w->parser, dbk_buffer_slice(&texts.app), &root, &w->error) != DBK_OK) m_fail(w, "app.json");
    version->oracle = o_define(dbk_buffer_text(&texts.schema), dbk_buffer_text(&texts.projections),
                               dbk_buffer_text(&texts.commands), root, before ? before->oracle : NULL);
    version->oracle->put_keeps_unnamed = keeps_unnamed(w);
    m_extras_tell(&version->app, &texts, version->oracle);
    w->version_count++;
    m_texts_release(&texts);
}

/* ---- stores */

static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    m_store *store = arg;
    if (strcmp(point, "decide") == 0) {
        if (store->drop[0] && dbk_slice_equal(id, dbk_slice_text(store->drop)))
            (void)sqlite3_exec(dbk_model_handle(dbk_engine_model(engine)), "ROLLBACK", NULL, NULL, NULL);
        return 0;
    }
    if (store->died || !store->crash || strcmp(point, store->crash) != 0) return store->died;
    store->died = store->crash_after-- == 0;
    return store->died;
}

static void set_options(m_world *w, m_store *store, int number)
{
    static const uint32_t journal[] = {0, 6, 40};
    m_random random = {m_mix(w->seed, 200 + (uint64_t)number)};
    dbk_engine_options *options = &store->options;
    *options = (dbk_engine_options){.port = dbk_simdisk_port(w->disk),
                                    .no_threads = true,
                                    .given_ids = true,
                                    .incarnation = 1,
                                    .timeline = store->timeline,
                                    .definition = w->versions[store->version].definition,
                                    .image_every = 3 + m_below(&random, 30)};
    memset(options->replica, 'a' + number, 16);
    memset(options->lineage, 'l', 16);
    options->disk.off = true;
    options->import_slice = m_chance(&random, 2) ? 1 + m_below(&random, 8) : 0;
    options->model.vfs = "model";
    options->model.journal_rows = journal[m_below(&random, 3)];
    options->model.reverse_unordered = m_chance(&random, 2);
    options->model.put_keeps_unnamed = keeps_unnamed(w);
    options->log = (dbk_log_options){.no_background = true, .no_direct = true, .segment_first_bytes = 65536};
}

void m_open(m_world *w, m_store *store)
{
    store->options.hook = at_point;
    store->options.hook_arg = store;
    store->options.publish = m_feed_take;
    store->options.publish_arg = store;
    store->died = false;
    store->crash = NULL;
    store->crash_after = 0;
    if (dbk_engine_open(store->path, &store->options, &store->engine, &w->error) != DBK_OK)
        m_fail(w, "opening: %s", w->error.text);
}

void m_close(m_world *w, m_store *store)
{
    (void)w;
    dbk_engine_close(store->engine);
    store->engine = NULL;
}

/* Clocks of seconds: several stores decide at one time, and only their names order what they say. */
static bool has_rough_clocks(const m_world *w)
{
    return w->seed % 4 == 1;
}

static m_store *new_store(m_world *w, int version)
{
    int number = w->store_count++;
    m_store *store = &w->stores[number];
    memset(store, 0, sizeof *store);
    snprintf(store->path, sizeof store->path, "/store-%d", number);
    snprintf(store->timeline, sizeof store->timeline, "t%d", number);
    store->version = version;
    store->now_ms = START_MS + (has_rough_clocks(w) ? 0 : number * 700);
    store->mono_ms = 1000;
    dbk_buffer_init(&store->feed, dbk_port_system());
    set_options(w, store, number);
    return store;
}

static void add_store(m_world *w)
{
    m_store *store = new_store(w, 0);
    if (dbk_engine_create(store->path, NULL, &store->options, NULL, &w->error) != DBK_OK)
        m_fail(w, "create: %s", w->error.text);
    m_open(w, store);
    store->oracle = o_replica_new(store->timeline, store->options.replica, 1, w->versions[store->version].oracle);
}

void m_world_start(m_world *w, uint64_t seed, const char *program)
{
    const char *skip = w->skip;
    bool shows = w->shows;
    memset(w, 0, sizeof *w);
    w->skip = skip;
    w->shows = shows;
    w->seed = seed;
    w->program = program;
    o_reset();
    w->disk = dbk_simdisk_new(seed);
    w->vfs = simvfs_register("model", dbk_simdisk_port(w->disk), NULL);
    w->parser = dbk_json_parser_new(dbk_port_system());
    w->answers = dbk_json_parser_new(dbk_port_system());
    if (!w->vfs || !w->parser || !w->answers) abort();
    for (size_t i = 0; i < M_SENT; i++) dbk_buffer_init(&w->sent[i], dbk_port_system());
    add_version(w);
    add_store(w);
    add_store(w);
}

void m_world_stop(m_world *w)
{
    for (int i = 0; i < w->store_count; i++) {
        m_close(w, &w->stores[i]);
        dbk_buffer_release(&w->stores[i].feed);
    }
    simvfs_unregister(w->vfs);
    if (dbk_simdisk_memory_count(w->disk))
        m_fail(w, "%zu pieces of memory not given back", dbk_simdisk_memory_count(w->disk));
    if (dbk_simdisk_handle_count(w->disk)) m_fail(w, "%zu handles not closed", dbk_simdisk_handle_count(w->disk));
    dbk_simdisk_free(w->disk);
    for (int i = 0; i < w->version_count; i++) dbk_definition_free(w->versions[i].definition);
    for (size_t i = 0; i < M_SENT; i++) dbk_buffer_release(&w->sent[i]);
    dbk_json_parser_free(w->parser);
    dbk_json_parser_free(w->answers);
}

m_store *m_any_store(m_world *w)
{
    return &w->stores[m_below(&w->random, (uint32_t)w->store_count)];
}

/* ---- operations */

void m_forget_memory(m_store *store)
{
    store->anew = true; /* who heard the feed before has to ask what changed */
    store->oracle->parked_count = 0;
    store->clock = (o_clock){0};
}

static void reopen(m_world *w, m_store *store)
{
    m_close(w, store);
    m_open(w, store);
    m_forget_memory(store);
}

static void decide(m_world *w, m_store *store)
{
    static const char *const points[] = {"logged", "committed"};
    dbk_buffer commands[M_TURN];
    size_t count = 1 + (m_chance(&w->random, 2) ? 0 : m_below(&w->random, M_TURN));
    w->what = "decided";
    for (size_t i = 0; i < count; i++) {
        dbk_buffer_init(&commands[i], dbk_port_system());
        m_command(w, store, &commands[i]);
        (void)dbk_buffer_text(&commands[i]);
    }
    uint32_t fault = m_below(&w->random, 40);
    if (fault < 2) store->crash = points[fault];
    if (fault == 2) store->drop[0] = '?';
    store->powers = !store->crash && !store->drop[0] && m_chance(&w->random, 30);
    m_decide(w, store, commands, count);
    for (size_t i = 0; i < count; i++) dbk_buffer_release(&commands[i]);
    if (store->crash) reopen(w, store);
    store->died = false;
}

/* What waited in memory is gone after a death between two slices, so that nobody would send it again. */
static void plan_death(m_world *w, m_store *store)
{
    if (!m_chance(&w->random, 12) || (store->options.import_slice && store->oracle->parked_count)) return;
    store->crash = m_chance(&w->random, 2) ? "logged" : "committed";
    store->crash_after = store->options.import_slice ? (int)m_below(&w->random, 5) : 0;
}

/* A death leaves the slices before it; who sends the facts again brings the others. */
static void take_in(m_world *w, m_store *to, const o_entry *const *facts, const dbk_slice *origins, int count)
{
    uint64_t logged, parked;
    plan_death(w, to);
    int expected = o_import(to->oracle, facts, count, to->now_ms);
    dbk_result result = dbk_engine_import(to->engine, origins, (size_t)count, to->now_ms, &logged, &parked, &w->error);
    if (result != DBK_OK && !to->died) m_fail(w, "import: %s", w->error.text);
    if (!to->died && ((int)logged != expected || (int)parked != to->oracle->parked_count))
        m_fail(w, "%llu facts logged and %llu parked, not %d and %d", (unsigned long long)logged,
               (unsigned long long)parked, expected, to->oracle->parked_count);
    bool died = to->died;
    if (to->crash) reopen(w, to);
    if (!died) return;
    (void)o_import(to->oracle, facts, count, to->now_ms);
    result = dbk_engine_import(to->engine, origins, (size_t)count, to->now_ms, &logged, &parked, &w->error);
    if (result != DBK_OK || (int)parked != to->oracle->parked_count) m_fail(w, "import again: %s", w->error.text);
}

/* Some of one store's entries to another, out of order and perhaps with holes. */
static void deliver(m_world *w, m_store *from, m_store *to)
{
    const o_entry *facts[64];
    dbk_buffer bytes[64];
    dbk_slice origins[64];
    int count = 0;
    uint64_t first = m_below(&w->random, (uint32_t)from->oracle->position + 1);
    if (from == to) return;
    w->what = "facts";
    if (w->shows) printf("%u: facts from %s to %s\n", w->number, from->timeline, to->timeline);
    if (m_chance(&w->random, 2)) /* what the other has not */
        for (first = 0; first < from->oracle->position && o_position_of(to->oracle, from->oracle->log[first]);) first++;
    bool holes = m_chance(&w->random, 4);
    for (uint64_t i = first; i < from->oracle->position && count < 64; i++) {
        if (holes && m_chance(&w->random, 4)) continue;
        dbk_buffer_init(&bytes[count], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(from->engine), i + 1, &bytes[count], NULL, &w->error) != DBK_OK)
            m_fail(w, "reading: %s", w->error.text);
        facts[count] = from->oracle->log[i];
        origins[count] = dbk_buffer_slice(&bytes[count]);
        uint32_t other = m_below(&w->random, (uint32_t)++count);
        const o_entry *fact = facts[other];
        dbk_slice origin = origins[other];
        facts[other] = facts[count - 1], facts[count - 1] = fact;
        origins[other] = origins[count - 1], origins[count - 1] = origin;
    }
    take_in(w, to, facts, origins, count);
    for (int i = 0; i < count; i++) dbk_buffer_release(&bytes[i]);
    to->died = false;
}

typedef struct lost {
    m_world *w;
    const o_entry *const *entries;
    int expected;
    uint64_t found;
} lost;

static void note_lost(void *arg, const dbk_entry_id *id)
{
    lost *all = arg;
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(id, text);
    const char *name = o_text(text);
    for (int i = 0; i < all->expected; i++) all->found += all->entries[i]->id == name;
}

static void upgrade(m_world *w, m_store *store)
{
    static const o_entry *entries[O_ENTRIES];
    if (store->version + 1 == M_VERSIONS) return;
    if (store->version + 1 == w->version_count) add_version(w);
    const m_version *next = &w->versions[store->version + 1];
    bool accept = m_chance(&w->random, 2);
    uint64_t count = 0;
    w->what = "upgraded";
    if (w->shows) printf("%u: upgrade of %s%s\n", w->number, store->timeline, accept ? ", accepted" : "");
    lost all = {.w = w, .entries = entries};
    all.expected = o_upgrade(store->oracle, next->oracle, store->now_ms, accept, entries, O_ENTRIES);
    if (dbk_engine_upgrade(store->engine, next->definition, store->now_ms, accept, note_lost, &all, &count,
                           &w->error) != DBK_OK)
        m_fail(w, "upgrade: %s", w->error.text);
    if ((int)count != all.expected || all.found != count)
        m_fail(w, "%llu entries are lost by the upgrade (%llu of them rightly), not %d", (unsigned long long)count,
               (unsigned long long)all.found, all.expected);
    if (!accept && count) return;
    store->version++;
    store->options.definition = next->definition;
    memset(store->known, 0, sizeof store->known);
}

static void copy_store(m_world *w)
{
    m_store *from = m_any_store(w);
    uint64_t position = from->oracle->position;
    if (w->store_count == M_STORES || position == 0) return;
    w->what = "copied";
    m_store *store = new_store(w, from->version);
    uint64_t upto = position - m_below(&w->random, (uint32_t)(position < 5 ? position : 5));
    memcpy(store->options.replica, from->options.replica, 16);
    store->options.incarnation = 100 + (uint32_t)w->store_count;
    if (dbk_engine_copy(from->engine, upto, store->path, store->options.incarnation, store->timeline, &store->options,
                        &w->error) != DBK_OK)
        m_fail(w, "copy: %s", w->error.text);
    m_open(w, store);
    store->oracle = o_replica_copy(from->oracle, upto, store->options.incarnation, store->timeline);
    m_look(w, store);
}

void m_operation(m_world *w)
{
    w->random.state = m_mix(w->seed, 1000 + (uint64_t)w->number);
    w->commands = 0;
    m_store *store = m_any_store(w);
    int64_t step = has_rough_clocks(w) ? 2000 * m_below(&w->random, 2) : m_below(&w->random, 2000);
    store->now_ms += m_chance(&w->random, 20) ? -6000 : step;
    store->mono_ms += step;
    store->powers = false;
    m_feed_begin(store);
    uint32_t draw = m_below(&w->random, 200);
    if (draw < 130) decide(w, store);
    else if (draw < 142) m_undo(w, store);
    else if (draw < 147) m_redo(w, store);
    else if (draw < 153) m_retain(w, store);
    else if (draw < 180) deliver(w, m_any_store(w), store);
    else if (draw < 183) reopen(w, store);
    else if (draw < 186) m_look_again(w, store);
    else if (draw < 198) m_look_back(w, store);
    else if (draw < 199) upgrade(w, store);
    else copy_store(w);
    m_look(w, store);
    m_feed_check(w, store);
    if (m_chance(&w->random, 4)) m_look_async(w, store);
}

void m_finish(m_world *w)
{
    m_store *store = m_any_store(w);
    m_look_again(w, store);
    m_look_async(w, store);
    m_look_shuffled(w, store);
}
