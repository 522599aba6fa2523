/* settings.<ns>.mirror: the file below files/ that shows a namespace. It stands for itself, for the names that the store
 * puts beside it (.rejected, and .tmp while it is written), and in folders that are no file of others. */
#include "projector/definition/app.h"

#include <strings.h>

enum { NAME_MAX_BYTES = 60, AROUND_MAX_BYTES = 30 };

static bool ends_as_what_is_beside(const char *path)
{
    static const char *const ends[] = {".rejected", ".tmp"};

    for (const char *part = path; part; part = strchr(part, '/') ? strchr(part, '/') + 1 : NULL) {
        size_t size = strcspn(part, "/");
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
            size_t tail = strlen(ends[i]);
            if (size >= tail && strncasecmp(part + size - tail, ends[i], tail) == 0) return true;
        }
    }
    return false;
}

void dbk_app_read_mirror(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_setting_rule *rule)
{
    const char *text = NULL;

    if (!dbk_app_text(a, value, path, &text)) return;
    if (!dbk_app_is_path(text))
        dbk_app_wrong(a, value, "\"mirror\": \"config/ui.json\"",
                      "'%s' is a path below 'files': %d names at most, of %d bytes, none begins with '.'", path,
                      DBK_APP_PARTS_MAX, DBK_APP_PART_MAX_BYTES);
    else if (ends_as_what_is_beside(text))
        dbk_app_wrong(a, value, "another name", "'%s': '.rejected' and '.tmp' end what is put beside such a file",
                      path);
    else rule->mirror = text;
}

/* The base has the name of the namespace. Those of templates are written otherwise, and begin with '='. */
static bool names_a_file(const dbk_setting_rule *rule)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:";
    if (!rule->variable)
        return !strpbrk(rule->name, "/\\.") && rule->name[0] != '=' && strlen(rule->name) <= NAME_MAX_BYTES;
    size_t own = strlen(rule->variable), head = strspn(rule->name, plain), size = strlen(rule->name);
    return rule->name[head] == '{' && size - own <= AROUND_MAX_BYTES &&
           strspn(rule->name + head + own, plain) == size - head - own;
}

static void say_meeting(dbk_app_reading *a, const dbk_json_node *member, const char *path, const dbk_setting_rule *rule,
                        const dbk_setting_rule *other)
{
    if (strcmp(other->mirror, rule->mirror) == 0)
        dbk_app_wrong(a, member, "another file", "'%s': '%s' is the mirror of '%s' too", path, rule->mirror,
                      other->name);
    else if (strcasecmp(other->mirror, rule->mirror) == 0)
        dbk_app_wrong(a, member, "another file",
                      "'%s': '%s' and '%s', the mirror of '%s', are one where a file system takes either case", path,
                      rule->mirror, other->mirror, other->name);
    else if (other->variable || rule->variable)
        dbk_app_wrong(a, member, "another folder", "'%s': '%s' may meet '%s', the mirror of '%s'", path, rule->mirror,
                      other->mirror, other->name);
    else
        dbk_app_wrong(a, member, "another folder",
                      "'%s': '%s' and '%s', the mirror of '%s', would be file and folder of one name", path,
                      rule->mirror, other->mirror, other->name);
}

void dbk_app_check_mirror(dbk_app_reading *a, const dbk_json_node *member, const char *path,
                          const dbk_setting_rule *rule)
{
    if (!names_a_file(rule))
        dbk_app_wrong_name(a, member,
                           rule->variable ? "30 letters, digits, '-', '_', '.' and ':' around the braces"
                                          : "letters, digits, '-' and '_'",
                           "'%s' has a mirror: its name is a file's", path);
    if (dbk_app_archive_may_be(a->app, rule->mirror))
        dbk_app_wrong(a, member, "another folder", "'%s': '%s' may be the archive of a retention rule", path,
                      rule->mirror);
    for (const dbk_setting_rule *other = a->app->settings; other < rule; other++) {
        if (!other->mirror) continue;
        if (strcasecmp(other->name, rule->name) == 0)
            dbk_app_wrong_name(a, member, "another name", "'%s' has a mirror, and '%s' differs in case only", path,
                               other->name);
        if (!dbk_app_paths_meet(other->mirror, rule->mirror)) continue;
        if (dbk_app_mirror_comes_before(other, rule, a->check)) continue;
        say_meeting(a, member, path, rule, other);
        return;
    }
}
