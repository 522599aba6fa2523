/* docs/commands.md: its examples are run in order on a store of its definition. */
#include "tests/store/engine_fixture.h"

static const char *page_path;

static char *read_page(void)
{
    FILE *file = fopen(page_path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 64 * 1024);
    assert_true(text && fread(text, 1, 64 * 1024 - 1, file) > 1000);
    fclose(file);
    return text;
}

static const dbk_json_node *parse(dbk_json_parser *parser, const char *text)
{
    const dbk_json_node *root;
    dbk_error error = {0};
    dbk_result result = dbk_json_parse(parser, dbk_slice_text(text), &root, &error);
    if (result != DBK_OK) print_error("%s\n%s\n", text, error.text);
    assert_int_equal(result, DBK_OK);
    return root;
}

/* Each member of the example is in the answer, with the same value. */
static void check_members(const char *sent, const char *wanted, const char *got)
{
    dbk_json_parser *one = dbk_json_parser_new(dbk_port_system()), *other = dbk_json_parser_new(dbk_port_system());
    const dbk_json_node *want = parse(one, wanted), *have = parse(other, got), *member = want + 1;
    for (uint32_t i = 0; i < want->count; i++, member = dbk_json_next(member)) {
        char name[64];
        dbk_buffer a, b;
        dbk_buffer_init(&a, dbk_port_system());
        dbk_buffer_init(&b, dbk_port_system());
        snprintf(name, sizeof name, "%.*s", DBK_SLICE_ARG(member->name));
        const dbk_json_node *found = dbk_json_member(have, name);
        dbk_json_put_canonical(&a, member);
        if (found) dbk_json_put_canonical(&b, found);
        if (!dbk_slice_equal(dbk_buffer_slice(&a), dbk_buffer_slice(&b)))
            print_error("%s\nwanted %s\ngot    %s\n", sent, wanted, got);
        assert_true(dbk_slice_equal(dbk_buffer_slice(&a), dbk_buffer_slice(&b)));
        dbk_buffer_release(&a);
        dbk_buffer_release(&b);
    }
    dbk_json_parser_free(one);
    dbk_json_parser_free(other);
}

static dbk_engine *open_store(const char *folder, const char *page, dbk_definition **definition)
{
    char path[4200];
    dbk_engine *engine = NULL;
    dbk_error error = {0};
    static const char *const names[] = {"schema.sql", "commands.sql"};
    dbk_source sources[2];
    for (size_t i = 0; i < 2; i++) {
        const char *text = strstr(page, "```sql\n") + 7, *end = strstr(text, "```");
        assert_non_null(end);
        sources[i] = (dbk_source){names[i], dbk_slice_of(text, (size_t)(end - text))};
        page = end + 3;
    }
    *definition = definition_of_sources(sources, 2);
    dbk_engine_options options = {.definition = *definition, .no_threads = true};
    snprintf(path, sizeof path, "%s/page.daybook", folder);
    assert_int_equal(dbk_engine_create(path, NULL, &options, NULL, &error), DBK_OK);
    assert_int_equal(dbk_engine_open(path, &options, &engine, &error), DBK_OK);
    return engine;
}

/* "t" in the page's cursors stands for the timeline of the store. */
static void send_line(dbk_store *store, const char *line, const char *timeline, dbk_text *answer)
{
    char text[2000];
    dbk_error error = {0};
    const char *at = strstr(line, "[\"t\",");
    if (at) snprintf(text, sizeof text, "%.*s[\"%s\",%s", (int)(at - line), line, timeline, at + 5);
    else snprintf(text, sizeof text, "%s", line);
    assert_int_equal(dbk_do(store, text, strlen(text), answer, &error), DBK_OK);
}

static void every_example_is_answered_as_it_says(void **state)
{
    (void)state;
    char *folder = temporary_dir(), *page = read_page();
    dbk_definition *definition;
    dbk_engine *engine = open_store(folder, page, &definition);
    dbk_store *store = NULL;
    const char *timeline;
    uint64_t generation, position;
    dbk_text answer = {0};
    char *sent = NULL;
    size_t examples = 0;
    dbk_engine_cursor(engine, &timeline, &generation, &position);
    assert_int_equal(dbk_engine_wrap(engine, &store, NULL), DBK_OK);
    for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "> {", 3) == 0) {
            sent = line + 2;
            send_line(store, sent, timeline, &answer);
        } else if (strncmp(line, "< {", 3) == 0) {
            char want[2000];
            char *at = strstr(line, "\"timeline\":\"t\"");
            if (at)
                snprintf(want, sizeof want, "%.*s\"timeline\":\"%s\"%s", (int)(at - line - 2), line + 2, timeline,
                         at + 14);
            else snprintf(want, sizeof want, "%s", line + 2);
            assert_non_null(sent);
            check_members(sent, want, answer.data);
            dbk_text_free(&answer);
            sent = NULL;
            examples++;
        }
    }
    assert_in_range(examples, 20, 1000);
    dbk_close(store);
    dbk_definition_free(definition);
    free(page);
    remove_temporary_dir(folder);
}

/* The table of errors has a row for every name that can stand in a receipt. */
static void every_error_has_its_row(void **state)
{
    (void)state;
    char *page = read_page();
#define X(code, value, name, wire, class_, text)                                                                       \
    if ((value) < 0) {                                                                                                 \
        if (!strstr(page, "\n| `" wire "` | ")) print_error("%s\n", wire);                                             \
        assert_non_null(strstr(page, "\n| `" wire "` | "));                                                            \
    }
    DBK_RESULT_LIST(X)
#undef X
    free(page);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_answered_as_it_says),
        cmocka_unit_test(every_error_has_its_row),
    };
    if (argc < 2) return 2;
    page_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
