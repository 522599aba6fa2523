/* Internal to store/: the undo that the turn in work decides (undo.c). */
#ifndef DBK_STORE_UNDO_H
#define DBK_STORE_UNDO_H

#include "store/engine.h"

typedef struct dbk_undoing {
    const dbk_undo *undo;
    dbk_buffer kept;                        /* of the receipt: what stays as it is */
    char causation[DBK_ENTRY_ID_TEXT_SIZE]; /* the entry that is undone; "": several are */
} dbk_undoing;

#endif
