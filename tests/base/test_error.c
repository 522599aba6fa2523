#include "fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* The whole list, from which everything else is made: names and values are unique, texts are there. */
static void every_code_has_a_name_of_its_own(void **state)
{
    (void)state;
    static const dbk_result codes[] = {
#define X(code, value, name, wire, class_, text) DBK_##code,
        DBK_RESULT_LIST(X)
#undef X
    };
    size_t count = sizeof(codes) / sizeof(codes[0]);

    for (size_t i = 0; i < count; i++) {
        assert_true(dbk_result_name(codes[i])[0] && dbk_result_text(codes[i])[0]);
        assert_int_equal(dbk_result_class(codes[i]) == DBK_CLASS_NONE, codes[i] >= 0);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(dbk_result_name(codes[i]), dbk_result_name(codes[k]));
        }
    }
    assert_string_equal(dbk_result_name(DBK_LOST), "lost");
    assert_string_equal(dbk_result_wire_name(DBK_LOST), "corrupt");
    assert_string_equal(dbk_result_text(DBK_LOST), "acknowledged entries are gone");
    assert_int_equal(dbk_result_class(DBK_LOST), DBK_CLASS_CRITICAL);
    assert_string_equal(dbk_result_wire_name(DBK_END), "ok");
}

static void unknown_codes_show_as_internal(void **state)
{
    (void)state;
    const dbk_result unknown = (dbk_result)-999;

    assert_string_equal(dbk_result_name(unknown), "internal");
    assert_string_equal(dbk_result_wire_name(unknown), "internal");
    assert_string_equal(dbk_result_text(unknown), "an internal failure");
    assert_int_equal(dbk_result_class(unknown), DBK_CLASS_CRITICAL);
}

static void classes_have_names(void **state)
{
    (void)state;
    assert_string_equal(dbk_class_name(DBK_CLASS_NONE), "none");
    assert_string_equal(dbk_class_name(DBK_CLASS_TRANSIENT), "transient");
    assert_string_equal(dbk_class_name(DBK_CLASS_PERSISTENT), "persistent");
    assert_string_equal(dbk_class_name(DBK_CLASS_CRITICAL), "critical");
    assert_string_equal(dbk_class_name(DBK_CLASS_VALIDATION), "validation");
}

/* A lock is held, its opener says so, and the opener of the store says so: one line tells it all. */
static void wrapping_puts_the_outer_text_in_front(void **state)
{
    (void)state;
    dbk_error err;

    memset(&err, 0xee, sizeof(err));
    assert_int_equal(dbk_fail(&err, DBK_LOCKED, "held by process %d", 12), DBK_LOCKED);
    int line = __LINE__ - 1;
    dbk_error_hint(&err, "end process %d", 12);
    assert_int_equal(dbk_error_wrap(&err, DBK_LOCKED, "cannot lock '%s'", "x/LOCK"), DBK_LOCKED);
    assert_int_equal(dbk_error_wrap(&err, DBK_BUSY, "cannot open store '%s'", "x"), DBK_BUSY);
    assert_string_equal(err.text, "cannot open store 'x': cannot lock 'x/LOCK': held by process 12");
    assert_string_equal(err.hint, "end process 12");
    assert_int_equal(err.code, DBK_BUSY);
    assert_int_equal(err.os_errno, 0);
    assert_int_equal(err.line, line);
    assert_non_null(strstr(err.file, "test_error.c"));
    (void)dbk_fail(&err, DBK_IO, "other");
    assert_string_equal(err.hint, "");
}

static void a_record_is_optional(void **state)
{
    (void)state;
    assert_int_equal(dbk_fail(NULL, DBK_IO, "x"), DBK_IO);
    assert_int_equal(dbk_error_wrap(NULL, DBK_IO, "x"), DBK_IO);
    dbk_error_hint(NULL, "x");
}

static void a_record_may_be_an_argument_of_its_own_text(void **state)
{
    (void)state;
    dbk_error err;

    (void)dbk_fail(&err, DBK_IO, "inner");
    (void)dbk_fail(&err, DBK_CORRUPT, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
    (void)dbk_fail(&err, DBK_IO, "%s", "");
    (void)dbk_error_wrap(&err, DBK_IO, "alone");
    assert_string_equal(err.text, "alone");
}

static void system_errors_carry_the_systems_text(void **state)
{
    (void)state;
    dbk_error err;

    (void)dbk_fail_os(&err, DBK_NO_SPACE, -ENOSPC, "cannot write '%s'", "a");
    assert_string_equal(err.text, "cannot write 'a': no space left on device");
    assert_int_equal(err.os_errno, ENOSPC);
    (void)dbk_fail_os(&err, DBK_IO, 99999, "cannot write '%s'", "a");
    assert_string_equal(err.text, "cannot write 'a': system error 99999");
    (void)dbk_fail_os(&err, DBK_IO, EXDEV, "x");
    assert_string_equal(err.text, "x: invalid cross-device link");
}

/* Characters of one to four bytes in front of the end, at every offset to it: the text fills the
 * record but for at most three bytes and never ends inside a character. */
static void texts_are_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    char text[DBK_ERROR_TEXT_SIZE * 2];
    dbk_error err;

    for (size_t i = 0; i < 4; i++) {
        for (size_t shift = 0; shift < 8; shift++) {
            memset(text, 'a', shift);
            text[shift] = '\0';
            while (strlen(text) < sizeof(text) - 8) strcat(text, characters[i]);
            (void)dbk_fail(&err, DBK_IO, "%s", text);
            assert_true(dbk_utf8_valid(dbk_slice_text(err.text)));
            assert_in_range(strlen(err.text), DBK_ERROR_TEXT_SIZE - 4, DBK_ERROR_TEXT_SIZE - 1);
            (void)dbk_error_wrap(&err, DBK_IO, "%.*s", (int)shift, "abcdefgh");
            assert_true(dbk_utf8_valid(dbk_slice_text(err.text)));
            assert_in_range(strlen(err.text), DBK_ERROR_TEXT_SIZE - 4, DBK_ERROR_TEXT_SIZE - 1);
            dbk_error_hint(&err, "%s", text);
            assert_true(dbk_utf8_valid(dbk_slice_text(err.hint)));
            assert_in_range(strlen(err.hint), DBK_ERROR_HINT_SIZE - 4, DBK_ERROR_HINT_SIZE - 1);
        }
    }
}

