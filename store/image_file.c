/* An image as a file: a header, then the copy of the model in blocks that are compressed by themselves, each behind its
 * length and checksum (docs/format/image.md). A block's checksum is seeded with the header's and its number, so that
 * neither another image's block nor one in another's place is taken.
 *
 * zstd gets workspaces of the port's memory, whose size it states beforehand: it allocates nothing by itself. */
#define ZSTD_STATIC_LINKING_ONLY
#include "store/image_file.h"

#include <zstd.h>

enum { LEVEL = 1, ALIGNMENT = 64, VERSION = 1, FRAME_SIZE = 16, CHECKSUM_AT = 248 };
static const char magic[] = "DBKIMAGE";

static void encode_header(const dbk_image_header *header, uint8_t out[DBK_IMAGE_HEADER_SIZE])
{
    memset(out, 0, DBK_IMAGE_HEADER_SIZE);
    memcpy(out, magic, 8);
    dbk_store_u32(out + 8, VERSION);
    dbk_store_u32(out + 12, DBK_IMAGE_BLOCK_SIZE);
    memcpy(out + 16, header->store_id, 16);
    dbk_store_u64(out + 32, header->position);
    memcpy(out + 40, header->head, DBK_LEAF_SIZE);
    memcpy(out + 72, header->top, DBK_ORDER_KEY_SIZE);
    memcpy(out + 112, header->definition, 16);
    dbk_store_u64(out + 128, header->plain_bytes);
    dbk_store_u64(out + CHECKSUM_AT, dbk_checksum(dbk_slice_of(out, CHECKSUM_AT), 0));
}

/* False: not one of this version, or damaged. */
static bool decode_header(const uint8_t in[DBK_IMAGE_HEADER_SIZE], dbk_image_header *header)
{
    uint8_t again[DBK_IMAGE_HEADER_SIZE];
    memcpy(header->store_id, in + 16, 16);
    header->position = dbk_load_u64(in + 32);
    memcpy(header->head, in + 40, DBK_LEAF_SIZE);
    memcpy(header->top, in + 72, DBK_ORDER_KEY_SIZE);
    memcpy(header->definition, in + 112, 16);
    header->plain_bytes = dbk_load_u64(in + 128);
    encode_header(header, again);
    return memcmp(again, in, sizeof again) == 0 && header->position > 0 && header->plain_bytes > 0;
}

static dbk_result read_header(const dbk_port *port, dbk_file *file, const char *name, dbk_image_header *header,
                              uint64_t *seed, dbk_error *err)
{
    uint8_t bytes[DBK_IMAGE_HEADER_SIZE];
    size_t got = 0;
    dbk_result result = dbk_io_read(port, file, name, 0, bytes, sizeof bytes, &got, err);
    if (result != DBK_OK) return result;
    if (got < sizeof bytes || !decode_header(bytes, header))
        return dbk_fail(err, DBK_CORRUPT, "'%s' has no header of an image", name);
    *seed = dbk_load_u64(bytes + CHECKSUM_AT);
    return DBK_OK;
}

dbk_result dbk_image_header_read(const dbk_port *port, dbk_dir *dir, const char *name, dbk_image_header *header,
                                 dbk_error *err)
{
    dbk_file *file = NULL;
    uint64_t seed;
    dbk_result result = dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, err);
    if (result == DBK_OK) result = read_header(port, file, name, header, &seed, err);
    if (file) port->close_file(port->ctx, file);
    return result;
}

/* What both ways need: the two files, room for a block in either form, zstd's memory. */
typedef struct dbk_image_work {
    const dbk_port *port;
    dbk_file *from, *to;
    const char *from_name, *to_name;
    uint8_t *plain, *packed; /* packed: behind its frame */
    size_t packed_room;
    void *workspace;
    ZSTD_CCtx *packer;
    ZSTD_DCtx *unpacker;
    uint64_t seed, read, written;
} dbk_image_work;

