/* Where the sockets are, whose folders they are in, and who may connect. */
#include <grp.h>
#include <sys/wait.h>

#include "bus_fixture.h"

#include <nng/nng.h>

static dbk_result try_start(served *s, const char *listen, dbk_error *error)
{
    dbk_bus_options options = s->options;
    options.listen = listen;
    return dbk_bus_start(s->engine, s->store, s->path, &options, &s->bus, error);
}

static void run_json_leads_to_the_daemon(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    dbk_buffer url;
    dbk_store *client = NULL;
    dbk_buffer_init(&url, dbk_port_system());
    assert_int_equal(dbk_bus_find(dbk_port_system(), s->path, &url, &error), DBK_OK);
    assert_string_equal((char *)url.data, dbk_bus_commands_url(s->bus));
    assert_ok(dbk_connect(s->path, NULL, &client, &error), error);
    does(client, "{\"do\":\"hello\"}", dbk_engine_id(s->engine));
    dbk_close(client);
    served_stop(s);
    assert_int_equal(dbk_bus_find(dbk_port_system(), s->path, &url, &error), DBK_NONE);
    dbk_buffer_release(&url);
}

/* A daemon that was killed leaves its files; the process id in run.json is nobody's any more. */
static void a_note_of_a_dead_process_counts_for_nothing(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    dbk_buffer url;
    char path[160];
    dbk_buffer_init(&url, dbk_port_system());
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    served_stop(s);
    snprintf(path, sizeof path, "%s/run.json", s->path);
    FILE *file = fopen(path, "w");
    fprintf(file, "{\"pid\":%d,\"commands\":\"ipc:///tmp/x/commands\"}\n", (int)child);
    fclose(file);
    assert_int_equal(dbk_bus_find(dbk_port_system(), s->path, &url, &error), DBK_NONE);
    dbk_buffer_release(&url);
}

