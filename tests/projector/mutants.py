#!/usr/bin/env python3
"""Plants one bug of the read models and of commands after the other into a copy of the sources; each of the tests named
beside it must turn red.

usage: mutants.py BUILD_FOLDER [--only NAME] [--json FILE]
       mutants.py --check    (whether each bug still has its place in the sources)

Prints for each which test found it first. Exit 1 when a named test stays green, or when the sources no longer have the
text that a bug replaces (then the bug has to be planted anew)."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import planted

COPIED = ["base", "log", "projector", "store", "cmake", "tests/support", "tests/projector", "tests/store", "tests/sim", "tests/model",
          "tests/trace", "tests/base", "tests/log", "tests/data", "CMakeLists.txt", "tests/CMakeLists.txt", "LICENSE", "docs", "examples"]
MODEL = ["model/model_test", "--seed", "1", "--operations", "20000"]
SIM = ["sim/sim_store", "--seeds", "1..40", "--states", "6000"]

# name: ([tests that find it], [(file, text, text instead), …])
MUTANTS = {
    "the position is written in another transaction": ([["projector/test_model_faults", "once", "1"], ["sim/test_store_faults", "29"]], [
        ("projector/model/commit.c", "    if (result == DBK_OK) result = put_commit(model, commit, err);\n    if (result == DBK_OK) result = put_lasts(",
         "    if (result == DBK_OK) result = put_lasts("),
        ("projector/model/commit.c", "    if (result == DBK_OK) result = dbk_model_run(model, statement, \"commit\", err);\n    return result;\n}\n\nstatic void publish(",
         "    if (result == DBK_OK) result = dbk_model_run(model, statement, \"commit\", err);\n"
         "    if (result == DBK_OK) result = put_commit(model, commit, err);\n    return result;\n}\n\nstatic void publish(")]),
    "a half-built model is served": ([["store/test_upgrade"], ["store/test_open"]], [
        ("store/models.c", "    return dbk_model_folder_next(&folder, path, err);",
         "    dbk_result result = dbk_model_folder_next(&folder, path, err);\n"
         "    return result == DBK_OK ? dbk_model_folder_point(&folder, (const char *)path->data, err) : result;")]),
    "a patch offers no key": ([["projector/test_row_project"], MODEL], [
        ("projector/rows/project.c", "    o->keyed = dbk_keyed_table(o->model, o->event, &o->key);\n", "")]),
    "an async model reads no keys of the whole": ([["store/test_async"], MODEL], [
        ("projector/definition/models.c", "                                   .whole = of->definition,\n", "")]),
    "a file is named by the definition before": ([["store/test_main_file"]], [
        ("store/upgrade_app.c", "dbk_models_next_path(engine, up->definition, &up->path, err)", "dbk_models_next_path(engine, engine->definition, &up->path, err)")]),
    "a base stands beside a file of others": ([["store/test_mirror_disk"]], [
        ("store/mirror_rows.c", "    return write_rows(s, ours ? file : 0, there && !m->shown, err);", "    return write_rows(s, ours ? file : 0, false, err);")]),
    "facts are held against a budget": ([["store/test_budget"]], [
        ("projector/rows/apply.c", "    if (result == DBK_OK && known) result = project_all(model, entry, failure);",
         "    if (result == DBK_OK && known) result = dbk_budget_begin(model, failure);\n    if (result == DBK_OK && known) result = project_all(model, entry, failure);")]),
    "what makes room is held against a budget": ([["store/test_budget"]], [
        ("projector/model/budget.c", " || used <= model->used_before) return result;", ") return result;")]),
    "random is allowed": ([["projector/test_sandbox"], ["projector/test_definition", planted.ROOT / "tests/bad-definitions", planted.ROOT / "tests/data/definitions"]], [
        ("projector/model/sandbox.c", "random[] = {\"random\", \"randomblob\", NULL}", "random[] = {NULL}")]),
    "the fingerprint misses a column": ([["projector/test_observer"]], [
        ("projector/observer/hash.c", "    for (uint16_t i = 0; i < table->column_count; i++) {\n        put_value(",
         "    for (uint16_t i = 0; i + 1 < table->column_count; i++) {\n        put_value(")]),
    "upcasts are skipped in a rebuild": ([["store/test_upcasts"]], [
        ("projector/rows/apply.c", "if (model->upcaster) result = dbk_upcast_event", "if (model->upcaster && !model->options.bulk) result = dbk_upcast_event")]),
    "a put replaces": ([["projector/test_row_decide"], MODEL], [
        ("projector/rows/statement.c", "\"INSERT INTO \\\"%s\\\"(\"", "\"INSERT OR REPLACE INTO \\\"%s\\\"(\"")]),
    "defaults are evaluated at replay": ([["projector/test_row_decide"], MODEL], [
        ("projector/rows/put.c", "        dbk_row_put_member(&work->data, column->name);\n        if (dbk_row_put_recorded",
         "        if (!work->values[number] && !column->key_part) continue;\n        dbk_row_put_member(&work->data, column->name);\n        if (dbk_row_put_recorded")]),
    "a patch passes the states": ([["projector/test_rules"], MODEL], [
        ("projector/rows/state.c", "        if (!dbk_mask_has(changed, rules->machines[i].column)) continue;", "        if (changed) continue;")]),
    "an image is used above a late entry": ([["store/test_images"], MODEL], [
        ("store/images.c", "        if (!ordered && memcmp(image->top, low, sizeof low) >= 0) continue;\n", "")]),
    "behind a sole author command ids are not looked for": ([["projector/test_shadow"]], [
        ("projector/rows/apply.c", "    return entry->id.seq == position;", "    return entry->id.seq > 0 || position == 0;")]),
    "an image's damage is not looked for": ([["store/test_image_file"]], [
        ("store/image_file.c", "frame_checksum(work, block, data) != dbk_load_u64(frame + 8) ||", "frame_checksum(work, block, data) == 0 ||")]),
    "the indexes of an image are not made again": ([["store/test_images"]], [
        ("projector/model/shadow.c", "    if (result == DBK_OK) result = dbk_indexes_take_note(build->model, &build->indexes, err);\n", "")]),
    "an order time is a position too early": ([["store/test_images"]], [
        ("store/replay.c", "        if (at_ms <= time_ms) low = middle;", "        if (at_ms < time_ms) low = middle;")]),
    "the skip list is not kept": ([["projector/test_fold"], MODEL], [
        ("projector/rows/apply.c", "    return dbk_row_run(model, statement, \"write the skip list\", NULL, err);", "    (void)sqlite3_reset(statement);\n    return DBK_OK;")]),
    "the journal is written outside the transaction": ([SIM], []),
    "an undo keeps no columns": ([["store/test_undo"], MODEL], [
        ("projector/rows/undo_rows.c", "    cell->mine = mine;\n", "    cell->mine = cell->mine || mine;\n")]),
    "what a cascade deletes is not in the feed": ([["store/test_store_feed"], MODEL], [
        ("projector/observer/observer.c", "    dbk_result result = dbk_observer_record(observer, change);",
         "    dbk_result result = sqlite3_preupdate_depth(call->db) > 0 ? DBK_OK : dbk_observer_record(observer, change);")]),
    "expect is ignored from a batch's second command on": ([MODEL], [
        ("projector/rows/decide.c", "    if (!expect || dbk_json_text_is(expect, \"any\")) return DBK_OK;\n    none =",
         "    if (!expect || draft->event_count > 0 || dbk_json_text_is(expect, \"any\")) return DBK_OK;\n    none =")]),
    "let is evaluated once for a batch": ([MODEL], [
        ("projector/rows/command.c", "    sqlite3_stmt *statement;\n    dbk_result result = begin_reading(run, step, &statement, err);\n    int rc = result == DBK_OK ? next_row(run->model, statement) : SQLITE_OK;\n\n    if (rc == SQLITE_ROW) {",
         "    sqlite3_stmt *statement;\n    static sqlite3_value *first;\n    static uint64_t seq;\n    if (first && seq == run->draft->id.seq) {\n"
         "        run->values[place] = sqlite3_value_dup(first);\n        return DBK_OK;\n    }\n"
         "    dbk_result result = begin_reading(run, step, &statement, err);\n    int rc = result == DBK_OK ? next_row(run->model, statement) : SQLITE_OK;\n"
         "    seq = run->draft->id.seq;\n    if (rc == SQLITE_ROW) first = sqlite3_value_dup(sqlite3_column_value(statement, 0));\n    if (rc == SQLITE_ROW) {")]),
    "a suffix depends on the position": ([MODEL], [
        ("projector/rows/fact.c", "(unsigned long long)n + 1);", "(unsigned long long)n + 1 + work->position % 2);")]),
    "the same time is decided by arrival": ([MODEL], [
        ("log/fold.c", "    int order = memcmp(left->key, right->key, sizeof(left->key));", "    int order = memcmp(left->key, right->key, 12);")]),
    "a query may attach a file": ([["projector/test_sandbox"]], [
        ("projector/model/sandbox.c", "    case SQLITE_DETACH: return deny(sandbox, first, \"is another file: ATTACH has no place here\");", "    case SQLITE_DETACH: return SQLITE_OK;")]),
    "the search keeps what a cascade deletes": ([["projector/test_search"]], [
        ("projector/model/search.c", "    put_trigger(sql, rule, \"gone\", \"DELETE\");\n    put_on(sql, rule);\n", "    put_trigger(sql, rule, \"gone\", \"DELETE\");\n    put_on(sql, rule);\n"
         "    if (rule->table->column_count > rule->table->key_count) dbk_buffer_put_text(sql, \" WHEN 0\");\n")]),
    "a file that is not the engine's is deleted with a model": ([["store/test_async"]], [
        ("store/model_folder.c", "memcmp(head, magic, sizeof head) == 0) ? IS_OURS : IS_FOREIGN;", "head[0]) ? IS_OURS : IS_FOREIGN;")]),
    "an undo is not done for who is gone": ([["store/test_given_up"]], [
        ("store/request.c", "    bool asks = form && !form->command;\n", "    bool asks = form;\n")]),
    "a deletion by age has an id of its own": ([["store/test_retention"]], [
        ("store/retention.c", "\"retain/%s/%.*s/%s\", due->rule->name, DBK_SLICE_ARG(key), base);", "\"retain/%s/%.*s/%p%s\", due->rule->name, DBK_SLICE_ARG(key), (void *)due, base);")]),
    "a setting is stored with its defaults": ([["store/test_settings"]], [
        ("store/settings.c", "    w->old = root->count ? dbk_json_member(root + 1, \"value\") : NULL;\n",
         "    w->old = root->count ? dbk_json_member(root + 1, \"value\") : NULL;\n"
         "    if (!w->old && w->place.rule->defaults && dbk_json_parse(w->old_parser, dbk_slice_text(w->place.rule->defaults), &w->old, NULL) != DBK_OK)\n"
         "        w->old = NULL;\n")]),
    "settings are written past their schema": ([["store/test_settings"], MODEL], [
        ("projector/rows/judge_setting.c", "if (result != DBK_OK || !schema || !document)", "if (result != DBK_OK || schema || !schema || !document)")]),
    "a patch of a settings row is not judged": ([["store/test_settings"]], [
        ("projector/rows/patch.c", "    if (dbk_row_is_judged(model->definition, table)) return false;\n", "")]),
    "a setting keeps the members that it replaces": ([["store/test_settings"], MODEL], [
        ("store/settings.c", "replaces && w->old ? dbk_setting_at(w->old, &w->place) : NULL, value);", "replaces && !w ? value : NULL, value);")]),
    "the search keeps what an undo takes back": ([MODEL], [
        ("projector/rows/undo_steps.c", "    draft->undo = model->undo = true;\n",
         "    draft->undo = model->undo = true;\n    (void)sqlite3_db_config(model->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);\n"),
        ("projector/rows/undo_steps.c", "    dbk_observer_keep_before(model->observer, false, false);\n",
         "    dbk_observer_keep_before(model->observer, false, false);\n    (void)sqlite3_db_config(model->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, NULL);\n")]),
    "rules of time go by the wall clock": ([["store/test_retention"], MODEL], [
        ("store/retention.c", "dbk_model_due(engine->model, due->rule, now_ms,", "dbk_model_due(engine->model, due->rule, engine->port->wall_ms(engine->port->ctx),")]),
    "rules of time do not rest after a jump": ([["store/test_retention"], MODEL], [
        ("store/retention.c", "    return mono_ns >= r->rest_until_ns && wall_ms", "    return wall_ms")]),
    "an undo by correlation misses an entry": ([["store/test_undo"], MODEL], [
        ("store/undo.c", "            result = add_position(work, position, err);\n    }\n    dbk_log_cursor_close(cursor);",
         "            if (work->positions.size < 16) result = add_position(work, position, err);\n    }\n    dbk_log_cursor_close(cursor);")]),
    "an undo of several goes back to before the last of them": ([["store/test_undo"], MODEL], [
        ("projector/rows/undo_rows.c", "    if (mine && !cell->mine) result = keep_value(", "    if (mine) result = keep_value(")]),
    "the first of several events is undone first": ([["store/test_undo_events"]], [
        ("projector/rows/undo_events.c", "    int order = memcmp(other->order, one->order, sizeof one->order);", "    int order = memcmp(one->order, other->order, sizeof one->order);")]),
    "a schema does not judge a patch": ([["store/test_app_commands"], MODEL], [
        ("projector/rows/patch.c", "    if (result == DBK_OK) result = dbk_row_judge(&change, row, err);\n", "")]),
    "a patch of a document replaces it": ([["projector/test_row_decide"], MODEL], [
        ("projector/rows/patch.c", "        if (column->type == DBK_TYPE_JSON && work->values[i]->kind == DBK_JSON_OBJECT) {\n            result", "        if (column->type == DBK_TYPE_JSON && !work->values[i]) {\n            result")]),
    "the first n rows stay, not the last": ([["projector/test_rules"], MODEL], [
        ("projector/rows/statement.c", "\" ORDER BY \\\"%s\\\" DESC\"", "\" ORDER BY \\\"%s\\\"\"")]),
    "an async model passes what it refuses": ([["store/test_async"], MODEL], [
        ("projector/rows/apply.c", "    if (is_by_data(result) || result == DBK_BUSY) dbk_row_stop(model, position, entry, failure->text);\n    return result;",
         "    if (!is_by_data(result)) return result;\n    v->state = \"skipped\";\n    v->reason = \"\";\n    return DBK_OK;")]),
    "an async model has no upcasts": ([MODEL], [
        ("projector/rows/apply.c", "        if (model->upcaster) result = dbk_upcast_event", "        if (model->upcaster && !dbk_row_is_async(model)) result = dbk_upcast_event")]),
    "answered before its sync while the next turn is decided": ([["store/test_ahead"]], [
        ("store/pipeline.c", "    if (before) wait_landed(p);\n", "    if (before && lane->count == 0) wait_landed(p);\n")]),
    "a turn goes on behind one whose write failed": ([["store/test_ahead"]], [
        ("store/pipeline.c", "lane->good && (!before || before->turn->logged.result == DBK_OK);", "lane->good;")]),
    "an id in the turn under way is not seen": ([["store/test_ahead"]], [
        ("store/known_ids.c", "for (dbk_turn *decided = turn; decided; decided = decided->before) {\n        const dbk_element *fresh", "for (dbk_turn *decided = turn; decided; decided = NULL) {\n        const dbk_element *fresh")]),
    "a command sent twice is promised before its entry": ([["store/test_failures"]], [
        ("store/known_ids.c", "decided == turn) element->again = (uint32_t)(fresh - turn->elements) + 1;", "decided == turn) element->again = 0;")]),
    "the positions of a round ahead of the log stay provisional": ([["projector/test_round_ahead"], ["store/test_round_beside"]], [
        ("projector/model/ahead.c", "    result = set_right(ahead, first, err);\n", "    (void)set_right;\n")]),
    "who wrote in a round ahead of the log is unknown": ([["projector/test_round_ahead"]], [
        ("projector/rows/history.c", "return result == DBK_OK && model->ahead ? last_ahead", "return result == DBK_OK && false ? last_ahead")]),
    "rows changed behind the comparison are not looked at": ([["projector/test_round_ahead"]], [
        ("projector/model/narrow.c", "(at < others && compare_keys(&other[at], &items[i]) == 0)", "(at > others)")]),
    "a shadow goes on that does not fit in the turn": ([["store/test_round_beside"]], [
        ("store/switch.c", "    dbk_ahead_free(ahead);\n    if (result == DBK_OK && fits) {",
         "    if (result == DBK_OK && !fits && ahead) result = go_on_from(s, NULL, &fits, err);\n    dbk_ahead_free(ahead);\n"
         "    if (result == DBK_OK && fits) {")]),
    "a shadow goes on that does not fit beside the turns": ([["store/test_round_beside"]], [
        ("store/late_base.c", "    if (result == DBK_OK && fits) return DBK_OK;\n    dbk_base_drop(engine, base);\n",
         "    if (result == DBK_OK && !fits) {\n        dbk_ahead_free(base->ahead);\n        base->ahead = NULL;\n    }\n"
         "    if (result == DBK_OK) return DBK_OK;\n    dbk_base_drop(engine, base);\n")]),
    "a comparison is believed that the journal does not reach": ([["projector/test_round_ahead"]], [
        ("projector/model/narrow.c", "old->state.floor > before->other ||", "false ||")]),
    "a decision below a round ahead of the log is folded behind it": ([["projector/test_round_ahead"]], [
        ("projector/model/ahead.c", "memcmp(key, ahead->top, sizeof key) > 0 &&", "key[0] < 255 &&")]),
    "a command decided as a round is taken in is not seen": ([["projector/test_round_ahead"]], [
        ("projector/model/ahead.c", "    if (ahead->folded > begun) result", "    ahead->folded = dbk_log_position(model->log);\n    if (ahead->folded > begun) result")]),
    "half a switch is taken for a model of the log": ([["sim/test_late_switch"]], [
        ("projector/model/ahead.c", "dbk_model_commit(model, end, none, ahead->top", "dbk_model_commit(model, end, head, ahead->top")]),
    "what is decided beside a late round is left to its turn": ([["store/test_round_beside"]], [
        ("store/late_base.c", "NEAR_ENTRIES = 16, APPROACHES_MAX = 8", "NEAR_ENTRIES = 16, APPROACHES_MAX = 1")]),
    "a late tie is found as it is folded": ([["projector/test_tied"], ["store/test_round_beside"]], [
        ("projector/model/fold.c", "    return result == DBK_OK && *fits ? fits_tied(catch, item, entry, fits, err) : result;\n}\n\ndbk_result dbk_model_foresee",
         "    (void)item;\n    return result;\n}\n\ndbk_result dbk_model_foresee")]),
    "slices stay as large whatever their fold takes": ([["store/test_slices"]], [
        ("store/facts.c", "    if (fold_ns > FOLD_NS) round->most", "    if (fold_ns < 0) round->most")]),
    "a slice does not stand aside": ([["store/test_slices"]], [
        ("store/facts.c", "        if (round->logged > 0) dbk_engine_let_others(engine);\n", "")]),
}


def of_store(name):
    """The edits of a bug that the mutants of the whole store have too."""
    import importlib.util
    spec = importlib.util.spec_from_file_location("store_mutants", planted.ROOT / "tests/sim/mutants.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MUTANTS[name]


def hunt(folder, wanted, tests):
    """(The first of the tests, what it said) where all of them are red; HANGS where one does not end; else (None, which is green)."""
    programs = planted.build(folder, [Path(test[0]).name for test in wanted]) / "tests"
    said = {test[0]: tests.run([programs / test[0], *test[1:]]) for test in map(tuple, wanted)}
    green = [Path(test).name for test, words in said.items() if not words]
    endless = [Path(test).name for test, words in said.items() if words == planted.HANGS]
    if green:
        return None, f"not seen by {', '.join(green)}"
    return (planted.HANGS, ", ".join(endless)) if endless else (Path(wanted[0][0]).name, said[wanted[0][0]])


def main():
    MUTANTS["the journal is written outside the transaction"] = ([SIM], of_store("journal outside the transaction"))
    planted.check({name: edits for name, (_, edits) in MUTANTS.items()})
    given = planted.arguments(__doc__)
    planted.copy_sources(given.folder, COPIED)
    needed = {tuple(test) for name, (wanted, _) in MUTANTS.items() for test in wanted if not given.only or name in given.only}
    programs = planted.build(given.folder, sorted({Path(test[0]).name for test in needed})) / "tests"
    tests = planted.Tests(given.folder)
    red = tests.measure([[programs / test[0], *test[1:]] for test in sorted(needed)], again=not given.only)
    return red or planted.hunt_all(given, {name: edits for name, (_, edits) in MUTANTS.items()},
                                   lambda name: hunt(given.folder, MUTANTS[name][0], tests))


if __name__ == "__main__":
    sys.exit(main())
