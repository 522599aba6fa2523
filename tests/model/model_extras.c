/* What an app has beside tables, projections and commands: settings, search, rules of time, schemas, upcasts, undo of
 * its events, an async model. The oracle is told of these; it does not read their texts. */
#include "tests/model/model.h"

#include <stdio.h>

/* ---- drawn */

static bool is_one_text(const m_column *column)
{
    return column->type == O_IS_TEXT && column->rule != O_SET;
}

void m_extras_of_table(m_table *table, m_random *random)
{
    table->ttl = table->keep_per = -1;
    table->keep_by = 0;
    table->searched = 0;
    table->keep_last = m_chance(random, 4) ? 2 + (int)m_below(random, 3) : 0;
    table->old_after_minutes = table->stamps && m_chance(random, 2) ? 5 + 55 * (int)m_below(random, 2) : 0;
    table->old_most = m_chance(random, 4) ? 6 + (int)m_below(random, 5) : 0;
    for (int i = 0; i < table->column_count; i++) {
        const m_column *column = &table->columns[i];
        if (column->type == O_IS_DATETIME) table->ttl = i;
        if (is_one_text(column) && m_chance(random, 2)) table->keep_per = i;
        if (column->type == O_IS_TEXT && m_chance(random, 3)) table->searched |= 1u << i;
    }
}

static void draw_judged(m_app *app, m_random *random)
{
    app->judged = m_chance(random, 3) ? (int)m_below(random, (uint32_t)app->table_count) : -1;
    if (app->judged < 0) return;
    const m_table *table = &app->tables[app->judged];
    app->judged_most = 4 + (int)m_below(random, 6);
    app->needed = m_chance(random, 2) && table->column_count > 1 ? 1 : -1;
}

void m_extras_make(m_app *app, m_random *random)
{
    app->settings = m_chance(random, 2);
    app->setting_most = m_chance(random, 2) ? 20 : 0;
    app->undo = m_chance(random, 2);
    app->async = m_chance(random, 2) ? 1 + (int)m_below(random, 3) : 0;
    draw_judged(app, random);
}

void m_extras_change(m_app *app, m_random *random)
{
    if (app->upcast_from == 0 && m_chance(random, 2)) app->upcast_from = app->upcast_to = app->version - 1;
    else if (app->upcast_from && app->upcast_to == app->version - 2 && !m_chance(random, 3)) app->upcast_to++;
    if (m_chance(random, 4)) draw_judged(app, random);
    if (m_chance(random, 3)) app->async = (app->async + 1) % 4;
    if (m_chance(random, 4)) app->undo = !app->undo;
    if (m_chance(random, 4)) app->settings = true;
}

/* ---- app.json and the files beside it */

static void write_settings(const m_app *app, m_texts *texts)
{
    if (!app->settings) return;
    dbk_buffer_put_text(&texts->schema,
                        "CREATE TABLE s0 (id TEXT PRIMARY KEY NOT NULL, value JSON, note TEXT DEFAULT 'n');\n"
                        "CREATE TABLE s1 (scope TEXT NOT NULL, name TEXT NOT NULL, value JSON, PRIMARY KEY (scope, "
                        "name)) WITHOUT ROWID;\n");
    const char *schema = app->setting_most ? ",\"schema\":\"ui\"" : "";
    dbk_buffer_printf(&texts->app,
                      ",\"settings\":{\"ui\":{\"table\":\"s0\",\"row\":\"one\",\"defaults\":{\"size\":12,\"theme\":"
                      "\"light\"}%s},\"plugin\":{\"table\":\"s1\",\"where\":{\"scope\":\"plug\"},\"key\":\"name\"%s}}",
                      schema, schema);
    if (app->setting_most)
        dbk_buffer_printf(&texts->judge_settings, "{\"properties\":{\"size\":{\"maximum\":%d}}}", app->setting_most);
}

static void write_search(const m_app *app, dbk_buffer *out)
{
    const char *comma = ",\"search\":{";
    bool any = false;
    for (int i = 0; i < app->table_count; i++) {
        const m_table *table = &app->tables[i];
        const char *inner = "";
        if (!table->searched) continue;
        dbk_buffer_printf(out, "%s\"f%d\":{\"table\":\"%s\",\"columns\":[", comma, i, table->name);
        for (int k = 0; k < table->column_count; k++) {
            if (!(table->searched & (1u << k))) continue;
            dbk_buffer_printf(out, "%s\"%s\"", inner, table->columns[k].name);
            inner = ",";
        }
        dbk_buffer_put_text(out, "]}");
        comma = ",";
        any = true;
    }
    if (any) dbk_buffer_put_u8(out, '}');
}

