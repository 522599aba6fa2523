/* Steps of a script on the open engine, and what their answers oblige it to. */
#include "tests/sim/sim.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

void sim_note_receipt(sim_machine *m, const char *json, const char *receipt, const char *id)
{
    sim_oracle *oracle = &m->oracle;
    m->trace = sim_mix(m->trace, dbk_checksum(dbk_slice_text(receipt), 4));
    bool on = !sim_power_is_off(m) && !m->dying;
    if (m->full &&
        (strstr(receipt, "\"internal\"") || strstr(receipt, "\"unavailable\"") || strstr(receipt, "\"corrupt\"")))
        sim_fail(m, "on a full disk: %s\n  %s", json, receipt);
    if (on && strstr(receipt, "\"projected\":false"))
        sim_fail(m, "accepted, and not projected: %s\n  %s", json, receipt);
    if (!strstr(receipt, "\"ok\":true")) {
        bool expected = m->drop_id[0] && strcmp(m->drop_id, id) == 0;
        static const char *const failures[] = {"\"internal\"", "\"corrupt\"", "\"poisoned\"", "\"unavailable\"",
                                               "\"no_space\""};
        for (size_t i = 0; on && !expected && i < sizeof failures / sizeof failures[0]; i++)
            if (strstr(receipt, failures[i])) sim_fail(m, "%s\n  %s", json, receipt);
        return;
    }
    if (strstr(receipt, "\"again\":true")) return;
    if (oracle->acked_count == SIM_COMMANDS_MAX) sim_fail(m, "more commands than the simulation has room for");
    sim_acked *acked = &oracle->acked[oracle->acked_count++];
    *acked = (sim_acked){.json = json, .position = number_after(receipt, "\"position\":")};
    const char *entry = strstr(receipt, "\"entry\":\"");
    if (!entry || acked->position == 0) sim_fail(m, "a receipt without position or entry: %s", receipt);
    entry += 9;
    for (size_t i = 0; entry[i] != '"' && i + 1 < sizeof acked->entry; i++) acked->entry[i] = entry[i];
    if (acked->position > oracle->seen) oracle->seen = acked->position;
}

bool sim_turn(sim_machine *m, uint32_t most)
{
    sim_oracle *oracle = &m->oracle;
    sim_script *script = &m->script;
    dbk_slice commands[SIM_TURN_MAX];
    dbk_buffer receipts[SIM_TURN_MAX];
    uint32_t count = 1 + sim_below(&script->random, most);
    for (uint32_t i = 0; i < count; i++) {
        commands[i] = dbk_slice_text(sim_command(m, script, "c", oracle->flight_ids[i]));
        dbk_buffer_init(&receipts[i], dbk_port_system());
    }
    m->drop_id[0] = 0;
    if (sim_chance(&script->random, 12))
        memcpy(m->drop_id, oracle->flight_ids[sim_below(&script->random, count)], sizeof m->drop_id);
    oracle->flight_count = count;
    oracle->flight_facts = 0;
    script->now_ms += 1 + sim_below(&script->random, 2000);
    dbk_result result = dbk_engine_decide(m->engine, commands, count, script->now_ms, receipts, &m->error);
    if (result != DBK_OK && !sim_power_is_off(m)) sim_fail(m, "decide: %s", m->error.text);
    for (uint32_t i = 0; i < count; i++) {
        if (result == DBK_OK)
            sim_note_receipt(m, (const char *)commands[i].data, dbk_buffer_text(&receipts[i]), oracle->flight_ids[i]);
        dbk_buffer_release(&receipts[i]);
    }
    m->drop_id[0] = 0;
    if (sim_power_is_off(m)) return false;
    sim_note_seen(m);
    oracle->flight_count = 0;
    return true;
}

