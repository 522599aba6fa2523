/* File contents of the simulated disk: two arrays of shared pages and a bit per unsynced sector. */
#include <stdlib.h>

#include "base/simdisk_internal.h"

/* Blocks that are allocated and never written share this page, which is never counted or freed. */
static sim_page zero_page;

static sim_page *page_share(sim_page *page)
{
    if (page && page != &zero_page) page->refs++;
    return page;
}

static void page_drop(sim_page *page)
{
    if (page && page != &zero_page && --page->refs == 0) free(page);
}

const uint8_t *sim_page_bytes(const sim_page *page)
{
    return page ? page->data : zero_page.data;
}

static void page_put(sim_page **slot, sim_page *page)
{
    sim_page *old = *slot;
    *slot = page_share(page);
    page_drop(old);
}

/* The page's bytes, for writing: a copy is made if anybody shares it. */
static uint8_t *page_write(sim_page **slot)
{
    sim_page *old = *slot;
    if (old && old != &zero_page && old->refs == 1) return old->data;
    sim_page *page = sim_host_take(sizeof *page);
    page->refs = 1;
    if (old) memcpy(page->data, old->data, sizeof page->data);
    *slot = page;
    page_drop(old);
    return page->data;
}

/* Zeroes the page's bytes from `from` on; a page that is zero there stays shared. */
static void page_cut(sim_page **slot, size_t from)
{
    if (!*slot || *slot == &zero_page) return;
    if (memcmp((*slot)->data + from, zero_page.data, DBK_SIM_BLOCK_BYTES - from) == 0) return;
    memset(page_write(slot) + from, 0, DBK_SIM_BLOCK_BYTES - from);
}

static void arrays_place(sim_body *body, size_t room)
{
    sim_page **pages = sim_host_take(room * (2 * sizeof *pages + 1));
    body->room = room;
    body->now = pages;
    body->kept = pages + room;
    body->dirty = (uint8_t *)(pages + 2 * room);
}

static void body_grow(sim_body *body, size_t pages)
{
    if (pages <= body->room) return;
    sim_body old = *body;
    arrays_place(body, pages < old.room * 2 ? old.room * 2 : pages);
    if (old.room == 0) return;
    memcpy(body->now, old.now, old.room * sizeof *body->now);
    memcpy(body->kept, old.kept, old.room * sizeof *body->kept);
    memcpy(body->dirty, old.dirty, old.room);
    free(old.now);
}

sim_body *sim_body_new(void)
{
    sim_body *body = sim_host_take(sizeof *body);
    body->refs = 1;
    return body;
}

sim_body *sim_body_copy(const sim_body *from)
{
    sim_body *body = sim_host_take(sizeof *body);
    *body = *from;
    body->refs = 1;
    if (from->room == 0) return body;
    arrays_place(body, from->room);
    memcpy(body->now, from->now, from->room * (2 * sizeof *body->now + 1));
    for (size_t i = 0; i < 2 * body->room; i++) page_share(body->now[i]);
    return body;
}

void sim_body_drop(sim_body *body)
{
    if (!body || --body->refs > 0) return;
    for (size_t i = 0; i < 2 * body->room; i++) page_drop(body->now[i]);
    free(body->now);
    free(body);
}

static size_t pages_of(uint64_t size)
{
    return (size_t)((size + DBK_SIM_BLOCK_BYTES - 1) / DBK_SIM_BLOCK_BYTES);
}

