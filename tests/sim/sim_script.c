/* Commands by seed: over few keys, so that they meet; some are refused; and another replica's entries
 * written at the same time. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 9, JOBS = 3, FILLER_MAX = 2200, BATCH_FULL = 1500, TEXT_MAX = 4096 };

/* A batch that is not full yet takes the longest command that there is, with what stands around its filler. */
_Static_assert(BATCH_FULL + FILLER_MAX + 256 <= TEXT_MAX, "a text has room for the longest batch");

typedef struct text {
    char bytes[TEXT_MAX];
    size_t size;
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int added = vsnprintf(t->bytes + t->size, sizeof t->bytes - t->size, format, args);
    va_end(args);
    if (added < 0 || (size_t)added >= sizeof t->bytes - t->size) abort();
    t->size += (size_t)added;
}

/* Mostly short, now and then over some sectors. */
static void put_filler(text *t, sim_random *random)
{
    uint32_t size = sim_chance(random, 6) ? 400 + sim_below(random, FILLER_MAX - 400) : sim_below(random, 40);
    for (uint32_t i = 0; i < size; i++) put(t, "%c", 'a' + (int)((i * 7 + size) % 26));
}

static void put_notes(text *t, sim_random *random)
{
    unsigned key = sim_below(random, KEYS);
    switch (sim_below(random, 5)) {
    case 0:
    case 1:
        put(t,
            "\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"title\":\"T%u\",\"stars\":%d,\"body\":\"",
            key, sim_chance(random, 8) ? sim_below(random, KEYS) : key, (int)sim_below(random, 7) - 1);
        put_filler(t, random);
        put(t, "\"}");
        return;
    case 2:
        put(t, "\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"stars\":%u}", key,
            sim_below(random, 5));
        if (sim_chance(random, 4)) put(t, ",\"expect\":\"exists\"");
        return;
    case 3:
        put(t, "\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"body\":\"", key);
        put_filler(t, random);
        put(t, "\"}");
        return;
    default: put(t, "\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n%u\"", key); return;
    }
}

static void put_plain(text *t, sim_random *random)
{
    unsigned key = sim_below(random, KEYS);
    switch (sim_below(random, 4)) {
    case 0:
        put(t, "\"do\":\"put\",\"table\":\"plain\",\"key\":\"p%u\",\"data\":{\"v\":%u}", key, sim_below(random, 100));
        return;
    case 1:
        put(t, "\"do\":\"put\",\"table\":\"plain\",\"key\":\"p%u\",\"data\":{\"v\":%u,\"w\":\"", key,
            sim_below(random, 100));
        put_filler(t, random);
        put(t, "\"}");
        return;
    case 2:
        put(t, "\"do\":\"patch\",\"table\":\"plain\",\"key\":\"p%u\",\"data\":{\"v\":%u}", key, sim_below(random, 100));
        return;
    default: put(t, "\"do\":\"delete\",\"table\":\"plain\",\"key\":\"p%u\"", key); return;
    }
}

/* A note that is not there: refused by the deferred key, unless its batch makes it. */
static void put_later(text *t, sim_random *random)
{
    put(t, "\"do\":\"put\",\"table\":\"later\",\"key\":\"l%u\",\"data\":{\"note\":\"n%u\"}", sim_below(random, KEYS),
        sim_below(random, KEYS));
}

static void put_event(text *t, sim_random *random)
{
    unsigned job = sim_below(random, JOBS);
    if (sim_chance(random, 3))
        put(t, "\"do\":\"append\",\"stream\":\"job/%u\",\"type\":\"job.started\",\"data\":{\"id\":\"%u\"}", job, job);
    else
        put(t,
            "\"do\":\"append\",\"stream\":\"job/%u\",\"type\":\"job.progressed\",\"data\":{\"id\":\"%u\",\"pct\":%u}",
            job, job, sim_below(random, 110));
}

