/* Text: UTF-8, hexadecimal, base64, percent-encoding, time, UUIDs, near names. */
#ifndef DBK_TEXT_H
#define DBK_TEXT_H

#include "base/bytes.h"

bool dbk_utf8_valid(dbk_slice text); /* well-formed, no surrogates, no overlong forms (RFC 3629) */
/* Appends the text in normalisation form C (UAX #15), in time and memory that grow as its length; characters that
 * the tables do not know yet stay. `wide` is room to work in. The text is UTF-8: where it is looked at and is not, the
 * answer is false and `out` as it was. Out of memory shows in out->failed. */
bool dbk_utf8_compose(dbk_buffer *out, dbk_slice text, dbk_buffer *wide);
/* Form C by its bytes alone: false means that it has to be looked at. */
bool dbk_utf8_is_still(dbk_slice text);
/* Names of files are whatever bytes the file system holds: as UTF-8, with U+FFFD for each byte that is of no character.
 * `out` has room for DBK_UTF8_READABLE as many bytes as `text`. Returns how many it is. */
enum { DBK_UTF8_READABLE = 3 };
size_t dbk_utf8_readable(dbk_slice text, uint8_t *out);

/* The decoders leave `out` as it was when they return false; out of memory is no false but shows in
 * out->failed, as with every put. */
void dbk_hex_encode(dbk_slice data, char *out);                 /* 2 * size + 1 bytes, lower case */
bool dbk_hex_decode(dbk_slice text, uint8_t *out, size_t size); /* false unless 2 * size digits */
void dbk_base64_encode(dbk_buffer *out, dbk_slice data);        /* RFC 4648 §4, padded */
bool dbk_base64_decode(dbk_buffer *out, dbk_slice text);        /* strict; false: not base64 */
/* Appends `part` with every byte but ASCII letters, digits, '_', '.', '-', '~' as %XX in upper case:
 * the form of keys in stream names (semantics.md §2; the model's urllib quote(safe='')). */
void dbk_percent_encode(dbk_buffer *out, dbk_slice part);
bool dbk_percent_decode(dbk_buffer *out, dbk_slice part); /* false: a % without two digits, or NUL */
bool dbk_percent_is_canonical(dbk_slice part);            /* what dbk_percent_encode would have written */

/* "YYYY-MM-DD HH:MM:SS" and, with millis, ".fff" without trailing zeros: UTC, proleptic Gregorian;
 * years 0000 to 9999, clamped. The stored form of a DATETIME (app-format.md §5.7). */
enum { DBK_TIME_TEXT_SIZE = 32 };
void dbk_time_stored(int64_t wall_ms, bool millis, char out[DBK_TIME_TEXT_SIZE]);
void dbk_time_rfc3339(int64_t wall_ms, char out[DBK_TIME_TEXT_SIZE]); /* 2026-11-21T04:05:06.789Z */
/* RFC 3339 with zone, or YYYY-MM-DD[ HH:MM[:SS[.f]]] as UTC (also with T); false: neither, or a date
 * that does not exist, a second 60, or a UTC year outside 0000 to 9999. Fractions beyond
 * milliseconds are cut. */
bool dbk_time_parse(dbk_slice text, int64_t *wall_ms);
/* The same for values that are kept: with T only with its zone. Without one it is the time of some place, and who
 * wrote it may have meant another than UTC. */
bool dbk_time_parse_value(dbk_slice text, int64_t *wall_ms);

enum { DBK_UUID_TEXT_SIZE = 37 };
void dbk_uuid_text(const uint8_t uuid[16], char out[DBK_UUID_TEXT_SIZE]);
bool dbk_uuid_parse(dbk_slice text, uint8_t out[16]); /* 8-4-4-4-12 digits, either case */

/* The nearest of `names` (within a third of its length, at least one edit), or NULL: for "did you
 * mean". */
const char *dbk_nearest(dbk_slice name, const char *const *names, size_t count);

#endif
