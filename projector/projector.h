/* projector: the derived half. App definitions, the SQLite read model, the fold, the shadow, readers. */
#ifndef DBK_PROJECTOR_H
#define DBK_PROJECTOR_H

#include "projector/definition.h"
#include "projector/json_schema.h"
#include "projector/model.h"
#include "projector/rules.h"

#endif
