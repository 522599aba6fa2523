/* For the tests of late entries: histories that arrive in many orders, and one late fact at a time; what a model becomes is
 * compared with one fold of its log. */
#ifndef DBK_TEST_LATE_FIXTURE_H
#define DBK_TEST_LATE_FIXTURE_H

#include "tests/projector/fold_fixture.h"

/* Prints what the parser finds and fails; any but the schema may be NULL. */
dbk_definition *late_definition(const char *schema, const char *projections, const char *app);
/* The end of a group of tests whose state is the definition. */
int late_definition_free(void **state);

/* 0 … most - 1 */
unsigned below(uint64_t *seed, unsigned most);

typedef struct drawn_event {
    char stream[40], type[24], data[160];
    bool has_base;
    dbk_entry_id base;
} drawn_event;

/* The entry that `text` describes but for its stream, type and data, with one to three events of `draw`. */
fact draw_entry(uint64_t *seed, dbk_arena *arena, const dbk_definition *definition, const fact_text *text,
                void (*draw)(void *arg, drawn_event *out), void *arg);

/* Rows, the observer's sum and a recount of it; `whole`: also what is local to a log. */
void assert_same_rows(const dbk_definition *definition, dbk_model *one, dbk_model *other, bool whole);

/* Lets `facts` arrive in rounds of at most `most` entries; after each commit the model is what a fold of the log up to there
 * gives. A shadow that is asked for takes the model's place. */
typedef struct late_watch {
    fold_place *place;
    dbk_model *model;
    uint64_t amended;      /* entries applied again */
    uint64_t shadows;      /* asked for */
    uint64_t as_they_came; /* rounds with late entries that asked for none */
    void (*after_round)(struct late_watch *watch);
} late_watch;

typedef struct late_orders {
    const dbk_definition *definition;
    int authors, seeds;
    unsigned most;
    size_t count;
    void (*draw)(uint64_t seed, dbk_arena *arena, fact *facts); /* `count` of them */
    void (*after_round)(late_watch *watch);                     /* may be NULL */
} late_orders;

/* Each history in two orders of arrival, which give the same rows. Returns the sums of all; `place` and `model` are NULL. */
late_watch any_order_gives_the_fold(const late_orders *orders);

#define A_SHADOW UINT64_MAX

/* Facts that arrive one by one, of which the last is late: how many entries were applied again, or A_SHADOW. */
uint64_t arrive_one_by_one(const dbk_definition *definition, const fact *facts, size_t count);
uint64_t arrive_texts(const dbk_definition *definition, const fact_text *texts, size_t count);

#define ARRIVE(definition, ...)                                                                                        \
    arrive_texts(definition, (const fact_text[]){__VA_ARGS__},                                                         \
                 sizeof((const fact_text[]){__VA_ARGS__}) / sizeof(fact_text))

#endif
