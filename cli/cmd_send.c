/* daybook send: commands in, receipts out, in order, pipelined.
 *
 * Lines that are ready go out together, up to ARRAY_MAX in one message, with up to WINDOW messages under way:
 * a single line never waits, and a fast input fills the arrays by itself. A line that is an array goes as it
 * is. A message has a slot in a ring from
 * when it is sent until its receipts are printed; what cannot be sent gets its refusal as a slot too, so that
 * receipts keep the order of the lines.
 *
 * A message that was answered `busy` was not decided: it is sent again, alone, when nothing else is under
 * way, and lines that come behind wait for it. When the daemon ends, the first message without an answer ends
 * the receipts: printing later ones would hide the hole. */
#include "cli/lines.h"

#include <errno.h>
#include <sys/stat.h>

enum { WINDOW = 8, ARRAY_MAX = 100, ARRAY_MAX_BYTES = 512 * 1024, BUSY_REST_MS = 100, BUSY_MAX_S = 60 };

typedef struct sender sender;
typedef enum line_kind { LINE_BLANK, LINE_OBJECT, LINE_ARRAY, LINE_BAD } line_kind;
typedef struct slot {
    sender *owner;
    bool done;
    uint32_t lines; /* that it answers */
    uint64_t bytes; /* of input up to its last line */
    line_kind kind; /* of its last line */
    dbk_buffer message;
    dbk_buffer answer; /* an array of receipts, or one */
} slot;

struct sender {
    const dbk_port *port;
    dbk_store *store;
    dbk_mutex *mutex; /* guards slots' done and answer, count, and the lines' list */
    dbk_cond *changed;
    dbk_lines lines;
    slot slots[WINDOW];
    size_t first, count;
    dbk_json_parser *parser, *answers; /* answers of requests may have 100,000 rows */
    dbk_error error;                   /* set: it cannot go on */
    bool stopped, quiet, closed, lost;
    int64_t busy_ns; /* since when the first message is refused as busy; 0: it is not */
    uint64_t receipts, refused, again, sent_bytes, all_bytes;
    dbk_bar bar;
};

static void lock(sender *s)
{
    s->port->mutex_lock(s->port->ctx, s->mutex);
}
static void unlock(sender *s)
{
    s->port->mutex_unlock(s->port->ctx, s->mutex);
}

/* ---- going out */

/* On a thread of the store, or within dbk_send. */
static void on_receipt(void *arg, const char *receipt, size_t size)
{
    slot *at = arg;
    sender *s = at->owner;
    lock(s);
    dbk_buffer_put(&at->answer, receipt, size);
    at->done = true;
    s->port->cond_broadcast(s->port->ctx, s->changed);
    unlock(s);
}

static bool is_blank(const dbk_line *line)
{
    for (size_t i = 0; i < line->size; i++) {
        if (line->text[i] != ' ' && line->text[i] != '\t' && line->text[i] != '\r') return false;
    }
    return !line->too_long;
}

/* *err: what is wrong with a bad one. */
static line_kind kind_of(sender *s, const dbk_line *line, dbk_error *err)
{
    const dbk_json_node *root;
    if (is_blank(line)) return LINE_BLANK;
    if (line->too_long) {
        dbk_fail(err, DBK_TOO_BIG, "line %llu is over %d MiB", (unsigned long long)line->number,
                 DBK_LINE_MAX_BYTES >> 20);
        return LINE_BAD;
    }
    dbk_result result = dbk_json_parse(s->parser, dbk_slice_of(line->text, line->size), &root, err);
    if (result == DBK_OK && root->kind == DBK_JSON_OBJECT) return LINE_OBJECT;
    if (result == DBK_OK && root->kind == DBK_JSON_ARRAY && root->count > 0) return LINE_ARRAY;
    if (result == DBK_OK) {
        dbk_fail(err, DBK_BAD_COMMAND, "line %llu is %s", (unsigned long long)line->number,
                 root->kind == DBK_JSON_ARRAY ? "an array of no commands"
                                              : "neither a JSON object nor an array of them");
    } else {
        dbk_error_wrap(err, result, "line %llu", (unsigned long long)line->number);
        if (result == DBK_BAD_JSON)
            dbk_error_hint(err, "each line is one whole JSON value (NDJSON); 'jq -c .' makes it so");
    }
    return LINE_BAD;
}

