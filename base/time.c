/* Dates without the C library's calendar: no locale, no time zone data, no year limits but ours. */
#include "base/text.h"

static const int64_t day_ms = 86400000;
static const int64_t first_ms = -62167219200000; /* 0000-01-01 00:00:00.000 */
static const int64_t last_ms = 253402300799999;  /* 9999-12-31 23:59:59.999 */

typedef struct dbk_calendar {
    int year, month, day, hour, minute, second, ms;
} dbk_calendar;

/* Days from 1970-01-01. The year is taken to begin in March, so that the leap day is its last: then
 * the months' lengths follow the line (153 m + 2) / 5. */
static int64_t days_of_date(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t month_from_march = month > 2 ? month - 3 : month + 9;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, dbk_calendar *out)
{
    int64_t from_march_0000 = days + 719468;
    int64_t era = (from_march_0000 >= 0 ? from_march_0000 : from_march_0000 - 146096) / 146097;
    int64_t day_of_era = from_march_0000 - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;

    out->day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    out->month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    out->year = (int)(year_of_era + era * 400) + (out->month <= 2);
}

static dbk_calendar calendar_of(int64_t wall_ms)
{
    dbk_calendar out;
    int64_t days, rest;

    if (wall_ms < first_ms) wall_ms = first_ms;
    if (wall_ms > last_ms) wall_ms = last_ms;
    days = wall_ms / day_ms - (wall_ms % day_ms < 0);
    rest = wall_ms - days * day_ms;
    date_of_days(days, &out);
    out.hour = (int)(rest / 3600000);
    out.minute = (int)(rest / 60000 % 60);
    out.second = (int)(rest / 1000 % 60);
    out.ms = (int)(rest % 1000);
    return out;
}

static char *put_digits(char *at, int value, int width)
{
    for (int i = width - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
    return at + width;
}

/* "YYYY-MM-DD?HH:MM:SS" with `between` for the question mark; returns the end. */
static char *put_seconds(char *at, const dbk_calendar *c, char between)
{
    at = put_digits(at, c->year, 4);
    *at++ = '-';
    at = put_digits(at, c->month, 2);
    *at++ = '-';
    at = put_digits(at, c->day, 2);
    *at++ = between;
    at = put_digits(at, c->hour, 2);
    *at++ = ':';
    at = put_digits(at, c->minute, 2);
    *at++ = ':';
    return put_digits(at, c->second, 2);
}

void dbk_time_stored(int64_t wall_ms, bool millis, char out[DBK_TIME_TEXT_SIZE])
{
    dbk_calendar c = calendar_of(wall_ms);
    char *at = put_seconds(out, &c, ' ');

    if (millis && c.ms) {
        *at++ = '.';
        at = put_digits(at, c.ms, 3);
        while (at[-1] == '0') at--;
    }
    *at = '\0';
}

void dbk_time_rfc3339(int64_t wall_ms, char out[DBK_TIME_TEXT_SIZE])
{
    dbk_calendar c = calendar_of(wall_ms);
    char *at = put_seconds(out, &c, 'T');

    *at++ = '.';
    at = put_digits(at, c.ms, 3);
    *at++ = 'Z';
    *at = '\0';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool next_is(const dbk_reader *r, const char *any_of)
{
    return dbk_reader_left(r) > 0 && *r->at && strchr(any_of, *r->at);
}

/* Takes one byte if it is among `any_of`. */
static bool take_byte(dbk_reader *r, const char *any_of)
{
    if (!next_is(r, any_of)) return false;
    r->at++;
    return true;
}

/* Takes exactly `width` digits with a value between low and high. */
static bool take_number(dbk_reader *r, int width, int low, int high, int *out)
{
    int value = 0;

    for (int i = 0; i < width; i++) {
        uint8_t digit = dbk_reader_u8(r);
        if (!is_digit(digit)) return false;
        value = value * 10 + (digit - '0');
    }
    *out = value;
    return value >= low && value <= high;
}

static bool take_date(dbk_reader *r, dbk_calendar *c)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap;

    if (!take_number(r, 4, 0, 9999, &c->year) || !take_byte(r, "-")) return false;
    if (!take_number(r, 2, 1, 12, &c->month) || !take_byte(r, "-")) return false;
    leap = (c->year % 4 == 0 && c->year % 100 != 0) || c->year % 400 == 0;
    return take_number(r, 2, 1, days[c->month - 1] + (c->month == 2 && leap), &c->day);
}

static bool take_fraction(dbk_reader *r, int *ms)
{
    int scale = 100;

    if (dbk_reader_left(r) == 0 || !is_digit(*r->at)) return false;
    for (; dbk_reader_left(r) > 0 && is_digit(*r->at); r->at++, scale /= 10) {
        *ms += (*r->at - '0') * scale;
    }
    return true;
}

/* "Z", "+HH:MM", "-HH:MM"; minutes east of UTC. */
static bool take_zone(dbk_reader *r, int *east)
{
    int hours, minutes;
    bool west;

    if (take_byte(r, "Zz")) return true;
    west = next_is(r, "-");
    if (!take_byte(r, "+-") || !take_number(r, 2, 0, 23, &hours)) return false;
    if (!take_byte(r, ":") || !take_number(r, 2, 0, 59, &minutes)) return false;
    *east = hours * 60 + minutes;
    if (west) *east = -*east;
    return true;
}

/* "HH:MM[:SS[.f]]", and a zone only where RFC 3339 has one: behind seconds. */
static bool take_clock(dbk_reader *r, dbk_calendar *c, int *east)
{
    if (!take_number(r, 2, 0, 23, &c->hour) || !take_byte(r, ":")) return false;
    if (!take_number(r, 2, 0, 59, &c->minute)) return false;
    if (dbk_reader_left(r) == 0) return true;
    if (!take_byte(r, ":") || !take_number(r, 2, 0, 59, &c->second)) return false;
    if (take_byte(r, ".") && !take_fraction(r, &c->ms)) return false;
    return dbk_reader_left(r) == 0 || take_zone(r, east);
}

bool dbk_time_parse(dbk_slice text, int64_t *wall_ms)
{
    dbk_reader reader = dbk_reader_of(text);
    dbk_calendar c = {0};
    int64_t minutes, ms;
    int east = 0;

    if (!take_date(&reader, &c)) return false;
    if (dbk_reader_left(&reader) > 0) {
        if (!take_byte(&reader, " Tt") || !take_clock(&reader, &c, &east)) return false;
        if (dbk_reader_left(&reader) > 0) return false;
    }
    minutes = days_of_date(c.year, c.month, c.day) * 1440 + c.hour * 60 + c.minute - east;
    ms = minutes * 60000 + c.second * 1000 + c.ms;
    if (ms < first_ms || ms > last_ms) return false;
    *wall_ms = ms;
    return true;
}

bool dbk_time_parse_value(dbk_slice text, int64_t *wall_ms)
{
    bool has_t = text.size > 10 && (text.data[10] | 0x20) == 't';

    if (has_t && (text.data[text.size - 1] | 0x20) != 'z') {
        uint8_t sign = text.size > 16 ? text.data[text.size - 6] : 0;
        if (sign != '+' && sign != '-') return false;
    }
    return dbk_time_parse(text, wall_ms);
}
