/* base: what every other folder stands on. Other folders include this header only.
 *
 *   result.h  result codes, one list            error.h   the error record, wrapped on the way up
 *   bytes.h   slices, buffers, bounded readers  hash.h    checksums and BLAKE2b digests
 *   port.h    the one door to the OS            io.h      whole reads, whole writes, atomic replace
 *   text.h    UTF-8, hex, base64, time, uuid    json.h    strict JSON in, canonical JSON out
 *   sign.h    Ed25519 in minisign's files   never.h   defences that no input reaches
 */
#ifndef DBK_BASE_H
#define DBK_BASE_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/never.h"
#include "base/port.h"
#include "base/result.h"
#include "base/sign.h"
#include "base/text.h"

#endif
