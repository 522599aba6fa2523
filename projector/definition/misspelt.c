/* A comment that was meant as a directive: "--on job.done", "-- On job.done", "-- comand job.start(id TEXT)". It is a
 * comment all the same, for prose begins with such words too; but what stands below it would join the block above, so
 * it is warned of where the rest of the line is what such a directive has. */
#include "projector/definition/internal.h"

enum { WORD_MAX = 16, WORDS_MAX = 12 };

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '*';
}

static bool is_any(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0) return true;
    return false;
}

/* Names separated by a comma and spaces; *dotted: one has a dot or a star. */
static bool is_list(dbk_slice rest, bool *dotted)
{
    bool named = false;

    *dotted = false;
    for (size_t i = 0; i < rest.size; i++) {
        uint8_t c = rest.data[i];
        if (is_name_byte(c)) {
            named = true;
            *dotted = *dotted || c == '.' || c == '*';
        } else if (c == ',' && named) {
            named = false;
        } else if (c != ' ' || named) {
            return false;
        }
    }
    return named;
}

static bool has_list_in_brackets(dbk_slice rest)
{
    size_t at = 0;

    while (at < rest.size && is_name_byte(rest.data[at])) at++;
    return at > 0 && at < rest.size && rest.data[at] == '(';
}

/* What stands behind the word of a directive of this kind. */
static bool fits(const char *word, dbk_slice rest)
{
    static const char *const of_table[] = {"let", "put", "patch", "delete", NULL};
    static const char *const of_signature[] = {"command", "query", NULL};
    static const char *const of_text[] = {"require", "else", NULL};
    bool dotted;

    if (strcmp(word, "return") == 0) return rest.size == 0;
    if (is_any(word, of_signature)) return has_list_in_brackets(rest);
    if (is_any(word, of_text))
        return rest.size && (rest.data[0] == '\'' || dbk_slice_equal(rest, dbk_slice_text("ok")));
    if (strcmp(word, "upcast") == 0) return rest.size && memchr(rest.data, '>', rest.size);
    return is_list(rest, &dotted) && (dotted ? !is_any(word, of_table) : is_any(word, of_table));
}

void dbk_scan_doubt(dbk_check *check, const dbk_source *source, const char *const *words, size_t at, size_t end)
{
    dbk_slice line = dbk_slice_of(source->text.data + at, end - at);
    size_t begin = 2, size = 0, count = 0;
    char word[WORD_MAX];

    if (line.size < 4 || memcmp(line.data, "--", 2) != 0) return;
    while (begin < line.size && (line.data[begin] == ' ' || line.data[begin] == '\t')) begin++;
    while (begin + size < line.size && size < WORD_MAX - 1) {
        uint8_t c = line.data[begin + size] | 0x20;
        if (c < 'a' || c > 'z') break;
        word[size++] = (char)c;
    }
    word[size] = '\0';
    while (count < WORDS_MAX && words[count]) count++;
    const char *meant = is_any(word, words) ? word
                        : size > 2          ? dbk_nearest(dbk_slice_of(word, size), words, count)
                                            : NULL;
    if (!meant) return;
    dbk_slice rest = dbk_slice_of(line.data + begin + size, line.size - begin - size);
    while (rest.size && rest.data[0] == ' ') rest = dbk_slice_of(rest.data + 1, rest.size - 1);
    if (!fits(meant, rest)) return;
    const char *advice = dbk_check_printf(check, "-- %s%s%.*s    (or --- for a comment)", meant, rest.size ? " " : "",
                                          DBK_SLICE_ARG(rest));
    dbk_report_warning(check->report, (dbk_span){source, at, end}, advice,
                       "a comment: the directive is '-- %s', and what stands below belongs to the one above", meant);
}
