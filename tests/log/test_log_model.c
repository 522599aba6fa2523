/* A log against a plain array, by seed: random appends, reads either way, by stream, by type, from a time, by
 * command and id, heads and proofs, the fold, rolls, packing, idleness, reopening, a reader beside the writer. A step
 * is one call and its comparison; usage: seeded.h. */
#include "seeded.h"

enum { ITEMS_MAX = 1400, STREAMS = 9, TYPES = 4, REPLICAS = 3, EVENTS_MAX = 3 };

typedef struct item {
    dbk_entry_id id;
    uint64_t checksum; /* of the origin bytes */
    int64_t received_ms;
    uint32_t command;
    uint16_t streams, types; /* sets */
    uint8_t key[DBK_ORDER_KEY_SIZE], head[DBK_LEAF_SIZE];
} item;

/* The model: items[position]. */
static item items[ITEMS_MAX + 1];
static uint64_t count;
static dbk_range range;
static uint64_t seqs[REPLICAS];
static int64_t now_ms;
static uint64_t hlc;

static const char *stream_of(uint64_t number)
{
    static char text[32];

    snprintf(text, sizeof(text), "stream/%llu", (unsigned long long)number);
    return text;
}
static const char *const type_names[TYPES] = {"note.put", "note.cut", "note.moved", "note.rare"};

static dbk_slice command_of(uint32_t number)
{
    static char text[32];

    snprintf(text, sizeof(text), "command-%u", number);
    return dbk_slice_text(text);
}

static void put_events(seeded *s, item *i, dbk_entry *entry, dbk_buffer *events)
{
    static uint8_t data[24000];

    entry->event_count = (uint32_t)(1 + below(s, EVENTS_MAX));
    for (uint32_t n = 0; n < entry->event_count; n++) {
        uint64_t stream = chance(s, 6) ? STREAMS - 1 : below(s, STREAMS - 1), type = below(s, TYPES - 1);
        if (chance(s, 300)) type = TYPES - 1;
        i->streams |= (uint16_t)(1u << stream);
        i->types |= (uint16_t)(1u << type);
        dbk_event event = {.stream = dbk_slice_text(stream_of(stream)),
                           .type = dbk_slice_text(type_names[type]),
                           .type_version = 1,
                           .data = dbk_slice_of(data, chance(s, 400) ? below(s, sizeof(data)) : below(s, 200))};
        memset(data, (int)draw(s), event.data.size);
        dbk_event_encode(events, &event);
    }
}

/* The entry at the position behind the model's end; it is the model's once it is appended. */
static void make_item(seeded *s, uint64_t position, uint64_t in_batch[REPLICAS], dbk_buffer *out)
{
    item *i = &items[position];
    uint64_t replica = chance(s, 3) ? below(s, REPLICAS) : 0;
    dbk_buffer events;
    dbk_entry entry = {.epoch = 1, .time_ms = now_ms};

    memset(i, 0, sizeof(*i));
    memset(i->id.replica, (int)replica + 1, 16);
    i->id.incarnation = 1;
    i->id.seq = seqs[replica] + ++in_batch[replica];
    i->command = chance(s, 5) ? (uint32_t)below(s, position) : (uint32_t)position;
    hlc += 1 + below(s, 5);
    entry.id = i->id;
    entry.hlc = chance(s, 40) ? hlc / 2 : hlc; /* a late one now and then */
    entry.command_id = command_of(i->command);
    dbk_buffer_init(&events, dbk_port_system());
    put_events(s, i, &entry, &events);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(out, &entry);
    dbk_buffer_release(&events);
    dbk_entry_order_key(&entry, i->key);
    i->checksum = dbk_checksum(dbk_buffer_slice(out), 1);
}

static void do_append(seeded *s, dbk_log *log)
{
    enum { BATCH_MAX = 24 };
    dbk_buffer buffers[BATCH_MAX];
    dbk_slice origins[BATCH_MAX];
    uint64_t size = chance(s, 4) ? 1 + below(s, BATCH_MAX) : 1, in_batch[REPLICAS] = {0}, first = 0;

    if (count + size > ITEMS_MAX) return;
    now_ms += (int64_t)below(s, 30) - 5;
    int64_t last = count ? items[count].received_ms : 0;
    for (uint64_t i = 0; i < size; i++) {
        dbk_buffer_init(&buffers[i], dbk_port_system());
        make_item(s, count + i + 1, in_batch, &buffers[i]);
        origins[i] = dbk_buffer_slice(&buffers[i]);
        items[count + i + 1].received_ms = now_ms > last ? now_ms : last;
    }
    holds(dbk_log_append(log, origins, size, now_ms, &first, NULL) == DBK_OK && first == count + 1);
    for (uint64_t i = 0; i < size; i++) {
        uint8_t leaf[DBK_LEAF_SIZE];
        dbk_entry_leaf(origins[i], leaf);
        dbk_range_add(&range, leaf);
        dbk_range_head(&range, items[++count].head);
        dbk_buffer_release(&buffers[i]);
    }
    for (unsigned r = 0; r < REPLICAS; r++) seqs[r] += in_batch[r];
    holds(dbk_log_position(log) == count);
}

