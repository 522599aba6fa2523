#!/usr/bin/env python3
"""Plants one bug of the log after the other into a copy of the sources and expects its tests to turn red.

usage: mutants.py BUILD_FOLDER [--only NAME]… [--json FILE]
       mutants.py --check    (whether each bug still has its place in the sources)

Five of them are canaries: they break a checker of the tests, so that what it never looks at would show.
Prints for each which test found it. A test that does not end (20 times what it takes without any bug, a minute at least) finds
nothing but a bug that is said to make tests hang (planted.MayHang). Exit 1 when one is not found, or when the sources no longer
have the text that a bug replaces (then the bug has to be planted anew). --only takes the times of the last whole run."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import planted
COPIED = ["base", "log", "cmake", "tests/support", "tests/log", "CMakeLists.txt", "tests/CMakeLists.txt", "LICENSE", "docs/format",
          "tests/data/golden", "tests/data/model"]
TESTS = ["test_recover", "test_guards", "test_behind", "test_hostile_cells", "test_hostile_many", "test_hostile", "test_salvage", "test_mend", "test_scrub",
         "test_pack", "test_cells", "test_cells_broken", "test_proof", "test_log", "test_index", "test_merge", "test_table", "test_first_form", "test_corners", "test_contradictions", "test_log_golden", "test_caches", "test_log_crash",
         "test_log_faults", "test_each_error", "test_each_read", "test_log_rot", "test_log_power", "test_log_model"]
ARGUMENTS = {"test_log_golden": [planted.ROOT], "test_first_form": ["5"], "test_hostile_cells": ["5"], "test_each_read": [planted.ROOT, "2"], "test_log_power": ["--seeds", "1..40", "--each", "500"], "test_log_model": ["--seeds", "1..10", "--each", "5000"]}

# name: [(file, text, text instead), …]
MUTANTS = {
    "acknowledged before its sync": [
        ("log/tail.c", "    rc = dbk_io_sync(log->port, *tail.file, name, err);\n    return rc",
         "    rc = tail.offset > DBK_SEGMENT_DATA_OFFSET ? DBK_OK : dbk_io_sync(log->port, *tail.file, name, err);\n    return rc")],
    "not synced before it is served": [
        ("log/log.c", "    if (rc == DBK_OK && !plan->quiet) rc = dbk_io_sync(log->port, log->write_file, active->name, err);\n"
         "    if (rc == DBK_OK) rc = dbk_watermark_open", "    if (rc == DBK_OK) rc = dbk_watermark_open")],
    "a failed sync does not poison": [
        ("log/tail.c", "    dbk_log_poison(log);\n    dbk_result rc =", "    dbk_result rc =")],
    "damage is cut off": [
        ("log/recover.c", "    {BROKEN, DBK_LATER_ABOVE, -1, 0, REFUSE(CORRUPT), \"bad-proven\",",
         "    {BROKEN, DBK_LATER_ABOVE, -1, 0, DBK_DECIDE_CUT, DBK_OK, \"bad-proven\",")],
    "no look at the salt": [
        ("log/scan.c", " || record->salt != header->salt ||", " ||"),
        ("log/scan.c", "        if (scanner->header.salt != 0 && record.salt != scanner->header.salt) continue;\n", "")],
    "positions may jump": [
        ("log/scan.c", "    if (record->first_position > expect->position) return DBK_HEAD_HIGHER;\n", "")],
    "a record may follow any other": [
        ("log/scan.c", "    bool follows = expect->any_previous || record->previous == expect->previous;",
         "    bool follows = expect->any_previous || record->previous == record->previous;")],
    "no look at the trailer": [
        ("log/format.c", "    if (dbk_load_u64(at + bytes - 8) != record->checksum) return false;\n", "")],
    "durable before it is": [
        ("log/append.c", "    record->durable_upto = log->state.position;", "    record->durable_upto = log->state.position + count;")],
    "one slot of the watermark": [
        ("log/watermark.c", "(mark.counter & 1) * DBK_WATERMARK_STRIDE", "0 * DBK_WATERMARK_STRIDE")],
    "the next segment is no evidence": [
        ("log/walk.c", "        plan->situation.sealed = evidence.later || beyond;", "        plan->situation.sealed = beyond;")],
    "a segment further on is no evidence": [
        ("log/walk.c", "    if (beyond) plan->situation.later = DBK_LATER_ABOVE;\n", "")],
    "a watermark in a later segment is overlooked": [
        ("log/walk.c", "mark->segment > plan->segment ||\n", "\n")],
    "headers are not synced": [
        ("log/segment.c", "bytes, sizeof(bytes), err);\n    }\n    return rc == DBK_OK ? dbk_io_sync(port, file, segment->name, err) : rc;",
         "bytes, sizeof(bytes), err);\n    }\n    return rc;")],
    "the cleared end is not synced": [
        ("log/repair.c", "    dbk_free(port, zeros);\n    return rc == DBK_OK ? dbk_io_sync(port, file, name, err) : rc;",
         "    dbk_free(port, zeros);\n    return rc;")],
    "a failed clearing is forgotten": [
        ("log/tail.c", "        if (zero_range(log, tail, size, NULL) != DBK_OK) log->dirty_bytes = size;",
         "        (void)!zero_range(log, tail, size, NULL);")],
    "no second look under the lock": [
        ("log/log.c", "        if (rc != DBK_OK || survey->base == before) return rc;", "        if (before) return rc;")],
    "a removed lock still locks": [
        ("log/lock.c", "mine.device == named.device && mine.inode == named.inode", "mine.device == named.device")],
    "a prepared segment is taken as it is": [
        ("log/segment.c", "    return rc == DBK_OK ? finish_prepared(log, segment, file, rc, err) : rc;\n}",
         "    if (rc == DBK_OK) port->close_file(port->ctx, file);\n    return rc;\n}", -1)],
    "two histories are salvaged as one": [
        ("log/verify_records.c", "    v->doubted = v->doubted || contradicts(v, head);\n", "")],
    "any copy mends": [
        ("log/mend.c", "            if (!why && !is_proven(m, number)) why = \"nothing here proves it\";\n", "")],
    "a copy mends that lacks what is still sound": [
        ("log/mend.c", "    if (!holds_survivors(ours, theirs)) return \"it lacks a record that is still sound here\";\n", "")],
    "a proof of another length holds": [
        ("log/proof.c", "    if (proof->path_count != height) return false;\n", "")],
    "trees of any count extend": [
        ("log/proof.c", "    return used == proof->tree_count &&\n           memcmp(range.peaks", "    return memcmp(range.peaks")],
    "a prepared segment's lost header is damage": [
        ("log/verify.c", "    if (!needed) return DBK_OK; /* its", "    if (!needed && found->decoded != DBK_DECODED_OK) return DBK_OK; /* its")],
    "times of receipt go back": [
        ("log/append.c", "    record->received_ms = received_ms > log->state.received_ms ? received_ms : log->state.received_ms;",
         "    record->received_ms = received_ms;")],
    "reading backward goes one too far": [
        ("log/select.c", "    if (*position < selection->first) *position = 0;", "    if (*position + 1 < selection->first) *position = 0;")],
    "the time looked for is left out": [
        ("log/select.c", ".received_ms < received_ms) {", ".received_ms <= received_ms) {")],
    "merged keys keep their old positions": [
        ("log/index_merge.c", "(uint32_t)(key->position - m->layout.source.first_position)",
         "(uint32_t)(key->position - m->inputs[0].layout->source.first_position) % 300")],
    "the end of a merged filter is lost": [
        ("log/index_merge.c", "    if (!filter->filled) return write_pages(m, filter, err);\n", "    return write_pages(m, filter, err);\n")],
    "a packed segment need not end with its seal": [
        ("log/pack_write.c", "    if (!all || w->last_offset != segment->seal_offset) {", "    if (!all) {")],
    "what was packed may be another segment": [
        ("log/pack_write.c", "    if (!image->packed || memcmp(&image->head.head, &w->head.head, DBK_LEAF_SIZE) != 0)", "    if (!image->packed)")],
    "a reader follows any record": [
        ("log/log.c", "if (rc == DBK_OK && *followed && record.previous != log->state.previous) {", "if (rc == DBK_OK && *followed && false) {")],
    "a copy may lack what is sound here": [
        ("log/mend.c", "    if (!holds_survivors(ours, theirs)) return", "    if (!ours->there && !holds_survivors(ours, theirs)) return")],
    "an index of other segments is believed": [
        ("log/index_run.c", "        source->salt != expect->salt || source->first_position", "        source->first_position"),
        ("log/index_run.c", "    if (memcmp(store_id, run->layout.store_id, sizeof(run->layout.store_id)) != 0 ||\n"
         "        source->segment != expect->segment || source->segments != (expect->segments ? expect->segments : 1) ||\n",
         "    if (memcmp(store_id, run->layout.store_id, sizeof(run->layout.store_id)) != 0 ||\n"),
        ("log/index_run.c", "        source->first_position != expect->first_position ||\n"
         "        (expect->last_position && source->last_position != expect->last_position)) {",
         "        expect->first_position == 0) {")],
    "a table is made of blocks that nobody read": [
        ("log/image_table.c", "    if (rc == DBK_OK && !damaged) rc = check_content(&r, err);\n",
         "    if (rc == DBK_OK && !damaged && !image->blocks) rc = check_content(&r, err);\n")],
    "the plain form of a block is believed": [
        ("log/cells_read.c", "plain) != row->plain_checksum)", "plain) != row->plain_checksum && false)")],
    "no checksum of a cell": [
        ("log/cells_read.c", "at->stored)) != at->stored_checksum)", "at->stored)) != at->stored_checksum && false)"),
        ("log/cells_read.c", "true, plain) != at->content_checksum)", "true, plain) != at->content_checksum && false)")],
    "a dictionary of another segment is used": [
        ("log/cells_read.c", "        dbk_pack_dictionary_checksum(dictionary) == head->dictionary_checksum)\n", "        dictionary.size > 0)\n")],
    "cells may hold more than their block": [
        ("log/cells_format.c", "    return front->payload_bytes <= block->plain_bytes;\n", "    return front->payload_bytes > 0;\n")],
    "a cell is decompressed to whatever it holds": [
        ("log/unpack.c", "    if (header.frameContentSize != size) return false;\n    if (ZSTD_isError(ZSTD_DCtx_setParameter(unpacker->context, ZSTD_d_format, ZSTD_f_zstd1_magicless))) return false;\n"
         "    return ZSTD_decompress_usingDDict(unpacker->context, out, size, data.data, data.size, prepared) == size;",
         "    if (ZSTD_isError(ZSTD_DCtx_setParameter(unpacker->context, ZSTD_d_format, ZSTD_f_zstd1_magicless))) return false;\n"
         "    return ZSTD_decompress_usingDDict(unpacker->context, out, size, data.data, data.size, prepared) <= size;")],
    "a cell is sound in another one's place": [
        ("log/cells_format.c", "(uint64_t)block->plain_offset << 32 | cell;", "(uint64_t)block->plain_offset << 32 | (cell & 0);")],
    "an entry is looked for in the cell beside its own": [
        ("log/cells_read.c", "dbk_block_cell(block, middle)->first <= entry)", "dbk_block_cell(block, middle)->first < entry)")],
    "the checksum of a table is not looked at": [
        ("log/image.c", "(got < size || dbk_pack_table_checksum(&image->header, table) != head->table_checksum));", "got < size);")],
    "a table is made again without a block that is damaged": [
        ("log/image_table.c", "        if (!damaged) return fail_rebuild(r, r->offset, err);\n        if (last)", "        if (last)"),
        ("log/image_table.c", "    if (rc == DBK_OK && !damaged) rc = check_content(&r, err);\n", "    (void)check_content;\n")],
    "blocks of a lost table may lie anywhere": [
        ("log/image_table.c", " && (!head->celled || r->row.plain_offset == r->plain_offset);", ";"),
        ("log/image_table.c", "    if (rc == DBK_OK && !damaged) rc = check_content(&r, err);\n", "    (void)check_content;\n")],
    "an end stays clean while entries are written behind it": [
        ("log/log.c", "    if (rc == DBK_OK) rc = dbk_watermark_write(log, false, err);\n    if (rc == DBK_OK && log->behind == DBK_BEHIND_KNOWN)",
         "    if (rc == DBK_OK) rc = dbk_watermark_write(log, log->mark.clean, err);\n    if (rc == DBK_OK && log->behind == DBK_BEHIND_KNOWN)"),
        ("log/append.c", "    if (dbk_watermark_write(log, false, NULL) == DBK_OK && job->start_bytes)",
         "    if (dbk_watermark_write(log, log->mark.clean, NULL) == DBK_OK && job->start_bytes)")],
    "a clean end is believed over what is written behind it": [
        ("log/walk.c", "    if (rc == DBK_OK) plan->quiet = dbk_all_zero(at, near);\n", "    if (rc == DBK_OK) plan->quiet = at != NULL;\n"),
        ("log/behind.c", "        *zero = rc == DBK_OK && dbk_all_zero(at, step);\n", "        *zero = rc == DBK_OK;\n")],
    "what is far behind a clean end is not judged": [
        ("log/behind.c", "    if (doubted) rc = judge_and_repair(log, err);\n", "    (void)judge_and_repair;\n")],
    "a block is taken of an image that is gone": [
        ("log/unpack.h", "           place->table_checksum == image->head.table_checksum && place->index == index;", "           place->index == index;")],
    "what is unpacked to find a block costs nothing": [
        ("log/image_table.c", "    r->looked += plain_bytes;\n", "")],
    "one copy of a dictionary is asked": [
        ("log/cells_read.c", "    if (rc == DBK_CORRUPT || rc == DBK_IO)\n        rc = dbk_image_read_dictionary(", "    if (false)\n        rc = dbk_image_read_dictionary(")],
    "a computed head without the entries of the block": [
        ("log/cells_format.c", "        dbk_range_add(&r->range, leaf);\n", "        (void)leaf;\n")],
    "an index that lies is believed": [
        ("log/verify_index.c", "    if (!is_equal(&seen->keys, &found->keys)) return", "    if (is_equal(&seen->keys, &found->keys) && 0) return")],
    "a filter that denies is overlooked": [
        ("log/index_check.c", "        if (block[bit / 8] >> bit % 8 & 1) continue;", "        if (bit < 512) continue;")],
    "a damaged page says that nothing is there": [
        ("log/find.c", "        if (rc == DBK_CORRUPT) *how = PART_DAMAGED;\n", "        if (rc == DBK_CORRUPT) rc = DBK_OK;\n")],
    "authors are joined over a gap": [
        ("log/index_merge.c", " && run->first_seq + run->count == next->first_seq &&", " &&")],
    "canary: entries read back": [
        ("tests/log/log_fixture.h", "    assert_int_equal(count, dbk_log_position(log));", "    assert_int_equal(count + 1, dbk_log_position(log));")],
    "canary: what a crash leaves": [
        ("tests/log/test_log_crash.c", "        assert_int_equal(entry.hlc, 100 + position);", "        assert_int_equal(entry.hlc, 101 + position);")],
    "canary: what a power loss leaves": [
        ("tests/log/test_log_power.c", "if (end < known.kept) broke(", "if (end <= known.kept) broke(")],
    "canary: what the model has": [
        ("tests/log/test_log_model.c", "            holds(dbk_log_next_seq(log, replica, 1) == seqs[r] + 1);",
         "            holds(dbk_log_next_seq(log, replica, 1) == seqs[r]);")],
    "canary: what rot does": [
        ("tests/log/test_log_rot.c", "    if (rc == DBK_END) assert_int_equal(count, want);", "    if (rc == DBK_END) assert_int_equal(count, want + 1);")],
}


def commands(folder):
    programs = planted.build(folder, TESTS) / "tests" / "log"
    return [[programs / name, *ARGUMENTS.get(name, [])] for name in TESTS]


def hunt(folder, tests):
    """Which test found it, and what it said; (HANGS, which) where none did but one did not end, (None, "") else."""
    endless = None
    for command in tests.quickest_first(commands(folder)):
        said = tests.run(command)
        if said and said != planted.HANGS:
            return command[0].name, said
        endless = endless or (said and command[0].name)
    return (planted.HANGS, endless) if endless else (None, "")


def main():
    planted.check(MUTANTS)
    given = planted.arguments(__doc__)
    planted.copy_sources(given.folder, COPIED)
    tests = planted.Tests(given.folder)
    red = tests.measure(commands(given.folder), again=not given.only)
    return red or planted.hunt_all(given, MUTANTS, lambda name: hunt(given.folder, tests))


if __name__ == "__main__":
    sys.exit(main())
