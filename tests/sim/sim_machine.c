/* The machine that a seed runs on: its disk, SQLite's files on it, the engine. */
#include "tests/sim/sim.h"

#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char schema[] =
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE, stars INTEGER DEFAULT 0,\n"
    "                    body TEXT, CHECK (stars >= 0));\n"
    "CREATE TABLE tags (note TEXT NOT NULL REFERENCES notes(id) ON DELETE CASCADE, name TEXT NOT NULL,\n"
    "                   PRIMARY KEY (note, name)) WITHOUT ROWID;\n"
    "CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL, note TEXT REFERENCES notes(id) DEFERRABLE INITIALLY DEFERRED);\n"
    "CREATE TABLE items (id INTEGER PRIMARY KEY NOT NULL, what TEXT);\n"
    "CREATE TABLE plain (id TEXT PRIMARY KEY NOT NULL, v INTEGER, w TEXT);\n"
    "CREATE TABLE progress (job TEXT PRIMARY KEY NOT NULL, pct INTEGER NOT NULL CHECK (pct <= 100));\n"
    "CREATE TABLE trail (job TEXT NOT NULL, pct INTEGER NOT NULL, PRIMARY KEY (job, pct)) WITHOUT ROWID;\n";
static const char projections[] = "-- on job.started\n"
                                  "INSERT INTO progress(job, pct) VALUES ($id, 0);\n"
                                  "-- on job.progressed\n"
                                  "UPDATE progress SET pct = $pct WHERE job = $id;\n"
                                  "-- on job.progressed\n"
                                  "-- may change nothing\n"
                                  "INSERT OR IGNORE INTO trail(job, pct) VALUES ($id, $pct);\n";

/* Two async models: one takes everything, the other stops where a job is half done. */
static const char app[] = "{\"daybook\": 1, \"name\": \"sim\", \"models\": {\"tally\": {}, \"strict\": {}}}";
static const char tally_schema[] =
    "CREATE TABLE tally (type TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL, last TEXT);\n";
static const char tally_projections[] = "-- on *\n"
                                        "INSERT INTO tally(type, n, last) VALUES (:type, 1, :event)\n"
                                        "ON CONFLICT(type) DO UPDATE SET n = n + 1, last = :event;\n";
static const char strict_schema[] =
    "CREATE TABLE half (job TEXT PRIMARY KEY NOT NULL, pct INTEGER CHECK (pct % 16 <> 5));\n";
static const char strict_projections[] = "-- on job.progressed\n"
                                         "INSERT INTO half(job, pct) VALUES ($id, $pct)\n"
                                         "ON CONFLICT(job) DO UPDATE SET pct = $pct;\n";

void sim_fail(sim_machine *m, const char *format, ...)
{
    va_list args;
    printf("seed %llu state %llu: %s", (unsigned long long)m->seed, (unsigned long long)m->states, m->context);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n  again: %s --seed %llu --until %llu\n  after %llu states in all\n", m->program,
           (unsigned long long)m->seed, (unsigned long long)m->states + 1,
           (unsigned long long)(m->earlier + m->states + 1));
    fflush(stdout);
    exit(1);
}

dbk_definition *sim_definition(void)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"projections.sql", dbk_slice_text(projections)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"strict/projections.sql", dbk_slice_text(strict_projections)},
                            {"strict/schema.sql", dbk_slice_text(strict_schema)},
                            {"tally/projections.sql", dbk_slice_text(tally_projections)},
                            {"tally/schema.sql", dbk_slice_text(tally_schema)}};
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error error = {0};
    if (dbk_definition_parse(dbk_port_system(), sources, sizeof sources / sizeof *sources, "sim", &definition,
                             &findings, &error) != DBK_OK) {
        dbk_buffer text;
        dbk_buffer_init(&text, dbk_port_system());
        dbk_findings_print(&findings, &text);
        printf("%s\n%.*s\n", error.text, DBK_SLICE_ARG(dbk_buffer_slice(&text)));
        exit(2);
    }
    dbk_findings_free(&findings);
    return definition;
}

/* SQLite asks for room in its own memory: the names have to live as long as the layers. */
static simvfs *make_vfs(const dbk_port *port, const char *name)
{
    simvfs *vfs = simvfs_register(name, port, NULL);
    if (!vfs) abort();
    return vfs;
}

