/* The decision of recovery as data (R20): what stands at the first spot where the log does not go
 * on, and what is known of that spot from behind it and from the watermark. The first row that fits
 * decides. Looking (load.c) and acting (repair.c) are elsewhere; refusing writes nothing. */
#include "log/internal.h"

#include <assert.h>
#include <stdatomic.h>

#define ANY_LATER    (DBK_LATER_NONE | DBK_LATER_BELOW | DBK_LATER_ABOVE)
#define BROKEN       (DBK_HEAD_BAD | DBK_HEAD_MISDIRECTED)
#define UNLINKED     (BROKEN | DBK_HEAD_STRANGER)
#define REFUSE(code) DBK_DECIDE_REFUSE, DBK_##code

const dbk_recovery_row dbk_recovery_table[] = {
    {DBK_HEAD_UNREADABLE, ANY_LATER, -1, -1, REFUSE(IO), "unreadable", "the system failed a read"},
    {DBK_HEAD_NEWER, ANY_LATER, -1, -1, REFUSE(VERSION), "newer", "written by a later format"},
    {DBK_HEAD_MISSING, ANY_LATER, -1, 1, REFUSE(GAP), "missing-segment", "a segment is missing"},
    {DBK_HEAD_HIGHER, ANY_LATER, -1, -1, REFUSE(GAP), "higher-position", "positions are missing before a sound record"},
    {DBK_HEAD_LOWER, ANY_LATER, -1, -1, REFUSE(DUPLICATE), "lower-position", "a sound record repeats positions"},
    {DBK_HEAD_ALIEN, ANY_LATER, -1, -1, REFUSE(CORRUPT), "alien", "a sound batch with contents that do not decode"},
    {DBK_HEAD_ZEROS | UNLINKED, ANY_LATER, -1, 1, REFUSE(CORRUPT), "bad-in-sealed", "damage in a sealed segment"},
    {DBK_HEAD_ZEROS, DBK_LATER_NONE, 0, 0, DBK_DECIDE_OPEN, DBK_OK, "end", "the log ends here"},
    {DBK_HEAD_ZEROS, ANY_LATER, -1, 0, REFUSE(LOST), "lost-end", "acknowledged entries are gone"},
    {DBK_HEAD_MISSING, DBK_LATER_NONE, 0, 0, DBK_DECIDE_OPEN, DBK_OK, "end-of-sealed",
     "the log ends with a sealed segment"},
    {DBK_HEAD_MISSING, ANY_LATER, -1, 0, REFUSE(LOST), "missing-end", "the last segment is gone"},
    {DBK_HEAD_STRANGER, DBK_LATER_NONE | DBK_LATER_BELOW, 0, 0, DBK_DECIDE_CUT, DBK_OK, "stranger",
     "a record of a tail that was cut before"},
    {DBK_HEAD_STRANGER, DBK_LATER_ABOVE, -1, 0, REFUSE(CORRUPT), "stranger-proven",
     "an acknowledged record was replaced"},
    {DBK_HEAD_STRANGER, ANY_LATER, 1, 0, REFUSE(CORRUPT), "stranger-covered", "an acknowledged record was replaced"},
    {BROKEN, DBK_LATER_ABOVE, -1, 0, REFUSE(CORRUPT), "bad-proven", "a later record proves that this one was durable"},
    {BROKEN, DBK_LATER_NONE | DBK_LATER_BELOW, 1, 0, REFUSE(CORRUPT), "bad-covered",
     "the watermark proves that this record was durable"},
    {BROKEN, DBK_LATER_NONE, 0, 0, DBK_DECIDE_CUT, DBK_OK, "torn", "a write that was under way"},
    {BROKEN, DBK_LATER_BELOW, 0, 0, DBK_DECIDE_CUT, DBK_OK, "reordered", "writes that were under way, out of order"},
};
const unsigned dbk_recovery_row_count = sizeof(dbk_recovery_table) / sizeof(dbk_recovery_table[0]);

static _Atomic uint64_t marks[sizeof(dbk_recovery_table) / sizeof(dbk_recovery_table[0])];

static bool fits(const dbk_recovery_row *row, const dbk_situation *situation)
{
    return (row->heads & situation->head) && (row->laters & situation->later) &&
           (row->covered < 0 || (row->covered != 0) == situation->covered) &&
           (row->sealed < 0 || (row->sealed != 0) == situation->sealed);
}

/* Every situation has a row: the test of the table walks through all of them. */
unsigned dbk_recover_decide(const dbk_situation *situation)
{
    unsigned row = 0;

    while (!dbk_never(row == dbk_recovery_row_count) && !fits(&dbk_recovery_table[row], situation)) row++;
    assert(row < dbk_recovery_row_count);
    atomic_fetch_add(&marks[row], 1);
    return row;
}

uint64_t dbk_recover_mark(unsigned row)
{
    return row < dbk_recovery_row_count ? atomic_load(&marks[row]) : 0;
}
