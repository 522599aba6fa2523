/* Power losses of a log, by seed: a script of appends, rolls, idleness and reopening; the power goes at a drawn
 * change of the disk, with drawn outcomes for what was not synced, again while it recovers, and again later. What
 * was acknowledged or could be read is kept outside the simulated machine. After each loss: verification finds no
 * fault in what is there, the log opens, and holds what was acknowledged and nothing but what was submitted. A step
 * is a state checked; usage: seeded.h. */
#include "seeded.h"

enum { SEQS_MAX = 4000, STEPS = 24, STEPS_AFTER = 6, OUTCOMES = 8, DEPTH = 3 };

/* What may be there: the checksum of each entry as it was last submitted. */
typedef struct oracle {
    uint64_t submitted, kept; /* kept: acknowledged, or seen by a reader */
    uint64_t attempts;
    uint64_t entries[SEQS_MAX];
} oracle;

static oracle known;
static uint64_t in_recovery, later; /* losses of power that followed another one */

static dbk_result append_some(seeded *s, world *w, size_t count)
{
    dbk_buffer buffers[64];
    dbk_slice origins[64];
    uint64_t position = dbk_log_position(w->log);

    known.attempts++;
    known.submitted = position + count;
    for (size_t i = 0; i < count; i++) {
        uint64_t seq = position + i + 1;
        holds(seq < SEQS_MAX);
        dbk_buffer_init(&buffers[i], dbk_port_system());
        make_entry(&buffers[i], replica_one, seq, known.attempts * 10000 + seq, below(s, 8) ? seq % 50 : seq % 1900);
        origins[i] = dbk_buffer_slice(&buffers[i]);
        known.entries[seq] = dbk_checksum(origins[i], 1);
    }
    dbk_result rc = dbk_log_append(w->log, origins, count, (int64_t)known.attempts, NULL, NULL);
    if (rc == DBK_OK) known.kept = known.submitted;
    for (size_t i = 0; i < count; i++) dbk_buffer_release(&buffers[i]);
    return rc;
}

/* False when it did not work: the power is gone. */
static bool one_step(seeded *s, world *w)
{
    uint64_t what = below(s, 12);

    if (what == 0) return dbk_log_idle(w->log, NULL) == DBK_OK;
    if (what == 1) {
        dbk_log_close(w->log);
        w->log = NULL;
        return world_open(w, NULL) == DBK_OK;
    }
    if (what == 2) dbk_simdisk_world_of(w->disk)->wall_ms += chance(s, 2) ? 1 << 30 : -(1 << 30);
    return append_some(s, w, what == 3 ? 40 : 1 + below(s, 9)) == DBK_OK;
}

static bool steps(seeded *s, world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!one_step(s, w)) return false;
    return true;
}

static void lose_power(seeded *s, world *w)
{
    static const dbk_simdisk_crash_mode modes[] = {DBK_SIM_RANDOM_MIX, DBK_SIM_RANDOM_MIX, DBK_SIM_RANDOM_MIX,
                                                   DBK_SIM_RANDOM_MIX, DBK_SIM_ALL_OLD,    DBK_SIM_ALL_NEW,
                                                   DBK_SIM_ALL_ZERO,   DBK_SIM_ALL_GARBAGE};

    world_close(w);
    dbk_simdisk_power_off_at(w->disk, 0);
    dbk_simdisk_crash_mode mode = modes[below(s, 8)];
    dbk_simdisk_crash(w->disk, mode, draw(s));
}

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    (void)arg;
    broke("a fault after a power loss: %s at %llu: %s", fault->file, (unsigned long long)fault->offset, fault->text);
}

/* What a power loss leaves is no damage, also before anybody opened it. */
static void verify(seeded *s, world *w)
{
    dbk_log_watcher watcher = {.fault = on_fault};
    dbk_log_report report;
    dbk_error err = {0};

    w->dir = root_of(w->port);
    dbk_verify_depth depth = chance(s, 4) ? DBK_VERIFY_PROOF : DBK_VERIFY_CHECKSUMS;
    if (dbk_log_verify(w->port, w->dir, &w->options, depth, &watcher, &report, &err) != DBK_OK)
        broke("cannot verify: %s", err.text);
    world_close(w);
}