static void write_times(const m_app *app, dbk_buffer *out)
{
    const char *comma = ",\"retention\":[";
    for (int i = 0; i < app->table_count; i++) {
        const m_table *table = &app->tables[i];
        if (table->keep_last) {
            dbk_buffer_printf(out, "%s{\"name\":\"tail%d\",\"table\":\"%s\",\"keep\":{\"last\":%d,\"by\":\"c%d\"",
                              comma, i, table->name, table->keep_last, table->keep_by);
            if (table->keep_per >= 0) dbk_buffer_printf(out, ",\"per\":\"c%d\"", table->keep_per);
            dbk_buffer_put_text(out, "}}");
            comma = ",";
        }
        if (table->old_after_minutes) {
            dbk_buffer_printf(out,
                              "%s{\"name\":\"old%d\",\"table\":\"%s\",\"keep\":{\"for\":\"%dm\"},\"every\":\"1m\"}",
                              comma, i, table->name, table->old_after_minutes);
            comma = ",";
        }
        if (table->old_most) {
            dbk_buffer_printf(out, "%s{\"name\":\"most%d\",\"table\":\"%s\",\"where\":\"c0 > %d\",\"every\":\"2m\"}",
                              comma, i, table->name, table->old_most);
            comma = ",";
        }
    }
    if (strcmp(comma, ",") == 0) dbk_buffer_put_u8(out, ']');
}

static void write_judge(const m_app *app, m_texts *texts)
{
    if (app->judged < 0) return;
    snprintf(texts->judged, sizeof texts->judged, "schemas/%s.json", app->tables[app->judged].name);
    dbk_buffer_printf(&texts->judge, "{\"properties\":{\"c0\":{\"maximum\":%d}}", app->judged_most);
    if (app->needed >= 0) dbk_buffer_printf(&texts->judge, ",\"required\":[\"c%d\"]", app->needed);
    dbk_buffer_put_u8(&texts->judge, '}');
}

static int grows_by(int version)
{
    return 1 + version % 2;
}

static void write_upcasts(const m_app *app, dbk_buffer *out)
{
    for (int from = app->upcast_from; from && from <= app->upcast_to; from++)
        dbk_buffer_printf(out,
                          "-- upcast job.moved %d -> %d\n"
                          "SELECT json_set(:data, '$.n', (:data->>'n') + %d);\n",
                          from, from + 1, grows_by(from));
}

static void write_undos(const m_app *app, m_texts *texts)
{
    dbk_buffer_put_slice(&texts->undos, dbk_buffer_slice(&texts->commands));
    if (!app->undo) return;
    dbk_buffer_put_text(
        &texts->undos,
        "-- undo job.started\n"
        "SELECT 'job.ended' AS type, :stream AS stream, :data AS data;\n"
        "-- undo job.ended\n"
        "SELECT 'job.started' AS type, :stream AS stream, :data AS data;\n"
        "-- undo job.moved\n"
        "SELECT 'job.moved' AS type, :stream AS stream, json_set(:data, '$.n', -(:data->>'n')) AS data;\n");
}

static void write_async(const m_app *app, m_texts *texts)
{
    if (!app->async) return;
    dbk_buffer_put_text(&texts->app, ",\"models\":{\"stats\":{\"mode\":\"async\"}}");
    dbk_buffer_printf(&texts->async_schema,
                      "CREATE TABLE q0 (job TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL CHECK (n < %d));\n"
                      "CREATE TABLE q1 (name TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL) WITHOUT ROWID;\n",
                      app->async == 3 ? 12 : 100000);
    dbk_buffer_printf(&texts->async_projections,
                      "-- on job.moved\n"
                      "INSERT INTO q0(job, n) VALUES ($id, $n) ON CONFLICT(job) DO UPDATE SET n = n + %s;\n"
                      "-- on job.swept\n-- may change nothing\nDELETE FROM q0 WHERE n > $n;\n"
                      "-- on t0.put\n"
                      "INSERT INTO q1(name, n) VALUES ('put', 1) ON CONFLICT(name) DO UPDATE SET n = n + 1;\n"
                      "-- on t0.deleted\n"
                      "INSERT INTO q1(name, n) VALUES ($id, 1) ON CONFLICT(name) DO UPDATE SET n = n + 1;\n",
                      app->async == 2 ? "1" : "$n");
}

void m_extras_write(const m_app *app, m_texts *texts)
{
    write_settings(app, texts);
    write_search(app, &texts->app);
    write_times(app, &texts->app);
    write_judge(app, texts);
    write_upcasts(app, &texts->upcasts);
    write_undos(app, texts);
    write_async(app, texts);
}

/* ---- the same for the oracle */

static void tell_settings(const m_app *app, o_definition *definition)
{
    if (!app->settings) return;
    definition->tables[o_table_of(definition, o_text("s0"))].unordered = true;
    definition->tables[o_table_of(definition, o_text("s1"))].unordered = true;
    definition->settings[definition->setting_count++] = (o_setting){.name = o_text("ui"),
                                                                    .table = o_text("s0"),
                                                                    .value = o_text("value"),
                                                                    .row = o_text("one"),
                                                                    .most = app->setting_most};
    definition->settings[definition->setting_count++] = (o_setting){.name = o_text("plugin"),
                                                                    .table = o_text("s1"),
                                                                    .value = o_text("value"),
                                                                    .scope = o_text("plug"),
                                                                    .most = app->setting_most};
}

