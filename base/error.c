/* The error record is filled where something fails and added to on the way up: text in front of text, "cannot open
 * 'x': cannot lock 'y'". All of it has a fixed size; what does not fit is cut at a whole character. */
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Takes back a character that a size limit cut in two, so that the text stays valid UTF-8. */
static void drop_cut_character(char *text)
{
    size_t size = strlen(text), start = size;
    size_t need = 1;

    while (start > 0 && size - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
    if (start == 0) return;
    unsigned char lead = (unsigned char)text[start - 1];
    if (lead >= 0xF0) {
        need = 4;
    } else if (lead >= 0xE0) {
        need = 3;
    } else if (lead >= 0xC0) {
        need = 2;
    }
    if (size - (start - 1) < need) text[start - 1] = '\0';
}

/* Texts from outside are shown in part, cut wherever, and names of files are any bytes: what is no character
 * is shown as '?', so that the text stays valid UTF-8. */
static void mark_ill_formed(char *text)
{
    if (dbk_utf8_valid(dbk_slice_text(text))) return;
    while (*text) {
        unsigned char lead = (unsigned char)*text;
        size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        bool whole = dbk_utf8_valid(dbk_slice_of(text, strnlen(text, size)));
        if (!whole) *text = '?';
        text += whole ? size : 1;
    }
}

/* Formats into out[size]; a text that does not fit is cut at a character's border. */
static void format_text(char *out, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));
static void format_text(char *out, size_t size, const char *format, va_list args)
{
    int length = vsnprintf(out, size, format, args);

    if (length < 0) {
        out[0] = '\0';
    } else if ((size_t)length >= size) {
        drop_cut_character(out);
    }
    mark_ill_formed(out);
}

static void append_text(char *out, size_t size, const char *more)
{
    size_t used = strlen(out), length = strlen(more);
    size_t room = size - 1 - used;
    size_t taken = length < room ? length : room;

    memcpy(out + used, more, taken);
    out[used + taken] = '\0';
    if (taken < length) drop_cut_character(out);
}

static void append_system_text(char *out, size_t size, int os_errno)
{
    const char *text = strerrordesc_np(os_errno);
    char lower[128];

    if (!text) {
        (void)snprintf(lower, sizeof(lower), ": system error %d", os_errno);
    } else {
        (void)snprintf(lower, sizeof(lower), ": %s", text);
        if ((unsigned char)(lower[2] - 'A') < 26) lower[2] = (char)(lower[2] + ('a' - 'A'));
    }
    append_text(out, size, lower);
}

dbk_result dbk_error_set(dbk_error *err, dbk_result code, int os_errno, const char *file, int line, const char *format,
                         ...)
{
    /* Through a copy: an argument may be the text of the record itself. */
    char text[DBK_ERROR_TEXT_SIZE];
    va_list args;

    if (!err) return code;
    va_start(args, format);
    format_text(text, sizeof(text), format, args);
    va_end(args);
    err->os_errno = os_errno < 0 ? -os_errno : os_errno;
    if (err->os_errno) append_system_text(text, sizeof(text), err->os_errno);
    err->code = code;
    err->file = file;
    err->line = line;
    memcpy(err->text, text, strlen(text) + 1);
    err->hint[0] = '\0';
    if (code == DBK_NO_FILES) dbk_error_hint(err, "close other files or raise the limit (ulimit -n)");
    return code;
}

dbk_result dbk_error_wrap(dbk_error *err, dbk_result code, const char *format, ...)
{
    char text[DBK_ERROR_TEXT_SIZE];
    va_list args;

    if (!err) return code;
    va_start(args, format);
    format_text(text, sizeof(text), format, args);
    va_end(args);
    if (err->text[0]) {
        append_text(text, sizeof(text), ": ");
        append_text(text, sizeof(text), err->text);
    }
    memcpy(err->text, text, strlen(text) + 1);
    err->code = code;
    return code;
}

void dbk_error_hint(dbk_error *err, const char *format, ...)
{
    char text[DBK_ERROR_HINT_SIZE];
    va_list args;

    if (!err) return;
    va_start(args, format);
    format_text(text, sizeof(text), format, args);
    va_end(args);
    memcpy(err->hint, text, strlen(text) + 1);
}

dbk_result dbk_result_of_errno(int os_errno)
{
    switch (os_errno < 0 ? -os_errno : os_errno) {
    case 0: return DBK_OK;
    case ENOSPC:
    case EDQUOT: return DBK_NO_SPACE;
    case EMFILE:
    case ENFILE: return DBK_NO_FILES;
    case ENOMEM: return DBK_NO_MEMORY;
    case EROFS:
    case EACCES:
    case EPERM: return DBK_READ_ONLY;
    case ENOENT: return DBK_MISSING;
    case EEXIST: return DBK_EXISTS;
    default: return DBK_IO;
    }
}
