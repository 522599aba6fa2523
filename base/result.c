/* Names and texts of the result codes, from the one list in base/result.h. */
#include "base/result.h"

#include <stddef.h>

typedef struct dbk_result_entry {
    dbk_result code;
    const char *name;
    const char *wire_name;
    dbk_class class_;
    const char *text;
} dbk_result_entry;

static const dbk_result_entry entries[] = {
#define X(code, value, name, wire, class_, text) {DBK_##code, (name), (wire), DBK_CLASS_##class_, (text)},
    DBK_RESULT_LIST(X)
#undef X
};

/* A code that came from a newer process or from damaged bytes must still be printable. */
static const dbk_result_entry *find(dbk_result result)
{
    const dbk_result_entry *internal = NULL;

    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        if (entries[i].code == result) return &entries[i];
        if (entries[i].code == DBK_INTERNAL) internal = &entries[i];
    }
    return internal;
}

const char *dbk_result_name(dbk_result result)
{
    return find(result)->name;
}

const char *dbk_result_wire_name(dbk_result result)
{
    return find(result)->wire_name;
}

const char *dbk_result_text(dbk_result result)
{
    return find(result)->text;
}

dbk_class dbk_result_class(dbk_result result)
{
    return find(result)->class_;
}

const char *dbk_class_name(dbk_class class_)
{
    static const char *const names[] = {
        [DBK_CLASS_NONE] = "none",
        [DBK_CLASS_TRANSIENT] = "transient",
        [DBK_CLASS_PERSISTENT] = "persistent",
        [DBK_CLASS_VALIDATION] = "validation",
        [DBK_CLASS_CRITICAL] = "critical",
    };

    return names[class_];
}