static void tell_rule(o_definition *definition, o_time_rule rule)
{
    if (definition->time_count == O_RULES) o_die("too many rules of time");
    definition->times[definition->time_count++] = rule;
}

static o_expr *condition(const char *text)
{
    o_reader reader;
    o_read_start(&reader, text);
    return o_read_expr(&reader);
}

static void tell_times(const m_app *app, o_definition *definition)
{
    const int64_t minute_ms = 60000;
    for (int i = 0; i < app->table_count; i++) {
        const m_table *table = &app->tables[i];
        int at = o_table_of(definition, o_text(table->name)), first = definition->tables[at].key_count;
        if (table->ttl >= 0)
            tell_rule(definition, (o_time_rule){.name = o_format("ttl:%s", table->name),
                                                .table = at,
                                                .by = first + table->ttl,
                                                .every_ms = minute_ms});
        definition->tables[at].keep_last = table->keep_last;
        definition->tables[at].keep_by = first + table->keep_by;
        definition->tables[at].keep_per = table->keep_per < 0 ? -1 : first + table->keep_per;
    }
    for (int i = 0; i < app->table_count; i++) {
        const m_table *table = &app->tables[i];
        int at = o_table_of(definition, o_text(table->name));
        if (table->old_after_minutes)
            tell_rule(definition, (o_time_rule){.name = o_format("old%d", i),
                                                .table = at,
                                                .by = definition->tables[at].created,
                                                .older_ms = table->old_after_minutes * minute_ms,
                                                .every_ms = minute_ms});
        if (table->old_most)
            tell_rule(definition, (o_time_rule){.name = o_format("most%d", i),
                                                .table = at,
                                                .by = -1,
                                                .where = condition(o_format("c0 > %d", table->old_most)),
                                                .every_ms = 2 * minute_ms});
    }
}

static void tell_upcasts(const m_app *app, o_definition *definition)
{
    for (int from = app->upcast_from; from && from <= app->upcast_to; from++)
        definition->upcasts[definition->upcast_count++] =
            (o_upcast){o_text("job.moved"), o_text("n"), from, grows_by(from)};
}

static void tell_undos(const m_app *app, o_definition *definition)
{
    if (!app->undo) return;
    definition->undos[definition->undo_count++] = (o_undo_rule){o_text("job.started"), o_text("job.ended"), NULL};
    definition->undos[definition->undo_count++] = (o_undo_rule){o_text("job.ended"), o_text("job.started"), NULL};
    definition->undos[definition->undo_count++] = (o_undo_rule){o_text("job.moved"), o_text("job.moved"), o_text("n")};
}

void m_extras_tell(const m_app *app, m_texts *texts, o_definition *definition)
{
    definition->version = app->version;
    tell_settings(app, definition);
    tell_times(app, definition);
    tell_upcasts(app, definition);
    tell_undos(app, definition);
    if (app->judged >= 0) {
        o_table *table = &definition->tables[o_table_of(definition, o_text(app->tables[app->judged].name))];
        table->judged = true;
        table->judged_most = app->judged_most;
        table->judged_needs = app->needed >= 0 ? table->columns[table->key_count + app->needed].name : NULL;
    }
    if (!app->async) return;
    o_definition *async =
        o_define(dbk_buffer_text(&texts->async_schema), dbk_buffer_text(&texts->async_projections), NULL, NULL, NULL);
    async->version = app->version;
    async->whole = definition;
    tell_upcasts(app, async);
    definition->async = async;
}

/* ---- commands */

void m_put_setting(m_random *random, dbk_buffer *out)
{
    static const char *const verbs[] = {"set", "set", "set", "unset", "reset"};
    static const char *const spaces[] = {"ui", "ui", "plugin", "plugin", "plugin"};
    static const char *const paths[] = {"\"size\"",      "\"theme\"", "\"editor.size\"",      "\"editor\"",
                                        "\"size.deep\"", "\"a.b.c\"", "[\"editor\",\"x.y\"]", "\"editor.size\""};
    static const char *const values[] = {"1",
                                         "14",
                                         "25",
                                         "\"x\"",
                                         "true",
                                         "{\"size\":3}",
                                         "{\"size\":30,\"b\":{\"c\":1}}",
                                         "{\"b\":2,\"a\":1}",
                                         "{}",
                                         "[1,{\"a\":null}]",
                                         "{\"size\":null}",
                                         "null"};
    const char *verb = verbs[m_below(random, 5)];
    dbk_buffer_printf(out, "\"do\":\"%s\",\"namespace\":\"%s\"", verb,
                      m_chance(random, 40) ? "uj" : spaces[m_below(random, 5)]);
    if (m_chance(random, 40)) dbk_buffer_put_text(out, ",\"path\":\"a..b\"");
    else if (!m_chance(random, 12)) dbk_buffer_printf(out, ",\"path\":%s", paths[m_below(random, 8)]);
    if (strcmp(verb, "set") == 0) dbk_buffer_printf(out, ",\"value\":%s", values[m_below(random, 12)]);
}
