/* Daybook inside an app, in C: open (or make) a store, write, read, listen, close.
 * usage: embed STORE SCHEMA.sql      e.g. embed notes.daybook examples/embed/schema.sql */
#include <stdio.h>
#include <string.h>

#include <daybook.h>

static void on_change(void *arg, const char *message, size_t size)
{
    (void)arg;
    printf("change  %.*s\n", (int)size, message);
}

static int fail(const char *what, const dbk_error *error)
{
    fprintf(stderr, "%s: %s\n%s\n", what, error->text, error->hint);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) return fprintf(stderr, "usage: embed STORE SCHEMA.sql\n"), 2;
    dbk_error error = {0};
    dbk_store *store = NULL;
    dbk_subscription *subscription = NULL;
    dbk_text text = {0};

    dbk_result result = dbk_create(argv[1], argv[2], NULL, &text, &error);
    if (result == DBK_SCHEMA) fputs(text.data, stderr);
    dbk_text_free(&text);
    if (result != DBK_OK && result != DBK_EXISTS) return fail("create", &error);
    if (dbk_open(argv[1], NULL, &store, &error) != DBK_OK) return fail("open", &error);
    if (dbk_subscribe(store, "notes", NULL, on_change, NULL, &subscription, &error) != DBK_OK)
        return fail("subscribe", &error);

    const char *command =
        "{\"id\":\"hello-1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"Hello\"}}";
    if (dbk_do(store, command, strlen(command), &text, &error) != DBK_OK) return fail("put", &error);
    printf("receipt %s\n", text.data); /* run it twice: "again":true, and nothing doubles */
    dbk_text_free(&text);

    if (dbk_query(store, "SELECT id, title FROM notes ORDER BY id", NULL, NULL, &text, &error) != DBK_OK)
        return fail("query", &error);
    printf("answer  %s\n", text.data);
    dbk_text_free(&text);

    dbk_unsubscribe(subscription);
    dbk_close(store);
    return 0;
}
