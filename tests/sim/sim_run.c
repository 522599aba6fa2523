/* One seed: the script up to a power loss at some change of the disk, several outcomes of that loss,
 * each recovered (losing power again now and then while it recovers), checked, and gone on with. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 34, STEPS_AFTER = 5, OUTCOMES = 4, DEPTH = 3 };

void sim_count_state(sim_machine *m)
{
    m->states++;
    if (m->until && m->states >= m->until) longjmp(m->stop, 1);
}

/* Whatever the log holds now may have been read by somebody. */
static void note_end(sim_machine *m)
{
    if (!m->engine) return;
    uint64_t end = dbk_log_position(dbk_engine_log(m->engine));
    if (end > m->oracle.seen) m->oracle.seen = end;
}

static void lose_power(sim_machine *m)
{
    note_end(m);
    sim_crash(m);
}

/* Opens after a crash; the power may go again at each change that this makes. */
static void recover(sim_machine *m)
{
    for (int depth = 0;; depth++) {
        if (sim_chance(&m->random, 6)) sim_put_stale(m);
        bool again = depth < DEPTH && sim_chance(&m->random, 3);
        if (again) dbk_simdisk_power_off_at(m->disk, 1 + sim_below(&m->random, 40));
        dbk_result result = sim_open(m);
        if (!sim_power_is_off(m)) {
            dbk_simdisk_power_off_at(m->disk, 0);
            if (result != DBK_OK) sim_fail(m, "L1: after a crash: %s", m->error.text);
            return;
        }
        lose_power(m);
        sim_count_state(m);
    }
}

static bool steps(sim_machine *m, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!sim_step(m) || sim_power_is_off(m)) return false;
    }
    return true;
}

static void check_end(sim_machine *m)
{
    sim_check_laws(m);
    sim_close(m);
    if (sim_chance(&m->random, 2)) sim_check_rot(m);
    if (sim_chance(&m->random, 4)) sim_check_forged(m);
    if (sim_open(m) != DBK_OK) sim_fail(m, "open after a close: %s", m->error.text);
    if (!dbk_log_was_clean(dbk_engine_log(m->engine))) sim_fail(m, "the close before left no mark");
    sim_check_laws(m);
    sim_close(m);
    sim_count_state(m);
}

/* From a crash on: recover, check, go on, and lose power again. */
static void after_crash(sim_machine *m)
{
    for (int depth = 0; depth < DEPTH; depth++) {
        recover(m);
        sim_check_laws(m);
        sim_count_state(m);
        dbk_simdisk_power_off_at(m->disk, 1 + sim_below(&m->random, 90));
        bool through = steps(m, STEPS_AFTER);
        if (through) {
            dbk_simdisk_power_off_at(m->disk, 0);
            break;
        }
        lose_power(m);
    }
    if (!m->engine) recover(m);
    check_end(m);
}

static void begin(sim_machine *m)
{
    m->script = (sim_script){.random = {sim_mix(m->seed, 2)}, .now_ms = SIM_START_MS};
    memset(&m->oracle, 0, sizeof m->oracle);
}

/* The script once through, in good weather: how many changes of the disk it makes. */
static uint64_t rehearse(sim_machine *m)
{
    uint64_t before = dbk_simdisk_calls(m->disk, DBK_SIM_CHANGES);
    begin(m);
    if (sim_open(m) != DBK_OK) sim_fail(m, "open: %s", m->error.text);
    if (!steps(m, STEPS)) sim_fail(m, "the script ended early");
    uint64_t changes = dbk_simdisk_calls(m->disk, DBK_SIM_CHANGES) - before;
    check_end(m);
    return changes;
}

static void crash_at(sim_machine *m, const dbk_simdisk_image *start, uint64_t change)
{
    static sim_oracle kept;
    dbk_simdisk_restore(m->disk, start);
    begin(m);
    dbk_simdisk_power_off_at(m->disk, change);
    if (sim_open(m) == DBK_OK) (void)steps(m, STEPS);
    else if (!sim_power_is_off(m)) sim_fail(m, "open: %s", m->error.text);
    note_end(m);
    sim_close(m);
    sim_script script = m->script;
    kept = m->oracle;
    dbk_simdisk_image *image = dbk_simdisk_snapshot(m->disk);
    for (int i = 0; i < OUTCOMES; i++) {
        if (i > 0) dbk_simdisk_restore(m->disk, image);
        m->oracle = kept;
        m->script = script;
        m->script.random.state ^= (uint64_t)i << 32;
        sim_crash(m);
        after_crash(m);
    }
    dbk_simdisk_image_free(m->disk, image);
}

void sim_run(sim_machine *m, uint32_t states)
{
    if (setjmp(m->stop)) return;
    if (sim_create(m) != DBK_OK) sim_fail(m, "create: %s", m->error.text);
    dbk_simdisk_crash(m->disk, DBK_SIM_ALL_OLD, m->seed);
    sim_make_facts(m);
    dbk_simdisk_image *start = dbk_simdisk_snapshot(m->disk);
    uint64_t changes = rehearse(m);
    while (m->states < states) crash_at(m, start, 1 + sim_draw(&m->random) % changes);
}
