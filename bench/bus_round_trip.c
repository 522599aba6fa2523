/* The bus beside bare nng: one request at a time over REQ/REP with an echo behind it, over the bus with
 * the same bytes; then commands in arrays of 100, as a client that gathers its calls sends them. */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "bench/common.h"
#include "bus/bus.h"

enum { ROUNDS = 5, CALLS = 2000, ARRAYS = 100, PER_ARRAY = 100 };
static const char hello[] = "{\"do\":\"hello\"}";
static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT, n INTEGER) WITHOUT ROWID;";

static void must_nng(int rc, const char *what)
{
    if (rc != 0) bench_die(what, nng_strerror(rc));
}

static void *echo(void *arg)
{
    nng_socket socket = *(nng_socket *)arg;
    nng_msg *message;
    while (nng_recvmsg(socket, &message, 0) == 0)
        if (nng_sendmsg(socket, message, 0) != 0) nng_msg_free(message);
    return NULL;
}

static double bare_call(nng_socket socket, size_t answer_size)
{
    nng_msg *message;
    double begin = bench_now();
    must_nng(nng_msg_alloc(&message, answer_size), "nng_msg_alloc");
    must_nng(nng_sendmsg(socket, message, 0), "nng_sendmsg");
    must_nng(nng_recvmsg(socket, &message, 0), "nng_recvmsg");
    nng_msg_free(message);
    return bench_now() - begin;
}

static double bus_call(dbk_store *client, const char *json, size_t size)
{
    dbk_error error = {0};
    dbk_text answer = {0};
    double begin = bench_now();
    bench_must(dbk_do(client, json, size, &answer, &error), &error, "dbk_do");
    double taken = bench_now() - begin;
    dbk_text_free(&answer);
    return taken;
}

static void round_trips(dbk_store *client, nng_socket bare)
{
    static double plain[ROUNDS * CALLS], ping[ROUNDS * CALLS], asked[ROUNDS * CALLS];
    size_t count = 0;
    char detail[120];
    for (int round = 0; round < ROUNDS; round++, count += CALLS) {
        for (int i = 0; i < CALLS; i++) plain[count + (size_t)i] = bare_call(bare, sizeof hello - 1);
        for (int i = 0; i < CALLS; i++) ping[count + (size_t)i] = bus_call(client, "", 0);
        for (int i = 0; i < CALLS; i++) asked[count + (size_t)i] = bus_call(client, hello, sizeof hello - 1);
    }
    double base = bench_median(plain, count), bus = bench_median(ping, count), store = bench_median(asked, count);
    snprintf(detail, sizeof detail, "bare nng %.1f us, the bus %.1f us", base * 1e6, bus * 1e6);
    (void)bench_figure("round trip of the bus / bare nng", 1.3, bus / base, false, detail);
    snprintf(detail, sizeof detail, "answered by the store %.1f us", store * 1e6);
    (void)bench_figure("round trip of a hello / bare nng", 1.3, store / base, false, detail);
}

/* ---- arrays */

typedef struct flight {
    atomic_int left;
} flight;

static void landed(void *arg, const char *receipt, size_t size)
{
    flight *f = arg;
    (void)size;
    if (strstr(receipt, "\"ok\":false")) bench_die("an array", receipt);
    f->left--;
}

static double arrays(dbk_store *store, int round)
{
    static char json[PER_ARRAY * 160];
    flight f = {ARRAYS};
    dbk_error error = {0};
    double begin = bench_now();
    for (int a = 0; a < ARRAYS; a++) {
        size_t size = 0;
        json[size++] = '[';
        for (int i = 0; i < PER_ARRAY; i++) {
            int n = (round * ARRAYS + a) * PER_ARRAY + i;
            size += (size_t)snprintf(json + size, sizeof json - size,
                                     "%s{\"id\":\"a%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%08d\",\"data\":{"
                                     "\"title\":\"a note\",\"n\":%d}}",
                                     i ? "," : "", n, n, n);
        }
        json[size++] = ']';
        bench_must(dbk_send(store, json, size, landed, &f, &error), &error, "dbk_send");
    }
    while (f.left > 0) usleep(200);
    return ARRAYS * PER_ARRAY / (bench_now() - begin);
}

int main(void)
{
    dbk_error error = {0};
    dbk_bus *bus = NULL;
    dbk_store *client = NULL;
    dbk_engine *engine = NULL;
    dbk_store *store = NULL;
    char *folder = realpath(bench_folder(), NULL);
    if (!folder) bench_die("the folder", "has no path");
    char path[4200], app[4200], url[128];
    snprintf(path, sizeof path, "%s/bus.daybook", folder);
    snprintf(app, sizeof app, "%s/schema.sql", folder);
    FILE *file = fopen(app, "w");
    if (!file || fputs(schema, file) < 0 || fclose(file) != 0) bench_die(app, "cannot write");
    setenv("XDG_RUNTIME_DIR", folder, 1);
    bench_must(dbk_engine_create(path, app, NULL, NULL, &error), &error, "create");
    bench_must(dbk_engine_open(path, NULL, &engine, &error), &error, "open");
    bench_must(dbk_engine_wrap(engine, &store, &error), &error, "wrap");
    bench_must(dbk_bus_start(engine, store, path, NULL, &bus, &error), &error, "start the bus");
    bench_must(dbk_connect(dbk_bus_commands_url(bus), NULL, &client, &error), &error, "connect");

    nng_socket rep, req;
    pthread_t thread;
    snprintf(url, sizeof url, "ipc://%s/bare", folder);
    must_nng(nng_rep0_open(&rep), "nng_rep0_open");
    must_nng(nng_listen(rep, url, NULL, 0), url);
    must_nng(nng_req0_open(&req), "nng_req0_open");
    must_nng(nng_dial(req, url, NULL, 0), url);
    pthread_create(&thread, NULL, echo, &rep);
    round_trips(client, req);

    double rates[ROUNDS];
    char detail[120];
    for (int i = 0; i < ROUNDS; i++) rates[i] = arrays(client, i);
    double best = bench_median(rates, ROUNDS);
    snprintf(detail, sizeof detail, "median of %d runs of %d arrays", ROUNDS, ARRAYS);
    (void)bench_figure("commands/s in arrays of 100", 50000, best, true, detail);
    nng_close(req);
    nng_close(rep);
    pthread_join(thread, NULL);
    dbk_close(client);
    dbk_bus_stop(bus);
    dbk_close(store);
    free(folder);
    return 0;
}
