#include "tests/model/model.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t m_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint32_t m_below(m_random *random, uint32_t limit)
{
    random->state = m_mix(random->state, 7);
    return (uint32_t)((random->state >> 32) % limit);
}

enum { TEXTS = 10 };

static void list_texts(m_texts *texts, dbk_buffer *out[TEXTS])
{
    dbk_buffer *all[TEXTS] = {&texts->schema,       &texts->projections,      &texts->commands, &texts->app,
                              &texts->undos,        &texts->upcasts,          &texts->judge,    &texts->judge_settings,
                              &texts->async_schema, &texts->async_projections};
    memcpy(out, all, sizeof all);
}

void m_texts_init(m_texts *texts)
{
    dbk_buffer *all[TEXTS];
    list_texts(texts, all);
    for (int i = 0; i < TEXTS; i++) dbk_buffer_init(all[i], dbk_port_system());
    texts->judged[0] = 0;
}

void m_texts_release(m_texts *texts)
{
    dbk_buffer *all[TEXTS];
    list_texts(texts, all);
    for (int i = 0; i < TEXTS; i++) dbk_buffer_release(all[i]);
}

/* The oracle reads the commands alone, and not what stands behind them. */
int m_texts_sources(m_texts *texts, dbk_source *out)
{
    const struct {
        const char *name;
        const dbk_buffer *text;
    } all[] = {{"app.json", &texts->app},
               {"projections.sql", &texts->projections},
               {"schema.sql", &texts->schema},
               {"commands.sql", &texts->undos},
               {"upcasts.sql", &texts->upcasts},
               {texts->judged, &texts->judge},
               {"schemas/ui.json", &texts->judge_settings},
               {"stats/schema.sql", &texts->async_schema},
               {"stats/projections.sql", &texts->async_projections}};
    int count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].text->size) out[count++] = (dbk_source){all[i].name, dbk_buffer_slice(all[i].text)};
    return count;
}

/* ---- an app */

static o_rule draw_rule(m_random *random, o_type type)
{
    if (!m_chance(random, 4)) return O_LWW;
    switch (type) {
    case O_IS_INTEGER: return (o_rule)m_below(random, 5);
    case O_IS_TEXT: return m_chance(random, 2) ? O_SET : O_FIRST;
    case O_IS_REAL:
    case O_IS_DATETIME: return (o_rule)m_below(random, 4);
    default: return m_chance(random, 2) ? O_FIRST : O_LWW;
    }
}

static void draw_column(const m_app *app, m_table *table, m_random *random, o_type type)
{
    m_column *column = &table->columns[table->column_count];
    *column = (m_column){.type = type, .parent = -1};
    snprintf(column->name, sizeof column->name, "c%d", table->column_count++);
    column->rule = draw_rule(random, type);
    if (column->rule == O_SET) return;
    if (type == O_IS_TEXT && m_chance(random, 3)) {
        column->rule = O_LWW;
        int self = (int)(table - app->tables), tables = self < app->table_count ? app->table_count : self + 1;
        column->parent = (int)m_below(random, (uint32_t)tables);
        if (app->tables[column->parent].key != M_KEY_TEXT) column->parent = 0;
        column->action = (o_action)m_below(random, 3);
        column->deferred = m_chance(random, 3);
        column->not_null = column->action != O_SET_NULL && m_chance(random, 3);
        return;
    }
    column->start = m_chance(random, 2) ? 1 + (int)m_below(random, 2) : 0;
    column->not_null = column->start && m_chance(random, 3);
    column->check = m_chance(random, 3) ? 1 + (int)m_below(random, 2) : 0;
    column->unique = type == O_IS_TEXT && column->rule == O_LWW && m_chance(random, 3);
    if (column->unique) column->start = 0, column->not_null = false;
}

