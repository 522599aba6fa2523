/* Runs files of the JSON Schema Test Suite (draft 7) through the validator and counts.
 * usage: schema_suite [--formats] FILE…   prints each test that is answered otherwise; exit 1 if there is one */
#include <stdio.h>
#include <stdlib.h>

#include "projector/json_schema.h"

static size_t passed, failed, refused;
static char why[400];

static void note_fault(void *arg, size_t offset, size_t size, const char *text, const char *advice)
{
    (void)arg, (void)offset, (void)size, (void)advice;
    if (!why[0]) snprintf(why, sizeof why, "%s", text);
}

static void run_group(const char *path, const dbk_json_node *group, bool formats)
{
    const dbk_json_node *tests = dbk_json_member(group, "tests"), *schema_node = dbk_json_member(group, "schema");
    dbk_json_schema_options options = {.lenient = true, .no_formats = !formats};
    dbk_json_schema *schema = NULL;
    dbk_buffer text;
    dbk_error err = {0};
    dbk_slice name = dbk_json_member(group, "description")->text;
    why[0] = '\0';
    dbk_buffer_init(&text, dbk_port_system());
    dbk_json_put_minimal(&text, schema_node);
    dbk_result made =
        dbk_json_schema_new(dbk_port_system(), dbk_buffer_slice(&text), &options, note_fault, NULL, &schema, &err);
    const dbk_json_node *test = tests + 1;
    for (uint32_t i = 0; i < tests->count; i++, test = dbk_json_next(test)) {
        bool wanted = dbk_json_member(test, "valid")->kind == DBK_JSON_TRUE;
        if (made != DBK_OK) {
            refused++;
            if (i == 0) printf("%s: %.*s: schema refused: %s\n", path, DBK_SLICE_ARG(name), why[0] ? why : err.text);
            continue;
        }
        dbk_result result = dbk_json_schema_judge(schema, dbk_json_member(test, "data"), NULL, &err);
        if ((result == DBK_OK) == wanted) {
            passed++;
            continue;
        }
        failed++;
        dbk_slice what = dbk_json_member(test, "description")->text;
        printf("%s: %.*s: %.*s: wanted %s, %s\n", path, DBK_SLICE_ARG(name), DBK_SLICE_ARG(what),
               wanted ? "valid" : "invalid", result == DBK_OK ? "fits" : err.text);
    }
    dbk_json_schema_free(schema);
    dbk_buffer_release(&text);
}

static void run_file(const char *path, bool formats)
{
    static char text[4 << 20];
    const dbk_json_node *root;
    dbk_error err = {0};
    FILE *file = fopen(path, "rb");
    if (!file) exit(2);
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    if (!parser || dbk_json_parse(parser, dbk_slice_of(text, size), &root, &err) != DBK_OK) {
        printf("%s: %s\n", path, err.text);
        refused++;
    } else {
        const dbk_json_node *group = root + 1;
        for (uint32_t i = 0; i < root->count; i++, group = dbk_json_next(group)) run_group(path, group, formats);
    }
    dbk_json_parser_free(parser);
}

int main(int argc, char **argv)
{
    int first = argc > 1 && strcmp(argv[1], "--formats") == 0 ? 2 : 1;
    for (int i = first; i < argc; i++) run_file(argv[i], first == 2);
    printf("%zu right, %zu wrong, %zu of refused schemas\n", passed, failed, refused);
    return failed || refused ? 1 : 0;
}
