/* tables.<t>.states: which value of a column may follow which. tables.<t>.sync: how changes of two
 * devices meet (semantics.md §4). */
#include "projector/definition/app.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

/* ---- states */

/* The state named in a list; null is "no value". */
static bool read_state(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char **out)
{
    *out = NULL;
    return value->kind == DBK_JSON_NULL || dbk_app_text(a, value, path, out);
}

enum { MOVES_FOLLOWED = 128 };

static bool same_state(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static bool can_be(const dbk_machine *machine, const char *state)
{
    for (size_t i = 0; i < machine->start_count; i++)
        if (same_state(machine->start[i], state)) return true;
    for (size_t i = 0; i < machine->move_count; i++)
        if (same_state(machine->moves[i].to, state)) return true;
    return false;
}

static void read_start(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_machine *machine = into;
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;

    if (!dbk_app_array(a, value, path)) return;
    if (value->count == 0) dbk_app_wrong(a, value, "the values a new row may have", "'%s' is empty", path);
    machine->start = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(*machine->start));
    for (uint32_t i = 0; machine->start && i < value->count; i++, item = dbk_json_next(item))
        if (read_state(a, item, path, &machine->start[machine->start_count])) machine->start_count++;
}

static size_t count_moves(const dbk_json_node *moves)
{
    const dbk_json_node *child = dbk_json_child(moves);
    size_t count = 0;

    for (uint32_t i = 0; i < moves->count; i++, child = dbk_json_next(child)) count += child->count;
    return count;
}

/* The member `null` is the row without a value. */
static void read_moves_of(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_machine *machine)
{
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;
    bool null = dbk_slice_equal(value->name, dbk_slice_text("null"));
    const char *from = null ? NULL : dbk_check_text(a->check, value->name);

    if (!dbk_app_array(a, value, path)) return;
    for (uint32_t i = 0; i < value->count; i++, item = dbk_json_next(item)) {
        dbk_state_move *move = &machine->moves[machine->move_count];
        move->from = from;
        if (read_state(a, item, path, &move->to)) machine->move_count++;
    }
}

static void read_moves(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_machine *machine = into;
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    if (!dbk_app_object(a, value, path)) return;
    machine->moves = dbk_check_take(a->check, count_moves(value) + 1, sizeof(*machine->moves));
    for (uint32_t i = 0; machine->moves && i < value->count; i++, child = dbk_json_next(child))
        read_moves_of(a, child, dbk_app_path(a, path, child->name), machine);
}

/* Whether a chain of moves leads there from a start: `come` marks the moves that a row can make. Small machines only. */
static bool is_led_to(const dbk_machine *machine, const char *state)
{
    bool come[MOVES_FOLLOWED] = {false}, more = true;

    if (machine->move_count > MOVES_FOLLOWED) return true;
    for (size_t i = 0; i < machine->start_count; i++)
        if (same_state(machine->start[i], state)) return true;
    while (more) {
        more = false;
        for (size_t i = 0; i < machine->move_count; i++) {
            const dbk_state_move *move = &machine->moves[i];
            bool from = false;
            for (size_t k = 0; k < machine->start_count; k++) from |= same_state(machine->start[k], move->from);
            for (size_t k = 0; k < machine->move_count; k++)
                from |= come[k] && same_state(machine->moves[k].to, move->from);
            if (come[i] || !from) continue;
            come[i] = more = true;
            if (same_state(move->to, state)) return true;
        }
    }
    return false;
}

/* A put that does not name the column begins with its DEFAULT. */
static void check_default(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_machine *machine,
                          const dbk_column *column)
{
    const char *text = column->default_sql;
    size_t size = text ? strlen(text) : 0;

    if (size < 2 || text[0] != '\'' || memchr(text + 1, '\'', size - 2) || machine->start_count == 0) return;
    for (size_t i = 0; i < machine->start_count; i++)
        if (machine->start[i] && dbk_slice_equal(dbk_slice_text(machine->start[i]), dbk_slice_of(text + 1, size - 2)))
            return;
    dbk_app_doubt_name(a, value, "a start that is the column's DEFAULT",
                       "'%s': a put that does not name it begins with %s, which is no start, and is refused", path,
                       text);
}

