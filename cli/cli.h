/* cli: the program `daybook`. Internal header; nothing stands above this folder.
 *
 * main.c finds the command and parses its options, the command's run() does the work and returns the exit
 * status. Data goes to stdout, everything else to stderr; stdio, signals, environment and terminal are this
 * program's own matter, files and folders pass the port. */
#ifndef DBK_CLI_H
#define DBK_CLI_H

#include <stdio.h>

#include "bus/bus.h"

enum { DBK_EXIT_DONE = 0, DBK_EXIT_FAILED = 1, DBK_EXIT_USAGE = 2, DBK_EXIT_STORE = 3 };

/* ---- options.c */
typedef struct dbk_cli_option {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* what stands for the value in the help; NULL: a flag */
    const char *help;
} dbk_cli_option;
enum { DBK_CLI_OPTIONS_MAX = 16 };

typedef struct dbk_cli_args {
    char **words; /* what is no option, in order: compacted in place, so they live as long as argv */
    size_t word_count;
    const char *values[DBK_CLI_OPTIONS_MAX]; /* by index of the option; NULL: not given, a flag gives "" */
} dbk_cli_args;

/* Parses `argv` (without program and command). `options` ends with a zeroed one. A text beginning with '-'
 * is an option up to "--"; "-" alone is a word. The last of a repeated option counts. DBK_USAGE. */
dbk_result dbk_cli_parse(const dbk_cli_option *options, int argc, char **argv, dbk_cli_args *out,
                         dbk_error *err) DBK_MUST_USE;

/* ---- main.c */
typedef struct dbk_cli dbk_cli;
typedef struct dbk_cli_command {
    const char *name;
    const char *usage;             /* behind the name */
    const char *summary;           /* one line, no full stop */
    const char *details;           /* paragraphs for the help, may be "" */
    const char *examples;          /* lines, without the "  $ daybook " before each */
    const dbk_cli_option *options; /* ends with a zeroed one; "help" is everybody's */
    size_t words_max;
    int (*run)(dbk_cli *cli);
} dbk_cli_command;

struct dbk_cli {
    const dbk_port *port;
    const dbk_cli_command *command;
    dbk_cli_args args;
};
extern const dbk_cli_command *const dbk_cli_commands[];            /* ends with NULL */
const char *dbk_cli_value(const dbk_cli *cli, const char *option); /* NULL: not given */
static inline bool dbk_cli_flag(const dbk_cli *cli, const char *option)
{
    return dbk_cli_value(cli, option) != NULL;
}

extern const dbk_cli_command dbk_cmd_init, dbk_cmd_check, dbk_cmd_serve, dbk_cmd_send, dbk_cmd_query, dbk_cmd_log,
    dbk_cmd_watch, dbk_cmd_inbox, dbk_cmd_replay, dbk_cmd_rebuild, dbk_cmd_fingerprint, dbk_cmd_verify, dbk_cmd_salvage,
    dbk_cmd_stats, dbk_cmd_doctor, dbk_cmd_history, dbk_cmd_explain, dbk_cmd_diff, dbk_cmd_undo, dbk_cmd_set,
    dbk_cmd_get, dbk_cmd_unset, dbk_cmd_reset, dbk_cmd_model, dbk_cmd_upgrade, dbk_cmd_types, dbk_cmd_import,
    dbk_cmd_bench, dbk_cmd_help, dbk_cmd_version;

/* ---- help.c */
void dbk_help_all(FILE *out);
void dbk_help_command(const dbk_cli_command *command, FILE *out);

