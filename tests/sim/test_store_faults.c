/* Every I/O call and every allocation of the engine fails, once and from there on, in twelve scenarios:
 * no crash, no leak, and the laws hold afterwards, by closing and by power loss.
 *   test_store_faults [STRIDE]   every STRIDE-th call (1: all)
 * Prints the runs made. SQLite's own allocations are not the port's and do not fail here. */
#include "tests/sim/sim.h"
#include "tests/sim/weather.h"

#include "store/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct scenario {
    const char *name;
    bool opens, rolls; /* opening is the scenario; the tail segment is nearly full */
    void (*run)(sim_machine *m);
} scenario;

static void send(sim_machine *m, const char *const *commands, uint32_t count)
{
    sim_oracle *oracle = &m->oracle;
    dbk_slice slices[SIM_TURN_MAX];
    dbk_buffer receipts[SIM_TURN_MAX];
    for (uint32_t i = 0; i < count; i++) {
        slices[i] = dbk_arena_copy(m->texts, dbk_slice_text(commands[i]));
        dbk_buffer_init(&receipts[i], dbk_port_system());
        (void)sscanf(commands[i], "{\"id\":\"%23[^\"]", oracle->flight_ids[i]);
    }
    oracle->flight_count = count;
    m->script.now_ms += 1000;
    dbk_result result = dbk_engine_decide(m->engine, slices, count, m->script.now_ms, receipts, &m->error);
    for (uint32_t i = 0; i < count; i++) {
        const char *receipt = dbk_buffer_text(&receipts[i]); /* NULL: no memory for it, its outcome is open */
        if (result == DBK_OK && receipt) sim_note_receipt(m, (const char *)slices[i].data, receipt, "");
        dbk_buffer_release(&receipts[i]);
    }
}

static void run_open(sim_machine *m)
{
    (void)sim_open(m);
}

static void run_put(sim_machine *m)
{
    const char *command =
        "{\"id\":\"f1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"fault\",\"data\":{\"title\":\"F\"}}";
    send(m, &command, 1);
}

static void run_batch(sim_machine *m)
{
    static const char *const commands[] = {
        ("{\"id\":\"f1\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"notes\",\"key\":\"f1\",\"data\":{"
         "\"title\":\"F1\"}},"
         "{\"do\":\"put\",\"table\":\"tags\",\"key\":[\"f1\",\"x\"]},{\"do\":\"put\",\"table\":\"plain\",\"key\":\"f\","
         "\"data\":{\"v\":1}}]}"),
        "{\"id\":\"f2\",\"do\":\"put\",\"table\":\"later\",\"key\":\"f2\",\"data\":{\"note\":\"none\"}}",
        "{\"id\":\"f3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"f1\",\"data\":{\"stars\":3}}",
        "{\"id\":\"f4\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"f1\"}"};
    send(m, commands, 4);
}

static void run_roll(sim_machine *m)
{
    char text[3000], filler[2400];
    memset(filler, 'x', sizeof filler);
    const char *command = text;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(
            text, sizeof text,
            "{\"id\":\"f%u\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"f\",\"data\":{\"v\":%u,\"w\":\"%.2300s\"}}",
            i, i, filler);
        uint32_t before = m->oracle.acked_count;
        send(m, &command, 1);
        if (m->oracle.acked_count == before) return; /* refused: another one would hide its outcome */
    }
}

static void run_import(sim_machine *m)
{
    dbk_slice origins[SIM_FACTS_MAX];
    size_t count = m->fact_count < 6 ? m->fact_count : 6;
    uint64_t logged, parked;
    for (size_t i = 0; i < count; i++) origins[i] = m->facts[i].origin;
    m->oracle.flight_count = 0;
    m->oracle.flight_facts = 1;
    m->oracle.any_facts = true;
    m->script.now_ms += 1000;
    (void)!dbk_engine_import(m->engine, origins, count, m->script.now_ms, &logged, &parked, &m->error);
}

