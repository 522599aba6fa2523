/* Internal to row_command*.c: a command of commands.sql being carried out. */
#ifndef DBK_PROJECTOR_ROW_COMMAND_H
#define DBK_PROJECTOR_ROW_COMMAND_H

#include "projector/rows/internal.h"

/* Where a parameter of a statement gets its value. */
typedef enum dbk_bound_kind { DBK_BOUND_VALUE, DBK_BOUND_TIME, DBK_BOUND_ACTOR, DBK_BOUND_KEY } dbk_bound_kind;
typedef struct dbk_bound {
    dbk_bound_kind kind;
    uint16_t value; /* VALUE: an argument, or behind the arguments what a let bound */
} dbk_bound;

typedef struct dbk_command_statement {
    sqlite3_stmt *statement; /* NULL: not prepared yet */
    dbk_bound *bounds;
    int bound_count;
} dbk_command_statement;

/* One command as a model knows it; filled when it is first used. */
typedef struct dbk_command_kept {
    const dbk_app_command *command;
    dbk_command_statement *statements; /* of the steps, and of the return behind them */
    sqlite3_value **defaults;          /* by argument, NULL: none */
    const char **lets;                 /* names in order, as the steps bind them */
    uint16_t let_count;
} dbk_command_kept;

struct dbk_commands {
    dbk_command_kept *items; /* as in the definition */
    dbk_json_parser *parser; /* rows on their way into put, patch, delete, append */
    dbk_buffer rows;
    dbk_buffer scratch;
    sqlite3_stmt *echo; /* SELECT ?1: makes values of arguments */
    uint64_t steps;     /* thousands of SQLite's instructions that the command in work took */
    bool no_memory;     /* its last step met the bound */
};

/* A run of one command. */
typedef struct dbk_command_run {
    dbk_model *model;
    dbk_draft *draft;
    dbk_command_kept *kept;
    sqlite3_value **values; /* arguments, then lets; owned */
    bool has_key;           /* a put of this run made draft->key */
    char time[DBK_TIME_TEXT_SIZE];
} dbk_command_run;

/* rows/command_values.c */
/* Checks names and types of the arguments and fills run->values with them. */
dbk_result dbk_command_take_arguments(dbk_command_run *run, const dbk_json_node *args, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_command_bind(dbk_command_run *run, dbk_command_statement *statement, dbk_error *err) DBK_MUST_USE;
/* The row on which the statement stands, as the members of a command: {"key":…,"data":{…},"expect":…}. */
dbk_result dbk_command_put_row(dbk_model *model, const dbk_command_step *step, sqlite3_stmt *statement, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
/* The row as an object by its column names and declared types. */
void dbk_command_put_result(sqlite3_stmt *statement, dbk_buffer *out);
/* The text of a step with its values in it. */
void dbk_command_put_text(const dbk_command_run *run, const char *text, dbk_buffer *out);

#endif
