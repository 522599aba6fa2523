/* Internal to definition_*.c: async models within a definition. */
#ifndef DBK_PROJECTOR_DEFINITION_MODELS_H
#define DBK_PROJECTOR_DEFINITION_MODELS_H

#include "projector/definition/app.h"

/* Names that a model has taken. */
typedef struct dbk_taken {
    struct dbk_taken *next;
    const dbk_object *objects;
    const dbk_definition *definition;
} dbk_taken;

/* "-- on x.put" where `main` has no table 'x': an async model may have it. */
typedef struct dbk_heard {
    struct dbk_heard *next;
    const char *pattern, *advice; /* what it may have meant; NULL: nothing is near */
    dbk_span span;
} dbk_heard;

/* Whether a file in a folder other than schemas/ has a place there; said. */
void dbk_check_model_file(dbk_check *check, const dbk_source *source);
void dbk_check_models(dbk_check *check); /* behind all that the models refer to */

/* definition/hash.c: the digest over name and text of each into definition->hash. */
void dbk_check_hash(dbk_check *check, const dbk_source *sources, size_t count);
/* That of the whole, in which async models do not count: neither their files nor what `models` says of them. */
void dbk_check_hash_whole(dbk_check *check);

#endif
