/* Stock nng sockets speak to the daemon, and what goes over the wire is what docs/bus.md says, byte for
 * byte. */
#include "bus_raw.h"

#include <nng/nng.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>

#define assert_nng(call) assert_int_equal((call), 0)

static nng_msg *message_of(const char *text)
{
    nng_msg *message;
    assert_nng(nng_msg_alloc(&message, 0));
    assert_nng(nng_msg_append(message, text, strlen(text)));
    return message;
}

static nng_socket stock_req(served *s)
{
    nng_socket socket;
    assert_nng(nng_req0_open(&socket));
    assert_nng(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, DEADLINE_MS));
    assert_nng(nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, DEADLINE_MS));
    assert_nng(nng_dial(socket, dbk_bus_commands_url(s->bus), NULL, 0));
    return socket;
}

static void stock_ask(nng_socket socket, const char *json, const char *part)
{
    nng_msg *answer;
    assert_nng(nng_sendmsg(socket, message_of(json), 0));
    assert_nng(nng_recvmsg(socket, &answer, 0));
    assert_nng(nng_msg_append(answer, "", 1));
    if (!strstr(nng_msg_body(answer), part)) fail_msg("'%s' is not in '%s'", part, (char *)nng_msg_body(answer));
    nng_msg_free(answer);
}

static void a_stock_req_socket_is_answered(void **state)
{
    served *s = *state;
    nng_socket socket = stock_req(s);
    stock_ask(socket, "{\"do\":\"hello\"}", dbk_engine_id(s->engine));
    stock_ask(socket, "{\"id\":\"q1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"q\",\"data\":{\"n\":7}}",
              "\"ok\":true");
    stock_ask(socket, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"q\"}", "\"n\":7");
    stock_ask(socket, "", "");
    nng_close(socket);
}

/* 300 contexts ask at once, most of them for rows of 2 KiB: every one gets its own answer. */
static void stock_contexts_get_each_its_own_answer(void **state)
{
    enum { CONTEXTS = 300 };
    served *s = *state;
    char json[3000], title[2048];
    nng_socket socket = stock_req(s);
    nng_ctx contexts[CONTEXTS];
    nng_aio *aios[CONTEXTS];
    memset(title, 'x', sizeof title - 1);
    title[sizeof title - 1] = '\0';
    for (int i = 0; i < CONTEXTS; i++) {
        snprintf(
            json, sizeof json,
            "{\"id\":\"c%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"c%d\",\"data\":{\"n\":%d,\"title\":\"%s\"}}",
            i, i, i, title);
        does(s->store, json, "\"ok\":true");
        assert_nng(nng_ctx_open(&contexts[i], socket));
        assert_nng(nng_aio_alloc(&aios[i], NULL, NULL));
        nng_aio_set_timeout(aios[i], DEADLINE_MS);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        snprintf(json, sizeof json, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"c%d\"}", i);
        nng_aio_set_msg(aios[i], message_of(json));
        nng_ctx_send(contexts[i], aios[i]);
        nng_aio_wait(aios[i]);
        assert_nng(nng_aio_result(aios[i]));
        nng_ctx_recv(contexts[i], aios[i]);
    }
    for (int i = 0; i < CONTEXTS; i++) {
        nng_aio_wait(aios[i]);
        assert_nng(nng_aio_result(aios[i]));
        nng_msg *answer = nng_aio_get_msg(aios[i]);
        assert_nng(nng_msg_append(answer, "", 1));
        snprintf(json, sizeof json, "\"n\":%d", i);
        assert_non_null(strstr(nng_msg_body(answer), json));
        nng_msg_free(answer);
        nng_aio_free(aios[i]);
        assert_nng(nng_ctx_close(contexts[i]));
    }
    nng_close(socket);
}

/* Subscribed to "jobs/": what notes went through does not come, heads do when asked for. */
static void a_stock_sub_socket_hears_its_topics(void **state)
{
    served *s = *state;
    nng_socket socket;
    nng_msg *message;
    int jobs = 0, heads = 0;
    assert_nng(nng_sub0_open(&socket));
    assert_nng(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, DEADLINE_MS));
    assert_nng(nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, "jobs/", 6));
    assert_nng(nng_socket_set(socket, NNG_OPT_SUB_SUBSCRIBE, "daybook.head/", 13));
    assert_nng(nng_dial(socket, dbk_bus_changes_url(s->bus), NULL, 0));
    while (jobs < 3 || heads < 2) {
        assert_nng(nng_recvmsg(socket, &message, 0));
        assert_nng(nng_msg_append(message, "", 1));
        const char *body = nng_msg_body(message);
        if (strcmp(body, "daybook.head/") == 0 && heads++ == 0) { /* now it is subscribed */
            for (int i = 0; i < 3; i++) {
                char json[120];
                snprintf(json, sizeof json,
                         "{\"id\":\"n%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"n\":%d}}", i, i);
                does(s->store, json, "\"ok\":true");
                snprintf(json, sizeof json,
                         "{\"id\":\"j%d\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"j%d\",\"data\":{}}", i, i);
                does(s->store, json, "\"ok\":true");
            }
        } else if (strcmp(body, "jobs/") == 0) {
            assert_non_null(strstr(body + 6, "\"table\":\"jobs\""));
            jobs++;
        } else {
            assert_string_equal(body, "daybook.head/");
        }
        nng_msg_free(message);
    }
    nng_close(socket);
}

