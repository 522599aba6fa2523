/* Runs files through the JSON parser, named as in the JSON Parsing Test Suite: y_ must be taken, n_ refused, i_ either.
 * usage: json_suite FILE…   prints each that is answered otherwise; exit 1 if there is one */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

int main(int argc, char **argv)
{
    static char text[8 << 20];
    size_t right = 0, wrong = 0, either[2] = {0};
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    if (!parser) return 2;
    for (int i = 1; i < argc; i++) {
        const dbk_json_node *root;
        dbk_error err = {0};
        const char *slash = strrchr(argv[i], '/'), *name = slash ? slash + 1 : argv[i];
        FILE *file = fopen(argv[i], "rb");
        if (!file) return 2;
        size_t size = fread(text, 1, sizeof text, file);
        fclose(file);
        bool taken = dbk_json_parse(parser, dbk_slice_of(text, size), &root, &err) == DBK_OK;
        if (name[0] == 'i') {
            either[taken]++;
        } else if (taken == (name[0] == 'y')) {
            right++;
        } else {
            wrong++;
            printf("%s: %s\n", name, taken ? "taken" : err.text);
        }
    }
    printf("%zu right, %zu wrong; of those that may be either %zu taken, %zu refused\n", right, wrong, either[1],
           either[0]);
    dbk_json_parser_free(parser);
    return wrong ? 1 : 0;
}
