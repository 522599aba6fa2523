/* Internal to the mirrors: one look at one of them.
 *
 *   mirror.c       settings, the list, the thread      mirror_file.c  the file, the base, what is put aside
 *   mirror_rows.c  rows of a query                     mirror_spaces.c  which there are, also of templates */
#ifndef DBK_STORE_MIRROR_LOOK_H
#define DBK_STORE_MIRROR_LOOK_H

#include "store/folders.h"
#include "store/mirror.h"
#include "store/settings.h"

enum {
    DBK_MIRROR_MAX_BYTES = 1024 * 1024,
    DBK_MIRROR_SPACES_MAX = 1000, /* namespaces of templates that have a mirror */
    DBK_MIRROR_PATH_SIZE = 1024,
    DBK_MIRROR_WITHOUT_MAX = 2000,
};

typedef struct dbk_mirror {
    const dbk_setting_rule *rule;
    const char *name, *path, *base_name; /* of the namespace; of the file below files/; of the base in mirrors/ */
    dbk_buffer names;                    /* their memory */
    dbk_buffer base;    /* as it is on disk; of settings: the document both sides had; empty: none yet */
    uint64_t rejected;  /* checksum of a file that was refused; 0: none */
    bool aside;         /* a file that was not taken lies beside it, for status */
    uint64_t shown;     /* sum of the document that the file was last in step with; 0: not known */
    dbk_buffer fault;   /* why a file was not taken, or rows are not shown; empty: nothing is wrong */
    dbk_buffer failure; /* what the last look could not do; empty: nothing */
    bool loaded;        /* the base was read */
    bool gone;          /* of a template: neither row nor file is there any more, it is forgotten */
    struct {            /* as the last look found both sides in step; until one of these changes they are */
        bool known;
        uint64_t position;
        dbk_identity file;
    } still;
    bool kept;   /* its folders are durable: a file was written in them */
    bool unkept; /* of settings: the base could not be written, and that is tried again */
    struct {
        uint64_t sum; /* what waits until it is quiet; 0: nothing */
        int64_t since_ns;
    } edit, change;
    struct {               /* of a query */
        uint64_t before;   /* sum of a document that the file may still show: a crash came between; 0: none */
        uint64_t position; /* of the model when the base was kept */
        uint64_t sum;      /* of the rows as they were asked last; 0: not yet */
        bool failed;       /* they cannot be shown: `fault` says why */
        uint64_t asked_at; /* position that this is of */
        int64_t asked_ns;
    } rows;
} dbk_mirror;

struct dbk_mirrors {
    dbk_engine *engine;
    const dbk_definition *definition;
    dbk_mirror *items;
    uint64_t *sums; /* of their paths, in small letters */
    size_t count, room, fixed;
    bool templates, full;
    bool listed; /* as of this position of the model */
    uint64_t listed_at;
    dbk_buffer without; /* namespaces that have no file, and why: members of a JSON object */
    dbk_mutex *mutex;
    dbk_cond *wanted;
    dbk_thread *thread;
    bool closing, last; /* last: what was set is written without waiting */
};

typedef struct dbk_mirror_step { /* one look at one mirror */
    dbk_engine *engine;
    dbk_mirror *mirror;
    dbk_folders folders;   /* of the file, from files/ on */
    const char *file_name; /* in the last of them */
    dbk_dir *bases;
    dbk_json_parser *one, *other;
    dbk_buffer file, stored, text, request;
    dbk_identity identity; /* of the file as it was read */
    uint64_t position;     /* of the model */
    bool there;            /* `file` is what stands in the file */
    bool last;             /* what was set is written without waiting */
} dbk_mirror_step;

/* ---- mirror_file.c */
dbk_result dbk_mirror_no_memory(dbk_error *err);
/* Equal for equal documents, whatever the order of their members; 0: no JSON. */
uint64_t dbk_mirror_sum(dbk_mirror_step *s, dbk_slice document);
/* s->there false: nothing to read, and a file may be written; DBK_NONE: what stands there is left alone,
 * mirror->failure says why. */
dbk_result dbk_mirror_read(dbk_mirror_step *s, dbk_error *err) DBK_MUST_USE;
/* s->stored for people and their editors, in s->text. */
dbk_result dbk_mirror_render(dbk_mirror_step *s, dbk_error *err) DBK_MUST_USE;
/* s->text is the file; DBK_NONE: not written, for somebody wrote it since it was read, which the next look takes up. */
dbk_result dbk_mirror_write(dbk_mirror_step *s, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_mirror_keep_base(dbk_mirror_step *s, dbk_slice base, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_mirror_write_base(dbk_mirror_step *s, dbk_error *err) DBK_MUST_USE; /* mirror->base, as it is */
/* The file goes aside as a copy; `fault` says why, for status. */
dbk_result dbk_mirror_reject(dbk_mirror_step *s, const dbk_error *fault, dbk_error *err) DBK_MUST_USE;
void dbk_mirror_say(dbk_buffer *into, const dbk_error *fault);
void dbk_mirror_forget(dbk_mirror *mirror); /* what was said and put aside: it is in step again */
/* Whether a side has been as it is for the rule's `debounce`. */
bool dbk_mirror_is_quiet(dbk_mirror_step *s, uint64_t sum, uint64_t *seen, int64_t *since_ns);
/* DBK_OK: accepted, *fault empty; or refused for good, *fault says why. Others: to be tried again. */
dbk_result dbk_mirror_judge_receipt(dbk_mirror_step *s, dbk_slice receipt, dbk_error *fault,
                                    dbk_error *err) DBK_MUST_USE;
/* s->request through the queue, and what came of it. */
dbk_result dbk_mirror_send(dbk_mirror_step *s, dbk_error *fault, dbk_error *err) DBK_MUST_USE;

/* ---- mirror_spaces.c */
dbk_result dbk_mirrors_list(struct dbk_mirrors *m, const dbk_definition *definition, uint64_t position,
                            dbk_error *err) DBK_MUST_USE;
void dbk_mirrors_forget_gone(struct dbk_mirrors *m);
void dbk_mirrors_release(struct dbk_mirrors *m); /* the list */

/* ---- mirror_rows.c */
dbk_result dbk_mirror_look_at_rows(dbk_mirror_step *s, dbk_error *err) DBK_MUST_USE;
/* From mirror->base. */
dbk_result dbk_mirror_take_rows_base(dbk_mirror *mirror, const dbk_port *port, dbk_error *err) DBK_MUST_USE;

#endif
