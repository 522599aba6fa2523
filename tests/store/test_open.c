/* Opening a store whose folder is not as it was left: each file missing, cut, changed or another store's.
 * Either it is refused precisely and no byte changes, or what can be made again is made again. */
#include "tests/store/folder_fixture.h"

#include "store/engine.h"
#include "store/queue.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";

static int setup(void **state)
{
    int result = fixture_setup(state, definition_of(schema, NULL));
    engine_fixture *f = *state;
    f->options.ignore_place = true; /* logs are taken out and put in here; test_copies.c is about that */
    return result;
}

static void put_notes(engine_fixture *f, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char command[200];
        snprintf(command, sizeof command,
                 "{\"id\":\"n%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"title\":\"title "
                 "number %d\"}}",
                 i, i, i);
        must_accept(f, command);
    }
}

static void close_it(engine_fixture *f)
{
    dbk_engine_close(f->engine);
    f->engine = NULL;
}

static uint64_t generation_of(engine_fixture *f)
{
    const char *timeline;
    uint64_t generation, position;
    dbk_engine_cursor(f->engine, &timeline, &generation, &position);
    return generation;
}

static void expect_refusal(engine_fixture *f, dbk_result code, const char *part)
{
    uint64_t before = folder_digest(f->path);
    memset(&f->error, 0, sizeof f->error);
    dbk_result result = dbk_engine_open(f->path, &f->options, &f->engine, &f->error);
    if (result != code || !strstr(f->error.text, part)) print_error("%s: %s\n", dbk_result_name(result), f->error.text);
    assert_int_equal(result, code);
    assert_int_equal(f->error.code, code);
    assert_non_null(strstr(f->error.text, part));
    assert_null(f->engine);
    assert_int_equal(folder_digest(f->path), before);
}

/* It opens, shows `notes` notes, in that generation, and takes the next command. */
static void expect_open(engine_fixture *f, int notes, uint64_t generation)
{
    char command[200];
    dbk_hash128 counted;
    dbk_model_state state;
    uint64_t rows;
    fixture_open(f);
    dbk_model_get_state(dbk_engine_model(f->engine), &state);
    assert_int_equal(state.position, notes);
    assert_int_equal(dbk_model_recount(dbk_engine_model(f->engine), &counted, &rows, &f->error), DBK_OK);
    assert_int_equal(rows, notes);
    assert_true(counted.low == state.fingerprint.low && counted.high == state.fingerprint.high);
    assert_int_equal(generation_of(f), generation);
    snprintf(command, sizeof command, "{\"id\":\"next%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"next%d\"}",
             notes, notes);
    char *receipt = decide(f, command), want[80];
    snprintf(want, sizeof want, "\"cursor\":[\"t\",%llu,%d]", (unsigned long long)generation, notes + 1);
    if (!strstr(receipt, want)) print_error("%s\n%s\n", want, receipt);
    assert_non_null(strstr(receipt, want));
    free(receipt);
}

/* ---- daybook.json */

static void a_folder_that_is_no_store_is_named(void **state)
{
    engine_fixture *f = *state;
    close_it(f);
    char *kept = file_text(f->path, "daybook.json");
    file_remove(f->path, "daybook.json");
    expect_refusal(f, DBK_MISSING, "is no store: it has no 'daybook.json'");
    assert_string_equal(f->error.hint, "name a folder that 'daybook init' made");
    file_write(f->path, "daybook.json", kept, strlen(kept));
    free(kept);
    snprintf(f->path + strlen(f->path), 8, ".none");
    assert_int_equal(dbk_engine_open(f->path, &f->options, &f->engine, &f->error), DBK_MISSING);
    assert_non_null(strstr(f->error.hint, "make one with 'daybook init"));
}