static void put_one(text *t, sim_random *random)
{
    switch (sim_below(random, 12)) {
    case 0:
    case 1:
    case 2:
    case 3: put_notes(t, random); return;
    case 4:
    case 5:
    case 6: put_plain(t, random); return;
    case 7:
        put(t, "\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n%u\",\"x%u\"]", sim_below(random, KEYS),
            sim_below(random, 3));
        return;
    case 8: put_later(t, random); return;
    case 9: put(t, "\"do\":\"put\",\"table\":\"items\",\"data\":{\"what\":\"i%u\"}", sim_below(random, 50)); return;
    default: put_event(t, random); return;
    }
}

static void put_batch(text *t, sim_random *random)
{
    unsigned count = 1 + sim_below(random, 3), note = sim_below(random, KEYS);
    put(t, "\"do\":\"batch\",\"commands\":[");
    if (sim_chance(random, 2)) {
        put(t, "{\"do\":\"put\",\"table\":\"later\",\"key\":\"l%u\",\"data\":{\"note\":\"n%u\"}},",
            sim_below(random, KEYS), note);
        put(t, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"title\":\"T%u\"}},", note, note);
    }
    for (unsigned i = 0; i < count && t->size < BATCH_FULL; i++) {
        put(t, i ? ",{" : "{");
        put_one(t, random);
        put(t, "}");
    }
    put(t, "]");
}

const char *sim_command(sim_machine *m, sim_script *script, const char *author, char id[SIM_ID_SIZE])
{
    static text t;
    t.size = 0;
    snprintf(id, SIM_ID_SIZE, "%s%u", sim_chance(&script->random, 40) ? "both" : author, script->next_id++);
    put(&t, "{\"id\":\"%s\",", id);
    if (sim_chance(&script->random, 8)) put_batch(&t, &script->random);
    else put_one(&t, &script->random);
    put(&t, "}");
    dbk_slice kept = dbk_arena_copy(m->texts, dbk_slice_of(t.bytes, t.size));
    if (!kept.data) abort();
    return (const char *)kept.data;
}

/* ---- the other replica */

static void keep_facts(sim_machine *m, dbk_log *log)
{
    dbk_log_cursor *cursor;
    uint64_t position;
    dbk_slice origin;
    dbk_entry entry;
    if (dbk_log_cursor_open(log, 1, 0, &cursor, NULL) != DBK_OK) abort();
    while (m->fact_count < SIM_FACTS_MAX && dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL) == DBK_OK) {
        sim_fact *fact = &m->facts[m->fact_count++];
        fact->origin = dbk_arena_copy(m->texts, origin);
        if (!fact->origin.data || dbk_entry_decode(fact->origin, &entry, NULL) != DBK_OK) abort();
        fact->id = entry.id;
    }
    dbk_log_cursor_close(cursor);
}

static void write_facts(sim_machine *m, dbk_engine *engine, sim_script *script)
{
    for (int i = 0; i < 24; i++) {
        char id[SIM_ID_SIZE];
        dbk_slice command = dbk_slice_text(sim_command(m, script, "b", id));
        dbk_buffer receipt;
        dbk_buffer_init(&receipt, dbk_port_system());
        if (dbk_engine_decide(engine, &command, 1, script->now_ms, &receipt, NULL) != DBK_OK) abort();
        dbk_buffer_release(&receipt);
        script->now_ms += 1 + sim_below(&script->random, 2500);
    }
}

void sim_make_facts(sim_machine *m)
{
    sim_script script = {.random = {sim_mix(m->seed, 5)}, .now_ms = SIM_START_MS};
    dbk_engine_options options = m->options;
    dbk_engine *engine;
    options.port = dbk_simdisk_port(m->bench);
    options.model = (dbk_model_options){.vfs = m->bench_vfs_name};
    options.log.no_direct = true;
    options.hook = NULL;
    memset(options.replica, 'b', 16);
    if (dbk_engine_create("/author", NULL, &options, NULL, &m->error) != DBK_OK ||
        dbk_engine_open("/author", &options, &engine, &m->error) != DBK_OK)
        sim_fail(m, "the author: %s", m->error.text);
    write_facts(m, engine, &script);
    keep_facts(m, dbk_engine_log(engine));
    dbk_engine_close(engine);
}
