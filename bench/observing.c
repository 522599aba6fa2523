/* What watching every row costs: the fold of the same facts, 64 to a commit, into models that differ in what is done
 * with the rows that change: nothing, the fingerprint, the journal too, the change messages too. */
#include "bench/common.h"

#include "projector/model/internal.h"

enum { BATCH = 64, BATCHES = 10, BODY = 330, PARTS = 4 };
static const char *const parts[PARTS] = {"nothing", "fingerprint", "journal", "feed"};

static const char schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, size INTEGER, arch TEXT, "
    "maintainer TEXT, homepage TEXT, priority INTEGER, depends TEXT, summary TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);";

typedef struct bench_side {
    dbk_model *model;
    uint64_t position;
    double spent[200];
} bench_side;

static const dbk_port *port;
static char body[BODY + 1];
static dbk_buffer origins[BATCH * BATCHES];

/* A half puts new rows, a half patches rows of before. */
static void make_fact(dbk_buffer *out, uint64_t number)
{
    char stream[64], data[1200];
    bool put = number % 2 == 0 || number < 1000;
    uint64_t row = put ? number : bench_random() % (number / 2) * 2;
    uint32_t key = (uint32_t)row * 2654435761u;
    snprintf(stream, sizeof stream, "package/p%08x", key);
    int size = put ? snprintf(data, sizeof data,
                              "{\"arch\":\"amd64\",\"body\":\"%s\",\"depends\":\"libc6 (>= 2.%llu)\",\"homepage\":"
                              "\"https://example.org/p%08x\",\"maintainer\":\"Maintainer %llu\",\"name\":\"p%08x\","
                              "\"priority\":%llu,\"section\":\"s%llu\",\"size\":%llu,\"summary\":\"a package\","
                              "\"version\":\"1.%llu\"}",
                              body, (unsigned long long)row % 40, key, (unsigned long long)row % 997, key,
                              (unsigned long long)row % 7, (unsigned long long)row % 60, (unsigned long long)row,
                              (unsigned long long)row)
                   : snprintf(data, sizeof data, "{\"priority\":%llu,\"version\":\"2.%llu\"}",
                              (unsigned long long)number % 7, (unsigned long long)number);
    dbk_buffer event;
    dbk_buffer_init(&event, port);
    dbk_event_encode(&event, &(dbk_event){.stream = dbk_slice_text(stream),
                                          .type = dbk_slice_text(put ? "package.put" : "package.patched"),
                                          .type_version = 1,
                                          .data = dbk_slice_of(data, (size_t)size)});
    dbk_entry entry = {
        .id = {{1}, 1, number + 1}, .hlc = (number + 1) << 16, .event_count = 1, .events = dbk_buffer_slice(&event)};
    dbk_buffer_clear(out);
    dbk_entry_encode(out, &entry);
    dbk_buffer_release(&event);
}

static void fold_batch(bench_side *side, int part, const dbk_buffer *facts, dbk_buffer *message)
{
    static const uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE];
    dbk_error err = {0};
    dbk_changes changes = {0};
    bench_must(dbk_model_begin(side->model, &err), &err, "begin");
    for (int i = 0; i < BATCH; i++)
        bench_must(dbk_model_apply(side->model, ++side->position, dbk_buffer_slice(&facts[i]), &err), &err, "apply");
    bench_must(dbk_model_commit(side->model, side->position, head, top, &changes, &err), &err, "commit");
    for (size_t i = 0; part == PARTS - 1 && i < changes.count; i++) {
        dbk_buffer_clear(message);
        bench_must(dbk_model_change_json(side->model, &changes.items[i], message, &err), &err, "message");
    }
}

static void open_side(bench_side *side, int part, const dbk_definition *definition)
{
    char path[4400];
    dbk_error err = {0};
    snprintf(path, sizeof path, "%s/%s.sqlite", bench_folder(), parts[part]);
    bench_must(dbk_model_create(port, path, definition, NULL, NULL, &side->model, &err), &err, "create");
    if (part == 0) sqlite3_preupdate_hook(dbk_model_handle(side->model), NULL, NULL);
    if (part == PARTS - 1) dbk_model_keep_rows(side->model, true); /* as where somebody subscribes */
    if (part == 1) dbk_observer_set_bulk(side->model->observer, true);
}

/* Medians of the rounds: the share of `whole` by which `more` exceeds `less`, in percent. */
static double share(bench_side *more, bench_side *less, bench_side *whole, int rounds)
{
    double values[200];
    for (int i = 0; i < rounds; i++) values[i] = 100 * (more->spent[i] - less->spent[i]) / whole->spent[i];
    return bench_median(values, (size_t)rounds);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    int rounds = quick ? 40 : 150;
    static bench_side sides[PARTS];
    char app[4400], detail[160];
    dbk_definition *definition = NULL;
    dbk_error err = {0};
    dbk_findings findings = {0};
    dbk_buffer message;
    port = dbk_port_system();
    memset(body, 'b', BODY);
    dbk_buffer_init(&message, port);
    for (int i = 0; i < BATCH * BATCHES; i++) dbk_buffer_init(&origins[i], port);
    snprintf(app, sizeof app, "%s/app", bench_folder());
    bench_write_app(app, &(bench_app){.schema = schema});
    bench_must(dbk_definition_load(port, app, &definition, &findings, &err), &err, "definition");
    dbk_findings_free(&findings);
    for (int part = 0; part < PARTS; part++) open_side(&sides[part], part, definition);
    for (int round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < BATCH * BATCHES; i++) make_fact(&origins[i], (uint64_t)round * BATCH * BATCHES + i);
        for (int i = 0; i < PARTS; i++) {
            int part = (i + round) % PARTS;
            double begin = bench_now();
            for (int batch = 0; batch < BATCHES; batch++)
                fold_batch(&sides[part], part, &origins[batch * BATCH], &message);
            sides[part].spent[round] = bench_now() - begin;
        }
    }
    bench_side *all = &sides[PARTS - 1];
    for (int part = 1; part < PARTS; part++) {
        snprintf(detail, sizeof detail, "%s alone, %% of a commit of 64", parts[part]);
        bench_figure(detail, 15, share(&sides[part], &sides[part - 1], all, rounds), false, "of the 15 for all three");
    }
    bench_figure("fingerprint, journal and feed, % of a commit of 64", 15, share(all, &sides[0], all, rounds), false,
                 "medians of the rounds");
    for (int part = 0; part < PARTS; part++) dbk_model_close(sides[part].model);
    for (int i = 0; i < BATCH * BATCHES; i++) dbk_buffer_release(&origins[i]);
    dbk_buffer_release(&message);
    dbk_definition_free(definition);
    return 0;
}
