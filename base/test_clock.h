/* Internal to base/: the clock that tests may move; debug builds only. */
#ifndef DBK_TEST_CLOCK_H
#define DBK_TEST_CLOCK_H

#include <stdint.h>

int64_t dbk_test_clock(int64_t real_ms);

#endif
