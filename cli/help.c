/* The help: everything comes from the table of commands, so that it cannot differ from it. */
#include "cli/cli.h"

static void put_title(const char *text, FILE *out)
{
    if (dbk_terminal_colour(out)) fprintf(out, "\033[1m%s\033[0m\n", text);
    else fprintf(out, "%s\n", text);
}

void dbk_help_all(FILE *out)
{
    put_title("usage: daybook COMMAND …", out);
    for (size_t i = 0; dbk_cli_commands[i]; i++)
        fprintf(out, "  %-12s %s\n", dbk_cli_commands[i]->name, dbk_cli_commands[i]->summary);
    fputs("\nSTORE is a store's folder: by default $DAYBOOK_STORE, else the nearest *.daybook upwards. Where a\n"
          "daemon serves it, the command talks to the daemon. URL is what 'daybook serve' prints.\n"
          "What fails says why and what to do on stderr; with --json, as one object {\"ok\":false,…} on stdout.\n"
          "Exit status: 0 done, 1 what was asked for failed, 2 wrong usage, 3 the store cannot be opened.\n",
          out);
}

static void put_option(const dbk_cli_option *option, FILE *out)
{
    char left[64];
    char letter[8] = "";
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, option->name, option->value ? " " : "",
             option->value ? option->value : "");
    fprintf(out, "  %-24s %s\n", left, option->help);
}

static void put_examples(const char *examples, FILE *out)
{
    while (*examples) {
        const char *end = strchr(examples, '\n');
        size_t size = end ? (size_t)(end - examples) : strlen(examples);
        fprintf(out, "  $ daybook %.*s\n", (int)size, examples);
        examples += size + (end != NULL);
    }
}

void dbk_help_command(const dbk_cli_command *command, FILE *out)
{
    static const dbk_cli_option help = {"help", 'h', NULL, "shows this"};
    fprintf(out, "daybook %s: %s\n\n", command->name, command->summary);
    fprintf(out, "usage: daybook %s%s%s\n", command->name, *command->usage ? " " : "", command->usage);
    if (command->details[0]) fprintf(out, "\n%s\n", command->details);
    fputc('\n', out);
    put_title("options", out);
    for (const dbk_cli_option *o = command->options; o->name; o++) put_option(o, out);
    put_option(&help, out);
    fputc('\n', out);
    put_title("examples", out);
    put_examples(command->examples, out);
}