static void run_rebuild(sim_machine *m)
{
    (void)!dbk_engine_rebuild(m->engine, NULL, NULL, &m->error);
}
static void run_idle(sim_machine *m)
{
    run_put(m);
    (void)!dbk_log_idle(dbk_engine_log(m->engine), &m->error);
}
static void run_close(sim_machine *m)
{
    sim_close(m);
}
static void run_changes(sim_machine *m)
{
    dbk_buffer out;
    dbk_buffer_init(&out, m->port);
    (void)!dbk_engine_head_message(m->engine, &out, &m->error);
    dbk_buffer_release(&out);
}

static void run_undo(sim_machine *m)
{
    const char *command = "{\"id\":\"f1\",\"do\":\"undo\",\"position\":2}";
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    snprintf(m->oracle.flight_ids[0], sizeof m->oracle.flight_ids[0], "f1");
    m->oracle.flight_count = 1;
    m->script.now_ms += 1000;
    dbk_slice text = dbk_arena_copy(m->texts, dbk_slice_text(command));
    dbk_result result = dbk_engine_undo(m->engine, text, m->script.now_ms, &receipt, &m->error);
    const char *answer = dbk_buffer_text(&receipt);
    if (result == DBK_OK && answer && receipt.size) sim_note_receipt(m, command, answer, "");
    dbk_buffer_release(&receipt);
}

/* None may fail where no fault was. */
static void ask_past(sim_machine *m, dbk_json_parser *parser, const char *request)
{
    const dbk_json_node *root;
    dbk_buffer out;
    dbk_result result = DBK_OK;
    dbk_buffer_init(&out, m->port);
    if (dbk_json_parse(parser, dbk_slice_text(request), &root, NULL) == DBK_OK)
        result = dbk_request_answer(m->engine, root, &out, &m->error);
    const char *answer = result == DBK_OK ? dbk_buffer_text(&out) : NULL;
    bool answered = answer && strncmp(answer, "{\"ok\":true", 10) == 0;
    if (!answered && dbk_simdisk_fault_hits(m->disk) == 0) sim_fail(m, "%s: %s", request, m->error.text);
    dbk_buffer_release(&out);
}

/* With images: the first of these makes one, the others begin with it. */
static void run_past(sim_machine *m)
{
    char requests[4][100];
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    if (!m->engine || !parser) return dbk_json_parser_free(parser);
    unsigned long long end = dbk_log_position(dbk_engine_log(m->engine));
    if (end < 4) sim_fail(m, "the log has %llu entries", end);
    snprintf(requests[0], sizeof requests[0], "{\"do\":\"fingerprint\",\"at\":%llu}", end - 2);
    snprintf(requests[1], sizeof requests[1], "{\"do\":\"explain\",\"position\":%llu}", end);
    snprintf(requests[2], sizeof requests[2], "{\"do\":\"diff\",\"from\":%llu,\"to\":%llu}", end - 3, end - 1);
    snprintf(requests[3], sizeof requests[3], "{\"do\":\"history\",\"table\":\"plain\",\"key\":\"f\"}");
    m->engine->options.image_every = 1;
    for (size_t i = 0; i < 4; i++) ask_past(m, parser, requests[i]);
    dbk_json_parser_free(parser);
}

static const scenario scenarios[] = {
    {"open", true, false, run_open},      {"open after a crash", true, true, run_open},
    {"put", false, false, run_put},       {"batch", false, false, run_batch},
    {"import", false, false, run_import}, {"rebuild", false, false, run_rebuild},
    {"roll", false, true, run_roll},      {"idle", false, false, run_idle},
    {"close", false, false, run_close},   {"feed", false, false, run_changes},
    {"undo", false, false, run_undo},     {"past", false, false, run_past},
};