static void check_item(uint64_t position, int64_t received_ms, dbk_slice origin)
{
    if (dbk_checksum(origin, 1) != items[position].checksum) broke("position %d holds another entry", (int)position);
    holds(received_ms == items[position].received_ms);
}

static void do_read(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), position = below(s, end + 3);
    int64_t received_ms = 0;
    dbk_buffer out;

    dbk_buffer_init(&out, dbk_port_system());
    dbk_result rc = dbk_log_read(log, position, &out, &received_ms, NULL);
    if (position == 0 || position > end) holds(rc == DBK_NONE);
    else {
        holds(rc == DBK_OK);
        check_item(position, received_ms, dbk_buffer_slice(&out));
        seeded_note(s, items[position].checksum);
    }
    dbk_buffer_release(&out);
}

static void do_walk(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), at = 1 + below(s, end + 2), last = below(s, 3) ? below(s, end + 3) : 0;
    uint64_t stop = last && last < end ? last : end, position;
    int64_t received_ms;
    dbk_log_cursor *cursor;
    dbk_slice origin;

    holds(dbk_log_cursor_open(log, at, last, &cursor, NULL) == DBK_OK);
    for (unsigned steps = 0; steps < 60; steps++, at++) {
        dbk_result rc = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, NULL);
        if (at > stop) {
            holds(rc == DBK_END);
            break;
        }
        holds(rc == DBK_OK && position == at);
        check_item(position, received_ms, origin);
    }
    dbk_log_cursor_close(cursor);
}

/* An entry is wanted where all holds for it: an event on the stream, an event of the type, received since. */
static bool is_wanted(uint64_t position, int stream, int type, int64_t since_ms)
{
    const item *i = &items[position];

    if (i->received_ms < since_ms) return false;
    return (stream < 0 || i->streams >> stream & 1) && (type < 0 || i->types >> type & 1);
}

static void do_select(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), position;
    int stream = chance(s, 3) ? -1 : (int)below(s, STREAMS), type = chance(s, 2) ? -1 : (int)below(s, TYPES);
    dbk_log_wish wish = {
        .first = below(s, end + 2), .last = chance(s, 2) ? 0 : below(s, end + 3), .reverse = chance(s, 2)};
    dbk_log_selection *selection;
    int64_t received_ms;
    dbk_slice origin;
    char stream_text[32];

    snprintf(stream_text, sizeof(stream_text), "%s", stream_of((uint64_t)(stream < 0 ? 0 : stream)));
    if (stream >= 0) wish.stream = dbk_slice_text(stream_text);
    if (type >= 0) wish.type = dbk_slice_text(type_names[type]);
    if (chance(s, 4)) wish.since_ms = (int64_t)below(s, (uint64_t)now_ms + 10);
    uint64_t low = wish.first ? wish.first : 1, high = wish.last && wish.last < end ? wish.last : end;
    uint64_t at = wish.reverse ? high : low;
    holds(dbk_log_selection_open(log, &wish, &selection, NULL) == DBK_OK);
    for (unsigned steps = 0; steps < 40; steps++) {
        while (at >= low && at <= high && !is_wanted(at, stream, type, wish.since_ms))
            at = wish.reverse ? at - 1 : at + 1;
        dbk_result rc = dbk_log_selection_next(selection, &position, &received_ms, &origin, NULL);
        if (at < low || at > high) {
            holds(rc == DBK_END);
            break;
        }
        if (rc != DBK_OK || position != at) broke("selected %d in place of %d", (int)position, (int)at);
        check_item(position, received_ms, origin);
        at = wish.reverse ? at - 1 : at + 1;
    }
    dbk_log_selection_close(selection);
}