/* The next facts of the other replica; now and then one is held back, so that those behind it wait. */
static bool import_facts(sim_machine *m)
{
    sim_oracle *oracle = &m->oracle;
    sim_random *random = &m->script.random;
    dbk_slice origins[SIM_FACTS_MAX];
    size_t count = 0;
    uint64_t logged = 0, parked = 0;
    uint32_t more = 1 + sim_below(random, 6), end = oracle->fact_end + more;
    bool gap = sim_chance(random, 6);
    if (end > m->fact_count) end = m->fact_count;
    if (end == oracle->fact_first) return true;
    for (uint32_t i = oracle->fact_first; i < end; i++)
        if (!gap || i != oracle->fact_end) origins[count++] = m->facts[i].origin;
    oracle->flight_count = 0;
    oracle->flight_facts = 1;
    oracle->any_facts = true;
    m->script.now_ms += 1 + sim_below(random, 2000);
    dbk_result result = dbk_engine_import(m->engine, origins, count, m->script.now_ms, &logged, &parked, &m->error);
    if (sim_power_is_off(m)) return false;
    if (result != DBK_OK) sim_fail(m, "import: %s", m->error.text);
    if (!gap) oracle->fact_first = oracle->fact_end = end;
    sim_note_seen(m);
    oracle->flight_facts = 0;
    return true;
}

static bool checkpoint(sim_machine *m)
{
    int mode = sim_chance(&m->script.random, 2) ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE;
    (void)sqlite3_wal_checkpoint_v2(dbk_model_handle(dbk_engine_model(m->engine)), NULL, mode, NULL, NULL);
    return !sim_power_is_off(m);
}

static bool rebuild(sim_machine *m)
{
    dbk_result result = dbk_engine_rebuild(m->engine, NULL, NULL, &m->error);
    if (sim_power_is_off(m)) return false;
    if (result != DBK_OK) sim_fail(m, "rebuild: %s", m->error.text);
    return true;
}

static bool idle(sim_machine *m)
{
    dbk_result result = dbk_log_idle(dbk_engine_log(m->engine), &m->error);
    if (sim_power_is_off(m)) return false;
    if (result != DBK_OK) sim_fail(m, "idle: %s", m->error.text);
    return true;
}

static bool open_again(sim_machine *m, const char *when)
{
    dbk_result result = sim_open(m);
    if (sim_power_is_off(m)) return false;
    if (result != DBK_OK) sim_fail(m, "open %s: %s", when, m->error.text);
    return true;
}

static bool reopen(sim_machine *m)
{
    sim_close(m);
    if (sim_power_is_off(m) || !open_again(m, "after a close")) return false;
    if (!dbk_log_was_clean(dbk_engine_log(m->engine))) sim_fail(m, "the close before left no mark");
    sim_note_seen(m);
    sim_watch_check(m);
    return !sim_power_is_off(m);
}

/* The process dies in the middle of a turn: nothing more reaches the disk, what did is not synced. */
static bool kill_and_reopen(sim_machine *m)
{
    dbk_simdisk_world *world = dbk_simdisk_world_of(m->disk);
    dbk_simdisk_fault dead = {
        .kinds = DBK_SIM_CHANGES, .skip = sim_below(&m->script.random, 5), .action = DBK_SIM_FAIL};
    sim_script *script = &m->script;
    sim_oracle *oracle = &m->oracle;
    dbk_slice command = dbk_slice_text(sim_command(m, script, "c", oracle->flight_ids[0]));
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    world->failed_sync_keeps_dirty = true;
    dbk_simdisk_add_fault(m->disk, &dead);
    m->dying = true;
    oracle->flight_count = 1;
    script->now_ms += 1000;
    if (dbk_engine_decide(m->engine, &command, 1, script->now_ms, &receipt, NULL) == DBK_OK) {
        sim_note_receipt(m, (const char *)command.data, dbk_buffer_text(&receipt), "");
    }
    dbk_buffer_release(&receipt);
    bool off = sim_power_is_off(m);
    if (!off) dbk_simdisk_kill(m->disk);
    sim_close(m);
    dbk_simdisk_clear_faults(m->disk);
    world->failed_sync_keeps_dirty = false;
    m->dying = false;
    if (off || !open_again(m, "after a kill")) return false;
    sim_note_seen(m);
    oracle->flight_count = 0;
    sim_watch_check(m);
    return !sim_power_is_off(m);
}

bool sim_step(sim_machine *m)
{
    if (m->oracle.seen + 80 > SIM_ENTRIES_MAX) return sim_turn(m, 1);
    switch (sim_below(&m->script.random, 24)) {
    case 0:
    case 1:
    case 2:
    case 3: return import_facts(m);
    case 4: return idle(m);
    case 5: return reopen(m);
    case 6: return rebuild(m);
    case 7: return checkpoint(m);
    case 8:
    case 9: return kill_and_reopen(m);
    default: return sim_turn(m, SIM_TURN_MAX);
    }
}