static dbk_result start(dbk_image_work *work, bool packs, dbk_error *err)
{
    const dbk_port *port = work->port;
    ZSTD_compressionParameters parameters = ZSTD_getCParams(LEVEL, DBK_IMAGE_BLOCK_SIZE, 0);
    size_t size = packs ? ZSTD_estimateCCtxSize_usingCParams(parameters) : ZSTD_estimateDCtxSize();
    size = (size_t)dbk_round_up(size, ALIGNMENT);
    work->packed_room = ZSTD_compressBound(DBK_IMAGE_BLOCK_SIZE);
    work->plain = dbk_alloc(port, DBK_IMAGE_BLOCK_SIZE);
    work->packed = dbk_alloc(port, FRAME_SIZE + work->packed_room);
    work->workspace = port->alloc_aligned(port->ctx, ALIGNMENT, size);
    if (work->workspace && packs) work->packer = ZSTD_initStaticCCtx(work->workspace, size);
    if (work->workspace && !packs) work->unpacker = ZSTD_initStaticDCtx(work->workspace, size);
    if (work->plain && work->packed && (work->packer || work->unpacker)) return DBK_OK;
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for an image");
}

static void finish(dbk_image_work *work)
{
    const dbk_port *port = work->port;
    if (work->from) port->close_file(port->ctx, work->from);
    if (work->to) port->close_file(port->ctx, work->to);
    if (work->workspace) port->free_aligned(port->ctx, work->workspace);
    dbk_free(port, work->plain);
    dbk_free(port, work->packed);
}

static uint64_t frame_checksum(const dbk_image_work *work, uint64_t block, dbk_slice packed)
{
    return dbk_checksum(packed, work->seed + block);
}

/* ---- packing */

static dbk_result put_block(dbk_image_work *work, uint64_t block, size_t size, dbk_error *err)
{
    uint8_t *packed = work->packed + FRAME_SIZE;
    size_t bytes = ZSTD_compressCCtx(work->packer, packed, work->packed_room, work->plain, size, LEVEL);
    if (ZSTD_isError(bytes)) return dbk_fail(err, DBK_NO_MEMORY, "cannot pack an image: %s", ZSTD_getErrorName(bytes));
    dbk_store_u32(work->packed, (uint32_t)bytes);
    dbk_store_u32(work->packed + 4, (uint32_t)size);
    dbk_store_u64(work->packed + 8, frame_checksum(work, block, dbk_slice_of(packed, bytes)));
    dbk_result result =
        dbk_io_write(work->port, work->to, work->to_name, work->written, work->packed, FRAME_SIZE + bytes, err);
    work->written += FRAME_SIZE + bytes;
    return result;
}

static dbk_result pack_blocks(dbk_image_work *work, const dbk_image_header *header, dbk_error *err)
{
    uint8_t bytes[DBK_IMAGE_HEADER_SIZE];
    encode_header(header, bytes);
    work->seed = dbk_load_u64(bytes + CHECKSUM_AT);
    work->written = sizeof bytes;
    dbk_result result = dbk_io_write(work->port, work->to, work->to_name, 0, bytes, sizeof bytes, err);
    for (uint64_t block = 0; result == DBK_OK && work->read < header->plain_bytes; block++) {
        uint64_t left = header->plain_bytes - work->read;
        size_t size = left < DBK_IMAGE_BLOCK_SIZE ? (size_t)left : DBK_IMAGE_BLOCK_SIZE, got = 0;
        result = dbk_io_read(work->port, work->from, work->from_name, work->read, work->plain, size, &got, err);
        if (result == DBK_OK && got < size)
            result = dbk_fail(err, DBK_IO, "'%s' became shorter while it was read", work->from_name);
        if (result == DBK_OK) result = put_block(work, block, size, err);
        work->read += size;
    }
    return result == DBK_OK ? dbk_io_sync(work->port, work->to, work->to_name, err) : result;
}

dbk_result dbk_image_pack(const dbk_port *port, dbk_dir *dir, const char *plain, dbk_image_header *header,
                          const char *name, dbk_error *err)
{
    dbk_image_work work = {.port = port, .from_name = plain, .to_name = name};
    dbk_result result = start(&work, true, err);
    if (result == DBK_OK) result = dbk_io_open(port, dir, plain, DBK_OPEN_READ, &work.from, err);
    if (result == DBK_OK) result = dbk_io_size(port, work.from, plain, &header->plain_bytes, err);
    if (result == DBK_OK)
        result = dbk_io_open(port, dir, name, DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &work.to, err);
    if (result == DBK_OK) result = pack_blocks(&work, header, err);
    finish(&work);
    return result;
}