static void check_laws(seeded *s, world *w)
{
    dbk_log_cursor *cursor;
    uint64_t position, count = 0, end = dbk_log_position(w->log);
    dbk_slice origin;
    dbk_result rc;

    if (end < known.kept) broke("L1: %d of %d entries are there", (int)end, (int)known.kept);
    if (end > known.submitted) broke("L2: %d entries, %d were submitted", (int)end, (int)known.submitted);
    holds(dbk_log_cursor_open(w->log, 1, 0, &cursor, NULL) == DBK_OK);
    while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) {
        holds(position == ++count);
        if (dbk_checksum(origin, 1) != known.entries[position]) broke("entry %d is another", (int)position);
    }
    holds(rc == DBK_END && count == end);
    dbk_log_cursor_close(cursor);
    known.kept = known.submitted = end;
    seeded_note(s, end ^ dbk_simdisk_calls(w->disk, DBK_SIM_CHANGES) << 32);
    s->step++;
}

/* Opens after a loss; the power may go again meanwhile. */
static void recover(seeded *s, world *w)
{
    dbk_error err = {0};

    for (unsigned depth = 0;; depth++) {
        if (chance(s, 3)) verify(s, w);
        if (depth < DEPTH && chance(s, 3)) dbk_simdisk_power_off_at(w->disk, 1 + below(s, 24));
        dbk_result rc = world_open(w, &err);
        if (!dbk_simdisk_power_is_off(w->disk)) {
            dbk_simdisk_power_off_at(w->disk, 0);
            if (rc != DBK_OK) broke("L1: after a loss of power: %s", err.text);
            return check_laws(s, w);
        }
        if (rc == DBK_OK && dbk_log_position(w->log) > known.kept) known.kept = dbk_log_position(w->log); /* seen */
        lose_power(s, w);
        in_recovery++;
        s->step++;
    }
}

static void after_loss(seeded *s, world *w)
{
    recover(s, w);
    while (chance(s, 2)) {
        dbk_simdisk_power_off_at(w->disk, 1 + below(s, 40));
        bool through = steps(s, w, STEPS_AFTER);
        dbk_simdisk_power_off_at(w->disk, through ? 0 : 1);
        lose_power(s, w);
        later++;
        recover(s, w);
    }
    world_close(w);
}

/* One script, the power lost at one of its changes, and some outcomes of that. */
static void lose_at(seeded *s, world *w, const dbk_simdisk_image *start, uint64_t script, uint64_t change)
{
    static oracle then;
    uint64_t state = s->state;

    dbk_simdisk_restore(w->disk, start);
    memset(&known, 0, sizeof(known));
    s->state = script;
    dbk_simdisk_power_off_at(w->disk, change);
    if (world_open(w, NULL) == DBK_OK) (void)steps(s, w, STEPS);
    s->state = state;
    world_close(w);
    then = known;
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w->disk);
    for (unsigned i = 0; i < OUTCOMES && s->step < s->each; i++) {
        dbk_simdisk_restore(w->disk, image);
        known = then;
        lose_power(s, w);
        after_loss(s, w);
    }
    dbk_simdisk_image_free(w->disk, image);
}

static void one_seed(seeded *s, uint64_t seed)
{
    world w;

    seeded_begin(s, seed);
    keep_plain = chance(s, 2);
    checkpoint_bytes = chance(s, 2) ? 512 : 0;
    world_new_with(&w, seed, chance(s, 2));
    world_close(&w);
    dbk_simdisk_image *start = dbk_simdisk_snapshot(w.disk);
    while (s->step < s->each) {
        uint64_t script = draw(s), state = s->state, before = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES);
        dbk_simdisk_restore(w.disk, start);
        memset(&known, 0, sizeof(known));
        s->state = script;
        holds(world_open(&w, NULL) == DBK_OK && steps(s, &w, STEPS));
        s->state = state;
        world_close(&w);
        uint64_t changes = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES) - before;
        for (unsigned i = 0; i < 8; i++) lose_at(s, &w, start, script, 1 + below(s, changes));
    }
    world_free(&w);
}

int main(int argc, char **argv)
{
    seeded *s = &run_now;
    uint64_t states = 0;

    if (!seeded_arguments(s, argc, argv, 20, 500)) return fprintf(stderr, "usage: see tests/log/seeded.h\n"), 2;
    for (uint64_t seed = s->first; seed <= s->last; seed++) {
        one_seed(s, seed);
        states += s->step;
    }
    s->done = true;
    printf("%llu crash states from %llu seeds, %llu losses in recovery, %llu after one, trace %016llx\n",
           (unsigned long long)states, (unsigned long long)(s->last - s->first + 1), (unsigned long long)in_recovery,
           (unsigned long long)later, (unsigned long long)s->trace);
    return 0;
}