static void put_refusal(dbk_buffer *out, uint64_t number, const dbk_error *err)
{
    dbk_cli_put_failure(out, err);
    dbk_buffer_printf(out, ",\"outcome\":\"none\",\"line\":%llu}", (unsigned long long)number);
}

/* The line goes into the message: an object among others, an array as the whole of it. */
static void take_line(slot *at, const dbk_line *line, line_kind kind, uint32_t count)
{
    if (kind == LINE_OBJECT) dbk_buffer_put_u8(&at->message, count ? ',' : '[');
    if (kind != LINE_BLANK) dbk_buffer_put(&at->message, line->text, line->size);
}

/* Moves lines that are ready into the message, as many as go together. A bad line goes alone, as its refusal,
 * and so does an array. */
static uint32_t gather(sender *s, slot *at)
{
    uint32_t count = 0;
    bool alone = false;
    dbk_buffer_clear(&at->message);
    while (count < ARRAY_MAX && at->message.size < ARRAY_MAX_BYTES && !alone) {
        dbk_error err = {0};
        lock(s);
        dbk_line *line = s->lines.head; /* only this thread takes from the list */
        unlock(s);
        if (!line) break;
        line_kind found = kind_of(s, line, &err);
        alone = found == LINE_ARRAY || found == LINE_BAD;
        if (count > 0 && (alone || at->message.size + line->size > ARRAY_MAX_BYTES)) break;
        lock(s);
        (void)dbk_lines_pop(&s->lines);
        unlock(s);
        s->sent_bytes += line->size + 1;
        if (found == LINE_BAD) put_refusal(&at->answer, line->number, &err);
        else take_line(at, line, found, count);
        if (found != LINE_BLANK) at->kind = found;
        count += found != LINE_BLANK;
        dbk_free(s->port, line);
    }
    if (count > 0 && at->kind == LINE_OBJECT) dbk_buffer_put_u8(&at->message, ']');
    return count;
}

static void give_up(sender *s, const dbk_error *err)
{
    if (!s->stopped) s->error = *err;
    s->stopped = true;
}

static dbk_result hand_over(sender *s, slot *at, dbk_error *err)
{
    const char *text = (const char *)at->message.data;
    size_t size = at->message.size;
    if (at->lines == 1 &&
        at->kind == LINE_OBJECT) { /* alone it is no array, so that it may be as long as a command may */
        text++;
        size -= 2;
    }
    return dbk_send(s->store, text, size, on_receipt, at, err);
}

/* The next message, if there are lines for one. */
static void send_next(sender *s)
{
    slot *at = &s->slots[(s->first + s->count) % WINDOW];
    dbk_error err = {0};
    dbk_buffer_clear(&at->answer);
    at->done = false;
    at->kind = LINE_BLANK;
    at->lines = gather(s, at);
    at->bytes = s->sent_bytes;
    if (at->lines == 0) return;
    if (at->message.failed || at->answer.failed) {
        dbk_fail(&err, DBK_NO_MEMORY, "no memory for a message");
        return give_up(s, &err);
    }
    at->done = at->kind == LINE_BAD;
    s->count++;
    if (at->done) return;
    dbk_result result = hand_over(s, at, &err);
    if (result == DBK_OK) return;
    s->count--;
    give_up(s, &err);
}

/* ---- coming in */

static void put_receipt(sender *s, const dbk_json_node *receipt)
{
    const dbk_json_node *ok = receipt->kind == DBK_JSON_OBJECT ? dbk_json_member(receipt, "ok") : NULL;
    bool good = ok && ok->kind == DBK_JSON_TRUE;
    s->receipts++;
    s->refused += !good;
    if (good && dbk_json_member(receipt, "again")) s->again++;
    if (!good || !s->quiet) dbk_out_line(receipt->text);
}

/* The message as a whole was refused as busy: nothing of it was decided. A receipt that names a command is
 * that command's own; a request without an id may be too slow for ever. */
static bool is_busy(sender *s, const slot *at, const dbk_json_node *root)
{
    const dbk_json_node *line, *error = root->kind == DBK_JSON_OBJECT ? dbk_json_member(root, "error") : NULL;
    if (at->kind == LINE_BAD || !error || !dbk_json_text_is(error, "busy") || dbk_json_member(root, "id")) return false;
    if (at->lines > 1 || at->kind == LINE_ARRAY) return true;
    return dbk_json_parse(s->parser, dbk_slice_of(at->message.data + 1, at->message.size - 2), &line, NULL) == DBK_OK &&
           dbk_json_member(line, "id");
}

