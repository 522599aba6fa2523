/* Mirrors: which there are. Of a namespace of the definition there is one from the beginning. Of a template there is one
 * for each namespace that has a row, and for each that had one before, which its base tells; what has neither row nor
 * file any more is forgotten. They are looked for when the model has moved, up to a number, and one file is of one
 * mirror, also where letters of either case are one: the others are told.
 *
 * The base of such a namespace is called by its name, so that the name can be read back, and so that names which differ
 * in case only, or mean something to the system, are names of their own everywhere: '=' begins it, "=a" is 'A', and
 * "=3a" is ':'. */
#include <ctype.h>
#include <errno.h>

#include "store/mirror_look.h"

static const char colon[] = "=3a", ending[] = ".json";

/* ---- names of bases */

static void put_base_name(dbk_buffer *out, const dbk_setting_rule *rule, const char *name)
{
    if (rule->variable) dbk_buffer_put_u8(out, '=');
    for (; *name; name++) {
        if (rule->variable && *name == ':') dbk_buffer_put_text(out, colon);
        else if (rule->variable && isupper((uint8_t)*name)) dbk_buffer_printf(out, "=%c", tolower((uint8_t)*name));
        else dbk_buffer_put_u8(out, (uint8_t)*name);
    }
    dbk_buffer_put_text(out, ending);
}

/* The namespace that a base is of; false: it is none of a template. */
static bool put_name_of_base(dbk_buffer *out, const char *base)
{
    size_t size = strlen(base), tail = sizeof ending - 1;
    if (size <= tail || base[0] != '=' || strcmp(base + size - tail, ending) != 0) return false;
    for (const char *at = base + 1, *end = base + size - tail; at < end; at++) {
        if (isupper((uint8_t)*at)) return false;
        if (*at != '=') dbk_buffer_put_u8(out, (uint8_t)*at);
        else if (strncmp(at, colon, 3) == 0) dbk_buffer_put_u8(out, ':');
        else if (islower((uint8_t)at[1])) dbk_buffer_put_u8(out, (uint8_t)toupper((uint8_t)at[1]));
        else return false;
        if (*at == '=') at += at[1] == '3' ? 2 : 1;
    }
    return true;
}

/* ---- the list */

static void release_item(dbk_mirror *item)
{
    dbk_buffer *buffers[] = {&item->base, &item->fault, &item->failure, &item->names};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_release(buffers[i]);
}

void dbk_mirrors_release(struct dbk_mirrors *m)
{
    const dbk_port *port = m->engine->port;
    for (size_t i = 0; i < m->count; i++) release_item(&m->items[i]);
    dbk_free(port, m->items);
    dbk_free(port, m->sums);
    dbk_buffer_release(&m->without);
    m->items = NULL;
    m->sums = NULL;
    m->definition = NULL;
    m->count = m->room = 0;
}

/* The three names of a mirror, each with its NUL. */
static bool put_names(dbk_mirror *item, const char *name, dbk_slice value)
{
    dbk_buffer *names = &item->names;
    dbk_buffer_put_text(names, name);
    dbk_buffer_put_u8(names, 0);
    size_t path = names->size;
    dbk_setting_fill(item->rule, item->rule->mirror, value, names);
    dbk_buffer_put_u8(names, 0);
    size_t base = names->size;
    put_base_name(names, item->rule, name);
    if (!dbk_buffer_text(names)) return false;
    item->name = (const char *)names->data;
    item->path = item->name + path;
    item->base_name = item->name + base;
    return true;
}

static uint64_t sum_of_path(const char *path)
{
    char low[DBK_MIRROR_PATH_SIZE];
    size_t size = 0;
    for (; path[size] && size < sizeof low; size++) low[size] = (char)tolower((uint8_t)path[size]);
    return dbk_checksum(dbk_slice_of(low, size), 1);
}

static bool make_room(struct dbk_mirrors *m)
{
    const dbk_port *port = m->engine->port;
    size_t room = m->room ? 2 * m->room : 16;
    if (m->count < m->room) return true;
    uint64_t *sums = port->resize(port->ctx, m->sums, room * sizeof *sums);
    if (sums) m->sums = sums;
    dbk_mirror *items = sums ? port->resize(port->ctx, m->items, room * sizeof *items) : NULL;
    if (!items) return false;
    m->items = items;
    m->room = room;
    return true;
}

/* What has no file, and why: {"<file>":"…"} without the braces. */
static void put_without(struct dbk_mirrors *m, const char *path, const char *name, bool full)
{
    dbk_buffer text;
    dbk_buffer_init(&text, m->engine->port);
    if (full) dbk_buffer_printf(&text, "more than %d '%s': the others have no file", DBK_MIRROR_SPACES_MAX, name);
    else dbk_buffer_printf(&text, "'%s' has no file: that of another namespace differs in case only", name);
    size_t size = m->without.size;
    if (size) dbk_buffer_put_u8(&m->without, ',');
    dbk_json_put_string(&m->without, dbk_slice_text(path));
    dbk_buffer_put_u8(&m->without, ':');
    dbk_json_put_string(&m->without, dbk_buffer_slice(&text));
    if (m->without.failed || text.failed || m->without.size > DBK_MIRROR_WITHOUT_MAX) m->without.size = size;
    dbk_buffer_release(&text);
}

