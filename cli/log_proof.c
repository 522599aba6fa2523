/* daybook log head | prove | consistency | check-proof | key: proofs over the log (docs/format/proof.md). */
#include "cli/log_proof.h"

typedef struct proving {
    dbk_cli *cli;
    dbk_cli_target target;
    dbk_log *log;
    dbk_proof_of of;
    dbk_buffer text;  /* what is printed or written, without a line end */
    dbk_proof *given; /* a statement or proof from a file */
} proving;

static dbk_result read_proof(const dbk_port *port, const char *path, dbk_proof *out, dbk_error *err)
{
    dbk_buffer text;
    const dbk_json_node *root;
    dbk_buffer_init(&text, port);
    dbk_json_parser *parser = dbk_json_parser_new(port);
    dbk_result result = parser ? dbk_cli_read_file(port, path, &text, err)
                               : dbk_fail(err, DBK_NO_MEMORY, "no memory to read '%s'", path);
    if (result == DBK_OK) {
        result = dbk_json_parse(parser, dbk_buffer_slice(&text), &root, err);
        if (result == DBK_OK) result = dbk_proof_read(root, out, err);
        if (result != DBK_OK) dbk_error_wrap(err, result, "'%s'", path);
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    return result;
}

/* The name with ".minisig" behind it, as minisign has it. */
static bool signature_path(const dbk_port *port, const char *path, dbk_buffer *out)
{
    dbk_buffer_init(out, port);
    dbk_buffer_printf(out, "%s.minisig", path);
    return dbk_buffer_text(out);
}

/* ---- head */

static dbk_result sign(const proving *p, const char *into, dbk_slice content, const dbk_range *range, dbk_error *err)
{
    const dbk_port *port = p->cli->port;
    char head[2 * DBK_LEAF_SIZE + 1], comment[160];
    uint8_t digest[DBK_LEAF_SIZE];
    dbk_secret_key key;
    dbk_buffer path, text;
    dbk_buffer_init(&text, port);
    dbk_result result = signature_path(port, into, &path)
                            ? dbk_cli_read_file(port, dbk_cli_value(p->cli, "key-file"), &text, err)
                            : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_OK) result = dbk_secret_key_parse(dbk_buffer_slice(&text), &key, err);
    if (result == DBK_OK) {
        dbk_range_head(range, digest);
        dbk_hex_encode(dbk_slice_of(digest, sizeof digest), head);
        snprintf(comment, sizeof comment, "daybook head %s of %llu entries", head, (unsigned long long)range->count);
        memset(text.data, 0, text.size);
        dbk_buffer_clear(&text);
        dbk_sign(&key, content, comment, &text);
        dbk_secret_key_wipe(&key);
        result = text.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a signature")
                             : dbk_cli_write_file(port, (const char *)path.data, dbk_buffer_slice(&text), true, err);
    }
    dbk_buffer_release(&text);
    dbk_buffer_release(&path);
    return result;
}

static void show_head(const dbk_range *range)
{
    char text[2 * DBK_LEAF_SIZE + 1];
    uint8_t digest[DBK_LEAF_SIZE];
    dbk_range_head(range, digest);
    dbk_hex_encode(dbk_slice_of(digest, sizeof digest), text);
    printf("count  %llu\nhead   %s\n", (unsigned long long)range->count, text);
    for (uint32_t i = 0; i < range->peak_count; i++) {
        dbk_hex_encode(dbk_slice_of(range->peaks[i], DBK_LEAF_SIZE), text);
        printf("%s   %s\n", i ? "    " : "peak", text);
    }
}