static void check_reached(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_machine *machine)
{
    const dbk_json_node *moves = value->kind == DBK_JSON_OBJECT ? dbk_json_member(value, "moves") : NULL;
    const dbk_json_node *child = moves && moves->kind == DBK_JSON_OBJECT ? dbk_json_child(moves) : NULL;

    if (!moves || moves->kind != DBK_JSON_OBJECT || !machine->start) return;
    for (uint32_t i = 0; i < moves->count; i++, child = dbk_json_next(child)) {
        bool null = dbk_slice_equal(child->name, dbk_slice_text("null"));
        const char *from = null ? NULL : dbk_check_text(a->check, child->name);
        if (!can_be(machine, from))
            dbk_app_wrong_name(a, child, "a state of 'start', or one that another moves to",
                               "'%s': no row comes to '%.*s'", path, DBK_SLICE_ARG(child->name));
        else if (!is_led_to(machine, from))
            dbk_app_doubt_name(a, child, "a move that leads there from a state of 'start'",
                               "'%s': no row comes to '%.*s': what moves to it is not come to either", path,
                               DBK_SLICE_ARG(child->name));
    }
}

static void read_machine(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_machine *machine)
{
    static const dbk_app_key keys[] = {{"start", read_start}, {"moves", read_moves}};

    dbk_app_members(a, value, path, keys, COUNT_OF(keys), machine);
    if (value->kind != DBK_JSON_OBJECT) return;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!dbk_json_member(value, keys[i].name))
            dbk_app_wrong(a, value, "{\"start\": [\"new\"], \"moves\": {\"new\": [\"done\"]}}", "'%s.%s' is missing",
                          path, keys[i].name);
    check_reached(a, value, path, machine);
}

void dbk_app_read_states(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    if (!dbk_app_object(a, value, path)) return;
    t->rules->machines = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(dbk_machine));
    for (uint32_t i = 0; t->rules->machines && i < value->count; i++, child = dbk_json_next(child)) {
        const char *inner = dbk_app_path(a, path, child->name);
        int column = dbk_app_column_named(a, child, path, t->table);
        if (column < 0) continue;
        if (t->table->columns[column].type != DBK_TYPE_TEXT || t->table->columns[column].key_part) {
            dbk_app_wrong_name(a, child, "a TEXT column outside the key", "'%s' is not such a column", inner);
            continue;
        }
        dbk_machine *machine = &t->rules->machines[t->rules->machine_count++];
        machine->column = (uint16_t)column;
        read_machine(a, child, inner, machine);
        check_default(a, child, inner, machine, &t->table->columns[column]);
    }
}

/* ---- sync */

/* Names of the format, with what a later version brings behind what there is. */
static const char *const field_names[] = {"lww",  "first", "max",   "min",          "counter",
                                          "set",  "fww",   "guard", "set.add_wins", "set.remove_wins",
                                          "list", "mv",    "text3", "fsm"};
enum { FIELD_FWW = 6, FIELD_GUARD, FIELD_LATER };

static bool field_fits(const dbk_column *column, dbk_field_rule rule)
{
    dbk_column_type type = column->type;

    switch (rule) {
    case DBK_FIELD_LWW:
    case DBK_FIELD_FIRST: return true;
    case DBK_FIELD_MAX:
    case DBK_FIELD_MIN: return type != DBK_TYPE_JSON && type != DBK_TYPE_BLOB;
    case DBK_FIELD_COUNTER: return type == DBK_TYPE_INTEGER || type == DBK_TYPE_REAL;
    case DBK_FIELD_SET: break;
    }
    return type == DBK_TYPE_JSON || type == DBK_TYPE_TEXT;
}

static void set_field(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_table_reading *t,
                      int column, size_t which)
{
    dbk_field_rule rule = which == FIELD_FWW ? DBK_FIELD_FIRST : (dbk_field_rule)which;

    if (t->table->columns[column].key_part)
        dbk_app_wrong_name(a, value, "a column outside the key", "'%s': a key does not change", path);
    else if (!field_fits(&t->table->columns[column], rule))
        dbk_app_wrong(a, value,
                      rule == DBK_FIELD_COUNTER ? "an INTEGER or REAL column"
                      : rule == DBK_FIELD_SET   ? "a JSON or TEXT column"
                                                : "a column of numbers, texts or times",
                      "'%s': '%s' does not fit the type of '%s'", path, field_names[which],
                      t->table->columns[column].name);
    else t->rules->fields[column] = (uint8_t)rule;
}

