/* retention[].archive: where a rule of time keeps the rows that it ends.
 *
 * A path below the folder files/ of the store, with {rule} and {table}, which are filled in here, and {year}, {month},
 * {day} and {date} of the sweep, which are not. Its ending says the form. */
#include "projector/definition/app.h"

#include <stdio.h>
#include <string.h>

typedef struct piece {
    const char *name;
    const char *sample; /* as long as what a sweep puts there; NULL: known here */
} piece;
static const piece pieces[] = {{"{rule}", NULL},  {"{table}", NULL}, {"{year}", "2026"},
                               {"{month}", "01"}, {"{day}", "01"},   {"{date}", "2026-01-01"}};

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), tail = strlen(end);
    return size >= tail && strcmp(text + size - tail, end) == 0;
}

/* Up to the brace that ends it, or to the next folder. */
static size_t piece_size(const char *at)
{
    size_t size = strcspn(at, "}/");
    return size + (at[size] == '}');
}

/* What is between braces and is no piece is said; `sampled`: with times in it too. */
static bool fill(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char *text,
                 const dbk_retention_rule *rule, dbk_buffer *out, bool sampled)
{
    for (const char *at = text; *at;) {
        size_t i = 0, count = sizeof pieces / sizeof *pieces;
        while (i < count && strncmp(at, pieces[i].name, strlen(pieces[i].name)) != 0) i++;
        if (i == count && (*at == '{' || *at == '}')) {
            dbk_app_wrong(a, value, "{rule}, {table}, {year}, {month}, {day}, {date}",
                          "'%s': '%.*s' is no piece of a path", path, (int)piece_size(at), at);
            return false;
        }
        if (i == count) dbk_buffer_put_u8(out, (uint8_t)*at++);
        else at += strlen(pieces[i].name);
        if (i < count)
            dbk_buffer_put_text(out, i == 0    ? rule->name
                                     : i == 1  ? rule->table->name
                                     : sampled ? pieces[i].sample
                                               : pieces[i].name);
    }
    return true;
}

static bool has_form(const char *text)
{
    return ends_with(text, ".ndjson") || ends_with(text, ".csv");
}

void dbk_app_archive(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_retention_rule *rule)
{
    const char *text = NULL;
    dbk_buffer whole, sample;

    if (!rule->name || !rule->table || !dbk_app_text(a, value, path, &text)) return;
    dbk_buffer_init(&whole, a->check->port);
    dbk_buffer_init(&sample, a->check->port);
    bool good = fill(a, value, path, text, rule, &whole, false) && fill(a, value, path, text, rule, &sample, true);
    const char *looked = good ? dbk_buffer_text(&sample) : NULL;
    if (good && !looked) a->check->failed = true;
    if (looked && !dbk_app_is_path(looked))
        dbk_app_wrong(a, value, "\"archive/{rule}-{year}.ndjson\"",
                      "'%s' is a path below 'files': %d names at most, of %d bytes, none begins with '.'", path,
                      DBK_APP_PARTS_MAX, DBK_APP_PART_MAX_BYTES);
    else if (looked && !has_form(looked))
        dbk_app_wrong(a, value, "\"archive/{rule}-{year}.ndjson\"", "'%s' ends in '.ndjson' or '.csv'", path);
    else if (looked) rule->archive = dbk_check_text(a->check, dbk_buffer_slice(&whole));
    rule->archive_csv = rule->archive && ends_with(rule->archive, ".csv");
    dbk_buffer_release(&whole);
    dbk_buffer_release(&sample);
}

/* A number may stand before the ending. */
bool dbk_app_archive_may_be(const dbk_app *app, const char *path)
{
    for (size_t i = 0; i < app->retention_count; i++) {
        char open[(DBK_APP_PART_MAX_BYTES + 64) * DBK_APP_PARTS_MAX];
        const char *archive = app->retention[i].archive, *end = archive ? strrchr(archive, '.') : NULL;
        if (!end) continue;
        int size = snprintf(open, sizeof open, "%.*s{}%s", (int)(end - archive), archive, end);
        if (size < 0 || (size_t)size >= sizeof open || dbk_app_paths_meet(open, path)) return true;
    }
    return false;
}
