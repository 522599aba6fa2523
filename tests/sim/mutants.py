#!/usr/bin/env python3
"""Plants one bug after the other into a copy of the sources and expects sim_store, or test_queue_schedules, to find it.

usage: mutants.py BUILD_FOLDER [--states N] [--only NAME] [--json FILE]
       mutants.py --check    (whether each bug still has its place in the sources)

Prints for each bug how many crash states, or schedules, it took; one of them is a canary, a checker that is broken. Exit 1 when one survives N states, or when the
sources no longer have the text that a bug replaces (then the bug has to be planted anew)."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import planted

COPIED = ["base", "log", "projector", "store", "cmake", "tests/support", "tests/sim", "CMakeLists.txt",
          "tests/CMakeLists.txt", "LICENSE"]

# name: [(file, text, text instead), …]
MUTANTS = {
    "acknowledge before sync": [
        ("log/tail.c", "    rc = dbk_io_sync(log->port, *tail.file, name, err);\n    return rc",
         "    rc = tail.offset > DBK_SEGMENT_DATA_OFFSET ? DBK_OK : dbk_io_sync(log->port, *tail.file, name, err);\n    return rc")],
    "directory sync skipped": [
        ("log/segment.c", "    if (rc == DBK_OK) rc = dbk_io_sync_dir(port, log->dir, \"log\", err);\n"
         "    if (rc == DBK_OK) return dbk_image_of(",
         "    if (rc == DBK_OK) return dbk_image_of(")],
    "deferred foreign key unnoticed": [
        ("projector/rows/entry.c", "    if (now == 0) return DBK_OK;", "    if (now >= 0) return DBK_OK;")],
    "lost transaction unnoticed": [
        ("projector/model/model.c", "    return sqlite3_get_autocommit(model->db) == 0;", "    return model->db != NULL;"),
        ("projector/rows/entry.c", "    int now = 0, highest = 0;\n\n    if (sqlite3_get_autocommit(model->db))",
         "    int now = 0, highest = 0;\n\n    if (!model->db)")],
    "late facts appended at the end": [
        ("projector/model/fold.c", "    if (dbk_log_is_ordered(catch->model->log)) return DBK_OK;\n    dbk_result result = list_new",
         "    if (dbk_log_is_ordered(catch->model->log) || catch->end > 0) return DBK_OK;\n    dbk_result result = list_new")],
    "journal outside the transaction": [
        ("projector/model/commit.c", "    if (commit->keep_keys) dbk_keys_encode(keys, commit->changes, commit->change_count);\n", ""),
        ("projector/model/commit.c",
         "    if (result == DBK_OK) result = dbk_model_run(model, statement, \"commit\", err);\n    return result;\n}\n\nstatic void publish(",
         "    if (result == DBK_OK) result = dbk_model_run(model, statement, \"commit\", err);\n"
         "    if (result == DBK_OK && commit->keep_keys) {\n"
         "        char sql[96];\n"
         "        sqlite3_stmt *update = NULL;\n"
         "        dbk_keys_encode(&model->journal->keys, commit->changes, commit->change_count);\n"
         "        snprintf(sql, sizeof sql, \"UPDATE _daybook_commits SET keys=?1 WHERE position=%lld\", (long long)commit->state.position);\n"
         "        (void)sqlite3_prepare_v2(model->db, sql, -1, &update, NULL);\n"
         "        (void)sqlite3_bind_blob64(update, 1, model->journal->keys.data, model->journal->keys.size, SQLITE_STATIC);\n"
         "        (void)sqlite3_step(update);\n"
         "        (void)sqlite3_finalize(update);\n"
         "    }\n"
         "    return result;\n}\n\nstatic void publish("),
        ("projector/model/commit.c", "#include <assert.h>\n", "#include <assert.h>\n#include <stdio.h>\n")],
    "serve before sync at open": [
        ("log/log.c", "    if (rc == DBK_OK && !plan->quiet) rc = dbk_io_sync(log->port, log->write_file, active->name, err);\n"
         "    if (rc == DBK_OK) rc = dbk_watermark_open", "    if (rc == DBK_OK) rc = dbk_watermark_open")],
    "watermark before sync": [
        ("log/tail.c", "    if (*tail.direct) return DBK_OK;\n    rc = dbk_io_sync",
         "    if (*tail.direct) return DBK_OK;\n"
         "    dbk_log_state kept = log->state;\n"
         "    uint64_t end = tail.segment->end;\n"
         "    log->state.position++;\n"
         "    log->state.previous = dbk_load_u64(data + 120);\n"
         "    tail.segment->end = tail.offset + size;\n"
         "    if (tail.segment == dbk_log_active(log)) (void)!dbk_watermark_write(log, false, NULL);\n"
         "    log->state = kept;\n"
         "    tail.segment->end = end;\n"
         "    rc = dbk_io_sync")],
    "truncate on mid-log corruption": [
        ("log/recover.c", "    {BROKEN, DBK_LATER_ABOVE, -1, 0, REFUSE(CORRUPT), \"bad-proven\",",
         "    {BROKEN, DBK_LATER_ABOVE, -1, 0, DBK_DECIDE_CUT, DBK_OK, \"bad-proven\",")],
    "no salt check": [
        ("log/scan.c", " || record->salt != header->salt ||", " ||"),
        ("log/scan.c", "        if (scanner->header.salt != 0 && record.salt != scanner->header.salt) continue;\n", "")],
    "position jump accepted": [
        ("log/scan.c", "    if (record->first_position > expect->position) return DBK_HEAD_HIGHER;\n", "")],
    "model opened without a look": [
        ("store/models.c", "    if (result == DBK_CORRUPT) *usable = false;", "    *usable = true;")],
    "lost states not announced": [
        ("store/models.c", "    engine->doubted = !same;", "    engine->doubted = false;")],
    "parent of a new store not synced": [
        ("store/create.c", "    if (result == DBK_OK) result = sync_parent(port, path, err);\n", "    (void)sync_parent;\n")],
}
# Those that drawn schedules of the queue must find.
QUEUE_MUTANTS = {
    "durable is told before the sync": [
        ("store/finish.c", "    dbk_turn_log(turn);\n    return dbk_turn_settle(turn, err);", "    tell_stage(turn, DBK_STAGE_DURABLE);\n    dbk_turn_log(turn);\n    return dbk_turn_settle(turn, err);")],
    "versions of a failed turn stay": [
        ("projector/model/model.c", "    dbk_rows_transaction_begin(model); /* what was decided", "    /* what was decided")],
    "nobody is woken behind a caller's turn": [
        ("store/queue.c", "            if (queue->commands.first || queue->dozing) queue->port->cond_signal(queue->port->ctx, queue->work);\n", "")],
    "the queue is a stack": [
        ("store/queue_item.h", "    item->next = NULL;\n    *list->last = item;\n    list->last = &item->next;\n",
         "    item->next = list->first;\n    if (!list->first) list->last = &item->next;\n    list->first = item;\n")],
    "a stage is told as the last one": [
        ("store/queue.c", "receipts->data, receipts->size, false);", "receipts->data, receipts->size, true);")],
    "canary: what was promised": [
        ("tests/sim/test_queue_schedules.c", "    if (last < s->seen_then) broke(", "    if (last <= s->seen_then) broke(")],
}


def commands(folder, states):
    programs = planted.build(folder, ["sim_store", "test_queue_schedules"], "Release") / "tests/sim"
    return ([programs / "sim_store", "--seeds", "1..40", "--states", str(states)],
            [programs / "test_queue_schedules", "--seeds", f"1..{states // 2}"])


def hunt(given, name, tests):
    """(states, or schedules, until it was found, what it said), or (None, last line), or HANGS."""
    status, out = tests.execute(commands(given.folder, given.states)[name in QUEUE_MUTANTS])
    if status == planted.HANGS:
        return planted.HANGS, ""
    lines = out.splitlines() or [""]
    found = re.search(r"after (\d+) states in all|^ +again: .* --seed (\d+)$", out, re.M)
    if found:
        return int(found.group(1) or found.group(2)), lines[0]
    return (None, lines[-1]) if status == 0 else (0, f"ends with {status}: {lines[0]}")


def main():
    planted.check({**MUTANTS, **QUEUE_MUTANTS})
    given = planted.arguments(__doc__, states=6000)
    planted.copy_sources(given.folder, COPIED)
    tests = planted.Tests(given.folder)
    red = tests.measure(commands(given.folder, given.states), again=not given.only)
    return red or planted.hunt_all(given, {**MUTANTS, **QUEUE_MUTANTS}, lambda name: hunt(given, name, tests), "after {}".format)


if __name__ == "__main__":
    sys.exit(main())