static void do_find(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), before = chance(s, 3) ? 0 : below(s, end + 2), want, found = 0;
    uint64_t top = before && before <= end ? before - 1 : end, stream = below(s, STREAMS + 1);
    uint32_t command = (uint32_t)below(s, end + 3);

    for (want = top; want > 0 && !(items[want].streams >> stream & 1); want--)
        ;
    holds(dbk_log_find_stream(log, dbk_slice_text(stream_of(stream)), before, &found, NULL) == DBK_OK);
    if (found != want) broke("stream %d below %d: %d in place of %d", (int)stream, (int)before, (int)found, (int)want);
    for (want = top; want > 0 && items[want].command != command; want--)
        ;
    holds(dbk_log_find_command(log, command_of(command), before, &found, NULL) == DBK_OK && found == want);
}

static void do_find_id(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), position = 1 + below(s, end + 2), found = 7;
    dbk_entry_id id = items[position <= count ? position : 0].id;

    if (position > end) {
        holds(dbk_log_entry_id_at(log, position, &id, NULL) == DBK_NONE);
        id.seq = UINT64_MAX;
        holds(dbk_log_find_entry(log, &id, &found, NULL) == DBK_OK && found == 0);
        return;
    }
    holds(dbk_log_find_entry(log, &id, &found, NULL) == DBK_OK && found == position);
    holds(dbk_log_entry_id_at(log, position, &id, NULL) == DBK_OK && dbk_entry_id_equal(&id, &items[position].id));
}

static void do_find_time(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), want = 1, found = 0;
    int64_t since_ms = (int64_t)below(s, (uint64_t)now_ms + 20);

    while (want <= end && items[want].received_ms < since_ms) want++;
    holds(dbk_log_find_received(log, since_ms, &found, NULL) == DBK_OK);
    if (found != want) broke("received from %d on: %d in place of %d", (int)since_ms, (int)found, (int)want);
}

static void do_head(seeded *s, dbk_log *log)
{
    uint64_t end = dbk_log_position(log), at = below(s, end + 2);
    static dbk_inclusion proof;
    static dbk_extension extension;
    uint8_t head[DBK_LEAF_SIZE];

    dbk_result rc = dbk_log_head_at(log, at, head, NULL);
    if (at > end) holds(rc == DBK_NONE);
    if (at == 0 || at > end) return;
    holds(rc == DBK_OK && memcmp(head, items[at].head, sizeof(head)) == 0);
    if (!chance(s, 8)) return;
    holds(dbk_log_prove(log, 1 + below(s, at), at, &proof, NULL) == DBK_OK && dbk_inclusion_holds(&proof));
    dbk_range_head(&proof.range, head);
    holds(memcmp(head, items[at].head, sizeof(head)) == 0);
    uint64_t old = below(s, at + 1);
    holds(dbk_log_prove_extension(log, old, at, &extension, NULL) == DBK_OK && dbk_extension_holds(&extension));
}

/* What the log says of the whole. */
static void check_sums(dbk_log *log)
{
    uint64_t end = dbk_log_position(log);
    uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE] = {0}, said[DBK_ORDER_KEY_SIZE];
    bool ordered = true;
    dbk_log_report report;

    for (uint64_t at = 1; at <= end; at++) {
        bool above = memcmp(items[at].key, top, sizeof(top)) > 0;
        ordered = ordered && above;
        if (above) memcpy(top, items[at].key, sizeof(top));
    }
    dbk_log_head(log, head);
    dbk_log_top(log, said);
    holds(end == 0 || memcmp(head, items[end].head, sizeof(head)) == 0);
    holds(memcmp(said, top, sizeof(top)) == 0 && dbk_log_is_ordered(log) == ordered);
    holds(dbk_log_stats(log, &report, NULL) == DBK_OK && report.entries == end);
    if (end == count) {
        for (unsigned r = 0; r < REPLICAS; r++) {
            uint8_t replica[16];
            memset(replica, (int)r + 1, 16);
            holds(dbk_log_next_seq(log, replica, 1) == seqs[r] + 1);
        }
    }
}