/* ---- unpacking */

static dbk_result fail_block(const dbk_image_work *work, uint64_t block, dbk_error *err)
{
    return dbk_fail(err, DBK_CORRUPT, "block %llu of the image '%s' is damaged", (unsigned long long)block,
                    work->from_name);
}

static dbk_result take_block(dbk_image_work *work, uint64_t block, size_t size, dbk_error *err)
{
    uint8_t frame[FRAME_SIZE], *packed = work->packed + FRAME_SIZE;
    size_t got = 0;
    dbk_result result =
        dbk_io_read(work->port, work->from, work->from_name, work->read, frame, sizeof frame, &got, err);
    if (result != DBK_OK) return result;
    size_t bytes = got == sizeof frame ? dbk_load_u32(frame) : 0;
    if (bytes == 0 || bytes > work->packed_room || dbk_load_u32(frame + 4) != size) return fail_block(work, block, err);
    result = dbk_io_read(work->port, work->from, work->from_name, work->read + FRAME_SIZE, packed, bytes, &got, err);
    if (result != DBK_OK) return result;
    dbk_slice data = dbk_slice_of(packed, bytes);
    if (got < bytes || frame_checksum(work, block, data) != dbk_load_u64(frame + 8) ||
        ZSTD_decompressDCtx(work->unpacker, work->plain, size, data.data, data.size) != size)
        return fail_block(work, block, err);
    work->read += FRAME_SIZE + bytes;
    result = dbk_io_write(work->port, work->to, work->to_name, work->written, work->plain, size, err);
    work->written += size;
    return result;
}

static dbk_result unpack_blocks(dbk_image_work *work, dbk_error *err)
{
    dbk_image_header header;
    uint64_t bytes = 0;
    dbk_result result = read_header(work->port, work->from, work->from_name, &header, &work->seed, err);
    work->read = DBK_IMAGE_HEADER_SIZE;
    for (uint64_t block = 0; result == DBK_OK && work->written < header.plain_bytes; block++) {
        uint64_t left = header.plain_bytes - work->written;
        result = take_block(work, block, left < DBK_IMAGE_BLOCK_SIZE ? (size_t)left : DBK_IMAGE_BLOCK_SIZE, err);
    }
    if (result == DBK_OK) result = dbk_io_size(work->port, work->from, work->from_name, &bytes, err);
    if (result == DBK_OK && bytes != work->read)
        result = dbk_fail(err, DBK_CORRUPT, "the image '%s' goes on behind its end", work->from_name);
    return result;
}

/* The folder of a path, open, and the name in it. */
static dbk_result open_folder(const dbk_port *port, const char *path, dbk_dir **dir, const char **name, dbk_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = dbk_copy_text(port, slash ? path : ".");
    *dir = NULL;
    *name = slash ? slash + 1 : path;
    if (!folder) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (slash) folder[slash == path ? 1 : slash - path] = '\0';
    dbk_result result = dbk_io_open_dir(port, NULL, folder, 0, dir, err);
    dbk_free(port, folder);
    return result;
}

dbk_result dbk_image_unpack(const dbk_port *port, dbk_dir *dir, const char *name, const char *path, dbk_error *err)
{
    dbk_image_work work = {.port = port, .from_name = name};
    dbk_dir *folder = NULL;
    dbk_result result = start(&work, false, err);
    if (result == DBK_OK) result = dbk_io_open(port, dir, name, DBK_OPEN_READ, &work.from, err);
    if (result == DBK_OK) result = open_folder(port, path, &folder, &work.to_name, err);
    if (result == DBK_OK)
        result = dbk_io_open(port, folder, work.to_name, DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE,
                             &work.to, err);
    bool made = work.to != NULL;
    if (result == DBK_OK) result = unpack_blocks(&work, err);
    if (result != DBK_OK && made) (void)port->unlink(port->ctx, folder, work.to_name);
    finish(&work);
    if (folder) port->close_dir(port->ctx, folder);
    return result;
}