static void an_identity_cut_anywhere_is_refused(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 1);
    close_it(f);
    char *whole = file_text(f->path, "daybook.json");
    size_t size = strlen(whole);
    for (size_t cut = 0; cut + 1 < size; cut++) {
        file_write(f->path, "daybook.json", whole, cut);
        expect_refusal(f, DBK_CORRUPT, "daybook.json");
    }
    file_write(f->path, "daybook.json", whole, size);
    free(whole);
    expect_open(f, 1, 1);
}

static const struct wrong_identity {
    const char *from, *to;
    dbk_result code;
    const char *part;
} wrong_identities[] = {
    {"\"format\": 1", "\"format\": 2", DBK_VERSION, "'daybook.json' has format 2, this Daybook reads 1"},
    {"\"format\": 1", "\"format\": \"1\"", DBK_CORRUPT, "has no format number"},
    {"\"format\": 1", "\"form\": 1", DBK_CORRUPT, "has no format number"},
    {"\"incarnation\": 1", "\"incarnation\": -1", DBK_CORRUPT, "lacks a member"},
    {"\"incarnation\": 1", "\"incarnation\": 4294967296", DBK_CORRUPT, "lacks a member"},
    {"\"generation\": 1", "\"generation\": 1.5", DBK_CORRUPT, "lacks a member"},
    {"\"replica\": \"72", "\"replica\": \"7", DBK_CORRUPT, "lacks a member"},
    {"\"replica\": \"72", "\"replica\": \"7g", DBK_CORRUPT, "lacks a member"},
    {"\"lineage\": \"6c", "\"lineage\": \"6d", DBK_FOREIGN,
     "segment '0000000000000001.seg' belongs to another lineage"},
    {"\"timeline\": \"t\"", "\"timeline\": 7", DBK_CORRUPT, "lacks a member"},
    {"\"timeline\": \"t\"", "\"timeline\": \"tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt\"",
     DBK_CORRUPT, "lacks a member"},
    {"{", "[{", DBK_CORRUPT, "daybook.json"},
};

static void an_identity_with_a_wrong_member_is_refused(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 1);
    close_it(f);
    char *whole = file_text(f->path, "daybook.json");
    for (size_t i = 0; i < sizeof wrong_identities / sizeof *wrong_identities; i++) {
        const struct wrong_identity *w = &wrong_identities[i];
        char text[2000];
        const char *at = strstr(whole, w->from);
        if (!at) print_error("%s\n", w->from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, w->to, at + strlen(w->from));
        file_write(f->path, "daybook.json", text, strlen(text));
        expect_refusal(f, w->code, w->part);
    }
    file_write(f->path, "daybook.json", whole, strlen(whole));
    free(whole);
    expect_open(f, 1, 1);
}

/* ---- LOCK, and reading beside a writer */

static void a_second_writer_is_told_who_holds_the_store(void **state)
{
    engine_fixture *f = *state;
    dbk_engine *second = NULL;
    char want[80];
    put_notes(f, 1, 2);
    assert_int_equal(dbk_engine_open(f->path, &f->options, &second, &f->error), DBK_LOCKED);
    snprintf(want, sizeof want, "cannot lock 'LOCK': held by process %u", (unsigned)getpid());
    assert_non_null(strstr(f->error.text, want));
    assert_null(second);
    put_notes(f, 3, 3);
    close_it(f);
    file_remove(f->path, "LOCK");
    expect_open(f, 3, 1);
}

static char *ask_one(dbk_engine *engine, const char *request)
{
    dbk_error error = {0};
    dbk_text answer;
    assert_int_equal(dbk_queue_call(engine->queue, request, strlen(request), &answer, &error), DBK_OK);
    return answer.data;
}