/* A text that a NUL cuts before its end is empty then, and not cut before its begin. */
static void texts_end_at_a_nul(void **state)
{
    dbk_error err = {0};

    (void)state;
    (void)dbk_fail(&err, DBK_IO, "%c%*s", 0, DBK_ERROR_TEXT_SIZE * 2, "x");
    assert_string_equal(err.text, "");
    (void)dbk_fail_os(&err, DBK_IO, 81, "x"); /* its text begins with a full stop */
    assert_true(dbk_utf8_valid(dbk_slice_text(err.text)));
}

/* Text from outside that is no UTF-8 at all is cut too, without running off its front. */
static void continuation_bytes_alone_are_cut_safely(void **state)
{
    (void)state;
    char text[DBK_ERROR_TEXT_SIZE + 10];
    dbk_error err;

    memset(text, 0x80, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    (void)dbk_fail(&err, DBK_IO, "%s", text);
    assert_in_range(strlen(err.text), DBK_ERROR_TEXT_SIZE - 8, DBK_ERROR_TEXT_SIZE - 1);
}

/* A text that the caller cut inside a character, or a name of any bytes. */
static void what_is_no_character_is_marked(void **state)
{
    (void)state;
    dbk_error err;

    (void)dbk_fail(&err, DBK_SCHEMA, "not '%.*s'", 2, "a\xe2\x82\xac");
    assert_string_equal(err.text, "not 'a?'");
    (void)dbk_fail(&err, DBK_IO, "cannot open '%s'", "\x80\xc3\xa4\xff\xf0\x9f\x98\x80\xc3");
    assert_string_equal(err.text, "cannot open '?\xc3\xa4?\xf0\x9f\x98\x80?'");
    dbk_error_hint(&err, "look at '%.1s'", "\xc3\xa4");
    assert_string_equal(err.hint, "look at '?'");
}

static void a_text_that_cannot_be_formatted_is_empty(void **state)
{
    (void)state;
    static const wchar_t wide[] = {0x20ac, 0};
    dbk_error err;

    assert_int_equal(dbk_fail(&err, DBK_IO, "%ls", wide), DBK_IO);
    assert_string_equal(err.text, "");
}

static void errnos_have_their_codes(void **state)
{
    (void)state;
    static const struct {
        int os_errno;
        dbk_result code;
    } table[] = {
        {0, DBK_OK},
        {ENOSPC, DBK_NO_SPACE},
        {EDQUOT, DBK_NO_SPACE},
        {EMFILE, DBK_NO_FILES},
        {ENFILE, DBK_NO_FILES},
        {ENOMEM, DBK_NO_MEMORY},
        {EROFS, DBK_READ_ONLY},
        {EACCES, DBK_READ_ONLY},
        {EPERM, DBK_READ_ONLY},
        {ENOENT, DBK_MISSING},
        {EEXIST, DBK_EXISTS},
        {EIO, DBK_IO},
        {EINVAL, DBK_IO},
        {99999, DBK_IO},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(dbk_result_of_errno(table[i].os_errno), table[i].code);
        assert_int_equal(dbk_result_of_errno(-table[i].os_errno), table[i].code);
    }
}

/* In builds for tests what was never to come ends the program, with its place; else it is answered, but where branches
 * are counted. */
static void what_never_comes_ends_a_test(void **state)
{
    (void)state;
    int two = 2;
    bool came = dbk_never(two == 3);
    assert_false(came);
#if defined(DBK_NEVER_IS_CONSTANT)
    came = dbk_never(two == 2);
    assert_false(came);
#elif defined(DBK_NEVER_ABORTS)
    int ends[2], status;
    char text[200] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        _exit(dbk_never(two == 2));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "test_error.c:"));
    assert_non_null(strstr(text, "two == 2"));
    close(ends[0]);
    close(ends[1]);
#else
    came = dbk_never(two == 2);
    assert_true(came);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(unknown_codes_show_as_internal),
        cmocka_unit_test(classes_have_names),
        cmocka_unit_test(wrapping_puts_the_outer_text_in_front),
        cmocka_unit_test(a_record_is_optional),
        cmocka_unit_test(a_record_may_be_an_argument_of_its_own_text),
        cmocka_unit_test(system_errors_carry_the_systems_text),
        cmocka_unit_test(texts_are_cut_between_characters),
        cmocka_unit_test(texts_end_at_a_nul),
        cmocka_unit_test(continuation_bytes_alone_are_cut_safely),
        cmocka_unit_test(what_is_no_character_is_marked),
        cmocka_unit_test(a_text_that_cannot_be_formatted_is_empty),
        cmocka_unit_test(errnos_have_their_codes),
        cmocka_unit_test(what_never_comes_ends_a_test),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