static void draw_table(m_app *app, m_random *random)
{
    int number = app->table_count;
    m_table *table = &app->tables[number];
    *table = (m_table){.key = number == 0 || !m_chance(random, 2) ? M_KEY_TEXT : (m_key)m_below(random, 3)};
    snprintf(table->name, sizeof table->name, "t%d", number);
    /* The commands of the app are written for the first two columns of t0. */
    draw_column(app, table, random, O_IS_INTEGER);
    if (number == 0) table->columns[0].rule = O_LWW;
    for (int i = (int)m_below(random, 4); i >= 0; i--) draw_column(app, table, random, (o_type)m_below(random, 6));
    table->without_rowid = m_chance(random, 3);
    table->guard = m_chance(random, 5);
    table->edit_wins = m_chance(random, 4);
    table->counted = m_chance(random, 5);
    table->stamps = m_chance(random, 4);
    int uniques = 0;
    for (int i = 0; i < table->column_count; i++) uniques += table->columns[i].unique;
    for (int i = 1; i < table->column_count; i++) {
        const m_column *column = &table->columns[i];
        bool plain = column->type == O_IS_TEXT && column->rule == O_LWW && column->parent < 0 && !column->unique;
        if (plain && m_chance(random, 2)) table->states = i;
    }
    table->suffix = uniques == 1 && m_chance(random, 2);
    m_extras_of_table(table, random);
    app->table_count++;
}

void m_app_make(m_app *app, m_random *random)
{
    *app = (m_app){.version = 1, .commands = m_chance(random, 2), .progress = (int)m_below(random, 3)};
    for (int i = (int)m_below(random, 4); i >= 0; i--) draw_table(app, random);
    m_extras_make(app, random);
}

void m_app_change(m_app *app, m_random *random)
{
    m_table *table = &app->tables[m_below(random, (uint32_t)app->table_count)];
    m_column *column = &table->columns[m_below(random, (uint32_t)table->column_count)];
    app->version++;
    m_extras_change(app, random);
    switch (m_below(random, 6)) {
    case 0:
        if (app->table_count < M_TABLES) draw_table(app, random);
        break;
    case 1:
        if (table->column_count < M_COLUMNS) draw_column(app, table, random, (o_type)m_below(random, 6));
        column = &table->columns[table->column_count - 1];
        column->unique = column->not_null = false;
        break;
    case 2: column->check = column->parent < 0 && column->rule != O_SET ? (column->check + 1) % 3 : 0; break;
    case 3: table->edit_wins = !table->edit_wins; break;
    case 4: m_extras_of_table(table, random); break;
    default: app->progress = (app->progress + 1) % 3;
    }
}

/* ---- its texts */

static const char *type_name(o_type type)
{
    static const char *const names[] = {"TEXT", "INTEGER", "REAL", "BOOLEAN", "DATETIME", "JSON"};
    return names[type];
}

static const char *start_text(const m_column *column)
{
    static const char *const texts[6][2] = {
        {"'a'", "'it''s'"}, {"0", "3"}, {"0.5", "-2.0"}, {"0", "1"}, {"CURRENT_TIMESTAMP", "'2020-01-02 03:04:05'"},
        {"'[]'", "'1'"}};
    return texts[column->type][column->start - 1];
}

static void write_check(const m_column *column, dbk_buffer *out)
{
    static const char *const texts[6][2] = {{"length(%s) < 5", "%s <> 'bad'"},
                                            {"%s >= 0", "%s < 20 AND %s <> 7"},
                                            {"%s >= 0", "%s < 8.5"},
                                            {"%s IN (0, 1)", "%s >= 0"},
                                            {"%s >= '2000-01-01'", "%s < '2030-01-01'"},
                                            {"%s IS NULL OR length(%s) < 9", "%s <> 'true'"}};
    dbk_buffer_put_text(out, " CHECK (");
    for (const char *at = texts[column->type][column->check - 1]; *at; at++) {
        if (*at == '%') dbk_buffer_put_text(out, column->name), at++;
        else dbk_buffer_put_u8(out, (uint8_t)*at);
    }
    dbk_buffer_put_u8(out, ')');
}

