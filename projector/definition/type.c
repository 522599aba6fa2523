/* Declared types: what a column's type name means here and to SQLite. */
#include <strings.h>

#include "projector/definition/internal.h"

static bool holds(const char *declared, const char *part)
{
    return strcasestr(declared, part) != NULL;
}

/* The declared name up to its "(n)" and with the spaces at its end off. */
static bool is_named(const char *declared, const char *name)
{
    size_t size = strcspn(declared, "(");

    while (size && declared[size - 1] == ' ') size--;
    return size == strlen(name) && strncasecmp(declared, name, size) == 0;
}

/* SQLite's rules in SQLite's order: INT, CHAR CLOB TEXT, BLOB or nothing, REAL FLOA DOUB, else
 * NUMERIC. */
dbk_affinity dbk_affinity_of_declared(const char *declared)
{
    if (holds(declared, "INT")) return DBK_AFFINITY_INTEGER;
    if (holds(declared, "CHAR") || holds(declared, "CLOB") || holds(declared, "TEXT")) return DBK_AFFINITY_TEXT;
    if (declared[0] == '\0' || holds(declared, "BLOB")) return DBK_AFFINITY_BLOB;
    if (holds(declared, "REAL") || holds(declared, "FLOA") || holds(declared, "DOUB")) return DBK_AFFINITY_REAL;
    return DBK_AFFINITY_NUMERIC;
}

dbk_column_type dbk_type_of_declared(const char *declared)
{
    static const struct {
        const char *name;
        dbk_column_type type;
    } names[] = {
        {"BOOLEAN", DBK_TYPE_BOOLEAN},    {"BOOL", DBK_TYPE_BOOLEAN},
        {"DATETIME", DBK_TYPE_DATETIME},  {"DATE", DBK_TYPE_DATETIME},
        {"TIMESTAMP", DBK_TYPE_DATETIME}, {"UUID", DBK_TYPE_UUID},
        {"JSON", DBK_TYPE_JSON},          {"ANY", DBK_TYPE_ANY},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (is_named(declared, names[i].name)) return names[i].type;
    switch (dbk_affinity_of_declared(declared)) {
    case DBK_AFFINITY_INTEGER: return DBK_TYPE_INTEGER;
    case DBK_AFFINITY_TEXT: return DBK_TYPE_TEXT;
    case DBK_AFFINITY_REAL: return DBK_TYPE_REAL;
    case DBK_AFFINITY_BLOB: return declared[0] ? DBK_TYPE_BLOB : DBK_TYPE_ANY;
    case DBK_AFFINITY_NUMERIC: break;
    }
    return DBK_TYPE_ANY;
}