static void expect_answer(dbk_engine *engine, const char *request, const char *part)
{
    char *answer = ask_one(engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\n", part, answer);
    assert_non_null(strstr(answer, part));
    free(answer);
}

static void a_reader_beside_the_writer_sees_and_changes_nothing(void **state)
{
    engine_fixture *f = *state;
    dbk_engine *reader = NULL;
    dbk_engine_options options = f->options;
    void *subscription;
    uint64_t logged, parked, count;
    dbk_buffer head;
    options.read_only = true;
    put_notes(f, 1, 2);
    uint64_t before = folder_digest(f->path);
    assert_int_equal(dbk_engine_open(f->path, &options, &reader, &f->error), DBK_OK);
    expect_answer(reader, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[2]]");
    expect_answer(reader, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n2\"}", "title number 2");
    expect_answer(reader, "{\"do\":\"status\"}", "\"condition\":\"read_only\"");
    expect_answer(reader, "{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n9\"}",
                  "\"error\":\"read_only\"");
    expect_answer(reader, "{\"do\":\"rebuild\"}", "\"error\":\"read_only\"");
    expect_answer(reader, "{\"do\":\"changes\",\"table\":\"notes\"}", "\"error\":\"read_only\"");
    assert_int_equal(dbk_engine_import(reader, NULL, 0, f->now_ms, &logged, &parked, &f->error), DBK_READ_ONLY);
    assert_int_equal(dbk_engine_upgrade(reader, f->definition, f->now_ms, true, NULL, NULL, &count, &f->error),
                     DBK_READ_ONLY);
    dbk_buffer_init(&head, dbk_port_system());
    assert_int_equal(dbk_engine_head_message(reader, &head, &f->error), DBK_READ_ONLY);
    dbk_buffer_release(&head);
    assert_int_equal(dbk_engine_subscribe(reader, "notes", "[\"t\",1,0]", NULL, NULL, &subscription, &f->error),
                     DBK_READ_ONLY);
    assert_int_equal(folder_digest(f->path), before);
    put_notes(f, 3, 4);
    expect_answer(reader, "{\"do\":\"log\",\"from\":4}", "\"position\":4");
    expect_answer(reader, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[4]]");
    before = folder_digest(f->path);
    dbk_engine_close(reader);
    assert_int_equal(folder_digest(f->path), before);
    put_notes(f, 5, 5);
}

static void reading_alone_changes_nothing_and_needs_no_model(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 2);
    close_it(f);
    uint64_t before = folder_digest(f->path);
    f->options.read_only = true;
    fixture_open(f);
    expect_answer(f->engine, "{\"do\":\"log\"}", "title number 2");
    close_it(f);
    assert_int_equal(folder_digest(f->path), before);
    file_move(f->path, "models", "kept");
    fixture_open(f);
    expect_answer(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", "[[2]],\"position\":2");
    close_it(f);
    assert_false(file_exists(f->path, "models"));
    file_move(f->path, "kept", "models");
    f->options.read_only = false;
    expect_open(f, 2, 1);
}

/* A loss of power took the model's last commits back, as copies of its files from before do: what is in the log was
 * acknowledged and seen. */
static void reading_shows_what_the_log_has(void **state)
{
    engine_fixture *f = *state;
    dbk_engine *writer = NULL;
    dbk_engine_options options = f->options;
    put_notes(f, 1, 2);
    close_it(f);
    folder_copy_in(f->path, "models", "kept");
    fixture_open(f);
    put_notes(f, 3, 4);
    close_it(f);
    folder_remove(f->path, "models");
    file_move(f->path, "kept", "models");
    f->options.read_only = true;
    fixture_open(f);
    for (int i = 0; i < 2; i++)
        expect_answer(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", "[[4]],\"position\":4");
    expect_answer(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n4\"}", "title number 4");
    /* a writer opens beside it, and makes the model whole */
    assert_int_equal(dbk_engine_open(f->path, &options, &writer, &f->error), DBK_OK);
    expect_answer(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", "[[4]],\"position\":4");
    dbk_engine_close(writer);
    close_it(f);
    f->options.read_only = false;
    expect_open(f, 4, 1);
}

/* ---- app/ */

static const char app_schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n";