/* ---- output.c: what is said, and how numbers and values look */
/* "daybook: text" and "hint: …" on stderr, or with --json one object on stdout; both return the exit status. */
int dbk_cli_fail(const dbk_error *err, int status);
int dbk_cli_usage(const dbk_cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of what kept a request from being made: wrong usage, or a failure. */
int dbk_cli_wrong(const dbk_cli *cli, const dbk_error *err);
void dbk_cli_fail_in_json(void); /* from here on */
/* {"ok":false,"error":…,"class":…,"message":…,"hint":… without the closing brace. */
void dbk_cli_put_failure(dbk_buffer *out, const dbk_error *err);
/* A path, or what names one, as JSON text: it may be any bytes, and what is no UTF-8 becomes U+FFFD. */
void dbk_cli_put_path(dbk_buffer *out, const char *path);
/* A word as a value of a request: JSON where it reads as JSON, else text. */
dbk_result dbk_cli_put_word(dbk_buffer *request, dbk_json_parser *parser, dbk_slice word, dbk_error *err) DBK_MUST_USE;
void dbk_cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void dbk_out(dbk_slice text);
void dbk_out_line(dbk_slice text);
/* What was built for stdout. Cut short for want of memory nothing of it is written, false comes back, and the command
 * fails when it ends (dbk_out_finish); `lacks` says the same of what could not even be built. */
bool dbk_out_built(const dbk_buffer *text);
bool dbk_out_built_line(const dbk_buffer *text);
void dbk_out_lacks_memory(void);
static inline const char *dbk_plural(uint64_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}
/* The text with control characters as \xNN where they would reach a terminal: data may not drive it. */
void dbk_out_shown(dbk_slice text, bool terminal);
/* Flushes; false when nobody reads any more (quietly), or the write failed (said once). */
bool dbk_out_flush(void);
/* What a finished command returns: DBK_EXIT_FAILED instead of done when stdout could not be written. */
int dbk_out_finish(int status);
/* Rows of {"columns":[…],"rows":[[…],…]}. */
typedef enum dbk_out_form { DBK_OUT_TABLE, DBK_OUT_TABS, DBK_OUT_CSV } dbk_out_form;
dbk_result dbk_out_rows(const dbk_port *port, const dbk_json_node *answer, dbk_out_form form,
                        dbk_error *err) DBK_MUST_USE;
/* "name   value" of every member but ok, aligned; nested ones with their path. */
void dbk_out_members(const dbk_json_node *object);

/* ---- files.c: whole files; the error names the path */
enum { DBK_CLI_FILE_MAX = 64 * 1024 * 1024 };
dbk_result dbk_cli_read_file(const dbk_port *port, const char *path, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
/* Readable by its owner only. DBK_EXISTS without `replace`. */
dbk_result dbk_cli_write_file(const dbk_port *port, const char *path, dbk_slice content, bool replace,
                              dbk_error *err) DBK_MUST_USE;
/* A name under models/ that the folder of an async model may have. */
bool dbk_cli_is_async_folder(const char *name);

/* ---- terminal.c */
bool dbk_terminal_is(FILE *stream);
bool dbk_terminal_colour(FILE *stream); /* a terminal, NO_COLOR empty or unset, TERM not dumb */
/* A line "label  42 %  [####      ]  12,345 entries/s  0:07 left" of at most `width` columns. */
void dbk_bar_text(char *out, size_t size, unsigned width, const char *label, const char *unit, uint64_t done,
                  uint64_t all, double seconds);
/* Shown only on a terminal and only for what takes over a second. */
typedef struct dbk_bar {
    const dbk_port *port;
    const char *label, *unit;
    int64_t started_ns, drawn_ns;
    bool on, drawn;
} dbk_bar;
void dbk_bar_begin(dbk_bar *bar, const dbk_port *port, const char *label, const char *unit);
void dbk_bar_update(void *bar, uint64_t done, uint64_t all); /* a dbk_progress_fn */
void dbk_bar_end(dbk_bar *bar);

/* ---- store_open.c: STORE or URL → something to talk to */
typedef enum dbk_cli_need {
    DBK_CLI_READ,  /* the daemon; else the store itself, read-only where another process has the lock */
    DBK_CLI_WRITE, /* the daemon; else the store itself */
    DBK_CLI_LOG,   /* the daemon; else the store itself, always read-only */
    DBK_CLI_LOCAL, /* the store itself, read-only, beside a daemon too */
} dbk_cli_need;
typedef struct dbk_cli_target {
    dbk_store *store;
    dbk_engine *engine;  /* borrowed from store; NULL: a connection */
    const char *path;    /* NULL: a url was given */
    char found[256];     /* the path, where it was looked for */
    uint32_t timeout_ms; /* for an answer of a daemon; 0: the default of dbk_connect */
} dbk_cli_target;
enum { DBK_CLI_LONG_MS = 24 * 3600 * 1000 }; /* for what goes through a whole log */
bool dbk_cli_is_url(const char *text);
/* Where the definition is that the word names: a folder or file of its own, or, of a store, what that runs. The text is
 * the word or in `room`. */
const char *dbk_cli_app(const dbk_cli *cli, const char *word, char room[4096]);
bool dbk_cli_is_store(const dbk_cli *cli, const char *text); /* a URL or an existing folder */
/* The first word if it names a store (then *words_used is 1), else the default. 0, or the exit status, said. */
int dbk_cli_store_word(const dbk_cli *cli, bool first_word, dbk_cli_target *target, size_t *words_used);
/* target->path holds a path or URL (from dbk_cli_store_word). 0, or the exit status, said. */
int dbk_cli_open(const dbk_cli *cli, dbk_cli_need need, dbk_cli_target *target);
void dbk_cli_close(dbk_cli_target *target);
/* For what needs a daemon and has found none: 0 where the store could be opened, else 3, said. */
int dbk_cli_is_openable(const dbk_cli *cli, const char *path);

/* Begins a command of that verb, with an id that nobody has: {"id":…,"do":"verb". DBK_IO: the system gave no random
 * bytes. */
dbk_result dbk_cli_put_command(const dbk_cli *cli, const char *verb, dbk_buffer *request, dbk_error *err) DBK_MUST_USE;
/* One request and its parsed answer. */
typedef struct dbk_cli_answer {
    dbk_text text;
    dbk_json_parser *parser;
    const dbk_json_node *root;
} dbk_cli_answer;
dbk_result dbk_cli_ask(dbk_cli_target *target, dbk_buffer *request, dbk_cli_answer *answer,
                       dbk_error *err) DBK_MUST_USE;
void dbk_cli_answer_release(dbk_cli_answer *answer);

/* ---- changes.c: entries and changes of rows */
void dbk_out_entry(const dbk_json_node *entry);
void dbk_out_changes(const dbk_json_node *list, bool entries); /* `entries`: each with its entry before it */
/* A command that is one request: `build` appends it or says what is wrong with the words, the store is that of the
 * first word (`names_store`) or the default, `show` writes the answer (--json prints it). The exit status. */
typedef dbk_result (*dbk_cli_build_fn)(const dbk_cli *cli, dbk_buffer *request, dbk_error *err);
typedef void (*dbk_cli_show_fn)(const dbk_json_node *root);
int dbk_cli_request(const dbk_cli *cli, bool names_store, dbk_cli_need need, dbk_cli_build_fn build,
                    dbk_cli_show_fn show);

/* The same; what is refused as `schema` is built by `otherwise` (may be NULL) and asked once more. */
int dbk_cli_request_either(const dbk_cli *cli, bool names_store, dbk_cli_need need, dbk_cli_build_fn build,
                           dbk_cli_build_fn otherwise, dbk_cli_show_fn show);

/* ,"model":… of the option --model, where it is given */
void dbk_cli_put_model(const dbk_cli *cli, dbk_buffer *request);

/* ---- moment.c: a position or an RFC 3339 time; `option` is named in what is said of it. DBK_USAGE. */
/* A time alone, after 1970 began. */
dbk_result dbk_cli_time(const char *text, const char *option, int64_t *time_ms, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_cli_moment(const char *at, const char *option, const char *order_time, dbk_moment *out,
                          dbk_error *err) DBK_MUST_USE;
dbk_result dbk_cli_position(const char *text, const char *option, uint64_t *out, dbk_error *err) DBK_MUST_USE;

/* ---- wait.c: signals and service manager */
void dbk_signals_as_errors(void);
void dbk_signals_hold(void);                /* SIGTERM, SIGINT, SIGHUP wait for the calls below */
void dbk_signals_wait(void);                /* until one comes */
bool dbk_signals_came(uint32_t wait_ms);    /* one came within that time */
void dbk_signals_raise(void);               /* as if one had come: from another thread */
void dbk_service_notify(const char *state); /* "READY=1" to $NOTIFY_SOCKET, if set */

#endif
