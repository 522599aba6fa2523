/* How much a statement unfolds to: SQLite copies a view or a WITH table for every mention, so
 * twenty of them that each name the one before twice are a million SELECTs. Counted by names,
 * before preparing. */
#include <strings.h>

#include "projector/definition/internal.h"

enum { BODIES_MAX = 400, NESTING_MAX = 64 };

typedef struct body { /* the SQL behind a name */
    const char *name;
    const dbk_sql *sql;
    uint32_t begin, end;
    uint64_t cost; /* 0: not counted yet */
    bool open;     /* being counted: a mention of itself adds nothing */
} body;

typedef struct dbk_bodies {
    dbk_check *check;
    body items[BODIES_MAX];
    size_t views; /* the first ones: of views and of the WITH tables inside them, counted once */
    size_t count;
    bool too_many;
} bodies;

static void add_body(bodies *b, const char *name, const dbk_sql *sql, uint32_t begin, uint32_t end)
{
    if (b->count == BODIES_MAX) b->too_many = true;
    else if (name) b->items[b->count++] = (body){name, sql, begin, end, 0, false};
}

static bool is_mention(const dbk_sql *sql, uint32_t at, const char *name)
{
    return dbk_sql_named(sql, at, name) && !dbk_sql_is(sql, at + 1, ".");
}

static uint64_t cost_of(bodies *b, const dbk_sql *sql, uint32_t begin, uint32_t end, int depth);

static uint64_t cost_of_body(bodies *b, body *item, int depth)
{
    if (item->cost) return item->cost;
    if (item->open) return 0;
    if (depth > NESTING_MAX) return DBK_UNFOLD_MAX + 1;
    item->open = true;
    item->cost = cost_of(b, item->sql, item->begin, item->end, depth + 1);
    item->open = false;
    return item->cost;
}

static uint64_t cost_of(bodies *b, const dbk_sql *sql, uint32_t begin, uint32_t end, int depth)
{
    uint64_t cost = 1;

    for (uint32_t at = begin; at < end && cost <= DBK_UNFOLD_MAX; at++) {
        if (sql->tokens[at].kind != DBK_TOKEN_WORD && sql->tokens[at].kind != DBK_TOKEN_QUOTED) continue;
        for (size_t i = 0; i < b->count && cost <= DBK_UNFOLD_MAX; i++)
            if (is_mention(sql, at, b->items[i].name)) cost += cost_of_body(b, &b->items[i], depth);
    }
    return cost;
}

/* name [(columns)] AS [NOT] [MATERIALIZED] ( body ): `at` is the bracket of the body. */
static uint32_t name_before(const dbk_sql *sql, uint32_t at)
{
    if (at > 0 && dbk_sql_is(sql, at - 1, "materialized")) at--;
    if (at > 0 && dbk_sql_is(sql, at - 1, "not")) at--;
    if (at < 2 || !dbk_sql_is(sql, at - 1, "as")) return sql->count;
    at -= 2;
    if (dbk_sql_is(sql, at, ")")) {
        while (at > 0 && !dbk_sql_is(sql, at, "(")) at--;
        if (at > 0) at--;
    }
    return at;
}

static void collect(bodies *b, const dbk_sql *sql)
{
    for (uint32_t at = 2; at + 1 < sql->count && !b->too_many; at++) {
        if (!dbk_sql_is(sql, at, "(")) continue;
        uint32_t name = name_before(sql, at);
        if (name < sql->count) add_body(b, dbk_sql_name(b->check->arena, sql, name), sql, at, dbk_sql_skip(sql, at));
    }
}

static bodies *views_of(dbk_check *check)
{
    bodies *b = dbk_check_take(check, 1, sizeof(*b));

    if (!b) return NULL;
    b->check = check;
    for (const dbk_object *o = check->objects; o; o = o->next) {
        if (o->kind != DBK_OBJECT_VIEW || !o->body_token) continue;
        add_body(b, o->name, o->sql, o->body_token, o->sql->count);
        collect(b, o->sql);
    }
    if (b->too_many)
        dbk_report_error(check->report, (dbk_span){NULL, 0, 0}, "fewer views",
                         "more than %d views and WITH tables in a schema", BODIES_MAX);
    b->views = b->count;
    for (size_t i = 0; i < b->views; i++) (void)cost_of_body(b, &b->items[i], 0);
    return b;
}

bool dbk_check_unfold(dbk_check *check, const dbk_sql *sql)
{
    bodies *b = check->bodies ? check->bodies : (check->bodies = views_of(check));

    if (!b) return false;
    if (b->too_many) return false; /* said when the views were counted */
    b->count = b->views;
    collect(b, sql);
    bool too_many = b->too_many;
    b->too_many = false; /* of this statement alone */
    uint64_t cost = too_many ? DBK_UNFOLD_MAX + 1 : cost_of(b, sql, 0, sql->count, 0);
    check->unfolded += cost;
    if (cost <= DBK_UNFOLD_MAX && check->unfolded <= DBK_UNFOLD_ALL_MAX) return true;
    dbk_report_error(check->report, dbk_sql_span(sql, 0), "a table that a projection keeps, or fewer mentions",
                     cost > DBK_UNFOLD_MAX ? "views and WITH tables unfold to more than %d SELECTs"
                                           : "the definition unfolds to more than %d SELECTs",
                     cost > DBK_UNFOLD_MAX ? DBK_UNFOLD_MAX : DBK_UNFOLD_ALL_MAX);
    return false;
}