/* Also '*': for the columns that are not named. */
static void read_field(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_table_reading *t,
                       bool *named)
{
    bool rest = dbk_slice_equal(value->name, dbk_slice_text("*"));
    int column = rest ? -1 : dbk_app_column_named(a, value, path, t->table);
    const char *inner = dbk_app_path(a, path, value->name);
    size_t which;

    if ((!rest && column < 0) || !dbk_app_choice(a, value, inner, field_names, COUNT_OF(field_names), &which)) return;
    if (which >= FIELD_LATER) {
        dbk_app_wrong(a, value, "lww, first, max, min, counter, set or guard",
                      "'%s': the rule '%s' comes with a later version", inner, field_names[which]);
    } else if (which == FIELD_GUARD) {
        t->rules->guard = true; /* of the table: else a change of another column would hide one */
    } else if (!rest) {
        named[column] = true;
        set_field(a, value, inner, t, column, which);
    }
}

static void read_rest(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_table_reading *t,
                      const bool *named)
{
    const char *inner = dbk_app_path(a, path, value->name);

    for (size_t which = 0; which < FIELD_GUARD; which++) {
        if (!dbk_json_text_is(value, field_names[which])) continue;
        for (int i = 0; i < t->table->column_count; i++)
            if (!named[i] && !t->table->columns[i].key_part) set_field(a, value, inner, t, i, which);
    }
}

static void read_conflict(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    if (!dbk_app_object(a, value, path)) return;
    t->rules->fields = dbk_check_take(a->check, (size_t)t->table->column_count + 1, sizeof(uint8_t));
    bool *named = dbk_check_take(a->check, (size_t)t->table->column_count + 1, sizeof(*named)), any = false;
    if (!t->rules->fields || !named) return;
    for (uint32_t i = 0; i < value->count; i++, child = dbk_json_next(child)) read_field(a, child, path, t, named);
    const dbk_json_node *rest = dbk_json_member(value, "*");
    if (rest) read_rest(a, rest, path, t, named);
    for (int i = 0; i < t->table->column_count; i++) any |= t->rules->fields[i] != DBK_FIELD_LWW;
    if (!any) t->rules->fields = NULL;
}

static void read_class(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"always", "eager", "auto", "on-demand", "ask", "never", "derived"};
    size_t which;

    (void)into;
    if (dbk_app_choice(a, value, path, names, COUNT_OF(names), &which) && which > 0)
        dbk_app_wrong(a, value, "leave it out", "'%s': the class '%s' comes with a later version", path, names[which]);
}

static void read_delete(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"delete_wins", "edit_wins", "keep_tombstone"};
    dbk_table_reading *t = into;
    size_t which;

    if (!dbk_app_choice(a, value, path, names, COUNT_OF(names), &which)) return;
    t->rules->edit_wins = which == 1;
    if (which == 2)
        dbk_app_wrong(a, value, "delete_wins or edit_wins", "'%s': 'keep_tombstone' comes with a later version", path);
}

/* The first in canonical order keeps a value in any case; what comes of the second is the choice. */
static void read_unique(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"reject", "first_wins", "suffix", "suffix_loser"};
    dbk_table_reading *t = into;
    size_t which;

    if (dbk_app_choice(a, value, path, names, COUNT_OF(names), &which)) t->rules->suffix = which >= 2;
}

void dbk_app_read_sync(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const dbk_app_key keys[] = {{"class", read_class},
                                       {"conflict", read_conflict},
                                       {"delete", read_delete},
                                       {"unique", read_unique},
                                       {"ref", NULL}};

    if (value->kind == DBK_JSON_STRING) read_class(a, value, path, into);
    else dbk_app_members(a, value, path, keys, COUNT_OF(keys), into);
}