/* An interruption that never ends would be waited for for ever, as it must be. */
static const weather weathers[] = {
    {"EIO once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EIO},
    {"EIO", DBK_SIM_IO, 0, DBK_SIM_FAIL, EIO},
    {"ENOSPC once", DBK_SIM_CHANGES, 1, DBK_SIM_FAIL, ENOSPC},
    {"ENOSPC", DBK_SIM_CHANGES, 0, DBK_SIM_FAIL, ENOSPC},
    {"EINTR once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EINTR},
    {"EINTR thrice", DBK_SIM_IO, 3, DBK_SIM_FAIL, EINTR},
    {"short once", DBK_SIM_READ | DBK_SIM_WRITE, 1, DBK_SIM_SHORT, 0},
    {"short", DBK_SIM_READ | DBK_SIM_WRITE, 0, DBK_SIM_SHORT, 0},
    {"no memory once", DBK_SIM_MEMORY, 1, DBK_SIM_FAIL, ENOMEM},
    {"no memory", DBK_SIM_MEMORY, 0, DBK_SIM_FAIL, ENOMEM},
};

typedef struct bench {
    sim_machine *m;
    const scenario *scenario;
    const dbk_simdisk_image *image;
    const sim_oracle *oracle;
    sim_script script;
    size_t memory, handles; /* while the store is closed */
} bench;

static void check_given_back(bench *b, const char *when)
{
    size_t memory = dbk_simdisk_memory_count(b->m->disk), handles = dbk_simdisk_handle_count(b->m->disk);
    if (memory != b->memory) sim_fail(b->m, "%s: %zu pieces of memory not given back", when, memory - b->memory);
    if (handles != b->handles) sim_fail(b->m, "%s: %zu handles not closed", when, handles - b->handles);
}

/* false: the fault hit nothing, the calls are all through. */
static bool run_once(bench *b, const weather *w, uint64_t skip)
{
    sim_machine *m = b->m;
    dbk_simdisk_fault fault = weather_fault(w, skip);
    snprintf(m->context, sizeof m->context, "%s, %s at call %llu: ", b->scenario->name, w->name,
             (unsigned long long)skip);
    dbk_simdisk_restore(m->disk, b->image);
    m->oracle = *b->oracle;
    m->script = b->script;
    if (!b->scenario->opens && sim_open(m) != DBK_OK) sim_fail(m, "%s", m->error.text);
    m->dying = true;
    m->full = w->error == ENOSPC;
    dbk_simdisk_add_fault(m->disk, &fault);
    b->scenario->run(m);
    m->full = false;
    bool hit = dbk_simdisk_fault_hits(m->disk) > 0;
    dbk_simdisk_clear_faults(m->disk);
    if (m->engine && dbk_log_position(dbk_engine_log(m->engine)) > m->oracle.seen)
        m->oracle.seen = dbk_log_position(dbk_engine_log(m->engine));
    if (skip % 2) sim_crash(m);
    else sim_close(m);
    m->dying = false;
    check_given_back(b, w->name);
    if (sim_open(m) != DBK_OK) sim_fail(m, "%s", m->error.text);
    sim_check_laws(m);
    sim_close(m);
    check_given_back(b, "afterwards");
    return hit;
}

/* The store before the scenario: some rows, some facts to come; rolls: little room in the segment. */
static void prepare(sim_machine *m, const scenario *s, bool no_direct)
{
    m->options.log.no_direct = no_direct;
    m->options.log.segment_first_bytes = 16384;
    if (sim_create(m) != DBK_OK) sim_fail(m, "create: %s", m->error.text);
    sim_make_facts(m);
    m->script = (sim_script){.random = {7}, .now_ms = SIM_START_MS};
    memset(&m->oracle, 0, sizeof m->oracle);
    if (sim_open(m) != DBK_OK) sim_fail(m, "open: %s", m->error.text);
    for (int i = 0; i < 8; i++) (void)sim_turn(m, 4);
    if (s->opens && s->rolls) {
        const char *command = "{\"id\":\"half\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"h\",\"data\":{\"v\":1}}";
        dbk_simdisk_power_off_at(m->disk, 1);
        send(m, &command, 1);
        sim_crash(m);
    } else {
        sim_close(m);
    }
    dbk_simdisk_sync_all(m->disk);
}

static uint64_t run_scenario(sim_machine *m, const scenario *s, bool no_direct, uint64_t stride,
                             dbk_definition *definition)
{
    static sim_oracle kept;
    uint64_t runs = 0;
    sim_machine_start(m, 11 + no_direct, definition);
    prepare(m, s, no_direct);
    kept = m->oracle;
    bench b = {.m = m,
               .scenario = s,
               .image = dbk_simdisk_snapshot(m->disk),
               .oracle = &kept,
               .script = m->script,
               .memory = dbk_simdisk_memory_count(m->disk),
               .handles = dbk_simdisk_handle_count(m->disk)};
    for (size_t i = 0; i < sizeof weathers / sizeof weathers[0]; i++)
        for (uint64_t skip = i % stride; run_once(&b, &weathers[i], skip); skip += stride) runs++;
    sim_machine_stop(m);
    printf("%-20s %s %6llu runs\n", s->name, no_direct ? "buffered" : "direct  ", (unsigned long long)runs);
    return runs;
}

/* ---- a disk that has so much room left, and then more again */

static bool is_accepted(sim_machine *m)
{
    static unsigned number;
    char text[3000];
    const char *command = text;
    uint32_t before = m->oracle.acked_count;
    snprintf(text, sizeof text,
             "{\"id\":\"d%u\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"d\",\"data\":{\"v\":%u,\"w\":\"%01500u\"}}",
             number, number, number);
    number++;
    send(m, &command, 1);
    m->oracle.flight_count = 0; /* refused with outcome none, or acknowledged */
    return m->oracle.acked_count > before;
}

/* Opens and is written to until nothing goes in any more; then there is room, and all goes on. */
static void fill_up(sim_machine *m, uint64_t room, bool opens_full)
{
    dbk_simdisk_world *world = dbk_simdisk_world_of(m->disk);
    uint64_t large = world->capacity_bytes;
    dbk_dir *dir = NULL;
    dbk_space space = {0};
    if (dbk_io_open_dir(m->port, NULL, "/", 0, &dir, NULL) != DBK_OK || m->port->space(m->port->ctx, dir, &space) != 0)
        abort();
    m->port->close_dir(m->port->ctx, dir);
    snprintf(m->context, sizeof m->context, "%llu bytes of room, opened %s: ", (unsigned long long)room,
             opens_full ? "so" : "before");
    if (!opens_full && sim_open(m) != DBK_OK) sim_fail(m, "%s", m->error.text);
    world->capacity_bytes = large - space.free_bytes + room;
    if (opens_full && sim_open(m) != DBK_OK) sim_fail(m, "%s", m->error.text);
    m->dying = m->full = true;
    for (uint32_t i = 0; is_accepted(m); i++)
        if (i == 400) sim_fail(m, "accepted without room");
    m->dying = m->full = false;
    world->capacity_bytes = large;
    if (!is_accepted(m)) sim_fail(m, "refused with room again");
    sim_check_laws(m);
    sim_close(m);
    if (sim_open(m) != DBK_OK) sim_fail(m, "%s", m->error.text);
    sim_check_laws(m);
    sim_close(m);
}

static uint64_t run_small_disks(sim_machine *m, dbk_definition *definition)
{
    static const uint64_t rooms[] = {0, 1, 4096, 8192, 20000, 40000, 70000, 100000, 150000};
    static sim_oracle kept;
    uint64_t runs = 0;
    sim_machine_start(m, 12, definition);
    prepare(m, &scenarios[2], true);
    kept = m->oracle;
    sim_script script = m->script;
    dbk_simdisk_image *image = dbk_simdisk_snapshot(m->disk);
    for (size_t i = 0; i < 2 * sizeof rooms / sizeof rooms[0]; i++, runs++) {
        dbk_simdisk_restore(m->disk, image);
        m->oracle = kept;
        m->script = script;
        fill_up(m, rooms[i / 2], i % 2 == 1);
    }
    sim_machine_stop(m);
    return runs;
}

int main(int argc, char **argv)
{
    static sim_machine machine;
    uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, runs = 0;
    dbk_definition *definition = sim_definition();
    machine.program = argv[0];
    if (stride == 0) stride = 1;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        for (int buffered = 0; buffered < 2; buffered++)
            runs += run_scenario(&machine, &scenarios[i], buffered, stride, definition);
    runs += run_small_disks(&machine, definition);
    dbk_definition_free(definition);
    printf("%llu faults in %zu scenarios\n", (unsigned long long)runs, sizeof scenarios / sizeof scenarios[0]);
    return runs * stride < 10000; /* no faults: it saw nothing */
}
