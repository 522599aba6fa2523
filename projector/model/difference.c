/* The rows that differ between two models of one definition, noted as dirty in the first or told: both tables
 * are read in order of the key and walked together, which needs no memory for either. */
#include "projector/model/journal.h"

typedef struct dbk_side {
    dbk_model *model;
    sqlite3_stmt *rows;
    bool has_row;
    dbk_buffer key;
    dbk_hash128 hash;
} dbk_side;

typedef struct dbk_walk {
    const dbk_table *table;
    dbk_hash128 prefix;
    dbk_buffer scratch;
    dbk_side mine, other;
    dbk_differs_fn each; /* NULL: rows are noted as dirty in `mine` */
    void *arg;
    dbk_buffer before, after;
} dbk_walk;

static dbk_result step(dbk_walk *walk, dbk_side *side, dbk_error *err)
{
    int rc = sqlite3_step(side->rows);

    side->has_row = rc == SQLITE_ROW;
    if (rc == SQLITE_DONE) return DBK_OK;
    if (rc != SQLITE_ROW) return dbk_model_sql_failure(side->model, rc, "compare the rows", err);
    dbk_buffer_clear(&side->key);
    bool is_key = dbk_key_from_row(walk->table, dbk_statement_column, side->rows, &side->key);
    side->hash = dbk_row_hash_with(&walk->scratch, walk->prefix, walk->table, dbk_statement_column, side->rows);
    if (side->key.failed || walk->scratch.failed)
        return dbk_fail(err, DBK_NO_MEMORY, "cannot compare the rows: out of memory");
    return is_key ? DBK_OK : dbk_fail(err, DBK_CORRUPT, "a row of '%s' has no key", walk->table->name);
}

static int compare_bytes(sqlite3_value *a, sqlite3_value *b)
{
    const void *left = sqlite3_value_blob(a), *right = sqlite3_value_blob(b);
    return dbk_slice_compare(dbk_slice_of(left, left ? (size_t)sqlite3_value_bytes(a) : 0),
                             dbk_slice_of(right, right ? (size_t)sqlite3_value_bytes(b) : 0));
}

static int compare_integer_real(int64_t integer, double real)
{
    if (real < -9223372036854775808.0) return 1;
    if (real >= 9223372036854775808.0) return -1;
    int64_t whole = (int64_t)real;
    if (integer != whole) return integer < whole ? -1 : 1;
    double back = (double)whole;
    return (back > real) - (back < real);
}

static int compare_numbers(sqlite3_value *a, sqlite3_value *b)
{
    bool left = sqlite3_value_type(a) == SQLITE_INTEGER, right = sqlite3_value_type(b) == SQLITE_INTEGER;
    int64_t i = sqlite3_value_int64(a), j = sqlite3_value_int64(b);
    double x = sqlite3_value_double(a), y = sqlite3_value_double(b);

    if (left && right) return (i > j) - (i < j);
    if (left) return compare_integer_real(i, y);
    if (right) return -compare_integer_real(j, x);
    return (x > y) - (x < y);
}

/* The order in which SQLite sorts: NULL, numbers, texts, blobs. Keys compare as BINARY (app-format.md). */
static int compare_values(sqlite3_value *a, sqlite3_value *b)
{
    static const int ranks[] = {
        [SQLITE_INTEGER] = 1, [SQLITE_FLOAT] = 1, [SQLITE_TEXT] = 2, [SQLITE_BLOB] = 3, [SQLITE_NULL] = 0};
    int left = ranks[sqlite3_value_type(a)], right = ranks[sqlite3_value_type(b)];

    if (left != right) return left < right ? -1 : 1;
    if (left == 0) return 0;
    return left == 1 ? compare_numbers(a, b) : compare_bytes(a, b);
}

static int compare_sides(const dbk_walk *walk)
{
    int order = 0;

    if (!walk->mine.has_row) return 1;
    if (!walk->other.has_row) return -1;
    for (uint16_t i = 0; order == 0 && i < walk->table->key_count; i++) {
        int column = walk->table->key_columns[i];
        order = compare_values(sqlite3_column_value(walk->mine.rows, column),
                               sqlite3_column_value(walk->other.rows, column));
    }
    return order;
}