static void write_column(const m_app *app, const m_column *column, dbk_buffer *out)
{
    dbk_buffer_printf(out, ",\n  %s %s", column->name, type_name(column->type));
    if (column->not_null) dbk_buffer_put_text(out, " NOT NULL");
    if (column->unique) dbk_buffer_put_text(out, " UNIQUE");
    if (column->start) dbk_buffer_printf(out, " DEFAULT %s", start_text(column));
    if (column->check) write_check(column, out);
    if (column->parent < 0) return;
    static const char *const actions[] = {"", " ON DELETE CASCADE", " ON DELETE SET NULL"};
    dbk_buffer_printf(out, " REFERENCES %s(id)%s%s", app->tables[column->parent].name, actions[column->action],
                      column->deferred ? " DEFERRABLE INITIALLY DEFERRED" : "");
}

static void write_table(const m_app *app, const m_table *table, dbk_buffer *out)
{
    dbk_buffer_printf(out, "CREATE TABLE %s (", table->name);
    if (table->key == M_KEY_PAIR) dbk_buffer_put_text(out, "a TEXT NOT NULL, b INTEGER NOT NULL");
    else dbk_buffer_printf(out, "id %s PRIMARY KEY NOT NULL", table->key == M_KEY_TEXT ? "TEXT" : "INTEGER");
    for (int i = 0; i < table->column_count; i++) write_column(app, &table->columns[i], out);
    if (table->stamps) dbk_buffer_put_text(out, ",\n  made DATETIME, changed DATETIME");
    if (table->key == M_KEY_PAIR) dbk_buffer_put_text(out, ",\n  PRIMARY KEY (a, b)");
    dbk_buffer_printf(out, ")%s;\n", table->without_rowid ? " WITHOUT ROWID" : "");
    if (table->column_count > 1) dbk_buffer_printf(out, "CREATE INDEX %s_by ON %s(c1);\n", table->name, table->name);
}

static void write_projections(const m_app *app, m_texts *texts)
{
    static const char *const moved[] = {"UPDATE p0 SET n = $n, note = $note WHERE job = $id;\n",
                                        "UPDATE p0 SET n = n + $n, at = CURRENT_TIMESTAMP WHERE job = $id;\n",
                                        "UPDATE p0 SET n = $n WHERE job = $id AND n < $n;\n"};
    dbk_buffer_put_text(
        &texts->schema,
        "CREATE TABLE p0 (job TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL CHECK (n <= 12), note TEXT UNIQUE,\n"
        "  at DATETIME);\n"
        "CREATE TABLE p1 (name TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL) WITHOUT ROWID;\n");
    dbk_buffer_printf(&texts->projections,
                      "-- on job.started\nINSERT INTO p0(job, n, at) VALUES ($id, 0, :time);\n"
                      "-- on job.moved\n%s"
                      "-- on job.ended\nDELETE FROM p0 WHERE job = $id;\n"
                      "-- on job.swept\n-- may change nothing\nDELETE FROM p0 WHERE n > $n;\n"
                      "INSERT INTO p1(name, n) VALUES ('swept', 1) ON CONFLICT(name) DO UPDATE SET n = n + 1;\n",
                      moved[app->progress]);
    for (int i = 0; i < app->table_count; i++) {
        if (!app->tables[i].counted) continue;
        const char *name = app->tables[i].name;
        dbk_buffer_printf(&texts->projections,
                          "-- on %s.put\n"
                          "INSERT INTO p1(name, n) VALUES ('%s', 1) ON CONFLICT(name) DO UPDATE SET n = n + 1;\n"
                          "-- on %s.deleted\n-- may change nothing\nUPDATE p1 SET n = n - 1 WHERE name = '%s';\n",
                          name, name, name, name);
        if (app->tables[i].key != M_KEY_TEXT) continue;
        dbk_buffer_printf(&texts->projections,
                          "-- on %s.patched\n"
                          "INSERT INTO p1(name, n) VALUES ($id, 1) ON CONFLICT(name) DO UPDATE SET n = n + 1;\n"
                          "-- on %s.deleted\n"
                          "INSERT INTO p1(name, n) VALUES ($id, 9) ON CONFLICT(name) DO UPDATE SET n = n + 9;\n",
                          name, name);
    }
}

