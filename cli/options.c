/* Options of a command: long ones with values, a few letters, "--". */
#include "cli/cli.h"

static const dbk_cli_option *by_name(const dbk_cli_option *options, dbk_slice name)
{
    for (const dbk_cli_option *o = options; o->name; o++) {
        if (dbk_slice_equal(dbk_slice_text(o->name), name)) return o;
    }
    return NULL;
}

static dbk_result unknown(const dbk_cli_option *options, dbk_slice name, dbk_error *err)
{
    const char *names[DBK_CLI_OPTIONS_MAX];
    size_t count = 0;
    for (const dbk_cli_option *o = options; o->name; o++) names[count++] = o->name;
    const char *near = dbk_nearest(name, names, count);
    if (near)
        return dbk_fail(err, DBK_USAGE, "unknown option '--%.*s'; did you mean '--%s'?", DBK_SLICE_ARG(name), near);
    return dbk_fail(err, DBK_USAGE, "unknown option '--%.*s'", DBK_SLICE_ARG(name));
}

/* `given`: what stands behind '='; NULL: nothing, the value is the next text. */
static dbk_result take(const dbk_cli_option *options, const dbk_cli_option *option, const char *given, int argc,
                       char **argv, int *at, dbk_cli_args *out, dbk_error *err)
{
    if (!option->value && given) return dbk_fail(err, DBK_USAGE, "option '--%s' takes no value", option->name);
    if (option->value && !given) {
        if (*at + 1 >= argc)
            return dbk_fail(err, DBK_USAGE, "option '--%s' needs a value: %s", option->name, option->value);
        given = argv[++*at];
    }
    out->values[option - options] = given ? given : "";
    return DBK_OK;
}

static dbk_result take_long(const dbk_cli_option *options, int argc, char **argv, int *at, dbk_cli_args *out,
                            dbk_error *err)
{
    const char *text = argv[*at] + 2, *equals = strchr(text, '=');
    dbk_slice name = dbk_slice_of(text, equals ? (size_t)(equals - text) : strlen(text));
    const dbk_cli_option *option = by_name(options, name);
    if (!option) return unknown(options, name, err);
    return take(options, option, equals ? equals + 1 : NULL, argc, argv, at, out, err);
}

static dbk_result take_letter(const dbk_cli_option *options, int argc, char **argv, int *at, dbk_cli_args *out,
                              dbk_error *err)
{
    const char *text = argv[*at];
    for (const dbk_cli_option *o = options; o->name; o++) {
        if (o->letter && o->letter == text[1] && !text[2]) return take(options, o, NULL, argc, argv, at, out, err);
    }
    dbk_result result = dbk_fail(err, DBK_USAGE, "unknown option '%s'", text);
    dbk_error_hint(err, "put '--' before a word that begins with '-'");
    return result;
}

dbk_result dbk_cli_parse(const dbk_cli_option *options, int argc, char **argv, dbk_cli_args *out, dbk_error *err)
{
    *out = (dbk_cli_args){.words = argv};
    bool over = false;
    for (int i = 0; i < argc; i++) {
        dbk_result result = DBK_OK;
        if (over || argv[i][0] != '-' || !argv[i][1]) out->words[out->word_count++] = argv[i];
        else if (strcmp(argv[i], "--") == 0) over = true;
        else if (argv[i][1] == '-') result = take_long(options, argc, argv, &i, out, err);
        else result = take_letter(options, argc, argv, &i, out, err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}