static void lose_daemon(sender *s)
{
    dbk_error err = {0};
    dbk_fail(&err, DBK_UNAVAILABLE,
             "the daemon answers no more: %llu %s answered, what became of the rest is not known",
             (unsigned long long)s->receipts, s->receipts == 1 ? "command was" : "commands were");
    dbk_error_hint(&err, "send the same lines again when it runs and answers: what was decided is answered by its id");
    give_up(s, &err);
    s->lost = true;
}

/* Sends the first message once more when nothing else is under way. False: it has been tried for long. */
static bool try_again(sender *s, slot *at)
{
    int64_t now = s->port->monotonic_ns(s->port->ctx), rest = s->busy_ns ? (int64_t)BUSY_REST_MS * 1000000 : 1000000;
    dbk_error err = {0};
    if (!s->busy_ns) s->busy_ns = now;
    if (s->stopped || now - s->busy_ns > (int64_t)BUSY_MAX_S * 1000000000) return false;
    lock(s);
    for (size_t i = 1; i < s->count; i++)
        while (!s->slots[(s->first + i) % WINDOW].done)
            (void)s->port->cond_wait(s->port->ctx, s->changed, s->mutex, -1);
    for (int64_t end = now + rest; now < end; now = s->port->monotonic_ns(s->port->ctx))
        (void)s->port->cond_wait(s->port->ctx, s->changed, s->mutex, end - now);
    at->done = false;
    unlock(s);
    dbk_buffer_clear(&at->answer);
    if (hand_over(s, at, &err) == DBK_OK) return true;
    at->done = true;
    return false;
}

/* False: it is sent again. */
static bool put_answer(sender *s, slot *at)
{
    const dbk_json_node *root;
    dbk_error err = {0};
    if (dbk_bus_is_lost((const char *)at->answer.data, at->answer.size)) lose_daemon(s);
    if (s->lost) return true;
    dbk_result result = at->answer.failed ? dbk_fail(&err, DBK_NO_MEMORY, "no memory for the receipts")
                                          : dbk_json_parse(s->answers, dbk_buffer_slice(&at->answer), &root, &err);
    if (result != DBK_OK) return give_up(s, &err), true;
    if (is_busy(s, at, root) && try_again(s, at)) return false;
    s->busy_ns = 0;
    if (root->kind == DBK_JSON_ARRAY) {
        const dbk_json_node *receipt = root + 1;
        for (uint32_t i = 0; i < root->count; i++, receipt = dbk_json_next(receipt)) put_receipt(s, receipt);
    } else {
        for (uint32_t i = 0; i < at->lines; i++) put_receipt(s, root);
    }
    if (s->all_bytes && at->bytes)
        dbk_bar_update(&s->bar, s->receipts,
                       (uint64_t)((double)s->receipts * (double)s->all_bytes / (double)at->bytes));
    else dbk_bar_update(&s->bar, s->receipts, 0);
    return true;
}

static void take_first(sender *s)
{
    if (!put_answer(s, &s->slots[s->first])) return;
    s->first = (s->first + 1) % WINDOW;
    s->count--;
}

/* ---- both */

typedef enum next_step { STEP_TAKE, STEP_SEND, STEP_END } next_step;

static next_step wait_for_step(sender *s)
{
    bool flushed = false;
    for (;;) {
        if (s->count > 0 && s->slots[s->first].done) return STEP_TAKE;
        if (!s->stopped && !s->busy_ns && s->lines.head && s->count < WINDOW) return STEP_SEND;
        if (s->count == 0 && (s->stopped || (s->lines.end && !s->lines.head))) return STEP_END;
        if (!flushed) { /* nothing to do: whoever reads the receipts gets what is there */
            unlock(s);
            bool good = dbk_out_flush();
            lock(s);
            if (!good) s->stopped = s->closed = true;
            flushed = true;
            continue;
        }
        (void)s->port->cond_wait(s->port->ctx, s->changed, s->mutex, -1);
    }
}

static void pump(sender *s)
{
    for (;;) {
        lock(s);
        next_step step = wait_for_step(s);
        unlock(s);
        if (step == STEP_END) break;
        if (step == STEP_TAKE) take_first(s);
        else send_next(s);
    }
}

