/* Proofs over the log's Merkle mountain range: that an entry is under a head, and that one head extends
 * another. Made from the log, checked without it. As JSON they are described in docs/format/proof.md.
 *
 * Threads: what is made from a log reads it as any reader does, beside the appending thread; the rest is pure. A
 * proof is a value and owns nothing. Making one can give DBK_NO_MEMORY, DBK_IO and DBK_CORRUPT, as all reading. */
#ifndef DBK_LOG_PROOF_H
#define DBK_LOG_PROOF_H

#include "log/entry.h"

struct dbk_log;

/* The range over the first `count` entries: its peaks are what a head stands for. DBK_NONE beyond the
 * end. */
dbk_result dbk_log_range_at(struct dbk_log *log, uint64_t count, dbk_range *out, dbk_error *err) DBK_MUST_USE;

typedef struct dbk_inclusion {
    uint64_t position; /* from 1 */
    uint8_t leaf[DBK_LEAF_SIZE];
    uint32_t path_count;
    uint8_t path[64][DBK_LEAF_SIZE]; /* the other child at each height, from the leaf up to its peak */
    dbk_range range;                 /* of the head */
} dbk_inclusion;
/* That the entry is under the head of the first `count` entries (0: of all). DBK_NONE: no such
 * position, or count beyond the end. Reads a part of a few segments. */
dbk_result dbk_log_prove(struct dbk_log *log, uint64_t position, uint64_t count, dbk_inclusion *out,
                         dbk_error *err) DBK_MUST_USE;
bool dbk_inclusion_holds(const dbk_inclusion *proof);

enum { DBK_EXTENSION_TREES_MAX = 128 };
typedef struct dbk_extension {
    dbk_range old;
    uint32_t tree_count;
    uint8_t trees[DBK_EXTENSION_TREES_MAX][DBK_LEAF_SIZE]; /* perfect trees over what came after, in order */
    dbk_range range;                                       /* of the new head */
} dbk_extension;
/* That the head of the first `count` entries (0: of all) extends that of the first `old`. */
dbk_result dbk_log_prove_extension(struct dbk_log *log, uint64_t old, uint64_t count, dbk_extension *out,
                                   dbk_error *err) DBK_MUST_USE;
bool dbk_extension_holds(const dbk_extension *proof);

/* ---- JSON: one object, without a line end. `of` says whose log it is. */
typedef struct dbk_proof_of {
    uint8_t store_id[16], lineage[16];
} dbk_proof_of;
void dbk_head_put(dbk_buffer *out, const dbk_proof_of *of, const dbk_range *range, int64_t time_ms);
/* `id` names the entry; `origin`, its bytes, may be empty. */
void dbk_inclusion_put(dbk_buffer *out, const dbk_proof_of *of, const dbk_inclusion *proof, const dbk_entry_id *id,
                       dbk_slice origin);
void dbk_extension_put(dbk_buffer *out, const dbk_proof_of *of, const dbk_extension *proof);

typedef enum dbk_proof_kind { DBK_PROOF_HEAD = 1, DBK_PROOF_INCLUSION, DBK_PROOF_EXTENSION } dbk_proof_kind;
typedef struct dbk_proof {
    dbk_proof_kind kind;
    dbk_proof_of of;
    dbk_range range; /* of every kind: the head that it speaks of, the newer one of two */
    dbk_inclusion inclusion;
    dbk_entry_id id; /* as the proof names it; where the origin bytes are there, theirs */
    dbk_extension extension;
} dbk_proof;
/* Reads any of the three and checks it: DBK_CORRUPT where a member is missing or of the wrong form, where
 * peaks and head contradict each other, or where the proof does not hold; DBK_VERSION. */
dbk_result dbk_proof_read(const dbk_json_node *root, dbk_proof *out, dbk_error *err) DBK_MUST_USE;

#endif