/* Every entry once, by order key. */
static void do_fold(dbk_log *log)
{
    static bool seen[ITEMS_MAX + 1];
    uint64_t end = dbk_log_position(log), position, last = 0, met = 0;
    dbk_log_fold *fold;
    dbk_slice origin;

    memset(seen, 0, sizeof(seen));
    holds(dbk_log_fold_open(log, 0, 0, NULL, NULL, &fold, NULL) == DBK_OK && dbk_log_fold_count(fold) == end);
    while (dbk_log_fold_next(fold, &position, &origin, NULL) == DBK_OK) {
        holds(!last || memcmp(items[last].key, items[position].key, DBK_ORDER_KEY_SIZE) < 0);
        holds(!seen[position] && dbk_checksum(origin, 1) == items[position].checksum);
        seen[position] = true;
        last = position;
        met++;
    }
    holds(met == end);
    dbk_log_fold_close(fold);
}

static void do_verify(world *w)
{
    dbk_log_report report;

    holds(dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, NULL, &report, NULL) == DBK_OK);
    holds(report.faults == 0 && report.entries == count);
    holds(count == 0 || memcmp(report.head, items[count].head, DBK_LEAF_SIZE) == 0);
}

static void do_reopen(seeded *s, world *w)
{
    dbk_error err = {0};

    if (chance(s, 5)) {
        dbk_log_leave(w->log);
        w->log = NULL;
    }
    world_close(w);
    w->options.keep_plain = chance(s, 4);
    w->options.no_direct = chance(s, 2);
    w->options.checkpoint_bytes = chance(s, 2) ? 512 : 0;
    if (world_open(w, &err) != DBK_OK) broke("cannot reopen: %s", err.text);
    holds(dbk_log_position(w->log) == count);
}

/* A reader opens, takes in what is new, or leaves. */
static void do_reader(seeded *s, world *w, dbk_log **reader)
{
    dbk_log_options options = w->options;
    dbk_error err = {0};

    options.read_only = true;
    if (*reader && chance(s, 8)) {
        dbk_log_close(*reader);
        *reader = NULL;
    } else if (!*reader) {
        if (dbk_log_open(w->port, w->dir, &options, reader, &err) != DBK_OK) broke("cannot open to read: %s", err.text);
    } else if (dbk_log_refresh(*reader, &err) != DBK_OK) {
        broke("cannot refresh: %s", err.text);
    }
    if (*reader) holds(dbk_log_position(*reader) == count);
}

static void ask(seeded *s, dbk_log *log)
{
    switch (below(s, 12)) {
    case 0: return do_walk(s, log);
    case 1:
    case 2: return do_select(s, log);
    case 3:
    case 4: return do_find(s, log);
    case 5: return do_find_id(s, log);
    case 6: return do_find_time(s, log);
    case 7: return do_head(s, log);
    case 8: return check_sums(log);
    default: return do_read(s, log);
    }
}

static void one_step(seeded *s, world *w, dbk_log **reader)
{
    uint64_t what = below(s, 1000);

    s->step++;
    if (what < 180) return do_append(s, w->log);
    if (what < 195) return do_reader(s, w, reader);
    if (what < 198) return do_fold(*reader ? *reader : w->log);
    if (what < 199) return do_verify(w);
    if (what < 203) holds(dbk_log_idle(w->log, NULL) == DBK_OK);
    if (what < 208 && !*reader) return do_reopen(s, w);
    ask(s, *reader && chance(s, 3) ? *reader : w->log);
}

static void one_log(seeded *s, uint64_t steps)
{
    dbk_log *reader = NULL;
    world w;

    count = hlc = 0;
    now_ms = 1000;
    memset(seqs, 0, sizeof(seqs));
    dbk_range_init(&range);
    world_new_with(&w, s->seed, chance(s, 2));
    for (uint64_t i = 0; i < steps && s->step < s->each; i++) one_step(s, &w, &reader);
    dbk_log_close(reader);
    do_reopen(s, &w);
    for (uint64_t position = 1; position <= count; position++) seeded_note(s, items[position].checksum);
    seeded_note(s, dbk_simdisk_hash(w.disk, NULL));
    world_free(&w);
}

int main(int argc, char **argv)
{
    seeded *s = &run_now;
    uint64_t steps = 0;

    if (!seeded_arguments(s, argc, argv, 10, 5000)) return fprintf(stderr, "usage: see tests/log/seeded.h\n"), 2;
    for (uint64_t seed = s->first; seed <= s->last; seed++) {
        seeded_begin(s, seed);
        while (s->step < s->each) one_log(s, 1 + below(s, 8000));
        steps += s->step;
    }
    s->done = true;
    printf("%llu operations from %llu seeds as the model has it, trace %016llx\n", (unsigned long long)steps,
           (unsigned long long)(s->last - s->first + 1), (unsigned long long)s->trace);
    return 0;
}
