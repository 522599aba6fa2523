/* Internal to the trace program: what trace_ops.c uses of trace_stage.c. */
#ifndef DBK_TESTS_TRACE_STAGE_H
#define DBK_TESTS_TRACE_STAGE_H

#include "tests/trace/trace.h"

#include <ftw.h>

char *text_of(const dbk_json_node *node); /* the caller's; NULL: no string */
stage_replica *find_replica(trace_stage *stage, const dbk_json_node *name);
const dbk_definition *find_definition(trace_stage *stage, const dbk_json_node *name);
stage_replica *replica_add(trace_stage *stage, const dbk_json_node *name, const dbk_definition *definition);
dbk_result replica_open(trace_stage *stage, stage_replica *replica);
void replica_close(stage_replica *replica);
dbk_result replica_import(trace_stage *stage, stage_replica *replica, dbk_slice bytes, int64_t now_ms, uint64_t *logged,
                          uint64_t *parked);
void put_changes(const dbk_definition *definition, const dbk_json_node *message,
                 dbk_buffer *out); /* "rows" or "keys" in the model's words */
void put_cursor(stage_replica *replica, dbk_buffer *out);
void remove_tree(const char *path);

#endif