static void write_commands(dbk_buffer *out)
{
    dbk_buffer_put_text(out,
                        "-- command many.make(id TEXT, least INTEGER = 0)\n"
                        "-- let many\nSELECT count(*) + :least FROM t0;\n"
                        "-- require 'there is no room'\nSELECT 1 WHERE :many < 9;\n"
                        "-- put t0\nSELECT :id AS id, :many AS c0;\n"
                        "-- command all.sweep(most INTEGER)\n"
                        "-- else ok\n-- delete t0\nSELECT id FROM t0 WHERE c0 > :most ORDER BY id;\n"
                        "-- command one.raise(id TEXT, by INTEGER?)\n"
                        "-- else 'there is none'\n"
                        "-- patch t0\nSELECT id, coalesce(c0, 0) + coalesce(:by, 1) AS c0 FROM t0 WHERE id = :id;\n"
                        "-- command all.raise()\n"
                        "-- patch t0\nSELECT id, c0 + 1 AS c0 FROM t0 WHERE c0 IS NOT NULL ORDER BY id;\n"
                        "-- let most\nSELECT max(c0) FROM t0;\n"
                        "-- put t0\nSELECT 'most' AS id, :most AS c0;\n");
}

static void write_rules(const m_table *table, dbk_buffer *out)
{
    static const char *const names[] = {"lww", "first", "max", "min", "counter", "set"};
    const char *comma = "";
    dbk_buffer_printf(out, "\"%s\":{", table->name);
    if (table->stamps) dbk_buffer_put_text(out, "\"stamps\":{\"created\":\"made\",\"updated\":\"changed\"},");
    if (table->ttl >= 0) dbk_buffer_printf(out, "\"ttl\":\"%s\",", table->columns[table->ttl].name);
    if (table->states)
        dbk_buffer_printf(
            out,
            "\"states\":{\"%s\":{\"start\":[\"a\",\"b\"],\"moves\":{\"a\":[\"b\",\"x~2\"],\"b\":[\"it's\"],"
            "\"it's\":[\"a\"]}}},",
            table->columns[table->states].name);
    dbk_buffer_put_text(out, "\"sync\":{\"conflict\":{");
    for (int i = 0; i < table->column_count; i++) {
        if (table->columns[i].rule == O_LWW) continue;
        dbk_buffer_printf(out, "%s\"%s\":\"%s\"", comma, table->columns[i].name, names[table->columns[i].rule]);
        comma = ",";
    }
    if (table->guard) dbk_buffer_printf(out, "%s\"*\":\"guard\"", comma);
    dbk_buffer_printf(out, "},\"delete\":\"%s\",\"unique\":\"%s\"}}", table->edit_wins ? "edit_wins" : "delete_wins",
                      table->suffix ? "suffix" : "reject");
}

void m_app_write(const m_app *app, m_texts *texts)
{
    dbk_buffer_printf(&texts->app, "{\"daybook\":1,\"name\":\"app\",\"version\":%d,\"tables\":{", app->version);
    for (int i = 0; i < app->table_count; i++) {
        write_table(app, &app->tables[i], &texts->schema);
        if (i) dbk_buffer_put_u8(&texts->app, ',');
        write_rules(&app->tables[i], &texts->app);
    }
    dbk_buffer_put_u8(&texts->app, '}');
    write_projections(app, texts);
    if (app->commands) write_commands(&texts->commands);
    m_extras_write(app, texts);
    dbk_buffer_put_u8(&texts->app, '}');
}
