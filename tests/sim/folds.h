/* For the tests of faults in whole stores: the rows of the model are what its log folds to. */
#ifndef DBK_TEST_SIM_FOLDS_H
#define DBK_TEST_SIM_FOLDS_H

#include "base/simdisk.h"
#include "store/engine.h"
#include "store/store.h"

/* NULL, or what is wrong; writes and removes /cold.sqlite. */
static inline const char *wrong_rows(dbk_engine *engine, dbk_simdisk *disk, dbk_error *err)
{
    dbk_model_state cold = {0}, live;
    dbk_hash128 counted;
    uint64_t rows;
    dbk_model *model = dbk_engine_model(engine);
    if (dbk_engine_replay(engine, NULL, "/cold.sqlite", true, NULL, NULL, &cold, err) != DBK_OK)
        return "the log cannot be folded afterwards";
    if (dbk_model_recount(model, &counted, &rows, err) != DBK_OK) return "the rows cannot be counted";
    dbk_model_get_state(model, &live);
    bool same = memcmp(&cold.fingerprint, &live.fingerprint, sizeof live.fingerprint) == 0 &&
                memcmp(&counted, &live.fingerprint, sizeof counted) == 0;
    if (!same) return "the rows are not what the log folds to";
    (void)dbk_simdisk_remove(disk, "cold.sqlite");
    return NULL;
}

#endif