static dbk_result note(dbk_walk *walk, const dbk_side *side, bool existed, dbk_error *err)
{
    return dbk_observer_add(walk->mine.model->observer, walk->table, dbk_buffer_slice(&side->key), existed, err);
}

/* `mine` is what was before. */
static dbk_result tell(dbk_walk *walk, int order, dbk_error *err)
{
    const dbk_side *side = order <= 0 ? &walk->mine : &walk->other;
    dbk_buffer_clear(&walk->before);
    dbk_buffer_clear(&walk->after);
    if (order <= 0) dbk_row_put_json(walk->table, walk->mine.rows, &walk->before);
    if (order >= 0) dbk_row_put_json(walk->table, walk->other.rows, &walk->after);
    if (walk->before.failed || walk->after.failed)
        return dbk_fail(err, DBK_NO_MEMORY, "cannot compare the rows: out of memory");
    return walk->each(walk->arg, walk->table, dbk_buffer_slice(&side->key), dbk_buffer_slice(&walk->before),
                      dbk_buffer_slice(&walk->after), err);
}

static dbk_result differs(dbk_walk *walk, int order, dbk_error *err)
{
    dbk_result result = DBK_OK;
    if (walk->each) return tell(walk, order, err);
    if (order <= 0) result = note(walk, &walk->mine, order == 0, err);
    /* 2 and 2.0 are one key to SQLite and two in stream names: both rows are told then */
    if (result == DBK_OK && order >= 0) result = note(walk, &walk->other, true, err);
    return result;
}

static dbk_result walk_rows(dbk_walk *walk, dbk_error *err)
{
    dbk_result result = step(walk, &walk->mine, err);

    if (result == DBK_OK) result = step(walk, &walk->other, err);
    while (result == DBK_OK && (walk->mine.has_row || walk->other.has_row)) {
        int order = compare_sides(walk);
        bool same = order == 0 && memcmp(&walk->mine.hash, &walk->other.hash, sizeof walk->mine.hash) == 0;
        if (!same) result = differs(walk, order, err);
        if (result == DBK_OK && order <= 0) result = step(walk, &walk->mine, err);
        if (result == DBK_OK && order >= 0) result = step(walk, &walk->other, err);
    }
    return result;
}

static dbk_result compare_table(dbk_model *mine, dbk_model *other, const dbk_table *table, dbk_differs_fn each,
                                void *arg, dbk_error *err)
{
    dbk_walk walk = {.table = table, .mine.model = mine, .other.model = other, .each = each, .arg = arg};

    dbk_buffer_init(&walk.before, mine->port);
    dbk_buffer_init(&walk.after, mine->port);
    dbk_buffer_init(&walk.scratch, mine->port);
    dbk_buffer_init(&walk.mine.key, mine->port);
    dbk_buffer_init(&walk.other.key, mine->port);
    walk.prefix = dbk_row_hash_prefix(&walk.scratch, table);
    dbk_result result = dbk_select_all(mine, table, true, &walk.mine.rows, err);
    if (result == DBK_OK) result = dbk_select_all(other, table, true, &walk.other.rows, err);
    if (result == DBK_OK) result = walk_rows(&walk, err);
    sqlite3_finalize(walk.mine.rows);
    sqlite3_finalize(walk.other.rows);
    dbk_buffer_release(&walk.before);
    dbk_buffer_release(&walk.after);
    dbk_buffer_release(&walk.scratch);
    dbk_buffer_release(&walk.mine.key);
    dbk_buffer_release(&walk.other.key);
    return result;
}

/* Both name tables in the same order: the definition is the same, though each may have its own copy. */
dbk_result dbk_model_difference(dbk_model *mine, dbk_model *other, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < mine->definition->table_count; i++) {
        result = compare_table(mine, other, &mine->definition->tables[i], NULL, NULL, err);
    }
    return result;
}

dbk_result dbk_model_compare(dbk_model *before, dbk_model *after, dbk_differs_fn each, void *arg, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < before->definition->table_count; i++) {
        result = compare_table(before, after, &before->definition->tables[i], each, arg, err);
    }
    return result;
}
