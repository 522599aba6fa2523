/* zstd in memory of the port: contexts live in workspaces whose size zstd states beforehand (its static interface,
 * hence the macro), so that it allocates nothing by itself and a failing allocation is seen here. Parameters are
 * fixed: equal plain bytes give equal packed ones. */
#define ZSTD_STATIC_LINKING_ONLY
#include "log/unpack.h"

#include <zstd.h>

/* LARGE_CELL_BYTES: above it a dictionary gains nothing, and zstd would take it in anew for each cell. */
enum { ALIGNMENT = 64, HINT_BYTES = 32 * 1024, LARGE_CELL_BYTES = 32 * 1024 };

struct dbk_unpacker {
    const dbk_port *port;
    void *workspace;
    ZSTD_DCtx *context;
    dbk_buffer packed, plain, scratch;
    dbk_open_block block;
    dbk_block_place kept;
};

struct dbk_packer {
    const dbk_port *port;
    void *workspace, *prepared;
    ZSTD_CCtx *context;
    const ZSTD_CDict *dictionary; /* in `prepared`; NULL: none */
    dbk_buffer out;
};

struct dbk_dictionary {
    const dbk_port *port;
    void *workspace;
    const ZSTD_DDict *prepared; /* in the workspace */
};

dbk_unpacker *dbk_unpacker_new(const dbk_port *port)
{
    dbk_unpacker *unpacker = dbk_alloc_zero(port, 1, sizeof(*unpacker));
    size_t size = ZSTD_estimateDCtxSize();

    if (!unpacker) return NULL;
    unpacker->port = port;
    dbk_buffer_init(&unpacker->packed, port);
    dbk_buffer_init(&unpacker->plain, port);
    dbk_buffer_init(&unpacker->scratch, port);
    dbk_buffer_init(&unpacker->block.data, port);
    dbk_buffer_init(&unpacker->block.cells, port);
    unpacker->workspace = port->alloc_aligned(port->ctx, ALIGNMENT, dbk_round_up(size, ALIGNMENT));
    if (unpacker->workspace)
        unpacker->context = ZSTD_initStaticDCtx(unpacker->workspace, dbk_round_up(size, ALIGNMENT));
    if (unpacker->context) return unpacker;
    dbk_unpacker_free(unpacker);
    return NULL;
}

void dbk_unpacker_free(dbk_unpacker *unpacker)
{
    if (!unpacker) return;
    dbk_buffer_release(&unpacker->packed);
    dbk_buffer_release(&unpacker->plain);
    dbk_buffer_release(&unpacker->scratch);
    dbk_buffer_release(&unpacker->block.data);
    dbk_buffer_release(&unpacker->block.cells);
    if (unpacker->workspace) unpacker->port->free_aligned(unpacker->port->ctx, unpacker->workspace);
    dbk_free(unpacker->port, unpacker);
}

static uint8_t *room_in(dbk_buffer *buffer, size_t size)
{
    dbk_buffer_clear(buffer);
    return dbk_buffer_extend(buffer, size);
}

uint8_t *dbk_unpacker_room(dbk_unpacker *unpacker, size_t size)
{
    return room_in(&unpacker->packed, size);
}

bool dbk_unpacker_run(dbk_unpacker *unpacker, dbk_slice data, uint8_t *out, size_t size)
{
    if (ZSTD_getFrameContentSize(data.data, data.size) != size) return false;
    if (ZSTD_findFrameCompressedSize(data.data, data.size) != data.size) return false;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(unpacker->context, ZSTD_d_format, ZSTD_f_zstd1))) return false;
    return ZSTD_decompressDCtx(unpacker->context, out, size, data.data, data.size) == size;
}

size_t dbk_unpacker_frame(dbk_slice data, size_t *plain_bytes)
{
    size_t bytes = ZSTD_findFrameCompressedSize(data.data, data.size);
    unsigned long long content = ZSTD_getFrameContentSize(data.data, data.size);

    *plain_bytes = (size_t)content;
    return ZSTD_isError(bytes) || content >= ZSTD_CONTENTSIZE_ERROR || !dbk_unpacker_begins(data) ? 0 : bytes;
}

bool dbk_unpacker_begins(dbk_slice data)
{
    return data.size >= 4 && dbk_load_u32(data.data) == ZSTD_MAGICNUMBER;
}

bool dbk_unpacker_run_cell(dbk_unpacker *unpacker, dbk_slice data, const dbk_dictionary *dictionary, uint8_t *out,
                           size_t size)
{
    const ZSTD_DDict *prepared = dictionary ? dictionary->prepared : NULL;
    ZSTD_frameHeader header;

    if (ZSTD_getFrameHeader_advanced(&header, data.data, data.size, ZSTD_f_zstd1_magicless) != 0) return false;
    if (header.frameContentSize != size) return false;
    if (ZSTD_isError(ZSTD_DCtx_setParameter(unpacker->context, ZSTD_d_format, ZSTD_f_zstd1_magicless))) return false;
    return ZSTD_decompress_usingDDict(unpacker->context, out, size, data.data, data.size, prepared) == size;
}