/* A store of its own whose definition lives in app/. */
static void with_app(engine_fixture *f)
{
    char app[4300];
    close_it(f);
    snprintf(app, sizeof app, "%s/schema.sql", f->folder);
    file_write(f->folder, "schema.sql", app_schema, strlen(app_schema));
    snprintf(f->path, sizeof f->path, "%s/with-app.daybook", f->folder);
    f->options.definition = NULL;
    assert_int_equal(dbk_engine_create(f->path, app, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
    put_notes(f, 1, 3);
}

static void a_definition_that_is_gone_or_broken_is_refused(void **state)
{
    engine_fixture *f = *state;
    with_app(f);
    close_it(f);
    file_move(f->path, "app", "kept");
    expect_refusal(f, DBK_MISSING, "app");
    assert_non_null(strstr(f->error.hint, "put the definition's files back in '"));
    file_move(f->path, "kept", "app");
    file_write(f->path, "app/schema.sql", "CREATE TABLE notes (", 20);
    expect_refusal(f, DBK_CORRUPT, "the definition in 'app' does not pass the check:\n");
    file_write(f->path, "app/schema.sql", app_schema, strlen(app_schema));
    expect_open(f, 3, 1);
}

static void another_definition_is_folded_anew(void **state)
{
    static const char wider[] =
        "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER DEFAULT 3);\n";
    engine_fixture *f = *state;
    with_app(f);
    close_it(f);
    file_write(f->path, "app/schema.sql", wider, strlen(wider));
    expect_open(f, 3, 2);
    expect_answer(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n2\"}", "\"stars\":3");
}

/* ---- log/ */

static void a_log_that_is_gone_or_damaged_is_refused(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 3);
    close_it(f);
    file_move(f->path, "log", "kept");
    expect_refusal(f, DBK_LOST, "the folder 'log' of the store is missing");
    assert_string_equal(f->error.hint, "put it back from a copy: the log is the store's truth");
    file_move(f->path, "kept", "log");

    char name[300];
    find_file(f->path, "log", ".seg", name, sizeof name);
    file_move(f->path, name, "kept");
    expect_refusal(f, DBK_GAP, "a segment is missing");
    file_move(f->path, "kept", name);
    long at = file_find(f->path, name, "title number 2");
    file_flip(f->path, name, at + 6);
    expect_refusal(f, DBK_CORRUPT, "");
    file_flip(f->path, name, at + 6);
    expect_open(f, 3, 1);
}

/* Both headers of a segment, or both slots of the watermark, as a later version would write them: magic, version
 * and checksum keep their places. */
static void make_newer(engine_fixture *f, const char *name)
{
    char path[4700];
    uint8_t header[128];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    for (long at = 0; at <= 4096; at += 4096) {
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        if (fread(header, sizeof header, 1, file) != 1) break;
        dbk_store_u32(header + 8, 2);
        dbk_store_u64(header + 120, dbk_checksum(dbk_slice_of(header, 120), dbk_load_u64(header)));
        assert_int_equal(fseek(file, at, SEEK_SET), 0);
        assert_int_equal(fwrite(header, sizeof header, 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
}

static void a_newer_file_is_told_from_damage(void **state)
{
    engine_fixture *f = *state;
    char name[300];
    put_notes(f, 1, 3);
    close_it(f);
    find_file(f->path, "log", ".seg", name, sizeof name);
    make_newer(f, name);
    expect_refusal(f, DBK_VERSION, "later format");
    assert_string_equal(f->error.hint, "open it with a newer Daybook");
    make_newer(f, "log/WATERMARK");
    expect_refusal(f, DBK_VERSION, "'WATERMARK' has a later format");
    assert_string_equal(f->error.hint, "open it with a newer Daybook");
}

/* ---- models/ */

static void break_current_missing(engine_fixture *f)
{
    file_remove(f->path, "models/current");
}
static void break_current_empty(engine_fixture *f)
{
    file_write(f->path, "models/current", "", 0);
}
static void break_current_words(engine_fixture *f)
{
    file_write(f->path, "models/current", "nonsense", 8);
}
static void break_current_elsewhere(engine_fixture *f)
{
    file_write(f->path, "models/current", "00000777", 8);
}
static void break_models_missing(engine_fixture *f)
{
    folder_remove(f->path, "models");
}

static void model_name(engine_fixture *f, char *name, size_t size)
{
    char *serial = file_text(f->path, "models/current");
    snprintf(name, size, "models/%s/main.sqlite", serial);
    free(serial);
}

static void break_file_missing(engine_fixture *f)
{
    char name[100];
    model_name(f, name, sizeof name);
    file_remove(f->path, name);
}

static void break_file_empty(engine_fixture *f)
{
    char name[100];
    model_name(f, name, sizeof name);
    file_write(f->path, name, "", 0);
}

static void break_file_head(engine_fixture *f)
{
    char name[100];
    model_name(f, name, sizeof name);
    file_flip(f->path, name, 3);
}

static void break_file_schema(engine_fixture *f)
{
    char name[100];
    model_name(f, name, sizeof name);
    for (long i = 100; i < 4096; i++) file_flip(f->path, name, i);
}

static void a_damaged_model_is_built_anew(void **state)
{
    engine_fixture *f = *state;
    void (*const breaks[])(engine_fixture *) = {break_current_missing,   break_current_empty,  break_current_words,
                                                break_current_elsewhere, break_models_missing, break_file_missing,
                                                break_file_empty,        break_file_head,      break_file_schema};
    int notes = 3;
    put_notes(f, 1, 2);
    must_accept(f, "{\"id\":\"n3\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n3\"}");
    close_it(f);
    char *identity = file_text(f->path, "daybook.json");
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        breaks[i](f);
        fixture_open(f);
        dbk_model_state healed;
        dbk_model_get_state(dbk_engine_model(f->engine), &healed);
        assert_int_equal(healed.position, notes);
        assert_int_equal(generation_of(f), i + 2);
        assert_int_equal(folder_count(f->path, "models"), 1);
        close_it(f);
    }
    free(identity);
    expect_open(f, notes, 1 + sizeof breaks / sizeof *breaks);
}

/* A copy of the folder while it is open is what a process that died leaves. */
static void die(engine_fixture *f)
{
    char image[4300];
    snprintf(image, sizeof image, "%s/image.daybook", f->folder);
    folder_copy(f->path, image);
    close_it(f);
    folder_remove(f->folder, "t.daybook");
    assert_int_equal(rename(image, f->path), 0);
}

static void a_row_that_rotted_is_found_after_an_unclean_end(void **state)
{
    engine_fixture *f = *state;
    char name[100];
    put_notes(f, 1, 3);
    close_it(f); /* the rows are in the file itself now, not in its WAL */
    fixture_open(f);
    model_name(f, name, sizeof name);
    die(f);
    long at = file_find(f->path, name, "title number 2");
    file_flip(f->path, name, at + 2);
    fixture_open(f);
    assert_false(dbk_log_was_clean(dbk_engine_log(f->engine)));
    assert_int_equal(generation_of(f), 2);
    expect_answer(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n2\"}", "title number 2");
    close_it(f);
    expect_open(f, 3, 2);
    assert_true(dbk_log_was_clean(dbk_engine_log(f->engine)));
}

static void an_unclean_end_with_a_sound_model_keeps_the_generation(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 3);
    die(f);
    expect_open(f, 3, 1);
    assert_false(dbk_log_was_clean(dbk_engine_log(f->engine)));
}

static void a_model_that_is_behind_is_brought_up(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 2);
    close_it(f);
    folder_copy_in(f->path, "models", "old");
    fixture_open(f);
    put_notes(f, 3, 5);
    close_it(f);
    folder_remove(f->path, "models");
    file_move(f->path, "old", "models");
    expect_open(f, 5, 1);
}

static void a_model_that_is_ahead_or_of_another_log_is_built_anew(void **state)
{
    engine_fixture *f = *state;
    char early[4300];
    put_notes(f, 1, 2);
    close_it(f);
    snprintf(early, sizeof early, "%s/early.daybook", f->folder);
    folder_copy(f->path, early);
    fixture_open(f);
    put_notes(f, 3, 5);
    close_it(f);

    folder_remove(early, "models");
    folder_path from = path_in(f->path, "models"), to = path_in(early, "models");
    folder_copy(from.text, to.text);
    strcpy(f->path, early);
    expect_open(f, 2, 2); /* the model was at 5 */
    put_notes(f, 13, 14);
    close_it(f);

    folder_remove(early, "models");
    folder_copy(from.text, to.text);
    expect_open(f, 5, 3); /* the model is at 5 too, over other entries */
}

static void leftovers_of_models_are_removed_and_nothing_else(void **state)
{
    engine_fixture *f = *state;
    put_notes(f, 1, 1);
    close_it(f);
    folder_make(f->path, "models/00000041");
    file_write(f->path, "models/00000041/main.sqlite", "x", 1);
    file_write(f->path, "models/00000041/main.sqlite-wal", "x", 1);
    folder_make(f->path, "models/00000042");
    file_write(f->path, "models/remark", "mine", 4);
    fixture_open(f);
    assert_false(file_exists(f->path, "models/00000041"));
    assert_false(file_exists(f->path, "models/00000042"));
    assert_true(file_exists(f->path, "models/remark"));
    close_it(f);
    expect_open(f, 1, 1);
}

/* ---- death by hook */

static int die_at(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    (void)engine;
    (void)id;
    return strcmp(point, arg) == 0;
}

static void after_a_death_only_closing_is_possible(void **state)
{
    engine_fixture *f = *state;
    const char *points[] = {"decide", "logged", "committed"};
    int kept = 0;
    close_it(f);
    for (int i = 0; i < 3; i++) {
        char command[200];
        dbk_buffer receipt;
        dbk_buffer_init(&receipt, dbk_port_system());
        f->options.hook = die_at;
        f->options.hook_arg = (void *)points[i];
        fixture_open(f);
        snprintf(command, sizeof command, "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"%s\"}",
                 points[i], points[i]);
        dbk_slice text = dbk_slice_text(command);
        assert_int_equal(dbk_engine_decide(f->engine, &text, 1, f->now_ms, &receipt, &f->error), DBK_UNAVAILABLE);
        assert_int_equal(dbk_engine_rebuild(f->engine, NULL, NULL, &f->error), DBK_UNAVAILABLE);
        free(decide(f, command));
        close_it(f);
        dbk_buffer_release(&receipt);
        f->options.hook = NULL;
        fixture_open(f);
        kept += i > 0;
        assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), kept);
        char *again = decide(f, command);
        assert_int_equal(strstr(again, "\"again\":true") != NULL, i > 0);
        kept += i == 0;
        free(again);
        close_it(f);
    }
    expect_open(f, 3, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_folder_that_is_no_store_is_named, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(an_identity_cut_anywhere_is_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(an_identity_with_a_wrong_member_is_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_second_writer_is_told_who_holds_the_store, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_reader_beside_the_writer_sees_and_changes_nothing, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(reading_alone_changes_nothing_and_needs_no_model, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(reading_shows_what_the_log_has, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_definition_that_is_gone_or_broken_is_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(another_definition_is_folded_anew, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_gone_or_damaged_is_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_newer_file_is_told_from_damage, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_model_is_built_anew, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_row_that_rotted_is_found_after_an_unclean_end, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(an_unclean_end_with_a_sound_model_keeps_the_generation, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_model_that_is_behind_is_brought_up, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_model_that_is_ahead_or_of_another_log_is_built_anew, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(leftovers_of_models_are_removed_and_nothing_else, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(after_a_death_only_closing_is_possible, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
