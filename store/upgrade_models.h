/* Internal to store/: async models in an upgrade. */
#ifndef DBK_STORE_UPGRADE_MODELS_H
#define DBK_STORE_UPGRADE_MODELS_H

#include "store/engine.h"

typedef struct dbk_upgrade_models dbk_upgrade_models;

bool dbk_upgrade_is_same(const dbk_definition *from, const dbk_definition *to); /* text for text */
/* Builds the models that are new or others than before, beside those that answer. Free *out in any case. */
dbk_result dbk_upgrade_models_new(dbk_engine *engine, const dbk_definition *to, dbk_upgrade_models **out,
                                  dbk_error *err) DBK_MUST_USE;
/* They answer from here on: engine->definition is the new one, the models of before were stopped. Takes the turn. */
dbk_result dbk_upgrade_models_take(dbk_upgrade_models *models, dbk_error *err) DBK_MUST_USE;
void dbk_upgrade_models_free(dbk_upgrade_models *models); /* removes what was not taken; accepts NULL */
/* {"name":…,"entries":…,"took_ms":…} of each; `first`: without a comma in front. Accepts NULL. */
void dbk_upgrade_models_put(const dbk_upgrade_models *models, bool first, dbk_buffer *out);

#endif
