/* Moments on the command line: a position, or a time as RFC 3339 writes it. */
#include "cli/cli.h"

dbk_result dbk_cli_position(const char *text, const char *option, uint64_t *out, dbk_error *err)
{
    uint64_t value = 0;
    bool good = *text != 0;
    for (const char *c = text; good && *c; c++) {
        good = *c >= '0' && *c <= '9' && dbk_mul(value, 10, &value) && dbk_add(value, (uint64_t)(*c - '0'), &value);
    }
    if (!good || value > INT64_MAX) return dbk_fail(err, DBK_USAGE, "'%s' is no position for '%s'", text, option);
    *out = value;
    return DBK_OK;
}

static dbk_result take_time(const char *text, const char *option, bool or_position, int64_t *out, dbk_error *err)
{
    bool read = dbk_time_parse(dbk_slice_text(text), out);
    if (read && *out > 0) return DBK_OK;
    if (read) return dbk_fail(err, DBK_USAGE, "'%s' lies before 1970: no store has seen it", text);
    if (or_position)
        return dbk_fail(err, DBK_USAGE,
                        "'%s' is neither a position nor a time for '%s'; write 17, 2026-11-21, or 2026-11-21T04:05:06Z",
                        text, option);
    return dbk_fail(err, DBK_USAGE, "'%s' is no time for '%s'; write it as 2026-11-21T04:05:06Z", text, option);
}

dbk_result dbk_cli_moment(const char *at, const char *option, const char *order_time, dbk_moment *out, dbk_error *err)
{
    *out = (dbk_moment){0};
    dbk_result result = DBK_OK;
    bool digits = at && *at && at[strspn(at, "0123456789")] == 0;
    if (digits) {
        result = dbk_cli_position(at, option, &out->position, err);
        if (result == DBK_OK && out->position == 0)
            result = dbk_fail(err, DBK_USAGE, "there is no position 0 for '%s': positions begin at 1", option);
    } else if (at) {
        result = take_time(at, option, true, &out->time_ms, err);
    }
    if (result == DBK_OK && order_time) result = take_time(order_time, "--order-time", false, &out->order_time_ms, err);
    return result;
}

dbk_result dbk_cli_time(const char *text, const char *option, int64_t *time_ms, dbk_error *err)
{
    return take_time(text, option, false, time_ms, err);
}