static size_t least(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

/* Bits of the sectors of `page` that the range touches. */
static uint8_t sectors_in(size_t page, uint64_t offset, uint64_t end)
{
    uint64_t base = (uint64_t)page * DBK_SIM_BLOCK_BYTES;
    uint64_t low = offset > base ? (offset - base) / DBK_SIM_SECTOR_BYTES : 0;
    uint64_t high = (end - base + DBK_SIM_SECTOR_BYTES - 1) / DBK_SIM_SECTOR_BYTES;
    if (high > SIM_SECTORS) high = SIM_SECTORS;
    return (uint8_t)((1U << high) - (1U << low));
}

static void mark_dirty(sim_body *body, uint64_t offset, uint64_t end)
{
    size_t low = (size_t)(offset / DBK_SIM_BLOCK_BYTES), high = pages_of(end);
    bool none = body->dirty_low >= body->dirty_high;
    if (none || low < body->dirty_low) body->dirty_low = low;
    if (none || high > body->dirty_high) body->dirty_high = high;
    for (size_t page = low; page < high; page++) {
        body->dirty[page] |= sectors_in(page, offset, end);
    }
}

size_t sim_body_read(const sim_body *body, void *out, size_t size, uint64_t offset)
{
    if (offset >= body->now_size) return 0;
    size = least(size, body->now_size - offset);
    for (size_t done = 0; done < size;) {
        size_t page = (size_t)((offset + done) / DBK_SIM_BLOCK_BYTES);
        size_t within = (size_t)((offset + done) % DBK_SIM_BLOCK_BYTES);
        size_t part = least(size - done, DBK_SIM_BLOCK_BYTES - within);
        const sim_page *from = page < body->room ? body->now[page] : NULL;
        memcpy((uint8_t *)out + done, sim_page_bytes(from) + within, part);
        done += part;
    }
    return size;
}

size_t sim_body_write(sim_body *body, const void *data, size_t size, uint64_t offset, uint64_t spare, bool lost)
{
    body_grow(body, pages_of(offset + size));
    size_t done = 0;
    while (done < size) {
        size_t page = (size_t)((offset + done) / DBK_SIM_BLOCK_BYTES);
        size_t within = (size_t)((offset + done) % DBK_SIM_BLOCK_BYTES);
        size_t part = least(size - done, DBK_SIM_BLOCK_BYTES - within);
        if (!body->now[page]) {
            if (spare == 0) break;
            spare--;
            body->blocks++;
        }
        memcpy(page_write(&body->now[page]) + within, (const uint8_t *)data + done, part);
        done += part;
    }
    if (done == 0) return 0;
    if (lost) {
        body->has_lost = true;
    } else {
        mark_dirty(body, offset, offset + done);
    }
    if (offset + done > body->now_size) body->now_size = offset + done;
    return done;
}

/* Cuts one of the two contents; growing needs nothing, for bytes beyond the size are zero. */
static void cut_pages(sim_page **pages, size_t room, uint64_t size)
{
    size_t first = pages_of(size);
    size_t within = (size_t)(size % DBK_SIM_BLOCK_BYTES);
    if (within != 0 && first <= room) page_cut(&pages[first - 1], within);
    for (size_t page = first; page < room; page++) page_put(&pages[page], NULL);
}

void sim_body_truncate(sim_body *body, uint64_t size)
{
    if (size < body->now_size) {
        body_grow(body, pages_of(body->now_size));
        for (size_t page = pages_of(size); page < body->room; page++) {
            if (body->now[page]) body->blocks--;
        }
        cut_pages(body->now, body->room, size);
        mark_dirty(body, size, body->now_size);
    }
    body->now_size = size;
}

bool sim_body_allocate(sim_body *body, uint64_t offset, uint64_t size, uint64_t spare)
{
    size_t low = (size_t)(offset / DBK_SIM_BLOCK_BYTES), high = pages_of(offset + size);
    body_grow(body, high);
    uint64_t need = 0;
    for (size_t page = low; page < high; page++) need += !body->now[page];
    if (need > spare) return false;
    for (size_t page = low; page < high; page++) {
        if (!body->now[page]) body->now[page] = &zero_page;
    }
    body->blocks += need;
    body->has_allocated = body->has_allocated || need > 0;
    if (offset + size > body->now_size) body->now_size = offset + size;
    return true;
}

static void copy_sectors(sim_page **to, const sim_page *from, uint8_t sectors)
{
    uint8_t *bytes = page_write(to);
    for (unsigned i = 0; i < SIM_SECTORS; i++) {
        if (!(sectors & (1U << i))) continue;
        size_t at = (size_t)i * DBK_SIM_SECTOR_BYTES;
        memcpy(bytes + at, sim_page_bytes(from) + at, DBK_SIM_SECTOR_BYTES);
    }
}

/* Makes the page's dirty sectors durable. Where all other sectors agree, sharing the page does it;
 * after lost writes they may not, and only the dirty ones may pass. */
static void persist_page(sim_body *body, size_t page)
{
    uint8_t sectors = body->dirty[page];
    if (sectors == 0) return;
    if (!body->has_lost || sectors == 0xff) {
        page_put(&body->kept[page], body->now[page]);
    } else {
        copy_sectors(&body->kept[page], body->now[page], sectors);
    }
    body->dirty[page] = 0;
}

static void persist_size(sim_body *body)
{
    if (body->now_size < body->kept_size) cut_pages(body->kept, body->room, body->now_size);
    body->kept_size = body->now_size;
}

static void persist_allocation(sim_body *body)
{
    for (size_t page = 0; body->has_allocated && page < body->room; page++) {
        if (body->now[page] && !body->kept[page]) body->kept[page] = &zero_page;
    }
    body->has_allocated = false;
}

void sim_body_sync(sim_body *body)
{
    for (size_t page = body->dirty_low; page < body->dirty_high; page++) persist_page(body, page);
    body->dirty_low = body->dirty_high = 0;
    persist_size(body);
    persist_allocation(body);
}

void sim_body_sync_range(sim_body *body, uint64_t offset, uint64_t size)
{
    size_t high = pages_of(offset + size);
    for (size_t page = (size_t)(offset / DBK_SIM_BLOCK_BYTES); page < high; page++) {
        persist_page(body, page);
    }
    persist_size(body);
}

void sim_body_fail_sync(sim_body *body)
{
    if (body->dirty_low >= body->dirty_high) return;
    memset(body->dirty + body->dirty_low, 0, body->dirty_high - body->dirty_low);
    body->dirty_low = body->dirty_high = 0;
    body->has_lost = true;
}

void sim_body_evict(sim_body *body, uint64_t offset, uint64_t size)
{
    if (size == 0) return;
    size_t high = least(pages_of(offset + size), body->room);
    for (size_t page = (size_t)(offset / DBK_SIM_BLOCK_BYTES); page < high; page++) {
        if (body->now[page] == body->kept[page] || !body->now[page]) continue;
        if (body->dirty[page] == 0) {
            page_put(&body->now[page], body->kept[page] ? body->kept[page] : &zero_page);
        } else {
            copy_sectors(&body->now[page], body->kept[page], (uint8_t)~body->dirty[page]);
        }
    }
    /* The kept content may be longer than the present one. */
    cut_pages(body->now, least(pages_of(body->now_size), body->room), body->now_size);
}

void sim_body_poke(sim_body *body, const void *data, size_t size, uint64_t offset)
{
    if (size == 0) return;
    body_grow(body, pages_of(offset + size));
    for (size_t done = 0; done < size;) {
        size_t page = (size_t)((offset + done) / DBK_SIM_BLOCK_BYTES);
        size_t within = (size_t)((offset + done) % DBK_SIM_BLOCK_BYTES);
        size_t part = least(size - done, DBK_SIM_BLOCK_BYTES - within);
        bool agree = body->now[page] == body->kept[page];
        body->blocks += !body->now[page];
        memcpy(page_write(&body->now[page]) + within, (const uint8_t *)data + done, part);
        if (agree) {
            page_put(&body->kept[page], body->now[page]);
        } else {
            memcpy(page_write(&body->kept[page]) + within, (const uint8_t *)data + done, part);
        }
        done += part;
    }
    if (offset + size > body->now_size) body->now_size = offset + size;
    if (offset + size > body->kept_size) body->kept_size = offset + size;
}

void sim_body_cut(sim_body *body, uint64_t size)
{
    for (size_t page = pages_of(size); page < body->room; page++) {
        body->blocks -= body->now[page] != NULL;
    }
    cut_pages(body->now, body->room, size);
    cut_pages(body->kept, body->room, size);
    body->now_size = body->kept_size = size;
}

bool sim_body_is_settled(const sim_body *body)
{
    return body->dirty_low >= body->dirty_high && body->now_size == body->kept_size && !body->has_lost &&
           !body->has_allocated;
}

size_t sim_body_unsynced(const sim_body *body)
{
    size_t count = body->now_size != body->kept_size;
    for (size_t page = body->dirty_low; page < body->dirty_high; page++) {
        uint64_t base = (uint64_t)page * DBK_SIM_BLOCK_BYTES;
        if (base >= body->now_size) break;
        uint8_t below = sectors_in(page, base, body->now_size);
        count += (size_t)__builtin_popcount(body->dirty[page] & below);
    }
    return count;
}

static uint64_t settle_size(const sim_body *body, sim_chooser *chooser)
{
    if (body->now_size == body->kept_size) return body->now_size;
    uint64_t low = least(body->now_size, body->kept_size);
    uint64_t between = body->now_size + body->kept_size - 2 * low;
    switch (sim_choose(chooser, DBK_SIM_ASK_SIZE, 3)) {
    case DBK_SIM_OLD: return body->kept_size;
    case DBK_SIM_NEW: return body->now_size;
    default: return low + sim_random_next(&chooser->random) % (between + 1);
    }
}

static void settle_sector(sim_body *body, size_t page, unsigned sector, sim_chooser *chooser)
{
    unsigned answer = sim_choose(chooser, DBK_SIM_ASK_SECTOR, 4);
    size_t at = (size_t)sector * DBK_SIM_SECTOR_BYTES;
    if (answer == DBK_SIM_OLD) return;
    if (answer == DBK_SIM_NEW) {
        copy_sectors(&body->kept[page], body->now[page], (uint8_t)(1U << sector));
        return;
    }
    uint8_t *bytes = page_write(&body->kept[page]) + at;
    memset(bytes, 0, DBK_SIM_SECTOR_BYTES);
    for (size_t i = 0; answer == DBK_SIM_GARBAGE && i < DBK_SIM_SECTOR_BYTES; i += 8) {
        uint64_t word = sim_random_next(&chooser->random);
        memcpy(bytes + i, &word, sizeof word);
    }
}

/* Sectors at and beyond the present size were cut off, not written: they share the size's fate. */
static void settle_sectors(sim_body *body, uint64_t size, sim_chooser *chooser)
{
    uint64_t end = least(size, body->now_size);
    for (size_t page = body->dirty_low; page < body->dirty_high; page++) {
        for (unsigned sector = 0; body->dirty[page] >> sector; sector++) {
            uint64_t at = (uint64_t)page * DBK_SIM_BLOCK_BYTES + sector * DBK_SIM_SECTOR_BYTES;
            if (at >= end) return;
            if (body->dirty[page] & (1U << sector)) settle_sector(body, page, sector, chooser);
        }
    }
}

void sim_body_settle(sim_body *body, sim_chooser *chooser)
{
    uint64_t size = settle_size(body, chooser);
    settle_sectors(body, size, chooser);
    cut_pages(body->kept, body->room, size);
    body->blocks = 0;
    for (size_t page = 0; page < body->room; page++) {
        if (body->now[page] != body->kept[page]) page_put(&body->now[page], body->kept[page]);
        body->blocks += body->now[page] != NULL;
    }
    if (body->dirty_high > body->dirty_low) {
        memset(body->dirty + body->dirty_low, 0, body->dirty_high - body->dirty_low);
    }
    body->dirty_low = body->dirty_high = 0;
    body->now_size = body->kept_size = size;
    body->has_lost = body->has_allocated = false;
}
