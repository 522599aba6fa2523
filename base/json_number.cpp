/* Numbers between their text and a double, exactly rounded and in no locale: what <charconv> does
 * and C11 cannot. Nothing here allocates or throws. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#define _Static_assert static_assert
extern "C" {
#include "base/json_internal.h"
}
#undef _Static_assert

namespace
{

bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

bool convert(dbk_slice text, double *value)
{
    const char *first = reinterpret_cast<const char *>(text.data);
    return std::from_chars(first, first + text.size, *value).ec == std::errc();
}

} // namespace

extern "C" {

/* The order of the first digit that is not 0 decides, but for one order of magnitude. */
bool dbk_json_is_finite(dbk_slice number)
{
    const uint8_t *at = number.data, *end = at + number.size;
    int64_t order = 0, exponent = 0; /* value = d.ddd * 10^(order + exponent) */
    bool fraction = false, nonzero = false;
    for (; at < end && (*at | 0x20) != 'e'; at++) {
        if (*at == '.') fraction = true;
        if (!is_digit(*at)) continue;
        if (fraction && !nonzero) order--;
        if (!fraction && nonzero) order++;
        nonzero = nonzero || *at != '0';
    }
    if (!nonzero) return true;
    bool negative = at < end && at[1] == '-';
    for (; at < end; at++)
        if (is_digit(*at) && exponent < INT64_C(1) << 40) exponent = exponent * 10 + (*at - '0');
    order += negative ? -exponent : exponent;
    if (order != 308) return order < 308;
    double value = 0.0;
    return convert(number, &value) && std::isfinite(value);
}

double dbk_json_double(const dbk_json_node *node)
{
    double value = 0.0;
    if (node->kind != DBK_JSON_NUMBER || convert(node->text, &value)) return value;
    /* The parser refuses what is above the range, so this one is too near to zero. */
    return node->text.data[0] == '-' ? -0.0 : 0.0;
}

/* Exponents from 1e16 and below 1e-4, as most readers know it from their languages. */
size_t dbk_json_format_double(double value, char out[DBK_JSON_DOUBLE_SIZE])
{
    double size = std::fabs(value);
    bool fixed = size == 0.0 || (size >= 1e-4 && size < 1e16);
    auto form = fixed ? std::chars_format::fixed : std::chars_format::scientific;
    char *end = std::to_chars(out, out + DBK_JSON_DOUBLE_SIZE - 2, value, form).ptr;
    if (fixed && !memchr(out, '.', static_cast<size_t>(end - out))) {
        *end++ = '.';
        *end++ = '0';
    }
    return static_cast<size_t>(end - out);
}

} // extern "C"