static dbk_result head(proving *p, dbk_error *err)
{
    const dbk_port *port = p->cli->port;
    const char *into = dbk_cli_value(p->cli, "into");
    dbk_range range;
    dbk_result result = dbk_log_range_at(p->log, dbk_log_position(p->log), &range, err);
    if (result != DBK_OK) return result;
    dbk_head_put(&p->text, &p->of, &range, port->wall_ms(port->ctx));
    if (p->text.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a head");
    if (!into && !dbk_cli_flag(p->cli, "json")) {
        show_head(&range);
        dbk_buffer_clear(&p->text);
        return DBK_OK;
    }
    if (!into || !dbk_cli_flag(p->cli, "sign")) return DBK_OK;
    dbk_buffer line; /* what is signed is the whole file */
    dbk_buffer_init(&line, port);
    dbk_buffer_put_slice(&line, dbk_buffer_slice(&p->text));
    dbk_buffer_put_u8(&line, '\n');
    result = line.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a head")
                         : sign(p, into, dbk_buffer_slice(&line), &range, err);
    dbk_buffer_release(&line);
    return result;
}

/* ---- prove, consistency */

static dbk_result beyond(proving *p, uint64_t position, dbk_error *err)
{
    dbk_fail(err, DBK_NOT_FOUND, "there is no position %llu", (unsigned long long)position);
    dbk_error_hint(err, "the log's last position is %llu", (unsigned long long)dbk_log_position(p->log));
    return DBK_NOT_FOUND;
}

/* A head that somebody has kept must be one of this log's. */
static dbk_result check_given(proving *p, const char *path, uint64_t *count, dbk_error *err)
{
    uint8_t theirs[DBK_LEAF_SIZE], ours[DBK_LEAF_SIZE];
    dbk_result result = read_proof(p->cli->port, path, p->given, err);
    if (result != DBK_OK) return result;
    *count = p->given->range.count;
    if (*count > dbk_log_position(p->log)) {
        dbk_fail(err, DBK_LOST, "the log has %llu entries, the head in '%s' is of %llu",
                 (unsigned long long)dbk_log_position(p->log), path, (unsigned long long)*count);
        dbk_error_hint(err, "the log was set back, or it is another one");
        return DBK_LOST;
    }
    dbk_range_head(&p->given->range, theirs);
    result = dbk_log_head_at(p->log, *count, ours, err);
    if (result != DBK_OK || memcmp(ours, theirs, sizeof ours) == 0) return result;
    return dbk_fail(err, DBK_FOREIGN, "the head in '%s' is not one of this log's: its first %llu entries are others",
                    path, (unsigned long long)*count);
}

/* A position, or the file of a head. */
static dbk_result take_count(proving *p, const char *word, uint64_t *count, dbk_error *err)
{
    if (*word && strspn(word, "0123456789") == strlen(word)) return dbk_cli_position(word, "a position", count, err);
    return check_given(p, word, count, err);
}

static dbk_result prove(proving *p, const char *word, dbk_error *err)
{
    const char *head_file = dbk_cli_value(p->cli, "signed-head"), *at = dbk_cli_value(p->cli, "at");
    uint64_t position = 0, count = 0;
    dbk_inclusion proof;
    dbk_entry_id id;
    dbk_buffer origin;
    dbk_result result = dbk_cli_position(word, "the position", &position, err);
    if (result == DBK_OK && head_file) result = check_given(p, head_file, &count, err);
    if (result == DBK_OK && at) result = dbk_cli_position(at, "--at", &count, err);
    if (result == DBK_OK) result = dbk_log_prove(p->log, position, count, &proof, err);
    if (result == DBK_NONE) result = beyond(p, count && count < position ? position : count ? count : position, err);
    if (result == DBK_OK) result = dbk_log_entry_id_at(p->log, position, &id, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&origin, p->cli->port);
    if (dbk_cli_flag(p->cli, "with-entry")) result = dbk_log_read(p->log, position, &origin, NULL, err);
    if (result == DBK_OK) dbk_inclusion_put(&p->text, &p->of, &proof, &id, dbk_buffer_slice(&origin));
    dbk_buffer_release(&origin);
    return result;
}

static dbk_result consistency(proving *p, const char *from, const char *to, dbk_error *err)
{
    uint64_t old = 0, count = dbk_log_position(p->log);
    dbk_extension *proof = dbk_alloc(p->cli->port, sizeof *proof);
    dbk_result result = proof ? take_count(p, from, &old, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for a proof");
    if (result == DBK_OK && to) result = take_count(p, to, &count, err);
    if (result == DBK_OK && old > count)
        result = dbk_fail(err, DBK_USAGE, "the older head comes first: %llu is above %llu", (unsigned long long)old,
                          (unsigned long long)count);
    if (result == DBK_OK) result = dbk_log_prove_extension(p->log, old, count, proof, err);
    if (result == DBK_NONE) result = beyond(p, count, err);
    if (result == DBK_OK) dbk_extension_put(&p->text, &p->of, proof);
    dbk_free(p->cli->port, proof);
    return result;
}

/* ---- check-proof, key */

static dbk_result check_signature(const dbk_port *port, const char *path, const char *key_file, dbk_error *err)
{
    dbk_buffer content, text, name;
    dbk_public_key key;
    dbk_buffer_init(&content, port);
    dbk_buffer_init(&text, port);
    dbk_result result = signature_path(port, path, &name) ? dbk_cli_read_file(port, key_file, &text, err)
                                                          : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_OK) result = dbk_public_key_parse(dbk_buffer_slice(&text), &key, err);
    if (result == DBK_OK) result = dbk_cli_read_file(port, path, &content, err);
    if (result == DBK_OK) result = dbk_cli_read_file(port, (const char *)name.data, &text, err);
    if (result == DBK_OK)
        result = dbk_signature_check(&key, dbk_buffer_slice(&content), dbk_buffer_slice(&text), NULL, err);
    if (result != DBK_OK) dbk_error_wrap(err, result, "the signature of '%s'", path);
    dbk_buffer_release(&content);
    dbk_buffer_release(&text);
    dbk_buffer_release(&name);
    return result;
}

static bool same_head(const dbk_range *a, const dbk_range *b)
{
    return a->count == b->count && a->peak_count == b->peak_count &&
           memcmp(a->peaks, b->peaks, (size_t)a->peak_count * DBK_LEAF_SIZE) == 0;
}

/* The head that a signature vouches for has to be one that the proof ends in, of the same store. */
static dbk_result check_against(const proving *p, const dbk_proof *proof, const char *path, dbk_error *err)
{
    dbk_result result = read_proof(p->cli->port, path, p->given, err);
    if (result != DBK_OK) return result;
    bool same = same_head(&proof->range, &p->given->range) ||
                (proof->kind == DBK_PROOF_EXTENSION && same_head(&proof->extension.old, &p->given->range));
    if (same && memcmp(&proof->of, &p->given->of, sizeof proof->of) == 0) return DBK_OK;
    return dbk_fail(err, DBK_FOREIGN, "the proof is of another head than the one in '%s'", path);
}

static void show_checked(const proving *p, const dbk_proof *proof, bool signature)
{
    char digest[2 * DBK_LEAF_SIZE + 1], id[DBK_ENTRY_ID_TEXT_SIZE];
    uint8_t bytes[DBK_LEAF_SIZE];
    static const char *const kinds[] = {"", "head", "inclusion", "extension"};
    dbk_range_head(&proof->range, bytes);
    dbk_hex_encode(dbk_slice_of(bytes, sizeof bytes), digest);
    dbk_entry_id_text(&proof->id, id);
    if (dbk_cli_flag(p->cli, "json")) {
        printf("{\"ok\":true,\"proof\":\"%s\",\"count\":%llu,\"head\":\"%s\",\"signed\":%s", kinds[proof->kind],
               (unsigned long long)proof->range.count, digest, signature ? "true" : "false");
        if (proof->kind == DBK_PROOF_INCLUSION)
            printf(",\"position\":%llu,\"entry\":\"%s\"", (unsigned long long)proof->inclusion.position, id);
        if (proof->kind == DBK_PROOF_EXTENSION)
            printf(",\"old_count\":%llu", (unsigned long long)proof->extension.old.count);
        puts("}");
        return;
    }
    if (proof->kind == DBK_PROOF_INCLUSION)
        printf("entry %s is at position %llu\n", id, (unsigned long long)proof->inclusion.position);
    if (proof->kind == DBK_PROOF_EXTENSION)
        printf("the head of %llu entries is extended\n", (unsigned long long)proof->extension.old.count);
    printf("under the head %s of %llu entries%s\n", digest, (unsigned long long)proof->range.count,
           signature ? ", which is signed" : "");
}

static dbk_result check_proof(proving *p, const char *path, dbk_error *err)
{
    const dbk_port *port = p->cli->port;
    const char *head_file = dbk_cli_value(p->cli, "signed-head"), *key_file = dbk_cli_value(p->cli, "public-key");
    dbk_proof *proof = dbk_alloc(port, sizeof *proof);
    dbk_result result =
        proof ? read_proof(port, path, proof, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory to check a proof");
    if (result == DBK_OK && head_file) result = check_against(p, proof, head_file, err);
    if (result == DBK_OK && key_file) {
        result = head_file || proof->kind == DBK_PROOF_HEAD
                     ? check_signature(port, head_file ? head_file : path, key_file, err)
                     : dbk_fail(err, DBK_USAGE, "name the signed head with --signed-head");
    }
    if (result == DBK_OK) show_checked(p, proof, key_file != NULL);
    dbk_free(port, proof);
    return result;
}

static dbk_result write_key(const dbk_port *port, const char *path, const dbk_buffer *text, dbk_error *err)
{
    if (text->failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a key");
    return dbk_cli_write_file(port, path, dbk_buffer_slice(text), false, err);
}

static dbk_result new_key(const proving *p, const char *path, dbk_error *err)
{
    const dbk_port *port = p->cli->port;
    dbk_secret_key secret;
    dbk_public_key public_key;
    dbk_buffer text, name;
    dbk_buffer_init(&text, port);
    dbk_buffer_init(&name, port);
    dbk_buffer_printf(&name, "%s.pub", path);
    dbk_result result = dbk_buffer_text(&name) ? dbk_secret_key_new(port, &secret, err)
                                               : dbk_fail(err, DBK_NO_MEMORY, "no memory for a key");
    if (result == DBK_OK) {
        dbk_public_key_of(&secret, &public_key);
        dbk_secret_key_put(&text, &secret);
        dbk_secret_key_wipe(&secret);
        result = write_key(port, path, &text, err);
        if (text.data) memset(text.data, 0, text.size);
        dbk_buffer_clear(&text);
        dbk_public_key_put(&text, &public_key);
        if (result == DBK_OK) result = write_key(port, (const char *)name.data, &text, err);
    }
    if (result == DBK_OK) printf("secret key  %s\npublic key  %s\n", path, (const char *)name.data);
    dbk_buffer_release(&text);
    dbk_buffer_release(&name);
    return result;
}

/* ---- which of them */

static dbk_result work(proving *p, const char *what, dbk_error *err)
{
    char **words = p->cli->args.words;
    size_t count = p->cli->args.word_count;
    if (strcmp(what, "check-proof") == 0) return check_proof(p, words[0], err);
    if (strcmp(what, "key") == 0) return new_key(p, words[1], err);
    if (strcmp(what, "head") == 0) return head(p, err);
    if (strcmp(what, "prove") == 0) return prove(p, words[count - 1], err);
    return consistency(p, words[0], count > 1 ? words[1] : NULL, err);
}

/* To stdout, or with --into to a file. */
static dbk_result give(proving *p, dbk_error *err)
{
    const char *into = dbk_cli_value(p->cli, "into");
    if (p->text.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a proof");
    if (p->text.size == 0) return DBK_OK;
    if (!into) {
        dbk_out_line(dbk_buffer_slice(&p->text));
        return DBK_OK;
    }
    dbk_buffer_put_u8(&p->text, '\n');
    return dbk_cli_write_file(p->cli->port, into, dbk_buffer_slice(&p->text), true, err);
}

/* Takes the store off the words where one is named. */
static int open_store(proving *p, size_t least, size_t most)
{
    dbk_cli *cli = p->cli;
    size_t used, count = cli->args.word_count;
    bool named = count > most || (count > least && dbk_cli_is_store(cli, cli->args.words[0]));
    if (count < least || count > most + 1) return dbk_cli_usage(cli, "see the usage: too few or too many words");
    int status = dbk_cli_store_word(cli, named, &p->target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_LOCAL, &p->target);
    if (status) return status;
    cli->args.words += used;
    cli->args.word_count -= used;
    p->log = dbk_engine_log(p->target.engine);
    dbk_log_ids(p->log, p->of.store_id, p->of.lineage);
    return 0;
}

static int prepare(proving *p, const char *what)
{
    dbk_cli *cli = p->cli;
    bool signs = dbk_cli_flag(cli, "sign");
    if (strcmp(what, "check-proof") == 0)
        return cli->args.word_count == 1 ? 0 : dbk_cli_usage(cli, "name the file of the proof");
    if (strcmp(what, "key") == 0)
        return cli->args.word_count == 2 && strcmp(cli->args.words[0], "new") == 0
                   ? 0
                   : dbk_cli_usage(cli, "say 'log key new FILE'");
    if (strcmp(what, "head") == 0) {
        if (signs && (!dbk_cli_value(cli, "into") || !dbk_cli_value(cli, "key-file")))
            return dbk_cli_usage(cli, "--sign needs the statement's file (--into) and the key (--key-file)");
        return open_store(p, 0, 0);
    }
    return strcmp(what, "prove") == 0 ? open_store(p, 1, 1) : open_store(p, 1, 2);
}

bool dbk_log_proof_is(const dbk_cli *cli)
{
    static const char *const words[] = {"head", "prove", "consistency", "check-proof", "key"};
    if (cli->args.word_count == 0 || dbk_cli_is_store(cli, cli->args.words[0])) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(cli->args.words[0], words[i]) == 0) return true;
    return false;
}

int dbk_log_proof_run(dbk_cli *cli)
{
    proving p = {.cli = cli};
    dbk_error err = {0};
    const char *what = cli->args.words[0];
    cli->args.words++;
    cli->args.word_count--;
    int status = prepare(&p, what);
    if (status) return status;
    dbk_buffer_init(&p.text, cli->port);
    p.given = dbk_alloc(cli->port, sizeof *p.given);
    dbk_result result = p.given ? work(&p, what, &err) : dbk_fail(&err, DBK_NO_MEMORY, "no memory for a proof");
    if (result == DBK_OK) result = give(&p, &err);
    dbk_free(cli->port, p.given);
    dbk_buffer_release(&p.text);
    if (p.target.store) dbk_cli_close(&p.target);
    if (result == DBK_USAGE) return dbk_cli_wrong(cli, &err);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_FAILED);
}
