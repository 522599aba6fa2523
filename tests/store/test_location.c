/* Where a live store is refused: under what a cloud's client synchronizes, unless it is forced. */
#include "tests/store/folder_fixture.h"

#include "store/store.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL);";

static dbk_result make_at(const char *path, bool force, dbk_error *err)
{
    dbk_definition *definition = definition_of(schema, NULL);
    dbk_engine_options options = {.definition = definition, .no_threads = true, .force_location = force};
    memset(err, 0, sizeof *err);
    dbk_result result = dbk_engine_create(path, NULL, &options, NULL, err);
    dbk_definition_free(definition);
    return result;
}

/* A folder two levels below `base`, which is made with its marker. */
static void expect_place(const char *base_name, const char *marker, const char *who)
{
    char *folder = temporary_dir();
    char path[4600], base[4400];
    dbk_error error;
    snprintf(base, sizeof base, "%s/%s", folder, base_name);
    folder_make(folder, base_name);
    folder_make(base, "deep");
    if (marker) file_write(base, marker, "x", 1);
    snprintf(path, sizeof path, "%s/deep/s.daybook", base);
    dbk_result result = make_at(path, false, &error);
    if (result != (who ? DBK_UNSUPPORTED_FS : DBK_OK))
        print_error("%s %s: %s\n", base_name, marker ? marker : "", error.text);
    assert_int_equal(result, who ? DBK_UNSUPPORTED_FS : DBK_OK);
    if (who) {
        char part[64];
        snprintf(part, sizeof part, "is synchronized by %s", who);
        assert_non_null(strstr(error.text, part));
        assert_non_null(strstr(error.hint, "--force-location"));
        assert_false(file_exists(base, "deep/s.daybook"));
    }
    remove_temporary_dir(folder);
}

static void clouds_are_known_by_name_and_by_what_they_leave(void **state)
{
    (void)state;
    expect_place("Dropbox", NULL, "Dropbox");
    expect_place("Dropbox (Work)", NULL, "Dropbox");
    expect_place("OneDrive - Firm", NULL, "OneDrive");
    expect_place("Google Drive", NULL, "Google Drive");
    expect_place("plain", ".dropbox.cache", "Dropbox");
    expect_place("plain", ".849C9593-D756-4E56-8D6E-42412F2A707B", "OneDrive");
    expect_place("com~apple~CloudDocs", NULL, "iCloud");
    expect_place("plain", ".sync_0123456789ab.db", "Nextcloud");
    expect_place("plain", ".stfolder", "Syncthing");
}

static void likenesses_are_no_clouds(void **state)
{
    (void)state;
    expect_place("Dropboxes", NULL, NULL);
    expect_place("my OneDrive", NULL, NULL);
    expect_place("plain", ".sync_", NULL);
    expect_place("plain", "x.stfolder", NULL);
}

/* Opened for reading it may lie anywhere; for writing it has to be said. */
static void what_is_forced_is_made_and_opened(void **state)
{
    char *folder = temporary_dir();
    char path[4600];
    dbk_error error = {0};
    dbk_engine *engine = NULL;
    dbk_definition *definition = definition_of(schema, NULL);
    dbk_engine_options options = {.definition = definition, .no_threads = true};
    (void)state;
    file_write(folder, ".stfolder", "x", 1);
    snprintf(path, sizeof path, "%s/s.daybook", folder);
    assert_int_equal(make_at(path, true, &error), DBK_OK);
    assert_int_equal(dbk_engine_open(path, &options, &engine, &error), DBK_UNSUPPORTED_FS);
    options.read_only = true;
    assert_int_equal(dbk_engine_open(path, &options, &engine, &error), DBK_OK);
    dbk_engine_close(engine);
    options = (dbk_engine_options){.definition = definition, .no_threads = true, .force_location = true};
    assert_int_equal(dbk_engine_open(path, &options, &engine, &error), DBK_OK);
    dbk_engine_close(engine);
    dbk_definition_free(definition);
    remove_temporary_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clouds_are_known_by_name_and_by_what_they_leave),
        cmocka_unit_test(likenesses_are_no_clouds),
        cmocka_unit_test(what_is_forced_is_made_and_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