dbk_dictionary *dbk_dictionary_new(const dbk_port *port, dbk_slice bytes, bool *sound)
{
    dbk_dictionary *dictionary = dbk_alloc_zero(port, 1, sizeof(*dictionary));
    size_t size = dbk_round_up(ZSTD_estimateDDictSize(bytes.size, ZSTD_dlm_byCopy), ALIGNMENT);

    *sound = true;
    if (!dictionary) return NULL;
    dictionary->port = port;
    dictionary->workspace = port->alloc_aligned(port->ctx, ALIGNMENT, size);
    if (dictionary->workspace) {
        dictionary->prepared = ZSTD_initStaticDDict(dictionary->workspace, size, bytes.data, bytes.size,
                                                    ZSTD_dlm_byCopy, ZSTD_dct_fullDict);
        *sound = dictionary->prepared != NULL;
    }
    if (dictionary->prepared) return dictionary;
    dbk_dictionary_free(dictionary);
    return NULL;
}

void dbk_dictionary_free(dbk_dictionary *dictionary)
{
    if (!dictionary) return;
    if (dictionary->workspace) dictionary->port->free_aligned(dictionary->port->ctx, dictionary->workspace);
    dbk_free(dictionary->port, dictionary);
}

dbk_open_block *dbk_unpacker_block(dbk_unpacker *unpacker)
{
    return &unpacker->block;
}

uint8_t *dbk_unpacker_scratch(dbk_unpacker *unpacker, size_t size)
{
    return room_in(&unpacker->scratch, size);
}

const uint8_t *dbk_unpacker_kept(const dbk_unpacker *unpacker, const dbk_image *image, uint32_t index)
{
    return dbk_block_place_is(&unpacker->kept, image, index) ? unpacker->plain.data : NULL;
}

uint8_t *dbk_unpacker_keep(dbk_unpacker *unpacker, size_t size)
{
    unpacker->kept.salt = 0;
    return room_in(&unpacker->plain, size);
}

void dbk_unpacker_note(dbk_unpacker *unpacker, const dbk_image *image, uint32_t index)
{
    unpacker->kept = dbk_block_place_of(image, index);
}

/* Set one by one, so that a length at hand does not change them and the memory is that measured. */
static bool set_parameters(ZSTD_CCtx *context, ZSTD_compressionParameters parameters)
{
    const struct {
        ZSTD_cParameter name;
        int value;
    } settings[] = {
        {ZSTD_c_windowLog, (int)parameters.windowLog},
        {ZSTD_c_hashLog, (int)parameters.hashLog},
        {ZSTD_c_chainLog, (int)parameters.chainLog},
        {ZSTD_c_searchLog, (int)parameters.searchLog},
        {ZSTD_c_minMatch, (int)parameters.minMatch},
        {ZSTD_c_targetLength, (int)parameters.targetLength},
        {ZSTD_c_strategy, (int)parameters.strategy},
        {ZSTD_c_contentSizeFlag, 1},
        {ZSTD_c_checksumFlag, 0},
        {ZSTD_c_dictIDFlag, 0},
        {ZSTD_c_format, ZSTD_f_zstd1_magicless},
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (ZSTD_isError(ZSTD_CCtx_setParameter(context, settings[i].name, settings[i].value))) return false;
    }
    return true;
}

static bool prepare(dbk_packer *packer, dbk_slice dictionary, ZSTD_compressionParameters parameters)
{
    const dbk_port *port = packer->port;

    if (dictionary.size == 0) return true;
    size_t size = ZSTD_estimateCDictSize_advanced(dictionary.size, parameters, ZSTD_dlm_byRef);
    size = dbk_round_up(size, ALIGNMENT);
    packer->prepared = port->alloc_aligned(port->ctx, ALIGNMENT, size);
    if (!packer->prepared) return false;
    packer->dictionary = ZSTD_initStaticCDict(packer->prepared, size, dictionary.data, dictionary.size, ZSTD_dlm_byRef,
                                              ZSTD_dct_fullDict, parameters);
    return packer->dictionary != NULL;
}

dbk_packer *dbk_packer_new(const dbk_port *port, dbk_slice dictionary)
{
    ZSTD_compressionParameters parameters = ZSTD_getCParams(DBK_PACK_LEVEL, HINT_BYTES, dictionary.size);
    size_t size = dbk_round_up(ZSTD_estimateCCtxSize_usingCParams(parameters), ALIGNMENT);
    dbk_packer *packer = dbk_alloc_zero(port, 1, sizeof(*packer));

    if (!packer) return NULL;
    packer->port = port;
    dbk_buffer_init(&packer->out, port);
    packer->workspace = port->alloc_aligned(port->ctx, ALIGNMENT, size);
    if (packer->workspace) packer->context = ZSTD_initStaticCCtx(packer->workspace, size);
    if (packer->context && set_parameters(packer->context, parameters) && prepare(packer, dictionary, parameters))
        return packer;
    dbk_packer_free(packer);
    return NULL;
}

void dbk_packer_free(dbk_packer *packer)
{
    if (!packer) return;
    dbk_buffer_release(&packer->out);
    if (packer->workspace) packer->port->free_aligned(packer->port->ctx, packer->workspace);
    if (packer->prepared) packer->port->free_aligned(packer->port->ctx, packer->prepared);
    dbk_free(packer->port, packer);
}

bool dbk_packer_run(dbk_packer *packer, dbk_slice data, dbk_slice *packed)
{
    size_t bound = ZSTD_compressBound(data.size);
    uint8_t *out = room_in(&packer->out, bound);

    if (!out) return false;
    const ZSTD_CDict *dictionary = data.size <= LARGE_CELL_BYTES ? packer->dictionary : NULL;
    if (ZSTD_isError(ZSTD_CCtx_refCDict(packer->context, dictionary))) return false;
    size_t size = ZSTD_compress2(packer->context, out, bound, data.data, data.size);
    *packed = dbk_slice_of(out, size);
    return !ZSTD_isError(size);
}