/* The other way round: the client speaks to a stock REP socket. */
static void *stock_rep(void *arg)
{
    nng_socket socket = *(nng_socket *)arg;
    nng_msg *message;
    while (nng_recvmsg(socket, &message, 0) == 0)
        if (nng_sendmsg(socket, message, 0) != 0) nng_msg_free(message);
    return NULL;
}

static void the_client_speaks_to_a_stock_rep_socket(void **state)
{
    served *s = *state;
    char url[120], *big = malloc(3000000);
    nng_socket socket;
    pthread_t thread;
    dbk_store *client = NULL;
    dbk_error error = {0};
    dbk_text answer = {0};
    snprintf(url, sizeof url, "ipc://%s/echo", s->root);
    assert_nng(nng_rep0_open(&socket));
    assert_nng(nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0));
    assert_nng(nng_listen(socket, url, NULL, 0));
    assert_int_equal(pthread_create(&thread, NULL, stock_rep, &socket), 0);
    assert_ok(dbk_connect(url, NULL, &client, &error), error);
    for (size_t size = 0; size < 3000000; size = size * 3 + 1) {
        memset(big, 'a' + (int)(size % 26), size);
        assert_ok(dbk_do(client, big, size, &answer, &error), error);
        assert_int_equal(answer.size, size);
        assert_memory_equal(answer.data, big, size);
        dbk_text_free(&answer);
    }
    dbk_close(client);
    nng_close(socket);
    pthread_join(thread, NULL);
    free(big);
}

/* Written and read byte for byte as docs/bus.md prints it. */
static void the_bytes_are_the_documented_ones(void **state)
{
    served *s = *state;
    static const uint8_t asked[] = {0x00, 0x53, 0x50, 0x00, 0x00, 0x30, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x12, 0x80, 0x00, 0x00, 0x07, 0x7b, 0x22, 0x64,
                                    0x6f, 0x22, 0x3a, 0x22, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x22, 0x7d};
    static const uint8_t rep[] = {0x00, 0x53, 0x50, 0x00, 0x00, 0x31, 0x00, 0x00};
    static const uint8_t pub[] = {0x00, 0x53, 0x50, 0x00, 0x00, 0x20, 0x00, 0x00};
    uint8_t answer[8];
    char body[4096];
    int fd = raw_connect(dbk_bus_commands_url(s->bus));
    for (size_t i = 0; i < sizeof asked; i++) assert_true(raw_write(fd, asked + i, 1)); /* however it is cut */
    assert_true(raw_read(fd, answer, 8));
    assert_memory_equal(answer, rep, 8);
    assert_int_equal(raw_answer(fd, body, sizeof body), 0x80000007u);
    assert_int_equal(strncmp(body, "{\"ok\":true,\"daybook\":", 21), 0);
    close(fd);
    fd = raw_connect(dbk_bus_changes_url(s->bus));
    assert_true(raw_write(fd, raw_sub, 8) && raw_read(fd, answer, 8));
    assert_memory_equal(answer, pub, 8);
    uint8_t head[9];
    assert_true(raw_read(fd, head, 9) && head[0] == 1);
    uint64_t size = dbk_load_be64(head + 1);
    assert_true(size > 14 && size < sizeof body && raw_read(fd, body, (size_t)size));
    assert_string_equal(body, "daybook.head/");
    close(fd);
}

/* Numbers that devices put before a request come back before its answer; too many, and it is dropped. */
static void the_numbers_of_devices_come_back(void **state)
{
    served *s = *state;
    uint8_t frame[64], back[64];
    int fd = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    for (size_t hops = 1; hops <= 10; hops++) {
        frame[0] = 1;
        dbk_store_be64(frame + 1, hops * 4);
        for (size_t i = 0; i < hops; i++) dbk_store_be32(frame + 9 + i * 4, (uint32_t)(0x100 + i));
        frame[9 + (hops - 1) * 4] |= 0x80;
        assert_true(raw_write(fd, frame, 9 + hops * 4));
        if (hops > 8) continue;
        assert_true(raw_read(fd, back, 9 + hops * 4));
        assert_memory_equal(back, frame, 9 + hops * 4);
    }
    char body[4096];
    assert_true(raw_ask(fd, 9, "{\"do\":\"hello\"}")); /* the dropped ones ended nothing */
    assert_int_equal(raw_answer(fd, body, sizeof body), 0x80000009u);
    close(fd);
}

/* 500 requests in one write: the answers of those that are decided come in order. */
static void many_frames_in_one_write_are_all_taken(void **state)
{
    enum { FRAMES = 500 };
    served *s = *state;
    uint8_t *all = malloc(FRAMES * 200);
    char json[180], body[4096];
    size_t size = 0;
    for (int i = 0; i < FRAMES; i++) {
        snprintf(json, sizeof json,
                 "{\"id\":\"f%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%d\",\"data\":{\"n\":%d}}", i, i, i);
        size += raw_frame(all + size, (uint32_t)i + 1, json, strlen(json));
    }
    int fd = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    assert_true(raw_write(fd, all, size));
    for (uint32_t i = 1; i <= FRAMES; i++) {
        assert_int_equal(raw_answer(fd, body, sizeof body), i | 0x80000000u);
        assert_non_null(strstr(body, "\"ok\":true"));
    }
    close(fd);
    free(all);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(a_stock_req_socket_is_answered),         served(stock_contexts_get_each_its_own_answer),
        served(a_stock_sub_socket_hears_its_topics),    served(the_client_speaks_to_a_stock_rep_socket),
        served(the_bytes_are_the_documented_ones),      served(the_numbers_of_devices_come_back),
        served(many_frames_in_one_write_are_all_taken),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini();
    return failed;
}