/* What has one already stays as it is. */
static dbk_result add(struct dbk_mirrors *m, const dbk_setting_rule *rule, const char *name, dbk_slice value,
                      dbk_error *err)
{
    const dbk_port *port = m->engine->port;
    dbk_mirror item = {.rule = rule};
    dbk_buffer *buffers[] = {&item.base, &item.fault, &item.failure, &item.names};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_init(buffers[i], port);
    if (!put_names(&item, name, value) || !make_room(m)) {
        release_item(&item);
        return dbk_mirror_no_memory(err);
    }
    uint64_t sum = sum_of_path(item.path);
    size_t at = 0;
    while (at < m->count && m->sums[at] != sum) at++;
    bool fits = m->count < m->fixed + DBK_MIRROR_SPACES_MAX;
    if (at < m->count && strcmp(m->items[at].name, name) != 0) put_without(m, item.path, name, false);
    if (at == m->count && !fits) m->full = true;
    if (at == m->count && fits) {
        m->sums[m->count] = sum;
        m->items[m->count++] = item;
    } else {
        release_item(&item);
    }
    return DBK_OK;
}

void dbk_mirrors_forget_gone(struct dbk_mirrors *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->items[i].gone) {
            release_item(&m->items[i]);
            continue;
        }
        m->sums[kept] = m->sums[i];
        if (kept != i) m->items[kept] = m->items[i];
        kept++;
    }
    if (kept < m->count) m->listed = false; /* there may be others that found no place */
    m->count = kept;
}

/* ---- templates */

typedef struct base_list {
    struct dbk_mirrors *m;
    dbk_buffer name;
    dbk_result result;
    dbk_error *err;
} base_list;

static int add_base(void *arg, const char *base)
{
    base_list *list = arg;
    dbk_slice value;
    dbk_buffer_clear(&list->name);
    bool good = put_name_of_base(&list->name, base);
    const char *name = good ? dbk_buffer_text(&list->name) : NULL;
    if (good && !name) list->result = dbk_mirror_no_memory(list->err);
    const dbk_setting_rule *rule =
        name ? dbk_definition_setting(list->m->definition, dbk_slice_text(name), &value) : NULL;
    if (rule && rule->variable && rule->mirror) list->result = add(list->m, rule, name, value, list->err);
    return list->result == DBK_OK ? 0 : -ENOMEM;
}

static dbk_result add_bases(struct dbk_mirrors *m, dbk_error *err)
{
    const dbk_port *port = m->engine->port;
    base_list list = {.m = m, .err = err};
    dbk_dir *bases;
    dbk_result result = dbk_io_open_dir(port, m->engine->dir, "mirrors", DBK_OPEN_DIRECTORY, &bases, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&list.name, port);
    int rc = port->list(port->ctx, bases, add_base, &list);
    port->close_dir(port->ctx, bases);
    dbk_buffer_release(&list.name);
    if (list.result != DBK_OK) return list.result;
    return rc < 0 ? dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot list the folder 'mirrors'") : DBK_OK;
}

static dbk_result add_rows(struct dbk_mirrors *m, const dbk_setting_rule *rule, dbk_error *err)
{
    dbk_buffer names;
    dbk_slice value;
    m->full = false;
    dbk_buffer_init(&names, m->engine->port);
    dbk_result result = dbk_setting_names(m->engine, rule, DBK_MIRROR_SPACES_MAX + 1, &names, err);
    const char *name = (const char *)names.data;
    for (size_t at = 0; result == DBK_OK && at < names.size; at += strlen(name + at) + 1) {
        if (dbk_definition_setting(m->definition, dbk_slice_text(name + at), &value) != rule) continue;
        result = add(m, rule, name + at, value, err);
    }
    if (m->full) put_without(m, rule->mirror, rule->name, true);
    dbk_buffer_release(&names);
    return result;
}

/* A new definition has other rules: the lists begin anew, the bases are on disk. */
static dbk_result take_definition(struct dbk_mirrors *m, const dbk_definition *definition, dbk_error *err)
{
    const dbk_app *app = definition->app;
    dbk_result result = DBK_OK;
    bool templates = false;
    dbk_mirrors_release(m);
    dbk_buffer_init(&m->without, m->engine->port);
    m->definition = definition;
    m->fixed = app->setting_count;
    for (size_t i = 0; result == DBK_OK && i < app->setting_count; i++) {
        const dbk_setting_rule *rule = &app->settings[i];
        if (rule->mirror && rule->variable) templates = true;
        else if (rule->mirror) result = add(m, rule, rule->name, dbk_slice_of("", 0), err);
    }
    m->fixed = m->count;
    if (result == DBK_OK && templates) result = add_bases(m, err);
    if (result != DBK_OK) m->definition = NULL;
    m->listed = !templates;
    m->templates = templates;
    return result;
}

dbk_result dbk_mirrors_list(struct dbk_mirrors *m, const dbk_definition *definition, uint64_t position, dbk_error *err)
{
    const dbk_app *app = definition->app;
    dbk_result result = m->definition == definition ? DBK_OK : take_definition(m, definition, err);
    if (result != DBK_OK || !m->templates || (m->listed && m->listed_at == position)) return result;
    dbk_buffer_clear(&m->without);
    for (size_t i = 0; result == DBK_OK && i < app->setting_count; i++)
        if (app->settings[i].mirror && app->settings[i].variable) result = add_rows(m, &app->settings[i], err);
    m->listed = result == DBK_OK;
    m->listed_at = position;
    return result;
}
