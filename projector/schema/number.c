/* Numbers of JSON by their text: 0.1 is a tenth and 12345678901234567890 is itself. A number is its digits,
 * without zeros at either end, times a power of ten. */
#include "projector/schema/internal.h"

enum { DIVISOR_DIGITS_MAX = 18 };
static const int64_t power_limit = INT64_C(1000000000000000); /* of exponents as written: more says nothing else */

typedef struct decimal {
    bool negative;
    dbk_slice digits; /* from the first that counts to the last, perhaps with a point in it */
    size_t count;     /* digits in it */
    int64_t power;    /* of ten, of its last digit */
} decimal;

static int64_t read_power(const uint8_t *at, const uint8_t *end)
{
    bool negative = at < end && *at == '-';
    int64_t power = 0;

    if (at < end && (*at == '-' || *at == '+')) at++;
    for (; at < end && power < power_limit; at++) power = power * 10 + (*at - '0');
    return negative ? -power : power;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The grammar was checked by the parser. */
static decimal decimal_of(dbk_slice text)
{
    const uint8_t *at = text.data, *end = at + text.size, *mantissa_end = at, *point = NULL;
    decimal d = {.negative = text.size && *at == '-'};

    if (d.negative) at++;
    for (mantissa_end = at; mantissa_end < end && (is_digit(*mantissa_end) || *mantissa_end == '.'); mantissa_end++)
        if (*mantissa_end == '.') point = mantissa_end;
    int64_t power = mantissa_end < end ? read_power(mantissa_end + 1, end) : 0;
    const uint8_t *first = at, *last = mantissa_end;
    while (first < last && (*first == '0' || *first == '.')) first++;
    while (last > first && (last[-1] == '0' || last[-1] == '.')) last--;
    d.digits = dbk_slice_of(first, (size_t)(last - first));
    d.count = d.digits.size - (point && point >= first && point < last ? 1 : 0);
    if (d.count == 0) return (decimal){.negative = false, .digits = d.digits};
    if (!point) point = mantissa_end;
    d.power = power + (last <= point ? (int64_t)(point - last) : -(int64_t)(last - point - 1));
    return d;
}

/* The digit at `*at`, over a point; `*at` moves. */
static int next_digit(const decimal *d, size_t *at)
{
    if (*at < d->digits.size && d->digits.data[*at] == '.') (*at)++;
    return *at < d->digits.size ? d->digits.data[(*at)++] - '0' : 0;
}

static int compare_size(const decimal *a, const decimal *b)
{
    size_t at = 0, bt = 0, most = a->count > b->count ? a->count : b->count;
    int64_t high_a = a->power + (int64_t)a->count, high_b = b->power + (int64_t)b->count;

    if (a->count == 0 || b->count == 0) return (a->count > 0) - (b->count > 0);
    if (high_a != high_b) return high_a < high_b ? -1 : 1;
    for (size_t i = 0; i < most; i++) {
        int difference = next_digit(a, &at) - next_digit(b, &bt);
        if (difference) return difference < 0 ? -1 : 1;
    }
    return 0;
}

int dbk_number_compare(dbk_slice one, dbk_slice other)
{
    decimal a = decimal_of(one), b = decimal_of(other);

    if (a.negative != b.negative) return a.negative ? -1 : 1;
    return a.negative ? -compare_size(&a, &b) : compare_size(&a, &b);
}

bool dbk_number_is_integer(dbk_slice text)
{
    decimal d = decimal_of(text);

    return d.count == 0 || d.power >= 0;
}

bool dbk_number_is_positive(dbk_slice text)
{
    decimal d = decimal_of(text);

    return d.count > 0 && !d.negative;
}

bool dbk_number_divisor_fits(dbk_slice text)
{
    return decimal_of(text).count <= DIVISOR_DIGITS_MAX;
}

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t modulus)
{
    return (uint64_t)((unsigned __int128)a * b % modulus);
}

/* a·10^p is a multiple of b·10^q when b divides a·10^(p-q). With p < q it is not: a does not end in a zero. */
bool dbk_number_is_multiple(dbk_slice number, dbk_slice divisor)
{
    decimal a = decimal_of(number), b = decimal_of(divisor);
    uint64_t modulus = 0, rest = 0, ten;
    size_t at = 0;

    if (a.count == 0) return true;
    if (b.count == 0 || b.count > DIVISOR_DIGITS_MAX || a.power < b.power) return false;
    for (size_t i = 0; i < b.count; i++) modulus = modulus * 10 + (uint64_t)next_digit(&b, &at);
    at = 0;
    for (size_t i = 0; i < a.count; i++) rest = (multiply(rest, 10, modulus) + (uint64_t)next_digit(&a, &at)) % modulus;
    ten = 10 % modulus;
    for (uint64_t power = (uint64_t)(a.power - b.power); power; power >>= 1) {
        if (power & 1) rest = multiply(rest, ten, modulus);
        ten = multiply(ten, ten, modulus);
    }
    return rest == 0;
}

bool dbk_number_count(const dbk_json_node *node, uint64_t *count)
{
    static const uint64_t most = UINT64_C(1) << 53;
    int64_t value;

    if (node->kind != DBK_JSON_NUMBER || !dbk_number_is_integer(node->text)) return false;
    if (decimal_of(node->text).negative) return false;
    *count = dbk_json_is_integer(node, &value) && (uint64_t)value < most ? (uint64_t)value : most;
    return true;
}

uint64_t dbk_number_hash(dbk_slice text)
{
    decimal d = decimal_of(text);
    uint64_t hash = d.negative ? 0x9e3779b97f4a7c15u : 0x517cc1b727220a95u;
    size_t at = 0;

    for (size_t i = 0; i < d.count; i++) hash = (hash ^ (uint64_t)next_digit(&d, &at)) * 0x100000001b3u;
    return (hash ^ (uint64_t)d.power) * 0x9e3779b97f4a7c15u;
}