/* A copy of the store has the note of the original, or even one that leads there under its own name. */
static void a_copy_does_not_lead_to_the_original(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    dbk_buffer url;
    dbk_store *client = NULL;
    struct stat here;
    char copy[96], path[160], from[160], text[4096] = "", forged[512];
    snprintf(copy, sizeof copy, "%s/copy.daybook", s->root);
    assert_int_equal(mkdir(copy, 0700), 0);
    snprintf(from, sizeof from, "%s/run.json", s->path);
    snprintf(path, sizeof path, "%s/run.json", copy);
    FILE *file = fopen(from, "r");
    assert_true(file && fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    dbk_buffer_init(&url, dbk_port_system());
    assert_int_equal(dbk_bus_find(dbk_port_system(), s->path, &url, &error), DBK_OK);
    assert_int_equal(dbk_bus_find(dbk_port_system(), copy, &url, &error), DBK_NONE);
    assert_int_equal(stat(copy, &here), 0);
    snprintf(forged, sizeof forged, "{\"pid\":%d,\"commands\":\"%s\",\"folder\":\"%llu:%llu\"}", (int)getpid(),
             dbk_bus_commands_url(s->bus), (unsigned long long)here.st_dev, (unsigned long long)here.st_ino);
    file = fopen(path, "w");
    fputs(forged, file);
    fclose(file);
    assert_int_equal(dbk_bus_find(dbk_port_system(), copy, &url, &error), DBK_OK);
    assert_int_equal(dbk_connect(copy, NULL, &client, &error), DBK_UNAVAILABLE);
    assert_non_null(strstr(error.text, "serves another folder than"));
    dbk_buffer_release(&url);
}

/* The process of the note is there, and is another's by now: nobody listens. */
static void a_note_without_a_listener_counts_for_nothing(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    dbk_buffer url;
    struct stat here;
    char path[160];
    dbk_buffer_init(&url, dbk_port_system());
    served_stop(s);
    assert_int_equal(stat(s->path, &here), 0);
    snprintf(path, sizeof path, "%s/run.json", s->path);
    FILE *file = fopen(path, "w");
    fprintf(file, "{\"pid\":%d,\"commands\":\"ipc://%s/commands\",\"folder\":\"%llu:%llu\"}", (int)getpid(), s->root,
            (unsigned long long)here.st_dev, (unsigned long long)here.st_ino);
    fclose(file);
    assert_int_equal(dbk_bus_find(dbk_port_system(), s->path, &url, &error), DBK_NONE);
    dbk_buffer_release(&url);
}

static void socket_and_folders_are_ours_alone(void **state)
{
    served *s = *state;
    struct stat info;
    char folder[200];
    assert_int_equal(lstat(socket_path(dbk_bus_commands_url(s->bus)), &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 0077, 0);
    snprintf(folder, sizeof folder, "%s/daybook", s->root);
    assert_int_equal(lstat(folder, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
}

static void a_folder_open_to_others_is_refused(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    char folder[200];
    served_stop(s);
    snprintf(folder, sizeof folder, "%s/daybook", s->root);
    chmod(folder, 0750);
    assert_int_equal(try_start(s, NULL, &error), DBK_DENIED);
    assert_non_null(strstr(error.text, "is open to others (mode 0750)"));
    chmod(folder, 0700);
    served_start(s);
}

static void a_linked_folder_is_refused(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    char folder[200], elsewhere[200];
    served_stop(s);
    snprintf(folder, sizeof folder, "%s/daybook", s->root);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", s->root);
    assert_int_equal(rename(folder, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, folder), 0);
    assert_int_equal(try_start(s, NULL, &error), DBK_DENIED);
    assert_non_null(strstr(error.text, "'daybook' is no folder"));
}

static void a_folder_of_another_user_is_refused(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    char folder[200];
    if (geteuid() != 0) {
        print_message("only root can give a folder away: skipped\n");
        skip();
    }
    served_stop(s);
    snprintf(folder, sizeof folder, "%s/daybook", s->root);
    assert_int_equal(chown(folder, 65534, 65534), 0);
    assert_int_equal(try_start(s, NULL, &error), DBK_DENIED);
    assert_non_null(strstr(error.text, "belongs to user 65534"));
}

/* Without XDG_RUNTIME_DIR the same rules hold in /tmp. */
static void without_a_runtime_folder_tmp_serves(void **state)
{
    served *s = *state;
    char prefix[64];
    served_stop(s);
    unsetenv("XDG_RUNTIME_DIR");
    served_start(s);
    snprintf(prefix, sizeof prefix, "ipc:///tmp/daybook-%u/", (unsigned)geteuid());
    assert_int_equal(strncmp(dbk_bus_commands_url(s->bus), prefix, strlen(prefix)), 0);
    char folder[200];
    snprintf(folder, sizeof folder, "%s", socket_path(dbk_bus_commands_url(s->bus)));
    *strrchr(folder, '/') = '\0';
    assert_int_equal(access(folder, F_OK), 0);
    served_stop(s);
    assert_int_equal(access(folder, F_OK), -1);
    *strrchr(folder, '/') = '\0';
    rmdir(folder); /* fails, rightly, where this user runs a daemon */
}

/* The folder of the sockets, which goes with the bus, is there again. */
static void make_folder_again(const char *path)
{
    char folder[200];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void a_stale_socket_is_replaced(void **state)
{
    served *s = *state;
    char path[100];
    snprintf(path, sizeof path, "%s", socket_path(dbk_bus_commands_url(s->bus)));
    served_stop(s);
    make_folder_again(path);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    served_start(s);
    dbk_store *client = served_connect(s);
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(client);
}

static void a_file_in_the_way_stays(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    char path[200];
    snprintf(path, sizeof path, "%s", socket_path(dbk_bus_commands_url(s->bus)));
    served_stop(s);
    make_folder_again(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(try_start(s, NULL, &error), DBK_DENIED);
    assert_non_null(strstr(error.text, "is no socket of this user"));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void a_chosen_address_is_used_once(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    dbk_bus *second = NULL;
    char listen[100], changes[100];
    served_stop(s);
    snprintf(listen, sizeof listen, "ipc://%s/bus", s->root);
    snprintf(changes, sizeof changes, "ipc://%s/bus-changes", s->root);
    assert_ok(try_start(s, listen, &error), error);
    assert_string_equal(dbk_bus_changes_url(s->bus), changes);
    dbk_bus_options options = {.listen = listen};
    assert_int_equal(dbk_bus_start(s->engine, s->store, s->path, &options, &second, &error), DBK_LOCKED);
    dbk_store *client = served_connect(s);
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(client);
}

static void a_bad_or_long_address_is_refused(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    char listen[300] = "ipc:///tmp/";
    served_stop(s);
    assert_int_equal(try_start(s, "tcp://127.0.0.1:1", &error), DBK_USAGE);
    memset(listen + strlen(listen), 'x', 100);
    assert_int_equal(try_start(s, listen, &error), DBK_TOO_BIG);
    assert_int_equal(try_start(s, "ipc:///tmp/daybook-bus", &error), DBK_DENIED);
}

/* The folder would keep another user out; the check of the peer does so where the folder does not. */
static void another_user_is_refused(void **state)
{
    served *s = *state;
    if (geteuid() != 0) {
        print_message("only root can become another user: skipped\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        char folder[200];
        snprintf(folder, sizeof folder, "%s", socket_path(dbk_bus_commands_url(s->bus)));
        for (int i = 0; i < 4; i++) {
            chmod(folder, 0777);
            *strrchr(folder, '/') = '\0';
        }
        if (setgroups(0, NULL) || setgid(65534) || setuid(65534)) _exit(9);
        uint8_t bytes[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
        struct timeval limit = {20, 0};
        int fd = raw_connect(dbk_bus_commands_url(s->bus));
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit)) _exit(8);
        (void)send(fd, bytes, 8, MSG_NOSIGNAL);
        ssize_t n = 0;
        while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0) continue;
        _exit(n == 0 || errno == ECONNRESET ? 0 : 7); /* the daemon closed it */
    }
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    dbk_buffer stats;
    dbk_buffer_init(&stats, dbk_port_system());
    dbk_bus_stats(s->bus, &stats);
    assert_non_null(strstr(dbk_buffer_text(&stats), "\"refused_peers\":1"));
    dbk_buffer_release(&stats);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(run_json_leads_to_the_daemon),
        served(a_note_of_a_dead_process_counts_for_nothing),
        served(a_copy_does_not_lead_to_the_original),
        served(a_note_without_a_listener_counts_for_nothing),
        served(socket_and_folders_are_ours_alone),
        served(a_folder_open_to_others_is_refused),
        served(a_linked_folder_is_refused),
        served(a_folder_of_another_user_is_refused),
        served(without_a_runtime_folder_tmp_serves),
        served(a_stale_socket_is_replaced),
        served(a_file_in_the_way_stays),
        served(a_chosen_address_is_used_once),
        served(a_bad_or_long_address_is_refused),
        served(another_user_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini();
    return failed;
}
