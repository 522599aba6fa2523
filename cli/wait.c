/* Signals are blocked before any thread starts and taken by the main thread one by one, so that no handler
 * ever runs in the middle of something. */
#include "cli/cli.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static sigset_t end_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

/* A reader that has gone shows as EPIPE, a limit to the size of files (ulimit -f) as EFBIG. */
void dbk_signals_as_errors(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

void dbk_signals_hold(void)
{
    sigset_t set = end_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* The next one ends the program at once: whoever asks twice means it. */
static void let_go(void)
{
    sigset_t set = end_signals();
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void dbk_signals_wait(void)
{
    sigset_t set = end_signals();
    int number;
    while (sigwait(&set, &number) != 0) continue;
    let_go();
}

bool dbk_signals_came(uint32_t wait_ms)
{
    sigset_t set = end_signals();
    struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = (long)(wait_ms % 1000) * 1000000L};
    return sigtimedwait(&set, NULL, &wait) > 0;
}

void dbk_signals_raise(void)
{
    kill(getpid(), SIGTERM);
}

void dbk_service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, strlen(path));
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') address.sun_path[0] = 0; /* Linux's abstract names */
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return;
    if (sendto(descriptor, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size) < 0)
        dbk_cli_note("the service manager was not told '%s'", state);
    close(descriptor);
}
