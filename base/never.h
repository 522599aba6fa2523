/* dbk_never: a defence against what the code in front of it already excludes (docs/decisions/0036).
 *
 * It may be asked only of what follows from checks that this process has made, on memory that it alone changes. What a
 * file, a peer, a user, SQL, a clock or a failing call can bring about is no such thing, nor is what a file says when it
 * is read a second time. In a release the condition is evaluated as it stands, so that the defence holds even so. Where
 * DBK_NEVER_ABORTS is defined (debug and sanitized builds: all tests, all fuzzers) a true one ends the program with its
 * place. Where DBK_NEVER_IS_CONSTANT is (the build that counts branches) it is no branch at all: the condition must have
 * no effect of its own. */
#ifndef DBK_NEVER_H
#define DBK_NEVER_H

#include <stdbool.h>

__attribute__((noreturn, cold)) void dbk_never_came(const char *condition, const char *file, int line);

#if defined(DBK_NEVER_IS_CONSTANT)
#define dbk_never(condition) (sizeof((condition) ? 1 : 0) == 0)
#elif defined(DBK_NEVER_ABORTS)
#define dbk_never(condition) ((condition) ? (dbk_never_came(#condition, __FILE__, __LINE__), true) : false)
#else
#define dbk_never(condition) __builtin_expect(!!(condition), 0)
#endif

#endif
