/* The bus with a machine that has no memory at the n-th time it is asked, and with one that has none from
 * then on: it starts or says why not, a connection is served or ends, and it stops. */
#include "bus_raw.h"

#include <nng/nng.h>

static struct {
    dbk_port port;
    _Atomic long left; /* allocations that succeed; below 0: no limit */
    bool for_ever;
} short_of;

static bool refuses(void)
{
    if (short_of.left < 0) return false;
    long left = short_of.left--;
    if (left > 0) return false;
    if (short_of.for_ever) short_of.left = 0;
    return true;
}

static void *take(void *ctx, size_t size)
{
    return refuses() ? NULL : dbk_port_system()->alloc(ctx, size);
}
static void *again(void *ctx, void *memory, size_t size)
{
    return refuses() ? NULL : dbk_port_system()->resize(ctx, memory, size);
}

/* One run of the bus; true: it got through without a refusal being noticed. */
static bool try_it(served *s, long allowed, bool for_ever)
{
    dbk_error error = {0};
    char body[4096];
    bool good = false;
    short_of.for_ever = for_ever;
    short_of.left = allowed;
    if (dbk_bus_start(s->engine, s->store, s->path, &s->options, &s->bus, &error) == DBK_OK) {
        uint8_t greeting[8];
        int fd = raw_connect(dbk_bus_commands_url(s->bus)), feed = raw_connect(dbk_bus_changes_url(s->bus));
        good = raw_write(fd, raw_req, 8) && raw_read(fd, greeting, 8) && raw_ask(fd, 1, "{\"do\":\"hello\"}") &&
               raw_answer(fd, body, sizeof body) && raw_ask(fd, 2, "{\"do\":\"status\"}") &&
               raw_answer(fd, body, sizeof body);
        good &= raw_write(feed, raw_sub, 8) && raw_read(feed, greeting, 8);
        close(fd);
        close(feed);
    } else {
        assert_true(error.text[0]);
    }
    served_stop(s);
    bool was_short = short_of.left <= 0 && short_of.left != -1000000;
    short_of.left = -1000000;
    return good && !was_short;
}

static void without_memory_it_says_so_or_goes_on(void **state)
{
    served *s = *state;
    served_stop(s);
    short_of.port = *dbk_port_system();
    short_of.port.alloc = take;
    short_of.port.resize = again;
    short_of.left = -1000000;
    s->options.port = &short_of.port;
    for (int kind = 0; kind < 2; kind++) {
        long allowed = 0;
        while (!try_it(s, allowed, kind == 1)) assert_true(++allowed < 500);
        assert_true(allowed > 10);
    }
    served_start(s);
    dbk_store *client = served_connect(s);
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(client);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(without_memory_it_says_so_or_goes_on),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini();
    return failed;
}