static void set_options(sim_machine *m)
{
    static const uint32_t journal[] = {0, 0, 6, 40};
    sim_random *random = &m->random;
    m->options = (dbk_engine_options){.port = m->port,
                                      .no_threads = true,
                                      .given_ids = true,
                                      .incarnation = 1,
                                      .timeline = "t",
                                      .definition = m->definition};
    memset(m->options.replica, 'm', 16);
    memset(m->options.lineage, 'l', 16);
    m->options.disk.reserve_bytes = 16384;
    m->options.import_slice = sim_chance(random, 2) ? 1 + sim_below(random, 3) : 0;
    m->options.model.vfs = m->vfs_name;
    m->options.model.journal_rows = journal[sim_below(random, 4)];
    m->options.model.keys_only_over = sim_chance(random, 4) ? 2 : 0;
    m->options.log = (dbk_log_options){.no_background = true,
                                       .no_direct = sim_chance(random, 2),
                                       .segment_first_bytes = 16384u << sim_below(random, 2),
                                       .segment_max_bytes = 32768};
}

void sim_machine_start(sim_machine *m, uint64_t seed, dbk_definition *definition)
{
    const char *program = m->program;
    uint64_t until = m->until, earlier = m->earlier;
    memset(m, 0, sizeof *m);
    m->program = program;
    m->until = until;
    m->earlier = earlier;
    m->seed = seed;
    m->definition = definition;
    m->random.state = sim_mix(seed, 1);
    m->disk = dbk_simdisk_new(seed);
    m->bench = dbk_simdisk_new(seed + 1);
    m->port = dbk_simdisk_port(m->disk);
    snprintf(m->vfs_name, sizeof m->vfs_name, "sim");
    snprintf(m->bench_vfs_name, sizeof m->bench_vfs_name, "bench");
    m->vfs = make_vfs(m->port, m->vfs_name);
    m->bench_vfs = make_vfs(dbk_simdisk_port(m->bench), m->bench_vfs_name);
    m->parser = dbk_json_parser_new(dbk_port_system());
    m->texts = dbk_arena_new(dbk_port_system(), 65536);
    if (!m->parser || !m->texts) abort();
    set_options(m);
}

void sim_machine_stop(sim_machine *m)
{
    sim_close(m);
    simvfs_unregister(m->vfs);
    simvfs_unregister(m->bench_vfs);
    if (dbk_simdisk_memory_count(m->disk) != 0)
        sim_fail(m, "%zu pieces of memory not given back", dbk_simdisk_memory_count(m->disk));
    if (dbk_simdisk_handle_count(m->disk) != 0)
        sim_fail(m, "%zu handles not closed", dbk_simdisk_handle_count(m->disk));
    dbk_simdisk_free(m->disk);
    dbk_simdisk_free(m->bench);
    dbk_json_parser_free(m->parser);
    dbk_arena_free(m->texts);
}

/* SQLite loses the transaction under the named command, as ON CONFLICT ROLLBACK or a full disk would
 * make it. */
static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    sim_machine *m = arg;
    if (m->drop_id[0] && strcmp(point, "decide") == 0 && dbk_slice_equal(id, dbk_slice_text(m->drop_id)))
        (void)sqlite3_exec(dbk_model_handle(dbk_engine_model(engine)), "ROLLBACK", NULL, NULL, NULL);
    return 0;
}

dbk_result sim_create(sim_machine *m)
{
    return dbk_engine_create("/store", NULL, &m->options, NULL, &m->error);
}

dbk_result sim_open(sim_machine *m)
{
    m->options.hook = at_point;
    m->options.hook_arg = m;
    dbk_result result = dbk_engine_open("/store", &m->options, &m->engine, &m->error);
    if (result != DBK_OK) m->engine = NULL;
    else sim_watch_attach(m);
    return result;
}

void sim_close(sim_machine *m)
{
    dbk_engine_close(m->engine);
    m->engine = NULL;
}

bool sim_power_is_off(const sim_machine *m)
{
    return dbk_simdisk_power_is_off(m->disk);
}

void sim_crash(sim_machine *m)
{
    static const dbk_simdisk_crash_mode modes[] = {DBK_SIM_RANDOM_MIX, DBK_SIM_RANDOM_MIX, DBK_SIM_RANDOM_MIX,
                                                   DBK_SIM_ALL_OLD,    DBK_SIM_ALL_NEW,    DBK_SIM_ALL_ZERO,
                                                   DBK_SIM_ALL_GARBAGE};
    sim_close(m);
    dbk_simdisk_power_off_at(m->disk, 0);
    dbk_simdisk_crash_mode mode = modes[sim_below(&m->random, sizeof modes / sizeof modes[0])];
    dbk_simdisk_crash(m->disk, mode, sim_draw(&m->random));
}