static int finish(sender *s)
{
    dbk_bar_end(&s->bar);
    if (s->lines.os_errno && !s->stopped) {
        dbk_error err = {0};
        dbk_fail_os(&err, DBK_IO, s->lines.os_errno, "cannot read the commands");
        give_up(s, &err);
    }
    if (s->quiet || dbk_terminal_is(stderr))
        dbk_cli_note("%llu %s, %llu accepted (%llu of them again), %llu refused", (unsigned long long)s->receipts,
                     dbk_plural(s->receipts, "command", "commands"), (unsigned long long)(s->receipts - s->refused),
                     (unsigned long long)s->again, (unsigned long long)s->refused);
    if (s->error.code) return dbk_cli_fail(&s->error, DBK_EXIT_FAILED);
    return s->refused > 0 ? DBK_EXIT_FAILED : DBK_EXIT_DONE;
}

static int send_all(const dbk_cli *cli, dbk_store *store, FILE *in)
{
    const dbk_port *port = cli->port;
    struct stat about;
    static sender s; /* a reader left behind may still look at it while the process ends */
    s = (sender){.port = port, .store = store, .quiet = dbk_cli_flag(cli, "quiet")};
    dbk_error err = {0};
    if (fstat(fileno(in), &about) == 0 && S_ISREG(about.st_mode)) s.all_bytes = (uint64_t)about.st_size;
    s.mutex = port->mutex_new(port->ctx);
    s.changed = port->cond_new(port->ctx);
    s.parser = dbk_json_parser_new(port);
    s.answers = dbk_json_parser_new(port);
    if (s.answers) dbk_json_parser_any_count(s.answers);
    for (size_t i = 0; i < WINDOW; i++) {
        s.slots[i].owner = &s;
        dbk_buffer_init(&s.slots[i].message, port);
        dbk_buffer_init(&s.slots[i].answer, port);
    }
    dbk_result result =
        s.mutex && s.changed && s.parser && s.answers ? DBK_OK : dbk_fail(&err, DBK_NO_MEMORY, "no memory to send");
    if (result == DBK_OK) result = dbk_lines_start(&s.lines, port, in, s.mutex, s.changed, &err);
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    dbk_bar_begin(&s.bar, port, "sending", "commands");
    pump(&s);
    int status = finish(&s);
    dbk_lines_finish(&s.lines);
    for (size_t i = 0; i < WINDOW; i++) {
        dbk_buffer_release(&s.slots[i].message);
        dbk_buffer_release(&s.slots[i].answer);
    }
    dbk_json_parser_free(s.parser);
    dbk_json_parser_free(s.answers);
    return status;
}

static FILE *open_input(const char *file, dbk_error *err)
{
    if (strcmp(file, "-") == 0) return stdin;
    FILE *in = fopen(file, "rbe");
    if (!in) dbk_fail_os(err, DBK_IO, errno, "cannot read '%s'", file);
    return in;
}

/* One word is a store if it is a folder or a URL, else the file of commands. */
static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    dbk_error err = {0};
    size_t used, words = cli->args.word_count;
    bool first_is_store = words > 1 || (words == 1 && dbk_cli_is_store(cli, cli->args.words[0]));
    int status = dbk_cli_store_word(cli, first_is_store, &target, &used);
    if (status) return status;
    const char *file = words > used ? cli->args.words[used] : "-";
    FILE *in = open_input(file, &err);
    if (!in) {
        if (!first_is_store)
            dbk_error_hint(&err, "'%s' is no store's folder and was taken for a file of commands", file);
        return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    }
    status = dbk_cli_open(cli, DBK_CLI_WRITE, &target);
    if (!status) {
        status = send_all(cli, target.store, in);
        dbk_cli_close(&target);
    }
    return status; /* the file stays open: its reader may be left behind */
}

static const dbk_cli_option options[] = {
    {"quiet", 'q', NULL, "prints refusals only, and a summary"},
    {"json", 0, NULL, "as always: one receipt per line"},
    {0},
};
const dbk_cli_command dbk_cmd_send = {
    "send",
    "[STORE|URL] [FILE|-] [--quiet]",
    "sends commands, prints their receipts in order",
    "One JSON object per line in, or an array of them; one receipt per line out. A receipt with \"ok\":true means:\n"
    "on disk, and visible to every later query. The same id sent again gets its first receipt. Lines that a full\n"
    "daemon refuses as busy are sent again by themselves for up to a minute, in order. When the daemon ends, the\n"
    "receipts stop at the first line without an answer: send the same lines again. Exit status 1 if any was\n"
    "refused, or not answered.",
    "send notes.daybook commands.ndjson\nsend notes.daybook - --quiet < commands.ndjson",
    options,
    2,
    run,
};
