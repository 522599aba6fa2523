/* Streams of nng before they are connections: dialing, whose they are, and what nng's results mean. */
#include "bus/conn.h"

dbk_result dbk_bus_fail_nng(dbk_error *err, int rc, const char *what, const char *url)
{
    dbk_result result = DBK_UNAVAILABLE;
    if (rc == NNG_ENOMEM) result = DBK_NO_MEMORY;
    else if (rc == NNG_ENOFILES) result = DBK_NO_FILES;
    else if (rc == NNG_ETIMEDOUT) result = DBK_TIMEOUT;
    else if (rc == NNG_EPERM) result = DBK_DENIED;
    return dbk_fail(err, result, "cannot %s '%s': %s", what, url, nng_strerror(rc));
}

/* A Unix socket connects at once or says why not, so that waiting here is waiting for nobody. The stream
 * keeps what it needs of the dialer. */
int dbk_dial(const char *url, nng_stream **out)
{
    nng_aio *aio = NULL;
    nng_stream_dialer *dialer = NULL;
    int rc = nng_aio_alloc(&aio, NULL, NULL);
    if (rc == 0) rc = nng_stream_dialer_alloc(&dialer, url);
    if (rc == 0) {
        nng_stream_dialer_dial(dialer, aio);
        nng_aio_wait(aio);
        rc = nng_aio_result(aio);
    }
    if (rc == 0) *out = nng_aio_get_output(aio, 0);
    if (dialer) nng_stream_dialer_free(dialer);
    nng_aio_free(aio);
    return rc;
}

bool dbk_stream_is_of(nng_stream *stream, uint32_t user)
{
    uint64_t found = UINT64_MAX;
    return nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_UID, &found) == 0 && found == user;
}

void dbk_stream_discard(nng_stream *stream)
{
    if (!stream) return;
    nng_stream_close(stream);
    nng_stream_free(stream);
}
